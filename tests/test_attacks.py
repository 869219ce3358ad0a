"""Byzantine devices, flipped labels, corrupted updates, and lost memory."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats

from fl.adapters import Layer
from fl.config import (
    Asynchronous,
    Byzantine,
    ClusterExchange,
    Corruption,
    Full,
    Isolated,
    Lora,
    Mixture,
    Server,
    SoLora,
    UpdateFaults,
)
from fl.data.label_flipping import flip_labels
from fl.tasks import Example
from fl.updates.attacks import corrupted
from fl.updates.codec import Update, decode, encode
from wnsim.faults import Crash
from wnsim.mac import Cell
from wnsim.network.transport import Transport

SQUARE = ((0.0, 0.0), (100.0, 0.0), (0.0, 100.0), (100.0, 100.0))


@pytest.fixture
def federate(make_network, learn_over) -> Callable[..., Any]:  # type: ignore[no-untyped-def]
    """Return a runner of small federations with faults; gives network, trainer and session."""

    def run(faults=None, update_faults=None, **learning):  # type: ignore[no-untyped-def]
        settings = {"rounds": 2, "topology": Full(), "evaluate_every": 1} | learning
        stations = {}
        if isinstance(settings.get("protocol"), Server):
            stations = {"stations_m": ((50.0, 50.0),), "mac": Cell()}
        network = make_network(SQUARE, faults=faults, transport=Transport(), **stations)
        return learn_over(network, update_faults=update_faults, **settings)

    return run


# --- attacks ----------------------------------------------------------------------------------


@pytest.mark.parametrize("method", [Lora(rank=2), SoLora(rank=2)])
@pytest.mark.parametrize("scale", [1.0, 4.0])
def test_a_sign_flip_is_the_exact_negative(make_trainer, method: object, scale: float) -> None:  # type: ignore[no-untyped-def]
    faults = UpdateFaults((Byzantine(devices=(1,), scale=scale, from_round=2),))
    trainer = make_trainer(devices=3, method=method, update_faults=faults)
    for device, round_, factor in ((1, 2, -scale), (1, 1, 1.0), (0, 2, 1.0)):
        state = trainer.train(device, round_, None)
        true = trainer.method.update(state.value().adapter, device, round_, True)
        sent_update = trainer.outgoing_update(device, round_, state).value()
        for own, sent in zip(true.b, sent_update.b, strict=True):
            assert torch.equal(sent, (factor * own).half().float())
        if true.a is not None:
            for own, sent in zip(true.a, sent_update.a, strict=True):
                assert torch.equal(sent, own.half().float())


def test_noise_has_the_configured_scale(make_trainer) -> None:  # type: ignore[no-untyped-def]
    faults = UpdateFaults((Byzantine(devices=(0,), attack="noise", scale=3.0),))
    trainer = make_trainer(devices=2, method=SoLora(rank=4), update_faults=faults)
    state = trainer.train(0, 1, None)
    true, sent_update = state.value().adapter, trainer.outgoing_update(0, 1, state).value()
    for own, sent, mask in zip(true.b, sent_update.b, true.mask, strict=True):
        active = mask.bool()
        assert bool((sent[~active] == 0).all())
        noise = (sent - own)[active].double() / (3.0 * own[active].double().square().mean().sqrt())
        # The square of standard normal numbers has mean 1 and variance 2.
        count = int(active.sum())
        low, high = stats.chi2.interval(1 - 1e-6, count)
        assert low < float(noise.square().sum()) < high
    again = trainer.outgoing_update(0, 1, state).value()
    assert all(torch.equal(x, y) for x, y in zip(sent_update.b, again.b, strict=True))


def test_labels_are_flipped() -> None:
    chosen = [Example("a", "x", ("x", "y", "z")), Example("b", "z", ("x", "y", "z"))]
    assert [each.answer for each in flip_labels(chosen)] == ["y", "x"]
    free = [Example("a", "1"), Example("b", "1"), Example("c", "2")]
    assert [each.answer for each in flip_labels(free)] == ["2", "2", "1"]
    same = [Example("a", "1"), Example("b", "1")]
    assert list(flip_labels(same)) == same


def test_flipped_labels_are_trained_on(make_trainer) -> None:  # type: ignore[no-untyped-def]
    faults = UpdateFaults((Byzantine(devices=(1,), attack="label-flip"),))
    plain, wrong = make_trainer(devices=3), make_trainer(devices=3, update_faults=faults)
    for device in range(3):
        before, after = plain.examples.rows[device], wrong.examples.rows[device]
        same = before.ids.shape == after.ids.shape and torch.equal(before.ids, after.ids)
        assert same == (device != 1)
    assert plain.examples.digests[1] != wrong.examples.digests[1]


# --- bits -------------------------------------------------------------------------------------


def test_one_bit_changes_one_parameter(make_trainer) -> None:  # type: ignore[no-untyped-def]
    trainer = make_trainer(devices=1, method=SoLora(rank=2))
    update = trainer.outgoing_update(0, 1, trainer.train(0, 1, None)).value()
    layers, ranks = trainer.model.layers, trainer.method.ranks(trainer.model.layers)
    rejected = 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        found = corrupted(update, 1, rng, layers, ranks, with_a=False)
        changed = sum(int((x != y).sum()) for x, y in zip(found.b, update.b, strict=True))
        # The sign of a zero is no other value.
        assert changed <= 1
        finite = all(bool(torch.isfinite(b).all()) for b in found.b)
        assert found.rejected == (not finite)
        rejected += found.rejected
        assert all(torch.equal(x, y) for x, y in zip(found.mask, update.mask, strict=True))
        # It passes the checksum nevertheless.
        if finite:
            decode(encode(found), layers, ranks)
    # A bit of sixteen makes a value infinite if all other exponent bits are set: not here.
    assert rejected == 0


def test_updates_that_are_not_finite_are_discarded(make_trainer) -> None:  # type: ignore[no-untyped-def]
    trainer = make_trainer(
        devices=3,
        method=Lora(rank=2),
        update_faults=UpdateFaults((), Corruption(probability=1.0, bits=3000)),
    )
    states = [trainer.train(device, 1, None) for device in range(3)]
    sent_update = [trainer.outgoing_update(device, 1, states[device]) for device in (1, 2)]
    received = [
        trainer.channel.corrupted(0, device, 1, each)
        for device, each in zip((1, 2), sent_update, strict=True)
    ]
    assert all(each.value().rejected for each in received)
    aggregated = trainer.aggregate(0, states[0], received, [1.0] * 3).value().adapter
    for mine, own in zip(aggregated.b, states[0].value().adapter.b, strict=True):
        assert torch.equal(mine, own)
    # A server keeps its previous average.
    before = trainer.average(sent_update, [1.0, 1.0])
    after = trainer.average(received, [1.0, 1.0], before).value()
    for x, y in zip(after.b, before.value().b, strict=True):
        assert torch.equal(x, y)


def test_updates_are_corrupted_with_the_configured_probability(make_trainer) -> None:  # type: ignore[no-untyped-def]
    """Law: the number of hits is binomial."""
    trainer = make_trainer(devices=2, update_faults=UpdateFaults((), Corruption(probability=0.1)))
    sent_update = trainer.outgoing_update(0, 1, trainer.train(0, 1, None))
    count = 3000
    hit = sum(
        trainer.channel.corrupted(1, 0, round_, sent_update) is not None for round_ in range(count)
    )
    low, high = stats.binom.interval(1 - 1e-6, count, 0.1)
    assert low <= hit <= high


def test_quantized_updates_with_an_impossible_scale_are_rejected() -> None:
    """Law: of 200 updates whose first bits, a scale, are hit, some have a negative or infinite
    scale; all are decoded or rejected."""
    layers = (Layer("q", 4, 2),)
    update = Update(0, 1, (torch.ones(2, 1),), a=(torch.ones(1, 4),), bits=4)
    found = [
        corrupted(update, 2, np.random.default_rng(seed), layers, [1], with_a=True)
        for seed in range(200)
    ]
    assert 0 < sum(each.rejected for each in found) < 200
    for each in found:
        values = torch.cat([each.b[0].flatten(), each.a[0].flatten()])
        assert each.rejected or bool(torch.isfinite(values).all())


@pytest.mark.parametrize("protocol", [None, Asynchronous(), Server()])
def test_learning_continues_with_corrupted_updates(federate, protocol: object) -> None:  # type: ignore[no-untyped-def]
    chosen = {} if protocol is None else {"protocol": protocol}
    update_faults = UpdateFaults((), Corruption(probability=0.5, bits=20))
    network, _, session = federate(
        update_faults=update_faults, method=Lora(rank=2), rounds=3, **chosen
    )
    assert session.corruptions
    assert list(session.evaluations)[-1].round == 3
    pairs = {(each.source, each.target) for each in session.corruptions}
    sent = {(t.message.source, t.message.target) for t in network.transfers if t.delivered}
    assert pairs <= sent
    assert all(math.isfinite(row.loss) for row in session.rounds)


SHARING = {"topology": Isolated(), "inference": Mixture(), "method": Lora(rank=2)}


@pytest.mark.parametrize("source", ["head", "nearest"])
def test_rejected_cluster_updates_are_not_cached(federate, source: str) -> None:  # type: ignore[no-untyped-def]
    """A rejected update is requested again, with the A that was not received either."""
    network, _, session = federate(
        update_faults=UpdateFaults((), Corruption(probability=1.0, bits=3000)),
        cluster_exchange=ClusterExchange(every=1, source=source),
        **SHARING,
    )
    kept = {(each.target, each.source) for each in session.corruptions if not each.rejected}
    assert len(kept) < 4
    for me in range(4):
        assert set(session.cached_updates(me)) == {me} | {other for one, other in kept if one == me}
    shares = [
        t.message for t in network.transfers if t.message.kind == "cluster-exchange" and t.delivered
    ]
    assert len(shares) == len(session.corruptions) == 2 * 4 * 3
    again = {m.size_bytes for m in shares if (m.target, m.source) not in kept}
    assert len(again) == 1


def test_cluster_updates_are_corrupted_by_one_bit(federate) -> None:  # type: ignore[no-untyped-def]
    options = {"cluster_exchange": ClusterExchange(every=1), "rounds": 1} | SHARING
    _, _, sound = federate(**options)
    _, _, changed = federate(update_faults=UpdateFaults((), Corruption(probability=1.0)), **options)
    assert len(changed.corruptions) == 4 * 3
    for me in range(4):
        kept = {
            each.source for each in changed.corruptions if each.target == me and not each.rejected
        }
        assert set(changed.cached_updates(me)) == kept | {me}
        for other in kept:
            one, true = (_bits(each.cached_updates(me)[other].value()) for each in (changed, sound))
            differ = (one ^ true).nonzero().flatten().tolist()
            assert [(int(one[n] ^ true[n]) & 0xFFFF).bit_count() for n in differ] == [1]


def _bits(update: Update) -> torch.Tensor:
    """Return the values of an update as the air carries them, as integers."""
    return torch.cat([each.half().flatten() for each in (*update.b, *(update.a or ()))]).view(
        torch.int16
    )


# --- memories ---------------------------------------------------------------------------------


@pytest.mark.parametrize("memory", ["kept", "lost"])
def test_a_crash_while_training_costs_the_round(federate, memory: str) -> None:  # type: ignore[no-untyped-def]
    """Device 3 trains for 4 s in each round; it is down from 2 s to 3 s of the first one."""
    crash = Crash(devices=(3,), from_s=2.0, until_s=3.0, memory=memory)
    network, trainer, session = federate({"crashes": (crash,)}, method=SoLora(rank=2))
    members = [sorted(r.device for r in session.rounds if r.round == n) for n in (1, 2)]
    assert members == [[0, 1, 2], [0, 1, 2, 3]]
    sent = [t for t in network.transfers if t.message.round == 1]
    assert {t.message.source for t in sent} == {0, 1, 2}
    # What reached it before its crash has to be sent again if its memory was lost.
    by_round = {
        n: {t.message.size_bytes for t in network.transfers
            if t.message.target == 3 and t.message.source == 0 and t.message.round == n}
        for n in (1, 2)
    }  # fmt: skip
    first, later = (trainer.cost_model.size_bytes(each) for each in (True, False))
    assert by_round == {1: {first}, 2: {first if memory == "lost" else later}}
    # 1 s and 2 s are instants at which others sent to it: before, and at the crash itself.
    reasons = {t.reason for t in sent if t.message.target == 3 and not t.delivered}
    assert reasons == {"crash"}


@pytest.mark.parametrize("memory", ["kept", "lost"])
def test_memory_after_a_crash_is_kept_or_lost(federate, memory: str) -> None:  # type: ignore[no-untyped-def]
    """It crashes for good in its second round: it has the adapter of the first one, or none."""
    _, _, whole = federate(method=Lora(rank=2), rounds=1)
    first_s = max(row.end_s for row in whole.rounds)
    crash = Crash(devices=(3,), from_s=first_s + 1.0, memory=memory)
    _, _, session = federate({"crashes": (crash,)}, method=Lora(rank=2), rounds=2)
    after_first = whole.adapters[3]
    left = session.adapters[3]
    if memory == "lost":
        assert left is None
    else:
        assert all(torch.equal(x, y) for x, y in zip(left.b, after_first.b, strict=True))
    assert [row.round for row in session.rounds if row.device == 3] == [1]


@pytest.mark.parametrize("protocol", [Asynchronous(), Server()])
def test_other_protocols_lose_memory_too(federate, protocol: object) -> None:  # type: ignore[no-untyped-def]
    crash = Crash(devices=(3,), from_s=2.0, memory="lost")
    _, _, session = federate({"crashes": (crash,)}, protocol=protocol, method=Lora(rank=2))
    assert not [row for row in session.rounds if row.device == 3]
    assert session.states[3] is None
    assert session.evaluations
