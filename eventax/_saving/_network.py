"""From a network to its file, and back."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping
from typing import Any

import jax

from .._networks._expected import check_network
from ._files import VERSION, read_file, well_formed, write_file
from ._match import check_config, first_difference, leaves_of, name_of
from ._values import (
    EVNN_REGISTRY,
    NEURON_MODEL_REGISTRY,
    NotStorable,
    Reader,
    Writer,
)


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
    check_network("model", model)
    if not isinstance(config, Mapping):
        raise TypeError(
            "`config` must be a dict of the keywords that the network was built with; "
            f"got {config!r}."
        )
    if version != VERSION:
        raise ValueError(
            f"`version` must be {VERSION}, the only format that this eventax writes; "
            f"got {version!r}."
        )
    keywords = {k: v for k, v in config.items() if k not in ("key", "neuron_model")}
    check_config(model, config.get("neuron_model"), keywords)
    write = Writer()
    header = {
        "network": write.describe(type(model)),
        "neuron_model": write.describe(type(model.neuron_model)),
        "config": {},
        "omitted": {},
        "leaves": {name: write(x, name) for name, x in leaves_of(model).items()},
    }
    for name, value in keywords.items():
        try:
            header["config"][name] = write(value, name)
        except NotStorable as error:
            header["omitted"][name] = str(error)
            warnings.warn(
                f"`{name}` is not saved: {error}. Pass it again when loading: "
                f"load_evnn(path, key, {name}=...).",
                stacklevel=2,
            )
    write_file(path, header, write.blocks)


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
    header, blocks = read_file(path)
    read = Reader(
        os.fspath(path),
        blocks,
        evnn_registry=evnn_registry,
        neuron_model_registry=neuron_model_registry,
    )
    with well_formed(path):
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
    with well_formed(path):
        leaves = {name: read(value, name) for name, value in header["leaves"].items()}
    difference = first_difference(leaves, leaves_of(model))
    if difference:
        name, found, built = difference
        raise ValueError(
            f"{path} does not fit the network that its keywords and the overrides "
            f"build: `{name}` is {found} in the file and {built} in the network."
        )
    flat, treedef = jax.tree_util.tree_flatten_with_path(model)
    new = [leaves.get(name_of(place), leaf) for place, leaf in flat]
    return jax.tree.unflatten(treedef, new), config
