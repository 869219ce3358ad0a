"""Uplink and downlink apart: bytes, and latency."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from wnsim.core.statistics import mean
from wnsim.figures.lines import Line
from wnsim.figures.stacks import name_rows, whiskers
from wnsim.figures.style import (
    COLUMN_IN,
    PAGE_WIDTH_IN,
    area_style,
    legend_above,
    say_sizes,
    say_sizes_below,
    scale,
)
from wnsim.metrics.delivery import counted, fixed

UPLINK, DOWNLINK, AMONG = "uplink", "downlink", "between devices"
_DIRECTIONS = (UPLINK, DOWNLINK, AMONG)
_COLUMNS = ["source", "target", "delivered", "latency_s", "size_bytes"]


def bytes_directions(figure: Figure, lines: Sequence[Line]) -> pd.DataFrame | None:
    """Plot the sizes of all messages by direction, with the interval of the sum."""
    found = _by_direction(lines)
    if found is None:
        return None
    shown = [line for line in lines if line.name in found]
    axes = figure.add_subplot()
    left = np.zeros(len(shown))
    handles, numbers = [], []
    sums = {
        line.name: [
            {
                kind: float(run.loc[run["direction"] == kind, "size_bytes"].sum())
                for kind in _DIRECTIONS
            }
            for run in found[line.name]
        ]
        for line in shown
    }
    for index, kind in enumerate(_DIRECTIONS):
        values = np.array([np.mean([run[kind] for run in sums[line.name]]) for line in shown])
        if not values.any():
            continue
        style = area_style(index + 1)
        axes.barh(range(len(shown)), values, left=left, height=0.6, **style)
        left += values
        handles.append(Patch(label=kind, **style))
        names = [line.name for line in shown]
        numbers.append(pd.DataFrame({"line": names, "direction": kind, "bytes": values}))
    totals = [mean([sum(run.values()) for run in sums[line.name]]) for line in shown]
    whiskers(axes, [each.mean for each in totals], np.array([each.half for each in totals]))
    scale(axes.xaxis, "Offered load", "B", max(each.mean for each in totals))
    name_rows(figure, [axes], shown)
    legend_above(figure, handles)
    say_sizes_below(figure, [line.sizes for line in shown])
    return pd.concat(numbers)


def latency_directions(figure: Figure, lines: Sequence[Line]) -> pd.DataFrame | None:
    """Plot the distributions of uplink and of downlink latency beside each other.

    Messages that are not delivered count, as in the figure of all messages.
    """
    found = _by_direction(lines)
    if found is None:
        return None
    figure.set_size_inches(max(PAGE_WIDTH_IN, figure.get_figwidth()), COLUMN_IN[1])
    panels = figure.subplots(1, 2, sharey=True)
    handles: dict[str, Line2D] = {}
    numbers = []
    for axes, kind in zip(panels, (UPLINK, DOWNLINK), strict=True):
        numbers += _distributions(axes, kind, lines, found, handles)
        axes.set_title(kind.capitalize())
        axes.set_xlabel("Transfer latency [s]")
        axes.set_xlim(left=0)
    if not numbers:
        return None
    panels[0].set_ylabel("Fraction of messages")
    panels[0].set_ylim(0, 1.02)
    legend_above(figure, list(handles.values()))
    say_sizes(panels[1], [line.sizes for line in lines])
    return pd.concat(numbers)


def _distributions(
    axes: Axes,
    kind: str,
    lines: Sequence[Line],
    found: Mapping[str, Sequence[pd.DataFrame]],
    handles: dict[str, Line2D],
) -> list[pd.DataFrame]:
    """Plot the latency of a direction of each line; return the numbers, and enter the handles."""
    numbers = []
    for line in lines:
        runs = found.get(line.name, ())
        some = [run[run["direction"] == kind] for run in runs]
        count = sum(map(len, some))
        if not count:
            continue
        every_s = pd.concat(some)
        latency_s = np.sort(every_s.loc[every_s["delivered"] == True, "latency_s"])  # noqa: E712
        share = np.arange(1, latency_s.size + 1) / count
        style = {key: line.style[key] for key in ("color", "linestyle")}
        (handle,) = axes.step(latency_s, share, where="post", label=line.name, **style)
        handles.setdefault(line.name, handle)
        numbers.append(
            pd.DataFrame(
                {"line": line.name, "direction": kind, "latency_s": latency_s, "share": share}
            )
        )
    return numbers


def _by_direction(lines: Sequence[Line]) -> dict[str, list[pd.DataFrame]] | None:
    """Return the messages of each line's runs, with their direction; None without base stations."""
    found = {}
    for line in lines:
        runs = [counted(run) for run in line.transfers(_COLUMNS)]
        if runs:
            found[line.name] = [run.assign(direction=_direction(run)) for run in runs]
    every = {kind for runs in found.values() for run in runs for kind in run["direction"].unique()}
    return found if every & {UPLINK, DOWNLINK} else None


def _direction(messages: pd.DataFrame) -> pd.Series:
    """Return the direction of each message."""
    up, down = fixed(messages["target"]), fixed(messages["source"])
    kinds = np.select([up & ~down, down & ~up], [UPLINK, DOWNLINK], AMONG)
    return pd.Series(kinds, index=messages.index)
