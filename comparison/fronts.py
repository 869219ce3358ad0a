"""Figure of the Pareto fronts: accuracy over bytes and over simulated time."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from wnsim.core.statistics import mean
from wnsim.figures.style import PAGE_WIDTH_IN, STYLE, logarithmic

from .ranking import front

if TYPE_CHECKING:
    from .page import Line

Point = tuple[float, float]
_COSTS = (
    ("offered_bytes", 1e-9, "Bytes submitted [GB]"),
    ("simulated_s", 1.0, "Simulated time [s]"),
)
_HEIGHT_IN = 3.6
# Place from which names stand on the left of their points.
_RIGHT = 0.75
# Size of names, and about the width of a letter and the height of a line.
_NAME_PT, _LETTER_PT, _LINE_PT = 6, 3.3, 7.0
_INCH_PT = 72.0


def draw(lines: Sequence[Line], path: Path) -> None:
    """Draw accuracy over bytes and over seconds, with the front of those methods that compete.

    Parameters
    ----------
    lines : methods with their reported runs
    path : PNG file
    """
    with rc_context(STYLE):
        figure = Figure(figsize=(PAGE_WIDTH_IN, _HEIGHT_IN))
        left, right = figure.subplots(1, 2, sharey=True)
        logarithmic(left)
        for axes, (column, scale, label) in zip((left, right), _COSTS, strict=True):
            _panel(
                axes,
                [line for line in lines if line.mean("offered_bytes") > 0],
                column,
                scale,
                figure.dpi,
            )
            axes.set_xlabel(label)
        left.set_ylabel("Accuracy on all tasks [%]")
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, dpi=200, metadata={"Software": None})


def _panel(axes: Axes, lines: Sequence[Line], column: str, scale: float, dpi: float) -> None:
    costs = [scale * line.mean(column) for line in lines]
    gains = [mean(line.accuracies) for line in lines]
    competing = [place for place, line in enumerate(lines) if line.competes]
    on = front([costs[place] for place in competing], [gains[place].mean for place in competing])
    best = sorted(
        (costs[place], gains[place].mean)
        for place, is_on in zip(competing, on, strict=True)
        if is_on
    )
    for line, cost, gain in zip(lines, costs, gains, strict=True):
        is_best = (cost, gain.mean) in best
        marker = "s" if line.entry.bound else "o"
        axes.errorbar(
            cost, gain.mean, yerr=gain.half, marker=marker, color="black" if is_best else "0.55",
            markerfacecolor="black" if is_best else "white", linewidth=0.6, capsize=1.5,
        )  # fmt: skip
    _name(axes, lines, list(zip(costs, [gain.mean for gain in gains], strict=True)), best, dpi)
    if best:
        axes.step(*zip(*best, strict=True), where="post", color="black", linewidth=0.8, zorder=0)


def _name(
    axes: Axes, lines: Sequence[Line], points: Sequence[Point], best: Sequence[Point], dpi: float
) -> None:
    """Write the name of each method beside its point, where it meets no earlier name."""
    # Transformations are those of the limits only after this.
    axes.autoscale_view()
    taken: list[tuple[float, float, float]] = []
    for line, point in zip(lines, points, strict=True):
        x, y = (_INCH_PT / dpi) * axes.transData.transform(point)
        is_right = axes.transAxes.inverted().transform(axes.transData.transform(point))[0] > _RIGHT
        width = _LETTER_PT * len(line.entry.name)
        left = x - 3 - width if is_right else x + 3
        shift = next(
            each
            for each in (2, -8, 9, -15, 16)
            if each == 16
            or not any(
                abs(y + each - other) < _LINE_PT and left < end and start < left + width
                for start, end, other in taken
            )
        )
        taken.append((left, left + width, y + shift))
        axes.annotate(
            line.entry.name, point, xytext=(-3 if is_right else 3, shift),
            textcoords="offset points", ha="right" if is_right else "left", fontsize=_NAME_PT,
            fontweight="bold" if point in best else "normal",
        )  # fmt: skip
