"""Input spikes in the one form that engines know: a list of events."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .._flows import Clock, Events
from .._spikes import PackedSpikes, Spikes


def as_spikes(name: str, value: Any, in_size: int, dtype: Any) -> Events:
    """Times (E,) and channels (E,) of what a user gave.

    That is `Spikes`, `PackedSpikes`, (M, K) times or None.

    Entries without a spike have the time `inf` and channel 0. Whether channels are in
    range is seen at run time.
    """
    if value is None:
        return Events(Clock.of(np.zeros(0), dtype), jnp.zeros((0,), jnp.int32))
    if isinstance(value, PackedSpikes):
        value = _unpacked(name, value, in_size)
    if isinstance(value, Spikes):
        return _checked(name, value, in_size, dtype)
    array = jnp.asarray(value)
    if array.ndim != 2 or array.shape[0] != in_size:
        raise ValueError(
            f"`{name}` must have shape (in_size, spikes per input) = ({in_size}, K), "
            f"padded with `inf`, or be `eventax.Spikes`; got shape {array.shape}. Use "
            "`jax.vmap` for a batch."
        )
    _check_real(name, array)
    channels = np.repeat(np.arange(in_size, dtype=np.int32), array.shape[1])
    times = jax.tree.map(jnp.ravel, Clock.of(value, dtype))
    return Events(times, jnp.asarray(channels))


def _unpacked(name: str, packed: PackedSpikes, in_size: int) -> Spikes:
    times, counts = map(jnp.asarray, packed)
    if times.ndim != 1 or counts.shape != (in_size,):
        raise ValueError(
            f"`{name}` as `PackedSpikes` must have times of shape (E,) and counts of "
            f"shape (in_size,) = ({in_size},); got {times.shape} and {counts.shape}. "
            "Use `jax.vmap` for a batch."
        )
    if not jnp.issubdtype(counts.dtype, jnp.integer):
        raise TypeError(
            f"`{name}.counts` must be whole numbers, how many spikes each input has; "
            f"got dtype {counts.dtype}."
        )
    return packed.as_list()


def _checked(name: str, spikes: Spikes, in_size: int, dtype: Any) -> Events:
    times, channels = map(jnp.asarray, spikes)
    if times.ndim != 1 or channels.shape != times.shape:
        raise ValueError(
            f"`{name}` as `Spikes` must have times and channels of one shape (E,); got "
            f"{times.shape} and {channels.shape}. Use `jax.vmap` for a batch."
        )
    _check_real(f"{name}.times", times)
    if not jnp.issubdtype(channels.dtype, jnp.integer):
        raise TypeError(
            f"`{name}.channels` must be whole numbers, the index of an input; got "
            f"dtype {channels.dtype}."
        )
    if in_size == 0 and times.size > 0:
        raise ValueError(
            f"`{name}` must be None or empty, as the network has no input (`in_size` "
            f"is 0); got {times.size} events."
        )
    channels = jnp.where(times == jnp.inf, 0, channels).astype(jnp.int32)
    return Events(Clock.of(spikes.times, dtype), channels)


def _check_real(name: str, array: Any) -> None:
    if not (
        jnp.issubdtype(array.dtype, jnp.floating)
        or jnp.issubdtype(array.dtype, jnp.integer)
    ):
        raise TypeError(f"`{name}` must hold real numbers; got dtype {array.dtype}.")
