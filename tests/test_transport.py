"""Transport: packets, queues, broken links, energy, and background traffic."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wnsim.channel import Replay, ReplayTable
from wnsim.core.transfer import Message, Transfer
from wnsim.core.units import NS_PER_S, dbm_to_w
from wnsim.faults import LinkOutage
from wnsim.mac import Csma
from wnsim.mobility import Motion
from wnsim.mobility.traces import TraceMotion
from wnsim.network import Network
from wnsim.network.energy_ledger import EnergyLedger
from wnsim.network.transport import Transport
from wnsim.phy import NrMcs, Shannon, Wifi
from wnsim.workload.background import Background
from wnsim.workload.probes import Probes
from wnsim.world.energy import Energy

Make = Callable[..., Network]
Measured = Callable[..., ReplayTable]


def run(network: Network, messages: list[Message]) -> list[Transfer]:
    events = [network.send(message) for message in messages]
    network.env.run(until=network.env.all_of(events))
    return [event.value for event in events]


def passing(*tracks: list[tuple[float, float, float]], max_gap_s: float = 1e9) -> Motion:
    """Return devices with samples of instant, x and y."""
    names = tuple("abcdef"[: len(tracks)])
    return TraceMotion(names, [np.array(track) for track in tracks], max_gap_s)


# --- packets -----------------------------------------------------------------------------------


def test_headers_are_carried_too(make_network: Make) -> None:
    transport = Transport(packet_bytes=1000, packet_header_bytes=100)
    (plain,) = run(make_network(), [Message(0, 1, 1_000_500, 9.0)])
    (cut,) = run(make_network(transport=transport), [Message(0, 1, 1_000_500, 9.0)])
    assert cut.packets == 1001
    assert cut.air_bytes == cut.acked_bytes == 1_000_500 + 1001 * 100
    assert cut.latency_s == pytest.approx(plain.latency_s * cut.air_bytes / 1_000_500, rel=1e-4)


@pytest.mark.parametrize("phy", [Shannon(), NrMcs()])
def test_packets_arrive_one_after_the_other_as_the_rate_allows(
    make_network: Make, phy: object
) -> None:
    transport = Transport(packet_bytes=1400, packet_header_bytes=100, trace=True)
    network = make_network(phy=phy, transport=transport)
    (transfer,) = run(network, [Message(0, 1, 1_000_000, 9.0)])
    arrived_s = np.array([packet.arrived_s for packet in network.packets])
    assert len(network.packets) == transfer.packets == 715
    assert [packet.number for packet in network.packets] == list(range(715))
    assert sum(packet.size_bytes for packet in network.packets) == transfer.air_bytes
    assert np.all(np.diff(arrived_s) >= 0)
    assert arrived_s[-1] == transfer.ended_s
    # The line from the first to the last one, within some slots.
    share = np.arange(1, 716) / 715
    assert np.max(np.abs(arrived_s - share * transfer.ended_s)) < 0.012


# --- queues ------------------------------------------------------------------------------------


def test_a_full_queue_refuses(make_network: Make) -> None:
    network = make_network(transport=Transport(queue_bytes=2500, packet_header_bytes=0))
    first, second, third = run(network, [Message(0, 1, 1000, 9.0) for _ in range(3)])
    assert [first.delivered, second.delivered, third.delivered] == [True, True, False]
    assert (third.reason, third.attempts, third.latency_s) == ("queue-overflow", 0, 0.0)
    # What has ended makes room again.
    (later,) = run(network, [Message(0, 1, 2500, 9.0)])
    assert later.delivered


def test_a_broadcast_waits_in_the_queue_once(make_network: Make) -> None:
    positions = ((0.0, 0.0), (50.0, 0.0), (100.0, 0.0))
    network = make_network(positions, transport=Transport(queue_bytes=2500))
    events = network.broadcast(Message(0, 1, 1000, 9.0), [1, 2])
    events.append(network.send(Message(0, 1, 1500, 9.0)))
    events.append(network.send(Message(0, 1, 1, 9.0)))
    network.env.run(until=network.env.all_of(events))
    assert [event.value.reason for event in events] == ["", "", "", "queue-overflow"]
    assert run(network, [Message(0, 1, 2500, 9.0)])[0].delivered


def test_urgent_messages_overtake_those_that_wait(make_network: Make) -> None:
    network = make_network()
    first, low, high = run(
        network,
        [
            Message(0, 1, 10**6, 9.0),
            Message(0, 1, 10**6, 9.0),
            Message(0, 1, 10**6, 9.0, priority=5),
        ],
    )
    assert high.started_s < first.started_s < low.started_s


def test_waiting_time_of_poisson_arrivals_is_that_of_m_d_1(make_network: Make) -> None:
    """Law: mean wait rho S / (2 (1 - rho)), S the service time (Pollaczek and Khinchine)."""
    # Slots of 0.1 ms, messages of 8 ms and a bit: the rounding of starts is small.
    bandwidth_hz = 1e6
    network = make_network(bandwidth_hz=bandwidth_hz, block_ns=100_000, phy=Shannon(max_bps_hz=1.0))
    service_s, load = 8.05e-3, 0.7
    size = round(service_s * bandwidth_hz / 8)
    # The service and half a slot until the next begins.
    occupied_s = service_s + 0.05e-3
    traffic = Background(rate_bps=load * 8 * size / occupied_s, size_bytes=size, senders=(0,))
    traffic.start(network, 2, 11, 0)
    network.env.run(until=120 * NS_PER_S)
    waits = np.array([transfer.queue_s for transfer in network.transfers])
    expected_s = load * occupied_s / (2 * (1 - load)) + 0.05e-3
    batches = waits[: waits.size // 20 * 20].reshape(20, -1).mean(axis=1)
    error_s = batches.std(ddof=1) / np.sqrt(20)
    assert error_s < 0.08 * expected_s
    assert abs(waits.mean() - expected_s) < 3 * error_s


@pytest.mark.parametrize("model", ["poisson", "constant", "on-off"])
@pytest.mark.parametrize("on_s", [0.2, 0.005])
def test_background_traffic_has_its_rate(make_network: Make, model: str, on_s: float) -> None:
    """Law: a quarter of the time is active, however short its periods against the gaps are."""
    network = make_network()
    traffic = Background(model=model, rate_bps=1e6, size_bytes=1250, on_s=on_s, off_s=3 * on_s)
    traffic.start(network, 2, 3, 0)
    network.env.run(until=25 * NS_PER_S)
    assert {t.message.kind for t in network.transfers} == {"background"}
    sent = sum(transfer.message.size_bytes for transfer in network.transfers) * 8 / 25 / 2
    expected = 1e6 * (0.25 if model == "on-off" else 1.0)
    # On-off: 60 exponential periods; four standard errors of 16 %.
    assert sent == pytest.approx(expected, rel=0.65 if model == "on-off" else 0.05)


# --- broken links ------------------------------------------------------------------------------


def away(*spans: tuple[float, float]) -> Motion:
    """Return two devices, the second of which is present only at times."""
    second = [(t, 100.0, 0.0) for span in spans for t in np.arange(span[0], span[1] + 0.05, 0.1)]
    return passing([(0.0, 0.0, 0.0), (100.0, 0.0, 0.0)], second, max_gap_s=200.0)


def test_resume_goes_on_where_the_link_broke(make_network: Make) -> None:
    # There for 0.2 s, gone, and there again from 1 s on; samples 0.1 s apart, gaps are longer.
    class Gone:
        names = ("a", "b")
        max_speed_mps = 0.0
        spans = ((0.0, 0.2), (1.0, 50.0))

        def position_m(self, devices, t_s):  # type: ignore[no-untyped-def]
            return np.stack([100.0 * np.asarray(devices), 0.0 * np.asarray(devices)], -1)[
                :, None
            ].repeat(np.size(t_s), axis=1)

        def present(self, devices, t_s):  # type: ignore[no-untyped-def]
            there = np.zeros(np.size(t_s), dtype=bool)
            for begin, end in self.spans:
                there |= (np.asarray(t_s) >= begin) & (np.asarray(t_s) <= end)
            return (np.asarray(devices)[:, None] == 0) | there

        def next_change_s(self, t_s):  # type: ignore[no-untyped-def]
            return next((t for span in self.spans for t in span if t > t_s), float("inf"))

        def presence_end_s(self, device, t_s):  # type: ignore[no-untyped-def]
            return float("inf") if device == 0 else 0.2 if t_s <= 0.2 else 50.0

    size = 10_000_000
    (alone,) = run(make_network(), [Message(0, 1, size, 20.0)])
    (lost,) = run(make_network(motion=Gone()), [Message(0, 1, size, 20.0)])
    assert (lost.delivered, lost.reason, lost.attempts) == (False, "departed", 1)
    resume = Transport(on_link_failure="resume", packet_header_bytes=0)
    (resumed,) = run(make_network(motion=Gone(), transport=resume), [Message(0, 1, size, 20.0)])
    assert resumed.delivered
    assert resumed.attempts == 2
    assert resumed.acked_bytes == size
    # Nothing is sent twice: as long as alone, and the time in between.
    assert resumed.latency_s == pytest.approx(alone.latency_s + 0.8, abs=2e-3)
    assert resumed.queue_s == pytest.approx(0.8, abs=2e-3)
    (late,) = run(make_network(motion=Gone(), transport=resume), [Message(0, 1, size, 0.5)])
    assert (late.delivered, late.reason) == (False, "departed")


def test_a_link_on_which_nothing_arrives_breaks(make_network: Make) -> None:
    # Walks out of reach of the lowest scheme at 20 m/s, and comes back.
    track = [(0.0, 100.0, 0.0), (200.0, 4100.0, 0.0), (400.0, 100.0, 0.0), (900.0, 100.0, 0.0)]
    motion = passing([(0.0, 0.0, 0.0), (900.0, 0.0, 0.0)], track)
    common = {"motion": motion, "phy": NrMcs(), "tx_power_dbm": 0.0, "block_ns": 5_000_000}
    message = Message(0, 1, 1_000_000_000, 800.0)
    patience = Transport(link_failure_timeout_s=0.5, packet_header_bytes=0)
    (broken,) = run(make_network(transport=patience, **common), [message])
    assert (broken.delivered, broken.reason) == (False, "link-failure")
    again = Transport(
        link_failure_timeout_s=0.5, on_link_failure="resume", retry_s=5.0, packet_header_bytes=0
    )
    (kept,) = run(make_network(transport=again, **common), [message])
    assert kept.delivered
    assert kept.attempts > 5
    assert kept.acked_bytes == message.size_bytes


# --- energy ------------------------------------------------------------------------------------


def test_energy_is_the_sum_of_its_parts(make_network: Make) -> None:
    energy = Energy(
        amplifier_efficiency=0.4, transmit_circuit_w=0.3, receive_w=0.2, idle_w=0.05,
        energy_per_flop_j=2e-12,
    )  # fmt: skip
    network = make_network()
    power_w = np.full(2, float(dbm_to_w(23.0)))
    ledger = EnergyLedger(energy, network, power_w)
    ledger.flops[0] += 1e12
    (transfer,) = run(network, [Message(0, 1, 10**7, 9.0)])
    network.env.run(until=10 * NS_PER_S)
    spent = {name: joules.tolist() for name, joules in ledger.spent_j().items()}
    # The last slot is used in part, but on for all of it.
    on_s = transfer.blocks * 1e-3
    assert spent["transmit"] == pytest.approx([(power_w[0] / 0.4 + 0.3) * on_s, 0.0])
    assert spent["receive"] == pytest.approx([0.0, 0.2 * on_s])
    assert spent["idle"] == pytest.approx([0.05 * (10 - on_s)] * 2)
    assert spent["compute"] == pytest.approx([2.0, 0.0])


def test_acknowledgements_cost_energy(make_network: Make) -> None:
    """Law: at 24 Mbit/s an acknowledgement lasts 28 us (16 + 8 n + 6 bits in 96-bit symbols)."""
    network = make_network(
        ((0.0, 0.0), (5.0, 0.0)), mac=Csma(), phy=Wifi(rate_mbps=24.0), tx_power_dbm=16.0
    )
    (transfer,) = run(network, [Message(0, 1, 10**6, 9.0)])
    ack_s = transfer.packets * 28e-6
    assert transfer.failed_blocks == 0
    assert network.tx_s[1] == pytest.approx(ack_s)
    assert network.rx_s[0] == pytest.approx(ack_s)
    assert network.tx_s[0] == pytest.approx(network.rx_s[1])


def test_a_radio_that_sleeps_takes_its_power_while_it_waits(make_network: Make) -> None:
    """Law: the power of sleep for all the time in which it neither transmits nor receives."""
    network = make_network()
    power_w = np.full(2, float(dbm_to_w(23.0)))
    ledgers = {
        sleep_w: EnergyLedger(Energy(idle_w=0.05, sleep_w=sleep_w), network, power_w)
        for sleep_w in (None, 0.0, 0.002)
    }
    (transfer,) = run(network, [Message(0, 1, 10**7, 9.0)])
    network.env.run(until=10 * NS_PER_S)
    waiting_s = 10 - transfer.blocks * 1e-3
    spent = {sleep_w: ledger.spent_j() for sleep_w, ledger in ledgers.items()}
    for sleep_w, waiting_w in ((None, 0.05), (0.0, 0.0), (0.002, 0.002)):
        assert spent[sleep_w]["idle"] == pytest.approx([waiting_w * waiting_s] * 2)
        for part in ("transmit", "receive", "compute"):
            assert np.array_equal(spent[sleep_w][part], spent[None][part])


def test_computing_energy_per_cycle() -> None:
    energy = Energy(capacitance=1e-28, cycle_hz=2e9, flops_per_cycle=4)
    assert energy.compute_j(np.array(4e9)) == pytest.approx(1e-28 * 4e18 * 1e9)


def test_an_empty_battery_takes_a_device_down(make_network: Make) -> None:
    """Law: idling at 0.1 W a battery of 0.5 J lasts 5 s."""
    network = make_network()
    energy = Energy(idle_w=0.1, battery_j=0.5, transmit_circuit_w=0.0)
    ledger = EnergyLedger(energy, network, np.full(2, float(dbm_to_w(23.0))))
    network.env.run(until=int(4.95 * NS_PER_S))
    assert network.down == set()
    (early,) = run(network, [Message(0, 1, 10, 9.0)])
    assert early.delivered
    network.env.run(until=int(5.05 * NS_PER_S))
    assert network.down == {0, 1}
    assert not network.snapshot().present.any()
    (late,) = run(network, [Message(0, 1, 10, 9.0)])
    assert (late.delivered, late.reason) == (False, "battery")
    # After depletion nothing is spent: hours later no more than the battery held, up to one check.
    network.env.run(until=1000 * NS_PER_S)
    assert 0.49 < sum(joules[0] for joules in ledger.spent_j().values()) < 0.505


def test_a_transfer_dies_with_its_device(make_network: Make) -> None:
    network = make_network()
    network.env.at(NS_PER_S // 10, lambda: network.fail(1, "battery"))
    (transfer,) = run(network, [Message(0, 1, 10**9, 99.0)])
    assert (transfer.delivered, transfer.reason) == (False, "battery")
    assert transfer.ended_s == pytest.approx(0.1)
    assert transfer.acked_bytes > 0


# --- what is known of others ---------------------------------------------------------------------


def test_probes_measure_what_is_true_and_cost_air(make_network: Make) -> None:
    positions = ((0.0, 0.0), (100.0, 0.0), (0.0, 300.0))
    network = make_network(positions)
    true_db = network.snapshot().snr_db
    Probes(period_s=0.5, size_bytes=100).start(network, 3, 1)
    assert np.all(np.isneginf(network.snapshot().snr_db))
    network.env.run(until=2 * NS_PER_S)
    seen_db = network.snapshot().snr_db
    off = ~np.eye(3, dtype=bool)
    assert seen_db[off] == pytest.approx(true_db[off], abs=1e-6)
    assert {transfer.message.kind for transfer in network.transfers} == {"probe"}
    assert np.all(network.tx_s > 0)
    network.down.update({0, 1, 2})
    network.env.run(until=20 * NS_PER_S)
    assert np.all(np.isneginf(network.snapshot().snr_db))


def test_measurements_are_valid_for_a_while(make_network: Make) -> None:
    """Law: a link is known from the end of its probe until `valid_s` later, and unknown between."""
    network = make_network()
    Probes(period_s=4.0, size_bytes=100, valid_s=1.5).start(network, 2, 1)
    instants_s = np.arange(0.05, 30.0, 0.1)
    known = []
    for instant_s in instants_s:
        network.env.run(until=round(instant_s * NS_PER_S))
        known.append(np.isfinite(network.snapshot().snr_db[0, 1]))
    ended_s = np.array([t.ended_s for t in network.transfers if t.message.source == 0])
    assert ended_s.size in (7, 8)
    age_s = instants_s[:, None] - ended_s
    assert known == ((age_s >= 0.0) & (age_s <= 1.5)).any(axis=1).tolist()
    assert 0 < sum(known) < instants_s.size


def test_contact_time_of_devices_that_part(make_network: Make) -> None:
    """Law: 10 m/s apart from 20 m on, out of 100 m after 8 s."""
    motion = passing(
        [(0.0, 0.0, 0.0), (100.0, 0.0, 0.0)],
        [(0.0, 20.0, 0.0), (100.0, 1020.0, 0.0)],
        [(0.0, 0.0, 5.0), (100.0, 0.0, 5.0)],
    )
    view = make_network(motion=motion).snapshot()
    contact_s = view.contact_s(100.0, 60.0, 0.01)
    assert contact_s[0, 1] == pytest.approx(8.0, abs=0.011)
    assert contact_s[0, 2] == contact_s[2, 0] == 60.0
    assert contact_s[1, 1] == 0.0
    assert view.contact_s(10.0, 60.0)[0, 1] == 0.0


def test_nearest_devices_that_are_there(make_network: Make) -> None:
    network = make_network(((0.0, 0.0), (30.0, 0.0), (10.0, 0.0), (20.0, 0.0)))
    assert network.snapshot().nearest(0, 2).tolist() == [2, 3]
    network.down.add(2)
    assert network.snapshot().nearest(0, 9).tolist() == [3, 1]
    assert network.snapshot().nearest(2, 1).tolist() == [3]


# --- measured links ------------------------------------------------------------------------------


@pytest.fixture
def measured(tmp_path: Path) -> Callable[..., ReplayTable]:
    """Return a maker of measured links: name of a column, then lines of instant, ends and value."""

    def make(column: str, devices: int = 2, **options: Any) -> ReplayTable:
        file = tmp_path / "links.csv"
        file.write_text(f"t_s,source,target,{column}\n")
        return Replay(file=str(file), **options).links([str(n) for n in range(devices)])

    return make


def test_replayed_latency_and_rate(make_network: Make, measured: Measured) -> None:
    network = make_network(replay=measured("latency_s\n0,0,1,0.25\n1,0,1,0.5"))
    (first,) = run(network, [Message(0, 1, 1000, 9.0)])
    assert (first.delivered, first.latency_s) == (True, 0.25)
    network.env.run(until=network.timeout(1.0))
    late, lost = run(network, [Message(0, 1, 1000, 9.0), Message(0, 1, 1000, 0.3)])
    assert late.latency_s == pytest.approx(0.5)
    assert (lost.delivered, lost.reason) == (False, "deadline")
    column = "rate_bps\n0,0,1,1e6\n1,0,1,4e6"
    network = make_network(replay=measured(column))
    (transfer,) = run(network, [Message(0, 1, 375_000, 9.0)])
    # One second at 1 Mbit/s, half a second at 4.
    assert transfer.latency_s == pytest.approx(1.5)
    ramp = measured(column, interpolate="linear")
    (transfer,) = run(make_network(replay=ramp), [Message(0, 1, 312_500 // 2, 9.0)])
    # 1.25 Mbit of 1 t + 1.5 t^2.
    assert transfer.latency_s == pytest.approx((-1 + np.sqrt(1 + 6 * 1.25)) / 3, rel=1e-6)


@pytest.mark.parametrize(
    ("column", "sent_s", "took_s"),
    [
        # Dark from 1 s to 3 s, from 2 s to 4 s, and from 9 s on: a latency of 2 s.
        ("latency_s\n0,0,1,2", 0.0, 5.0),
        ("latency_s\n0,0,1,2", 1.5, 4.5),
        ("latency_s\n0,0,1,2", 4.0, 2.0),
        ("latency_s\n0,0,1,2", 7.0, 2.0),
        ("latency_s\n0,0,1,2", 7.5, None),
        ("latency_s\n0,0,1,0", 0.5, 0.0),
        ("latency_s\n0,0,1,0", 1.0, 3.0),
        ("latency_s\n0,0,1,0", 1.5, 2.5),
        # 2 Mbit at 1 Mbit/s, and at 2 Mbit/s from 3.5 s on.
        ("rate_bps\n0,0,1,1e6\n3.5,0,1,2e6", 0.0, 4.5),
        ("rate_bps\n0,0,1,1e6\n3.5,0,1,2e6", 3.7, 1.3),
        ("rate_bps\n0,0,1,1e6\n3.5,0,1,2e6", 8.5, None),
    ],
)
def test_measured_links_wait_while_they_are_dark(
    make_network: Make, measured: Measured, column: str, sent_s: float, took_s: float | None
) -> None:
    links = measured(column, devices=3)
    dark = [
        LinkOutage(links=((0, 1),), from_s=2.0, until_s=4.0),
        LinkOutage(devices=(1,), from_s=1.0, until_s=3.0),
        LinkOutage(from_s=9.0),
        LinkOutage(links=((0, 2),), from_s=0.0),
    ]
    network = make_network(
        ((0.0, 0.0), (100.0, 0.0), (0.0, 100.0)), replay=links, faults={"link_outages": dark}
    )
    network.env.run(until=network.timeout(sent_s))
    (transfer,) = run(network, [Message(0, 1, 250_000, 30.0)])
    assert transfer.delivered == (took_s is not None)
    if took_s is not None:
        assert transfer.latency_s == pytest.approx(took_s)


def test_a_measured_ramp_goes_on_after_the_dark(make_network: Make, measured: Measured) -> None:
    links = measured("rate_bps\n0,0,1,1e6\n4,0,1,5e6", interpolate="linear")
    dark = [LinkOutage(from_s=1.0, until_s=2.0)]
    network = make_network(replay=links, faults={"link_outages": dark})
    (transfer,) = run(network, [Message(0, 1, 625_000, 30.0)])
    # 1.5 Mbit in the first second, none in the second one, 3.5 Mbit in the third.
    assert transfer.latency_s == pytest.approx(3.0)


@pytest.mark.parametrize("on_link_failure", ["discard", "resume"])
def test_a_blackout_breaks_a_measured_transfer(
    make_network: Make, measured: Measured, on_link_failure: str
) -> None:
    """At 1 Mbit/s for 1 s, and at 2 Mbit/s from 3 s on; a latency starts again."""
    ends = {}
    for column in ("latency_s\n0,0,1,2", "rate_bps\n0,0,1,1e6\n2,0,1,2e6"):
        network = make_network(
            replay=measured(column),
            faults={"link_outages": [LinkOutage(from_s=1.0, until_s=3.0, transfers="fail")]},
            transport=Transport(packet_header_bytes=0, on_link_failure=on_link_failure),
        )
        (transfer,) = run(network, [Message(0, 1, 250_000, 30.0)])
        ends[column[:4]] = transfer
    late, rate = ends["late"], ends["rate"]
    if on_link_failure == "discard":
        assert {(t.delivered, t.reason, t.ended_s) for t in (late, rate)} == {
            (False, "link-outage", 1.0)
        }
        assert (late.acked_bytes, rate.acked_bytes) == (0, 125_000)
    else:
        assert (late.delivered, late.ended_s, late.attempts) == (True, pytest.approx(5.0), 2)
        assert (rate.delivered, rate.ended_s, rate.attempts) == (True, pytest.approx(3.5), 2)
        assert (rate.airtime_s, rate.queue_s) == (pytest.approx(1.5), pytest.approx(2.0))
        assert rate.acked_bytes == 250_000
    network.close()


def test_a_measured_transfer_ends_with_its_device(make_network: Make, measured: Measured) -> None:
    """Half a second at 1 Mbit/s is what arrived, packet by packet."""
    network = make_network(
        replay=measured("rate_bps\n0,0,1,1e6"),
        transport=Transport(packet_bytes=1000, packet_header_bytes=0, trace=True),
    )
    network.env.at(5 * 10**8, lambda: network.fail(0, "battery"))
    whole, broken = run(network, [Message(0, 1, 25_000, 9.0), Message(0, 1, 250_000, 9.0)])
    assert (whole.delivered, whole.latency_s) == (True, pytest.approx(0.2))
    arrived_s = [packet.arrived_s for packet in network.packets]
    assert arrived_s == pytest.approx([0.008 * (1 + n) for n in range(25)])
    assert (broken.delivered, broken.reason, broken.ended_s) == (False, "battery", 0.5)
    assert broken.acked_bytes == 62_500
    network.close()


@pytest.mark.parametrize(
    ("column", "until_s", "ended_s"),
    [
        # A latency does not say when parts arrive, but none does during a blackout.
        ("latency_s\n0,0,1,2", 0.0, 2.0),
        ("latency_s\n0,0,1,0", 0.0, 0.0),
        ("latency_s\n0,0,1,0", 9.0, None),
        ("latency_s\n0,0,1,2", 9.0, None),
        ("rate_bps\n0,0,1,1e6\n0.05,0,1,0", 0.0, None),
    ],
)
def test_a_measured_link_breaks_if_nothing_arrives(
    make_network: Make, measured: Measured, column: str, until_s: float, ended_s: float | None
) -> None:
    """A message of one byte, checked every 20 ms; dark from 10 ms on, or not at all."""
    dark = [] if not until_s else [LinkOutage(from_s=0.01, until_s=until_s)]
    network = make_network(
        replay=measured(column),
        faults={"link_outages": dark},
        transport=Transport(packet_header_bytes=100_000, link_failure_timeout_s=0.02),
    )
    network.env.run(until=network.timeout(0.01))
    (transfer,) = run(network, [Message(0, 1, 1, 20.0)])
    if ended_s is None:
        assert transfer.reason == "link-failure"
        assert transfer.ended_s < 0.15
    else:
        assert (transfer.reason, transfer.latency_s) == ("", pytest.approx(ended_s))


@pytest.mark.parametrize("column", ["latency_s\n0,0,1,0", "rate_bps\n0,0,1,1e6"])
def test_nothing_arrives_where_nobody_is(
    make_network: Make, measured: Measured, column: str
) -> None:
    network = make_network(replay=measured(column))
    network.fail(1, "battery")
    (transfer,) = run(network, [Message(0, 1, 1000, 9.0)])
    assert (transfer.delivered, transfer.reason) == (False, "battery")
    assert not network.inbox[1].items


def test_packets_over_a_measured_link_that_broke(make_network: Make, measured: Measured) -> None:
    """1 Mbit/s, four packets of 8 ms, dark from 12 ms, amid the second one, to 500 ms."""
    network = make_network(
        replay=measured("rate_bps\n0,0,1,1e6"),
        faults={"link_outages": [LinkOutage(from_s=0.012, until_s=0.5, transfers="fail")]},
        transport=Transport(
            packet_bytes=1000, packet_header_bytes=0, trace=True, on_link_failure="resume"
        ),
    )
    (transfer,) = run(network, [Message(0, 1, 4000, 9.0)])
    assert transfer.attempts == 2
    arrived_s = [packet.arrived_s for packet in network.packets]
    assert arrived_s == pytest.approx([0.008, 0.504, 0.512, 0.52], abs=1e-6)


@given(
    rates=st.lists(st.just(0.0) | st.floats(1e-3, 10.0), min_size=1, max_size=5),
    spans=st.lists(st.tuples(st.floats(0, 9), st.floats(0.1, 3)), max_size=3),
    interpolate=st.sampled_from(["hold", "linear"]),
    sent_s=st.floats(0.0, 9.0),
    bits=st.integers(1, 60),
)
def test_what_a_measured_link_carries_until_it_arrives_is_all(
    rates: list[float],
    spans: list[tuple[float, float]],
    interpolate: Literal["hold", "linear"],
    sent_s: float,
    bits: int,
) -> None:
    """Law: the integral of the rate from sending to arrival is the size, in the light alone."""
    track = np.array([[2.0 * n, rate] for n, rate in enumerate(rates)])
    links = ReplayTable(["rate_bps"], {(0, 1): track}, interpolate)
    dark_s = sorted((since_s, since_s + length_s) for since_s, length_s in spans)
    (ends_s,) = links.arrival_s(0, 1, sent_s, np.array([bits]), dark_s).tolist()
    carried = links.carried_bits(0, 1, sent_s, ends_s if np.isfinite(ends_s) else 1e6, dark_s)
    if np.isfinite(ends_s):
        assert carried == pytest.approx(bits, rel=1e-6)
        assert not any(since_s + 1e-9 < ends_s < until_s for since_s, until_s in dark_s)
        # By a sum over small steps.
        steps_s = np.linspace(sent_s, ends_s, 20_001)
        middle_s = (steps_s[1:] + steps_s[:-1]) / 2
        rate = links.rate_bps(np.array([0]), np.array([1]), middle_s)
        assert rate is not None
        light = np.ones(middle_s.size, dtype=bool)
        for since_s, until_s in dark_s:
            light &= (middle_s < since_s) | (middle_s >= until_s)
        total = float((rate[0] * light).sum() * (steps_s[1] - steps_s[0]))
        assert total == pytest.approx(bits, abs=12 * (steps_s[1] - steps_s[0]) * 10 + 1e-6)
    else:
        assert carried < bits
