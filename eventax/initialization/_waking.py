"""Neurons that never fire, brought back in training."""

from __future__ import annotations

from typing import Any, TypeVar

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from .._arguments import check_not_negative
from .._networks import EvNN
from .._networks._connectivity import chosen
from ..monitor import activity
from ._weights import change_weights

Net = TypeVar("Net", bound=EvNN)


def wake_silent(
    net: Net, in_spike_times: Any, part: float = 0.05, *, neurons: Any = None
) -> Net:
    r"""The same network, weights raised into neurons that fire in no sample.

    No gradient of spike times would ever bring such a neuron back. All synapses into it
    grow by `part` of the mean size of the weights into the neurons that are looked
    after. Called between epochs of training, it changes nothing while all fire.

    Arguments:
        net: a network of a built-in model, wrapped or not, or of several.
        in_spike_times: (batch, M, K) input spikes of samples of the data, padded with
            `inf`, or `Spikes` of shape (batch, E).
        part: how much weights grow, in units of their mean size; not negative.
        neurons: those that are looked after: different whole numbers in 0..N-1, or (N,)
            bool; by default all that can fire.

    Returns:
        A new network; `net` is unchanged. Bias currents and delays stay as they are.

    Raises:
        TypeError: `net` is no network.
        ValueError: a shape is wrong, `part` is negative or not finite, `neurons` are
            none of the network, or the model has no weights that can be raised.

    Reference:
        After the weight bumping of Göltz et al., Fast and energy-efficient
        neuromorphic deep learning with first-spike times, Nat Mach Intell 3 (2021) 823.

    Example:
        >>> import jax
        >>> import jax.numpy as jnp
        >>> from eventax import FFEvNN
        >>> from eventax.initialization import wake_silent
        >>> from eventax.neuron_models import LIF
        >>> weights = jnp.array([[0.0, 0.0], [0.0, 0.0], [8.0, 2.0]])
        >>> net = FFEvNN(
        ...     [2], 1, LIF, 50.0, init_weights=weights, init_bias=0.0, thresh=1.0,
        ...     tsyn=5.0, tmem=10.0,
        ... )
        >>> woken = wake_silent(net, jnp.ones((1, 1, 1)), 0.1)  # neuron 1 is silent
        >>> woken.neuron_model.weights[2]
        Array([8. , 2.5], dtype=float32)
    """
    check_not_negative("part", part)
    seen = activity(net, in_spike_times)
    looked_after = np.ones(net.n_neurons, bool)
    if neurons is not None:
        looked_after = np.isin(np.arange(net.n_neurons), chosen(neurons, net.n_neurons))
    silent = seen.silent & looked_after
    looked_after = looked_after & seen.can_fire
    if not silent.any():
        return net
    mask = net._wmask.value

    def raised(weights: Array, who: np.ndarray) -> Array:
        synapses = mask[:, who]
        counted = jnp.asarray(synapses & looked_after[who])
        size = jnp.sum(jnp.abs(weights) * counted) / jnp.maximum(jnp.sum(counted), 1)
        grows = jnp.asarray(synapses & silent[who])
        return weights + jnp.where(grows, part * size, 0).astype(weights.dtype)

    return change_weights(net, raised)
