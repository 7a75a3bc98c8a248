"""Values in a file's header, and back: nothing in a file is ever executed.

null, booleans, strings, finite numbers and lists stand for themselves. Anything else
is an object of one entry, which says what it is: {"tuple": [...]}. Classes are named,
and looked up when loading.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .. import _neurons
from .._networks import EvNN, FFEvNN
from .._neurons import NeuronModel

EVNN_REGISTRY: dict[str, type[EvNN]] = {"EvNN": EvNN, "FFEvNN": FFEvNN}
"""Classes of networks that a file can name, by name; the default of `load_evnn`."""
NEURON_MODEL_REGISTRY: dict[str, type[NeuronModel]] = {
    name: value
    for name, value in vars(_neurons).items()
    if name in _neurons.__all__
    and inspect.isclass(value)
    and issubclass(value, NeuronModel)
    and not inspect.isabstract(value)
}
"""Classes of neuron models that a file can name: all built-in ones, by name."""
_BUILT_IN = frozenset({*EVNN_REGISTRY.values(), *NEURON_MODEL_REGISTRY.values()})
# A class made by one of these has `_wrapping` = (wrapper, inner class, options).
_WRAPPERS = ("AMOS", "Refractory")

# By `is`: jnp.float32 == np.float32.
_TYPES: dict[str, Any] = {
    **{t.__name__: t for t in (bool, int, float, complex)},
    **{f"numpy.{t.__name__}": t for t in np.sctypeDict.values()},
    **{
        f"jax.numpy.{t.__name__}": t
        for t in vars(jnp).values()
        if type(t) is type(jnp.float32)
    },
}


class NotStorable(ValueError):
    """A value that has no safe form in a file."""


class Writer:
    """From values to what the header says of them; the bytes of arrays are gathered."""

    def __init__(self):
        self.blocks: list[bytes] = []
        self.size = 0
        self.classes: dict[str, type] = {}

    def __call__(self, x: Any, where: str) -> Any:
        # Exact types: a subclass (an enumeration, a named tuple) would come back as
        # another thing.
        kind = type(x)
        if x is None or kind in (bool, int, str):
            return x
        if kind is float:
            return x if math.isfinite(x) else {"float": repr(x)}
        if kind is list:
            return [self(v, f"{where}[{n}]") for n, v in enumerate(x)]
        if kind is tuple:
            return {"tuple": self(list(x), where)}
        if kind is dict:
            keys = self(list(x), where)
            values = [self(v, f"{where}[{k!r}]") for k, v in x.items()]
            return {"dict": [keys, values]}
        for name, scalar_type in _TYPES.items():
            if x is scalar_type:
                return {"type": name}
        if isinstance(x, type) and issubclass(x, NeuronModel):
            return {"class": self.describe(x)}
        if isinstance(x, np.dtype) and _is_plain(x):
            return {"dtype": _dtype_name(x)}
        if _is_plain(getattr(x, "dtype", None)):
            if isinstance(x, jax.Array):
                return {"jax": self.block(np.asarray(x))}
            if isinstance(x, np.generic):
                return {"scalar": self.block(np.asarray(x))}
            if kind is np.ndarray:
                return {"numpy": self.block(np.asarray(x))}
        raise NotStorable(
            f"{where} is a {kind.__name__}, which has no safe form in a file"
        )

    def block(self, array: np.ndarray) -> list[Any]:
        offset = self.size
        self.blocks.append(array.tobytes())
        self.size += array.nbytes
        return [_dtype_name(array.dtype), list(array.shape), offset]

    def describe(self, cls: type) -> dict[str, Any]:
        """A class: its name, and module if it is a user's; or how it was wrapped."""
        # Not inherited: a subclass of a wrapped class is a class of its own.
        wrap, inner, options = vars(cls).get("_wrapping", (None, None, None))
        wrapper = getattr(wrap, "__name__", None)
        if wrapper in _WRAPPERS:
            told = self(options, wrapper)
            return {"wrapper": wrapper, "of": self.describe(inner), "options": told}
        name = cls.__name__
        if self.classes.setdefault(name, cls) is not cls:
            raise NotStorable(f"two classes are named {name}")
        return {"name": name, "module": None if cls in _BUILT_IN else cls.__module__}


