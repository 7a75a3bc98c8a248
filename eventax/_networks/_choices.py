"""Which flow and which gradient memory a network uses."""

from __future__ import annotations

from typing import Any

import diffrax
import jax
import numpy as np
import optimistix as optx

from .._flows import AbstractFlow, Numerical
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
    if controller is None and solver is None:
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
    if controller is not None and not _estimates_error(solver, model.dtype):
        raise ValueError(
            f"`stepsize_controller` needs a solver that estimates its error; got "
            f"solver={type(solver).__name__}(). Use diffrax.Tsit5(), say, or a fixed "
            "`solver_stepsize` without a controller."
        )
    return Numerical(solver, controller, stepsize, root_finder)


def _estimates_error(solver: diffrax.AbstractSolver, dtype: np.dtype) -> bool:
    x = jax.ShapeDtypeStruct((), dtype)
    decay = lambda t, z: -z  # noqa: E731
    step = jax.eval_shape(
        lambda t, z, h: take_step(solver, decay, t, z, -z, h), x, x, x
    )
    return step.error is not None


def default_controller(dtype: np.dtype) -> diffrax.PIDController:
    """Error control of models that are integrated and leave the choice to us.

    The largest error of any neuron counts, not their mean.
    """
    rtol, atol = (1e-5, 1e-6) if dtype == np.float32 else (1e-8, 1e-10)
    return diffrax.PIDController(rtol=rtol, atol=atol, norm=optx.max_norm)


def choose_checkpoints(adjoint: Any) -> int | None:
    """States to keep for the gradient, twice; None leaves it to the engine."""
    if adjoint is None:
        return None
    if not isinstance(adjoint, diffrax.RecursiveCheckpointAdjoint):
        raise ValueError(
            "`adjoint` must be None or diffrax.RecursiveCheckpointAdjoint(checkpoints="
            f"n), which keeps n states twice; got {adjoint!r}."
        )
    return adjoint.checkpoints


def _check(name: str, value: Any, kind: type) -> None:
    if value is not None and not isinstance(value, kind):
        raise TypeError(
            f"`{name}` must be a {kind.__module__.split('.')[0]} "
            f"{kind.__name__} instance, or None; got {value!r}."
        )
