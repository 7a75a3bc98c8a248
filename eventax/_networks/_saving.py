r"""Networks on disk.

A file holds, one after the other:

    eventax network 1\n     the format and its version
    {...}\n                 header in JSON: classes, keywords, names of the leaves
    ...                     arrays, their plain bytes, at the offsets the header tells
    32 bytes                SHA-256 of all of the above

In the header null, booleans, strings, finite numbers and lists stand for themselves.
Anything else is an object of one entry, which says what it is: {"tuple": [...]}.
Classes are named, and looked up when loading: nothing in a file is ever executed.
"""

from __future__ import annotations

import dataclasses
import hashlib
import inspect
import json
import math
import os
import re
import secrets
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from .. import _neurons
from .._neurons import NeuronModel
from .._static import Constant
from ._evnn import EvNN
from ._ffevnn import FFEvNN

_MAGIC = b"eventax network "
_VERSION = 1
_DIGEST_SIZE = hashlib.sha256().digest_size

EVNN_REGISTRY: dict[str, type[EvNN]] = {"EvNN": EvNN, "FFEvNN": FFEvNN}
NEURON_MODEL_REGISTRY: dict[str, type[NeuronModel]] = {
    name: value
    for name, value in vars(_neurons).items()
    if name in _neurons.__all__
    and inspect.isclass(value)
    and issubclass(value, NeuronModel)
    and not inspect.isabstract(value)
}
_BUILT_IN = frozenset({*EVNN_REGISTRY.values(), *NEURON_MODEL_REGISTRY.values()})
# A class made by one of these has `_wrapping` = (name, inner class, options).
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


def save_evnn(
    path: str | os.PathLike[str], model: Any, config: Any, *, version: int = 1
) -> None:
    """Write a network and the keywords it was built with into one file.

    The arrays of `model` are stored as they are now, trained or not. `config` is stored
    exactly: numbers, strings, None, dtypes, arrays (masks, constants of each neuron),
    classes of neuron models, wrapped ones too, and lists, tuples and dicts of these. A
    JAX array of weak type comes back as one of the same dtype.

    What has no safe form in a file (a solver, a controller, a function) is left out
    with a warning that names the keyword; `load_evnn` then asks for it. The file is
    replaced as a whole or not at all.

    Arguments:
        path: where to write.
        model: an `EvNN` or `FFEvNN`, or a subclass whose constructor takes `key` and
            `neuron_model` as they do.
        config: dict of the keywords of the constructor, those of the neuron model
            included; `key` and `neuron_model` in it are skipped.
        version: of the file format; 1 is the only one.

    Raises:
        TypeError: `model` is no network, or `config` no dict.
        ValueError: `version` is unknown; or a network built from `config` would not be
            `model`, but for the values of its arrays.

    Warns:
        UserWarning: a keyword of `config` is left out.

    Example:
        See [`load_evnn`][eventax.io.load_evnn].
    """
    if not isinstance(model, EvNN):
        raise TypeError(f"`model` must be an EvNN or FFEvNN; got {model!r}.")
    if not isinstance(config, Mapping):
        raise TypeError(
            "`config` must be a dict of the keywords that the network was built with; "
            f"got {config!r}."
        )
    if version != _VERSION:
        raise ValueError(
            f"`version` must be {_VERSION}, the only format that this eventax writes; "
            f"got {version!r}."
        )
    keywords = {k: v for k, v in config.items() if k not in ("key", "neuron_model")}
    _check_config(model, config.get("neuron_model"), keywords)
    write = _Writer()
    header = {
        "network": write.describe(type(model)),
        "neuron_model": write.describe(type(model.neuron_model)),
        "config": {},
        "omitted": {},
        "leaves": {name: write(x, name) for name, x in _leaves(model).items()},
    }
    for name, value in keywords.items():
        try:
            header["config"][name] = write(value, name)
        except _NotStorable as error:
            header["omitted"][name] = str(error)
            warnings.warn(
                f"`{name}` is not saved: {error}. Pass it again when loading: "
                f"load_evnn(path, key, {name}=...).",
                stacklevel=2,
            )
    text = json.dumps(header, allow_nan=False).encode("ascii")
    content = b"".join([_MAGIC, b"%d\n" % _VERSION, text, b"\n", *write.blocks])
    _replace(path, content + hashlib.sha256(content).digest())


