"""The curves as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..measurement.curves import Points

COLUMNS = 3
COLOURS = {"pipe": "tab:gray", "nginx": "tab:green", "proxy": "tab:blue"}
NAMES = {"pipe": "bare pipe", "proxy": "oaicompat-proxy"}


def plot(points: Sequence[Points], file: Path) -> None:
    """Writes a PNG."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    rows = -(-len(points) // COLUMNS)
    figure, grid = pyplot.subplots(rows, COLUMNS, figsize=(4.4 * COLUMNS, 3.4 * rows), squeeze=False)
    axes = list(grid.flat)
    for each, axis in zip(points, axes, strict=False):
        _draw(axis, each)
    for axis in axes[len(points) :]:
        axis.set_visible(False)
    figure.tight_layout()
    figure.savefig(file, dpi=110)
    pyplot.close(figure)


def _draw(axis: Any, points: Points) -> None:
    curve = points.curve
    for target, values in points.values.items():
        axis.plot(list(values), list(values.values()), "o-", label=NAMES.get(target, target), color=COLOURS.get(target))
    axis.set_title(curve.title, fontsize=10)
    axis.set_xlabel(curve.xlabel)
    axis.set_ylabel(curve.ylabel)
    if curve.workers:
        _show_ideal(axis, points)
    else:
        axis.set_xscale("log")
    axis.set_xticks(list(curve.loads), [f"{x:,}" for x in curve.loads])
    axis.minorticks_off()
    axis.set_ylim(bottom=0)
    axis.grid(alpha=0.3)
    axis.legend(fontsize=8)


def _show_ideal(axis: Any, points: Points) -> None:
    values = points.values.get("proxy", {})
    if 1 in values:
        axis.plot(list(values), [values[1] * x for x in values], ":", color="tab:gray", label="ideal")
