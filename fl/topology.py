"""Who speaks with whom: a topology is a function from what is seen of the network to a graph."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, TypeAlias

import networkx as nx
import numpy as np
from numpy.typing import NDArray

from .config import Full, Nearest, Random, Ring
from .seeds import key

Graph: TypeAlias = "nx.Graph[int]"
Policy = Callable[["View"], Graph]


class View(Protocol):
    """What a topology may see of the network at an instant."""

    @property
    def present(self) -> NDArray[np.bool_]:
        """(devices,) whether each device is there."""

    @property
    def distance_m(self) -> NDArray[np.float64]:
        """(devices, devices) distances [m]."""


def ring(config: Ring, count: int, seed: int) -> Policy:
    """Return the policy that joins the devices present in the order of their numbers."""

    def graph(view: View) -> Graph:
        there = [int(device) for device in np.flatnonzero(view.present)]
        result: Graph = nx.Graph()
        result.add_nodes_from(there)
        if len(there) > 1:
            nx.add_cycle(result, there)
        return result

    return graph


def random(config: Random, count: int, seed: int) -> Policy:
    """Return the policy of a random regular graph, drawn once; absent devices fall out of it.

    Raises
    ------
    ValueError
        if no such graph exists
    """
    if config.degree >= count:
        raise ValueError(
            f"degree must be below the number of devices, got {config.degree} of {count}"
        )
    if config.degree * count % 2:
        raise ValueError(
            f"degree times the number of devices must be even, got {config.degree} times {count}"
        )
    drawn = nx.random_regular_graph(config.degree, count, seed=key(seed, "topology") % 2**32)

    def graph(view: View) -> Graph:
        there = [int(device) for device in np.flatnonzero(view.present)]
        result: Graph = drawn.subgraph(there)
        return result

    return graph


def nearest(config: Nearest, count: int, seed: int) -> Policy:
    """Return the policy that joins each device present with those nearest to it now."""

    def graph(view: View) -> Graph:
        there = np.flatnonzero(view.present)
        result: Graph = nx.Graph()
        result.add_nodes_from(int(device) for device in there)
        distance = view.distance_m[np.ix_(there, there)]
        # A device's distance to itself is 0: it comes first in its own row and is skipped.
        np.fill_diagonal(distance, -1.0)
        order = np.argsort(distance, axis=1, kind="stable")[:, 1 : config.degree + 1]
        for row, others in enumerate(order):
            result.add_edges_from((int(there[row]), int(there[other])) for other in others)
        return result

    return graph


def full(config: Full, count: int, seed: int) -> Policy:
    """Return the policy that joins all devices present."""

    def graph(view: View) -> Graph:
        result: Graph = nx.complete_graph([int(device) for device in np.flatnonzero(view.present)])
        return result

    return graph


TOPOLOGIES: dict[type, Callable[[Any, int, int], Policy]] = {
    Ring: ring,
    Random: random,
    Nearest: nearest,
    Full: full,
}
