"""Which device learns from which examples."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from wnsim.core.params import parameters

from .base import Count

Spread = Annotated[float, Field(ge=0, le=5)]


@parameters
class OneTask:
    """Each device has one task, in turns; devices with the same task share its examples out.

    Parameters
    ----------
    size_spread : standard deviation of the logarithm of a device's number of examples
    """

    model: Literal["one-task"] = "one-task"
    size_spread: Spread = 0.0


@parameters
class Dirichlet:
    """Each task is shared out to all devices in shares from a Dirichlet law.

    Parameters
    ----------
    alpha : of the law; small: few devices have most of a task, large: all have as much
    min_examples : of each device; shares are drawn again until all have as many
    size_spread : as for `one-task`
    """

    model: Literal["dirichlet"] = "dirichlet"
    alpha: Annotated[float, Field(gt=0, le=1e6)] = 0.5
    min_examples: Count = 8
    size_spread: Spread = 0.0


@parameters
class Iid:
    """All tasks are mixed, and every device has a random part of the mixture.

    Parameters
    ----------
    size_spread : as for `one-task`
    """

    model: Literal["iid"] = "iid"
    size_spread: Spread = 0.0
