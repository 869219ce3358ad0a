"""Laws of the baselines: dense NumPy rules of their aggregation, identities, and bytes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from fl.adapters import Adapter, Layer
from fl.config import (
    AdamW,
    Asynchronous,
    Decaf,
    FedExLora,
    FedRotLora,
    FedSaLora,
    FedSb,
    FlexLora,
    HetLora,
    Learning,
    Lora,
    Median,
    Mixture,
    NormClip,
    Prox,
    RoLora,
    Scaffold,
    Sgd,
)
from fl.methods import method_of
from fl.methods.extensions import extra_shapes, shapes_update_in
from fl.updates.codec import HEADER_BYTES, Update, decode, encode, encoded_bytes

LAYERS = (Layer("q", 24, 18), Layer("down", 30, 20))
RANK = 3
WEIGHTS = [1.0, 3.0, 2.0]
SHARES = np.array(WEIGHTS) / sum(WEIGHTS)


def factors(seed: int, rank: int = RANK) -> Update:
    """Return random factors of a device."""
    generator = torch.Generator().manual_seed(seed)
    b = tuple(torch.randn(layer.outputs, rank, generator=generator) for layer in LAYERS)
    a = tuple(torch.randn(rank, layer.inputs, generator=generator) for layer in LAYERS)
    return Update(seed, 1, b, a=a)


def product(b: torch.Tensor, a: torch.Tensor) -> Any:
    return b.double().numpy() @ a.double().numpy()


def mean_product(updates: list[Update], layer: int) -> Any:
    """Return the weighted mean of the products, dense."""
    return sum(
        share * product(update.b[layer], update.a[layer])
        for share, update in zip(SHARES, updates, strict=True)
    )


def near(found: Any, expected: Any) -> None:
    """Check that two matrices are equal to 1e-6 of the largest entry."""
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6 * np.abs(expected).max())


def test_decaf_is_the_truncated_svd_of_the_dense_mean() -> None:
    """Law: B A is the best approximation of rank r, and B and A are balanced."""
    updates = [factors(seed) for seed in range(3)]
    average = method_of(Decaf(rank=RANK)).average(updates, WEIGHTS)
    for layer in range(2):
        u, s, vh = np.linalg.svd(mean_product(updates, layer))
        best = (u[:, :RANK] * s[:RANK]) @ vh[:RANK]
        near(product(average.b[layer], average.a[layer]), best)
        near(product(average.b[layer].T, average.b[layer]), np.diag(s[:RANK]))
        near(product(average.a[layer], average.a[layer].T), np.diag(s[:RANK]))


def test_decaf_of_more_ranks_than_the_layer_has() -> None:
    """Law: with 12 updates of rank 3 the stacked factors are wider than the layer."""
    updates = [factors(seed) for seed in range(12)]
    average = method_of(Decaf(rank=RANK)).average(updates, [1.0] * 12)
    dense = sum(product(update.b[0], update.a[0]) for update in updates) / 12
    u, s, vh = np.linalg.svd(dense)
    near(product(average.b[0], average.a[0]), (u[:, :RANK] * s[:RANK]) @ vh[:RANK])


def test_a_single_update_is_its_own_average() -> None:
    one = factors(1)
    for config in (Decaf(rank=RANK), FedRotLora(rank=RANK)):
        average = method_of(config).average([one], [2.0])
        for x, y in zip((*average.b, *average.a), (*one.b, *one.a), strict=True):
            assert torch.equal(x, y)


def adapter_of(config: Any, update: Update) -> Adapter:
    """Return the adapter of a device with the given trained factors."""
    start = method_of(config).initial(LAYERS, 1, 0, 3)
    b = tuple(torch.cat([x, y[:, RANK:]], 1) for x, y in zip(update.b, start.b, strict=True))
    a = tuple(torch.cat([x, y[RANK:]]) for x, y in zip(update.a, start.a, strict=True))
    return replace(start, a=a, b=b)


def test_fedex_among_peers_is_the_mean_of_the_products() -> None:
    """Law: factors and residual together are the dense mean exactly; the factors alone the mean
    factors; and further residuals add to it."""
    config = FedExLora(rank=RANK, residual_rank=18)
    method = method_of(config)
    updates = [factors(seed) for seed in range(3)]
    own = adapter_of(config, updates[0])
    found = method.combine(own, method.update(own, 0, 1, True), updates[1:], WEIGHTS)
    for layer in range(2):
        expected = mean_product(updates, layer)
        near(product(found.b[layer], found.a[layer]), expected)
        for x, parts in ((found.b[layer][:, :RANK], "b"), (found.a[layer][:RANK], "a")):
            mean = sum(
                share * getattr(update, parts)[layer].numpy()
                for share, update in zip(SHARES, updates, strict=True)
            )
            near(x.numpy(), mean)
    # A second round, from the factors that the first one left: its residual is added.
    residual = [found.b[0][:, RANK:], found.a[0][RANK:]]
    again = method.combine(found, method.update(found, 0, 2, True), updates[1:], WEIGHTS)
    now = [method.update(found, 0, 2, True), *updates[1:]]
    expected = mean_product(now, 0) + product(*residual)
    near(product(again.b[0], again.a[0]), expected)


def test_fedex_truncates_its_residual_by_an_svd() -> None:
    config = FedExLora(rank=RANK, residual_rank=2)
    method = method_of(config)
    updates = [factors(seed) for seed in range(3)]
    own = adapter_of(config, updates[0])
    found = method.combine(own, updates[0], updates[1:], WEIGHTS)
    trained = product(found.b[0][:, :RANK], found.a[0][:RANK])
    u, s, vh = np.linalg.svd(mean_product(updates, 0) - trained)
    near(product(found.b[0], found.a[0]) - trained, (u[:, :2] * s[:2]) @ vh[:2])


def test_fedex_of_a_server_is_the_mean_of_the_products() -> None:
    """Law: over two rounds; what clients adopt is what was served, to half precision."""
    config = FedExLora(rank=RANK, residual_rank=18)
    method = method_of(config)
    updates = [factors(seed) for seed in range(3)]
    start = method.update(method.initial(LAYERS, 1, 0, 3), 0, 0, True)
    served = method.aggregate_clients(start, updates, WEIGHTS)
    second = [factors(seed) for seed in range(5, 8)]
    after = method.aggregate_clients(served, second, WEIGHTS)
    shapes = extra_shapes(method, LAYERS)
    for layer in range(2):
        adopted = method.adopt(adapter_of(config, second[0]), after)
        mean = served.b[layer], served.a[layer]
        first = mean_product(updates, layer) - product(*mean)
        near(product(adopted.b[layer], adopted.a[layer]), first + mean_product(second, layer))
        received = decode(encode(after), LAYERS, [RANK] * 2, extra=shapes)
        mine = method.adopt(adopted, received)
        assert torch.allclose(mine.b[layer], adopted.b[layer], rtol=1e-3, atol=1e-4)


def test_fed_sb_is_the_mean_of_the_products() -> None:
    """Law: exactly, whatever the cores; the frozen factors are orthonormal."""
    method = method_of(FedSb(rank=4, init="gaussian"))
    start = method.initial(LAYERS, 1, 0, 3)
    generator = torch.Generator().manual_seed(2)
    cores = [tuple(torch.randn(4, 4, generator=generator) for _ in LAYERS) for _ in WEIGHTS]
    updates = [Update(n, 1, (), extra=core) for n, core in enumerate(cores)]
    found = method.adopt(start, method.average(updates, WEIGHTS))
    each = [method.adopt(start, update) for update in updates]
    for layer in range(2):
        dense = sum(
            share * product(one.b[layer], one.a[layer])
            for share, one in zip(SHARES, each, strict=True)
        )
        near(product(found.b[layer], found.a[layer]), dense)
        near(product(start.basis[layer].T, start.basis[layer]), np.eye(4))
        near(product(start.a[layer], start.a[layer].T), np.eye(4))
    assert start.is_zero()


def test_fed_sb_takes_the_singular_vectors_of_the_weights(make_trainer) -> None:  # type: ignore[no-untyped-def]
    """Law: B diag(s) A is the best approximation of the weight; ranks fit every layer."""
    trainer = make_trainer(method=FedSb(rank=20))
    adapter = trainer._base_adapter(0).value()
    assert {len(a) for a in adapter.a} == {16, 20}
    for module, basis, a in zip(trainer.model.modules, adapter.basis, adapter.a, strict=True):
        weight = module.frozen_weight().double().numpy()
        u, s, vh = np.linalg.svd(weight)
        found = (basis.double().numpy() * s[: len(a)]) @ a.double().numpy()
        np.testing.assert_allclose(found, (u[:, : len(a)] * s[: len(a)]) @ vh[: len(a)], atol=1e-5)


def test_a_core_is_trained_as_autograd_does(make_trainer, make_lm) -> None:  # type: ignore[no-untyped-def]
    """Law: a step of SGD moves R by -eta basis^T G A^T s, with G the gradient of the weight."""
    from fl.training.loss import answer_loss

    rate = 0.1
    trainer = make_trainer(
        method=FedSb(rank=4, learning_rate=rate), local_steps=2, clip_norm=1e9,
        optimizer=Sgd(momentum=0.0),
    )  # fmt: skip
    adapter = trainer.train(1, 1, None).value().adapter
    start = trainer._base_adapter(1).value()
    core = [one.clone() for one in start.core]
    modules = trainer.model.modules
    for batch in trainer.examples.batches(1, "batches", 1, 2):
        b = [
            (basis @ r).T[None].requires_grad_() for basis, r in zip(start.basis, core, strict=True)
        ]
        a = [one[None] for one in start.a]
        with trainer.model.stacked(a, b, start.scale):
            answer_loss(trainer.model, batch.ids, batch.labels, 1).backward()
        core = [
            r - rate * basis.T @ one.grad[0].T
            for r, basis, one in zip(core, start.basis, b, strict=True)
        ]
    assert len(modules) == len(core)
    for mine, theirs, b, basis in zip(adapter.core, core, adapter.b, start.basis, strict=True):
        assert bool(mine.any())
        torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-6)
        torch.testing.assert_close(b, basis @ mine)


def test_fedrot_aligns_factors_without_changing_products() -> None:
    """Law: Q solves the Procrustes problem in NumPy, and averaging rotated copies is exact."""
    updates = [factors(seed) for seed in range(3)]
    method = method_of(FedRotLora(rank=RANK))
    average = method.average(updates, WEIGHTS)
    for layer in range(2):
        reference = updates[0].a[layer].double().numpy()
        b = a = 0.0
        for share, update in zip(SHARES, updates, strict=True):
            own_b, own_a = (x[layer].double().numpy() for x in (update.b, update.a))
            u, _, vh = np.linalg.svd(own_a @ reference.T)
            b, a = b + share * own_b @ (u @ vh), a + share * (u @ vh).T @ own_a
        near(average.b[layer].numpy(), b)
        near(average.a[layer].numpy(), a)
    # Copies that differ by a rotation of the ranks: their mean factors would be another product.
    one = factors(1)
    turn = torch.linalg.qr(torch.randn(RANK, RANK, generator=torch.Generator().manual_seed(3)))[0]
    turned = replace(one, b=tuple(b @ turn for b in one.b), a=tuple(turn.T @ a for a in one.a))
    mean = method.average([one, turned], [1.0, 2.0])
    near(product(mean.b[0], mean.a[0]), product(one.b[0], one.a[0]))


def states(trainer: Any, rounds: int) -> list[Any]:
    """Return the states of devices after rounds on the complete graph."""
    devices = range(len(trainer.task_of))
    current: list[Any] = [None for _ in devices]
    for number in range(1, rounds + 1):
        trained = [trainer.train(d, number, current[d]) for d in devices]
        sent = [trainer.outgoing_update(d, number, trained[d]) for d in devices]
        current = [
            trainer.aggregate(
                d, trained[d], [sent[o] for o in devices if o != d], [1.0] * len(sent)
            )
            for d in devices
        ]
    return [state.value() for state in current]


def first_round(trainer: Any) -> list[Adapter]:
    """Return the trained adapters of all devices, computed in one batch as `states` does."""
    jobs = [trainer.train(device, 1, None) for device in range(len(trainer.task_of))]
    return [job.value().adapter for job in jobs]


def moved(one: Any, other: Any) -> bool:
    return any(not torch.equal(x, y) for x, y in zip(one, other, strict=True))


def test_rolora_alternates_between_the_factors(make_trainer) -> None:  # type: ignore[no-untyped-def]
    """Law: odd rounds leave A to the last bit, even ones B; mean products are exact."""
    trainer = make_trainer(method=RoLora(rank=4))
    start = trainer._base_adapter(0).value()
    one, two, three = (states(trainer, rounds)[0].adapter for rounds in (1, 2, 3))
    assert not moved(one.a, start.a)
    assert moved(one.b, start.b)
    assert moved(two.a, one.a)
    assert not moved(two.b, one.b)
    assert not moved(three.a, two.a)
    assert moved(three.b, two.b)


def test_a_server_of_rolora_serves_both_factors() -> None:
    """Law: the factor of the round is averaged, the other one is that of the round before."""
    from fl.methods.aggregation import Aggregation

    method = method_of(RoLora(rank=RANK))
    aggregation = Aggregation(method, None, with_a=True)
    previous = factors(9)
    adapters = [adapter_of(RoLora(rank=RANK), factors(seed)) for seed in range(3)]
    for round_ in (1, 2):
        updates = [method.update(one, n, round_, False) for n, one in enumerate(adapters)]
        served = aggregation.clients(previous, updates, WEIGHTS)
        for layer in range(2):
            means = [
                sum(
                    share * getattr(one, name)[layer].numpy()
                    for share, one in zip(SHARES, adapters, strict=True)
                )
                for name in ("b", "a")
            ]
            before = previous.b[layer].numpy(), previous.a[layer].numpy()
            expected = (means[0], before[1]) if round_ == 1 else (before[0], means[1])
            near(served.b[layer].numpy(), expected[0])
            near(served.a[layer].numpy(), expected[1])
        previous = served


@pytest.mark.parametrize("optimizer", [AdamW(), Sgd(momentum=0.9)], ids=["adamw", "sgd"])
def test_moments_of_a_frozen_factor_wait(make_trainer, optimizer: Any) -> None:  # type: ignore[no-untyped-def]
    """Law: B of the rounds 1 and 3 is that of torch's optimizer, which never saw round 2."""
    from fl.training.loss import answer_loss

    rate = 1e-3
    trainer = make_trainer(
        method=RoLora(rank=4, learning_rate=rate), optimizer=optimizer, clip_norm=1e9, devices=1
    )
    state = None
    for number in (1, 2, 3):
        state = trainer.train(0, number, state)
    found = state.value()
    start = trainer._base_adapter(0).value()
    a = [one[None].clone().requires_grad_() for one in start.a]
    b = [one.T[None].clone().requires_grad_() for one in start.b]
    if isinstance(optimizer, Sgd):
        of_b, of_a = (torch.optim.SGD(part, lr=rate, momentum=0.9) for part in (b, a))
    else:
        of_b, of_a = (torch.optim.AdamW(part, lr=rate, weight_decay=0.0) for part in (b, a))
    for number in (1, 2, 3):
        for batch in trainer.examples.training(0, number):
            of_a.zero_grad()
            of_b.zero_grad()
            with trainer.model.stacked(a, b, start.scale):
                answer_loss(trainer.model, batch.ids, batch.labels, 1).backward()
            (of_b if number % 2 else of_a).step()
    for mine, theirs in zip(
        (*found.adapter.a, *found.adapter.b), (*a, *[x.mT for x in b]), strict=True
    ):
        # The first steps of Adam are a sign of the gradient where that is near zero.
        assert float((mine - theirs[0].detach()).abs().mean()) < 1e-2 * rate


