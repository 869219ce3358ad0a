"""Standard figures of a scenario, drawn from its results folder alone.

Each module covers one group of figures. A figure whose table or columns are missing is skipped. A
CSV file beside each figure holds the plotted numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import matplotlib as mpl
import pandas as pd
from matplotlib.figure import Figure

from wnsim.figures import clusters, delivery, learning, maps, stacks
from wnsim.figures.lines import Line, read_lines
from wnsim.figures.style import COLUMN_IN, PAGE_WIDTH_IN, STYLE, legend_above, line_style, save

__all__ = [
    "COLUMN_IN",
    "FIGURES",
    "PAGE_WIDTH_IN",
    "STYLE",
    "Line",
    "draw",
    "legend_above",
    "line_style",
    "read_lines",
    "save",
]

FIGURES: dict[str, Callable[[Figure, Sequence[Line]], pd.DataFrame | None]] = {
    "latency": delivery.latency,
    "goodput": delivery.goodput,
    "accuracy": learning.accuracy,
    "accuracy-bytes": learning.accuracy_bytes,
    "accuracy-rounds": learning.accuracy_rounds,
    "tasks": learning.tasks,
    "round-split": stacks.round_split,
    "bytes": stacks.sent_bytes,
    "energy": stacks.energy,
    "collisions": clusters.collisions,
    "map": maps.network_map,
}
"""Figures by name: each draws lines and returns the numbers plotted, None if there are none."""


def draw(results: Path, runs: Sequence[str]) -> list[Path]:
    """Draw the standard figures of a scenario into the folder `figures` of its results.

    Parameters
    ----------
    results : results folder of a scenario
    runs : names of the run folders in the order of the legend

    Returns
    -------
    paths of the PDF files
    """
    lines = read_lines(results, runs)
    drawn = []
    with mpl.rc_context({**mpl.rcParamsDefault, **STYLE}):
        for name, plot in FIGURES.items():
            figure = Figure(figsize=COLUMN_IN)
            numbers = plot(figure, lines)
            if numbers is not None:
                drawn.append(save(figure, numbers, results / "figures" / name))
    return drawn
