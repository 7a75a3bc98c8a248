from ._gauges import Gauge, Highest, Integral
from ._run import Layered, LayerPlan, run_layers, run_readout

__all__ = [
    "Gauge",
    "Highest",
    "Integral",
    "LayerPlan",
    "Layered",
    "run_layers",
    "run_readout",
]
