"""Laws of data that drift, and of adapters that are renewed for them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from fl.config import (
    Byzantine,
    ClusterExchange,
    Drift,
    Full,
    Lora,
    Mixture,
    OneTask,
    SoLora,
    UpdateFaults,
)
from fl.methods.frozen_a.masks import mask_overlap
from fl.trainer.calibrations import Calibrations
from wnsim import load
from wnsim.scenario.errors import ScenarioError

PLACES = ((0.0, 0.0), (100.0, 0.0), (0.0, 100.0), (100.0, 100.0))
RENEWING = SoLora(rank=4, density=0.25, renew_below=0.25)


def ids(rows: Any) -> list[list[int]]:
    return [[int(token) for token in row] for row in rows.ids]


def test_devices_train_on_the_examples_of_others(make_trainer: Any) -> None:
    """Law: after n drifts of shift s, device i has what device i + n s had; before, its own."""
    trainer = make_trainer(devices=4, partition=OneTask(), drift=Drift(rounds=(2, 5), shift=3))
    examples = trainer.examples
    for round_, times in ((0, 0), (1, 0), (2, 1), (4, 1), (5, 2), (9, 2)):
        for device in range(4):
            owner = (device + 3 * times) % 4
            holding = examples.during(round_)
            assert ids(holding.rows[device]) == ids(examples.rows[owner])
            assert holding.task_of[device] == examples.task_of[owner]
            batch = examples.training(device, round_)[0]
            assert all(row in ids(examples.rows[owner]) for row in ids(batch))


def test_an_attacker_flips_what_it_has(make_trainer: Any) -> None:
    """Law: flipped labels stay with the device, and its examples do not."""
    faults = UpdateFaults((Byzantine(devices=(1,), attack="label-flip"),))
    drift = Drift(rounds=(2,))
    honest = make_trainer(devices=3, partition=OneTask(), drift=drift)
    flipped = make_trainer(devices=3, partition=OneTask(), drift=drift, update_faults=faults)
    for round_ in (1, 2):
        pairs = zip(
            honest.examples.during(round_).digests,
            flipped.examples.during(round_).digests,
            strict=True,
        )
        assert [one != other for one, other in pairs] == [False, True, False]


def test_own_tasks_follow_the_data(make_network: Any, learn_over: Any) -> None:
    """Law: an evaluation calls the tasks of the present examples a device's own."""
    _, trainer, session = learn_over(
        make_network(PLACES), topology=Full(), partition=OneTask(), method=Lora(rank=4), rounds=3,
        evaluate_every=1, drift=Drift(rounds=(3,)),
    )  # fmt: skip
    names = [task.name for task in trainer.tasks]
    for row in session.evaluations:
        own = (row.device + (row.round == 3)) % 2
        assert row.own_task == (row.task == names[own])
    rows = list(session.drifts)
    assert [(row.round, row.device, row.renewed) for row in rows] == [
        (3, d, False) for d in range(4)
    ]
    assert all(np.isnan(row.overlap) for row in rows)
    assert [row.task for row in rows] == [names[(d + 1) % 2] for d in range(4)]


def test_overlap_is_cohens_kappa() -> None:
    """Law: kappa by its definition, observed and expected agreement of two raters."""
    rng = np.random.default_rng(5)
    for _ in range(20):
        size = int(rng.integers(6, 60))
        count = int(rng.integers(1, size))
        old, new = (rng.permutation(size) < count for _ in range(2))
        share = count / size
        observed = np.mean(old == new)
        expected = share**2 + (1 - share) ** 2
        kappa = (observed - expected) / (1 - expected)
        assert mask_overlap([torch.tensor(old)], [torch.tensor(new)]) == pytest.approx(kappa)


def first_contact(trainer: Any, device: int, state: Any) -> int:
    return int(trainer.update_bytes(device, 1, state, True))


def test_a_device_with_other_data_renews_its_adapter(make_network: Any, learn_over: Any) -> None:
    """Law: another A and mask, B of zero under them, and messages as at first contact, once."""
    network, trainer, session = learn_over(
        make_network(PLACES), topology=Full(), partition=OneTask(), method=RENEWING, rounds=4,
        drift=Drift(rounds=(3,)),
    )  # fmt: skip
    rows = list(session.drifts)
    assert [(row.round, row.renewed) for row in rows] == [(3, True)] * 4
    # Tasks that differ select other entries.
    assert all(-0.2 < row.overlap < 0.5 for row in rows)
    sizes: dict[int, set[int]] = {}
    for each in network.transfers:
        if each.message.kind == "update":
            sizes.setdefault(each.message.round, set()).add(each.message.size_bytes)
    assert sizes[1] == sizes[3]
    assert sizes[2] == sizes[4]
    assert min(sizes[1]) > max(sizes[2])
    for device in range(4):
        first, second = (trainer._calibrated(device, round_).value().adapter for round_ in (0, 3))
        now = session.states[device].value().adapter
        for layer, a in enumerate(first.a):
            assert torch.equal(now.a[layer], second.a[layer])
            cosine = torch.nn.functional.cosine_similarity(a, second.a[layer])
            assert cosine.abs().max() < 0.8
            assert torch.equal(now.mask[layer], second.mask[layer])
            assert not torch.equal(first.mask[layer], second.mask[layer])


