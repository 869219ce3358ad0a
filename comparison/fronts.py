"""Figure of the Pareto fronts: accuracy over bytes and over simulated time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
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
# Size of names, and about the width of a letter and the height of a line.
_NAME_PT, _LETTER_PT, _LINE_PT = 6, 3.3, 5.0
# Half the widths of markers and error bars, and the distance of a name from its point.
_POINT_PT, _BAR_PT, _GAP_PT = 2.5, 1.0, 3.5
# Heights of a name above its point, in order of preference.
_SHIFTS_PT = (1.5, -6.5, 8.0, -13.0, 14.5, -19.5, 21.0, -26.0, -32.5)
_BESIDE_PT = _SHIFTS_PT[:2]
_TIE = {"arrowstyle": "-", "linewidth": 0.3, "color": "0.6", "shrinkA": 0.0, "shrinkB": 0.0}
_MARGIN = 0.2
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
    points = [(cost, gain.mean) for cost, gain in zip(costs, gains, strict=True)]
    _name(axes, lines, points, [gain.half for gain in gains], best, dpi)
    if best:
        axes.step(*zip(*best, strict=True), where="post", color="black", linewidth=0.8, zorder=0)


@dataclass(frozen=True)
class _Box:
    """A rectangle of the page [pt]."""

    left: float
    low: float
    right: float
    high: float

    def overlap(self, other: _Box) -> float:
        """Return the common area [pt^2]."""
        width = min(self.right, other.right) - max(self.left, other.left)
        height = min(self.high, other.high) - max(self.low, other.low)
        return max(0.0, width) * max(0.0, height)


def _name(
    axes: Axes,
    lines: Sequence[Line],
    points: Sequence[Point],
    halves: Sequence[float],
    best: Sequence[Point],
    dpi: float,
) -> None:
    """Write the name of each method beside its point, where it covers least else."""
    # Room for names on both sides. Transformations are those of the limits only after this.
    axes.margins(x=_MARGIN)
    axes.autoscale_view()

    def on_page(x: float, y: float) -> Point:
        across, up = (_INCH_PT / dpi) * axes.transData.transform((x, y))
        return float(across), float(up)

    taken = []
    for (x, y), half in zip(points, halves, strict=True):
        across, middle = on_page(x, y)
        low, high = (on_page(x, end)[1] for end in (y - half, y + half))
        taken += [
            _Box(across - _BAR_PT, low, across + _BAR_PT, high),
            _Box(across - _POINT_PT, middle - _POINT_PT, across + _POINT_PT, middle + _POINT_PT),
        ]
    begin, end = (
        float(axes.transAxes.transform((edge, 0))[0]) * _INCH_PT / dpi for edge in (0.0, 1.0)
    )

    def covered(name: _Box) -> float:
        outside = max(0.0, begin - name.left) + max(0.0, name.right - end)
        return sum(name.overlap(each) for each in taken) + outside * _LINE_PT

    for line, point in zip(lines, points, strict=True):
        candidates = [
            (side, shift, _box(line.entry.name, on_page(*point), side, shift))
            for shift in _SHIFTS_PT
            for side in (1, -1)
        ]
        # Of equal places the nearest.
        side, shift, name = min(candidates, key=lambda each: covered(each[2]) + 0.2 * abs(each[1]))
        taken.append(name)
        axes.annotate(
            line.entry.name, point, xytext=(side * _GAP_PT, shift), textcoords="offset points",
            ha="left" if side > 0 else "right", fontsize=_NAME_PT,
            fontweight="bold" if point in best else "normal",
            # A name that is not beside its point is tied to it.
            arrowprops=None if shift in _BESIDE_PT else _TIE,
        )  # fmt: skip


def _box(name: str, point: Point, side: int, shift: float) -> _Box:
    """Return the box of a name on the right (1) or left (-1) of its point, and above it."""
    width = _LETTER_PT * len(name)
    left = point[0] + side * _GAP_PT - (width if side < 0 else 0.0)
    return _Box(left, point[1] + shift, left + width, point[1] + shift + _LINE_PT)
