"""Weighted means that a channel has added: noise, bias, error, and the mean of every method."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch

from fl.aggregation.superposition import superposed_mean, values_of, with_values
from fl.config import FedSaLora, FedSb, FfaLora, FullFt, Lora, LoriD, SoLora
from fl.engine.jobs import DerivedValue
from fl.updates.codec import Update
from wnsim.mac.over_the_air import OverTheAir, least_error_snr, squared_error


@dataclass(frozen=True)
class Added:
    """A superposition of given amplitudes and noise."""

    amplitude: Any
    noise: Any
    ends: Any
    key: int = 1


def added(amplitude: Any, noise: Any, key: int = 1) -> Added:
    """Return a superposition of parts of equal length."""
    factors = np.asarray(amplitude, dtype=np.complex128)
    parts = factors.shape[1]
    return Added(factors, np.broadcast_to(noise, (parts,)), np.arange(1, parts + 1) / parts, key)


def drawn(count: int, size: int, seed: int = 0) -> list[Any]:
    return list(np.random.default_rng(seed).normal(size=(count, size)))


@pytest.mark.parametrize("count", [1, 3, 10])
def test_noise_of_the_mean(count: int) -> None:
    """Law: variance sigma^2 / (eta n^2), times the square of the common scale, and no bias."""
    size, noise = 200_000, 0.3
    values = drawn(count, size)
    scale = max(float(each.std()) for each in values)
    found = superposed_mean(values, [1.0] * count, added(np.ones((count, 1)), noise))
    error = found - np.mean(values, axis=0)
    expected = noise * scale**2 / count**2
    assert error.var() == pytest.approx(expected, rel=3 * (2 / size) ** 0.5)
    assert error.mean() == pytest.approx(0.0, abs=3 * (expected / size) ** 0.5)
    # Neighboring values, the two of a symbol, have independent noise.
    assert np.corrcoef(error[0::2], error[1::2])[0, 1] == pytest.approx(
        0.0, abs=3 / (size / 2) ** 0.5
    )


def test_mean_of_those_that_send() -> None:
    """Law: in each part the weighted mean of its senders, unbiased over draws of the noise."""
    values, weights = drawn(4, 60), [1.0, 2.0, 0.5, 3.0]
    amplitude = np.ones((4, 3))
    amplitude[0, 0] = amplitude[2, 1] = amplitude[3, 1] = 0.0
    amplitude[:, 2] = 0.0
    exact = superposed_mean(values, weights, added(amplitude, 0.0))
    for part, senders in ((slice(0, 20), [1, 2, 3]), (slice(20, 40), [0, 1])):
        mean = np.average([values[s][part] for s in senders], axis=0,
                          weights=[weights[s] for s in senders])  # fmt: skip
        assert exact[part] == pytest.approx(mean)
    assert (exact[40:] == 0).all()
    draws = np.array(
        [superposed_mean(values, weights, added(amplitude, 0.5, key)) for key in range(2000)]
    )
    bias = (draws.mean(axis=0) - exact)[:40]
    error = draws.std(axis=0)[:40] / 2000**0.5
    assert abs(bias / error).max() < 4.5
    assert (bias / error).std() == pytest.approx(1.0, abs=3 / 80**0.5)


def test_exact_values_count_by_their_weights() -> None:
    values, weights = drawn(3, 7), [1.0, 2.0, 5.0]
    mean = np.average(values, axis=0, weights=weights)
    found = superposed_mean(
        values[:2], weights[:2], added(np.ones((2, 1)), 0.0), values[2:], weights[2:]
    )
    assert found == pytest.approx(mean)
    alone = superposed_mean([], [], None, values, weights)
    assert alone == pytest.approx(mean)
    # Equal values have no spread, and need no symbols.
    assert superposed_mean([np.full(5, 2.0)], [3.0], added([[1.0]], 9.0)) == pytest.approx(2.0)


def test_a_phase_mixes_the_two_values_of_a_symbol() -> None:
    """Law: (x, y) turned by an angle is (x cos - y sin, x sin + y cos)."""
    x, y = np.array([1.0, -1.0]), np.array([0.5, -0.5])
    angle = 0.3
    values = np.stack([x, y], axis=1).ravel()
    found = superposed_mean([values], [1.0], added([[np.exp(1j * angle)]], 0.0))
    assert found[0::2] == pytest.approx(x * math.cos(angle) - y * math.sin(angle))
    assert found[1::2] == pytest.approx(x * math.sin(angle) + y * math.cos(angle))


@pytest.mark.parametrize("rule", ["weakest", "least-error"])
def test_mean_squared_error_is_that_of_the_formula(rule: Any) -> None:
    """Law (Cao et al.): the error of a sum of independent values of unit variance is sum
    (a - 1)^2 + sigma^2 / eta, whose first part is zero for inversion; least error has less."""
    snr = np.array([[0.3], [1.0], [4.0], [30.0]])
    active = np.ones((4, 1), dtype=np.bool_)
    eta = OverTheAir(power_control=rule).received_snr(snr, active)
    size = 100_000
    values = drawn(4, size)
    values = [(each - each.mean()) / each.std() for each in values]
    amplitude = np.minimum(np.sqrt(snr / eta), 1.0)
    found = 4 * superposed_mean(values, [1.0] * 4, added(amplitude, 1 / eta))
    error = found - np.sum(values, axis=0)
    expected = squared_error(snr, eta)
    assert error.var() == pytest.approx(expected, rel=4 * (2 / size) ** 0.5)
    if rule == "weakest":
        assert expected == pytest.approx(1 / 0.3)
    else:
        assert squared_error(snr, least_error_snr(snr)) < 1 / 0.3


METHODS = {
    "ffa-lora": FfaLora(rank=4), "full-ft": FullFt(), "lora": Lora(rank=4),
    "lori-d": LoriD(rank=4, shared_a=True), "fedsa-lora": FedSaLora(rank=4),
    "fed-sb": FedSb(rank=4),
    "so-lora": SoLora(rank=4, shared_a=True, density=1.0, calibration_prompts=2),
    "so-lora common": SoLora(
        rank=4, shared_a=True, density=0.4, mask="common", allocation="uniform"
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", METHODS)
def test_without_noise_it_is_the_mean_in_digital_form(make_trainer: Any, name: str) -> None:
    """Law: for every linear method, at a server and among peers, of any weights."""
    trainer = make_trainer(method=METHODS[name])
    states = [trainer.train(device, 1, None) for device in range(3)]
    updates = [trainer.outgoing_update(device, 1, state) for device, state in enumerate(states)]
    weights, perfect = [1.0, 3.0, 2.0], added(np.ones((3, 5)), 0.0)
    digital = trainer.average(updates, weights).value()
    average = trainer.superposed_average(updates, weights, perfect)
    assert_equal(average.value(), digital)
    # Differences from the average before are as good, and so is one update in digital form.
    again = trainer.superposed_average(
        updates[:2], weights[:2], added(np.ones((2, 1)), 0.0), updates[2:], weights[2:], average
    )
    assert_equal(again.value(), digital)
    own = trainer.aggregate(0, states[0], updates[1:], weights).value().adapter
    peer = trainer.superposed_aggregate(
        0, states[0], updates[1:], weights, added(np.ones((2, 1)), 0.0)
    )
    for ours, theirs in ((peer.value().adapter.b, own.b), (peer.value().adapter.a, own.a)):
        for one, other in zip(ours, theirs, strict=True):
            assert torch.allclose(one, other, atol=2e-6)
    # Entries that nobody sends stay as they were.
    silent = trainer.superposed_average(
        updates, weights, added(np.zeros((3, 1)), 0.0), previous=average
    )
    assert_equal(silent.value(), average.value())
    # What is not transmitted is not changed by noise.
    loud = trainer.superposed_average(updates, weights, added(np.ones((3, 5)), 1.0)).value()
    sent = updates[0].value()
    assert loud.a is None or sent.a is not None
    if sent.mask is not None:
        for b, mask in zip(loud.b, sent.mask, strict=True):
            assert (b[~mask.bool()] == 0).all()


def assert_equal(one: Update, other: Update) -> None:
    """Check that two updates have equal values, to the rounding of half precision."""
    for ours, theirs in ((one.b, other.b), (one.a, other.a), (one.extra, other.extra)):
        assert (ours is None) == (theirs is None)
        for mine, yours in zip(ours or (), theirs or (), strict=True):
            assert mine.shape == yours.shape
            assert torch.allclose(mine.float(), yours.float(), rtol=1e-3, atol=1e-6)


def test_the_number_of_values_is_that_of_an_update(make_trainer: Any) -> None:
    for method in METHODS.values():
        trainer = make_trainer(method=method)
        update = trainer.outgoing_update(0, 1, trainer.train(0, 1, None)).value()
        assert trainer.cost_model.values == values_of(update, update).size


def test_a_common_mask_is_the_same_on_all_devices(make_trainer: Any) -> None:
    trainer = make_trainer(method=METHODS["so-lora common"])
    masks = [trainer.train(device, 1, None).value().adapter.mask for device in range(3)]
    active = sum(int(each.sum()) for each in masks[0])
    assert active == pytest.approx(0.4 * sum(each.numel() for each in masks[0]), abs=1)
    # It follows from a common seed, and is not charged.
    assert trainer.cost_model.size_bytes(True) == trainer.cost_model.size_bytes(False)
    for mask in masks[1:]:
        assert all(torch.equal(one, other) for one, other in zip(mask, masks[0], strict=True))


def test_values_of_an_update_come_back() -> None:
    mask = (torch.tensor([[True, False], [False, True]]),)
    update = Update(0, 1, b=(torch.tensor([[1.0, 0.0], [0.0, 2.0]]),), mask=mask,
                    extra=(torch.tensor([[3.0]]),))  # fmt: skip
    assert values_of(update, update).tolist() == [1.0, 2.0, 3.0]
    other = with_values(update, np.array([4.0, 5.0, 6.0]))
    assert other.b[0].tolist() == [[4.0, 0.0], [0.0, 5.0]]
    assert other.extra is not None
    assert other.extra[0].tolist() == [[6.0]]
    assert values_of(Update(0, 0, b=()), update).tolist() == [0.0] * 3


def test_another_superposition_is_another_value(make_trainer: Any) -> None:
    """The cache's key covers amplitudes, noise, ends and draws."""
    trainer = make_trainer(method=FfaLora(rank=4))
    update: Any = DerivedValue("x", (), lambda: None)
    base = added(np.ones((1, 2)), 0.1)
    others = [
        added(0.5 * np.ones((1, 2)), 0.1), added(np.ones((1, 2)), 0.2),
        added(np.ones((1, 2)), 0.1, 2), Added(base.amplitude, base.noise, np.array([0.4, 1.0])),
        None,
    ]  # fmt: skip
    keys = {trainer.superposed_average([update], [1.0], each).key for each in (base, *others)}
    assert len(keys) == 6