def test_the_renewed_adapter_starts_at_zero(make_trainer: Any) -> None:
    trainer = make_trainer(
        devices=2, partition=OneTask(), method=RENEWING, drift=Drift(rounds=(2,))
    )
    trainer.renew(0, 1, None)
    state = trainer.train(0, 1, None)
    drifted = trainer.renew(0, 2, state)
    assert drifted is not None
    assert drifted.calibrations == 2
    adapter = drifted.renewed.value().adapter
    assert adapter.is_zero()
    assert drifted.renewed.value().moments is None
    # The operations of two calibrations come on top of those of the round.
    plain, once, twice = (trainer.flops(0, count) for count in (0, 1, 2))
    assert twice - once == once - plain > 0


def test_a_shared_a_stays_and_so_does_b(make_trainer: Any) -> None:
    """Law: only the mask is another one."""
    method = SoLora(rank=4, density=0.25, renew_below=0.25, shared_a=True)
    trainer = make_trainer(devices=2, partition=OneTask(), method=method, drift=Drift(rounds=(2,)))
    trainer.renew(0, 1, None)
    state = trainer.train(0, 1, None)
    drifted = trainer.renew(0, 2, state)
    before, after = state.value().adapter, drifted.renewed.value().adapter
    assert all(map(torch.equal, before.a, after.a))
    assert all(map(torch.equal, before.b, after.b))
    assert not all(map(torch.equal, before.mask, after.mask))


def test_like_data_change_nothing(make_trainer: Any) -> None:
    """Law: an overlap of at least the bound keeps the adapter, and costs one calibration."""
    method = SoLora(rank=4, density=0.25, renew_below=0.01)
    trainer = make_trainer(
        devices=2, partition=OneTask(), method=method, drift=Drift(rounds=(2,)),
        tasks=[make_trainer().tasks[0]],
    )  # fmt: skip
    trainer.renew(0, 1, None)
    drifted = trainer.renew(0, 2, trainer.train(0, 1, None))
    assert drifted.renewed is None
    assert drifted.calibrations == 1
    assert drifted.overlap >= 0.01
    assert trainer.renew(0, 3, trainer.train(0, 2, None)) is None


def test_an_update_belongs_to_the_calibration_of_its_round() -> None:
    made: Any = lambda device, round_: (device, round_)  # noqa: E731
    calibrations = Calibrations(2, made)
    calibrations.renew(1, 4)
    calibrations.renew(1, 7)
    assert [calibrations.at(1, round_) for round_ in (0, 3, 4, 6, 7, 9)] == [
        (1, 0), (1, 0), (1, 4), (1, 4), (1, 7), (1, 7)
    ]  # fmt: skip
    assert calibrations.of(1) == (1, 7)
    assert calibrations.of(0) == calibrations.at(0, 9) == (0, 0)
    assert calibrations.renewals == 2


def test_cached_experts_keep_the_a_with_which_they_were_made(
    make_network: Any, learn_over: Any
) -> None:
    """Law: an expert of a round before the drift has the old A, tasks and prompts."""
    _, trainer, session = learn_over(
        make_network(PLACES), topology=Full(), partition=OneTask(), method=RENEWING, rounds=3,
        inference=Mixture(), drift=Drift(rounds=(3,)),
    )  # fmt: skip
    groups = trainer.groups
    for round_, calibrated_in in ((2, 0), (3, 3)):
        update = groups.own_update(round_, session.states[1])
        expert = groups.expert(1, update).value()
        assert expert.tasks == trainer.examples.during(round_).task_of[1]
        wanted = trainer._calibrated(1, calibrated_in).value()
        assert all(map(torch.equal, expert.a, wanted.adapter.a))
        assert all(map(torch.equal, expert.centroid, wanted.centroid))


def test_other_clusters_get_the_new_mask(make_network: Any, learn_over: Any) -> None:
    """Law: a cluster's update is as large after a renewal as the first one, and smaller between."""
    from fl.config import ByTask

    network, _, _ = learn_over(
        make_network(PLACES), topology=ByTask(), partition=OneTask(), method=RENEWING, rounds=4,
        inference=Mixture(), cluster_exchange=ClusterExchange(every=1),
        drift=Drift(rounds=(3,)),
    )  # fmt: skip
    sizes: dict[int, set[int]] = {}
    for each in network.transfers:
        if each.message.kind == "cluster-exchange":
            sizes.setdefault(each.message.round, set()).add(each.message.size_bytes)
    assert max(sizes[2]) < min(sizes[1])
    assert max(sizes[4]) < min(sizes[3])


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"fl.drift": {"rounds": [9]}, "fl.rounds": 8}, "at most rounds, 8, got 9"),
        ({"fl.drift": {"rounds": [3, 2]}}, "ascending and distinct, got 3, 2"),
        ({"fl.drift": {"rounds": [1]}}, "greater than or equal to 2|at least 2"),
        ({"fl.method": {"model": "so-lora", "renew_below": 0.5, "mask": "random"}}, "mask random"),
        (
            {"fl.method": {"model": "so-lora", "renew_below": 0.5, "a_init": "block-qr"}},
            "a_init block-qr",
        ),
        ({"fl.drift": {"rounds": [2]}, "fl.method": {"model": "centralised"}}, "centralised"),
        (
            {"devices.count": 8, "fl.drift": {"rounds": [2], "shift": 16}},
            r"multiple of devices\.count.*got 16 and 8",
        ),
    ],
)
def test_impossible_settings(settings: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ScenarioError, match=sentence):
        load("network.yaml", settings={"traffic": None, "fl": {"rounds": 10}} | settings)
