"""Density: the exact number of active entries, and their choice."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fl.aggregation.weighted_mean import aggregate
from fl.methods.frozen_a.density import allocate, largest_mask, spectral_entropy


@given(
    layers=st.lists(st.tuples(st.integers(1, 5000), st.floats(0, 6)), min_size=1, max_size=30),
    density=st.floats(0.001, 1.0),
    allocation=st.sampled_from(["size", "paper", "uniform"]),
)
def test_the_budget_holds_exactly(
    layers: list[tuple[int, float]], density: float, allocation: str
) -> None:
    sizes = [size for size, _ in layers]
    entropies = [entropy for _, entropy in layers]
    budget = round(density * sum(sizes))
    if budget < len(sizes):
        with pytest.raises(ValueError, match="at least one entry"):
            allocate(sizes, entropies, density, allocation)  # type: ignore[arg-type]
        return
    counts = allocate(sizes, entropies, density, allocation)  # type: ignore[arg-type]
    assert sum(counts) == budget
    assert all(1 <= count <= size for count, size in zip(counts, sizes, strict=True))


def test_uniform_allocation_gives_every_layer_the_density() -> None:
    counts = allocate([1000, 4000, 2000], [3.0, 1.0, 2.0], 0.25, "uniform")
    assert np.allclose(counts, [250, 1000, 500], atol=1)


def test_size_allocation_follows_size_times_exponential_of_entropy() -> None:
    sizes, entropies = [10_000, 40_000], [2.0, 1.0]
    counts = allocate(sizes, entropies, 0.1, "size")
    share = 10_000 * np.exp(2) / (10_000 * np.exp(2) + 40_000 * np.exp(1))
    assert counts[0] == pytest.approx(5000 * share, abs=2)


def test_a_layer_that_is_full_passes_its_share_on() -> None:
    # By entropy alone both would get 500; the small layer holds 100.
    assert allocate([100, 1900], [1.0, 1.0], 0.5, "paper") == [100, 900]


def test_ties_are_broken_by_index_so_that_the_count_is_exact() -> None:
    mask = largest_mask(torch.tensor([[1.0, -1.0], [1.0, 0.5]]), 2)
    assert mask.tolist() == [[True, True], [False, False]]
    assert int(largest_mask(torch.zeros(100), 37).sum()) == 37


def test_entropy_of_known_spectra() -> None:
    # With C = c I damped to 1.01 c I, the singular values are those of W0 up to scale.
    assert spectral_entropy(torch.eye(8), torch.eye(8)) == pytest.approx(np.log(8), abs=1e-5)
    rank_one = torch.outer(torch.arange(1.0, 9), torch.ones(8))
    assert spectral_entropy(rank_one, torch.eye(8)) == pytest.approx(0, abs=1e-4)


def test_aggregation_over_all_and_over_active_devices() -> None:
    values = [torch.tensor([[2.0, 4.0, 0.0]]), torch.tensor([[6.0, 0.0, 0.0]])]
    masks = [torch.tensor([[True, True, False]]), torch.tensor([[True, False, False]])]
    assert aggregate(values, masks, [1, 1], "mean").tolist() == [[4.0, 2.0, 0.0]]
    assert aggregate(values, masks, [1, 1], "active").tolist() == [[4.0, 4.0, 0.0]]
    # By weight: (2 + 3 * 6) / 4, and 4 / 4 of one device among both.
    assert aggregate(values, masks, [1, 3], "mean").tolist() == [[5.0, 1.0, 0.0]]
    assert aggregate(values, masks, [1, 3], "active").tolist() == [[5.0, 4.0, 0.0]]


def test_disjoint_masks_leave_all_entries_unchanged() -> None:
    generator = torch.Generator().manual_seed(0)
    dense = torch.randn(6, 4, generator=generator)
    first = torch.arange(24).reshape(6, 4) % 2 == 0
    together = aggregate([dense * first, dense * ~first], [first, ~first], [2, 5], "active")
    assert torch.equal(together, dense)
