"""Delivery figures: latency distribution, goodput and deadline misses."""

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

# Kinds of messages without a latency of interest.
_OTHERS = ("background", "probe", "control")


def latency(figure: Figure, lines: Sequence[Line]) -> pd.DataFrame | None:
    """Plot the distribution of latency over all messages, undelivered ones included."""
    axes = figure.add_subplot()
    numbers = []
    handles: list[Line2D] = []
    for line in lines:
        transfers = pd.concat(line.tables("transfers.csv", ["latency_s"]) or [pd.DataFrame()])
        if "kind" in transfers:
            transfers = transfers[~transfers["kind"].isin(_OTHERS)]
        if transfers.empty:
            continue
        latency_s = np.sort(transfers.loc[transfers["delivered"], "latency_s"].to_numpy())
        share = np.arange(1, len(latency_s) + 1) / len(transfers)
        lost = 1.0 - len(latency_s) / len(transfers)
        label = line.name if lost == 0 else f"{line.name} ({lost:.1%} dropped)"
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
    """Plot goodput and deadline miss ratio of each line in two panels."""
    metrics = ["goodput_bps", "deadline_miss_ratio"]
    shown = [line for line in lines if len(line.measured(metrics))]
    if not shown:
        return None
    left, right = figure.subplots(1, 2, sharey=True)
    numbers = []
    for axes, metric in ((left, metrics[0]), (right, metrics[1])):
        found = [mean(line.measured(metrics)[metric]) for line in shown]
        means = [interval.mean for interval in found]
        half = np.array([interval.half for interval in found])
        axes.barh(range(len(shown)), means, height=0.6, **area_style(1))
        stacks.whiskers(axes, means, half)
        numbers.append(
            pd.DataFrame(
                {
                    "line": [line.name for line in shown],
                    "metric": metric,
                    "mean": means,
                    "low": [interval.low for interval in found],
                    "high": [interval.high for interval in found],
                }
            )
        )
    scale(left.xaxis, "Goodput", "bit/s", float(numbers[0]["mean"].max()))
    right.set_xlabel("Deadline miss ratio")
    stacks.name_rows(figure, [left, right], shown)
    say_sizes_below(figure, [line.sizes for line in shown])
    return pd.concat(numbers)
