"""Options of figures, which scenario files (`figures`) and `wnsim figures` share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal, get_args

from pydantic import AfterValidator, Field, ValidationInfo

from wnsim.core.params import parameters
from wnsim.core.plugins import allowed_plugin

Format = Literal["pdf", "svg", "png"]
FORMATS: tuple[Format, ...] = get_args(Format)
"""Formats of a figure."""
FIGURE_NAMES = (
    "swept",
    "latency",
    "goodput",
    "outcomes",
    "accuracy",
    "accuracy-bytes",
    "accuracy-rounds",
    "tasks",
    "targets",
    "round-split",
    "bytes",
    "energy",
    "collisions",
    "map",
)
"""Names of the standard figures, in the order of the report."""
MORE_NAMES = (
    "failures",
    "latency-directions",
    "bytes-directions",
    "energy-devices",
    "energy-time",
    "timeline",
)
"""Names of the figures that are drawn if they are asked for."""


def _known(name: str, info: ValidationInfo) -> str:
    """Return the name of a figure, a standard one or of an allowed plug-in."""
    if ":" in name:
        allowed_plugin(name, "figure", info)
    elif name not in (*FIGURE_NAMES, *MORE_NAMES):
        known = ", ".join((*FIGURE_NAMES, *MORE_NAMES))
        raise ValueError(f"no figure of this name; known: {known}")
    return name


FigureName = Annotated[str, AfterValidator(_known)]


@parameters
class FigureOptions:
    """Which figures are drawn after runs, and how; the numbers are the same whatever they are.

    Parameters
    ----------
    only : figures to draw, by name, such as latency, or your own as module:name; all standard ones
        by default
    more : figures to draw besides: failures, latency-directions, bytes-directions (uplink and
        downlink apart), energy-devices, energy-time, timeline (Gantt chart of the rounds of one
        device), or your own as module:name
    device : name of the device of the timeline; the first one by default
    width_in : width of figures that are one column of 3.5 in wide otherwise; a page of two columns
        has 7.16 [in]
    bands : whether confidence intervals are drawn as areas behind lines
    notes : whether it is said beside the axes whether message sizes are actual
    formats : file formats
    names : texts to show in place of variants, swept keys, and swept values, written key=value
    """

    only: tuple[FigureName, ...] = ()
    more: tuple[FigureName, ...] = ()
    device: str = ""
    width_in: Annotated[float, Field(ge=1, le=20)] | None = None
    bands: bool = True
    notes: bool = True
    formats: Annotated[tuple[Format, ...], Field(min_length=1)] = FORMATS
    names: Mapping[str, str] = Field(default_factory=dict)

    @property
    def wanted(self) -> tuple[str, ...]:
        """Names of the figures to draw, each once."""
        return tuple(dict.fromkeys([*(self.only or FIGURE_NAMES), *self.more]))

    def named(
        self, variant: str, swept: Mapping[str, str], shown: Mapping[str, str] | None = None
    ) -> str:
        """Return the name of a line.

        Parameters
        ----------
        variant : its variant
        swept : its swept values by key, as `names` may give them
        shown : the same as they are shown; as they are if not given
        """
        parts = [self.names.get(variant, variant)]
        for key, value in swept.items():
            text = value if shown is None else shown[key]
            usual = f"{self.names.get(key, key)}={text}"
            own = _value_names(key, value, text)
            parts.append(next((self.names[each] for each in own if each in self.names), usual))
        return ", ".join(part for part in parts if part)


def names_of(variant: str, swept: Mapping[str, object], shown: Mapping[str, str]) -> list[str]:
    """Return the names of a line that `FigureOptions.names` can replace; see `named`."""
    found = [variant] if variant else []
    for key, value in swept.items():
        found += [key, *dict.fromkeys(_value_names(key, str(value), shown[key]))]
    return found


def _value_names(key: str, value: str, shown: str) -> list[str]:
    """Return the names of a swept value: as it is, and as it is shown."""
    return [f"{key}={value}", f"{key}={shown}"]


USUAL = FigureOptions()
"""All standard figures, as they are drawn after runs."""
