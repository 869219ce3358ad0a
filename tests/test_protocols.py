"""Protocols: gossip without a barrier, and a server with its clients."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import simpy

from fl.config import (
    Asynchronous,
    Full,
    Learning,
    Local,
    Lora,
    Ring,
    Server,
    SoLora,
    Synchronous,
)
from fl.session import PROTOCOLS
from fl.session.quadratic_trainer import QuadraticTrainer
from wnsim.core.clock import Clock
from wnsim.core.units import to_ns, to_s
from wnsim.mac import Cell
from wnsim.network import Message, Transfer
from wnsim.storage.record_book import RecordBook

SQUARE = ((0.0, 0.0), (100.0, 0.0), (0.0, 100.0), (100.0, 100.0))


class Wire:
    """A network of constant latency; see `wnsim.network.Network`."""

    forgets_leavers = False
    analog = None

    def __init__(self, devices: int, latency_s: float) -> None:
        self.env = Clock()
        self.inbox = [simpy.Store(self.env) for _ in range(devices)]
        self.sent: list[tuple[float, int, int]] = []
        self._latency_s = latency_s

    @property
    def now_s(self) -> float:
        return to_s(self.env.now_ns)

    @property
    def records(self) -> RecordBook:
        return RecordBook()

    def timeout(self, duration_s: float) -> simpy.Event:
        return self.env.timeout(to_ns(duration_s))

    def snapshot(self, without: Any = ()) -> Any:
        return SimpleNamespace(present=np.ones(len(self.inbox), dtype=bool))

    def next_presence_s(self) -> None:
        return None

    def crashed(self, device: int, since_s: float) -> None:
        return None

    def broadcast(
        self, message: Message, targets: Sequence[int], quantile: float
    ) -> list[simpy.Event]:
        events = []
        for target in targets:
            self.sent.append((self.now_s, message.source, target))
            event = self.env.event()
            events.append(event)
            # At zero latency a message arrives at once.
            if self._latency_s == 0.0:
                self._arrive(message, target, event)
            else:
                delay = self.env.now_ns + to_ns(self._latency_s)
                self.env.at(delay, lambda m=message, t=target, e=event: self._arrive(m, t, e))
        return events

    def _arrive(self, message: Message, target: int, event: simpy.Event) -> None:
        self.inbox[target].put(message)
        copy = Message(message.source, target, message.size_bytes, message.lifetime_s)
        values = dict.fromkeys(Transfer.__dataclass_fields__, 0) | {"message": copy}
        event.succeed(Transfer(**values | {"delivered": True}))


def gossip(
    targets: Sequence[float], seconds: Sequence[float], latency_s: float, **settings: Any
) -> tuple[Any, Wire]:
    protocol = settings.pop("protocol", {})
    protocol = Asynchronous(**protocol) if isinstance(protocol, dict) else protocol
    learning = Learning(protocol=protocol, **settings)
    wire = Wire(len(targets), latency_s)
    trainer = QuadraticTrainer(targets, 0.1)
    session = PROTOCOLS[type(protocol)](
        wire, trainer, learning, lambda device, flops: seconds[device], len(targets), 1,
        lambda number, time_s, accuracy: None,
    )  # fmt: skip
    wire.env.run(until=session.done)
    return session, wire


@pytest.mark.parametrize("topology", [Full(), Ring()])
def test_gossip_without_latency_is_gossip_in_rounds(topology: Full | Ring) -> None:
    """Law: x <- W (x - rate (x - c)), W the mean over a device and its neighbors."""
    targets, rounds = np.array([1.0, -2.0, 5.0, 0.5, 3.0]), 7
    session, _ = gossip(targets, [2.0] * 5, 0.0, topology=topology, rounds=rounds)
    mixing = np.ones((5, 5)) / 5
    if isinstance(topology, Ring):
        mixing = (np.eye(5) + np.roll(np.eye(5), 1, 0) + np.roll(np.eye(5), -1, 0)) / 3
    x = np.zeros(5)
    for _ in range(rounds):
        x = mixing @ (x - 0.1 * (x - targets))
    assert [state.value() for state in session.states] == pytest.approx(x.tolist(), rel=1e-12)
    assert {row.staleness for row in session.rounds} == {0.0}
    assert {row.age_s for row in session.rounds} == {0.0}


def test_a_latency_below_a_round_is_a_delay_of_one_round() -> None:
    """Law: updates of the round before are aggregated without discount; at the end all are."""
    targets, rounds = np.array([1.0, -2.0, 5.0]), 6
    session, wire = gossip(targets, [2.0] * 3, 0.5, topology=Full(), rounds=rounds)
    x, before = np.zeros(3), None
    for _ in range(rounds):
        y = x - 0.1 * (x - targets)
        others = None if before is None else before.sum() - before
        x = y if others is None else (y + others) / 3
        before = y
    x = (x + before.sum() - before) / 3
    assert [state.value() for state in session.states] == pytest.approx(x.tolist(), rel=1e-12)
    assert wire.now_s == pytest.approx(2.0 * rounds + 0.5)


@pytest.mark.parametrize("protocol", [Synchronous(), Asynchronous()], ids=lambda each: each.model)
def test_a_run_ends_at_the_evaluation_that_reaches_an_accuracy(protocol: Any) -> None:
    """Law: all average in each round, so that after k of them 1 - 0.9^k of the way is left behind;
    half of it after ln 0.5 / ln 0.9 = 6.6 rounds, which is round 8 if tests are in even ones."""
    settings: dict[str, Any] = {"topology": Full(), "rounds": 20, "protocol": protocol}
    session, wire = gossip(
        [1.0, 2.0, 6.0], [2.0] * 3, 0.0, evaluate_every=2, stop_at=0.5, **settings
    )
    tested: dict[int, float] = {}
    for row in session.evaluations:
        tested.setdefault(row.round, row.accuracy)
    assert tested == pytest.approx({k: 1 - 0.9**k for k in (0, 2, 4, 6, 8)})
    # Without a barrier, rounds that have begun by then are finished.
    begun = 0 if protocol.model == "synchronous" else 1
    assert max(row.round for row in session.rounds) == 8 + begun
    assert wire.now_s == pytest.approx(16.0 + 2.0 * begun)
    never, _ = gossip([1.0, 2.0, 6.0], [2.0] * 3, 0.0, stop_at=0.95, **settings)
    assert max(row.round for row in never.rounds) == 20


def test_stale_updates_count_less() -> None:
    """Law: the weight of an update is (1 + s)^-a, s aggregations after it was made."""
    # Device 1 makes one round while device 0 makes four; its messages take 3 s.
    session, _ = gossip(
        [1.0, 9.0], [1.0, 4.0], 3.0, topology=Full(), rounds=6,
        protocol={"staleness_exponent": 2.0},
    )  # fmt: skip
    mine = [row for row in session.rounds if row.device == 0]
    aggregated = [row for row in mine if row.updates_received]
    # Made at 4 s, received at 7 s; device 0 has aggregated at 4 (when it was made), 5 and 6 s.
    assert (aggregated[0].end_s, aggregated[0].staleness, aggregated[0].age_s) == (7.0, 2.0, 3.0)
    x = y = 0.0
    for _ in range(7):
        x -= 0.1 * (x - 1.0)
    y -= 0.1 * (y - 9.0)
    weight = (1 + 2) ** -2.0
    expected = (x + weight * y) / (1 + weight)
    state = x_after(session, 7)
    assert state == pytest.approx(expected, rel=1e-12)


def x_after(session: Any, number: int) -> float:
    """Device 0's state after one of its rounds: what its next one begins with, a step back."""
    (row,) = [row for row in session.rounds if (row.device, row.round) == (0, number + 1)]
    return (row.loss - 0.1 * 1.0) / 0.9


