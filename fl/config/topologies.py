"""Who speaks with whom."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from wnsim.core.params import parameters

from .base import Count


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
class Similar:
    """Groups of devices whose prompts are alike, everybody speaking with everybody inside.

    Each device tells all others a sketch of the mean of what enters the layers over its prompts;
    those whose sketches, less the mean of all, point the same way are joined (average linkage).

    Parameters
    ----------
    similarity : least mean cosine between two groups that are joined
    regroup_every : rounds until devices are grouped anew
    """

    model: Literal["similar"] = "similar"
    similarity: Annotated[float, Field(ge=-1, le=1)] = 0.5
    regroup_every: Count = 1_000_000


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

    What a group has come to goes to all devices outside of it, which keep it beside their own; the
    A's of its members and the means of their prompts, by which a mixture chooses, travel once.

    Parameters
    ----------
    every : rounds between two times; the last round always has one
    source : who sends: the `head` of each group, its member best heard elsewhere; or, to each
        device, the `nearest` of those who have it, members or not
    """

    every: Count = 5
    source: Literal["head", "nearest"] = "head"


@parameters
class Full:
    """Everybody speaks with everybody."""

    model: Literal["full"] = "full"
