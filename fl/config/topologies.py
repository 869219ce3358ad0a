"""Who speaks with whom."""

from __future__ import annotations

from typing import Literal

from .base import Count, parameters


@parameters
class Ring:
    """Each device speaks with the device before and after it."""

    model: Literal["ring"] = "ring"


@parameters
class Random:
    """A random graph in which each device has the same number of neighbors, drawn once.

    Parameters
    ----------
    degree : number of neighbors
    """

    model: Literal["random"] = "random"
    degree: Count = 4


@parameters
class Nearest:
    """Each device speaks with the devices nearest to it now, and with those it is nearest to.

    Parameters
    ----------
    degree : number of nearest devices
    """

    model: Literal["nearest"] = "nearest"
    degree: Count = 4


@parameters
class Full:
    """Everybody speaks with everybody."""

    model: Literal["full"] = "full"
