"""Energy figures: distribution over devices, and sum over simulated time."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from wnsim.figures.lines import Line, mean_curve
from wnsim.figures.options import band
from wnsim.figures.style import legend_above, say_sizes, scale
from wnsim.metrics.devices import ENERGIES


def energy_devices(figure: Figure, lines: Sequence[Line]) -> pd.DataFrame | None:
    """Plot the distribution over devices of the energy that each has spent, of all runs."""
    axes = figure.add_subplot()
    handles: list[Line2D] = []
    numbers = []
    for line in lines:
        tables = line.tables("devices.csv", ["device", *ENERGIES])
        if not tables:
            continue
        spent = pd.concat([table[ENERGIES].sum(axis=1) for table in tables])
        spent_j = np.sort(spent.to_numpy())
        share = np.arange(1, spent_j.size + 1) / spent_j.size
        style = {key: line.style[key] for key in ("color", "linestyle")}
        # From the first step up, so that equal devices are a vertical line.
        x, y = np.r_[spent_j[0], spent_j], np.r_[0.0, share]
        handles += axes.step(x, y, where="post", label=line.name, **style)
        numbers.append(pd.DataFrame({"line": line.name, "energy_j": spent_j, "share": share}))
    if not numbers or not any(each["energy_j"].any() for each in numbers):
        return None
    scale(axes.xaxis, "Energy of a device", "J", max(each["energy_j"].max() for each in numbers))
    axes.set_ylabel("Fraction of devices")
    axes.set_xlim(left=0)
    axes.set_ylim(0, 1.02)
    legend_above(figure, handles)
    say_sizes(axes, [line.sizes for line in lines])
    return pd.concat(numbers)


def energy_time(figure: Figure, lines: Sequence[Line]) -> pd.DataFrame | None:
    """Plot the energy that all devices have spent so far over simulated time."""
    axes = figure.add_subplot()
    handles: list[Line2D] = []
    numbers = []
    for line in lines:
        tables = line.tables("energy.csv", ["time_s", "device", *ENERGIES])
        if not tables:
            continue
        curve = mean_curve([_sums(table) for table in tables], "time_s", "energy_j")
        every = max(1, len(curve) // 8)
        handles += axes.plot(
            curve["time_s"], curve["energy_j"], label=line.name, markevery=every, **line.style
        )
        if "low" in curve:
            band(axes, curve, "time_s", line.style["color"])
        numbers.append(curve.drop(columns="round").assign(line=line.name))
    if not numbers or not any(each["energy_j"].any() for each in numbers):
        return None
    axes.set_xlabel("Simulated time [s]")
    scale(axes.yaxis, "Energy, all devices", "J", max(each["energy_j"].max() for each in numbers))
    axes.set_xlim(left=0)
    axes.set_ylim(bottom=0)
    legend_above(figure, handles)
    say_sizes(axes, [line.sizes for line in lines])
    return pd.concat(numbers)


def _sums(energy: pd.DataFrame) -> pd.DataFrame:
    """Return the energy of all devices up to each instant, from zero, by number of the instant."""
    spent = energy.assign(energy_j=energy[ENERGIES].sum(axis=1))
    sums = spent.groupby("time_s")["energy_j"].sum().reset_index()
    start = pd.DataFrame({"time_s": [0.0], "energy_j": [0.0]})
    if len(sums) and sums["time_s"].iloc[0] == 0.0:
        start = start.iloc[:0]
    return pd.concat([start, sums], ignore_index=True).rename_axis("round")
