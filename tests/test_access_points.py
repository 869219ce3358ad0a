"""Access points of Wi-Fi: timelines, shares of up- and downlink, broadcasts, and two engines."""

from __future__ import annotations

import math
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from reference_tables import rows
from test_csma import (
    ACK,
    DATA,
    DIFS,
    ENGINE,
    PACKET_BITS,
    SIFS,
    Offer,
    at,
    bianchi,
    circle,
    drive,
    make_world,
    packets,
)
from validation.networks import network as make_network

from wnsim import load, run
from wnsim.channel import LogDistance
from wnsim.core.transfer import Message, Transfer
from wnsim.mac import Csma
from wnsim.mac.csma import Aggregation
from wnsim.mac.edca import BestEffort, Edca
from wnsim.network import Network
from wnsim.network.transport import Transport
from wnsim.phy import Wifi
from wnsim.scenario.__main__ import main

EXCHANGE = DATA + SIFS + ACK


def access(engine: str, devices: Any, stations: Any, **options: Any) -> Network:
    """Return devices and access points on one channel of 802.11a at 24 Mbit/s."""
    given = {
        "mac": Csma(), "phy": Wifi(rate_mbps=24.0), "engine": engine, "bandwidth_hz": 20e6,
        "path_loss": LogDistance(), "stations_m": stations,
        "transport": Transport(packet_bytes=1400, packet_header_bytes=28),
    }  # fmt: skip
    return make_network(at(*devices), **(given | options))


def sent(net: Network, *messages: Message) -> list[Transfer]:
    """Send messages after a millisecond; return their transfers."""
    net.env.run(until=1_000_000)
    events = [net.send(message) for message in messages]
    net.env.run(until=net.env.all_of(events))
    return [event.value for event in events]


@ENGINE
def test_messages_pass_the_access_point(engine: str) -> None:
    """Law: an exchange up and another one down, DIFS apart; to the server just the first."""
    net = access(engine, ((0, 0), (9, 0)), ((5, 0),))
    (found,) = sent(net, Message(0, 1, 1400, 1.0))
    assert found.delivered
    assert (found.hops, found.blocks) == (2, 2)
    assert found.latency_s == pytest.approx((2 * EXCHANGE + DIFS) * 1e-9, abs=1e-12)
    # Each end has sent a packet or an acknowledgement, and the access point both.
    assert net.tx_s == pytest.approx(np.array([DATA, ACK, DATA + ACK]) * 1e-9)
    assert net.rx_s == pytest.approx(np.array([ACK, DATA, DATA + ACK]) * 1e-9)
    net = access(engine, ((0, 0), (9, 0)), ((5, 0),))
    (found,) = sent(net, Message(0, net.server, 1400, 1.0))
    assert found.latency_s == pytest.approx(EXCHANGE * 1e-9, abs=1e-12)
    (found,) = sent(access(engine, ((0, 0), (9, 0)), ((5, 0),)), Message(3, 0, 1400, 1.0))
    assert found.latency_s == pytest.approx(EXCHANGE * 1e-9, abs=1e-12)


@ENGINE
def test_devices_use_the_access_point_that_they_receive_best(engine: str) -> None:
    net = access(engine, ((0, 0), (30, 0)), ((8, 0), (25, 0)))
    (found,) = sent(net, Message(0, 1, 1400, 1.0))
    assert found.delivered
    assert net.tx_s == pytest.approx(np.array([DATA, ACK, ACK, DATA]) * 1e-9)


