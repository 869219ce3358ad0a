"""Power save of Wi-Fi: when devices wake, how long messages wait, and what dozing saves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_access_points import EXCHANGE, access
from test_csma import DIFS

from wnsim.core.transfer import Message
from wnsim.mac import Csma
from wnsim.mac.power_save import PowerSave
from wnsim.network.dozing import Dozing
from wnsim.network.energy_ledger import EnergyLedger
from wnsim.scenario.__main__ import main
from wnsim.world.energy import Energy

MS = 1_000_000
IDLE_W, SLEEP_W, RECEIVE_W = 0.3, 0.01, 0.4
ENERGY = Energy(idle_w=IDLE_W, sleep_w=SLEEP_W, receive_w=RECEIVE_W, transmit_circuit_w=0.1)


def make(count: int = 2, **rules: Any) -> Any:
    """Return devices around an access point that doze."""
    places = [(5.0 + 3.0 * np.cos(turn), 5.0 + 3.0 * np.sin(turn)) for turn in range(count)]
    mac = Csma(power_save=PowerSave(**rules))
    return access("windowed", places, ((5, 5),), mac=mac)


def test_idle_devices_take_the_mean_power() -> None:
    """Law: idle power for awake_ms in each interval, and the power of sleep for the rest."""
    for schedule in ("beacon", "target-wake-time"):
        net = make(4, schedule=schedule, interval_ms=100.0, awake_ms=5.0)
        ledger = EnergyLedger(ENERGY, net, np.full(4, 0.04))
        net.env.run(until=2000 * MS)
        spent_j = ledger.spent_j()
        expected = 2.0 * (0.05 * IDLE_W + 0.95 * SLEEP_W)
        assert spent_j["idle"] == pytest.approx(np.full(4, expected), rel=1e-9)
        assert spent_j["receive"].tolist() == spent_j["transmit"].tolist() == [0.0] * 4


@pytest.mark.parametrize(("sent_ms", "waits_ms"), [(201.0, 0.0), (230.0, 70.0), (299.9, 0.1)])
def test_messages_wait_at_the_access_point_until_the_device_wakes(
    sent_ms: float, waits_ms: float
) -> None:
    """Law: a message from the server waits for the next multiple of 100 ms, unless within 2 ms."""
    net = make(interval_ms=100.0, awake_ms=2.0)
    net.env.run(until=round(sent_ms * MS))
    event = net.send(Message(net.server, 0, 1400, 1.0))
    net.env.run(until=event)
    found = event.value
    assert found.delivered
    assert found.latency_s == pytest.approx(1e-3 * waits_ms + EXCHANGE * 1e-9, abs=1e-9)
    assert found.queue_s == pytest.approx(1e-3 * waits_ms, abs=1e-9)


def test_messages_of_a_device_do_not_wait() -> None:
    """Law: a dozing device wakes for what it sends; the receiver of the other hop does not."""
    net = make(interval_ms=100.0, awake_ms=2.0)
    net.env.run(until=30 * MS)
    event = net.send(Message(0, net.server, 1400, 1.0))
    net.env.run(until=event)
    assert event.value.latency_s == pytest.approx(EXCHANGE * 1e-9, abs=1e-9)
    event = net.send(Message(0, 1, 1400, 1.0))
    net.env.run(until=event)
    assert net.now_s == pytest.approx(0.1 + EXCHANGE * 1e-9, abs=DIFS * 1e-9)


def test_a_message_that_expires_before_the_device_wakes() -> None:
    net = make(interval_ms=100.0, awake_ms=2.0)
    net.env.run(until=30 * MS)
    event = net.send(Message(net.server, 0, 1400, 0.05))
    net.env.run(until=event)
    assert (event.value.delivered, event.value.reason) == (False, "deadline")
    assert net.now_s == pytest.approx(0.08)
    assert event.value.queue_s == pytest.approx(0.05)
    net.close()


def test_the_energy_of_a_message_in_the_downlink() -> None:
    """Law: awake for the exchange, in which the packet is received and the answer sent."""
    net = make(interval_ms=100.0, awake_ms=0.1)
    ledger = EnergyLedger(ENERGY, net, np.full(2, 0.04))
    net.env.run(until=30 * MS)
    event = net.send(Message(net.server, 0, 140_000, 1.0))
    net.env.run(until=event)
    ended_s, rx_s, tx_s = net.now_s, float(net.rx_s[0]), float(net.tx_s[0])
    assert rx_s > 0.04
    net.env.run(until=1000 * MS)
    # Ten periods, one of which is part of the time for which the message was sent.
    awake_s = 9 * 1e-4 + (ended_s - 0.1)
    expected = IDLE_W * (awake_s - rx_s - tx_s) + SLEEP_W * (1.0 - awake_s)
    assert ledger.spent_j()["idle"][0] == pytest.approx(expected, rel=1e-6)
    assert ledger.spent_j()["receive"][0] == pytest.approx(RECEIVE_W * rx_s)
    # The other one slept.
    expected = IDLE_W * 10 * 1e-4 + SLEEP_W * (1.0 - 10 * 1e-4)
    assert ledger.spent_j()["idle"][1] == pytest.approx(expected, rel=1e-6)


def test_the_mean_wait_is_half_of_an_interval() -> None:
    """Law: I / 2 (1 - a / I)^2 for messages at uniform instants, with a the time awake."""
    rules = PowerSave(interval_ms=100.0, awake_ms=20.0)
    dozing, draws = Dozing(rules, 1), np.random.default_rng(1).integers(0, 10**9, 20_000)
    waits_ns = [dozing.wakes_ns(0, at_ns) - at_ns for at_ns in draws.tolist()]
    # Uniform between 0 and 80 ms, or 0: five standard deviations of the mean.
    assert np.mean(waits_ns) / MS == pytest.approx(50 * 0.8**2, abs=5 * 28 / np.sqrt(20_000))


@st.composite
def busy(draw: st.DrawFn) -> tuple[PowerSave, int, list[tuple[int, int]], int]:
    """Return a schedule, devices, and beginning and end of messages of the last device [ns]."""
    interval_ms = draw(st.sampled_from([1.0, 3.7, 100.0]))
    rules = PowerSave(
        schedule=draw(st.sampled_from(["beacon", "target-wake-time"])),
        interval_ms=interval_ms,
        awake_ms=interval_ms * draw(st.sampled_from([0.01, 0.5, 1.0])),
    )
    instants = st.integers(0, 20 * MS)
    spans = draw(st.lists(st.tuples(instants, instants).map(sorted), max_size=6))
    return rules, draw(st.integers(1, 5)), [(a, b) for a, b in spans], draw(instants)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(busy())
def test_time_awake_is_that_of_the_union(case: tuple[Any, ...]) -> None:
    """By sets of spans: periods and messages are added, and each instant counts once."""
    rules, count, spans, more_ns = case
    node, end_ns = count - 1, 20 * MS + more_ns
    dozing = Dozing(rules, count)
    events = sorted([(a, 0) for a, _ in spans] + [(b, 1) for _, b in spans])
    for at_ns, ends in events:
        (dozing.end if ends else dozing.begin)((node,), at_ns)
    interval_ns, awake_ns = round(rules.interval_ms * MS), round(rules.awake_ms * MS)
    first_ns = node * interval_ns // count if rules.schedule == "target-wake-time" else 0
    periods = [
        (first_ns + k * interval_ns, first_ns + k * interval_ns + awake_ns)
        for k in range(-1, (end_ns - first_ns) // interval_ns + 1)
    ]
    total_ns, reached_ns = 0, 0
    for begin, end in sorted([*spans, *periods]):
        begin, end = max(begin, reached_ns), min(end, end_ns)
        total_ns += max(end - begin, 0)
        reached_ns = max(reached_ns, end)
    assert dozing.awake_s(np.full(count, end_ns / 1e9))[node] == pytest.approx(total_ns / 1e9)


SCENARIO = """
name: doze
area_m: [20, 20]
devices: {count: 4, tx_power_dbm: 16}
mobility: {model: static}
radio: {frequency_hz: 5.2e9, phy: {model: wifi, standard: ax}}
mac: {model: csma, aggregation: {}, power_save: {schedule: target-wake-time}}
base_stations: {height_m: 3}
energy: {sleep_w: 0.001}
traffic: {size_bytes: 20_000, neighbors: 1, rounds: 1}
"""


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ("base_stations:", "# ", "mac.power_save is for access points and needs a section base_st"),
        ("{sleep_w: 0.001}", "{}", "mac.power_save needs energy.sleep_w, the power of a device"),
        (
            "schedule: target-wake-time",
            "awake_ms: 200",
            "awake_ms must be at most interval_ms",
        ),
        ("schedule: target-wake-time", "interval_ms: 0", "interval_ms"),
    ],
)
def test_errors(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], before: str, after: str, message: str
) -> None:
    path = tmp_path / "doze.yaml"
    path.write_text(SCENARIO)
    assert main([str(path), "--check"]) == 0
    path.write_text(SCENARIO.replace(before, after))
    assert main([str(path), "--check"]) == 2
    assert message in capsys.readouterr().err
