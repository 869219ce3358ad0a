"""Options of figures: which are drawn, and how; `wnsim figures` has them as words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from matplotlib.figure import Figure

FORMATS = ("pdf", "svg", "png")
"""Formats of a figure."""
BAND, NOTE = "band", "note"
"""Identifiers of what figures show besides their lines: intervals as areas, and remarks."""


@dataclass(frozen=True)
class Options:
    """Options of the standard figures.

    Parameters
    ----------
    only : names of the figures to draw; none for all
    width_in : width of those whose width is one column otherwise; None for that [in]
    bands : whether confidence intervals are drawn as areas behind lines
    notes : whether it is said beside the axes whether message sizes are actual
    formats : file formats
    names : names to show in place of variants, swept keys, and swept values such as `key=value`
    """

    only: tuple[str, ...] = ()
    width_in: float | None = None
    bands: bool = True
    notes: bool = True
    formats: tuple[str, ...] = FORMATS
    names: Mapping[str, str] = field(default_factory=dict)

    def named(self, variant: str, swept: Mapping[str, str]) -> str:
        """Return the name of a line.

        Parameters
        ----------
        variant : its variant
        swept : its swept values by key, as text
        """
        parts = [self.names.get(variant, variant)]
        for key, value in swept.items():
            both = f"{key}={value}"
            parts.append(self.names.get(both, f"{self.names.get(key, key)}={value}"))
        return ", ".join(part for part in parts if part)

    def apply(self, figure: Figure) -> None:
        """Remove what is not wanted from a figure."""
        shown = {BAND: self.bands, NOTE: self.notes}
        unwanted = [name for name, wanted in shown.items() if not wanted]
        for artist in figure.findobj(lambda each: each.get_gid() in unwanted):
            artist.remove()


USUAL = Options()
"""All figures, as they are drawn after runs."""
