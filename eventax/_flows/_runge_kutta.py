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
    terms = diffrax.ODETerm(lambda t, z, args: field(t, z))
    state = solver.init(terms, t, t + step, z, None)
    end, error, _, _, result = solver.step(
        terms,
        t,
        t + step,
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
    """A step by a tableau.

    The stages are a loop, since XLA would otherwise evaluate the vector field, with
    all its transcendental functions, again and again in every operation that uses it.
    """
    n = tableau.num_stages
    rows = np.zeros((n - 1, n))
    for j, row in enumerate(tableau.a_lower):
        rows[j, : j + 1] = row
    slopes = jax.tree.map(
        lambda k: jnp.zeros((n, *k.shape), k.dtype).at[0].set(k), slope
    )

    def stage(carry: tuple[PyTree, PyTree], given: Any) -> tuple[Any, None]:
        slopes, _ = carry
        j, row, c = given
        end = _along(z, [row[k] for k in range(n - 1)], slopes, step)
        new = field(t + c * step, end)
        slopes = jax.tree.map(lambda s, k: s.at[j].set(k), slopes, new)
        return (slopes, end), None

    given = (
        jnp.arange(1, n),
        jnp.asarray(rows, t.dtype),
        jnp.asarray(tableau.c, t.dtype),
    )
    (slopes, end), _ = lax.scan(stage, (slopes, z), given)
    if not tableau.ssal:
        end = _along(z, tableau.b_sol, slopes, step)
    if tableau.fsal:
        last = jax.tree.map(lambda s: s[-1], slopes)
    else:
        last = field(t + step, end)
    zero = jax.tree.map(jnp.zeros_like, z)
    return Step(end, _along(zero, tableau.b_error, slopes, step), last)


def step_end(
    solver: diffrax.AbstractSolver, model: Any, t: Any, z: PyTree, step: Any
) -> PyTree:
    """The end of a step of a model's own `slope`, to be differentiated.

    The derivative of an explicit method is worked out by hand, as another loop over its
    stages: differentiating the forward loop costs several times as much.
    """
    tableau = getattr(solver, "tableau", None)
    explicit = isinstance(solver, diffrax.AbstractERK)
    if not (explicit and isinstance(tableau, diffrax.ButcherTableau)):
        return take_step(solver, model.slope, t, z, model.slope(t, z), step).end
    params, static = eqx.partition(model, eqx.is_inexact_array)
    a, b, c = _weights(tableau)
    stages = len(b)
    dtype = step.dtype

    def field(params: PyTree, t: Any, z: PyTree) -> PyTree:
        return eqx.combine(params, static).slope(t, z)

    def visit(params: PyTree, t: Any, z: PyTree, step: Any) -> tuple[PyTree, PyTree]:
        """Where the stages evaluate the field, and what they find."""

        def stage(slopes: PyTree, given: Any) -> tuple[PyTree, PyTree]:
            j, row, node = given
            place = _along(z, row, slopes, step)
            slope = field(params, t + node * step, place)
            return jax.tree.map(lambda s, k: s.at[j].set(k), slopes, slope), place

        zeros = jax.tree.map(lambda x: jnp.zeros((stages, *x.shape), x.dtype), z)
        given = (jnp.arange(stages), jnp.asarray(a, dtype), jnp.asarray(c, dtype))
        return lax.scan(stage, zeros, given)

    @jax.custom_vjp
    def end(params: PyTree, t: Any, z: PyTree, step: Any) -> PyTree:
        slopes, _ = visit(params, t, z, step)
        return _along(z, b, slopes, step)

    def forth(params: PyTree, t: Any, z: PyTree, step: Any) -> tuple[PyTree, Any]:
        slopes, places = visit(params, t, z, step)
        return _along(z, b, slopes, step), (params, t, step, places)

    def back(residuals: Any, grad: PyTree) -> tuple[Any, ...]:
        params, t, step, places = residuals

        def stage(carry: Any, given: Any) -> tuple[Any, None]:
            by_params, by_t, by_places = carry
            j, weight, column, node = given
            # A stage acts on the end and on all later stages.
            zero = jax.tree.map(lambda g: step * weight * g, grad)
            by_slope = _along(zero, column, by_places, step)
            place = jax.tree.map(lambda x: x[j], places)
            _, pull = jax.vjp(field, params, t + node * step, place)
            more, dt, by_place = pull(by_slope)
            by_places = jax.tree.map(lambda s, g: s.at[j].set(g), by_places, by_place)
            return (jax.tree.map(jnp.add, by_params, more), by_t + dt, by_places), None

        zeros = jax.tree.map(jnp.zeros_like, (params, t, places))
        given = (
            jnp.arange(stages),
            jnp.asarray(b, dtype),
            jnp.asarray(a.T, dtype),
            jnp.asarray(c, dtype),
        )
        carry, _ = lax.scan(stage, zeros, given, reverse=True)
        by_params, by_t, by_places = carry
        by_z = jax.tree.map(lambda g, s: g + jnp.sum(s, axis=0), grad, by_places)
        return by_params, by_t, by_z, jnp.zeros_like(step)

    end.defvjp(forth, back)
    return end(params, t, z, step)


def _weights(tableau: diffrax.ButcherTableau) -> tuple[Any, Any, Any]:
    """a, b and c of the stages on which the end of a step depends."""
    n = tableau.num_stages
    a = np.zeros((n, n))
    for j, row in enumerate(tableau.a_lower):
        a[j + 1, : j + 1] = row
    b, c = np.asarray(tableau.b_sol), np.concatenate([[0.0], tableau.c])
    while b[-1] == 0:
        a, b, c = a[:-1, :-1], b[:-1], c[:-1]
    return a, b, c


def _along(z: PyTree, weights: Any, slopes: PyTree, step: Any) -> PyTree:
    """z + step * Σ weight * slope."""
    if isinstance(weights, np.ndarray):
        # A NumPy number would turn single precision into double in 64-bit mode.
        weights = weights.tolist()

    def add(x: Array, slopes: Array) -> Array:
        total = sum(w * k for w, k in zip(weights, slopes, strict=False))
        return x + step * total

    return jax.tree.map(add, z, slopes)
