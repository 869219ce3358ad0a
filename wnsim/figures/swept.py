"""Figure of metrics over a swept value, with 95 % intervals over seeds.

The abscissa is the swept key with the most values, of which all are numbers, or else names. Curves
are variants, and the values of other swept keys.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from wnsim.core.statistics import mean
from wnsim.figures.lines import Line
from wnsim.figures.style import (
    COLUMN_IN,
    PAGE_WIDTH_IN,
    legend_above,
    line_style,
    logarithmic,
    short,
)

_PANELS = {
    "accuracy_all_tasks": "Accuracy, all tasks [%]",
    "latency_median_s": "Median latency [s]",
    "delivery_ratio": "Messages delivered [%]",
    "simulated_s": "Simulated time [s]",
    "energy_total_j": "Energy of all devices [J]",
    "goodput_bps": "Goodput [bit/s]",
}
"""Metrics by panel; the first four that runs have are drawn."""
_MOST_PANELS = 4
_PERCENT = {"accuracy_all_tasks", "delivery_ratio"}
# Ratio of the largest and smallest value from which the abscissa is logarithmic.
_WIDE = 30.0


def metrics_over_values(figure: Figure, lines: Sequence[Line]) -> pd.DataFrame | None:
    """Plot metrics over the values of a swept key; None if nothing suitable is swept."""
    key = _abscissa(lines)
    if key is None:
        return None
    table = _table(key, [line for line in lines if _is_value(line.swept.get(key))])
    names = [name for name in _PANELS if name in set(table["metric"])][:_MOST_PANELS]
    if not names:
        return None
    table = table[table["metric"].isin(names)]
    rows = 1 if len(names) < 3 else 2
    figure.set_size_inches(PAGE_WIDTH_IN, COLUMN_IN[1] * rows)
    panels = figure.subplots(rows, -(-len(names) // rows), squeeze=False).ravel()
    curves = list(dict.fromkeys(table["curve"]))
    values = list(dict.fromkeys(table[key]))
    numeric = all(isinstance(value, int | float) for value in values)
    at = {value: value if numeric else float(place) for place, value in enumerate(values)}
    handles: dict[str, Line2D] = {}
    for axes, name in zip(panels, names, strict=False):
        for number, curve in enumerate(curves):
            part = table[(table["metric"] == name) & (table["curve"] == curve)]
            if len(part):
                handles[curve] = _draw(axes, part, [at[value] for value in part[key]], number)
        axes.set_ylabel(_PANELS[name])
        axes.set_xlabel(short(key))
        if not numeric:
            axes.set_xticks(list(at.values()), [short(str(value)) for value in values])
        elif min(values) > 0 and max(values) >= _WIDE * min(values):
            logarithmic(axes)
    for axes in panels[len(names) :]:
        axes.set_visible(False)
    legend_above(figure, list(handles.values()))
    return table


def _abscissa(lines: Sequence[Line]) -> str | None:
    """Return the swept key with the most values; of equal ones the first."""
    values: dict[str, set[Any]] = {}
    for line in lines:
        for key, value in line.swept.items():
            if _is_value(value):
                values.setdefault(key, set()).add(value)
    found = {
        key: len(each)
        for key, each in values.items()
        if len(each) > 1 and len({isinstance(value, str) for value in each}) == 1
    }
    return max(found, key=lambda key: found[key]) if found else None


def _is_value(value: object) -> bool:
    return isinstance(value, int | float | str) and not isinstance(value, bool)


def _table(key: str, lines: Sequence[Line]) -> pd.DataFrame:
    """Return a row for each line and metric, sorted by value if these are numbers."""
    rows = []
    for line in lines:
        for name in _PANELS:
            factor = 100.0 if name in _PERCENT else 1.0
            found = mean(factor * run[name] for run in line.metrics if name in run)
            if found.n and not math.isnan(found.mean):
                rows.append(
                    {
                        "curve": _curve(line, key), key: line.swept[key],
                        "metric": name, "n": found.n, "mean": found.mean, "low": found.low,
                        "high": found.high,
                    }
                )  # fmt: skip
    table = pd.DataFrame(rows, columns=["curve", key, "metric", "n", "mean", "low", "high"])
    numeric = all(not isinstance(value, str) for value in table[key])
    return table.sort_values(key, kind="stable", ignore_index=True) if numeric else table


def _curve(line: Line, key: str) -> str:
    """Return the name of a curve: variant, and the values of other swept keys."""
    others = [f"{other}={text}" for other, text in line.shown.items() if other != key]
    return ", ".join([part for part in (line.variant, *others) if part]) or "all runs"


def _draw(axes: Axes, part: pd.DataFrame, x: Sequence[float], number: int) -> Line2D:
    style = line_style(number)
    half = np.nan_to_num((part["high"] - part["low"]).to_numpy() / 2)
    if half.any():
        axes.errorbar(
            x, part["mean"], yerr=half, fmt="none", ecolor=style["color"], elinewidth=0.8,
            capsize=2,
        )  # fmt: skip
    (line,) = axes.plot(x, part["mean"], label=part["curve"].iloc[0], **style)
    return line