class Reader:
    """From what the header says of values back to the values."""

    def __init__(self, path: str, blocks: bytes, **registries: Mapping[str, Any]):
        self.path, self.blocks, self.registries = path, blocks, registries

    def __call__(self, x: Any, where: str) -> Any:
        if isinstance(x, list):
            return [self(v, where) for v in x]
        if not isinstance(x, dict):
            return x
        ((kind, value),) = x.items()
        match kind:
            case "float":
                return float(value)
            case "tuple":
                return tuple(self(v, where) for v in value)
            case "dict":
                keys, values = self(value, where)
                return dict(zip(keys, values, strict=True))
            case "type":
                return _TYPES[value]
            case "class":
                return self.find(value)
            case "dtype":
                return np.dtype(value)
            case "numpy":
                return self.block(*value)
            case "scalar":
                return self.block(*value)[()]
            case "jax":
                return self.on_device(self.block(*value), where)
        raise ValueError(f"{self.path}: `{where}` is of unknown kind {kind!r}.")

    def block(self, dtype: str, shape: list[int], offset: int) -> np.ndarray:
        end = offset + np.dtype(dtype).itemsize * math.prod(shape)
        if not 0 <= offset <= end <= len(self.blocks):
            raise IndexError(f"an array from byte {offset} to {end}")
        flat = np.frombuffer(self.blocks, dtype, math.prod(shape), offset)
        return flat.reshape(shape).copy()

    def on_device(self, array: np.ndarray, where: str) -> jax.Array:
        if jax.dtypes.canonicalize_dtype(array.dtype) != array.dtype:
            raise ValueError(
                f"{self.path}: `{where}` is an array of {array.dtype}, which needs "
                "JAX's 64-bit mode. Call `jax.config.update('jax_enable_x64', True)` "
                "before anything else."
            )
        return jnp.asarray(array)

    def find(self, told: dict[str, Any], among: str = "neuron_model_registry") -> Any:
        """The class that `describe` described."""
        if "wrapper" in told:
            if told["wrapper"] not in _WRAPPERS:
                raise ValueError(f"{self.path}: unknown wrapper {told['wrapper']!r}.")
            options = self(told["options"], told["wrapper"])
            return getattr(_neurons, told["wrapper"])(self.find(told["of"]), **options)
        name, module = told["name"], told["module"]
        found = self.registries[among].get(name)
        # A user's class may have the name of a built-in one and must not become it.
        if found is None or (module is not None and found in _BUILT_IN):
            raise ValueError(
                f"{self.path} needs the class `{name}` of {module or 'eventax'}, which "
                f"is not in `{among}`. Pass load_evnn(path, key, {among}="
                f"{among.upper()} | {{{name!r}: {name}}}), or the neuron model of the "
                "whole network as neuron_model=..."
            )
        return found

    def check(self, given: Any, told: dict[str, Any]) -> None:
        """That `given` may be the class that `describe` described."""
        if not (isinstance(given, type) and issubclass(given, NeuronModel)):
            raise TypeError(
                f"{self.path}: `neuron_model` must be a class of neuron models; got "
                f"{given!r}."
            )
        saved, here = _title(told), _title(Writer().describe(given))
        if saved == here:
            return
        while "wrapper" in told:
            told = told["of"]
        name = told["name"]
        raise ValueError(
            f"{self.path} holds a network of {saved}, and `neuron_model` is {here}. "
            "Leave `neuron_model` out for a class of eventax, or pass the class that "
            f"was saved. Where `{name}` has another name now, pass "
            f"neuron_model_registry=NEURON_MODEL_REGISTRY | {{{name!r}: ...}} instead."
        )


def _title(told: dict[str, Any]) -> str:
    """A described class as one writes it; modules move, so a user's has none."""
    if "wrapper" not in told:
        whose = "your" if told["module"] else "eventax's"
        return f"{whose} {told['name']}"
    options = told["options"]["dict"]
    pairs = [f", {k}={v!r}" for k, v in zip(*options, strict=True)]
    return f"{told['wrapper']}({_title(told['of'])}{''.join(pairs)})"


def _is_plain(dtype: Any) -> bool:
    """A NumPy dtype whose values are their bytes: no objects, no fields."""
    plain = isinstance(dtype, np.dtype) and not dtype.hasobject
    return plain and dtype.type is not np.void


def _dtype_name(dtype: np.dtype) -> str:
    # Types added to NumPy, bfloat16 for one, are found by their name only.
    return dtype.name if dtype.kind == "V" else dtype.str
