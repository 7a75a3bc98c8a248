"""The curves as a picture, where matplotlib is installed."""

from collections.abc import Sequence
from pathlib import Path

from .curve import Curve, Point


def draw(results: Sequence[tuple[Curve, Sequence[Point]]], path: Path) -> bool:
    """Time per event over size, one panel per kind of size; False if not drawn."""
    try:
        import matplotlib as mpl
    except ImportError:
        return False
    mpl.use("Agg")
    from matplotlib import pyplot as plt

    sizes = list(dict.fromkeys(curve.size for curve, _ in results))
    figure, panels = plt.subplots(
        1, len(sizes), figsize=(5.5 * len(sizes), 4), squeeze=False
    )
    for panel, size in zip(panels[0], sizes, strict=True):
        shown = [(c, [p for p in ps if not p.error]) for c, ps in results]
        shown = [(c, ps) for c, ps in shown if c.size == size and ps]
        for curve, points in shown:
            micros = [1e6 * point.seconds_per_event for point in points]
            panel.loglog([p.size for p in points], micros, "o-", label=curve.name)
        _draw_linear(panel, shown)
        panel.set_xlabel(size)
        panel.set_ylabel("loss and gradient, µs per event")
        panel.grid(True, which="both", alpha=0.2)
        panel.legend()
    figure.tight_layout()
    figure.savefig(path, dpi=120)
    plt.close(figure)
    return True


def _draw_linear(panel: object, shown: Sequence[tuple[Curve, list[Point]]]) -> None:
    """Linear growth through the largest point, for comparison."""
    ends = [points[-1] for _, points in shown]
    if not ends:
        return
    top = max(ends, key=lambda point: point.seconds_per_event)
    start = min(points[0].size for _, points in shown)
    micros = 1e6 * top.seconds_per_event
    panel.loglog(  # pyright: ignore[reportAttributeAccessIssue]
        [start, top.size],
        [micros * start / top.size, micros],
        ":",
        color="grey",
        label="linear",
    )
