"""The native core as an operation of JAX."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Array

from .._operation import Form, Sizes, kept

KEEPS = 9  # place in `ints`: whether a history is wanted


class Spec(NamedTuple):
    """What is static of a call; hashable. See native/call.h."""

    dtype: np.dtype
    ints: tuple[int, ...]
    reals: tuple[float, ...]
    linear: tuple[int, ...]
    results: tuple[Form, ...]
    history: tuple[Form, ...]
    reads: tuple[int, ...]

    def forward(self, sizes: Sizes, arguments: Sequence[Any], keeps: bool) -> Any:
        """Results and history; see `Operation`."""
        own = [*self.results, *(kept(form, keeps) for form in self.history)]
        forms = [((*sizes, *shape), dtype) for shape, dtype in own]
        attributes = self._attributes(sizes)
        attributes["ints"][KEEPS] = keeps
        return self._call("forward", forms, arguments, attributes)

    def backward(
        self,
        sizes: Sizes,
        arguments: Sequence[Any],
        history: Sequence[Any],
        by: Sequence[Any],
        wanted: tuple[bool, ...],
        leads: tuple[Sizes, ...],
    ) -> Any:
        """Cotangents; see `Operation`."""
        own = [arguments[place].shape[len(sizes) :] for place in self.linear]
        forms = [
            ((*lead, *(shape if w else [0] * len(shape))), self.dtype)
            for lead, shape, w in zip(leads, own, wanted, strict=True)
        ]
        attributes = self._attributes(sizes)
        attributes["wanted"] = np.asarray(wanted, np.int64)
        return self._call("backward", forms, [*arguments, *history, *by], attributes)

    def _call(
        self,
        name: str,
        forms: Sequence[Any],
        arguments: Sequence[Any],
        attributes: dict[str, Any],
    ) -> list[Array]:
        results = [jax.ShapeDtypeStruct(shape, dtype) for shape, dtype in forms]
        target = f"eventax_{name}_{8 * self.dtype.itemsize}"
        return list(jax.ffi.ffi_call(target, results)(*arguments, **attributes))

    def _attributes(self, sizes: Sizes) -> dict[str, Any]:
        return {
            "batch": np.asarray(sizes, np.int64),
            "ints": np.asarray(self.ints, np.int64),
            "reals": np.asarray(self.reals, np.float64),
        }