@ENGINE
@pytest.mark.parametrize("aggregated", [False, True])
def test_a_broadcast_goes_up_once_and_down_to_one_after_another(
    engine: str, aggregated: bool
) -> None:
    devices = ((0, 0), (9, 0), (9, 2), (5, 3))
    options: dict[str, Any] = {}
    if aggregated:
        options = {"mac": Csma(aggregation=Aggregation()), "phy": Wifi(standard="n", mcs=4)}
    net = access(engine, devices, ((5, 0),), **options)
    net.env.run(until=1_000_000)
    events = net.broadcast(Message(0, 1, 14_000, 1.0), [1, 2, 3])
    net.env.run(until=net.env.all_of(events))
    assert all(event.value.delivered for event in events)
    assert sorted(each.target for each in net.inbox[2].items) == [2]
    up, answers = net.tx_s[0], net.rx_s[0]
    frames = 1 if aggregated else 10
    if not aggregated:
        assert up == pytest.approx(10 * DATA * 1e-9)
    assert answers == pytest.approx(frames * (32_000 if aggregated else ACK) * 1e-9)
    # Collisions apart, of which there are none: nobody else sends.
    assert net.tx_s[4] == pytest.approx(3 * up + answers)
    assert net.rx_s[4] == pytest.approx(up + 3 * answers)


@ENGINE
def test_multicast_at_the_basic_rate(engine: str) -> None:
    """Law: 1464 bytes at 6 Mbit/s: 489 symbols of 24 bits after a preamble of 20 us."""
    world = make_world(at((0, 0), (5, 0), (0, 5)), Wifi())
    offers = [Offer(1_000_000, 0, (1, 2), PACKET_BITS)]
    (first, _), _ = drive(world, Csma(basic_multicast=True), offers, engine=engine)
    frame_ns = 20_000 + 4_000 * math.ceil((16 + 6 + 8 * 1464) / 24)
    assert first.ended_ns - 1_000_000 == frame_ns == 1_976_000
    alone = [Offer(1_000_000, 0, (1,), PACKET_BITS)]
    (first,), _ = drive(world, Csma(basic_multicast=True), alone, engine=engine)
    # 216 bits in each symbol of 54 Mbit/s.
    frame_ns = 20_000 + 4_000 * math.ceil((16 + 6 + 8 * 1464) / 216)
    assert first.ended_ns - 1_000_000 == frame_ns + SIFS + ACK


