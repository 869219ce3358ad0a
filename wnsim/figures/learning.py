"""Accuracy figures: over time, bytes and rounds, and by task."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import EngFormatter, MaxNLocator, SymmetricalLogLocator

from wnsim.core.statistics import mean
from wnsim.figures.lines import Line, mean_curve
from wnsim.figures.options import band
from wnsim.figures.style import (
    COLUMN_IN,
    DOTTED,
    PAGE_WIDTH_IN,
    in_rows,
    legend_above,
    say_sizes,
    scale,
    short,
)
from wnsim.metrics.delivery import of_workload, retransmitted

_EVALUATION = ("round", "time_s", "device", "task", "own_task", "accuracy")
_TRANSFER = ("kind", "ended_s", "carried_bytes", "blocks", "failed_blocks")
# Ratio of largest to smallest value above which an axis is logarithmic.
_DECADES = 100.0
_TASKS_IN_COLUMN = 6
_LETTERS_PER_IN = 20


def accuracy(figure: Figure, lines: Sequence[Line]) -> pd.DataFrame | None:
    """Plot accuracy over simulated time: on all tasks, and on each device's own task."""
    axes = figure.add_subplot()
    numbers = _curves(axes, lines, "time_s", _evaluations)
    if numbers is None:
        return None
    axes.set_xlabel("Simulated time [s]")
    axes.set_xlim(left=0)
    say_sizes(axes, [line.sizes for line in lines])
    return numbers


def accuracy_rounds(figure: Figure, lines: Sequence[Line]) -> pd.DataFrame | None:
    """Plot accuracy over rounds: on all tasks, and on each device's own task."""
    axes = figure.add_subplot()
    numbers = _curves(axes, lines, "round", _evaluations)
    if numbers is None:
        return None
    axes.set_xlabel("Round")
    axes.set_xlim(left=0)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    return numbers


def accuracy_bytes(figure: Figure, lines: Sequence[Line]) -> pd.DataFrame | None:
    """Plot accuracy over bytes on the air: on all tasks, and on each device's own task."""
    axes = figure.add_subplot()
    numbers = _curves(axes, lines, "on_air_bytes", _with_bytes)
    if numbers is None or not numbers["on_air_bytes"].any():
        return None
    sent = numbers["on_air_bytes"]
    scale(axes.xaxis, "Bytes on the air, all devices", "B", float(sent.max()))
    least = float(sent[sent > 0].min())
    if sent.max() >= _DECADES * least:
        # Linear up to the first decade, so that the axis includes the start.
        decade = 10.0 ** np.floor(np.log10(least))
        axes.set_xscale("symlog", linthresh=decade, linscale=0.5)
        locator = SymmetricalLogLocator(base=10, linthresh=decade)
        locator.set_params(numticks=6)
        axes.xaxis.set_major_locator(locator)
        axes.xaxis.set_major_formatter(EngFormatter())
        axes.set_xlabel("Bytes on the air, all devices [B]")
    axes.set_xlim(left=0)
    say_sizes(axes, [line.sizes for line in lines])
    return numbers


def tasks(figure: Figure, lines: Sequence[Line]) -> pd.DataFrame | None:
    """Plot accuracy by line and task at the last evaluation, mean over devices, in percent."""
    numbers = []
    for line in lines:
        lasts = [_last(run) for run in line.tables("evaluations.csv", _EVALUATION) if len(run)]
        for task in dict.fromkeys(task for last in lasts for task in last.index):
            found = mean(last[task] for last in lasts if task in last)
            numbers.append((line.name, task, found.mean, found.low, found.high))
    if not numbers:
        return None
    table = pd.DataFrame(numbers, columns=["line", "task", "accuracy", "low", "high"])
    names, columns = list(table["line"].unique()), list(table["task"].unique())
    labels = [in_rows(name) for name in names]
    wide = len(columns) > _TASKS_IN_COLUMN
    width_in = PAGE_WIDTH_IN if wide else COLUMN_IN[0]
    room_in = (width_in - 1.2) / len(columns)
    longest = max(map(len, columns))
    upright = longest > room_in * _LETTERS_PER_IN
    axes = figure.add_subplot()
    cells = table.pivot(index="line", columns="task", values="accuracy").loc[names, columns]
    axes.pcolormesh(cells, cmap="cividis", vmin=0, vmax=1, edgecolor="white", linewidth=0.5)
    for row in table.itertuples():
        half = "" if pd.isna(row.low) else f"\n\N{PLUS-MINUS SIGN}{50 * (row.high - row.low):.0f}"
        axes.text(
            columns.index(row.task) + 0.5, names.index(row.line) + 0.5,
            f"{100 * row.accuracy:.0f}{half}", ha="center", va="center", fontsize=7,
            color="white" if row.accuracy < 0.5 else "black",
        )  # fmt: skip
    axes.set_xticks(
        np.arange(len(columns)) + 0.5,
        [short(column).strip() for column in columns],
        rotation=90 if upright else 0,
    )
    axes.set_yticks(np.arange(len(names)) + 0.5, labels)
    axes.invert_yaxis()
    axes.grid(visible=False)
    axes.tick_params(length=0)
    axes.set_xlabel("Accuracy at the end by task [%]")
    rows = max(label.count("\n") + 1 for label in labels)
    names_in = min(longest, 60) / _LETTERS_PER_IN if upright else 0.12
    figure.set_size_inches(width_in, 0.35 + names_in + len(names) * max(0.3, 0.1 + 0.115 * rows))
    return table