def test_a_private_factor_stays_on_its_device(make_trainer) -> None:  # type: ignore[no-untyped-def]
    """Law: A's are the mean of all, B's those of each device's own training."""
    trainer = make_trainer(method=FedSaLora(rank=4))
    trained = first_round(trainer)
    found = [state.adapter for state in states(trainer, 1)]
    for layer in range(len(found[0].a)):
        mean = np.mean([one.a[layer].double().numpy() for one in trained], axis=0)
        for device in range(3):
            assert torch.equal(found[device].b[layer], trained[device].b[layer])
            # Received factors are in half precision.
            np.testing.assert_allclose(found[device].a[layer].numpy(), mean, atol=1e-3)
    assert moved(found[0].b, found[1].b)


def test_a_residual_is_never_trained(make_trainer) -> None:  # type: ignore[no-untyped-def]
    """Law: without a residual the first round is that of lora, to the last bit; afterwards the
    residual's ranks keep their values under training."""
    fedex = make_trainer(method=FedExLora(rank=4, residual_rank=5))
    plain = make_trainer(method=Lora(rank=4))
    mine, theirs = (trainer.train(0, 1, None).value().adapter for trainer in (fedex, plain))
    for layer, (b, a) in enumerate(zip(theirs.b, theirs.a, strict=True)):
        torch.testing.assert_close(mine.b[layer][:, :4], b, rtol=1e-4, atol=1e-6)
        torch.testing.assert_close(mine.a[layer][:4], a, rtol=1e-4, atol=1e-6)
        assert not bool(mine.b[layer][:, 4:].any())
    aggregated = states(fedex, 1)[0].adapter
    assert bool(aggregated.b[0][:, 4:].any())
    later = states(fedex, 1)[0]
    again = fedex.train(0, 2, _value(later)).value().adapter
    for x, y in zip(aggregated.b, again.b, strict=True):
        assert torch.equal(x[:, 4:], y[:, 4:])
        assert moved([x[:, :4]], [y[:, :4]])


