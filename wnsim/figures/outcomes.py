"""Outcomes of messages as stacked bars: delivered, late, and lost by reason; failures alone."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from wnsim.figures.lines import Line
from wnsim.figures.stacks import name_rows
from wnsim.figures.style import area_style, legend_above, say_sizes_below
from wnsim.metrics import interval
from wnsim.metrics.delivery import ADDED_ONLY, LOST_RATIOS

_PARTS = {"delivery_ratio": "delivered", "late_ratio": "late"} | {
    name: f"lost: {reason.replace('-', ' ')}" for name, reason in LOST_RATIOS.items()
}
"""Shares of the messages of a run, in the order of the bars."""


def outcomes(figure: Figure, lines: Sequence[Line]) -> pd.DataFrame | None:
    """Plot the shares of messages by outcome, with the interval of the share delivered."""
    usual = [metric for metric in _PARTS if metric != ADDED_ONLY]
    shown = [line for line in lines if len(line.measured(usual))]
    if not shown:
        return None
    axes = figure.add_subplot()
    left = np.zeros(len(shown))
    handles, numbers = [], []
    for index, (metric, label) in enumerate(_PARTS.items()):
        found = [interval(metric, line.metrics) for line in shown]
        # A reason that a run cannot have is no metric of it.
        values = np.nan_to_num(np.array([each.mean for each in found]))
        if index > 1 and not values.any():
            continue
        style = area_style(index)
        axes.barh(range(len(shown)), values, left=left, height=0.6, **style)
        left += values
        handles.append(Patch(label=label, **style))
        numbers.append(
            pd.DataFrame(
                {
                    "line": [line.name for line in shown],
                    "part": label,
                    "share": values,
                    "low": [each.low for each in found],
                    "high": [each.high for each in found],
                }
            )
        )
    for row, line in enumerate(shown):
        each = interval("delivery_ratio", line.metrics)
        if not math.isnan(each.half):
            ends = [[each.mean - each.low], [each.high - each.mean]]
            axes.errorbar(
                each.mean, row, xerr=np.clip(ends, 0.0, None), fmt="none", ecolor="black",
                elinewidth=0.8, capsize=2,
            )  # fmt: skip
    axes.set_xlim(0, 1)
    axes.set_xlabel("Fraction of messages")
    name_rows(figure, [axes], shown)
    legend_above(figure, handles)
    say_sizes_below(figure, [line.sizes for line in shown])
    return pd.concat(numbers)


def failures(figure: Figure, lines: Sequence[Line]) -> pd.DataFrame | None:
    """Plot the shares of messages that were not delivered, by reason, on their own scale."""
    usual = [metric for metric in _PARTS if metric != ADDED_ONLY]
    shown = [line for line in lines if len(line.measured(usual))]
    parts = [(metric, label) for metric, label in _PARTS.items() if metric != "delivery_ratio"]
    rows = []
    for index, (metric, label) in enumerate(parts):
        found = [interval(metric, line.metrics) for line in shown]
        values = np.nan_to_num(np.array([each.mean for each in found]))
        if values.any():
            rows.append((index + 1, label, values, found))
    if not rows:
        return None
    axes = figure.add_subplot()
    left = np.zeros(len(shown))
    handles, numbers = [], []
    for index, label, values, found in rows:
        style = area_style(index)
        axes.barh(range(len(shown)), 100.0 * values, left=100.0 * left, height=0.6, **style)
        left += values
        handles.append(Patch(label=label, **style))
        numbers.append(
            pd.DataFrame(
                {
                    "line": [line.name for line in shown],
                    "reason": label.removeprefix("lost: "),
                    "share": values,
                    "low": [each.low for each in found],
                    "high": [each.high for each in found],
                }
            )
        )
    axes.set_xlim(0, 105.0 * left.max())
    axes.set_xlabel("Messages not delivered [%]")
    name_rows(figure, [axes], shown)
    legend_above(figure, handles)
    say_sizes_below(figure, [line.sizes for line in shown])
    return pd.concat(numbers)
