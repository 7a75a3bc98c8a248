r"""What nodes of neurons mean: the same equation in NIR and here.

`CubaLIF`, $\tau_s I' = -I + w_{in} S$, $\tau_m v' = v_{leak} - v + r I$, is `LIF` or
`PLIF` with $i = r I$ and $ic = v_{leak}$; `CubaLI`, the same without a threshold, is
`LI`; `LIF`, $\tau v' = v_{leak} - v + r S$ with a reset to 0, is `ALIF` with a constant
threshold, and `IF`, $v' = r S$, the same with an infinite $\tau_m$.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from .._neurons import ALIF, LI, LIF, PLIF, NeuronModel
from ._conventions import Convention

Arrays = dict[str, np.ndarray]

# What a graph may hold and no model here is.
STRANGE = {
    "I": "it integrates without a leak and never fires",
    "LI": "it never fires, and what arrives is a jump of its potential",
    "Threshold": "it has no state",
}


class Neurons(NamedTuple):
    """A node of neurons in the terms of this package, (n,) arrays in double precision.

    Times are those of the network.
    """

    model: type[NeuronModel]
    constants: Arrays
    """Keywords of the model."""
    ic: np.ndarray
    gain: np.ndarray
    """What a weight is multiplied by."""
    bias_gain: np.ndarray | None
    """What a constant input is multiplied by to be part of ic; None: it cannot be."""


# Reading ---------------------------------------------------------------------------

PARAMETERS = {
    "CubaLIF": ("tau_syn", "tau_mem", "r", "v_leak", "v_threshold", "v_reset", "w_in"),
    "CubaLI": ("tau_syn", "tau_mem", "r", "v_leak", "w_in"),
    "LIF": ("tau", "r", "v_leak", "v_threshold", "v_reset"),
    "IF": ("r", "v_threshold", "v_reset"),
}
_POSITIVE = ("tau", "tau_syn", "tau_mem")


def parameters(name: str, node: Any) -> Arrays:
    """A node's arrays, with the shape that most of them have."""
    kind = type(node).__name__
    arrays = {}
    for key in PARAMETERS[kind]:
        value = getattr(node, key)
        arrays[key] = numbers(
            f"`{key}` of node '{name}'", 0.0 if value is None else value
        )
        if key in _POSITIVE and not np.all(arrays[key] > 0):
            raise ValueError(
                f"`{key}` of node '{name}' must be positive; got {value!r}."
            )
    shapes = {a.shape for a in arrays.values() if a.ndim}
    if len(shapes) > 1:
        told = ", ".join(f"{key} {a.shape}" for key, a in arrays.items())
        raise ValueError(
            f"The parameters of node '{name}' ({kind}) must all have one shape, that "
            f"of the layer; got {told}."
        )
    shape = shapes.pop() if shapes else ()
    return {key: np.broadcast_to(a, shape) for key, a in arrays.items()}


def numbers(what: str, value: Any) -> np.ndarray:
    """Finite numbers as an array of their own floating-point type."""
    try:
        array = np.asarray(value)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ValueError(f"{what} must be real numbers; got {value!r}.") from error
    if array.dtype.kind not in "fiub":
        raise ValueError(f"{what} must be real numbers; got dtype {array.dtype}.")
    array = array.astype(np.result_type(array.dtype, np.float32))
    if not np.all(np.isfinite(array)):
        raise ValueError(f"{what} must be finite; got {value!r}.")
    return array


def read_neurons(
    name: str, kind: str, arrays: Arrays, convention: Convention
) -> Neurons:
    """The neurons of a node, whose `parameters` have the shape of the layer."""
    given = {key: a.ravel() for key, a in arrays.items()}
    exact = {key: a.astype(np.float64) for key, a in given.items()}
    if kind in ("LIF", "IF"):
        return _read_delta(name, kind, given, exact, convention)
    constants = {
        "tsyn": exact["tau_syn"] * convention.scale,
        "tmem": exact["tau_mem"] * convention.scale,
    }
    gain = exact["r"] * convention.strength(given["w_in"], given["tau_syn"])
    if kind == "CubaLI":
        return Neurons(LI, constants, exact["v_leak"], gain, None)
    _check_reset(name, exact)
    constants |= {"thresh": exact["v_threshold"], "vreset": exact["v_reset"]}
    return Neurons(LIF, constants, exact["v_leak"], gain, None)


