"""Loss functions of spike times and of readout voltages.

All of them return one value per sample, have any number of batch axes in front, and
work under `jax.jit`, `jax.vmap` and `jax.grad`. A neuron that did not fire (`inf`)
gives a finite loss and a zero gradient.
"""

from ._first_spike import first_spike_cross_entropy
from ._relative import relative_spike_time_mse
from ._spike_time import spike_time_mse
from ._van_rossum import van_rossum_distance
from ._voltage import max_voltage_cross_entropy, voltage_integral_cross_entropy
from ._waking import waking_first_spike_cross_entropy

__all__ = [
    "first_spike_cross_entropy",
    "max_voltage_cross_entropy",
    "relative_spike_time_mse",
    "spike_time_mse",
    "van_rossum_distance",
    "voltage_integral_cross_entropy",
    "waking_first_spike_cross_entropy",
]
