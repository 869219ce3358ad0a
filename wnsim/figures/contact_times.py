"""Figure of contacts: how long they last, and how long pairs of devices wait for the next one."""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import NDArray

from wnsim.figures.style import COLUMN_IN, STYLE, legend_above, line_style, logarithmic, save


def draw_contacts(
    whole_s: NDArray[np.float64], between_s: NDArray[np.float64], range_m: float, stem: Path
) -> Path | None:
    """Draw the complementary distributions of contact durations and inter-contact times.

    Parameters
    ----------
    whole_s, between_s : durations of contacts, and of the times between those of a pair [s]
    range_m : distance within which devices are in contact [m]
    stem : path of the figure, without a suffix

    Returns
    -------
    path of the PDF file; None without whole contacts
    """
    durations = {"contact duration": whole_s, "inter-contact time": between_s}
    numbers = []
    with mpl.rc_context({**mpl.rcParamsDefault, **STYLE}):
        figure = Figure(figsize=COLUMN_IN)
        axes = figure.subplots()
        handles = []
        for place, (name, values_s) in enumerate(durations.items()):
            if not values_s.size:
                continue
            time_s = np.sort(values_s)
            longer = 1.0 - np.arange(1, time_s.size + 1) / time_s.size
            style = line_style(place) | {"marker": None}
            handles.append(axes.ecdf(time_s, complementary=True, label=name, **style))
            numbers.append(pd.DataFrame({"time_s": time_s, "longer": longer, "kind": name}))
        if not numbers:
            return None
        logarithmic(axes)
        axes.set_ylim(0, 1.03)
        axes.set_xlabel("Time [s]")
        axes.set_ylabel(f"Fraction that is longer, range {range_m:g} m")
        legend_above(figure, handles)
        return save(figure, pd.concat(numbers), stem)