def _value(state: Any) -> Any:
    """Return a lazy value of a state."""
    from fl.engine.jobs import DerivedValue

    return DerivedValue("a state", (), lambda: state)


def test_a_proximal_term_of_weight_0_is_none(make_trainer) -> None:  # type: ignore[no-untyped-def]
    """Law: to the last bit, and a heavy one holds the factors where they were."""
    plain, none, heavy = (
        states(make_trainer(method=Lora(rank=4), objective=objective), 2)[0].adapter
        for objective in (None, Prox(mu=0.0), Prox(mu=1e4))
    )
    assert not moved((*plain.a, *plain.b), (*none.a, *none.b))
    assert moved((*plain.a, *plain.b), (*heavy.a, *heavy.b))


def test_a_proximal_term_is_the_gradient_of_its_penalty(make_trainer) -> None:  # type: ignore[no-untyped-def]
    """Law: gradient descent on loss + mu/2 |x - x0|^2, by autograd."""
    from fl.training.loss import answer_loss

    rate, mu = 0.05, 3.0
    trainer = make_trainer(
        method=Lora(rank=4, learning_rate=rate), optimizer=Sgd(momentum=0.0), clip_norm=1e9,
        objective=Prox(mu=mu),
    )  # fmt: skip
    found = trainer.train(0, 1, None).value().adapter
    start = trainer._base_adapter(0).value()
    x = [one[None].clone().requires_grad_() for one in (*start.a, *[b.T for b in start.b])]
    begin = [one.detach().clone() for one in x]
    half = len(x) // 2
    for batch in trainer.examples.training(0, 1):
        with trainer.model.stacked(x[:half], x[half:], start.scale):
            loss = answer_loss(trainer.model, batch.ids, batch.labels, 1).sum()
            squares = [(p - q).square().sum() for p, q in zip(x, begin, strict=True)]
            grads = torch.autograd.grad(loss + mu / 2 * sum(squares), x)
        x = [(p - rate * g).detach().requires_grad_() for p, g in zip(x, grads, strict=True)]
    for mine, theirs in zip((*found.a, *[b.T for b in found.b]), x, strict=True):
        torch.testing.assert_close(mine, theirs[0].detach(), rtol=1e-4, atol=1e-6)


