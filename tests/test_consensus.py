"""Distance from consensus and the rate of mixing: closed forms."""

from __future__ import annotations

import math

import networkx as nx
import numpy as np
import pytest
import torch

from fl.aggregation.consensus import consensus_error, mixing_matrix, spectral_gap


def gap_of(graph: nx.Graph) -> float:
    """Return the gap of a graph in which all devices receive all neighbors with equal weights."""
    senders = {device: sorted(graph[device]) for device in graph}
    return spectral_gap(mixing_matrix(sorted(graph), senders, lambda device: 2.0))


@pytest.mark.parametrize("count", [3, 4, 5, 8, 21])
def test_gap_of_a_ring(count: int) -> None:
    """Law: eigenvalues (1 + 2 cos(2 pi k / n)) / 3, the second largest modulus at k = 1 except for
    n = 4, where it is 1/3 at k = 1 and k = 2."""
    eigenvalues = [(1 + 2 * math.cos(2 * math.pi * k / count)) / 3 for k in range(1, count)]
    expected = 1 - max(abs(each) for each in eigenvalues)
    assert gap_of(nx.cycle_graph(count)) == pytest.approx(expected, abs=1e-12)
    if count != 4:
        first = 1 - abs(1 + 2 * math.cos(2 * math.pi / count)) / 3
        assert expected == pytest.approx(first, abs=1e-12)


@pytest.mark.parametrize("count", [2, 5, 12])
def test_a_complete_graph_agrees_in_one_round(count: int) -> None:
    assert gap_of(nx.complete_graph(count)) == pytest.approx(1.0, abs=1e-7)


def test_a_single_device_agrees_and_two_disconnected_ones_never_do() -> None:
    assert gap_of(nx.empty_graph(1)) == 1.0
    assert gap_of(nx.empty_graph(2)) == pytest.approx(0.0, abs=1e-12)


def test_updates_that_were_not_received_have_no_weight() -> None:
    """Law: rows by weight: device 5 receives from 7, which counts thrice, and 7 from none."""
    mixing = mixing_matrix([5, 7], {5: [7]}, {5: 1.0, 7: 3.0}.__getitem__)
    assert mixing.tolist() == [[0.25, 0.75], [0.0, 1.0]]
    assert spectral_gap(mixing) == pytest.approx(0.75)


def test_mixing_contracts_by_the_spectral_gap() -> None:
    """Law: on a ring the distance to consensus shrinks by |lambda_2| in each round."""
    graph = nx.cycle_graph(9)
    mixing = mixing_matrix(range(9), {each: sorted(graph[each]) for each in graph}, lambda _: 1.0)
    x = np.random.default_rng(1).normal(size=9)
    distances = []
    for _ in range(60):
        x = mixing @ x
        distances.append(np.linalg.norm(x - x.mean()))
    rate = (distances[-1] / distances[29]) ** (1 / 30)
    assert 1 - rate == pytest.approx(spectral_gap(mixing), abs=1e-6)


def test_consensus_error_by_hand() -> None:
    """Law: 1 and 3 are 1 from their mean 2, (1 + 1) / (2 * 4); layers add up."""
    one, three = torch.tensor([[1.0]]), torch.tensor([[3.0]])
    assert consensus_error([[one], [three]]) == 0.25
    same = torch.full((2, 2), 2.0)
    assert consensus_error([[one, same], [three, same]]) == pytest.approx(2 / (2 * (4 + 16)))
    assert consensus_error([[three], [three]]) == 0.0
    assert math.isnan(consensus_error([[one], [-one]]))
