"""Propagation delay: what it adds to latencies, and what ends while a signal is on its way."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from wnsim.channel import Rayleigh
from wnsim.core.transfer import Message, Transfer
from wnsim.core.units import NS_PER_S, SPEED_OF_LIGHT_MPS
from wnsim.faults import Crash
from wnsim.mac import Cell, Ideal, Ofdma, Reuse, Sidelink
from wnsim.mobility import RandomWaypoint
from wnsim.network import Network
from wnsim.network.transport import Transport
from wnsim.phy import NrMcs, Shannon
from wnsim.scenario.errors import ScenarioError

FAR = ((0.0, 0.0), (600e3, 0.0))
DELAY_S = 600e3 / SPEED_OF_LIGHT_MPS
STRONG = {"mac": Ideal(), "phy": Shannon(), "bandwidth_hz": 1e6, "tx_power_dbm": 60.0}
ENGINES = pytest.mark.parametrize("engine", ["windowed", "packet"])
# Of instants that are rounded to whole nanoseconds.
TICK_S = 1.01 / NS_PER_S


def sent(network: Network, message: Message) -> Transfer:
    event = network.send(message)
    network.env.run(until=event)
    found: Transfer = event.value
    return found


def parts_s(transfer: Transfer) -> float:
    return (
        transfer.queue_s + transfer.channel_access_s + transfer.airtime_s
        + transfer.retransmission_s + transfer.backhaul_s
    )  # fmt: skip


@ENGINES
@pytest.mark.parametrize("phy", [Shannon(), NrMcs(harq_processes=8)], ids=["shannon", "nr"])
def test_latency_of_a_static_link_grows_by_distance_over_speed_of_light(
    make_network: Any, engine: str, phy: object
) -> None:
    """Law: everything else is the same, whatever the engine and the physical layer."""
    message = Message(0, 1, 50_000, 10.0)
    settings = STRONG | {"phy": phy, "engine": engine}
    at_once = sent(make_network(FAR, **settings), message)
    later = sent(make_network(FAR, propagation_delay=True, **settings), message)
    assert later.latency_s - at_once.latency_s == pytest.approx(DELAY_S, abs=TICK_S)
    assert later.airtime_s - at_once.airtime_s == pytest.approx(DELAY_S, abs=TICK_S)
    same = {"ended_s": 0.0, "airtime_s": 0.0}
    assert dataclasses.replace(later, **same) == dataclasses.replace(at_once, **same)


def test_each_hop_of_a_relay_adds_its_own_distance(make_network: Any) -> None:
    """Law: the delays of the hops add up, at heights and over ground alike."""
    places = tuple((300e3 * number, 0.0) for number in range(4))
    transport = Transport(max_hops=3, packet_header_bytes=0)
    settings = STRONG | {"transport": transport, "tx_power_dbm": 30.0}
    message = Message(0, 3, 50_000, 100.0)
    at_once = sent(make_network(places, **settings), message)
    later = sent(make_network(places, propagation_delay=True, **settings), message)
    assert at_once.hops == later.hops == 3
    # Relays wait for the next slot, which is another part of the latency.
    waited_s = later.queue_s - at_once.queue_s
    assert abs(waited_s) < 2e-3
    expected_s = pytest.approx(900e3 / SPEED_OF_LIGHT_MPS, abs=3 * TICK_S)
    assert later.latency_s - at_once.latency_s - waited_s == expected_s
    assert later.airtime_s - at_once.airtime_s == expected_s
    assert parts_s(later) == pytest.approx(later.latency_s, abs=1e-8)


@ENGINES
def test_a_message_expires_if_its_last_bit_is_on_its_way(make_network: Any, engine: str) -> None:
    """Law: the deadline is that of the receiver, to the nanosecond."""
    settings = STRONG | {"engine": engine, "propagation_delay": True}
    whole = sent(make_network(FAR, **settings), Message(0, 1, 50_000, 10.0))
    in_time = sent(make_network(FAR, **settings), Message(0, 1, 50_000, whole.latency_s + 1e-9))
    assert in_time.delivered
    late = sent(make_network(FAR, **settings), Message(0, 1, 50_000, whole.latency_s - 1e-6))
    assert (late.delivered, late.reason) == (False, "deadline")
    assert late.latency_s == pytest.approx(whole.latency_s - 1e-6, abs=TICK_S)
    # Bits that were not sent in time are not counted, although the radio could have sent them.
    assert 0 < late.acked_bytes < late.air_bytes
    never = sent(make_network(FAR, **settings), Message(0, 1, 50_000, 0.5 * DELAY_S))
    assert (never.reason, never.acked_bytes, never.attempts) == ("deadline", 0, 0)
    assert never.queue_s == pytest.approx(0.5 * DELAY_S, abs=TICK_S)


@ENGINES
def test_what_is_on_its_way_to_a_failed_device_is_lost(make_network: Any, engine: str) -> None:
    """A crash is known in advance, an empty battery is not; both end what is under way."""
    settings = STRONG | {"engine": engine, "propagation_delay": True}
    whole = sent(make_network(FAR, **settings), Message(0, 1, 50_000, 10.0))
    fails_s = whole.latency_s - 0.5 * DELAY_S
    crash = Crash(devices=(1,), from_s=fails_s, until_s=50.0)
    crashed = sent(make_network(FAR, faults={"crashes": (crash,)}, **settings),
                   Message(0, 1, 50_000, 10.0))  # fmt: skip
    assert (crashed.reason, crashed.delivered) == ("crash", False)
    assert crashed.latency_s == pytest.approx(fails_s, abs=TICK_S)
    network = make_network(FAR, **settings)
    network.env.at(round(fails_s * NS_PER_S), lambda: network.fail(1, "battery"))
    empty = sent(network, Message(0, 1, 50_000, 10.0))
    assert (empty.reason, empty.delivered) == ("battery", False)


def test_packets_arrive_by_the_same_delay_later(make_network: Any) -> None:
    """Law: each packet, not only the last one."""
    arrived_s = []
    for delayed in (False, True):
        transport = Transport(trace=True)
        network = make_network(FAR, transport=transport, propagation_delay=delayed, **STRONG)
        sent(network, Message(0, 1, 20_000, 10.0))
        arrived_s.append([packet.arrived_s for packet in network.packets])
    np.testing.assert_allclose(np.subtract(*arrived_s[::-1]), DELAY_S, rtol=0, atol=TICK_S)


@pytest.mark.parametrize(
    "mac", [Ideal(), Ofdma(), Ofdma(shared=True), Reuse(), Cell(), Sidelink()],
    ids=["ideal", "ofdma", "shared", "reuse", "cell", "sidelink"],
)  # fmt: skip
def test_both_engines_delay_alike(make_network: Callable[..., Network], mac: object) -> None:
    """Property: moving devices far apart, in both engines, with broken and resumed links."""
    seen = []
    for engine in ("windowed", "packet"):
        network = make_network(
            engine=engine,
            propagation_delay=True,
            motion=RandomWaypoint(speed_mps=(10, 40)).motion(5, (200e3, 200e3), 4),
            mac=mac,
            fading=Rayleigh(),
            phy=Shannon(gap_db=3.0) if not isinstance(mac, Sidelink) else NrMcs(),
            bandwidth_hz=10e6,
            tx_power_dbm=60.0,
            stations_m=((50e3, 80e3), (160e3, 120e3)) if isinstance(mac, Cell) else (),
            transport=Transport(trace=True, link_failure_timeout_s=0.05, retry_s=0.01,
                                on_link_failure="resume"),
        )  # fmt: skip
        events = []
        for source, targets, at_s in ((0, [1, 2], 0.0), (3, [0], 0.01), (1, [4], 0.0203)):
            network.env.run(until=network.timeout(max(at_s - network.now_s, 1e-9)))
            events += network.broadcast(Message(source, targets[0], 5_000, 1.0), targets)
        network.env.run(until=network.env.all_of(events))
        seen.append(
            ([repr(each) for each in network.transfers], [repr(each) for each in network.packets],
             network.tx_s.tolist(), network.rx_s.tolist())
        )  # fmt: skip
        for transfer in network.transfers:
            assert parts_s(transfer) == pytest.approx(transfer.latency_s, abs=1e-8)
    assert seen[0] == seen[1]
    assert any(transfer.delivered for transfer in network.transfers)


BASE = """
name: x
channel: {propagation_delay: true}
traffic: {size_bytes: 1000}
"""


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        (
            "mac: {model: csma}\nradio: {phy: {model: wifi}}",
            "propagation_delay is not for mac csma",
        ),
        (
            "area_m: [9e6, 10]\nradio: {phy: {model: nr}}",
            "harq_processes must be at least 61, the slots of a round trip of 60 ms",
        ),
    ],
)
def test_media_without_a_delay_refuse_it(
    scenario_of: Callable[[str], object], more: str, sentence: str
) -> None:
    """Contract: one sentence that names the rule."""
    with pytest.raises(ScenarioError, match=sentence):
        scenario_of(BASE + more)
