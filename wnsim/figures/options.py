"""What options of figures remove from a figure that is drawn."""

from __future__ import annotations

from matplotlib.figure import Figure

from wnsim.core.figure_options import FigureOptions

BAND, NOTE = "band", "note"
"""Identifiers of what figures show besides their lines: intervals as areas, and remarks."""


def apply(options: FigureOptions, figure: Figure) -> None:
    """Remove what is not wanted from a figure."""
    shown = {BAND: options.bands, NOTE: options.notes}
    unwanted = [name for name, wanted in shown.items() if not wanted]
    for artist in figure.findobj(lambda each: each.get_gid() in unwanted):
        artist.remove()
