"""One step of a diffrax solver."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import diffrax
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

VectorField = Callable[[Any, PyTree], PyTree]


class Step(NamedTuple):
    """End of a step, its estimated error (None if the solver has no estimate), and
    the slope there."""

    end: PyTree
    error: PyTree | None
    slope: PyTree


def take_step(
    solver: diffrax.AbstractSolver,
    field: VectorField,
    t: Float[Array, ""],
    z: PyTree,
    slope: PyTree,
    step: Float[Array, ""],
) -> Step:
    """From (t, z), where the slope is known, to t + step.

    The tableau of an explicit Runge-Kutta method is written out here: on the small
    states of a neuron population that is several times faster than a loop over stages.
    """
    if isinstance(solver, diffrax.Euler):
        end = _along(z, [(1.0, slope)], step)
        return Step(end, None, field(t + step, end))
    if isinstance(solver, diffrax.AbstractERK):
        return _explicit(solver.tableau, field, t, z, slope, step)
    terms = diffrax.ODETerm(lambda t, z, args: field(t, z))
    state = solver.init(terms, t, t + step, z, None)  # pyright: ignore
    end, error, _, _, result = solver.step(
        terms,  # pyright: ignore
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
    slopes = [slope]
    end = z
    for row, c in zip(tableau.a_lower, tableau.c, strict=True):
        end = _along(z, list(zip(row, slopes, strict=True)), step)
        slopes.append(field(t + float(c) * step, end))
    if not tableau.ssal:
        end = _along(z, list(zip(tableau.b_sol, slopes, strict=True)), step)
    last = slopes[-1] if tableau.fsal else field(t + step, end)
    zero = jax.tree.map(jnp.zeros_like, z)
    error = _along(zero, list(zip(tableau.b_error, slopes, strict=True)), step)
    return Step(end, error, last)


def _along(z: PyTree, weighted: list[tuple[Any, PyTree]], step: Any) -> PyTree:
    """z + step * Σ weight * slope."""
    weighted = [(float(w), k) for w, k in weighted if w != 0]
    weights = [w for w, _ in weighted]

    def add(x: Array, *slopes: Array) -> Array:
        total = sum(w * k for w, k in zip(weights, slopes, strict=True))
        return x + step * total

    return jax.tree.map(add, z, *(k for _, k in weighted))