SGD = Sgd(momentum=0.0)


def test_scaffold_keeps_the_mean_gradient_and_corrects_by_it(make_trainer) -> None:  # type: ignore[no-untyped-def]
    """Law: after a first round from zero, c_i is (x - y) / (K eta); c is the mean of all c_i; and
    a second round moves by the gradients' sum plus K (c - c_i)."""
    from fl.methods.scaffold import _flat

    rate = 0.05
    settings = {"optimizer": SGD, "clip_norm": 0.5, "local_steps": 3}
    trainer = make_trainer(method=Scaffold(rank=4, learning_rate=rate), **settings)
    plain = make_trainer(method=Lora(rank=4, learning_rate=rate), **settings)
    start = trainer._base_adapter(0).value()
    trained = first_round(trainer)
    for d, alone in enumerate(first_round(plain)):
        # Without corrections the first round is that of lora.
        assert not moved((*alone.a, *alone.b), (*trained[d].a, *trained[d].b))
        expected = (_flat(start) - _flat(trained[d])) / (3 * rate)
        torch.testing.assert_close(trained[d].kept["control"][0], expected)
    after = states(trainer, 1)
    mean = sum(one.kept["control"][0] for one in trained) / 3
    for d in range(3):
        # Received control variates are in half precision: 11 bits of each one.
        rounding = sum(one.kept["control"][0].abs() for one in trained) / 3 * 2**-11 + 1e-7
        assert bool(((after[d].adapter.kept["common control"][0] - mean).abs() <= rounding).all())
    # One step: y = x - eta (g - c_i + c), against the step of lora from the same factors.
    one = {**settings, "local_steps": 1}
    trainer, plain = (
        make_trainer(method=kind(rank=4, learning_rate=rate), **one) for kind in (Scaffold, Lora)
    )
    state = _value(after[1])
    with_c = trainer.train(1, 2, state).value().adapter
    without = plain.train(1, 2, state).value().adapter
    # The new control variate is the gradient without corrections.
    torch.testing.assert_close(
        with_c.kept["control"][0],
        (_flat(after[1].adapter) - _flat(without)) / rate,
        rtol=1e-3,
        atol=1e-5,
    )
    kept = after[1].adapter.kept
    shift = kept["common control"][0] - kept["control"][0]
    torch.testing.assert_close(_flat(with_c) - _flat(without), -rate * shift, rtol=1e-3, atol=1e-6)


