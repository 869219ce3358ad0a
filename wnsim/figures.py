"""The standard figures of a scenario, drawn from its folder of results alone.

One column of a two-column paper wide (3.5 in), 8 pt serif, TrueType fonts; told apart by line
style as well as by color, so that they are readable in grey. Colors: Okabe and Ito, "Color
universal design", 2008. Beside each figure stands a CSV file with the numbers plotted.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from wnsim.statistics import mean

COLUMN_IN = (3.5, 2.4)
STYLE: dict[Any, Any] = {
    "font.family": "serif",
    "font.serif": ["Times New Roman", "Times", "Nimbus Roman", "STIX Two Text", "STIXGeneral"],
    "mathtext.fontset": "stix",
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.labelsize": 8,
    "legend.fontsize": 7,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "axes.linewidth": 0.6,
    "lines.linewidth": 1.2,
    "lines.markersize": 3.5,
    "legend.frameon": False,
    "axes.grid": True,
    "grid.linewidth": 0.4,
    "grid.color": "0.88",
    "axes.axisbelow": True,
    "pdf.fonttype": 42,
    "ps.fonttype": 42,
    "savefig.bbox": None,
    "figure.constrained_layout.use": True,
    # A label is what the user wrote, dollar signs included.
    "text.parse_math": False,
}
_COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_DASHES: tuple[Any, ...] = ("-", (0, (4, 1.5)), (0, (1, 1)), (0, (4, 1, 1, 1)), (0, (6, 2)))
_MARKERS = ("o", "s", "^", "D", "v", "P", "X")
# How a legend is laid out: letters of 7 pt in a row of 3.5 in, and height of a row.
_LETTERS_PER_ROW, _HANDLE_LETTERS, _LONGEST_LABEL, _ROW_IN = 72, 6, 60, 0.14


@dataclass(frozen=True)
class Line:
    """One of the things compared: the runs that differ in their seeds only.

    Parameters
    ----------
    name : variant and swept values
    folders : of its runs
    sizes : `actual`, or the architecture whose sizes are emulated
    style : color, dashes and marker
    """

    name: str
    folders: tuple[Path, ...]
    sizes: str
    style: dict[str, Any]


def draw(results: Path, runs: Sequence[str]) -> list[Path]:
    """Draw the standard figures of a scenario into its folder `figures`.

    Parameters
    ----------
    results : folder of a scenario's results
    runs : names of the folders of its runs, in the order of the legend

    Returns
    -------
    the PDF files
    """
    lines = _lines(results, runs)
    drawn = []
    with mpl.rc_context({**mpl.rcParamsDefault, **STYLE}):
        for name, plot in (("latency", _latency), ("accuracy", _accuracy)):
            figure = Figure(figsize=COLUMN_IN)
            axes = figure.add_subplot()
            numbers = plot(axes, lines)
            if numbers is not None:
                drawn.append(_save(figure, numbers, results / "figures" / name))
    return drawn


def _lines(results: Path, runs: Sequence[str]) -> list[Line]:
    groups: dict[str, list[Path]] = {}
    sizes: dict[str, str] = {}
    for run in runs:
        manifest = json.loads((results / run / "manifest.json").read_text("utf-8"))
        swept = [f"{key}={value}" for key, value in manifest["swept"].items()]
        name = ", ".join([part for part in (manifest["variant"], *swept) if part])
        groups.setdefault(name or manifest["scenario"], []).append(results / run)
        sizes[name or manifest["scenario"]] = manifest["sizes"]
    return [
        Line(
            name,
            tuple(folders),
            sizes[name],
            {
                "color": _COLORS[index % len(_COLORS)],
                "linestyle": _DASHES[index % len(_DASHES)],
                # Colors repeat after seven lines, then with other markers.
                "marker": _MARKERS[(index + index // len(_COLORS)) % len(_MARKERS)],
            },
        )
        for index, (name, folders) in enumerate(groups.items())
    ]


def _latency(axes: Axes, lines: Sequence[Line]) -> pd.DataFrame | None:
    """Plot the distribution of transfer latency; a message that never arrives never counts."""
    numbers = []
    handles: list[Line2D] = []
    for line in lines:
        transfers = pd.concat([pd.read_csv(folder / "transfers.csv") for folder in line.folders])
        if "kind" in transfers:
            transfers = transfers[~transfers["kind"].isin(["background", "probe", "control"])]
        if transfers.empty:
            continue
        latency = np.sort(transfers.loc[transfers["delivered"], "latency_s"].to_numpy())
        share = np.arange(1, len(latency) + 1) / len(transfers)
        lost = 1.0 - len(latency) / len(transfers)
        label = line.name if lost == 0 else f"{line.name} ({lost:.1%} late or lost)"
        style = {key: line.style[key] for key in ("color", "linestyle")}
        handles += axes.step(latency, share, where="post", label=label, **style)
        numbers.append(
            pd.DataFrame({"line": line.name, "latency_s": latency, "share_of_messages": share})
        )
    if not numbers:
        return None
    axes.set_xlabel("Transfer latency [s]")
    axes.set_ylabel("Share of messages sent")
    axes.set_xlim(left=0)
    axes.set_ylim(0, 1.02)
    _legend_above(axes, handles)
    _say_sizes(axes, lines)
    return pd.concat(numbers)


def _accuracy(axes: Axes, lines: Sequence[Line]) -> pd.DataFrame | None:
    """Plot accuracy over simulated time: on all tasks, and on each device's own task."""
    numbers = []
    handles: list[Line2D] = []
    for line in lines:
        tables = [folder / "evaluations.csv" for folder in line.folders]
        if not all(table.is_file() for table in tables):
            continue
        runs = [pd.read_csv(table) for table in tables]
        for own in (False, True):
            curve = _curve([run[run["own"]] if own else run for run in runs])
            style = {**line.style, "linestyle": (0, (1, 1.2)) if own else "-"}
            drawn = axes.plot(
                curve["time_s"], curve["accuracy"], label=line.name,
                markerfacecolor="white" if own else line.style["color"], **style,
            )  # fmt: skip
            if not own:
                handles += drawn
            if len(runs) > 1:
                axes.fill_between(
                    curve["time_s"], curve["low"], curve["high"],
                    color=line.style["color"], alpha=0.2, linewidth=0,
                )  # fmt: skip
            tasks = "own" if own else "all"
            numbers.append(curve.assign(line=line.name, tasks=tasks))
    if not numbers:
        return None
    handles += axes.plot(
        [], [], color="0.4", linestyle=(0, (1, 1.2)), marker="o", markerfacecolor="white",
        label="own task only",
    )  # fmt: skip
    axes.set_xlabel("Simulated time [s]")
    axes.set_ylabel("Accuracy, mean over devices and tasks")
    axes.set_ylim(0, 1.03)
    axes.set_xlim(left=0)
    _legend_above(axes, handles)
    _say_sizes(axes, lines)
    return pd.concat(numbers)


