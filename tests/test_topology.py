"""Topologies: the guarantees of each, absent devices included."""

from __future__ import annotations

from dataclasses import dataclass

import networkx as nx
import numpy as np
import pytest

from fl.config import (
    Agglomerative,
    ByTask,
    Full,
    Isolated,
    Nearest,
    Random,
    Ring,
    Similarity,
)
from fl.topology import CONTROL, TOPOLOGIES, TopologyContext, connected_groups


@dataclass
class View:
    present: np.ndarray
    distance_m: np.ndarray

    @property
    def tx_power_w(self) -> np.ndarray:
        return np.ones(len(self.present))

    def required_power_w(self, bits: float, deadline_s: float, receivers: int) -> np.ndarray:
        return 1e-6 * self.distance_m**2


def view(count: int, absent: tuple[int, ...] = ()) -> View:
    places = np.random.default_rng(3).random((count, 2)) * 100
    apart = places[:, None] - places[None]
    present = np.ones(count, dtype=bool)
    present[list(absent)] = False
    return View(present, np.hypot(apart[..., 0], apart[..., 1]))


def graph(config: object, seen: View, seed: int = 1) -> nx.Graph:
    count = len(seen.present)
    context = TopologyContext(
        count, seed, [(device % 3,) for device in range(count)],
        densities=lambda: (np.full((count, 2), 0.25), np.ones(2)),
    )  # fmt: skip
    return TOPOLOGIES[type(config)](config, context)(seen, 1)


CONFIGS = [
    Ring(), Random(degree=3), Nearest(degree=3), Full(), ByTask(), Isolated(), Agglomerative(),
]  # fmt: skip


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config.model)
@pytest.mark.parametrize("absent", [(), (0, 4)])
def test_contract(config: object, absent: tuple[int, ...]) -> None:
    seen = view(10, absent)
    result = graph(config, seen)
    assert set(result.nodes) == set(range(10)) - set(absent)
    assert nx.number_of_selfloops(result) == 0
    assert nx.utils.graphs_equal(result, graph(config, seen))


def test_degrees() -> None:
    seen = view(10)
    assert {degree for _, degree in graph(Ring(), seen).degree} == {2}
    assert {degree for _, degree in graph(Random(degree=3), seen).degree} == {3}
    assert {degree for _, degree in graph(Full(), seen).degree} == {9}
    assert min(degree for _, degree in graph(Nearest(degree=3), seen).degree) >= 3


def test_nearest_are_nearest() -> None:
    seen = view(10)
    result = graph(Nearest(degree=2), seen)
    for device in range(10):
        others = np.argsort(seen.distance_m[device])[1:3]
        assert set(others.tolist()) <= set(result[device])


def test_few_devices() -> None:
    assert graph(Ring(), view(1)).number_of_edges() == 0
    assert graph(Ring(), view(2)).number_of_edges() == 1
    assert graph(Nearest(degree=4), view(3)).number_of_edges() == 3


def test_random_graphs_depend_on_the_seed() -> None:
    seen = view(20)
    first, second = (graph(Random(degree=4), seen, seed) for seed in (1, 2))
    assert set(first.edges) != set(second.edges)


@pytest.mark.parametrize(("degree", "count"), [(4, 4), (3, 5)])
def test_impossible_degrees_are_refused(degree: int, count: int) -> None:
    with pytest.raises(ValueError, match="degree"):
        graph(Random(degree=degree), view(count))


def test_groups_by_task_and_alone() -> None:
    assert connected_groups(graph(ByTask(), view(7, (3,)))) == [[0, 6], [1, 4], [2, 5]]
    assert connected_groups(graph(Isolated(), view(3))) == [[0], [1], [2]]


def test_clusters_are_kept_until_they_expire_or_devices_change() -> None:
    calls = []

    def densities() -> tuple[np.ndarray, np.ndarray]:
        calls.append(1)
        return np.full((6, 1), 0.25), np.ones(1)

    context = TopologyContext(6, 1, densities=densities)
    policy = TOPOLOGIES[Agglomerative](Agglomerative(recluster_every=3), context)
    news = [bool(policy(view(6), number).graph.get(CONTROL)) for number in range(1, 8)]
    assert news == [True, False, False, True, False, False, True]
    assert policy(view(6, (2,)), 8).graph.get(CONTROL)
    assert len(calls) == 4
    # At density 0.25 four devices collide in 26 % of the entries, five in 37 %.
    assert sorted(map(len, connected_groups(policy(view(6), 20)))) == [2, 4]


def test_clusters_of_similar_prompts_are_made_every_so_many_rounds() -> None:
    """Law: in rounds 1, 1 + n, 1 + 2 n the embeddings of the round make the clusters."""
    calls = []

    def prompt_embeddings() -> np.ndarray:
        # Devices 0 and 1 are alike at first; 0 and 2 later.
        calls.append(1)
        other = [1, 0] if len(calls) == 1 else [0, 1]
        return np.array([[5.0, 1.0], [5.0, float(other[0])], [5.0, float(other[1])]])

    context = TopologyContext(3, 1, prompt_embeddings=prompt_embeddings)
    config = Similarity(recluster_every=3, threshold=0.5)
    policy = TOPOLOGIES[Similarity](config, context)
    graphs = [policy(view(3), number) for number in range(1, 8)]
    assert [bool(each.graph.get(CONTROL)) for each in graphs] == [
        True, False, False, True, False, False, True,
    ]  # fmt: skip
    assert len(calls) == 3
    groups = [connected_groups(each) for each in graphs]
    assert groups == [[[0, 1], [2]]] * 3 + [[[0, 2], [1]]] * 4


@pytest.mark.parametrize("count", [8, 20])
def test_random_graphs_are_connected(count: int) -> None:
    """Law: of graphs of degree 2 most are several rings, and are drawn again."""
    seen = view(count)
    for seed in range(50):
        drawn = graph(Random(degree=2), seen, seed)
        assert nx.is_connected(drawn)
        assert {degree for _, degree in drawn.degree} == {2}
    # Of degree 1 none is connected.
    assert graph(Random(degree=1), seen).number_of_edges() == count // 2
