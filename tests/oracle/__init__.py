"""Independent truth for the tests: numpy and scipy in float64, no JAX.

`lif` (closed form), `qif` and `ode` (integrated) each have a `simulate` that returns a
`Trace`. `neurons` has every model and wrapper as a `Population`, with a `simulate` of
its own. `finite_differences` differentiates functions of them.
"""

from . import finite_differences, lif, neurons, ode, qif
from .trace import Trace

__all__ = ["Trace", "finite_differences", "lif", "neurons", "ode", "qif"]
