"""Target figure: share of runs that have reached each target accuracy, over simulated time.

Runs that never reach a target are censored: the share is one minus the estimate of Kaplan and
Meier, whose median is the one of targets.csv.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from wnsim.figures.lines import Line
from wnsim.figures.style import COLUMN_IN, PAGE_WIDTH_IN, legend_above
from wnsim.metrics.targets import targets_of, to_target

_MOST_PANELS = 4


def targets(figure: Figure, lines: Sequence[Line]) -> pd.DataFrame | None:
    """Plot the share of runs that have reached a target, one panel each, with its median."""
    names = targets_of([run for line in lines for run in line.metrics])[:_MOST_PANELS]
    if not names:
        return None
    panels = figure.subplots(1, len(names), sharey=True, squeeze=False)[0]
    handles: dict[str, Line2D] = {}
    numbers = []
    for axes, target in zip(panels, names, strict=True):
        for line in lines:
            found = to_target(line.metrics, target, "time_s")
            if not found.n:
                continue
            time_s = np.concatenate([[0.0], found.at, [found.until]])
            share = np.concatenate([[1.0], found.share])
            reached = 1.0 - np.append(share, share[-1])
            style = {key: line.style[key] for key in ("color", "linestyle")}
            (handles[line.name],) = axes.step(
                time_s, reached, where="post", label=line.name, **style
            )
            median_s = found.median().mean
            if math.isfinite(median_s):
                axes.plot(
                    median_s, 0.5, marker=line.style["marker"], color=line.style["color"],
                    clip_on=False, linestyle="none",
                )  # fmt: skip
            numbers.append(
                pd.DataFrame(
                    {
                        "line": line.name,
                        "target": target,
                        "time_s": time_s,
                        "share_of_runs": reached,
                        "median_s": median_s if math.isfinite(median_s) else math.nan,
                        "runs": found.n,
                    }
                )
            )
        axes.set_title(f"accuracy {target}")
        axes.set_xlabel("Simulated time [s]")
        axes.set_xlim(left=0)
    panels[0].set_ylabel("Fraction of runs")
    panels[0].set_ylim(-0.02, 1.02)
    if not numbers:
        return None
    width_in = COLUMN_IN[0] if len(names) == 1 else PAGE_WIDTH_IN
    figure.set_size_inches(width_in, COLUMN_IN[1])
    legend_above(figure, list(handles.values()))
    return pd.concat(numbers)
