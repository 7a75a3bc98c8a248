"""From data to the input spikes of a network and back, and noise on them.

A network takes times of shape (M, K), up to K spikes of each of M input channels padded
with `inf`, a list of events, `eventax.Spikes`, or `eventax.PackedSpikes`.
`pad_trains`, `pad_spikes` and `pad_batch` make such arrays of lists, `list_spikes` and
`list_batch` lists of equal length, `pack_batch` the smallest form; `padding_cost` says
what each takes. The other functions have any number
of batch axes in front: `latency`, `latency_per_frame`, `level_crossing`, `poisson` and
`population` encode numbers and signals, and `decode_...` gets them back.
"""

from ._bias import with_bias_spike
from ._events import PaddingCost, list_batch, list_spikes, pack_batch, padding_cost
from ._frames import decode_latency_per_frame, latency_per_frame
from ._latency import decode_latency, latency
from ._level_crossing import decode_level_crossing, level_crossing
from ._noise import drop_spikes, jitter
from ._padding import pad_batch, pad_spikes, pad_trains
from ._poisson import decode_poisson, poisson
from ._population import decode_population, population

__all__ = [
    "PaddingCost",
    "decode_latency",
    "decode_latency_per_frame",
    "decode_level_crossing",
    "decode_poisson",
    "decode_population",
    "drop_spikes",
    "jitter",
    "latency",
    "latency_per_frame",
    "level_crossing",
    "list_batch",
    "list_spikes",
    "pack_batch",
    "pad_batch",
    "pad_spikes",
    "pad_trains",
    "padding_cost",
    "poisson",
    "population",
    "with_bias_spike",
]
