"""Hierarchical averages: against recursions in NumPy; the backhaul that carries them."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fl.config import Hierarchical, Learning
from fl.session.quadratic_trainer import QuadraticTrainer
from wnsim.core.transfer import Message
from wnsim.mac import Cell
from wnsim.mobility import Static
from wnsim.network import Backhaul
from wnsim.scenario.errors import ScenarioError
from wnsim.scenario.spec.plan import plan

STATIONS = ((0.0, 0.0), (1000.0, 0.0))
# Two devices in the first cell, three in the second.
PLACES = ((50.0, 0.0), (100.0, 0.0), (900.0, 0.0), (950.0, 0.0), (990.0, 0.0))
CELLS = ([0, 1], [2, 3, 4])
OPTIMA = np.array([1.0, -2.0, 5.0, 0.5, 3.0])


@pytest.fixture
def federate(make_network: Any, hold_session: Any) -> Callable[..., Any]:
    """Return a runner of a hierarchical session; gives network and session."""

    def run(protocol: Hierarchical, rounds: int, **options: Any) -> Any:
        network = make_network(
            PLACES, stations_m=STATIONS, **{"mac": Cell(scheduler="equal")} | options
        )
        count = network.snapshot().present.size
        trainer: Any = QuadraticTrainer(OPTIMA[:count].tolist(), 0.1)
        learning = Learning(rounds=rounds, evaluate_every=1, protocol=protocol)
        return network, hold_session(network, trainer, learning, lambda device, flops: 1.0)

    return run


@pytest.mark.parametrize(
    ("edge", "cloud", "rounds"), [(1, 1, 5), (1, 3, 7), (2, 2, 9), (3, 1, 6), (2, 3, 5)]
)
def test_averages_are_those_of_the_algorithm(
    federate: Callable[..., Any], edge: int, cloud: int, rounds: int
) -> None:
    """Law: HierFAVG, by weights of devices; with edge = cloud = 1 it is federated averaging."""
    network, session = federate(Hierarchical(edge_every=edge, cloud_every=cloud), rounds)
    x, clouds = np.zeros(5), 0
    for number in range(1, rounds + 1):
        x = x - 0.1 * (x - OPTIMA)
        if number % edge == 0:
            for cell in CELLS:
                x[cell] = x[cell].mean()
            if number // edge % cloud == 0:
                clouds += 1
                x[:] = sum(len(cell) * x[cell[0]] for cell in CELLS) / 5
    found = [session.current(device).value() for device in range(5)]
    assert found == pytest.approx(x.tolist(), rel=1e-12)
    kinds = [each.message.kind for each in network.transfers]
    assert kinds.count("backhaul") == 4 * clouds
    up = [t for t in network.transfers if t.message.source < 5]
    assert len(up) == 5 * (rounds // edge)
    assert {t.hops for t in network.transfers if t.message.kind == "backhaul"} <= {0}


def test_average_of_the_cloud_waits_for_a_slow_backhaul(federate: Callable[..., Any]) -> None:
    slow = Backhaul(rate_bps=800.0, delay_s=0.5, shared=True)
    network, session = federate(Hierarchical(cloud_every=1), 2, backhaul=slow)
    over = [each for each in network.transfers if each.message.kind == "backhaul"]
    # 100 bytes at 800 bit/s, each way.
    assert [each.latency_s for each in over] == pytest.approx([1.5] * 8)
    assert [each.backhaul_s for each in over] == pytest.approx([1.5] * 8)
    starts = sorted({row.start_s for row in session.rounds})
    assert starts[1] == pytest.approx(4.0, abs=0.01)


class Crossing:
    """Device 1 walks from one station to the other; device 0 remains at the first one."""

    names = ("0", "1")
    max_speed_mps = 200.0
    _still = Static(layout="given", positions_m=PLACES[:2]).motion(2, (1e4, 1e4), 1)

    def position_m(self, devices: Any, t_s: Any) -> Any:
        places_m = self._still.position_m(devices, t_s).copy()
        moves = np.asarray(devices) == 1
        places_m[moves, :, 0] += np.minimum(200.0 * np.asarray(t_s), 850.0)
        return places_m

    def present(self, devices: Any, t_s: Any) -> Any:
        return np.ones((np.size(devices), np.size(t_s)), dtype=bool)

    def next_change_s(self, t_s: float) -> float:
        return math.inf

    def presence_end_s(self, device: int, t_s: float) -> float:
        return math.inf


def test_a_device_is_handed_over_between_rounds(federate: Callable[..., Any]) -> None:
    """Law: the average at a station is that of the devices that it serves when they send."""
    network, session = federate(Hierarchical(cloud_every=100), 4, motion=Crossing())
    sent = {t.message.round: t.message.target for t in network.transfers if t.message.source == 1}
    # The middle, 500 m, is passed after 2 s, shortly before the second update is sent.
    assert sent == {1: 2, 2: 3, 3: 3, 4: 3}
    # In each round the station at its start, and that at its end.
    own, other = 0.0, 0.0
    averages = {2: 0.0, 3: None}
    for start, end in ((2, 2), (2, 3), (3, 3), (3, 3)):
        own = averages[2] - 0.1 * (averages[2] - OPTIMA[0])
        other = other if averages[start] is None else averages[start]
        other = other - 0.1 * (other - OPTIMA[1])
        averages[2] = (own + other) / 2 if end == 2 else own
        averages[end] = averages[2] if end == 2 else other
    assert session.current(0).value() == pytest.approx(averages[2])
    assert session.current(1).value() == pytest.approx(averages[3])


def test_messages_follow_each_other_on_a_shared_link(make_network: Any) -> None:
    """Law: the k-th of equal messages passes after k service times; other directions are free."""
    network = make_network(
        PLACES, stations_m=STATIONS, mac=Cell(),
        backhaul=Backhaul(rate_bps=8e3, delay_s=0.1, shared=True, queue_bytes=3500),
    )  # fmt: skip
    first, second, server = 5, 6, network.server
    pairs = [(first, server)] * 4 + [(server, first)] * 2 + [(second, server), (second, first)]
    events = [network.send(Message(*pair, 1000, 60.0)) for pair in pairs]
    late = network.send(Message(second, server, 1000, 2.5))
    network.env.run(until=network.env.all_of([*events, late]))
    network.close()
    ends_s = [event.value.ended_s for event in events]
    # The fourth does not fit into the queue, and is lost at once.
    assert ends_s[:3] == pytest.approx([1.1, 2.1, 3.1])
    assert (events[3].value.reason, ends_s[3]) == ("queue-overflow", 0.0)
    # The last one passes the second station's link behind another one until 2 s, and then the
    # first one's, where two messages have passed by then.
    assert ends_s[4:] == pytest.approx([1.1, 2.1, 1.1, 3.1])
    assert (late.value.reason, late.value.ended_s) == ("deadline", 2.5)
    for event in events:
        assert event.value.backhaul_s == pytest.approx(event.value.latency_s)
        assert event.value.acked_bytes == event.value.air_bytes * event.value.delivered


TEXT = """
name: hierarchical
base_stations: {count: 2}
mac: {model: cell}
fl: {tasks: [home], protocol: {model: hierarchical}}
"""


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        (["fl.protocol.edge_every=0"], "edge_every"),
        (["fl.protocol.cloud_every=0"], "cloud_every"),
        (["fl.method={model: hetlora}"], "averages averages"),
        (["fl.method={model: flora}"], "server and its clients|averages averages"),
        (["fl.robust={model: median}"], "robust is for updates of devices"),
        (["base_stations.backhaul_shared=true"], "needs backhaul_bps"),
        (["base_stations.backhaul_queue_bytes=9"], "is for backhaul_shared"),
        (["mac={model: ofdma}", "base_stations=null"], "protocol hierarchical needs"),
    ],
)
def test_impossible_hierarchies_are_refused(
    settings: list[str], complaint: str, tmp_path: Path
) -> None:
    path = tmp_path / "hierarchical.yaml"
    path.write_text(TEXT, "utf-8")
    with pytest.raises(ScenarioError, match=complaint):
        plan(str(path), settings)
