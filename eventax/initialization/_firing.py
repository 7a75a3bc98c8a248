"""Weights scaled until neurons fire, layer by layer, on the user's own samples."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any, NamedTuple, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from .._arguments import as_float, check_finite
from .._networks import EvNN
from .._neurons import MultiNeuronModel, NeuronModel

Net = TypeVar("Net", bound=EvNN)

PRECISION = 1e-3  # of the factor, relative


class Layer(NamedTuple):
    """A layer that is to fire, and how much."""

    number: int
    neurons: slice
    fraction: float


def scale_to_fire(
    net: Net,
    in_spike_times: Any,
    layers: Sequence[int] | None = None,
    *,
    fraction: float | Sequence[float | None] | np.ndarray | Array = 0.5,
    max_factor: float = 1000.0,
) -> Net:
    r"""The same feed-forward network, its weights scaled so that its neurons fire.

    A neuron that stays silent gets no gradient. From the first layer to the last, all
    weights into a layer are multiplied by one positive factor: the smallest one, to
    0.1 %, with which in at least `fraction` of all pairs of a sample and one of the
    layer's neurons the neuron fires at least once. Layers before it fire by then as
    they will; layers after it get no spikes meanwhile. The factor may be below 1. Bias
    currents and delays stay as they are.

    Where all weights into a layer are positive, or neurons are leaky integrators
    without bias current, more neurons fire with a larger factor. Elsewhere the factor
    is one with which the fraction is reached, and just below which it is not.

    Arguments:
        net: an `FFEvNN` of a built-in model, wrapped or not, or of several.
        in_spike_times: (batch, M, K) input spikes of some samples of the data, padded
            with `inf`: a hundred or more, as the factors are fitted to them.
        layers: sizes of the layers, from the first hidden one to the output; by default
            those of the `FFEvNN`.
        fraction: wanted fraction, above 0 and not above 1; or one for each layer, None
            for a layer to be left alone, such as a readout that does not fire.
        max_factor: the largest factor tried, and 1 / `max_factor` the smallest.

    Returns:
        A new network; `net` is unchanged.

    Raises:
        TypeError: a fraction or `max_factor` is no number.
        ValueError: a layer does not reach its fraction with any factor, or reaches it
            with none above 0, the message names the layer and what was reached;
            `layers` are not the network's or are left out for one that is no `FFEvNN`,
            a fraction or `max_factor` is out of range, or the model has no weights that
            can be scaled.

    Example:
        >>> import jax
        >>> import jax.numpy as jnp
        >>> from eventax import FFEvNN
        >>> from eventax.initialization import scale_to_fire
        >>> from eventax.neuron_models import LIF
        >>> net = FFEvNN(
        ...     [20], 4, LIF, 50.0, key=jax.random.key(0), thresh=1.0, tsyn=5.0,
        ...     tmem=20.0, wlim=0.2, wmean=0.1, init_bias=0.0,
        ... )
        >>> samples = 20.0 * jax.random.uniform(jax.random.key(1), (100, 4, 1))
        >>> scaled = scale_to_fire(net, samples, fraction=0.8)
        >>> jnp.isfinite(jax.vmap(scaled.ttfs)(samples)).mean()
        Array(0.8, dtype=float32)
    """
    sizes = _sizes(net, layers)
    in_spike_times = jnp.asarray(in_spike_times, net.dtype)
    _check_samples(net, in_spike_times)
    check_finite("max_factor", max_factor)
    if not max_factor >= 1:
        raise ValueError(f"`max_factor` must be at least 1; got {max_factor!r}.")
    # In float64, so that doubling and halving are exact.
    scale = np.zeros(net.n_neurons)
    for number, (size, wanted) in enumerate(
        zip(sizes, _fractions(fraction, len(sizes)), strict=True)
    ):
        first = sum(sizes[:number])
        neurons = slice(first, first + size)
        scale[neurons] = 1.0
        if wanted is not None:
            layer = Layer(number, neurons, wanted)
            scale[neurons] = _find(net, in_spike_times, layer, scale, max_factor)
    return _scaled(net, jnp.asarray(scale, net.dtype))


# -- the search ------------------------------------------------------------------------


def _find(
    net: EvNN, inputs: Array, layer: Layer, scale: np.ndarray, max_factor: float
) -> float:
    """The smallest factor with which enough of the layer's neurons fire."""

    def reached(factor: float) -> float:
        trial = scale.copy()
        trial[layer.neurons] = factor
        return _fraction(net, inputs, trial, layer.neurons)

    low, high = _bracket(reached, layer, max_factor)
    while high > low * (1 + PRECISION):
        middle = float(np.sqrt(low * high))
        low, high = (
            (low, middle) if reached(middle) >= layer.fraction else (middle, high)
        )
    if np.isinf(reached(high)):
        raise ValueError(_overflow(net, layer, reached(low), high))
    return high


def _bracket(reached: Any, layer: Layer, max_factor: float) -> tuple[float, float]:
    """Two factors, one twice the other, of which only the larger one is enough.

    From 1 up or down: strong weights make many spikes, which take long.
    """
    factor, fraction = 1.0, reached(1.0)
    if fraction < layer.fraction:
        best = fraction
        while fraction < layer.fraction:
            if 2 * factor > max_factor:
                raise ValueError(_too_little(layer, best, max_factor))
            factor, fraction = 2 * factor, reached(2 * factor)
            best = max(best, fraction)
        return factor / 2, factor
    while fraction >= layer.fraction:
        if factor / 2 < 1 / max_factor:
            raise ValueError(_too_much(layer, fraction, max_factor))
        factor, fraction = factor / 2, reached(factor / 2)
    return factor, 2 * factor