def _read_delta(
    name: str, kind: str, given: Arrays, exact: Arrays, convention: Convention
) -> Neurons:
    _check_reset(name, exact)
    if np.any(exact["v_reset"] != 0):
        raise ValueError(
            f"`v_reset` of node '{name}' ({kind}) must be 0: here neurons whose "
            "potential itself jumps start at 0 and are reset to it; got "
            f"{exact['v_reset']!r}."
        )
    one = np.ones_like(given["r"])
    leaks = kind == "LIF"
    constants = {
        "tmem": exact["tau"] * convention.scale if leaks else np.inf * one,
        "b0": exact["v_threshold"],
        # The threshold stays where it is, so its time constant does not matter.
        "beta": 0 * one,
        "ta": one,
    }
    # Without a leak r is all that a pulse is multiplied by.
    gain = convention.strength(given["r"], given["tau"] if leaks else one)
    if not leaks:
        return Neurons(ALIF, constants, 0 * exact["r"], gain, None)
    bias_gain = None if convention.spike == "jump" else exact["r"]
    return Neurons(ALIF, constants, exact["v_leak"], gain, bias_gain)


def _check_reset(name: str, exact: Arrays) -> None:
    if not np.all(exact["v_reset"] < exact["v_threshold"]):
        raise ValueError(
            f"`v_reset` of node '{name}' must be below `v_threshold`, or a neuron "
            f"fires without end; got {exact['v_reset']!r} and {exact['v_threshold']!r}."
        )


# Writing ---------------------------------------------------------------------------


class Written(NamedTuple):
    """Neurons in the terms of NIR, (n,) arrays of the network's precision."""

    kind: str
    parameters: Arrays
    gain: np.ndarray
    """What the weights are to be multiplied by."""


def write_neurons(
    model: NeuronModel, places: np.ndarray, convention: Convention
) -> Written:
    """The node of some neurons of a model."""
    writer = WRITERS.get(type(model))
    if writer is None:
        raise ValueError(
            f"`network` must be of LIF, PLIF, LI, or ALIF whose threshold does not "
            f"adapt, the models that NIR has a node for; it has {type(model).__name__}."
        )
    n_neurons = model.weights.shape[1]  # pyright: ignore[reportAttributeAccessIssue]

    def chosen(value: Any) -> np.ndarray:
        array = np.asarray(value).astype(model.dtype)
        return np.broadcast_to(array, (n_neurons,))[places].copy()

    def time(value: Any) -> np.ndarray:
        return (chosen(value) / convention.scale).astype(model.dtype)

    return writer(model, chosen, time, convention)


Pick = Callable[[Any], np.ndarray]


def _write_cuba(
    model: Any, chosen: Pick, time: Pick, convention: Convention
) -> Written:
    tmem, tsyn = (time(tau) for tau in model._time_constants())
    parameters = {
        "tau_syn": tsyn,
        "tau_mem": tmem,
        "r": np.ones_like(tmem),
        "v_leak": chosen(model.ic),
        "w_in": convention.unit_strength(tsyn).astype(model.dtype),
    }
    if type(model) is LI:
        return Written("CubaLI", parameters, np.ones_like(tmem))
    parameters["v_threshold"] = chosen(model.thresh.value)
    parameters["v_reset"] = chosen(model.vreset.value)
    return Written("CubaLIF", parameters, np.ones_like(tmem))


def _write_delta(
    model: Any, chosen: Pick, time: Pick, convention: Convention
) -> Written:
    if np.any(model.beta.value != 0) or model.reset_grad_preserve:
        raise ValueError(
            "`network` has ALIF neurons that NIR has no node for: its LIF has a "
            "threshold that does not adapt, `beta=0`, and is reset to 0, "
            f"`reset_grad_preserve=False`; got beta={model.beta.value!r}, "
            f"reset_grad_preserve={model.reset_grad_preserve!r}."
        )
    tau, ic = time(model.tmem.value), chosen(model.ic)
    threshold, gain = chosen(model.b0.value), chosen(model.rm.value)
    leaks = np.isfinite(tau)
    if not leaks.any():
        unit = convention.unit_strength(np.ones_like(tau)).astype(model.dtype)
        parameters = {
            "r": unit,
            "v_threshold": threshold,
            "v_reset": np.zeros_like(tau),
        }
        return Written("IF", parameters, gain)
    if not leaks.all():
        raise ValueError(
            "`network` has ALIF neurons with and without a leak in one layer, for "
            f"which NIR has two kinds of node; got tmem={model.tmem.value!r}."
        )
    parameters = {
        "tau": tau,
        "r": convention.unit_strength(tau).astype(model.dtype),
        "v_leak": ic,
        "v_threshold": threshold,
        "v_reset": np.zeros_like(tau),
    }
    return Written("LIF", parameters, gain)


WRITERS: dict[type[NeuronModel], Callable[..., Written]] = {
    LIF: _write_cuba,
    PLIF: _write_cuba,
    LI: _write_cuba,
    ALIF: _write_delta,
}
