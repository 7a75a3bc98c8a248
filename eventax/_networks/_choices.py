"""Which flow and which gradient memory a network uses."""

from __future__ import annotations

from typing import Any

import diffrax
import equinox as eqx
import jax
import numpy as np
import optimistix as optx

from .._flows import AbstractFlow, EventProp, EventPropAdjoint, Numerical
from .._flows._runge_kutta import take_step
from .._neurons import NeuronModel
from ._checks import check_positive


def choose_flow(
    model: NeuronModel, solver: Any, stepsize: Any, controller: Any, root_finder: Any
) -> AbstractFlow:
    """The model's own flow; numerical if it has none or a solver is given."""
    _check("solver", solver, diffrax.AbstractSolver)
    _check("stepsize_controller", controller, diffrax.AbstractStepSizeController)
    _check("root_finder", root_finder, optx.AbstractRootFinder)
    stepsize = check_positive("solver_stepsize", stepsize)
    own = model.flow()
    if own is not None and solver is None:
        return own
    by_default = controller is None and solver is None
    if by_default:
        controller = default_controller(model.dtype)
    if isinstance(controller, diffrax.ConstantStepSize):
        controller = None
    if isinstance(controller, diffrax.StepTo):
        raise ValueError(
            "`stepsize_controller` must not be diffrax.StepTo: events, not a list, "
            "tell where steps end. Use a fixed `solver_stepsize` or "
            "diffrax.PIDController."
        )
    solver = diffrax.Tsit5() if solver is None else solver
    solver = _with_tolerances(solver, controller, model.dtype)
    if _error_of(solver, model.dtype) is None and controller is not None:
        raise ValueError(
            f"`stepsize_controller` needs a solver that estimates its error; got "
            f"solver={type(solver).__name__}(). Use diffrax.Tsit5(), say, or a fixed "
            "`solver_stepsize` without a controller."
        )
    return Numerical(solver, controller, stepsize, root_finder, in_units=by_default)


def _with_tolerances(
    solver: diffrax.AbstractSolver, controller: Any, dtype: np.dtype
) -> diffrax.AbstractSolver:
    """An implicit solver that leaves its tolerances open takes the controller's."""
    if not isinstance(solver, diffrax.AbstractImplicitSolver):
        return solver
    source = controller if hasattr(controller, "rtol") else default_controller(dtype)
    finder = solver.root_finder
    left_open = diffrax.with_stepsize_controller_tols(optx.Newton)().rtol
    for name in ("rtol", "atol", "norm"):
        if getattr(finder, name, None) is left_open:
            value = getattr(source, name)
            finder = eqx.tree_at(lambda f, n=name: getattr(f, n), finder, value)
    return eqx.tree_at(lambda s: s.root_finder, solver, finder)


def _error_of(solver: diffrax.AbstractSolver, dtype: np.dtype) -> Any:
    """The error estimate of a step, as shapes, None if the solver has none."""

    def step(t: Any, z: Any, h: Any) -> Any:
        return take_step(solver, lambda t, z: -z, t, z, -z, h).error

    x = jax.ShapeDtypeStruct((), dtype)
    try:
        return jax.eval_shape(step, x, x, x)
    except Exception as error:
        raise ValueError(
            "`solver` must be able to integrate one ordinary differential equation, as "
            f"diffrax.Tsit5() is; got {solver!r}."
        ) from error


def default_controller(dtype: np.dtype) -> diffrax.PIDController:
    """Error control of models that are integrated and leave the choice to us.

    The largest error of any neuron counts, not their mean, in units of the model's own.
    """
    rtol, atol = default_tolerances(dtype)
    return diffrax.PIDController(rtol=rtol, atol=atol, norm=optx.max_norm)


def default_tolerances(dtype: np.dtype) -> tuple[float, float]:
    """Relative and absolute, which keep spike times within about 1e-3 ms."""
    return (1e-6, 1e-7) if dtype == np.float32 else (1e-8, 1e-10)


def choose_gradient(
    adjoint: Any, flow: AbstractFlow, dtype: np.dtype
) -> tuple[int | None, AbstractFlow | None]:
    """States to keep for the gradient, twice, and the flow of its own if it has one.

    None leaves it to the engine.
    """
    if adjoint is None:
        return None, None
    if isinstance(adjoint, EventPropAdjoint):
        return None, EventProp(flow, adjoint, *default_tolerances(dtype))
    if not isinstance(adjoint, diffrax.RecursiveCheckpointAdjoint):
        raise ValueError(
            "`adjoint` must be None, eventax.adjoint.EventPropAdjoint(), or "
            "diffrax.RecursiveCheckpointAdjoint(checkpoints=n), which keeps n states "
            f"twice; got {adjoint!r}."
        )
    return adjoint.checkpoints, None


def _check(name: str, value: Any, kind: type) -> None:
    if value is not None and not isinstance(value, kind):
        raise TypeError(
            f"`{name}` must be a {kind.__module__.split('.')[0]} "
            f"{kind.__name__} instance, or None; got {value!r}."
        )
