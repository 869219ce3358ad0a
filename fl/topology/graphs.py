"""Who speaks with whom: a topology is a function from what is seen of the network to a graph."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

import networkx as nx
import numpy as np
from numpy.typing import NDArray
from scipy.cluster.hierarchy import fcluster, linkage

from ..config import Agglomerative, ByTask, Full, Isolated, Nearest, Random, Ring, Similarity
from .clustering import agglomerate

Graph: TypeAlias = "nx.Graph[int]"
Floats = NDArray[np.float64]
Policy = Callable[["View", int], Graph]
"""From what is seen of the network, and the number of the round."""

CONTROL = "control"
"""Attribute of a graph that was agreed upon just now, by messages of all to all."""


class View(Protocol):
    """What a topology may see of the network at an instant."""

    @property
    def present(self) -> NDArray[np.bool_]:
        """(devices,) whether each device is there."""

    @property
    def distance_m(self) -> Floats:
        """(devices, devices) distances [m]."""

    @property
    def tx_power_w(self) -> Floats:
        """(devices,) what each has for all its receivers [W]."""

    def required_power_w(self, bits: float, deadline_s: float, receivers: int) -> Floats:
        """Return the power of each link at which a message just meets a deadline [W]."""


@dataclass(frozen=True)
class Party:
    """What a topology may know of those who learn.

    Parameters
    ----------
    count : number of devices
    seed : of random graphs
    tasks : per device the numbers of its tasks
    bits : of an update that is not the first [bit]
    deadline_s : until which it must have arrived [s]
    densities : returns (devices, layers) shares of active entries of B, and (layers,) its entries
    sketches : returns (devices, numbers), of which near ones tell of like prompts
    """

    count: int
    seed: int
    tasks: Sequence[tuple[int, ...]] = ()
    bits: float = 0.0
    deadline_s: float = 1.0
    densities: Callable[[], tuple[Floats, Floats]] | None = None
    sketches: Callable[[], Floats] | None = None


def ring(config: Ring, party: Party) -> Policy:
    """Return the policy that joins the devices present in the order of their numbers."""

    def graph(view: View, number: int) -> Graph:
        there = [int(device) for device in np.flatnonzero(view.present)]
        result: Graph = nx.Graph()
        result.add_nodes_from(there)
        if len(there) > 1:
            nx.add_cycle(result, there)
        return result

    return graph


def random(config: Random, party: Party) -> Policy:
    """Return the policy of a random regular graph, drawn once; absent devices fall out of it.

    Raises
    ------
    ValueError
        if no such graph exists
    """
    count = party.count
    if config.degree >= count:
        raise ValueError(
            f"degree must be below the number of devices, got {config.degree} of {count}"
        )
    if config.degree * count % 2:
        raise ValueError(
            f"degree times the number of devices must be even, got {config.degree} times {count}"
        )
    drawn = nx.random_regular_graph(config.degree, count, seed=party.seed % 2**32)

    def graph(view: View, number: int) -> Graph:
        there = [int(device) for device in np.flatnonzero(view.present)]
        result: Graph = drawn.subgraph(there)
        return result

    return graph


def nearest(config: Nearest, party: Party) -> Policy:
    """Return the policy that joins each device present with those nearest to it now."""

    def graph(view: View, number: int) -> Graph:
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


def full(config: Full, party: Party) -> Policy:
    """Return the policy that joins all devices present."""

    def graph(view: View, number: int) -> Graph:
        result: Graph = nx.complete_graph([int(device) for device in np.flatnonzero(view.present)])
        return result

    return graph


def by_task(config: ByTask, party: Party) -> Policy:
    """Return the policy that joins all devices present that have the same tasks."""

    def graph(view: View, number: int) -> Graph:
        groups: dict[tuple[int, ...], list[int]] = {}
        for device in np.flatnonzero(view.present).tolist():
            groups.setdefault(party.tasks[device], []).append(device)
        return _cliques(groups.values())

    return graph


def alone(config: Isolated, party: Party) -> Policy:
    """Return the policy that joins nobody."""

    def graph(view: View, number: int) -> Graph:
        return _cliques([int(device)] for device in np.flatnonzero(view.present))

    return graph


def agglomerative(config: Agglomerative, party: Party) -> Policy:
    """Return the policy of clusters that collide little; they stay for some rounds.

    Raises
    ------
    ValueError
        if nothing is known of the densities
    """
    densities = party.densities
    if densities is None:
        raise ValueError("topology agglomerative must know the densities of devices")

    def find(view: View, there: list[int]) -> list[list[int]]:
        return agglomerate(
            there,
            *densities(),
            config.s_max,
            lambda receivers: view.required_power_w(party.bits, party.deadline_s, receivers),
            view.tx_power_w,
        )

    return _lasting(find, config.recluster_every)


def similar(config: Similarity, party: Party) -> Policy:
    """Return the policy of groups with like prompts; they stay until somebody comes or goes.

    Sources: average linkage (UPGMA: Sokal and Michener, 1958) on the cosines of sketches, less
    their mean. Ours: the paper clusters by collisions alone.

    Raises
    ------
    ValueError
        if nothing is known of the prompts
    """
    sketches = party.sketches
    if sketches is None:
        raise ValueError("topology similar must know sketches of the devices' prompts")

    def find(view: View, there: list[int]) -> list[list[int]]:
        centred = sketches()[there]
        centred = centred - centred.mean(axis=0)
        if len(there) < 2 or not centred.any():
            return [there]
        joined = linkage(centred, "average", "cosine")
        names = fcluster(joined, 1.0 - config.threshold, "distance")
        found: dict[int, list[int]] = {}
        for device, name in zip(there, names.tolist(), strict=True):
            found.setdefault(name, []).append(device)
        return list(found.values())

    return _lasting(find, config.recluster_every)


def groups(graph: Graph) -> list[list[int]]:
    """Return those who speak with each other, directly or through others, each ascending."""
    return sorted(sorted(each) for each in nx.connected_components(graph))


def _lasting(find: Callable[[View, list[int]], list[list[int]]], rounds: int) -> Policy:
    """Return the policy of groups that are found anew after some rounds, or if devices change."""
    last: list[tuple[int, list[int], list[list[int]]]] = []

    def graph(view: View, number: int) -> Graph:
        there = [int(device) for device in np.flatnonzero(view.present)]
        stays = bool(last) and number < last[0][0] + rounds and last[0][1] == there
        if not stays:
            last[:] = [(number, there, find(view, there))]
        result = _cliques(last[0][2])
        if not stays:
            result.graph[CONTROL] = True
        return result

    return graph


def _cliques(members: Iterable[Iterable[int]]) -> Graph:
    result: Graph = nx.Graph()
    for group in members:
        result.add_nodes_from(group := list(group))
        result.add_edges_from(itertools.combinations(group, 2))
    return result


TOPOLOGIES: dict[type, Callable[[Any, Party], Policy]] = {
    Ring: ring,
    Random: random,
    Nearest: nearest,
    Full: full,
    ByTask: by_task,
    Isolated: alone,
    Similarity: similar,
    Agglomerative: agglomerative,
}


def policy_of(config: Any, party: Party) -> Policy:
    """Return the policy of some parameters: one on board, or what a user's own say that it is.

    Raises
    ------
    ValueError
        if there is no such graph
    """
    known = TOPOLOGIES.get(type(config))
    policy: Policy = config.policy(party) if known is None else known(config, party)
    return policy
