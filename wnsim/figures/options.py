"""Intervals and remarks of figures, which options remove from a figure that is drawn."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from wnsim.core.figure_options import FigureOptions

BAND, NOTE = "band", "note"
"""Identifiers of what figures show besides their lines: intervals as areas, and remarks."""


def band(axes: Axes, curve: pd.DataFrame, x: str, color: object) -> None:
    """Draw the interval of a curve as an area behind its line.

    Parameters
    ----------
    curve : with the columns `low` and `high`
    x : column of the abscissa
    color : of the line
    """
    axes.fill_between(
        curve[x], curve["low"], curve["high"], color=color, alpha=0.2, linewidth=0, gid=BAND
    )


def apply(options: FigureOptions, figure: Figure) -> None:
    """Remove what is not wanted from a figure."""
    shown = {BAND: options.bands, NOTE: options.notes}
    unwanted = [name for name, wanted in shown.items() if not wanted]
    for artist in figure.findobj(lambda each: each.get_gid() in unwanted):
        artist.remove()