def test_control_variates_of_equal_devices_cancel(make_trainer) -> None:  # type: ignore[no-untyped-def]
    """Law: among devices with one gradient there is no drift, and scaffold is lora."""
    settings = {"optimizer": SGD, "devices": 1}
    mine, theirs = (
        states(make_trainer(method=kind(rank=4, learning_rate=0.05), **settings), 3)[0].adapter
        for kind in (Scaffold, Lora)
    )
    for x, y in zip((*mine.a, *mine.b), (*theirs.a, *theirs.b), strict=True):
        torch.testing.assert_close(x, y, rtol=1e-4, atol=1e-6)


D_R = RANK * sum(layer.outputs for layer in LAYERS)
K_R = RANK * sum(layer.inputs for layer in LAYERS)
UP_AND_DOWN = [
    (Lora(rank=RANK), [D_R + K_R] * 2, D_R + K_R),
    (RoLora(rank=RANK), [D_R, K_R], D_R + K_R),
    (FedSaLora(rank=RANK), [K_R] * 2, K_R),
    (Decaf(rank=RANK), [D_R + K_R] * 2, D_R + K_R),
    (FedRotLora(rank=RANK), [D_R + K_R] * 2, D_R + K_R),
    (FedExLora(rank=RANK, residual_rank=6), [D_R + K_R] * 2, 3 * (D_R + K_R)),
    (FedSb(rank=RANK), [2 * RANK**2] * 2, 2 * RANK**2),
    (Scaffold(rank=RANK), [2 * (D_R + K_R)] * 2, 2 * (D_R + K_R)),
]


