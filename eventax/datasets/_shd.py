"""Spikes recorded from a model of the cochlea."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int

from .._arguments import check_count
from .._spikes import Spikes

PARTS = ("spikes/times", "spikes/units", "labels")


def shd(
    path: str | Path,
    *,
    indices: Sequence[int] | np.ndarray | None = None,
    limit: int | None = None,
    scale: float = 1000.0,
) -> tuple[list[Spikes], Int[np.ndarray, " n"]]:
    """Samples from a file of Spiking Heidelberg Digits or Spiking Speech Commands.

    Such a file is HDF5 and has for each sample the times of its spikes in seconds
    (`spikes/times`), the channel of each, out of 700 (`spikes/units`), and a class
    (`labels`). Needs h5py.

    Arguments:
        path: the file, unpacked (`shd_train.h5`, not `shd_train.h5.gz`). The
            recordings are at https://zenkelab.org/resources/.
        indices: which samples to read and in which order, by default all of them.
        limit: read this many from the start, instead of `indices`.
        scale: factor of the times, by default from seconds to milliseconds.

    Returns:
        A list of `Spikes` (times, channels), one for each sample, as
        `eventax.encoding.list_batch` and `pad_batch` take them, and `labels`, (n,)
        classes.

    Raises:
        ImportError: h5py is not installed.
        FileNotFoundError: there is no such file.
        TypeError: `indices` or `limit` are not whole numbers.
        ValueError: it is not such a file, both `indices` and `limit` are given, `limit`
            is negative, or an index is out of range.

    Reference:
        Cramer, Stradmann, Schemmel and Zenke, The Heidelberg spiking data sets for the
        systematic evaluation of spiking neural networks, IEEE Trans Neural Netw Learn
        Syst 33 (2022) 2744.

    Example:
        A file of this layout with one sample:

        >>> import tempfile, pathlib, h5py, numpy as np
        >>> from eventax.datasets import shd
        >>> from eventax.encoding import pad_batch
        >>> path = pathlib.Path(tempfile.mkdtemp()) / "shd.h5"
        >>> with h5py.File(path, "w") as file:
        ...     for name, dtype in (("times", np.float16), ("units", np.uint16)):
        ...         kind = h5py.vlen_dtype(dtype)
        ...         _ = file.create_dataset(f"spikes/{name}", (1,), dtype=kind)
        ...     file["spikes/times"][0] = [0.25, 0.5]
        ...     file["spikes/units"][0] = [3, 699]
        ...     file["labels"] = [7]
        >>> samples, labels = shd(path)
        >>> samples, labels
        ([Spikes(times=array([250., 500.], dtype=float32),
                 channels=array([  3, 699]))], array([7]))
        >>> pad_batch(samples, n_channels=700).shape
        (1, 700, 1)
    """
    h5py = _h5py()
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(
            f"`path` must be a file; there is none at {path}. SHD and SSC are at "
            "https://zenkelab.org/resources/, to be unpacked with gunzip."
        )
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        raise ValueError(
            f"{path} must be an HDF5 file, and cannot be read as one: {error}. If its "
            "name ends in .gz, unpack it with gunzip."
        ) from error
    with file:
        times, units, labels = _parts(path, file)
        chosen = _chosen(indices, limit, len(labels))
        samples = [_sample(path, k, times[k], units[k], scale) for k in chosen.tolist()]
        return samples, np.asarray(labels[:], int)[chosen]


def _h5py() -> Any:
    try:
        return importlib.import_module("h5py")
    except ImportError as error:
        raise ImportError(
            "`shd` needs the package h5py: `pip install eventax[data]`."
        ) from error


def _parts(path: Path, file: Any) -> list[Any]:
    missing = [name for name in PARTS if name not in file]
    if missing:
        raise ValueError(
            f"{path} must have `spikes/times`, `spikes/units` and `labels`, as files "
            f"of SHD and SSC do; there is no `{missing[0]}` in it."
        )
    parts = [file[name] for name in PARTS]
    lengths = [len(part) for part in parts]
    if len(set(lengths)) > 1:
        raise ValueError(
            f"{path} must have as many entries in `spikes/times`, `spikes/units` and "
            f"`labels`; got {lengths}."
        )
    return parts


def _chosen(indices: Any, limit: int | None, n: int) -> Int[np.ndarray, " chosen"]:
    if limit is not None:
        limit = check_count("limit", limit, 0)
        if indices is not None:
            raise ValueError(
                "`indices` and `limit` must not both be given; got "
                f"{np.size(indices)} indices and `limit` = {limit}. Leave out one."
            )
        return np.arange(min(limit, n))
    if indices is None:
        return np.arange(n)
    chosen = np.asarray(indices)
    if chosen.ndim != 1:
        raise ValueError(
            f"`indices` must be a list, of one dimension; got {indices!r}."
        )
    if len(chosen) and not np.issubdtype(chosen.dtype, np.integer):
        raise TypeError(
            "`indices` must be whole numbers, the places of samples in the file; got "
            f"dtype {chosen.dtype}. Use `np.flatnonzero(indices)` on a mask."
        )
    chosen = chosen.astype(int)
    wrong = chosen[(chosen < 0) | (chosen >= n)]
    if len(wrong):
        raise ValueError(
            f"`indices` must lie between 0 and {n - 1}, as the file has {n} samples; "
            f"got {wrong[0]}."
        )
    return chosen


def _sample(path: Path, k: int, times: Any, units: Any, scale: float) -> Spikes:
    if len(times) != len(units):
        raise ValueError(
            f"{path} must have as many times as units in each sample; sample {k} has "
            f"{len(times)} and {len(units)}."
        )
    # Files hold half precision, which is too coarse for milliseconds.
    exact = np.asarray(times, np.float32) * np.float32(scale)
    return Spikes(exact, np.asarray(units, int))
