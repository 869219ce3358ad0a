"""Delivery figures: latency distribution and goodput."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from wnsim.core.statistics import mean
from wnsim.figures import stacks
from wnsim.figures.lines import Line
from wnsim.figures.style import area_style, legend_above, say_sizes, say_sizes_below, scale
from wnsim.metrics.delivery import counted

# Points of a distribution function.
_MOST_POINTS = 5_000


def latency(figure: Figure, lines: Sequence[Line]) -> pd.DataFrame | None:
    """Plot the distribution of latency over all messages, undelivered ones included.

    Of more than 5,000 delivered messages of a line, as many are plotted, evenly by rank, the
    fastest and the slowest among them: the curve is exact at their latencies, and in between below
    the distribution function of all messages by less than 0.0003.
    """
    axes = figure.add_subplot()
    numbers = []
    handles: list[Line2D] = []
    for line in lines:
        runs = [counted(run) for run in line.transfers(["delivered", "latency_s"])]
        count = sum(len(run) for run in runs)
        if not count:
            continue
        every_s = [run.loc[run["delivered"], "latency_s"].to_numpy() for run in runs if len(run)]
        latency_s = np.sort(np.concatenate(every_s))
        missing = 1.0 - len(latency_s) / count
        rank = np.arange(1, len(latency_s) + 1)
        if len(latency_s) > _MOST_POINTS:
            rank = np.linspace(1, len(latency_s), _MOST_POINTS).round().astype(np.int64)
            latency_s = latency_s[rank - 1]
        share = rank / count
        label = line.name if missing == 0 else f"{line.name} ({missing:.1%} late or lost)"
        style = {key: line.style[key] for key in ("color", "linestyle")}
        handles += axes.step(latency_s, share, where="post", label=label, **style)
        numbers.append(
            pd.DataFrame({"line": line.name, "latency_s": latency_s, "share_of_messages": share})
        )
    if not numbers:
        return None
    axes.set_xlabel("Transfer latency [s]")
    axes.set_ylabel("Fraction of messages")
    axes.set_xlim(left=0)
    axes.set_ylim(0, 1.02)
    legend_above(figure, handles)
    say_sizes(axes, [line.sizes for line in lines])
    return pd.concat(numbers)


def goodput(figure: Figure, lines: Sequence[Line]) -> pd.DataFrame | None:
    """Plot the goodput of each line."""
    shown = [line for line in lines if len(line.measured(["goodput_bps"]))]
    if not shown:
        return None
    axes = figure.add_subplot()
    found = [mean(line.measured(["goodput_bps"])["goodput_bps"]) for line in shown]
    means = [interval.mean for interval in found]
    axes.barh(range(len(shown)), means, height=0.6, **area_style(1))
    stacks.whiskers(axes, means, np.array([interval.half for interval in found]))
    scale(axes.xaxis, "Goodput", "bit/s", max(means))
    stacks.name_rows(figure, [axes], shown)
    say_sizes_below(figure, [line.sizes for line in shown])
    return pd.DataFrame(
        {
            "line": [line.name for line in shown],
            "metric": "goodput_bps",
            "mean": means,
            "low": [interval.low for interval in found],
            "high": [interval.high for interval in found],
        }
    )
