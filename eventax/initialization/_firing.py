"""Weights scaled until neurons fire, layer by layer, on the user's own samples."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeVar

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from .._arguments import as_float, check_finite
from .._networks import EvNN
from .._networks._expected import check_network
from .._networks._groups import Group, groups_of, may_fire
from ..monitor._counts import check_batch, count_within
from ._weights import change_weights

Net = TypeVar("Net", bound=EvNN)

PRECISION = 1e-3  # of the factor, relative


class Layer(NamedTuple):
    """Neurons that are to fire with a common factor, and how much."""

    title: str
    neurons: Int[np.ndarray, " layer"]
    wanted: float
    by_count: bool  # whether spikes are wanted, or pairs that fire

    def reached(self, spikes: Int[np.ndarray, "batch neurons"]) -> float:
        own = spikes[:, self.neurons]
        return float(np.mean(own if self.by_count else own > 0))

    @property
    def asked(self) -> str:
        if self.by_count:
            return f"`spikes` asks for {self.wanted:g} spikes of a neuron in a sample"
        return (
            f"`fraction` asks for {self.wanted:g} of all pairs of a sample and a neuron"
        )


def scale_to_fire(
    net: Net,
    in_spike_times: Any,
    layers: Any = None,
    *,
    fraction: float | Sequence[float | int | None] | np.ndarray | Array = 0.5,
    spikes: float | Sequence[float | int | None] | np.ndarray | Array | None = None,
    max_factor: float = 1000.0,
) -> Net:
    r"""The same network, its weights scaled so that its neurons fire.

    A neuron that stays silent gets no gradient. From the first layer to the last, all
    weights into a layer are multiplied by one positive factor: the smallest one, to
    0.1 %, with which in at least `fraction` of all pairs of a sample and one of the
    layer's neurons the neuron fires at least once; or, with `spikes`, with which a
    neuron fires so often in a sample, on average. Layers before it fire by then as
    they will; layers after it get no spikes meanwhile. The factor may be below 1. Bias
    currents and delays stay as they are, and neurons of `LI`, which never fire, are
    left alone.

    Recurrent weights of a layer are among those into it. Layers that hear each other,
    directly or by others, are scaled together, by one factor.

    Where all weights into a layer are positive, or neurons are leaky integrators
    without bias current, more neurons fire with a larger factor. Elsewhere the factor
    is one with which the fraction is reached, and just below which it is not. Neurons
    that excite each other may fire far more than asked: look at the result with
    `eventax.monitor.activity`.

    Arguments:
        net: a network of a built-in model, wrapped or not, or of several.
        in_spike_times: (batch, M, K) input spikes of some samples of the data, padded
            with `inf`, or `Spikes` of shape (batch, E): a hundred samples or more, as
            the factors are fitted to them.
        layers: what has a factor of its own: what `eventax.connectivity` made, a
            dictionary of sizes by name, or a list of sizes, in the order of neurons.
            By default the layers of an `FFEvNN`; of another network hidden and output
            neurons.
        fraction: wanted fraction, above 0 and not above 1; or one for each layer, None
            for a layer to be left alone.
        spikes: instead of it, the wanted number of spikes of a neuron in a sample,
            above 0; or one for each layer.
        max_factor: the largest factor tried, and 1 / `max_factor` the smallest.

    Returns:
        A new network; `net` is unchanged.

    Raises:
        TypeError: `net` is no network; a fraction, `spikes` or `max_factor` no number.
        ValueError: a layer does not reach its fraction with any factor, or reaches it
            with none above 0, the message names the layer and what was reached;
            `layers` are not the network's, layers that hear each other are to fire
            differently, a fraction, `spikes` or `max_factor` is out of range, or the
            model has no weights that can be scaled.

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

        A recurrent network from a builder:

        >>> from eventax import EvNN
        >>> from eventax.connectivity import layers
        >>> from eventax.initialization import projection_weights
        >>> from eventax.monitor import activity
        >>> shape = layers({"hidden": 20, "output": 3}, 4, recurrent=["hidden"])
        >>> weights = projection_weights(jax.random.key(0), shape)
        >>> net = EvNN(
        ...     LIF, max_solver_time=50.0, **shape, thresh=1.0, tsyn=5.0, tmem=20.0,
        ...     init_weights=weights, init_bias=0.0,
        ... )
        >>> scaled = scale_to_fire(net, samples, shape, spikes=2.0)
        >>> [row.spikes for row in activity(scaled, samples, shape).rows]
        [2.0, 2.0]
    """
    check_network("net", net)
    groups = groups_of(net, layers, "layers")
    inputs = check_batch(net, in_spike_times)
    check_finite("max_factor", max_factor)
    if not max_factor >= 1:
        raise ValueError(f"`max_factor` must be at least 1; got {max_factor!r}.")
    if spikes is None:
        wanted = _wanted("fraction", fraction, len(groups), most=1.0)
    else:
        wanted = _wanted("spikes", spikes, len(groups), most=np.inf)
    # In float64, so that doubling and halving are exact.
    scale = np.zeros(net.n_neurons)
    fires = may_fire(net)
    for numbers in _in_order(net, groups):
        neurons = np.concatenate([groups[k].neurons for k in numbers])
        scale[neurons] = 1.0
        asked = {wanted[k] for k in numbers if fires[groups[k].neurons].any()}
        if len(asked) > 1:
            raise ValueError(_different(groups, numbers, wanted))
        amount = asked.pop() if asked else None
        if amount is None:
            continue
        title = _title(groups, numbers)
        layer = Layer(title, neurons[fires[neurons]], amount, spikes is not None)
        factor = _find(net, inputs, layer, neurons, scale, max_factor)
        scale[neurons] = factor
    return _scaled(net, scale)


# -- the search ------------------------------------------------------------------------


def _find(
    net: EvNN,
    inputs: Any,
    layer: Layer,
    neurons: Int[np.ndarray, " scaled"],
    scale: np.ndarray,
    max_factor: float,
) -> float:
    """The smallest factor with which enough of the layer's neurons fire."""

    def reached(factor: float) -> float:
        trial = scale.copy()
        trial[neurons] = factor
        scaled = _scaled(net, trial)
        counts = count_within(scaled, inputs)
        return np.inf if counts is None else layer.reached(counts)

    low, high = _bracket(reached, layer, max_factor)
    while high > low * (1 + PRECISION):
        middle = float(np.sqrt(low * high))
        low, high = (low, middle) if reached(middle) >= layer.wanted else (middle, high)
    if np.isinf(reached(high)):
        raise ValueError(_overflow(net, layer, reached(low), high))
    return high