@pytest.mark.parametrize(
    ("config", "up", "down"), UP_AND_DOWN, ids=lambda x: getattr(x, "model", "")
)
@pytest.mark.parametrize("bits", [16, 8])
def test_messages_have_the_parameters_of_the_formula(
    config: Any, up: list[int], down: int, bits: int
) -> None:
    """Law: up in odd and even rounds, and down, as they are serialised and as they are charged."""
    method = method_of(config)
    adapter = method.initial(LAYERS, 1, 0, 2)
    ranks = method.ranks(LAYERS)
    shapes = extra_shapes(method, LAYERS)
    for number, count in zip((1, 2), up, strict=True):
        update = replace(method.update(adapter, 0, number, True), bits=bits)
        data = encode(update)
        scales = 0
        if bits < 16:
            parts = (update.b, update.a or (), update.extra or ())
            scales = 4 * sum(len(part) for part in parts)
        assert len(data) == HEADER_BYTES + count * bits // 8 + scales
        ruled = replace(shapes_update_in(method, LAYERS, True, 0, number), bits=bits)
        assert encoded_bytes(ruled) == encoded_bytes(update) == len(data)
        received = decode(data, LAYERS, ranks, extra=shapes)
        assert [len(part or ()) for part in (received.b, received.a, received.extra)] == [
            len(part or ()) for part in (update.b, update.a, update.extra)
        ]
    first = method.update(adapter, 0, 1, True)
    average = method.average([first, first], [1.0, 1.0])
    start = method.update(adapter, 0, 0, True)
    if hasattr(method, "serve"):
        average = method.serve(average, start)
    if hasattr(method, "aggregate_clients"):
        average = method.aggregate_clients(start, [first, first], [1.0, 1.0])
    sent = encode(replace(average, bits=16))
    assert len(sent) == HEADER_BYTES + 2 * down
    if hasattr(method, "served_shapes"):
        assert encoded_bytes(method.served_shapes(LAYERS)) == len(sent)


