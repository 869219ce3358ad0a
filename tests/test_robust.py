"""Robust aggregation against numpy and scipy, and clipping against its definition."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from fl.aggregation.robust import aggregator_of, clipped, median, trimmed_mean
from fl.config import FfaLora, Full, Lora, Median, NormClip, SoLora, TrimmedMean
from fl.methods import METHODS
from fl.updates.codec import Update

matrices = st.integers(1, 9).flatmap(
    lambda count: st.integers(0, 10**6).map(
        lambda seed: np.random.default_rng(seed).standard_normal((count, 4, 3))
    )
)


@settings(max_examples=60, deadline=None)
@given(matrices, st.sampled_from([0.05, 0.1, 0.2, 0.25, 1 / 3, 0.4, 0.49]))
def test_dense_rules_are_those_of_numpy_and_scipy(values: np.ndarray, trim: float) -> None:
    tensors = list(torch.from_numpy(values))
    assert torch.allclose(median(tensors), torch.from_numpy(np.median(values, axis=0)))
    expected = stats.trim_mean(values, trim, axis=0)
    assert torch.allclose(trimmed_mean(tensors, None, trim), torch.from_numpy(expected))


@settings(max_examples=40, deadline=None)
@given(matrices, st.integers(0, 10**6), st.sampled_from([0.1, 0.2, 0.4]))
def test_masked_rules_use_the_active_entries(values: np.ndarray, seed: int, trim: float) -> None:
    masks = np.random.default_rng(seed).random(values.shape) < 0.6
    tensors, flags = list(torch.from_numpy(values * masks)), list(torch.from_numpy(masks))
    middle, mean = median(tensors, flags).numpy(), trimmed_mean(tensors, flags, trim).numpy()
    for entry in np.ndindex(values.shape[1:]):
        active = values[(slice(None), *entry)][masks[(slice(None), *entry)]]
        if active.size:
            assert middle[entry] == pytest.approx(np.median(active))
            assert mean[entry] == pytest.approx(stats.trim_mean(active, trim))
        else:
            assert middle[entry] == mean[entry] == 0.0


def update(*matrices: torch.Tensor, mask: torch.Tensor | None = None) -> Update:
    return Update(0, 1, tuple(matrices), None if mask is None else (mask,) * len(matrices))


def test_clipping_bounds_the_distance_and_keeps_the_direction() -> None:
    """Law: distances 1, 2 and 30, of median 2: the far one moves to distance 2, the others stay."""
    own = update(torch.full((2, 2), 0.5), torch.zeros(1, 2))
    direction = torch.tensor([[3.0, 0.0], [0.0, 0.0]]), torch.tensor([[0.0, 4.0]])
    received = [
        update(*(mine + length / 5 * way for mine, way in zip(own.b, direction, strict=True)))
        for length in (1.0, 2.0, 30.0)
    ]
    near, middle, far = clipped(own, received, 1.0, with_a=False)
    assert near is received[0]
    assert middle is received[1]
    for mine, way, found in zip(own.b, direction, far.b, strict=True):
        assert torch.allclose(found, mine + 2.0 / 5 * way)
    assert clipped(own, received, 15.0, with_a=False)[2] is received[2]
    assert clipped(own, [], 1.0, with_a=False) == []


def test_clipping_uses_entries_under_the_mask() -> None:
    mask = torch.tensor([[True, False]])
    own = update(torch.tensor([[1.0, 7.0]]))
    received = [
        update(torch.tensor([[2.0, 0.0]]), mask=mask),
        update(torch.tensor([[2.0, 0.0]]), mask=mask),
        update(torch.tensor([[11.0, 0.0]]), mask=mask),
    ]
    (far,) = clipped(own, received, 1.0, with_a=False)[2:]
    # Entry 7 is the device's own; the other one sent nothing for it.
    assert torch.allclose(far.b[0], torch.tensor([[2.0, 0.0]]))


def test_clipping_counts_both_factors_where_both_are_averaged() -> None:
    zero, one = torch.zeros(1, 1), torch.ones(1, 1)
    own = Update(0, 1, (zero,), a=(zero,))
    received = [Update(1, 1, (3 * one,), a=(4 * one,)), Update(2, 1, (one,), a=(zero,))]
    bound = float(np.median([5.0, 1.0]))
    far = clipped(own, received, 1.0, with_a=True)[0]
    assert (far.b[0].item(), far.a[0].item()) == pytest.approx((3 * bound / 5, 4 * bound / 5))
    assert clipped(own, received, 1.0, with_a=False)[0].a[0].item() == 4.0


@pytest.mark.parametrize("robust", [Median(), TrimmedMean(trim=0.3)])
@pytest.mark.parametrize("config", [Lora(rank=2), FfaLora(rank=2), SoLora(rank=2)])
def test_every_method_accepts_an_aggregator(config: object, robust: object) -> None:
    """Contract: an outlier among five moves no entry out of the range of the other four."""
    method = METHODS[type(config)](config)
    rng = np.random.default_rng(1)
    masked = isinstance(config, SoLora)
    updates = []
    for device in range(5):
        values = torch.from_numpy(rng.standard_normal((6, 2)))
        if device == 4:
            values = values + 1e4
        mask = (torch.ones(6, 2, dtype=torch.bool),) if masked else None
        updates.append(Update(device, 1, (values,), mask, a=(values.T.clone(),)))
    found = method.average(updates, [1.0] * 5, aggregator_of(robust))
    honest = torch.stack([each.b[0] for each in updates[:4]])
    assert bool((found.b[0] <= honest.max(0).values).all())
    assert bool((found.b[0] >= honest.min(0).values).all())
    assert bool((method.average(updates, [1.0] * 5).b[0] > honest.max(0).values).all())
    if isinstance(config, Lora):
        assert found.a is not None
        assert float(found.a[0].abs().max()) < 10.0


@pytest.mark.parametrize("robust", [Median(), TrimmedMean(), NormClip(), None])
def test_aggregation_follows_the_rule(make_trainer, robust: object) -> None:  # type: ignore[no-untyped-def]
    trainer = make_trainer(devices=5, method=Lora(rank=2), robust=robust, topology=Full())
    states = [trainer.train(device, 1, None) for device in range(5)]
    sent = [trainer.outgoing_update(device, 1, states[device]) for device in range(1, 5)]
    aggregated = trainer.aggregate(0, states[0], sent, [1.0] * 5).value().adapter
    each = [states[0].value().adapter.b[0], *(update.value().b[0] for update in sent)]
    values = torch.stack(each).double().numpy()
    if isinstance(robust, Median):
        expected = np.median(values, axis=0)
    elif isinstance(robust, TrimmedMean):
        expected = stats.trim_mean(values, 0.2, axis=0)
    elif robust is None:
        expected = values.mean(axis=0)
    else:
        norms = []
        for update in sent:
            other, own = update.value(), states[0].value().adapter
            parts = [*zip(other.b, own.b, strict=True), *zip(other.a, own.a, strict=True)]
            norms.append(math.sqrt(sum(float((x - y).square().sum()) for x, y in parts)))
        shorter = np.minimum(1.0, np.median(norms) / np.array(norms))
        near = values[0] + shorter[:, None, None] * (values[1:] - values[0])
        expected = np.concatenate([values[:1], near]).mean(axis=0)
    assert np.allclose(aggregated.b[0].numpy(), expected, atol=1e-6)