@pytest.mark.parametrize("count", [2, 5, 10])
def test_the_access_point_gets_the_share_of_one_station(count: int) -> None:
    """Law: of count + 1 saturated stations, each sends equally many packets in Bianchi's model."""
    world = make_world(circle(count + 1, 0.4), Wifi(rate_mbps=24.0))
    offers = [Offer(0, node, (count,), 10**9) for node in range(count)]
    offers += [Offer(0, count, (node,), 40 * PACKET_BITS) for node in range(count)] * (200 // count)
    seconds = 6
    attempts, _ = drive(world, Csma(retry_limit=1000), offers, until_ns=seconds * 10**9)
    up, down = packets(attempts[:count]), packets(attempts[count:])
    expected = bianchi(count + 1, (EXCHANGE + DIFS) * 1e-9, (DATA + DIFS) * 1e-9)
    assert (up + down) / seconds == pytest.approx(expected, rel=0.03)
    # Windows double after a collision, which makes the numbers of packets scatter more than if they
    # were drawn independently: by 4 % of the share of a station in 6 s.
    assert down * count / up == pytest.approx(1.0, abs=0.15)


def reference() -> dict[tuple[str, ...], np.ndarray]:
    """Return ns-3's goodput of up- and downlink (seeds, 2) [Mbit/s] for each configuration."""
    cases = defaultdict(list)
    for row in rows("wifi_access_point_ns3.csv"):
        case = tuple(row[key] for key in KEYS)
        cases[case].append((float(row["up_mbps"]), float(row["down_mbps"])))
    return {case: np.array(found) for case, found in cases.items()}


KEYS = ("standard", "mcs", "aggregation", "stations", "up", "down", "held_out")


def goodput_mbps(case: tuple[str, ...], seeds: int, seconds: int) -> np.ndarray:
    """Return the goodput of up- and downlink of a configuration, the mean over seeds [Mbit/s]."""
    row = dict(zip(KEYS, case, strict=True))
    count = int(row["stations"])
    edca = Edca(best_effort=BestEffort(txop_us=0.0))
    aggregation = Aggregation() if row["aggregation"] == "1" else None
    mac = Csma(header_bytes=38, aggregation=aggregation, edca=edca)
    phy = Wifi(standard=row["standard"], mcs=int(row["mcs"]))
    turns = [2 * math.pi * place / count for place in range(count)]
    places = [(0.4 * (1 + math.cos(turn)), 0.4 * (1 + math.sin(turn))) for turn in turns]
    world = make_world(at(*places, (0.4, 0.4)), phy)
    offers = [Offer(0, node, (count,), 10**10) for node in range(count)] * int(row["up"])
    split = len(offers)
    # One station after another, each for as long as a message of a megabyte takes.
    per_station = 20 * seconds // count + 1
    downlink = [Offer(0, count, (node,), 700 * PACKET_BITS) for node in range(count)] * per_station
    offers += downlink * int(row["down"])
    found = []
    for seed in range(1, seeds + 1):
        attempts, _ = drive(world, mac, offers, until_ns=seconds * 10**9, seed=seed)
        parts = packets(attempts[:split]), packets(attempts[split:])
        found.append(np.array(parts) * 1400 * 8 / seconds / 1e6)
    return np.mean(found, axis=0)


@pytest.mark.parametrize("case", list(reference()), ids=lambda case: "-".join(case))
def test_up_and_downlink_equal_ns3(case: tuple[str, ...]) -> None:
    theirs = reference()[case].mean(axis=0)
    mine = goodput_mbps(case, seeds=3, seconds=4)
    assert mine.sum() == pytest.approx(theirs.sum(), rel=0.03)
    # The share of the downlink scatters by 5 % of the total between seeds of ns-3.
    assert mine == pytest.approx(theirs, abs=0.05 * theirs.sum())


SCENARIO = """
name: office
area_m: [40, 30]
devices: {count: 6, tx_power_dbm: 16, noise_figure_db: 7}
mobility: {model: static}
channel: {path_loss: {model: inh, variant: open}, fading: {model: none}}
radio: {frequency_hz: 5.2e9, phy: {model: wifi, standard: ax}}
mac: {model: csma, aggregation: {}, rts_threshold_bytes: 3000, edca: {}}
base_stations: {count: 2, height_m: 3, tx_power_dbm: 20, antenna_gain_dbi: 3}
background: [{rate_bps: 2.0e+5, size_bytes: 1400, category: video}]
fl:
  tasks: [reverse]
  protocol: {model: server}
  rounds: 2
  local_steps: 1
  train_examples: 16
  test_examples: 4
  payload: {emulate: qwen2.5-0.5b}
"""


def test_a_server_behind_access_points(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "office.yaml"
    path.write_text(SCENARIO)
    found = run(load(path), tmp_path / "windowed", figures=False)
    again = run(load(path, settings={"engine": "packet"}), tmp_path / "packet", figures=False)
    pd.testing.assert_frame_equal(found.transfers, again.transfers)
    updates = found.transfers.query("kind == 'update'")
    assert updates["delivered"].all()
    # Six updates in each round, and six averages before the second one.
    assert updates.groupby(updates["target"] == "server").size().to_dict() == {True: 12, False: 6}
    path.write_text(SCENARIO.replace("{count: 2,", "{sectors: 3,"))
    capsys.readouterr()
    assert main([str(path), "--check"]) == 2
    expected = "base_stations.sectors must be 1 with mac csma, whose access points share a channel"
    assert f"{expected}, got 3" in capsys.readouterr().err
    path.write_text(SCENARIO.replace("base_stations:", "# "))
    assert main([str(path), "--check"]) == 2
    error = capsys.readouterr().err
    assert (
        "fl.protocol server needs the sections base_stations and mac, of model cell, csma" in error
    )
