"""Who speaks with whom."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

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
class Agglomerative:
    """Clusters in which the fewest entries of B collide, everybody speaking with everybody inside.

    Parameters
    ----------
    s_max : share of the entries that may collide in a cluster (arXiv 2602.20492, Eq. 19)
    recluster_every : rounds until devices that have moved are clustered anew
    """

    model: Literal["agglomerative"] = "agglomerative"
    s_max: Annotated[float, Field(ge=0, le=1)] = 0.3
    recluster_every: Count = 5


@parameters
class ByTask:
    """Everybody speaks with everybody who has the same tasks; an oracle tells who that is."""

    model: Literal["by-task"] = "by-task"


@parameters
class Alone:
    """Nobody speaks with anybody, but for what is shared between groups."""

    model: Literal["alone"] = "alone"


@parameters
class Sharing:
    """What groups that do not aggregate with each other tell each other.

    The head of each group, the member best heard elsewhere, sends what the group has come to to all
    devices outside of it, which keep it beside their own; the A's of its members and the means of
    their prompts, by which a mixture chooses, travel once.

    Parameters
    ----------
    every : rounds between two times; the last round always has one
    """

    every: Count = 5


@parameters
class Full:
    """Everybody speaks with everybody."""

    model: Literal["full"] = "full"
