"""Points in the symbol of yin and yang."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from .._arguments import check_count

R_BIG, R_SMALL = 0.5, 0.1
N_CLASSES = 3


def yin_yang(
    key: Array, n: int
) -> tuple[Float[Array, "n features=4"], Int[Array, " n"]]:
    r"""The Yin-Yang data set: points in a disc, in three classes.

    The disc has radius $R = 0.5$ and fills the unit square. With $d_l$ and $d_r$, the
    distances of a point $(x, y)$ to the two dots' centres $(R/2, R)$ and $(3R/2, R)$,
    it is

    - in class 2, the dots, if $d_l < r$ or $d_r < r$, with $r = 0.1$;
    - else in class 1 if $d_l \le R/2$, or $y > R$ and $d_r > R/2$;
    - else in class 0, the half that class 1 becomes when turned by 180°.

    For each sample first a class is drawn, all being equally likely, and then a point,
    uniformly in the region of that class. Each coordinate comes with its mirror image,
    so that every sample has early and late spikes where values are encoded as times.
    NumPy draws them: call it outside `jax.jit`.

    Arguments:
        key: random key. The points depend on nothing else; use different keys for
            training, validation and test.
        n: number of samples. The paper has 5,000, 1,000 and 1,000 of them.

    Returns:
        `x`, (n, 4) with columns x, y, 1-x, 1-y in [0, 1]; and `labels`, (n,) classes 0,
        1 and 2, numbered as in the authors' programs.

    Raises:
        TypeError: `n` is not a whole number.
        ValueError: `n` is negative.

    Reference:
        Kriener, Göltz and Petrovici, The Yin-Yang dataset, NICE 2022, 107-111.

    Example:
        >>> import jax
        >>> from eventax.datasets import yin_yang
        >>> x, labels = yin_yang(jax.random.key(0), 5000)
        >>> x.shape, labels.shape
        ((5000, 4), (5000,))
        >>> x[0], labels[0]
        (Array([0.78 , 0.58, 0.22 , 0.42], dtype=float32), Array(2, dtype=int32))
    """
    check_count("n", n, 0)
    rng = np.random.default_rng(np.asarray(jax.random.key_data(key)).ravel().tolist())
    labels = rng.integers(N_CLASSES, size=n)
    points = np.zeros((n, 2), np.float32)
    for label in range(N_CLASSES):
        mine = labels == label
        points[mine] = _draw(rng, label, int(np.sum(mine)))
    # Exact, as the points are multiples of 2^-24.
    x = np.concatenate([points, 1 - points], axis=1)
    return jnp.asarray(x, float), jnp.asarray(labels, int)


def _draw(rng: np.random.Generator, label: int, n: int) -> np.ndarray:
    """(n, 2) points of one class, by throwing away those of others."""
    found = [np.zeros((0, 2), np.float32)]
    missing = n
    while missing > 0:
        points = rng.random((4 * missing + 100, 2), dtype=np.float32)
        found.append(points[_class_of(points) == label][:missing])
        missing -= len(found[-1])
    return np.concatenate(found)


def _class_of(points: np.ndarray) -> np.ndarray:
    """The class of each point, -1 outside the disc."""
    x, y = points.astype(np.float64).T
    left = np.hypot(x - R_BIG / 2, y - R_BIG)
    right = np.hypot(x - 3 * R_BIG / 2, y - R_BIG)
    upper = (left <= R_BIG / 2) | ((y > R_BIG) & (right > R_BIG / 2))
    classes = np.where((left < R_SMALL) | (right < R_SMALL), 2, upper)
    return np.where(np.hypot(x - R_BIG, y - R_BIG) > R_BIG, -1, classes)
