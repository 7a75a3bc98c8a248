"""One step of a diffrax solver."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import diffrax
import equinox as eqx
import jax
import jax.lax as lax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PyTree

from .. import _stack

VectorField = Callable[[Any, PyTree], PyTree]


class Step(NamedTuple):
    """What a step leads to."""

    end: PyTree
    error: PyTree | None  # None if the solver has no estimate
    slope: PyTree  # at the end


def take_step(
    solver: diffrax.AbstractSolver,
    field: VectorField,
    t: Float[Array, ""],
    z: PyTree,
    slope: PyTree,
    step: Float[Array, ""],
) -> Step:
    """From (t, z), where the slope is known, to t + step.

    Explicit Runge-Kutta methods are done here, from their tableau: on the small states
    of a neuron population that is several times faster than `solver.step`.
    """
    if isinstance(solver, diffrax.Euler):
        end = jax.tree.map(lambda x, k: x + step * k, z, slope)
        return Step(end, None, field(t + step, end))
    tableau = getattr(solver, "tableau", None)
    if isinstance(solver, diffrax.AbstractERK) and isinstance(
        tableau, diffrax.ButcherTableau
    ):
        return _explicit(tableau, field, t, z, slope, step)
    # From 0, where the length of the step is most precise.
    terms = diffrax.ODETerm(lambda s, z, args: field(t + s, z))
    zero = jnp.zeros_like(step)
    state = solver.init(terms, zero, step, z, None)
    end, error, _, _, result = solver.step(
        terms,
        zero,
        step,
        z,
        None,
        state,
        made_jump=True,
    )
    # A step that failed has no end; NaN is what makes the caller take a smaller one.
    failed = result != diffrax.RESULTS.successful
    end = jax.tree.map(lambda x: jnp.where(failed, jnp.nan, x), end)
    return Step(end, error, field(t + step, end))


def _explicit(
    tableau: diffrax.ButcherTableau,
    field: VectorField,
    t: Float[Array, ""],
    z: PyTree,
    slope: PyTree,
    step: Float[Array, ""],
) -> Step:
    """A step by a tableau."""
    a, c = _matrix(tableau), np.concatenate([[0.0], tableau.c])
    first = _stack.put(_stack.room(z, len(a)), jnp.asarray(0), slope)
    given = (np.arange(len(a)), a, c)
    given = [jnp.asarray(x[1:], t.dtype if k else None) for k, x in enumerate(given)]
    (slopes, end), _ = lax.scan(_visit(field, t, z, step), (first, z), tuple(given))
    if not tableau.ssal:
        end = _along(z, tableau.b_sol, slopes, step)
    if tableau.fsal:
        last = jax.tree.map(lambda s: s[-1], slopes)
    else:
        last = field(t + step, end)
    zero = jax.tree.map(jnp.zeros_like, z)
    return Step(end, _along(zero, tableau.b_error, slopes, step), last)


def _visit(field: VectorField, t: Any, z: PyTree, step: Any) -> Callable[..., Any]:
    """The body of a loop over stages, which evaluate the field one after another.

    A loop, since XLA would otherwise evaluate the vector field, with all its
    transcendental functions, again and again in every operation that uses it.
    """

    def stage(carry: tuple[PyTree, PyTree], given: Any) -> tuple[Any, None]:
        slopes, _ = carry
        j, row, node = given
        place = _along(z, row, slopes, step)
        slopes = _stack.put(slopes, j, field(t + node * step, place))
        return (slopes, place), None

    return stage


def step_end(
    solver: diffrax.AbstractSolver, model: Any, t: Any, z: PyTree, step: Any
) -> PyTree:
    """The end of a step of a model's own `_slope`, to be differentiated.

    The derivative of an explicit method is worked out by hand, as another loop over its
    stages: differentiating the forward loop costs several times as much.
    """
    tableau = getattr(solver, "tableau", None)
    explicit = isinstance(solver, diffrax.AbstractERK)
    if not (explicit and isinstance(tableau, diffrax.ButcherTableau)):
        return take_step(solver, model._slope, t, z, model._slope(t, z), step).end
    params, static = eqx.partition(model, eqx.is_inexact_array)
    a, b, c = _needed(tableau)
    dtype = step.dtype
    weights_on_each, weights, nodes = (jnp.asarray(x, dtype) for x in (a, b, c))
    rows = jnp.asarray(_columns(a[::-1, ::-1].T), dtype)

    def field(params: PyTree, t: Any, z: PyTree) -> PyTree:
        return eqx.combine(params, static)._slope(t, z)

    def visit(params: PyTree, t: Any, z: PyTree, step: Any) -> PyTree:
        """What the stages find."""
        stage = _visit(lambda t, z: field(params, t, z), t, z, step)
        given = (jnp.arange(len(a)), weights_on_each, nodes)
        (slopes, _), _ = lax.scan(stage, (_stack.room(z, len(a)), z), given)
        return slopes

    @jax.custom_vjp
    def end(params: PyTree, t: Any, z: PyTree, step: Any) -> PyTree:
        return _along(z, b, visit(params, t, z, step), step)

    def forth(params: PyTree, t: Any, z: PyTree, step: Any) -> tuple[PyTree, Any]:
        slopes = visit(params, t, z, step)
        return _along(z, b, slopes, step), (params, t, z, step, slopes)

    def back(residuals: Any, grad: PyTree) -> tuple[Any, ...]:
        params, t, z, step, slopes = residuals

        def stage(carry: Any, given: Any) -> tuple[Any, None]:
            sums, by_place, place, (by_params, by_t, by_z) = carry
            row, node, weight, before = given
            # A stage acts on the end and on all later stages.
            sums = _pass_on(sums, row, by_place)
            by_slope = jax.tree.map(lambda g, s: step * (weight * g + s[0]), grad, sums)
            _, pull = jax.vjp(field, params, t + node * step, place)
            more, dt, by_place = pull(by_slope)
            total = (by_params, by_t, by_z)
            total = jax.tree.map(jnp.add, total, (more, dt, by_place))
            # The next place is ready before its turn: then it is computed once.
            return (sums, by_place, _along(z, before, slopes, step), total), None

        zeros = jax.tree.map(jnp.zeros_like, grad)
        total = (*jax.tree.map(jnp.zeros_like, (params, t)), grad)
        place = _along(z, a[-1], slopes, step)
        carry = (_stack.room(grad, len(a)), zeros, place, total)
        before = jnp.roll(weights_on_each, 1, axis=0)[::-1]
        given = (rows, nodes[::-1], weights[::-1], before)
        carry, _ = lax.scan(stage, carry, given)
        return *carry[-1], jnp.zeros_like(step)

    end.defvjp(forth, back)
    return end(params, t, z, step)


def _pass_on(sums: PyTree, weights: Float[Array, " stages"], slope: PyTree) -> PyTree:
    """The sums for the next stage and all after it, with one more slope in each.

    Nothing is indexed or copied: each stage drops the sum that was its own.
    """

    def pass_on(sums: Array, slope: Array) -> Array:
        left = jnp.concatenate([sums[1:], jnp.zeros_like(sums[:1])])
        return left + weights.reshape(-1, *[1] * slope.ndim) * slope

    return jax.tree.map(pass_on, sums, slope)


def _along(z: PyTree, weights: Any, slopes: PyTree, step: Any) -> PyTree:
    """z + step * Σ weight * slope."""
    if isinstance(weights, np.ndarray):
        # A NumPy number would turn single precision into double in 64-bit mode.
        weights = weights.tolist()

    def add(x: Array, slopes: Array) -> Array:
        total = sum(w * k for w, k in zip(weights, slopes, strict=False))
        return x + step * total

    return jax.tree.map(add, z, slopes)


def _columns(a: np.ndarray) -> np.ndarray:
    """Entry j: what stage j - 1 contributes to stages j, j + 1, ... and then 0."""
    n = len(a)
    columns = np.zeros((n, n))
    for j in range(1, n):
        columns[j, : n - j] = a[j:, j - 1]
    return columns


def _matrix(tableau: diffrax.ButcherTableau) -> np.ndarray:
    """The weights (stages, stages) of stages on each other, lower triangle."""
    n = tableau.num_stages
    a = np.zeros((n, n))
    for j, row in enumerate(tableau.a_lower):
        a[j + 1, : j + 1] = row
    return a


def _needed(tableau: diffrax.ButcherTableau) -> tuple[Any, Any, Any]:
    """a, b and c of the stages on which the end of a step depends."""
    a, b, c = _matrix(tableau), np.asarray(tableau.b_sol), [0.0, *tableau.c]
    n = 1 + int(np.flatnonzero(b)[-1])
    return a[:n, :n], b[:n], np.asarray(c)[:n]
