"""Partitions: every example assigned once, shares as the laws say, independent seeds."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from scipy import stats

from fl.config import Dirichlet, Iid, OneTask, Shards
from fl.data.partition import PARTITIONS, partition
from fl.tasks import Example, Task

TASKS = [
    Task(f"t{k}", tuple(Example(f"{k} {n}", "x") for n in range(200)), (), 0.0) for k in range(4)
]
CONFIGS = [OneTask(), Dirichlet(alpha=0.5), Shards(), Iid()]


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config.model)
def test_every_example_belongs_to_one_device(config: object) -> None:
    shares = partition(config, TASKS, 8, 3)
    assert len(shares) == 8
    owned = Counter(example.prompt for share in shares for example in share.examples)
    assert set(owned.values()) == {1}
    assert len(owned) == 800
    for share in shares:
        assert all(example in TASKS[task].train for task, example in share.owned)
        assert share.tasks == tuple(sorted({task for task, _ in share.owned}))


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config.model)
def test_a_partition_is_that_of_its_seed(config: object) -> None:
    assert partition(config, TASKS, 8, 3) == partition(config, TASKS, 8, 3)
    if not isinstance(config, OneTask):
        assert partition(config, TASKS, 8, 3) != partition(config, TASKS, 8, 4)


def test_the_families_are_complete() -> None:
    assert set(PARTITIONS) == {type(config) for config in CONFIGS}


def test_one_task_each() -> None:
    shares = partition(OneTask(), TASKS, 6, 1)
    assert [share.tasks for share in shares] == [(0,), (1,), (2,), (3,), (0,), (1,)]
    assert [len(share.owned) for share in shares] == [100, 100, 200, 200, 100, 100]


def test_dirichlet_shares_follow_their_distribution() -> None:
    """Law: with two devices, one device's share of a task is Beta(alpha, alpha)."""
    alpha, found = 2.0, []
    for seed in range(150):
        shares = partition(Dirichlet(alpha=alpha, min_examples=1), TASKS, 2, seed)
        counts = Counter(task for task, _ in shares[0].owned)
        found += [counts[task] / 200 for task in range(4)]
    assert stats.kstest(found, stats.beta(alpha, alpha).cdf).pvalue > 0.001


@pytest.mark.parametrize(("alpha", "least", "most"), [(0.05, 1.0, 2.5), (100.0, 4.0, 4.0)])
def test_small_alpha_gives_few_tasks_to_each(alpha: float, least: float, most: float) -> None:
    numbers = [
        np.mean([len(share.tasks) for share in partition(config, TASKS, 4, seed)])
        for seed in range(20)
        for config in [Dirichlet(alpha=alpha, min_examples=2)]
    ]
    assert least <= np.mean(numbers) <= most


@pytest.mark.parametrize("model", [OneTask, Dirichlet, Iid])
def test_sizes_have_the_configured_spread(model: type) -> None:
    """Law: the logarithms of the kept shares have the asked standard deviation."""
    logs = []
    for seed in range(60):
        whole = partition(model(), TASKS, 8, seed)
        spread = partition(model(size_spread=0.5), TASKS, 8, seed)
        kept = [len(b.owned) / len(a.owned) for a, b in zip(whole, spread, strict=True)]
        assert max(kept) == 1.0
        logs.append(np.std(np.log(kept), ddof=1))
        for a, b in zip(whole, spread, strict=True):
            assert set(b.owned) <= set(a.owned)
    # The mean of sample deviations of 8 normal numbers is 0.965 of theirs; small parts are rounded.
    assert np.mean(logs) == pytest.approx(0.5 * 0.965, rel=0.1)


@pytest.mark.parametrize(
    ("config", "devices", "sentence"),
    [
        (OneTask(), 900, "task 't0' has 200 training examples for 225 devices"),
        (Iid(), 801, "801 devices need at least one training example each, got 800"),
        (Dirichlet(min_examples=300), 4, "4 devices 300 of 800 training examples"),
        (Dirichlet(alpha=0.001, min_examples=100), 8, "none of 1000 draws did"),
    ],
)
def test_too_few_examples_are_refused(config: object, devices: int, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        partition(config, TASKS, devices, 1)
