"""Breakdown figures as stacked bars: round latency, bytes on the air, energy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from wnsim.core.statistics import Interval, mean
from wnsim.figures.lines import Line
from wnsim.figures.style import area_style, in_rows, legend_above, say_sizes_below, scale

_ROUND = {
    "round_compute_s": "compute",
    "round_queue_s": "queue",
    "round_channel_access_s": "channel access",
    "round_airtime_s": "airtime",
    "round_retransmission_s": "retransmission",
    "round_backhaul_s": "backhaul",
    "round_waiting_s": "waiting",
}
_BYTES = {
    "payload_bytes": "payload",
    "cluster_exchange_bytes": "cluster exchange",
    "control_bytes": "control",
    "query_bytes": "queries",
    "header_bytes": "headers",
    "retransmitted_bytes": "retransmitted",
}
# Parts that only some runs have.
_OPTIONAL = ("query_bytes",)
_ENERGY = {
    "energy_tx_j": "transmission",
    "energy_rx_j": "reception",
    "energy_idle_j": "idle",
    "energy_compute_j": "computation",
}
# Height of the frame, of a line of text, of a gap, and least height of a row.
_FRAME_IN, _TEXT_IN, _GAP_IN, _ROW_IN = 0.75, 0.115, 0.1, 0.28


def round_split(figure: Figure, lines: Sequence[Line]) -> pd.DataFrame | None:
    """Plot the parts of the mean round latency along the critical path."""
    return _stacked(figure, lines, _ROUND, "Mean round latency", "s")


def sent_bytes(figure: Figure, lines: Sequence[Line]) -> pd.DataFrame | None:
    """Plot the bytes on the air by kind."""
    return _stacked(figure, lines, _BYTES, "Bytes on the air", "B")


def energy(figure: Figure, lines: Sequence[Line]) -> pd.DataFrame | None:
    """Plot the energy of all devices by activity."""
    return _stacked(figure, lines, _ENERGY, "Energy of all devices", "J")


def whiskers(axes: Axes, ends: Sequence[float], half: npt.NDArray[np.float64]) -> None:
    """Plot intervals at the ends of horizontal bars, and extend the axis to show them.

    Parameters
    ----------
    axes : axes with the bars
    ends : ends of the bars
    half : half-widths of the intervals; NaN omits one
    """
    known = ~np.isnan(half)
    if known.any():
        axes.errorbar(
            np.asarray(ends)[known], np.flatnonzero(known), xerr=half[known],
            fmt="none", ecolor="black", elinewidth=0.8, capsize=2,
        )  # fmt: skip
    largest = float(np.max(np.asarray(ends) + np.where(known, half, 0.0)))
    axes.set_xlim(0, 1.05 * largest if largest > 0 else 1.0)


def name_rows(figure: Figure, panels: Sequence[Axes], lines: Sequence[Line]) -> None:
    """Label the rows of side-by-side panels with the lines, and adapt the figure height."""
    labels = [in_rows(line.name) for line in lines]
    panels[0].set_yticks(range(len(lines)), labels)
    panels[0].set_ylim(len(lines) - 0.5, -0.5)
    for axes in panels:
        axes.grid(visible=False, axis="y")
        axes.tick_params(axis="y", length=0)
    rows = max(label.count("\n") + 1 for label in labels)
    row_in = max(_ROW_IN, rows * _TEXT_IN + _GAP_IN)
    figure.set_size_inches(figure.get_figwidth(), _FRAME_IN + len(lines) * row_in)


def _stacked(
    figure: Figure, lines: Sequence[Line], parts: Mapping[str, str], quantity: str, unit: str
) -> pd.DataFrame | None:
    """Plot the parts of each line's sum as stacked bars, with the interval of the sum.

    Parameters
    ----------
    figure : empty figure
    lines : lines; those with all metrics in some run are shown
    parts : metrics and their legend entries
    quantity, unit : name and unit of the sum
    """
    optional = [name for name in _OPTIONAL if name in parts]
    runs = {line.name: line.measured(list(parts), optional) for line in lines}
    shown = [line for line in lines if len(runs[line.name])]
    means = pd.DataFrame({line.name: runs[line.name].mean() for line in shown}).T
    sums: list[Interval] = [mean(runs[line.name].sum(axis=1)) for line in shown]
    if not shown or not any(found.mean > 0 for found in sums):
        return None
    axes = figure.add_subplot()
    left = np.zeros(len(shown))
    handles, numbers = [], []
    for index, (metric, label) in enumerate(parts.items()):
        values = means[metric].to_numpy()
        if not values.any():
            continue
        style = area_style(index)
        axes.barh(range(len(shown)), values, left=left, height=0.6, **style)
        left += values
        handles.append(Patch(label=label, **style))
        numbers.append(pd.DataFrame({"line": means.index, "part": label, "mean": values}))
    whiskers(axes, [found.mean for found in sums], np.array([found.half for found in sums]))
    numbers.append(
        pd.DataFrame(
            {
                "line": means.index,
                "part": "sum",
                "mean": [found.mean for found in sums],
                "low": [found.low for found in sums],
                "high": [found.high for found in sums],
            }
        )
    )
    if unit == "s":
        axes.set_xlabel(f"{quantity} [s]")
    else:
        scale(axes.xaxis, quantity, unit, max(found.mean for found in sums))
    name_rows(figure, [axes], shown)
    legend_above(figure, handles)
    say_sizes_below(figure, [line.sizes for line in shown])
    return pd.concat(numbers)
