"""A network put together of populations and projections."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Int

from .._arguments import check_count
from ._connectivity import INPUT, Connectivity, Name, unknown


def connect(
    populations: Mapping[str, int] | Sequence[int],
    in_size: int,
    projections: Mapping[Any, Any],
    *,
    outputs: Iterable[Name] | None = None,
    types: Sequence[int] | None = None,
    inhibitory: Iterable[Name] = (),
) -> Connectivity:
    """Populations of neurons, and the projections between them.

    Arguments:
        populations: the size of each, by name; or a list of sizes, whose names are
            0, 1, ... Neurons are numbered in this order.
        in_size: number of input channels M. They are called `"input"`.
        projections: which senders reach which receivers, by the pair of names (sender,
            receiver). True for all to all, or a pattern: an array (senders, receivers)
            of 0 and 1, such as the other functions here make.
        outputs: names of the populations that results show, by default the last one.
        types: the model of each population, a number for `MultiNeuronModel`, in the
            order of populations; by default none is passed on.
        inhibitory: names of the populations whose synapses are negative in `signs`;
            `"input"` may be one.

    Returns:
        The connectivity, for `EvNN(**connectivity, ...)`.

    Raises:
        TypeError: a size or type is no whole number, names are not in a list, or a
            projection is not given by a pair.
        ValueError: a name is unknown, a pattern does not fit the sizes of its
            populations or holds other values than 0 and 1, or `types` does not have one
            number per population.

    Example:
        >>> import jax
        >>> from eventax.connectivity import connect, one_to_one, random
        >>> connect(
        ...     {"a": 10, "b": 10}, 5,
        ...     {
        ...         ("input", "a"): True,
        ...         ("a", "b"): one_to_one(10),
        ...         ("b", "a"): random(jax.random.key(0), 10, 10, probability=0.2),
        ...     },
        ...     inhibitory=["b"],
        ... )
        Connectivity: 20 neurons, 5 inputs, 76 synapses
          a (10)    -> b (10)  10
          b (10)    -> a (10)  16
          input (5) -> a (10)  50
    """
    sizes = named(populations)
    in_size = check_count("in_size", in_size, 0)
    n_neurons = sum(sizes.values())
    if outputs is None:
        outputs = list(sizes)[-1:]
    inhibitory = _names("inhibitory", inhibitory, [*sizes, INPUT])
    mask = np.zeros((n_neurons + in_size, n_neurons), bool)
    shown = np.zeros(n_neurons, bool)
    result = Connectivity(
        sizes, in_size, mask, shown, _types(types, sizes), tuple(inhibitory)
    )
    for name in _names("outputs", outputs, sizes):
        shown[result.neurons(name)] = True
    for pair, pattern in projections.items():
        sender, receiver = check_pair("projections", pair, sizes)
        block = result.block(sender, receiver)
        mask[block] = _pattern(sender, receiver, pattern, mask[block].shape)
    return result


def named(populations: Mapping[str, int] | Sequence[int]) -> dict[Name, int]:
    """Sizes by name, checked."""
    given: dict[Any, int]
    if isinstance(populations, Mapping):
        given = dict(populations)
    else:
        given = dict(enumerate(populations))
    if not given:
        raise ValueError(
            f"`populations` must name at least one; got {populations!r}. Give the size "
            "of each."
        )
    if INPUT in given:
        raise ValueError(
            f"`populations` must not be called {INPUT!r}, which is the name of the "
            f"input channels; got {list(given)}. Give their number as `in_size`."
        )
    return {
        name: check_count(f"populations[{name!r}]", size, 1)
        for name, size in given.items()
    }


def _names(argument: str, names: Any, known: Any) -> list[Name]:
    """A list of known names."""
    if isinstance(names, str) or not isinstance(names, Iterable):
        raise TypeError(f"`{argument}` must be a list of names; got {names!r}.")
    names = list(names)
    for name in names:
        check_name(argument, name, known)
    return names


def check_name(argument: str, name: Any, known: Any) -> None:
    """The name of a population. True and False are none, though they equal 1 and 0."""
    if isinstance(name, bool | np.bool_) or name not in known:
        raise ValueError(unknown(argument, name, known))


def check_pair(argument: str, pair: Any, sizes: Mapping[Name, int]) -> tuple[Any, Any]:
    """Names of a sender and a receiver."""
    if not isinstance(pair, tuple) or len(pair) != 2:
        raise TypeError(
            f"`{argument}` must be given by pairs (sender, receiver); got {pair!r}."
        )
    sender, receiver = pair
    if receiver == INPUT:
        raise ValueError(
            f"`{argument}` must not lead to the input channels, which hear nobody; got "
            f"{pair!r}. The sender comes first."
        )
    check_name(argument, sender, [*sizes, INPUT])
    check_name(argument, receiver, sizes)
    return sender, receiver


def _pattern(
    sender: Name, receiver: Name, pattern: Any, shape: tuple[int, ...]
) -> Bool[np.ndarray, "senders receivers"] | bool:
    if isinstance(pattern, bool | np.bool_):
        return bool(pattern)
    whose = f"`projections[{sender!r}, {receiver!r}]`"
    array = np.asarray(pattern)
    if array.shape != shape:
        raise ValueError(
            f"{whose} must be True or have shape {shape}, as there are {shape[0]} of "
            f"{sender!r} and {shape[1]} of {receiver!r}; got shape {array.shape}."
        )
    if not np.all((array == 0) | (array == 1)):
        raise ValueError(
            f"{whose} must hold only 0 and 1 (absent and present connections); got "
            f"{array[(array != 0) & (array != 1)][0]!r}. Scale the weights instead."
        )
    return array.astype(bool)


def _types(
    types: Sequence[int] | None, sizes: Mapping[Name, int]
) -> Int[np.ndarray, " neurons"] | None:
    if types is None:
        return None
    if len(types) != len(sizes):
        raise ValueError(
            "`types` must hold one number for each population, in their order, "
            f"{list(sizes)}; got {types!r}."
        )
    numbers = [check_count("types", number, 0) for number in types]
    return np.repeat(numbers, list(sizes.values()))