def load_evnn(
    path: str | os.PathLike[str],
    key: Any,
    *,
    neuron_model: Any = None,
    evnn_registry: Mapping[str, Any] = EVNN_REGISTRY,
    neuron_model_registry: Mapping[str, Any] = NEURON_MODEL_REGISTRY,
    **overrides: Any,
) -> tuple[Any, dict[str, Any]]:
    """Read a network that `save_evnn` wrote; it gives bit-identical results.

    The network is built from the stored keywords, and every array of it is then
    replaced by the stored one. So `key` has no influence on a built-in model, and an
    override of what only says how arrays start, `init_weights` say, none on them.

    Arguments:
        path: the file.
        key: random key with which the network is built, or None.
        neuron_model: the class of the neuron model, for one that is not in the
            registry. Its name, and its wrappers if it has any, must be those of the
            class that was saved; for a class that was renamed since, use the registry.
        evnn_registry: name → class of networks, default `EVNN_REGISTRY`.
        neuron_model_registry: name → class of neuron models, default
            `NEURON_MODEL_REGISTRY`, which holds the built-in ones. For a model of your
            own `NEURON_MODEL_REGISTRY | {"Mine": Mine}`, also where it is wrapped or
            part of a `MultiNeuronModel`.
        **overrides: keywords of the constructor that replace stored ones, or give those
            that could not be stored.

    Returns:
        The network, and its keywords: those stored and the overrides, without `key`
        and `neuron_model`. So
        `type(model)(key=key, neuron_model=type(model.neuron_model), **config)` builds
        a new network of the kind, and `save_evnn(path, model, config)` saves this one.

    Raises:
        ValueError: the file is damaged, of a newer version or none of `save_evnn`; a
            class is not in a registry; `neuron_model` is another class than the one
            that was saved; a keyword that could not be stored is not given; an array
            needs JAX's 64-bit mode; or the arrays do not fit the network.
        TypeError: the constructor does not know an override, or `neuron_model` is no
            class of neuron models.

    Example:
        >>> import tempfile
        >>> from eventax.evnn import EvNN
        >>> from eventax.io import load_evnn, save_evnn
        >>> from eventax.neuron_models import LIF
        >>> config = dict(
        ...     n_neurons=1, max_solver_time=30.0, in_size=1, wmask=[[0], [1]],
        ...     thresh=1.0, tsyn=5.0, tmem=10.0, init_weights=8.0, init_bias=0.0,
        ... )
        >>> net = EvNN(neuron_model=LIF, **config)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     save_evnn(f"{folder}/net.eventax", net, config)
        ...     loaded, config = load_evnn(f"{folder}/net.eventax", key=None)
        >>> loaded.ttfs([[1.0]]) == net.ttfs([[1.0]])
        Array([ True], dtype=bool)
        >>> config["wmask"]
        [[0], [1]]
    """
    header, blocks = _read(path)
    read = _Reader(
        os.fspath(path),
        blocks,
        evnn_registry=evnn_registry,
        neuron_model_registry=neuron_model_registry,
    )
    with _well_formed(path):
        missing = [name for name in header["omitted"] if name not in overrides]
        if missing:
            names = ", ".join(f"`{name}`" for name in missing)
            reasons = "; ".join(header["omitted"][name] for name in missing)
            raise ValueError(
                f"{path} was saved without {names} ({reasons}). Pass it as a keyword: "
                f"load_evnn(path, key, {', '.join(f'{name}=...' for name in missing)})."
            )
        stored = header["config"].items()
        config = {k: read(v, k) for k, v in stored if k not in overrides} | overrides
        network = read.find(header["network"], "evnn_registry")
        if neuron_model is None:
            neuron_model = read.find(header["neuron_model"])
        else:
            read.check(neuron_model, header["neuron_model"])
    # Whatever a model draws is replaced, so that any key will do.
    key = jax.random.PRNGKey(0) if key is None else key
    model = network(key=key, neuron_model=neuron_model, **config)
    with _well_formed(path):
        leaves = {name: read(value, name) for name, value in header["leaves"].items()}
    difference = _first_difference(leaves, _leaves(model))
    if difference:
        name, found, built = difference
        raise ValueError(
            f"{path} does not fit the network that its keywords and the overrides "
            f"build: `{name}` is {found} in the file and {built} in the network."
        )
    flat, treedef = jax.tree_util.tree_flatten_with_path(model)
    new = [leaves.get(_name(place), leaf) for place, leaf in flat]
    return jax.tree.unflatten(treedef, new), config


