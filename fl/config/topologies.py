"""Topologies: communication graphs of the devices, and exchange between clusters."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from wnsim.core.params import parameters

from .base import Count


@parameters
class Ring:
    """Ring: each device is connected to the previous and the next one by number."""

    model: Literal["ring"] = "ring"


@parameters
class Random:
    """Random regular graph, drawn once.

    Parameters
    ----------
    degree : number of neighbors
    """

    model: Literal["random"] = "random"
    degree: Count = 4


@parameters
class Nearest:
    """Nearest neighbors: each device is connected to the currently nearest ones, symmetrically.

    Parameters
    ----------
    degree : number of nearest devices
    """

    model: Literal["nearest"] = "nearest"
    degree: Count = 4


@parameters
class Agglomerative:
    """Agglomerative clusters of low collision rate, fully connected inside.

    Parameters
    ----------
    s_max : maximum collision rate of a cluster (arXiv 2602.20492, Eq. 19)
    recluster_every : rounds between two clusterings
    """

    model: Literal["agglomerative"] = "agglomerative"
    s_max: Annotated[float, Field(ge=0, le=1)] = 0.3
    recluster_every: Count = 5


@parameters
class Similarity:
    """Similarity clusters: devices with similar prompts, fully connected inside.

    Each device broadcasts a random-projection embedding of its prompt centroid; devices are
    clustered by average linkage on the cosines of the centered embeddings.

    Parameters
    ----------
    threshold : minimum mean cosine between two clusters that are merged
    recluster_every : rounds between two clusterings
    """

    model: Literal["similarity"] = "similarity"
    threshold: Annotated[float, Field(ge=-1, le=1)] = 0.5
    recluster_every: Count = 1_000_000


@parameters
class ByTask:
    """Clusters of the devices with the same tasks, fully connected inside: an oracle."""

    model: Literal["by-task"] = "by-task"


@parameters
class Isolated:
    """No communication, except for the exchange between clusters."""

    model: Literal["isolated"] = "isolated"


@parameters
class ClusterExchange:
    """Exchange between clusters that do not aggregate with each other.

    The aggregated update of a cluster is sent to all devices outside of it, which cache it; the
    A's and prompt centroids of its members, by which a mixture routes, are sent once.

    Parameters
    ----------
    every : rounds between two exchanges; the last round always has one
    source : sender: the `head` of each cluster, its member with the best links to the outside; or,
        for each device, with `nearest` the device of highest SNR that has the update, member or not
    """

    every: Count = 5
    source: Literal["head", "nearest"] = "head"


@parameters
class Full:
    """Complete graph: all devices are connected."""

    model: Literal["full"] = "full"