def _bracket(
    reached: Callable[[float], float], layer: Layer, max_factor: float
) -> tuple[float, float]:
    """Two factors, one twice the other, of which only the larger one is enough.

    From 1 up or down: strong weights make many spikes, which take long.
    """
    factor, found = 1.0, reached(1.0)
    if found < layer.wanted:
        best = found
        while found < layer.wanted:
            if 2 * factor > max_factor:
                raise ValueError(_too_little(layer, best, max_factor))
            factor, found = 2 * factor, reached(2 * factor)
            best = max(best, found)
        return factor / 2, factor
    while found >= layer.wanted:
        if factor / 2 < 1 / max_factor:
            raise ValueError(_too_much(layer, found, max_factor))
        factor, found = factor / 2, reached(factor / 2)
    return factor, 2 * factor


def _scaled(net: Net, scale: Float[np.ndarray, " neurons"]) -> Net:
    """The network with all weights into a neuron multiplied by its own number."""
    return change_weights(
        net, lambda weights, who: weights * jnp.asarray(scale[who], weights.dtype)
    )


# -- arguments and messages ------------------------------------------------------------


def _in_order(net: EvNN, groups: list[Group]) -> list[list[int]]:
    """Numbers of groups, senders before receivers; those in a cycle together."""
    mask = net._wmask.value
    hears = np.array(
        [[mask[np.ix_(a.neurons, b.neurons)].any() for b in groups] for a in groups]
    )
    reaches = hears | np.eye(len(groups), dtype=bool)
    for _ in groups:
        reaches = reaches | (reaches.astype(int) @ reaches.astype(int) > 0)
    together = reaches & reaches.T
    # Who is reached by fewer comes first.
    firsts = [k for k in range(len(groups)) if not together[k, :k].any()]
    firsts.sort(key=lambda k: int(reaches[:, k].sum()))
    return [np.flatnonzero(together[k]).tolist() for k in firsts]


def _wanted(name: str, value: Any, n_layers: int, most: float) -> list[float | None]:
    several = list(value) if np.ndim(value) else [value] * n_layers
    wanted = [None if v is None else as_float(name, v) for v in several]
    right = all(v is None or (0 < v <= most and np.isfinite(v)) for v in wanted)
    if len(wanted) != n_layers or not right:
        rule = "above 0 and not above 1" if np.isfinite(most) else "above 0"
        raise ValueError(
            f"`{name}` must be a number {rule}, or one such number or None for each of "
            f"the {n_layers} layers; got {value!r}."
        )
    return wanted


def _title(groups: list[Group], numbers: list[int]) -> str:
    named = [
        f"{k} (from 0)"
        if groups[k].name == f"layer {k}"
        else f"{k} (from 0, {groups[k].name})"
        for k in numbers
    ]
    return f"Layer {named[0]}" if len(named) == 1 else f"Layers {' and '.join(named)}"


def _different(
    groups: list[Group], numbers: list[int], wanted: list[float | None]
) -> str:
    return (
        f"{_title(groups, numbers)} hear each other, so that they are scaled together "
        f"and must be asked for the same; got {[wanted[k] for k in numbers]}."
    )


def _too_little(layer: Layer, best: float, max_factor: float) -> str:
    return (
        f"{layer.title} does not fire enough with any factor up to `max_factor` = "
        f"{max_factor:g}: {layer.asked}, and {best:g} is the most that was reached. "
        "Ask for less, give the layer more positive weights, or check that its inputs "
        "spike."
    )


def _too_much(layer: Layer, reached: float, max_factor: float) -> str:
    return (
        f"{layer.title} fires too much with any factor down to 1 / `max_factor` = "
        f"{1 / max_factor:g}: {layer.asked}, and {reached:g} was reached. Its bias "
        "currents make it fire without input: lower them."
    )


def _overflow(net: EvNN, layer: Layer, reached: float, factor: float) -> str:
    return (
        f"{layer.title} makes more than `max_event_steps` = {net.max_event_steps} "
        f"events per sample with a factor of {factor:g}, before what is asked for is "
        f"reached: {layer.asked}, and {reached:g} was reached. Ask for less, allow "
        "more events, or, if its neurons excite each other, make their recurrent "
        "weights weaker."
    )