def _curve(runs: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Return the mean over runs of time and accuracy by round, with its 95 % interval."""
    each = pd.concat(
        [
            run.groupby("round")[["time_s", "accuracy"]].mean().assign(run=i)
            for i, run in enumerate(runs)
        ]
    )
    grouped = each.groupby("round")
    curve = grouped[["time_s", "accuracy"]].mean()
    if len(runs) > 1:
        # Runs may end in different rounds: each point counts those that came so far.
        intervals = [mean(accuracies) for _, accuracies in grouped["accuracy"]]
        curve["low"] = [interval.low for interval in intervals]
        curve["high"] = [interval.high for interval in intervals]
    return curve.reset_index()


def _legend_above(axes: Axes, handles: Sequence[Line2D]) -> None:
    """Put the legend above the axes, where it covers no data; more rows make a taller figure."""
    entries = [(handle, _short(str(handle.get_label()))) for handle in handles]
    columns = max(n for n in range(1, len(entries) + 1) if n == 1 or _fits(entries, n))
    axes.legend(
        *zip(*entries, strict=True), loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=columns,
        columnspacing=1.0, handlelength=2.2, borderaxespad=0.2,
    )  # fmt: skip
    rows = -(-len(entries) // columns)
    figure = axes.get_figure(root=True)
    if figure is not None:
        figure.set_size_inches(COLUMN_IN[0], COLUMN_IN[1] + _ROW_IN * (rows - 1))


def _fits(entries: Sequence[tuple[Line2D, str]], columns: int) -> bool:
    """Whether a legend of so many columns, filled one after the other, is as wide as the figure."""
    parts = np.array_split([len(label) for _, label in entries], columns)
    return sum(int(part.max()) + _HANDLE_LETTERS for part in parts) <= _LETTERS_PER_ROW


def _short(label: str) -> str:
    """Return what a legend shows of a label; one that begins with _ would be left out."""
    shown = label if len(label) <= _LONGEST_LABEL else label[: _LONGEST_LABEL - 3] + "..."
    return f" {shown}" if shown.startswith("_") else shown


def _say_sizes(axes: Axes, lines: Sequence[Line]) -> None:
    """Say on the figure whether the sizes of messages are those of the model or emulated."""
    sizes = sorted({line.sizes for line in lines})
    text = ", ".join(
        "actual sizes" if size == "actual" else f"emulated sizes: {size}" for size in sizes
    )
    axes.text(
        1.01, 0.5, text, transform=axes.transAxes, rotation=90, fontsize=6, color="0.35",
        ha="left", va="center",
    )  # fmt: skip


def _save(figure: Figure, numbers: pd.DataFrame, stem: Path) -> Path:
    """Save a figure as PDF and PNG, and its numbers as CSV."""
    stem.parent.mkdir(parents=True, exist_ok=True)
    pdf = stem.with_suffix(".pdf")
    figure.savefig(pdf, metadata={"CreationDate": None})
    figure.savefig(stem.with_suffix(".png"), dpi=300)
    numbers.round(9).to_csv(stem.with_suffix(".csv"), index=False, lineterminator="\n")
    return pdf