def _curves(
    axes: Axes, lines: Sequence[Line], x: str, read: Callable[[Line], list[pd.DataFrame]]
) -> pd.DataFrame | None:
    """Plot accuracy over a column of the evaluations, on all tasks, and own ones if they differ."""
    numbers = []
    handles: list[Line2D] = []
    differs = False
    for line in lines:
        runs = [run for run in read(line) if len(run)]
        if not runs:
            continue
        differ = any(not run["own_task"].all() for run in runs)
        differs |= differ
        for own in (False, True) if differ else (False,):
            each = [_by_round(run[run["own_task"]] if own else run, x) for run in runs]
            curve = mean_curve(each, x, "accuracy")
            style = {**line.style, "linestyle": DOTTED if own else "-"}
            drawn = axes.plot(
                curve[x], curve["accuracy"], label=line.name,
                markerfacecolor="white" if own else line.style["color"],
                markevery=max(1, len(curve) // 10), **style,
            )  # fmt: skip
            if not own:
                handles += drawn
            if len(runs) > 1:
                band(axes, curve, x, line.style["color"])
            tasks = "own" if own else "all"
            numbers.append(curve.assign(line=line.name, tasks=tasks))
    if not numbers:
        return None
    if differs:
        handles += axes.plot(
            [], [], color="0.4", linestyle=DOTTED, marker="o", markerfacecolor="white",
            label="own task only",
        )  # fmt: skip
    axes.set_ylabel("Accuracy, mean over devices and tasks")
    axes.set_ylim(0, 1.03)
    figure = axes.get_figure(root=True)
    if figure is not None:
        legend_above(figure, handles)
    return pd.concat(numbers)


def _evaluations(line: Line) -> list[pd.DataFrame]:
    """Return the evaluations of each run; nothing if a run has none."""
    return line.tables("evaluations.csv", _EVALUATION)


def _with_bytes(line: Line) -> list[pd.DataFrame]:
    """Return the evaluations of each run with the bytes on the air until then."""
    transfers = line.transfers(_TRANSFER)
    runs = _evaluations(line) if transfers else []
    return [
        run.assign(on_air_bytes=_bytes_by(run["time_s"], sent))
        for run, sent in zip(runs, transfers, strict=bool(runs))
    ]


def _bytes_by(time_s: pd.Series, transfers: pd.DataFrame) -> pd.Series:
    """Return the bytes on the air of all messages that have ended by each instant."""
    learning = of_workload(transfers)
    # An empty table has no types.
    ours = learning[list(_TRANSFER[1:])].astype(float).sort_values("ended_s")
    on_air = ours["carried_bytes"] + retransmitted(ours)
    so_far = np.concatenate([[0.0], on_air.cumsum()])
    # Records are rounded to a nanosecond.
    ended = np.searchsorted(ours["ended_s"], time_s + 2e-9, side="right")
    return pd.Series(so_far[ended], index=time_s.index)


def _by_round(run: pd.DataFrame, x: str) -> pd.DataFrame:
    """Return the means of accuracy and of another column by round."""
    columns = ["accuracy"] if x == "round" else [x, "accuracy"]
    return run.groupby("round")[columns].mean()


def _last(run: pd.DataFrame) -> pd.Series:
    """Return accuracy by task at the last evaluation, mean over devices."""
    latest = run[run["time_s"] == run["time_s"].max()]
    last = latest[latest["round"] == latest["round"].max()]
    return last.groupby("task", sort=False)["accuracy"].mean()
