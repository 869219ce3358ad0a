"""Collisions and the clusters that avoid them: Eq. (19) and its consequences."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from fl.aggregation.collision import (
    collision_rates,
    expected_collision_rate,
    overlap,
    sign_conflict,
)
from fl.topology.clustering import agglomerate

# Equal densities: closed form 1 - (1-s)^n - n s (1-s)^(n-1).
TABLE = [
    (0.1, (0.0100, 0.0280, 0.0815, 0.2639, 0.4510)),
    (0.25, (0.0625, 0.1562, 0.3672, 0.7560, 0.9198)),
    (0.5, (0.25, 0.5, 0.8125, 0.9893, 0.9995)),
    (1.0, (1.0, 1.0, 1.0, 1.0, 1.0)),
]


@pytest.mark.parametrize(("density", "rates"), TABLE)
def test_expected_collisions_of_equal_densities(density: float, rates: tuple[float, ...]) -> None:
    for number, rate in zip((2, 3, 5, 10, 15), rates, strict=True):
        found = expected_collision_rate(np.full((number, 3), density), np.array([5.0, 1.0, 9.0]))
        assert found == pytest.approx(rate, abs=6e-5)
    assert expected_collision_rate(np.full((1, 3), density), np.ones(3)) == pytest.approx(
        0.0, abs=1e-12
    )


def test_layers_count_by_their_entries() -> None:
    densities = np.array([[1.0, 0.0], [1.0, 0.0]])
    assert expected_collision_rate(densities, np.array([1.0, 3.0])) == 0.25


@pytest.mark.parametrize("density", [0.1, 0.25, 0.5])
@pytest.mark.parametrize("number", [2, 4, 10])
def test_independent_masks_collide_as_expected(density: float, number: int) -> None:
    """Law: Eq. (19), within three standard deviations for this number of entries."""
    generator = torch.Generator().manual_seed(3)
    masks = [[torch.rand(400, 100, generator=generator) < density] for _ in range(number)]
    of_all, of_used = collision_rates(masks)
    rate = expected_collision_rate(np.full((number, 1), density), np.ones(1))
    assert of_all == pytest.approx(rate, abs=3 * (rate * (1 - rate) / 40_000) ** 0.5)
    assert of_used == pytest.approx(of_all / (1 - (1 - density) ** number), rel=0.05)


def test_collisions_by_hand() -> None:
    first = [torch.tensor([True, True, False, False])]
    second = [torch.tensor([True, False, True, False])]
    assert collision_rates([first, second]) == (0.25, 1 / 3)
    assert overlap(first, second) == (0.25, 1 / 3)
    values = [[torch.tensor([1.0, 1, 0, 0])], [torch.tensor([-1.0, 0, 1, 0])]]
    assert sign_conflict([first, second], values) == 1.0
    assert sign_conflict([first, second], [values[0], values[0]]) == 0.0
    apart = [torch.tensor([False, False, True, True])]
    assert collision_rates([first, apart])[0] == 0.0
    assert np.isnan(sign_conflict([first, apart], values))


def clusters(
    density: float, most: float, count: int = 24, power: object = None, available: float = 1.0
) -> list[list[int]]:
    needed = power or (lambda receivers: np.full((count, count), 1e-9))
    return agglomerate(
        range(count), np.full((count, 2), density), np.ones(2), most, needed,  # type: ignore[arg-type]
        np.full(count, available),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("density", "largest"), [(0.05, 21), (0.1, 10), (0.25, 4), (0.5, 2), (0.54, 2), (0.56, 1)]
)
def test_largest_cluster_of_equal_densities(density: float, largest: int) -> None:
    """Law: the largest cluster in which at most 0.3 of the entries collide."""
    sizes = [len(cluster) for cluster in clusters(density, 0.3)]
    assert sum(sizes) == 24
    assert max(sizes) <= largest
    rate = [
        expected_collision_rate(np.full((n, 1), density), np.ones(1))
        for n in (largest, largest + 1)
    ]
    assert rate[0] <= 0.3 < rate[1]
    # Nothing is left that could still be merged.
    smallest = sorted(sizes)[:2]
    assert len(sizes) == 1 or sum(smallest) > largest


def test_equal_collisions_are_settled_by_power_then_by_number() -> None:
    place = np.array([0.0, 10.0, 1.0, 11.0])
    near = lambda receivers: (place[:, None] - place[None, :]) ** 2  # noqa: E731
    assert clusters(0.54, 0.3, 4, near, 1e9) == [[0, 2], [1, 3]]
    assert clusters(0.54, 0.3, 4) == [[0, 1], [2, 3]]


def test_devices_out_of_reach_are_not_merged() -> None:
    place = np.array([0.0, 1.0, 100.0, 101.0])
    near = lambda receivers: receivers * (place[:, None] - place[None, :]) ** 2  # noqa: E731
    assert clusters(0.01, 0.9, 4, near, 2.0) == [[0, 1], [2, 3]]
    # In a cluster of four each would have three receivers.
    assert clusters(0.01, 0.9, 4, near, 1e9) == [[0, 1, 2, 3]]


def test_of_unequal_densities_the_sparse_ones_are_merged_first() -> None:
    densities = np.array([[0.5], [0.1], [0.5], [0.1]])
    found = agglomerate(
        range(4), densities, np.ones(1), 0.04, lambda n: np.zeros((4, 4)), np.ones(4)
    )
    assert found == [[0], [1, 3], [2]]


def test_absent_devices_are_in_no_cluster() -> None:
    found = agglomerate(
        [3, 1], np.full((4, 1), 0.1), np.ones(1), 0.5, lambda n: np.zeros((4, 4)), np.ones(4)
    )
    assert found == [[1, 3]]