def _fraction(net: EvNN, inputs: Array, scale: np.ndarray, neurons: slice) -> float:
    """Fraction of pairs that fire; inf if there are more events than are allowed."""
    try:
        fired = _fired(net, jnp.asarray(scale, net.dtype), inputs)
        return float(np.mean(np.asarray(fired)[:, neurons]))
    except (RuntimeError, ValueError) as error:
        # JAX raises the one or the other, by where the program runs.
        if "max_event_steps" not in str(error):
            raise
        return float("inf")


@eqx.filter_jit
def _fired(net: EvNN, scale: Array, inputs: Array) -> Array:
    """(batch, N) whether a neuron fires, with weights scaled by receiver."""
    scaled = _scaled(net, scale)

    def of_sample(times: Array) -> Array:
        spikes, neurons, _ = scaled.record(times)
        # Times are read although neurons are enough: they carry the run's errors. The
        # fill is -1, the last of all.
        counts = jnp.zeros(net.n_neurons + 1).at[neurons].add(jnp.isfinite(spikes))
        return counts[:-1] > 0

    return jax.vmap(of_sample)(inputs)


# -- weights ---------------------------------------------------------------------------


def _scaled(net: Net, scale: Float[Array, " neurons"]) -> Net:
    """The network with all weights into a neuron multiplied by its own number."""
    everyone = np.arange(net.n_neurons)
    receivers = _receivers(net.neuron_model, everyone)
    leaves = net.neuron_model.sender_leaves()
    if not leaves or len(leaves) != len(receivers):
        raise ValueError(
            f"{type(net.neuron_model).__name__} does not tell which of its parameters "
            "are weights that a spike reads (`sender_leaves`), so that there are none "
            "to scale. Use a built-in model."
        )
    new = [leaf * scale[who] for leaf, who in zip(leaves, receivers, strict=True)]
    return eqx.tree_at(lambda n: n.neuron_model.sender_leaves(), net, new)


def _receivers(
    model: NeuronModel, neurons: Int[np.ndarray, " neurons"]
) -> list[Int[np.ndarray, " receivers"]]:
    """For each of the model's weights the neurons that its columns belong to."""
    if isinstance(model, MultiNeuronModel):
        parts = zip(model.submodels, model.split(neurons), strict=True)
        return list(itertools.chain(*(_receivers(m, part) for m, part in parts)))
    inner = getattr(model, "neuron", None)
    if isinstance(inner, NeuronModel):
        return _receivers(inner, neurons)
    return [neurons for _ in model.sender_leaves()]


# -- arguments and messages ------------------------------------------------------------


def _sizes(net: EvNN, layers: Sequence[int] | None) -> list[int]:
    given = getattr(net, "layers", None) if layers is None else layers
    if given is None:
        raise ValueError(
            "`layers` must be given for a network that does not tell the sizes of its "
            "layers."
        )
    sizes = [int(size) for size in given]
    if min(sizes, default=0) < 1 or sum(sizes) != net.n_neurons:
        raise ValueError(
            "`layers` must be the sizes of the network's layers, in sum its "
            f"{net.n_neurons} neurons; got {given!r}."
        )
    return sizes


def _check_samples(net: EvNN, inputs: Array) -> None:
    if inputs.ndim != 3 or inputs.shape[0] == 0 or inputs.shape[1] != net.in_size:
        raise ValueError(
            "`in_spike_times` must have shape (batch, M, K), at least one sample of "
            f"M = {net.in_size} channels; got shape {inputs.shape}."
        )


def _fractions(fraction: Any, n_layers: int) -> list[float | None]:
    several = list(fraction) if np.ndim(fraction) else [fraction] * n_layers
    wanted = [None if f is None else as_float("fraction", f) for f in several]
    right = all(f is None or 0 < f <= 1 for f in wanted)
    if len(wanted) != n_layers or not right:
        raise ValueError(
            "`fraction` must be a number above 0 and not above 1, or one such number "
            f"or None for each of the {n_layers} layers; got {fraction!r}."
        )
    return wanted


def _too_little(layer: Layer, best: float, max_factor: float) -> str:
    return (
        f"Layer {layer.number} (from 0) does not fire enough with any factor up to "
        f"`max_factor` = {max_factor:g}: `fraction` asks for {layer.fraction:g} of all "
        f"pairs of a sample and a neuron, and {best:g} is the most that was reached. "
        "Ask for less, give the layer more positive weights, or check that its inputs "
        "spike."
    )


def _too_much(layer: Layer, fraction: float, max_factor: float) -> str:
    return (
        f"Layer {layer.number} (from 0) fires too much with any factor down to 1 / "
        f"`max_factor` = {1 / max_factor:g}: `fraction` asks for {layer.fraction:g} of "
        f"all pairs of a sample and a neuron, and {fraction:g} was reached. Its bias "
        "currents make it fire without input: lower them."
    )


def _overflow(net: EvNN, layer: Layer, reached: float, factor: float) -> str:
    return (
        f"Layer {layer.number} (from 0) makes more than `max_event_steps` = "
        f"{net.max_event_steps} events per sample with a factor of {factor:g}, before "
        f"`fraction` = {layer.fraction:g} of all pairs of a sample and a neuron fire; "
        f"{reached:g} was reached. Ask for less, or allow more events."
    )
