"""Topologies: functions from the observed state of the network to a communication graph."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

import networkx as nx
import numpy as np
from numpy.typing import NDArray
from scipy.cluster.hierarchy import fcluster, linkage

from wnsim.core.units import Floats

from ..config import Agglomerative, ByTask, Full, Isolated, Nearest, Random, Ring, Similarity
from .clustering import agglomerate

Graph: TypeAlias = "nx.Graph[int]"
Policy = Callable[["View", int], Graph]
"""Maps the observed state of the network and the number of the round to a graph."""

_DRAWS = 1000
"""Draws of a random graph until it is connected."""

CONTROL = "control"
"""Attribute of a graph that the devices have just negotiated by all-to-all control messages."""


class View(Protocol):
    """State of the network at an instant, as far as a topology can observe it."""

    @property
    def present(self) -> NDArray[np.bool_]:
        """(devices,) whether each device is present."""

    @property
    def distance_m(self) -> Floats:
        """(devices, devices) distances [m]."""

    @property
    def tx_power_w(self) -> Floats:
        """(devices,) transmit power of each device for all its receivers [W]."""

    def required_power_w(self, bits: float, deadline_s: float, receivers: int) -> Floats:
        """Return the power of each link at which a message meets a deadline exactly [W]."""


@dataclass(frozen=True)
class TopologyContext:
    """Properties of the participants that a topology can use.

    Parameters
    ----------
    count : number of devices
    seed : seed of random graphs
    tasks : numbers of each device's tasks
    bits : size of an update after the first contact [bit]
    deadline_s : lifetime of an update [s]
    densities : returns (devices, layers) shares of active entries of B, and (layers,) numbers of
        entries
    prompt_embeddings : returns (devices, embedding), close to each other for similar prompts
    """

    count: int
    seed: int
    tasks: Sequence[tuple[int, ...]] = ()
    bits: float = 0.0
    deadline_s: float = 1.0
    densities: Callable[[], tuple[Floats, Floats]] | None = None
    prompt_embeddings: Callable[[], Floats] | None = None


def ring(config: Ring, context: TopologyContext) -> Policy:
    """Return the policy of a ring of the present devices in the order of their numbers."""

    def graph(view: View, number: int) -> Graph:
        present = [int(device) for device in np.flatnonzero(view.present)]
        result: Graph = nx.Graph()
        result.add_nodes_from(present)
        if len(present) > 1:
            nx.add_cycle(result, present)
        return result

    return graph


def random(config: Random, context: TopologyContext) -> Policy:
    """Return the policy of a random regular graph, drawn once and restricted to present devices.

    Graphs that are not connected are drawn again. Those of degree 1 never are.

    Raises
    ------
    ValueError
        if no such graph exists
    """
    count = context.count
    if config.degree >= count:
        raise ValueError(
            f"degree must be below the number of devices, got {config.degree} of {count}"
        )
    if config.degree * count % 2:
        raise ValueError(
            f"degree times the number of devices must be even, got {config.degree} times {count}"
        )
    seeds = ((context.seed + extra) % 2**32 for extra in range(_DRAWS))
    draws = (nx.random_regular_graph(config.degree, count, seed=seed) for seed in seeds)
    drawn = next((each for each in draws if config.degree < 2 or nx.is_connected(each)), None)
    if drawn is None:
        raise ValueError(
            f"none of {_DRAWS} random graphs of degree {config.degree} over {count} devices is "
            "connected"
        )

    def graph(view: View, number: int) -> Graph:
        present = [int(device) for device in np.flatnonzero(view.present)]
        result: Graph = drawn.subgraph(present)
        return result

    return graph


def nearest(config: Nearest, context: TopologyContext) -> Policy:
    """Return the policy that connects each present device with the currently nearest ones."""

    def graph(view: View, number: int) -> Graph:
        present = np.flatnonzero(view.present)
        result: Graph = nx.Graph()
        result.add_nodes_from(int(device) for device in present)
        distance = view.distance_m[np.ix_(present, present)]
        # Each device comes first in its own row, and is skipped.
        np.fill_diagonal(distance, -1.0)
        order = np.argsort(distance, axis=1, kind="stable")[:, 1 : config.degree + 1]
        for row, others in enumerate(order):
            result.add_edges_from((int(present[row]), int(present[other])) for other in others)
        return result

    return graph


def full(config: Full, context: TopologyContext) -> Policy:
    """Return the policy of the complete graph of the present devices."""

    def graph(view: View, number: int) -> Graph:
        result: Graph = nx.complete_graph([int(device) for device in np.flatnonzero(view.present)])
        return result

    return graph


def by_task(config: ByTask, context: TopologyContext) -> Policy:
    """Return the policy that connects all present devices with the same tasks."""

    def graph(view: View, number: int) -> Graph:
        groups: dict[tuple[int, ...], list[int]] = {}
        for device in np.flatnonzero(view.present).tolist():
            groups.setdefault(context.tasks[device], []).append(device)
        return _cliques(groups.values())

    return graph


def isolated(config: Isolated, context: TopologyContext) -> Policy:
    """Return the policy without any edges."""

    def graph(view: View, number: int) -> Graph:
        return _cliques([int(device)] for device in np.flatnonzero(view.present))

    return graph


def agglomerative(config: Agglomerative, context: TopologyContext) -> Policy:
    """Return the policy of clusters with low collision rates, kept for some rounds.

    Raises
    ------
    ValueError
        if the context has no densities
    """
    densities = context.densities
    if densities is None:
        raise ValueError("topology agglomerative needs the densities of the devices")

    def cluster(view: View, present: list[int]) -> list[list[int]]:
        return agglomerate(
            present,
            *densities(),
            config.s_max,
            lambda receivers: view.required_power_w(context.bits, context.deadline_s, receivers),
            view.tx_power_w,
        )

    return _reclustered(cluster, config.recluster_every)


def similarity(config: Similarity, context: TopologyContext) -> Policy:
    """Return the policy of clusters with similar prompts, kept until a device arrives or departs.

    Sources: average linkage (UPGMA: Sokal and Michener, 1958) on the cosines of the centered
    prompt embeddings. Ours: the paper clusters by collisions only.

    Raises
    ------
    ValueError
        if the context has no prompt embeddings
    """
    embeddings = context.prompt_embeddings
    if embeddings is None:
        raise ValueError("topology similarity needs the prompt embeddings of the devices")

    def cluster(view: View, present: list[int]) -> list[list[int]]:
        centered = embeddings()[present]
        centered = centered - centered.mean(axis=0)
        if len(present) < 2 or not centered.any():
            return [present]
        dendrogram = linkage(centered, "average", "cosine")
        labels = fcluster(dendrogram, 1.0 - config.threshold, "distance")
        found: dict[int, list[int]] = {}
        for device, label in zip(present, labels.tolist(), strict=True):
            found.setdefault(label, []).append(device)
        return list(found.values())

    return _reclustered(cluster, config.recluster_every)


def connected_groups(graph: Graph) -> list[list[int]]:
    """Return the connected components of a graph, sorted, each in ascending order."""
    return sorted(sorted(each) for each in nx.connected_components(graph))


def _reclustered(cluster: Callable[[View, list[int]], list[list[int]]], rounds: int) -> Policy:
    """Return the policy of clusters that are recomputed after some rounds, or if devices change."""
    last: list[tuple[int, list[int], list[list[int]]]] = []

    def graph(view: View, number: int) -> Graph:
        present = [int(device) for device in np.flatnonzero(view.present)]
        is_valid = bool(last) and number < last[0][0] + rounds and last[0][1] == present
        if not is_valid:
            last[:] = [(number, present, cluster(view, present))]
        result = _cliques(last[0][2])
        if not is_valid:
            result.graph[CONTROL] = True
        return result

    return graph


def _cliques(members: Iterable[Iterable[int]]) -> Graph:
    result: Graph = nx.Graph()
    for group in members:
        result.add_nodes_from(group := list(group))
        result.add_edges_from(itertools.combinations(group, 2))
    return result


TOPOLOGIES: dict[type, Callable[[Any, TopologyContext], Policy]] = {
    Ring: ring,
    Random: random,
    Nearest: nearest,
    Full: full,
    ByTask: by_task,
    Isolated: isolated,
    Similarity: similarity,
    Agglomerative: agglomerative,
}


def policy_of(config: Any, context: TopologyContext) -> Policy:
    """Return the policy of a topology, built-in or user-defined.

    Raises
    ------
    ValueError
        if no such graph exists
    """
    known = TOPOLOGIES.get(type(config))
    policy: Policy = config.policy(context) if known is None else known(config, context)
    return policy
