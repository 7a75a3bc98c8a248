"""MNIST and Fashion-MNIST in folders where they usually are."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Int, UInt8

from ._idx import idx_images, idx_labels

Split = Literal["train", "test"]
Samples = tuple[UInt8[np.ndarray, "n rows columns"], Int[np.ndarray, " n"]]

PREFIX = {"train": "train", "test": "t10k"}
# A bare "data" is not among them: files of both data sets have the same names.
MNIST_FOLDERS = (
    "data/mnist",
    "data/MNIST/raw",
    "~/.cache/eventax/mnist",
    "~/.cache/mnist",
    "/usr/share/datasets/mnist",
)
FASHION_FOLDERS = (
    "data/fashion-mnist",
    "data/FashionMNIST/raw",
    "~/.cache/eventax/fashion-mnist",
    "~/.cache/fashion-mnist",
    "/usr/share/datasets/fashion-mnist",
)


def mnist(folder: str | Path | None = None, *, split: Split = "train") -> Samples:
    """MNIST, images of handwritten digits, from files that you have.

    Looks for the four files under their usual names, `train-images-idx3-ubyte`,
    `train-labels-idx1-ubyte`, `t10k-images-idx3-ubyte` and `t10k-labels-idx1-ubyte`,
    also with `.idx` for `-idx` and with `.gz` at the end. Nothing is downloaded: get
    them from http://yann.lecun.com/exdb/mnist/ or a mirror of it.

    Arguments:
        folder: where the files are. By default the first of these that has them:
            `data/mnist` and `data/MNIST/raw` below the working directory,
            `~/.cache/eventax/mnist`, `~/.cache/mnist`, `/usr/share/datasets/mnist`.
        split: `"train"`, 60,000 samples, or `"test"`, 10,000.

    Returns:
        `images`, (n, 28, 28) bytes, 0 to 255, and `labels`, (n,) digits 0 to 9, both
        arrays of NumPy. Divide images by 255 for `eventax.encoding.latency`.

    Raises:
        FileNotFoundError: the files are not there; the message says where to get them.
        ValueError: a file is damaged, there are not as many labels as images, or
            `split` is another word.

    Reference:
        LeCun, Bottou, Bengio and Haffner, Gradient-based learning applied to document
        recognition, Proc IEEE 86 (1998) 2278.

    Example:
        >>> from eventax.datasets import mnist
        >>> mnist("no/such/folder")
        Traceback (most recent call last):
        ...
        FileNotFoundError: MNIST: found no files `train-images-idx3-ubyte` and ...
    """
    return _load(
        "MNIST",
        MNIST_FOLDERS if folder is None else (folder,),
        split,
        "http://yann.lecun.com/exdb/mnist/ or its mirror "
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
    )


def fashion_mnist(
    folder: str | Path | None = None, *, split: Split = "train"
) -> Samples:
    """Fashion-MNIST, images of articles of clothing, from files that you have.

    They have the names of `mnist`'s. Nothing is downloaded: get them from
    https://github.com/zalandoresearch/fashion-mnist, or on Debian and Ubuntu install
    the package `dataset-fashion-mnist`.

    Arguments:
        folder: where the files are. By default the first of these that has them:
            `data/fashion-mnist` and `data/FashionMNIST/raw` below the working
            directory, `~/.cache/eventax/fashion-mnist`, `~/.cache/fashion-mnist`,
            `/usr/share/datasets/fashion-mnist`, which is the package's.
        split: `"train"`, 60,000 samples, or `"test"`, 10,000.

    Returns:
        `images`, (n, 28, 28) bytes, 0 to 255, and `labels`, (n,) classes 0 to 9, both
        arrays of NumPy. Divide images by 255 for `eventax.encoding.latency`.

    Raises:
        FileNotFoundError: the files are not there; the message says where to get them.
        ValueError: a file is damaged, there are not as many labels as images, or
            `split` is another word.

    Reference:
        Xiao, Rasul and Vollgraf, Fashion-MNIST: a novel image dataset for benchmarking
        machine learning algorithms, arXiv:1708.07747 (2017).

    Example:
        >>> from eventax.datasets import fashion_mnist
        >>> fashion_mnist("no/such/folder")
        Traceback (most recent call last):
        ...
        FileNotFoundError: Fashion-MNIST: found no files `train-images-idx3-ubyte` ...
    """
    return _load(
        "Fashion-MNIST",
        FASHION_FOLDERS if folder is None else (folder,),
        split,
        "https://github.com/zalandoresearch/fashion-mnist, or install the package "
        "`dataset-fashion-mnist` on Debian or Ubuntu",
    )


def _load(
    name: str, folders: tuple[str | Path, ...], split: str, source: str
) -> Samples:
    if split not in PREFIX:
        raise ValueError(f'`split` must be "train" or "test"; got {split!r}.')
    images = f"{PREFIX[split]}-images-idx3-ubyte"
    labels = f"{PREFIX[split]}-labels-idx1-ubyte"
    for folder in folders:
        # Both from one folder, as two folders may hold different data sets.
        found = [_find(Path(folder).expanduser(), file) for file in (images, labels)]
        if found[0] and found[1]:
            return _both(found[0], found[1])
    places = ", ".join(str(Path(folder).expanduser()) for folder in folders)
    raise FileNotFoundError(
        f"{name}: found no files `{images}` and `{labels}` (or with `.idx` for `-idx`, "
        f"or `.gz` at the end) together in {places}. Get them from {source}, and pass "
        "`folder`."
    )


def _both(images_path: Path, labels_path: Path) -> Samples:
    images, labels = idx_images(images_path), idx_labels(labels_path)
    if len(images) != len(labels):
        raise ValueError(
            f"{images_path} and {labels_path} must hold as many images as labels; got "
            f"{len(images)} and {len(labels)}."
        )
    return images, labels


def _find(folder: Path, name: str) -> Path | None:
    """The file under one of its usual names."""
    for variant in (name, name.replace("-idx", ".idx")):
        for path in (folder / variant, folder / f"{variant}.gz"):
            if path.is_file():
                return path
    return None