# Values -------------------------------------------------------------------------------


class _NotStorable(ValueError):
    """A value that has no safe form in a file."""


class _Writer:
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
        raise _NotStorable(
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
        wrapper, inner, options = vars(cls).get("_wrapping", (None, None, None))
        if wrapper in _WRAPPERS:
            told = self(options, wrapper)
            return {"wrapper": wrapper, "of": self.describe(inner), "options": told}
        name = cls.__name__
        if self.classes.setdefault(name, cls) is not cls:
            raise _NotStorable(f"two classes are named {name}")
        return {"name": name, "module": None if cls in _BUILT_IN else cls.__module__}


class _Reader:
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
        saved, here = _title(told), _title(_Writer().describe(given))
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


# Leaves and settings ------------------------------------------------------------------


def _is_data(x: Any) -> bool:
    return isinstance(x, (jax.Array, np.ndarray, np.generic, bool, int, float))


def _name(place: Any) -> str:
    return jax.tree_util.keystr(place).lstrip(".")


def _leaves(model: EvNN) -> dict[str, Any]:
    """Arrays and numbers that the tree `model` holds."""
    flat, _ = jax.tree_util.tree_flatten_with_path(model)
    return {_name(place): leaf for place, leaf in flat if _is_data(leaf)}


def _settings(x: Any, where: str = "") -> Iterator[tuple[str, Any]]:
    """All else that `x` is made of: types of modules, static fields, functions."""
    if not isinstance(x, eqx.Module):
        if not _is_data(x):
            yield where, x
        return
    yield f"type of {where}", type(x)
    for field in dataclasses.fields(x):
        inside = f"{where}.{field.name}".lstrip(".")
        value = getattr(x, field.name, None)
        if field.metadata.get("static", False):
            yield inside, value
            continue
        for place, node in jax.tree_util.tree_leaves_with_path(
            value, is_leaf=lambda node: isinstance(node, eqx.Module)
        ):
            yield from _settings(node, inside + jax.tree_util.keystr(place))


def _first_difference(
    first: dict[str, Any], second: dict[str, Any]
) -> tuple[str, str, str] | None:
    """Name of the first leaf whose shape or dtype differs, and what both have."""
    for name in first | second:
        one, other = _form(first.get(name)), _form(second.get(name))
        if one != other:
            return name, one, other
    return None


def _form(leaf: Any) -> str:
    if leaf is None:
        return "absent"
    if hasattr(leaf, "dtype"):
        return f"{leaf.dtype} {leaf.shape}"
    return f"a {type(leaf).__name__}"


def _equal(a: Any, b: Any) -> bool:
    try:
        return Constant(a) == Constant(b)
    except Exception:  # a user's type that does not compare
        return False


def _check_config(model: EvNN, given: Any, keywords: dict[str, Any]) -> None:
    """That `keywords` build `model`, whatever the key, but for its arrays' values."""
    model_class = type(model.neuron_model)
    if given is not None and given is not model_class:
        raise ValueError(
            f"`config` says neuron_model={given!r}, but the model has {model_class!r}."
        )

    def build() -> EvNN:
        key = jax.random.PRNGKey(0)
        try:
            return type(model)(key=key, neuron_model=model_class, **keywords)
        except Exception as error:
            raise ValueError(
                "`config` must hold the keywords that the network was built with; "
                f"building {type(model).__name__} from it failed: {error}"
            ) from error

    built = build()
    difference = _first_difference(_leaves(model), _leaves(built))
    mine, theirs = dict(_settings(model)), dict(_settings(built))
    names = [n for n in mine | theirs if not _equal(mine.get(n), theirs.get(n))]
    if names and difference is None:
        # What differs from one building to the next tells nothing.
        again = dict(_settings(build()))
        names = [n for n in names if _equal(theirs.get(n), again.get(n))]
        if names:
            name = names[0]
            difference = name, repr(mine.get(name)), repr(theirs.get(name))
    if difference:
        name, there, here = difference
        raise ValueError(
            "`config` must hold all keywords that the network was built with: "
            f"`{name}` is {there} in the model and {here} in what `config` builds."
        )


# Files --------------------------------------------------------------------------------


def _replace(path: str | os.PathLike[str], content: bytes) -> None:
    """Write beside the file and rename: a reader sees the old file or the new one."""
    target = os.path.realpath(path)
    beside = f"{target}.{secrets.token_hex(4)}.tmp"
    try:
        with open(beside, "xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, target)
    finally:
        if os.path.exists(beside):
            os.remove(beside)


def _read(path: str | os.PathLike[str]) -> tuple[dict[str, Any], bytes]:
    """Header and arrays of a file, which is whole."""
    with open(path, "rb") as file:
        content = file.read()
    if not content.startswith(_MAGIC):
        raise ValueError(f"{path} is not a network that eventax.io.save_evnn wrote.")
    version, _, rest = content.removeprefix(_MAGIC).partition(b"\n")
    newer = re.fullmatch(rb"[1-9][0-9]{0,8}", version)
    if newer and int(version) > _VERSION:
        raise ValueError(
            f"{path} has format version {int(version)}, and this eventax reads up to "
            f"{_VERSION}: load it with a newer eventax."
        )
    body, digest = content[:-_DIGEST_SIZE], content[-_DIGEST_SIZE:]
    if hashlib.sha256(body).digest() != digest:
        raise ValueError(
            f"{path} is damaged: its content does not match its checksum, so it was "
            "changed or cut off after it was saved."
        )
    text, _, blocks = rest[: len(rest) - _DIGEST_SIZE].partition(b"\n")
    with _well_formed(path):
        if version != b"%d" % _VERSION:
            raise ValueError(f"version {version[:20]!r}")
        header = json.loads(text)
        _check_header(header)
        return header, blocks


def _check_header(header: Any) -> None:
    """That it has just the parts that `save_evnn` writes."""
    if header.keys() != {"network", "neuron_model", "config", "omitted", "leaves"}:
        raise ValueError(f"its entries are {sorted(header)}")
    forbidden = {"key", "neuron_model"} & (header["config"] | header["omitted"]).keys()
    if forbidden:
        raise ValueError(f"its keywords have {sorted(forbidden)}")


@contextmanager
def _well_formed(path: str | os.PathLike[str]) -> Iterator[None]:
    """Another program may write a right checksum below a header that is none."""
    try:
        yield
    except Exception as error:
        if str(error).startswith(os.fspath(path)):
            raise  # one of ours, which says more
        raise ValueError(
            f"{path} is not a network that eventax.io.save_evnn wrote: its header is "
            f"malformed ({error!r})."
        ) from error