def test_megabytes_of_the_table(make_lm) -> None:  # type: ignore[no-untyped-def]
    """Law: Qwen2.5-1.5B, all linear layers, r = 8 in half precision; Fed-SB at 32 and 64."""
    from fl.adapters import AdaptedModel
    from fl.config import Emulate
    from fl.trainer.cost_model import CostModel

    model = AdaptedModel(make_lm())

    def megabytes(config: Any) -> list[float]:
        cost = CostModel(Emulate(emulate="qwen2.5-1.5b"), method_of(config), model)
        sizes = [cost.size_bytes_in(True, 0, number) for number in (1, 2)]
        return [round((size - HEADER_BYTES) / 1e6, 2) for size in (*sizes, cost.average_bytes)]

    assert megabytes(RoLora(rank=8)) == [10.32, 8.14, 18.46]
    assert megabytes(FedSaLora(rank=8)) == [8.14, 8.14, 8.14]
    assert megabytes(Decaf(rank=8)) == [18.46, 18.46, 18.46]
    assert megabytes(FedRotLora(rank=8)) == [18.46, 18.46, 18.46]
    assert megabytes(FedExLora(rank=8, residual_rank=16)) == [18.46, 18.46, 55.39]
    assert megabytes(FedSb(rank=32)) == [0.40, 0.40, 0.40]
    assert megabytes(FedSb(rank=64)) == [1.61, 1.61, 1.61]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"method": Scaffold()}, "scaffold needs optimizer sgd without momentum and weight_decay"),
        ({"method": RoLora(), "protocol": Asynchronous()}, "got protocol asynchronous"),
        (
            {"method": Decaf(), "robust": Median()},
            "method decaf has another rule, got robust median",
        ),
        ({"method": FedSb(), "robust": NormClip()}, "norm-clip is for methods that send B"),
        (
            {"method": FedSaLora(), "inference": Mixture()},
            "adapters are sent whole, got method fedsa",
        ),
    ],
)
def test_what_makes_no_sense_is_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Learning(**settings)


RANKS = (3, 1, 2)


def test_flexlora_takes_the_largest_ranks_of_the_dense_mean() -> None:
    """Law: for each device the best approximation of its rank; a server sends no other ranks."""
    updates = [factors(seed, rank) for seed, rank in enumerate(RANKS)]
    method = method_of(FlexLora(ranks=RANKS))
    average = method.average(updates, WEIGHTS)
    for device, rank in enumerate(RANKS):
        own = method.initial(LAYERS, 1, device, 3)
        found = method.adopt(own, average)
        sent = method.tailored(average, device, 1, False)
        assert encoded_bytes(sent) == len(encode(sent))
        assert encoded_bytes(sent) == encoded_bytes(
            method.tailored_shapes(LAYERS, device, 1, False)
        )
        received = decode(encode(sent), LAYERS, [rank] * 2)
        for layer in range(2):
            u, s, vh = np.linalg.svd(mean_product(updates, layer))
            assert found.b[layer].shape[1] == rank
            near(product(found.b[layer], found.a[layer]), (u[:, :rank] * s[:rank]) @ vh[:rank])
            assert torch.equal(received.a[layer], found.a[layer].half().float())


def test_flexlora_of_equal_ranks_is_decaf(make_trainer) -> None:  # type: ignore[no-untyped-def]
    """Law: on a complete graph, to rounding."""
    flex, decaf = (
        states(make_trainer(method=method), 2) for method in (FlexLora(ranks=(4,)), Decaf(rank=4))
    )
    for one, other in zip(flex, decaf, strict=True):
        for x, y in zip(
            (*one.adapter.a, *one.adapter.b), (*other.adapter.a, *other.adapter.b), strict=True
        ):
            assert torch.equal(x, y)


def test_hetlora_pads_and_weighs_by_the_norms_of_products() -> None:
    """Law: an independent loop in NumPy; equal ranks and norms are the mean of lora."""
    updates = [factors(seed, rank) for seed, rank in enumerate(RANKS)]
    method = method_of(HetLora(ranks=RANKS))
    average = method.average(updates, WEIGHTS)
    for layer in range(2):
        norms = np.array([np.linalg.norm(product(one.b[layer], one.a[layer])) for one in updates])
        shares = norms * WEIGHTS / (norms @ WEIGHTS)
        b, a = np.zeros((LAYERS[layer].outputs, 3)), np.zeros((3, LAYERS[layer].inputs))
        for share, one, rank in zip(shares, updates, RANKS, strict=True):
            b[:, :rank] += share * one.b[layer].double().numpy()
            a[:rank] += share * one.a[layer].double().numpy()
        near(average.b[layer].numpy(), b)
        near(average.a[layer].numpy(), a)
    one = factors(1)
    turned = replace(one, b=tuple(-b for b in one.b))
    mean = method_of(HetLora(ranks=(RANK,))).average([one, turned, one], WEIGHTS)
    plain = method_of(Lora(rank=RANK)).average([one, turned, one], WEIGHTS)
    near(mean.b[0].numpy(), plain.b[0].numpy())


