"""Sections on what is shown of all runs: figures, and user-defined metrics."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field, TypeAdapter, ValidationInfo

from wnsim.core.figure_options import FigureOptions
from wnsim.core.params import parameters
from wnsim.core.plugins import allowed_plugin


def _allowed(name: str, info: ValidationInfo) -> str:
    """Return the name of a user-defined metric of an allowed plug-in."""
    if not callable(allowed_plugin(name, "metric", info)):
        raise ValueError(f"metric {name} must be a function")
    return name


MetricName = Annotated[str, AfterValidator(_allowed)]


@parameters
class Presentation:
    """What is shown of all runs; it changes none of them.

    Parameters
    ----------
    figures : which figures are drawn, and how
    metrics : user-defined metrics, functions named module:name, besides the usual ones
    """

    figures: FigureOptions = Field(default_factory=FigureOptions)
    metrics: tuple[MetricName, ...] = ()


PRESENTATION: TypeAdapter[Presentation] = TypeAdapter(Presentation)
PRESENTATION_FILE = "presentation.json"
"""File of a results folder with these sections, unless they are the usual ones."""
