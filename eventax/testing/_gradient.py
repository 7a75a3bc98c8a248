"""Gradients compared with finite differences."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from .._arguments import check_count, check_positive
from .._networks import EvNN
from .._networks._expected import check_network
from .._spikes import PackedSpikes, Spikes
from ._differences import Difference, differentiate, noise_of
from ._report import (
    AGREES,
    DISCONTINUITY,
    UNRESOLVED,
    WRONG,
    GradientCheck,
    GradientRow,
)

INPUTS = "in_spike_times"
LISTS = (Spikes, PackedSpikes)

Leaves = dict[str, np.ndarray]


class _Precision(NamedTuple):
    """What is usual for a floating-point type; steps are relative to a leaf."""

    rtol: float
    last_step: float
    noise_step: float  # its fourth power is well below the type's epsilon


PRECISIONS = {
    np.dtype(np.float32): _Precision(1e-2, 2.0**-17, 2.0**-13),
    np.dtype(np.float64): _Precision(1e-4, 2.0**-34, 2.0**-20),
}
FIRST_STEP = 2.0**-5


def check_gradient(
    function: Callable[[Any, Any], Any],
    network: EvNN,
    in_spike_times: Any = None,
    *,
    by_inputs: bool = False,
    directions: int = 2,
    entries: int = 2,
    rtol: float | None = None,
    seed: int = 0,
) -> GradientCheck:
    """Compare the gradient of a function of a network with finite differences.

    Of every array of the network, along random directions and for single entries: that
    of the largest derivative, then random ones. A spike time is smooth only as long as
    the order of spikes stays the same, so a step counts only if the network's `record`
    shows the same neurons in the same order on both sides. The step is halved until the
    estimated error, of which the noise of the function is a part, grows again. So a
    wrong gradient can be told from a point at which there is none. Neurons that fire at
    the same instant count as such a point, as their order changes with any parameter.

    In float64 it sees far smaller errors: `jax.config.update("jax_enable_x64", True)`
    and `dtype=jnp.float64`.

    Arguments:
        function: of network and input spikes to a scalar, such as a loss. It must not
            draw random numbers of its own.
        network: where the gradient is to be checked.
        in_spike_times: what `function` gets: one sample, or a batch with one axis in
            front; as an array, as `Spikes`, as `PackedSpikes`, or None.
        by_inputs: whether the derivatives by input times are checked too.
        directions: number of random directions for each array.
        entries: number of single entries of each array.
        rtol: relative tolerance, by default 1e-2 in float32 and 1e-4 in float64. Of an
            entry it is relative to a typical one of its array, if that is larger.
        seed: of the random directions and entries.

    Returns:
        The check: `ok` tells whether everything agrees, printed it is a table, and
        `rows` has the numbers.

    Raises:
        TypeError: `network` is none, or a count is no whole number.
        ValueError: a count is negative, `rtol` is not positive, `function` does not
            return one real number, or its value or gradient is not finite.

    Example:
        >>> import jax
        >>> import jax.numpy as jnp
        >>> from eventax import EvNN
        >>> from eventax.neuron_models import LIF
        >>> from eventax.testing import check_gradient
        >>> net = EvNN(
        ...     LIF, 3, 20.0, in_size=1, key=jax.random.key(0), thresh=1.0, tsyn=5.0,
        ...     tmem=10.0, wmean=0.5, wlim=1.0, init_bias=1.5,
        ... )
        >>> check = check_gradient(
        ...     lambda net, x: jnp.sum(net.ttfs(x)), net, jnp.array([[1.0]])
        ... )
        >>> check.ok
        True
        >>> print(check)
        leaf                   along ...
    """
    check_network("network", network)
    counts = {"directions": directions, "entries": entries}
    n_directions, n_entries = (check_count(k, n, 0) for k, n in counts.items())
    usual = PRECISIONS[np.dtype(network.dtype)]
    rtol = usual.rtol if rtol is None else rtol
    check_positive("rtol", rtol)
    leaves, rebuild = _variables(network, in_spike_times, by_inputs)

    @eqx.filter_jit
    def evaluate(leaves: Any) -> tuple[Array, Array]:
        changed, inputs = rebuild(leaves)
        return function(changed, inputs), _order(changed, inputs)

    value = eqx.filter_eval_shape(evaluate, leaves)[0]
    if getattr(value, "shape", None) != () or not jnp.issubdtype(
        value.dtype, jnp.floating
    ):
        raise ValueError(f"`function` must return one real number; got {value!r}.")
    differentiated = jax.grad(lambda leaves: function(*rebuild(leaves)))
    gradient = eqx.filter_jit(differentiated)(leaves)
    gradient = {name: np.asarray(leaf, float) for name, leaf in gradient.items()}
    base, order = evaluate(leaves)
    for what, there in (("value", base), *gradient.items()):
        if not np.all(np.isfinite(there)):
            raise ValueError(
                f"`function` must have a finite value and gradient; got {what}: "
                f"{there!r}. Where a neuron does not fire its time is infinite: choose "
                "`output_no_spike_value`, or leave such times out."
            )

    def along(direction: Leaves) -> Callable[[float], float | None]:
        def line(offset: float) -> float | None:
            moved = {
                name: (leaf + offset * direction[name]).astype(leaf.dtype)
                if name in direction
                else leaf
                for name, leaf in leaves.items()
            }
            there, seen = evaluate(moved)
            return float(there) if np.array_equal(seen, order) else None

        return line

    rng = np.random.default_rng(seed)
    all_of_it = {name: _direction(rng, leaf) for name, leaf in leaves.items()}
    points = map(along(all_of_it), usual.noise_step * np.arange(-3.0, 4.0))
    near = [value for value in points if value is not None]
    epsilon = float(np.finfo(network.dtype).eps)
    noise = noise_of(near if len(near) == 7 else [float(base)], epsilon)
    rows = []
    for name, leaf in leaves.items():
        typical = _size(leaf) * float(np.sqrt(np.mean(gradient[name] ** 2)))
        for label, direction in _directions(
            rng, leaf, gradient[name], n_directions, n_entries
        ):
            found = differentiate(
                along({name: direction}), FIRST_STEP, usual.last_step, noise
            )
            told = float(np.sum(gradient[name] * direction))
            size = max(typical, float(np.linalg.norm(gradient[name] * direction)))
            # Of what has no influence, all that differences show is noise.
            enough = rtol * (size or abs(float(base)))
            rows.append(_row(name, label, told, found, rtol * size, enough))
    return GradientCheck(tuple(rows), rtol, noise)


def _row(
    leaf: str,
    along: str,
    gradient: float,
    found: Difference | None,
    tolerance: float,
    enough: float,
) -> GradientRow:
    """The verdict; `enough` is an error of the difference that can be put up with."""
    if found is None:
        nan = float("nan")
        return GradientRow(leaf, along, gradient, nan, nan, nan, DISCONTINUITY)
    if abs(gradient - found.value) > tolerance + 2 * found.error:
        verdict = WRONG
    elif found.error > enough:
        verdict = UNRESOLVED
    else:
        verdict = AGREES
    return GradientRow(leaf, along, gradient, *found, verdict)


def _variables(
    network: EvNN, inputs: Any, by_inputs: bool
) -> tuple[Leaves, Callable[[Any], tuple[EvNN, Any]]]:
    """Arrays by name, and how network and inputs are made of them."""
    params, static = eqx.partition(network, eqx.is_inexact_array)
    pairs, structure = jax.tree_util.tree_flatten_with_path(params)
    names = [jax.tree_util.keystr(path) for path, _ in pairs]
    leaves = {
        name: np.asarray(leaf) for name, (_, leaf) in zip(names, pairs, strict=True)
    }
    if by_inputs and inputs is not None:
        times = inputs.times if isinstance(inputs, LISTS) else inputs
        leaves[INPUTS] = np.asarray(times, network.dtype)

    def rebuild(leaves: Any) -> tuple[EvNN, Any]:
        changed = jax.tree.unflatten(structure, [leaves[name] for name in names])
        moved = inputs
        if INPUTS in leaves:
            times = leaves[INPUTS]
            moved = times
            if isinstance(inputs, LISTS):
                moved = inputs._replace(times=times)
        return eqx.combine(changed, static), moved

    return {name: leaf for name, leaf in leaves.items() if leaf.size}, rebuild


def _order(network: EvNN, inputs: Any) -> Array:
    """The neurons in the order in which they fire."""
    if inputs is None:
        return network.record(None)[1]
    is_list = isinstance(inputs, LISTS)
    axes = np.ndim(inputs.times) - 1 if is_list else np.ndim(inputs) - 2
    record = lambda inputs: network.record(inputs)[1]  # noqa: E731
    return (jax.vmap(record) if axes else record)(inputs)


def _directions(
    rng: np.random.Generator,
    leaf: np.ndarray,
    gradient: np.ndarray,
    n_directions: int,
    n_entries: int,
) -> Iterator[tuple[str, np.ndarray]]:
    """Random directions, then single entries, each with what it is called."""
    for number in range(n_directions):
        yield f"direction {number}", _direction(rng, leaf)
    places = np.flatnonzero(np.isfinite(leaf))
    if n_entries == 0 or len(places) == 0:
        return
    largest = places[np.argmax(np.abs(gradient.reshape(-1)[places]))]
    others = rng.permutation(places[places != largest])
    for place in [largest, *others[: n_entries - 1]]:
        index = np.unravel_index(place, leaf.shape)
        unit = np.zeros(leaf.shape)
        unit[index] = _size(leaf)
        yield str([int(k) for k in index]), unit


def _direction(rng: np.random.Generator, leaf: np.ndarray) -> np.ndarray:
    """A normal random number of the size of the leaf for each finite entry."""
    return np.where(np.isfinite(leaf), _size(leaf) * rng.normal(size=leaf.shape), 0.0)


def _size(leaf: np.ndarray) -> float:
    """The root mean square of finite entries, 1 if all are 0."""
    finite = leaf[np.isfinite(leaf)].astype(float)
    return float(np.sqrt(np.mean(finite**2))) if np.any(finite) else 1.0
