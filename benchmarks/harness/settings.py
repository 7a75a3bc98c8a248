"""Settings of a network out of what a registry entry can say, which is plain values."""

from typing import Any

import diffrax


def network_settings(
    solver: str | None = None,
    rtol: float = 0,
    atol: float | None = None,
    eventprop: bool = False,
    **changes: Any,
) -> dict[str, Any]:
    """Keywords of a network's constructor.

    Args:
        solver: name of a diffrax solver.
        rtol: relative tolerance of a step-size controller.
        atol: its absolute tolerance; without it there is no controller.
        eventprop: gradients by `EventPropAdjoint`.
        changes: other keywords, handed on.
    """
    if solver is not None:
        changes["solver"] = getattr(diffrax, solver)()
    if atol is not None:
        controller = diffrax.PIDController(rtol=rtol, atol=atol)
        changes["stepsize_controller"] = controller
    if eventprop:
        from eventax.adjoint import EventPropAdjoint

        changes["adjoint"] = EventPropAdjoint()
    return changes
