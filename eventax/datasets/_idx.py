"""Files in the IDX format of MNIST."""

from __future__ import annotations

import gzip
import math
import zlib
from pathlib import Path

import numpy as np
from jaxtyping import Int, UInt8

UNSIGNED_BYTE = 8


def idx_images(path: str | Path) -> UInt8[np.ndarray, "n rows columns"]:
    """Grey images from an IDX file, as MNIST and Fashion-MNIST come.

    Arguments:
        path: the file, compressed by gzip or not.

    Returns:
        (n, rows, columns) bytes, 0 to 255. Divide by 255 for
        `eventax.encoding.latency`.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it does not hold images in this format, or is damaged.

    Example:
        A file of one image, 2 pixels wide and 1 high:

        >>> import tempfile, pathlib
        >>> from eventax.datasets import idx_images
        >>> path = pathlib.Path(tempfile.mkdtemp()) / "images"
        >>> header = [0, 0, 8, 3, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 2]
        >>> _ = path.write_bytes(bytes([*header, 0, 255]))
        >>> idx_images(path)
        array([[[  0, 255]]], dtype=uint8)
    """
    return _read(Path(path), 3, "images")


def idx_labels(path: str | Path) -> Int[np.ndarray, " n"]:
    """Labels from an IDX file, as MNIST and Fashion-MNIST come.

    Arguments:
        path: the file, compressed by gzip or not.

    Returns:
        (n,) classes, 32-bit whole numbers.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it does not hold labels in this format, or is damaged.

    Example:
        >>> import tempfile, pathlib
        >>> from eventax.datasets import idx_labels
        >>> path = pathlib.Path(tempfile.mkdtemp()) / "labels"
        >>> _ = path.write_bytes(bytes([0, 0, 8, 1, 0, 0, 0, 3, 7, 2, 1]))
        >>> idx_labels(path)
        array([7, 2, 1], dtype=int32)
    """
    return _read(Path(path), 1, "labels").astype(np.int32)


def _read(path: Path, n_axes: int, what: str) -> np.ndarray:
    """Magic number (0, 0, type, axes), lengths of axes as big-endian words, data."""
    data = _contents(path)
    magic, wanted = data[:4], bytes([0, 0, UNSIGNED_BYTE, n_axes])
    if magic != wanted:
        raise ValueError(
            f"{path} must start with the magic number {wanted.hex()} of {what} in IDX "
            f"format; got {magic.hex() or 'an empty file'}. Is it the right file?"
        )
    start = 4 + 4 * n_axes
    if len(data) < start:
        raise ValueError(
            f"{path} must have a header of {start} bytes; got {len(data)} bytes. The "
            "file is damaged: get it again."
        )
    shape = tuple(int(length) for length in np.frombuffer(data[4:start], ">u4"))
    size = math.prod(shape)
    if len(data) - start != size:
        raise ValueError(
            f"{path} must hold {size} bytes after its header, which tells the shape "
            f"{shape}; got {len(data) - start}. The file is damaged: get it again."
        )
    # A copy, which can be written to.
    return np.frombuffer(data, np.uint8, offset=start).reshape(shape).copy()


def _contents(path: Path) -> bytes:
    data = path.read_bytes()
    if not data.startswith(b"\x1f\x8b"):
        return data
    try:
        return gzip.decompress(data)
    except (OSError, EOFError, zlib.error) as error:
        raise ValueError(
            f"{path} cannot be decompressed: {error}. The file is damaged: get it "
            "again."
        ) from error