@pytest.mark.parametrize("kind", [FlexLora, HetLora])
def test_devices_of_several_ranks_train_and_aggregate(make_trainer, kind: Any) -> None:  # type: ignore[no-untyped-def]
    """Law: bytes are those of each device's rank; A's begin as rows of one A."""
    trainer = make_trainer(method=kind(ranks=(4, 2)))
    start = [trainer._base_adapter(device).value() for device in range(3)]
    assert torch.equal(start[1].a[0], start[0].a[0][:2])
    found = [state.adapter for state in states(trainer, 2)]
    assert [one.rank for one in found] == [4, 2, 4]
    sizes = [trainer.cost_model.size_bytes_in(True, device, 1) for device in range(3)]
    each = sum(layer.inputs + layer.outputs for layer in trainer.model.layers)
    assert sizes == [HEADER_BYTES + 2 * rank * each for rank in (4, 2, 4)]
    down = [trainer.cost_model.average_bytes_to(device) for device in range(3)]
    assert down == sizes
    assert trainer.overlaps() is None
    each = [trainer.train(device, 1, None) for device in range(3)]
    assert np.isfinite(trainer.groups.collisions([0, 1], each[:2])).all()
    assert np.isfinite(trainer.groups.consensus(each, np.full((3, 3), 1 / 3))[0])
    sent = [trainer.outgoing_update(device, 1, one) for device, one in enumerate(each)]
    average = trainer.average(sent, [1.0] * 3)
    for device in range(3):
        state = trainer.adopt(device, None, trainer.for_client(device, average)).value()
        assert state.adapter.rank == found[device].rank


@pytest.mark.parametrize("kind", [FlexLora, HetLora])
def test_ranks_that_an_average_lacks_stay_trainable(kind: Any) -> None:
    """Law: a server that heard one small client sends others its product, and their A remains."""
    method = method_of(kind(ranks=RANKS))
    small = factors(1, 1)
    own = method.initial(LAYERS, 1, 0, 3)
    average = method.average([small], [1.0])
    assert encoded_bytes(method.tailored(average, 0, 1, False)) == encoded_bytes(
        method.tailored_shapes(LAYERS, 0, 1, False)
    )
    found = method.adopt(own, average)
    near(product(found.b[0], found.a[0]), product(small.b[0], small.a[0]))
    assert torch.equal(found.a[0][1:], own.a[0][1:])


def test_ranks_must_be_given() -> None:
    with pytest.raises(ValueError, match="ranks must have the rank of at least one device"):
        FlexLora(ranks=())


PLUGIN = """
name: own
devices: {count: 3}
mobility: {model: static, layout: grid}
fl:
  tasks: [reverse, total]
  method: {model: "extended:Seldom"}
  objective: {model: "extended:Noisy"}
  topology: {model: full}
  rounds: 3
  local_steps: 2
  batch_size: 2
  train_examples: 8
  test_examples: 2
"""


def test_a_plugin_may_extend_methods_and_objectives(tmp_path: Path, monkeypatch: Any) -> None:
    """Contract: the page's example runs, and its noise does not depend on micro-batches."""
    from wnsim.scenario.__main__ import main
    from wnsim.scenario.contracts import violations

    monkeypatch.syspath_prepend(Path(__file__).parents[1] / "docs" / "examples")
    monkeypatch.chdir(tmp_path)
    losses = []
    for tokens in (1, 100_000):
        path = tmp_path / f"{tokens}.yaml"
        path.write_text(PLUGIN + f"  trainer: {{micro_batch_tokens: {tokens}}}\n")
        out = tmp_path / f"out-{tokens}"
        assert main([str(path), "--plugin", "extended", "--no-figures", "--out", str(out)]) == 0
        transfers = pd.read_csv(out / "seed=1" / "transfers.csv")
        assert transfers["size_bytes"].nunique() == 1
        losses.append(pd.read_csv(out / "seed=1" / "rounds.csv")["loss"].to_numpy())
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-4)
    assert violations("extended:Seldom") == ("method", [])
    # Without the noise the losses are others.
    plain = tmp_path / "plain.yaml"
    plain.write_text("\n".join(line for line in PLUGIN.splitlines() if "Noisy" not in line))
    more = ("--no-figures", "--out", str(tmp_path / "plain"))
    assert main([str(plain), "--plugin", "extended", *more]) == 0
    without = pd.read_csv(tmp_path / "plain" / "seed=1" / "rounds.csv")["loss"].to_numpy()
    assert not np.allclose(without, losses[0], rtol=1e-4)