def test_fast_devices_make_more_rounds_and_the_sum_is_the_configured_one() -> None:
    session, _ = gossip([0.0, 1.0, 2.0], [1.0, 2.0, 4.0], 0.1, topology=Full(), rounds=14)
    counts = [sum(row.device == device for row in session.rounds) for device in range(3)]
    assert sum(counts) == 3 * 14
    assert counts == [24, 12, 6]


def test_a_neighbor_is_not_sent_a_second_update_before_the_first() -> None:
    _, wire = gossip([0.0, 1.0], [1.0, 1.0], 2.5, topology=Full(), rounds=10)
    mine = [at_s for at_s, source, _ in wire.sent if source == 0]
    assert np.diff(mine).min() >= 2.5


@pytest.fixture
def served(make_network, learn_over) -> Callable[..., Any]:  # type: ignore[no-untyped-def]
    """Return a runner of small federations with a server; gives network, trainer and session."""

    def run(stations=((50.0, 50.0),), share=1.0, backhaul=None, **learning):  # type: ignore[no-untyped-def]
        options = {} if backhaul is None else {"backhaul": backhaul}
        network = make_network(SQUARE, stations_m=stations, mac=Cell(), **options)
        settings = {"rounds": 3, "evaluate_every": 1, "protocol": Server(share=share)} | learning
        return learn_over(network, **settings)

    return run


