"""From data to the input spikes of a network, and noise on them.

A network takes times of shape (M, K): up to K spikes of each of M input channels,
padded with `inf`. `pad_trains`, `pad_spikes` and `pad_batch` make such arrays of lists;
the other functions have any number of batch axes in front.
"""

from ._bias import with_bias_spike
from ._latency import latency
from ._noise import drop_spikes, jitter
from ._padding import pad_batch, pad_spikes, pad_trains

__all__ = [
    "drop_spikes",
    "jitter",
    "latency",
    "pad_batch",
    "pad_spikes",
    "pad_trains",
    "with_bias_spike",
]
