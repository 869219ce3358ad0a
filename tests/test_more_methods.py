"""Laws of stacked and orthonormal factors, of alternating ones, and of training in one place."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from fl.adapters import Layer
from fl.config import (
    AdfLora,
    Asynchronous,
    Centralised,
    FedSvd,
    Flora,
    Full,
    Iid,
    Learning,
    Local,
    Lora,
    Server,
    TadLora,
)
from fl.methods import method_of
from fl.methods.extensions import extra_shapes
from fl.updates.codec import HEADER_BYTES, Update, decode, encode, encoded_bytes
from wnsim.mac import Cell

# The second layer has fewer outputs than ranks.
LAYERS = (Layer("q", 24, 18), Layer("v", 20, 2))
RANK = 3
WEIGHTS = [1.0, 3.0, 2.0]
D_R = RANK * sum(layer.outputs for layer in LAYERS)
K_R = RANK * sum(layer.inputs for layer in LAYERS)


def factors(seed: int) -> Update:
    generator = torch.Generator().manual_seed(seed)
    b = tuple(torch.randn(layer.outputs, RANK, generator=generator) for layer in LAYERS)
    a = tuple(torch.randn(RANK, layer.inputs, generator=generator) for layer in LAYERS)
    return Update(seed, 1, b, a=a)


def product(b: torch.Tensor, a: torch.Tensor) -> Any:
    return b.double().numpy() @ a.double().numpy()


def mean_product(updates: list[Update], a: list[torch.Tensor], layer: int) -> Any:
    """Return the weighted mean of the products, dense."""
    each = zip(WEIGHTS, updates, a, strict=True)
    return sum(weight * product(one.b[layer], own) / sum(WEIGHTS) for weight, one, own in each)


def near(found: Any, expected: Any, error: float = 1e-6) -> None:
    np.testing.assert_allclose(found, expected, rtol=0, atol=error * np.abs(expected).max())


def test_flora_is_the_mean_of_the_products() -> None:
    """Law: exactly, over three rounds; the new B is zero; a client that missed a stack and one that
    received all have the same; down are n times the bytes up, and the sum before on demand."""
    method = method_of(Flora(rank=RANK, residual_rank=18))
    method.start_run(1, 3)
    own = method.initial(LAYERS, 1, 0, 3)
    served = method.update(own, 0, 0, True)
    total = [np.zeros((layer.outputs, layer.inputs)) for layer in LAYERS]
    steady = own
    up = HEADER_BYTES + 2 * (D_R + K_R)
    for number in range(1, 4):
        updates = [replace(factors(10 * number + n), round=number) for n in range(3)]
        served = method.aggregate_clients(served, updates, WEIGHTS)
        for layer in range(2):
            total[layer] += mean_product(updates, [one.a[layer] for one in updates], layer)
        whole = method.adopt(own, served)
        for layer in range(2):
            near(product(whole.b[layer], whole.a[layer]), total[layer], 1e-5)
            assert not bool(whole.b[layer][:, :RANK].any())
        # A client without losses: its residual and the stack alone, as decoded.
        stack = method.tailored(served, 0, number + 1, True)
        data = encode(stack)
        assert len(data) == encoded_bytes(stack) == HEADER_BYTES + 3 * (up - HEADER_BYTES)
        assert len(data) == encoded_bytes(method.tailored_shapes(LAYERS, 0, number, True))
        received = decode(data, LAYERS, [3 * RANK] * 2)
        residual = method.truncated(method.residual_of(steady), (received.b, received.a))
        steady = method.with_residual(replace(whole), *residual)
        for layer in range(2):
            near(product(steady.b[layer], steady.a[layer]), total[layer], 5e-3)
        late = method.tailored(served, 0, number + 1, False)
        assert encoded_bytes(late) == len(data) + 6 * 2 * (D_R + K_R)
        assert encoded_bytes(late) == encoded_bytes(method.tailored_shapes(LAYERS, 0, 1, False))
        again = decode(encode(late), LAYERS, [9, 9], extra=extra_shapes(method, LAYERS))
        for layer in range(2):
            adopted = method.adopt(own, again)
            near(product(adopted.b[layer], adopted.a[layer]), total[layer], 5e-3)
    # New factors in each round, the same on all devices.
    other = method.adopt(method.initial(LAYERS, 1, 2, 3), served)
    assert torch.equal(other.a[0], whole.a[0])
    assert not torch.equal(whole.a[0][:RANK], own.a[0][:RANK])


def test_flora_truncates_by_an_svd() -> None:
    method = method_of(Flora(rank=RANK, residual_rank=4))
    start = method.update(method.initial(LAYERS, 1, 0, 3), 0, 0, True)
    updates = [factors(n) for n in range(3)]
    found = method.adopt(
        method.initial(LAYERS, 1, 0, 3), method.aggregate_clients(start, updates, WEIGHTS)
    )
    dense = sum(
        w * product(one.b[0], one.a[0]) / 6 for w, one in zip(WEIGHTS, updates, strict=True)
    )
    u, s, vh = np.linalg.svd(dense)
    # The first layer; the stack itself is exact until the next one follows.
    near(product(found.b[0], found.a[0]), (u[:, :4] * s[:4]) @ vh[:4], 1e-5)


def test_fedsvd_keeps_the_product_and_makes_a_orthonormal() -> None:
    """Law: mean(B) A before and after, in two rounds, and of layers with fewer outputs than ranks,
    where A keeps all ranks orthonormal; B has orthogonal columns."""
    method = method_of(FedSvd(rank=RANK))
    own = method.initial(LAYERS, 1, 0, 3)
    served = method.update(own, 0, 0, True)
    for number in (1, 2):
        adapters = [replace(own, a=served.a, b=factors(9 * number + n).b) for n in range(3)]
        updates = [method.update(each, n, number, True) for n, each in enumerate(adapters)]
        assert {encoded_bytes(each) for each in updates} == {HEADER_BYTES + 2 * D_R}
        assert all(each.a is None for each in updates)
        before = [
            sum(
                w * product(one.b[layer], served.a[layer]) / 6
                for w, one in zip(WEIGHTS, updates, strict=True)
            )
            for layer in range(2)
        ]
        served = method.aggregate_clients(served, updates, WEIGHTS)
        assert len(encode(served)) == HEADER_BYTES + 2 * (D_R + K_R)
        assert encoded_bytes(method.served_shapes(LAYERS)) == len(encode(served))
        for layer in range(2):
            near(product(served.b[layer], served.a[layer]), before[layer])
            near(product(served.a[layer], served.a[layer].T), np.eye(RANK))
            squares = product(served.b[layer].T, served.b[layer])
            near(squares, np.diag(np.linalg.svd(squares)[1]), 1e-5)


def test_fedsvd_trains_b_alone(make_trainer) -> None:  # type: ignore[no-untyped-def]
    trainer = make_trainer(method=FedSvd(rank=4), protocol=Server())
    sent = [trainer.outgoing_update(d, 1, trainer.train(d, 1, None)) for d in range(3)]
    average = trainer.average(sent, [1.0] * 3)
    state = trainer.adopt(0, None, trainer.for_client(0, average))
    after = trainer.train(0, 2, state).value()
    for x, y in zip(after.adapter.a, average.value().a, strict=True):
        assert torch.equal(x, y)
    assert not torch.equal(after.adapter.b[0], average.value().b[0])


@pytest.mark.parametrize(
    ("config", "order"), [(AdfLora(rank=4), "baba"), (TadLora(rank=4, period=2), "bbaa")]
)
def test_one_factor_is_trained_and_both_are_mixed(make_trainer, config: Any, order: str) -> None:  # type: ignore[no-untyped-def]
    """Law: the frozen factor keeps every bit in the local steps; both are means of all devices."""
    trainer = make_trainer(method=config)
    states: list[Any] = [None] * 3
    for number, factor in enumerate(order, 1):
        trained = [trainer.train(d, number, states[d]) for d in range(3)]
        sent = [trainer.outgoing_update(d, number, trained[d]) for d in range(3)]
        for d in range(3):
            before = (trainer._base_adapter(d) if states[d] is None else states[d]).value()
            before = getattr(before, "adapter", before)
            after = trained[d].value().adapter
            frozen = "b" if factor == "a" else "a"
            pairs = zip(getattr(before, frozen), getattr(after, frozen), strict=True)
            assert all(torch.equal(x, y) for x, y in pairs)
            pairs = zip(getattr(before, factor), getattr(after, factor), strict=True)
            assert not all(torch.equal(x, y) for x, y in pairs)
        states = [
            trainer.aggregate(d, trained[d], [sent[o] for o in range(3) if o != d], [1.0] * 3)
            for d in range(3)
        ]
        for part in "ab":
            each = [getattr(one.value().adapter, part)[1].double().numpy() for one in trained]
            found = getattr(states[0].value().adapter, part)[1].numpy()
            # Received factors are in half precision.
            np.testing.assert_allclose(found, np.mean(each, axis=0), atol=1e-3)


def test_one_place_has_the_examples_of_all_devices(make_trainer) -> None:  # type: ignore[no-untyped-def]
    """Law: of one device, it is local; of three, each example once, all steps, and one adapter,
    which is computed once."""
    alone, plain = (make_trainer(method=kind(rank=4), devices=1) for kind in (Centralised, Local))
    for x, y in zip(
        alone.train(0, 1, None).value().adapter.b, plain.train(0, 1, None).value().adapter.b,
        strict=True,
    ):  # fmt: skip
        assert torch.equal(x, y)
    trainer = make_trainer(method=Centralised(rank=4))
    apart = make_trainer(method=Lora(rank=4))
    assert [trainer.examples.count(d) for d in range(3)] == [
        sum(apart.examples.count(d) for d in range(3))
    ] * 3
    assert trainer.examples.steps == [sum(apart.examples.steps)] * 3
    assert trainer.task_of == [(0, 1)] * 3
    jobs = [trainer.train(device, 1, None) for device in range(3)]
    assert jobs[0] is jobs[1] is jobs[2]


PLACES = ((0.0, 0.0), (100.0, 0.0), (0.0, 100.0))


def test_one_place_sends_nothing(make_network, learn_over) -> None:  # type: ignore[no-untyped-def]
    """Law: no message, and all devices are tested with one adapter."""
    network, _, session = learn_over(
        make_network(PLACES), devices=3, method=Centralised(rank=4), rounds=2, partition=Iid(),
        topology=Full(),
    )  # fmt: skip
    assert len(network.transfers) == 0
    first, *others = session.adapters
    assert all(torch.equal(first.b[0], each.b[0]) for each in others)
    by_task: dict[str, set[float]] = {}
    for row in session.evaluations:
        if row.round == 2:
            by_task.setdefault(row.task, set()).add(row.accuracy)
            assert row.own_task
    assert all(len(each) == 1 for each in by_task.values())


def test_a_server_sends_the_sum_to_clients_that_missed_a_stack(make_network, learn_over) -> None:  # type: ignore[no-untyped-def]
    """Law: a message down has the sum of all products before if and only if the client was not
    sent the last one; of half of the clients in each round, some were not."""
    network, trainer, _ = learn_over(
        make_network(PLACES, stations_m=((50.0, 50.0),), mac=Cell()), devices=3,
        method=Flora(rank=4, residual_rank=8), protocol=Server(share=0.7), rounds=6,
    )  # fmt: skip
    each = 2 * sum(layer.inputs + layer.outputs for layer in trainer.model.layers)
    up = HEADER_BYTES + 4 * each
    last: dict[int, int] = {}
    kinds = set()
    for transfer in network.transfers:
        message = transfer.message
        if message.source < 3:
            assert message.size_bytes == up
            continue
        is_current = last.get(message.target, 1) == message.round - 1
        kinds.add(is_current)
        stack = HEADER_BYTES + 2 * 4 * each
        assert message.size_bytes == stack + (0 if is_current else 8 * each)
        last[message.target] = message.round
    assert kinds == {True, False}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"method": Flora()}, "flora is for a server and its clients, got protocol synchronous"),
        ({"method": AdfLora(), "protocol": Asynchronous()}, "method adf-lora needs rounds in whi"),
        ({"method": Centralised(), "protocol": Server()}, "method centralised has no clients"),
    ],
)
def test_what_makes_no_sense_is_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Learning(**settings)


def test_a_device_stores_more_than_its_factors(make_lm) -> None:  # type: ignore[no-untyped-def]
    """Law: half-precision numbers of factors, residual, core and basis, or control variates."""
    from fl.adapters import AdaptedModel
    from fl.config import FedExLora, FedSb, Scaffold
    from fl.trainer.cost_model import CostModel

    model = AdaptedModel(make_lm())
    both = sum(layer.inputs + layer.outputs for layer in model.layers)

    def stored(config: Any) -> int:
        return CostModel(None, method_of(config), model).stored_bytes(1, 1, 0)

    assert stored(Lora(rank=4)) == 2 * 4 * both
    assert stored(FedExLora(rank=4, residual_rank=6)) == 2 * (4 + 6) * both
    assert stored(FedSb(rank=4)) == 2 * (4 * both + len(model.layers) * 16)
    assert stored(Scaffold(rank=4)) == 2 * 3 * 4 * both
    assert stored(Flora(rank=4, residual_rank=6)) == 2 * (4 + 6) * both


def test_a_stack_has_the_clients_of_a_round(make_trainer) -> None:  # type: ignore[no-untyped-def]
    """Law: half of four devices, of rank 8 each."""
    from fl.config import Emulate, Server

    payload = Emulate(emulate="qwen2.5-1.5b")
    trainer = make_trainer(
        method=Flora(rank=8), devices=4, payload=payload, protocol=Server(share=0.5)
    )
    size = trainer.cost_model.average_bytes_to(0, 2, True) - HEADER_BYTES
    assert round(size / 1e6, 2) == 36.93


def test_megabytes_of_the_emulated_model(make_lm) -> None:  # type: ignore[no-untyped-def]
    """Law: Qwen2.5-1.5B, r = 8: up, and down, of flora n times as many; rolora's mean."""
    from fl.adapters import AdaptedModel
    from fl.config import Emulate, RoLora
    from fl.trainer.cost_model import CostModel

    model = AdaptedModel(make_lm())

    def megabytes(config: Any) -> list[float]:
        method = method_of(config)
        if isinstance(config, Flora):
            method.start_run(1, 10)
        cost = CostModel(Emulate(emulate="qwen2.5-1.5b"), method, model)
        sizes = [cost.mean_bytes(True, 8, 4), cost.average_bytes_to(0, 2, True)]
        return [round((size - HEADER_BYTES) / 1e6, 2) for size in sizes]

    assert megabytes(Flora(rank=8)) == [18.46, 184.65]
    assert megabytes(FedSvd(rank=8)) == [10.32, 18.46]
    assert megabytes(AdfLora(rank=8)) == megabytes(TadLora(rank=8)) == [18.46, 18.46]
    assert megabytes(RoLora(rank=8)) == [9.23, 18.46]