def test_a_server_averages_what_its_clients_train(served) -> None:  # type: ignore[no-untyped-def]
    """Law: the average of states that were trained from the average before, by examples."""
    network, trainer, session = served(method=Lora(rank=4))
    sent = [(t.message.round, t.message.source, t.message.target) for t in network.transfers]
    server = network.server
    up = [(r, s, server) for r in (1, 2, 3) for s in range(4)]
    down = [(r, server, t) for r in (2, 3) for t in range(4)]
    assert sorted(sent) == sorted(up + down)
    weights = [trainer.weight(device) for device in range(4)]
    own = [state.value().adapter for state in session.states]
    for layer, b in enumerate(session.adapters[0].b):
        mean = sum(w * each.b[layer] for w, each in zip(weights, own, strict=True)) / sum(weights)
        # Half precision up, and once more down.
        assert np.allclose(b, mean, atol=2e-3)
    first, *others = session.adapters
    assert all(np.array_equal(first.b[0], other.b[0]) for other in others)


def test_clients_are_resampled_in_each_round(served) -> None:  # type: ignore[no-untyped-def]
    _, _, session = served(method=Lora(rank=4), share=0.5, rounds=6)
    drawn = [
        tuple(sorted(row.device for row in session.rounds if row.round == number))
        for number in range(1, 7)
    ]
    assert {len(one) for one in drawn} == {2}
    assert len(set(drawn)) > 1


def test_sparse_updates_go_up_and_their_aggregate_comes_down(served) -> None:  # type: ignore[no-untyped-def]
    method = SoLora(rank=4, density=0.3, calibration_prompts=8)
    network, trainer, session = served(method=method)
    entries = 4 * sum(layer.outputs for layer in trainer.model.layers)
    down = {t.message.size_bytes for t in network.transfers if t.message.source > 3}
    assert down == {32 + 2 * entries}
    up = [t.message.size_bytes for t in network.transfers if t.message.target > 3]
    assert min(up) == 32 + 2 * round(0.3 * entries)
    assert len(set(up)) == 2
    # Each has its own A, and the common B.
    first, second, *_ = session.adapters
    assert not np.array_equal(first.a[0], second.a[0])
    assert np.array_equal(first.b[0], second.b[0])


def test_a_server_is_behind_the_stations(served) -> None:  # type: ignore[no-untyped-def]
    from wnsim.network import Backhaul

    stations = ((50.0, 50.0), (95.0, 95.0))
    network, _, _ = served(
        stations, method=Lora(rank=4), backhaul=Backhaul(rate_bps=None, delay_s=0.25)
    )
    assert all(t.backhaul_s == pytest.approx(0.25) for t in network.transfers)
    assert all(t.delivered for t in network.transfers)
    assert {t.hops for t in network.transfers} == {1}


def test_late_updates_are_not_averaged(served) -> None:  # type: ignore[no-untyped-def]
    network, _, session = served(method=Lora(rank=4), deadline_s=1e-6)
    assert not any(transfer.delivered for transfer in network.transfers)
    rounds = {row.round for row in session.rounds}
    assert rounds == {1, 2, 3}
    # Nothing arrived, so there is no average to send, and all devices train on alone.
    assert all(transfer.message.target == network.server for transfer in network.transfers)


def test_clients_of_a_method_without_updates_send_nothing(served) -> None:  # type: ignore[no-untyped-def]
    network, _, session = served(method=Local(rank=4))
    assert not network.transfers
    assert len(session.rounds) == 12


def test_a_server_needs_a_base_station(make_network, make_trainer) -> None:  # type: ignore[no-untyped-def]
    learning = Learning(protocol=Server())
    with pytest.raises(ValueError, match="needs a base station"):
        PROTOCOLS[Server](
            make_network(), make_trainer(devices=2), learning, lambda d, f: 1.0, 2, 1,
            lambda number, time_s, accuracy: None,
        )  # fmt: skip
