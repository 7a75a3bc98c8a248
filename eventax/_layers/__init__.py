from ._run import Layered, LayerPlan, run_layers

__all__ = [
    "LayerPlan",
    "Layered",
    "run_layers",
]
