"""Flow by numerical integration, for any neuron that states its dynamics."""

from __future__ import annotations

from math import ceil
from typing import Any, NamedTuple

import diffrax
import jax
import jax.lax as lax
import jax.numpy as jnp
import optimistix as optx
from jaxtyping import Array, Bool, PyTree

from ._base import AbstractFlow, Gaps, Limits, Scalar, Segment, rounding
from ._roots import first_rise
from ._runge_kutta import Step, step_end, take_step

# Solvers of up to third order are no better than the cubic between the ends of a step.
# With better ones a crossing must lie this near to the end, relative to the step: there
# the cubic's error is the smaller by the square of it.
CUBIC_ORDER = 3
NEAR = 0.1


# Of the distance to threshold at the start: what counts as no change of a state at all.
NOTHING = 1e-3


class Notes(NamedTuple):
    """Step sizes between segments."""

    usual: Scalar  # the next step if nothing shortens it
    aim: Scalar  # where a crossing is expected within the next step, inf if none
    controller: PyTree
    largest: PyTree  # each channel has been so far; None if errors count as they are


class Numerical(AbstractFlow):
    """Steps of a diffrax solver, fixed or under a step-size controller.

    Between the ends of a step runs a cubic with the values and slopes there. It shows
    whether and where a gap rises through 0, also if it falls again before the end, and
    is the state there, as far as it is as good as the solver. Otherwise a step that
    ends near the crossing is tried next: so spike times have the precision of the
    solver. With a `root_finder`, that one searches for the step instead. A segment is
    one trial.
    """

    solver: diffrax.AbstractSolver
    controller: diffrax.AbstractStepSizeController | None  # None: fixed steps
    stepsize: float
    root_finder: optx.AbstractRootFinder | None
    in_units: bool = False  # whether errors count in units of the model's own

    def likely_steps(self, span: float) -> int:
        return 8192 if self.controller is not None else ceil(span / self.stepsize)

    def remember(self, model: Any, t: Scalar, z: PyTree) -> Notes:
        first, state = jnp.asarray(self.stepsize, t.dtype), ()
        if self.controller is not None:
            start = self._origin(t)
            end, state = self.controller.init(
                self._terms(model, t - start),
                start,
                start + first,
                z,
                first,
                None,
                _call,
                self._order(),
            )
            first = jnp.asarray(end - start, t.dtype)
        state = jax.tree.map(jnp.asarray, state)
        largest = None
        if self.in_units:
            least = NOTHING * jnp.max(jnp.abs(model._gap(t, z)), initial=0)
            least = jnp.maximum(least, jnp.finfo(t.dtype).tiny)
            start = jax.tree.map(lambda x: jnp.full(x.shape[1:], least, x.dtype), z)
            largest = _larger(start, z)
        return Notes(first, jnp.asarray(jnp.inf, t.dtype), state, largest)

    def advance(self, model: Any, t: Scalar, z: PyTree, route: Scalar) -> PyTree:
        # In one step, without interpolation: as good, and simpler to differentiate.
        return step_end(self.solver, model, t, z, route)

    def find(
        self,
        model: Any,
        t: Scalar,
        z: PyTree,
        memory: Notes,
        limits: Limits,
        alive: Bool[Array, " neurons"],
    ) -> Segment:
        whole, furthest, quiet = limits
        step = jnp.minimum(jnp.minimum(memory.usual, memory.aim), whole)
        slope = model._slope(t, z)
        gap, rate = self.gap_rate(model, t, z, slope)
        trial = take_step(self.solver, model._slope, t, z, slope, step)
        keep, usual, state, largest = self._control(model, t, z, step, trial, memory)
        last = step >= whole
        tried = t + step
        end_gap, end_rate = self.gap_rate(model, tried, trial.end, trial.slope)
        inner = first_rise(gap, rate * step, end_gap, end_rate * step)
        rising = alive & (gap < 0)
        # A step aimed at a crossing ends there but for rounding, on either side.
        inner = jnp.where((inner > 1) & (end_gap >= 0), 1, inner)
        inner = jnp.where(rising & (inner <= 1), inner * step, jnp.inf)
        # What rounding leaves uncertain of lengths here.
        blur = rounding(quiet + step)
        reach = (1.0 if self._cubic_will_do() else NEAR) * step + blur

        if self.root_finder is not None:
            step, trial = self._search(model, t, z, slope, step, trial, inner, keep)
            tried = t + step
            end_gap, end_rate = self.gap_rate(model, tried, trial.end, trial.slope)
            last = last & (step >= whole)

        # From the step's end, by the parabola there.
        safe = jnp.where(step > 0, step, 1)
        bend = (2 * rate + 4 * end_rate - 6 * (end_gap - gap) / safe) / safe
        root = jnp.sqrt(jnp.maximum(end_rate**2 - 2 * end_gap * bend, 0))
        away = -2 * end_gap / jnp.where(end_rate > 0, end_rate + root, 1)
        # Just behind the end counts too: the next step would start there. Behind the
        # bound only what rounding put there.
        margin = jnp.where(last, furthest - whole, NEAR**2 * step + blur)
        behind = rising & (end_rate > 0) & (away > 0) & (away <= margin)
        waits = jnp.where(behind, step + away, inner)
        wait = jnp.min(waits)
        above = alive & (gap >= 0)
        jumped = jnp.any(above)
        spikes = keep & (wait < jnp.inf) & (wait >= step - reach)
        misses = keep & (wait < step - reach) & (step > 0)
        stays = jumped | misses | ~keep
        length = jnp.where(spikes, jnp.clip(wait, 0, furthest), step)
        length = jnp.where(stays, 0, length)
        shift = jnp.where(spikes & ~stays, length - step, 0)
        end = _between(z, slope, trial, step, shift)
        # A step that cannot be told from none: the state diverges.
        lost = ~keep & (usual <= blur)
        # Nor one too short to be told from none, which would be taken for ever.
        tiny = step <= jnp.finfo(step.dtype).eps * quiet
        lost = lost | (~spikes & ~stays & ~last & tiny)
        aim = jnp.where(misses, jnp.maximum(wait, blur), jnp.inf)
        new = Notes(usual, aim, state, largest)
        return Segment(
            length=jnp.where(lost, jnp.nan, length),
            route=jnp.where(stays, 0, step + shift),
            end=jax.tree.map(lambda a, b: jnp.where(stays, a, b), z, end),
            crossed=jnp.where(jumped, above, spikes & (waits <= wait)),
            jumped=jumped,
            memory=jax.tree.map(
                lambda new, old: jnp.where(jumped, old, new), new, memory
            ),
        )

    def _cubic_will_do(self) -> bool:
        order = self.solver.order(None)
        return self.root_finder is None and order is not None and order <= CUBIC_ORDER

    def _control(
        self, model: Any, t: Scalar, z: PyTree, step: Scalar, trial: Step, memory: Notes
    ) -> tuple[Bool[Array, ""], Scalar, PyTree, PyTree]:
        """Whether to keep a step, the next one, the controller's state, and sizes."""
        finite = [jnp.all(jnp.isfinite(x)) for x in jax.tree.leaves(trial.end)]
        finite = jnp.all(jnp.stack(finite))
        if self.controller is None:
            # Nothing may shorten a fixed step: a state that is not finite is an error.
            return finite, jnp.where(finite, memory.usual, 0), memory.controller, None
        states, largest = (z, trial.end, trial.error), memory.largest
        if self.in_units:
            # A step that is too long may lead anywhere.
            largest = _larger(largest, z)
            units = model.units(largest)
            states = [jax.tree.map(jnp.divide, x, units) for x in states]
        before, after, error = states
        start = self._origin(t)
        keep, start, end, _, state, _ = self.controller.adapt_step_size(
            start,
            start + step,
            before,
            after,
            None,
            error,
            self._order(),
            memory.controller,
        )
        # A step of no length proves nothing.
        keep = jnp.asarray((keep & finite) | (step <= 0))
        offered = jnp.where(finite, end - start, step / 5).astype(step.dtype)
        # A step that an event cut short says little about the usual one.
        kept = jnp.where(step < memory.usual, memory.usual, offered)
        usual = jnp.where(keep, kept, jnp.minimum(offered, step / 2))
        state = jax.tree.map(
            lambda new, old: jnp.where(keep & (step > 0), new, old).astype(old.dtype),
            state,
            memory.controller,
        )
        return keep, jnp.where(step > 0, usual, memory.usual), state, largest

    def _search(
        self,
        model: Any,
        t: Scalar,
        z: PyTree,
        slope: PyTree,
        step: Scalar,
        trial: Step,
        inner: Gaps,
        keep: Bool[Array, ""],
    ) -> tuple[Scalar, Step]:
        """The step to the first crossing by the user's root finder."""
        wait = jnp.min(inner)
        who = inner <= wait
        hits = keep & (wait < jnp.inf)
        half = 0.5 * step

        def gap(step: Scalar, _: Any) -> Scalar:
            # Its derivative by the step is the rate at the end.
            fixed = lax.stop_gradient(step)
            end = take_step(self.solver, model._slope, t, z, slope, fixed)
            gaps, rates = self.gap_rate(model, t + fixed, end.end, end.slope)
            gaps = gaps + lax.stop_gradient(rates) * (step - fixed)
            # A finder that wants a change of sign gets one where nothing is sought.
            return jnp.where(hits, jnp.max(jnp.where(who, gaps, -jnp.inf)), step - half)

        found = optx.root_find(
            gap,
            self.root_finder,  # pyright: ignore[reportArgumentType]
            jnp.where(hits, wait, step),
            options={"lower": jnp.zeros_like(step), "upper": step},
            throw=False,
        ).value
        found = jnp.where(hits & jnp.isfinite(found), jnp.clip(found, 0, step), step)
        found = lax.stop_gradient(found)
        there = take_step(self.solver, model._slope, t, z, slope, found)
        pick = lambda a, b: jax.tree.map(lambda x, y: jnp.where(hits, x, y), a, b)  # noqa: E731
        return found, Step(
            pick(there.end, trial.end), trial.error, pick(there.slope, trial.slope)
        )

    def _origin(self, t: Scalar) -> Scalar:
        """Where a step is said to begin: at 0, where its length is most precise.

        Other controllers may have times at which they want a step to end.
        """
        of_length = isinstance(self.controller, diffrax.PIDController)
        return jnp.zeros_like(t) if of_length else t

    def _terms(self, model: Any, origin: Scalar) -> diffrax.ODETerm:
        return diffrax.ODETerm(lambda s, z, args: model._slope(origin + s, z))

    def _order(self) -> Any:
        return self.solver.error_order(None)


def _between(
    z: PyTree, slope: PyTree, trial: Step, step: Scalar, shift: Scalar
) -> PyTree:
    """The cubic with values and slopes of both ends, `shift` away from the second."""
    x = jnp.where(step > 0, shift / jnp.where(step > 0, step, 1), 0)

    def cubic(start: Array, start_slope: Array, end: Array, end_slope: Array) -> Array:
        rise, run = end - start, step * x
        bend = run * (end_slope + start_slope) - 2 * x * rise
        lean = run * (2 * end_slope + start_slope) - 3 * x * rise
        return end + shift * end_slope + x * (lean + x * bend)

    return jax.tree.map(cubic, z, slope, trial.end, trial.slope)


def _larger(largest: PyTree, z: PyTree) -> PyTree:
    """Each channel's largest size, with that of any neuron in z."""
    return jax.tree.map(
        lambda most, x: jnp.maximum(most, jnp.max(jnp.abs(x), axis=0)), largest, z
    )


def _call(terms: Any, t: Any, z: PyTree, args: Any) -> PyTree:
    return terms.vf(t, z, args)
