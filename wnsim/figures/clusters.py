"""Cluster figures: collision rates of the masks of devices that aggregate."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from wnsim.figures.lines import Line, mean_curve
from wnsim.figures.options import band
from wnsim.figures.style import DOTTED, legend_above

_KINDS = ("collision_rate", "expected_collision_rate")


def collisions(figure: Figure, lines: Sequence[Line]) -> pd.DataFrame | None:
    """Plot the collision rate over rounds, beside its expectation for independent masks.

    Nothing is drawn if no line has masks: adapters without collide in all entries.
    """
    axes = figure.add_subplot()
    numbers = []
    handles: list[Line2D] = []
    for line in lines:
        tables = line.tables("clusters.csv", ["round", "devices", *_KINDS])
        for kind in _KINDS:
            runs = [run for table in tables if len(run := _by_round(table, kind))]
            if not runs:
                continue
            curve = mean_curve(runs, "round", kind).rename(columns={kind: "share"})
            actual = kind == "collision_rate"
            style = {**line.style, "linestyle": "-" if actual else DOTTED}
            drawn = axes.plot(
                curve["round"], curve["share"], label=line.name,
                markerfacecolor=line.style["color"] if actual else "white",
                markersize=3 if actual else 5.5, markevery=max(1, len(curve) // 10),
                zorder=3 if actual else 2, clip_on=False, **style,
            )  # fmt: skip
            if actual:
                handles += drawn
            if len(runs) > 1:
                band(axes, curve, "round", line.style["color"])
            numbers.append(curve.assign(line=line.name, kind="actual" if actual else "expected"))
    if not any((each["share"] < 1.0).any() for each in numbers):
        return None
    handles += axes.plot(
        [], [], color="0.4", linestyle=DOTTED, marker="o", markerfacecolor="white",
        label="expected for independent masks",
    )  # fmt: skip
    axes.set_xlabel("Round")
    axes.set_ylabel("Collision rate")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_ylim(bottom=0)
    axes.set_xlim(left=0)
    legend_above(figure, handles)
    return pd.concat(numbers)


def _by_round(clusters: pd.DataFrame, kind: str) -> pd.DataFrame:
    """Return the mean of a column over clusters by round, weighted by their devices."""
    known = clusters[clusters[kind].notna()]
    means = {
        number: np.average(rows[kind], weights=rows["devices"])
        for number, rows in known.groupby("round")
    }
    return pd.DataFrame({kind: pd.Series(means, dtype=float)}).rename_axis("round")
