"""Faults of the world: the predicted effect of each on transfers and times."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from wnsim.core.transfer import Message, Transfer
from wnsim.core.units import SPEED_OF_LIGHT_MPS, db_to_linear, dbm_to_w, thermal_noise_w
from wnsim.faults import Churn, Crash, Jamming, LinkOutage, StationFailure, Straggler, Timeline
from wnsim.mac import Cell, Ideal, Ofdma
from wnsim.mobility import Static
from wnsim.network import Backhaul, Network
from wnsim.network.transport import Transport

Make = Callable[..., Network]
BANDWIDTH_HZ = 20e6
ENGINES = pytest.mark.parametrize("engine", ["windowed", "packet"])
NAMES = [str(number) for number in range(8)]


def snr(distance_m: float, noise_db: float = 0.0) -> float:
    gain = (SPEED_OF_LIGHT_MPS / 3.5e9 / (4 * np.pi * distance_m)) ** 2
    noise_w = thermal_noise_w(BANDWIDTH_HZ, 9.0) * db_to_linear(noise_db)
    return float(dbm_to_w(23.0) * gain / noise_w)


def run(network: Network, *messages: Message, at_s: float = 0.0) -> list[Transfer]:
    if at_s:
        network.env.run(until=network.timeout(at_s))
    events = [network.send(message) for message in messages]
    network.env.run(until=network.env.all_of(events))
    return [event.value for event in events]


# --- blackouts --------------------------------------------------------------------------------


@ENGINES
@pytest.mark.parametrize(
    "links", [{"links": ((1, 0),)}, {"devices": (1,)}, {}], ids=["pair", "device", "all"]
)
def test_a_blackout_delays_by_its_length(make_network: Make, engine: str, links: dict) -> None:
    """Law: no block of 1 ms in 37 ms brings anything, so that all comes 37 ms later."""
    message = Message(0, 1, 2_000_000, 10.0)
    (clear,) = run(make_network(engine=engine), message)
    blackout = LinkOutage(**links, from_s=0.02, until_s=0.057)
    (late,) = run(make_network(engine=engine, faults={"link_outages": (blackout,)}), message)
    assert late.delivered
    assert late.latency_s - clear.latency_s == pytest.approx(0.037, abs=1e-9)
    assert late.channel_access_s == pytest.approx(0.037, abs=1e-9)
    assert late.blocks == clear.blocks


def test_a_blackout_concerns_no_other_link(make_network: Make) -> None:
    places = ((0.0, 0.0), (100.0, 0.0), (0.0, 100.0))
    messages = [Message(0, 1, 10**6, 10.0), Message(2, 1, 10**6, 10.0)]
    clear = run(make_network(places), *messages)
    blackout = LinkOutage(links=((0, 1),), from_s=0.0, until_s=0.1)
    faulty = run(make_network(places, faults={"link_outages": (blackout,)}), *messages)
    assert faulty[0].latency_s > clear[0].latency_s
    assert faulty[1].latency_s == clear[1].latency_s


@ENGINES
@pytest.mark.parametrize("on_link_failure", ["discard", "resume"])
def test_a_blackout_that_breaks_transfers(
    make_network: Make, engine: str, on_link_failure: str
) -> None:
    message = Message(0, 1, 2_000_000, 10.0)
    (clear,) = run(make_network(engine=engine), message)
    blackout = LinkOutage(links=((0, 1),), from_s=0.02, until_s=0.057, transfers="fail")
    network = make_network(
        engine=engine,
        faults={"link_outages": (blackout,)},
        transport=Transport(on_link_failure=on_link_failure, packet_header_bytes=0),
    )
    (broken,) = run(network, message)
    if on_link_failure == "discard":
        assert (broken.delivered, broken.reason, broken.ended_s) == (False, "link-outage", 0.02)
        assert broken.acked_bytes == pytest.approx(2_000_000 * 0.02 / clear.latency_s, rel=2e-3)
    else:
        # Resumed with the remainder when the blackout is over.
        assert (broken.delivered, broken.attempts) == (True, 2)
        assert broken.latency_s - clear.latency_s == pytest.approx(0.037, abs=1e-9)


def test_a_link_is_dark_for_topologies_too(make_network: Make) -> None:
    blackout = LinkOutage(links=((0, 1),), from_s=0.0, until_s=1.0)
    network = make_network(faults={"link_outages": (blackout,)})
    assert network.snapshot().snr_db[0, 1] == -math.inf
    network.env.run(until=network.timeout(1.0))
    assert network.snapshot().snr_db[0, 1] == pytest.approx(10 * math.log10(snr(100.0)))


# --- crashes and churn ------------------------------------------------------------------------


@ENGINES
@pytest.mark.parametrize("crashed", [0, 1])
def test_a_crash_ends_what_is_under_way(make_network: Make, engine: str, crashed: int) -> None:
    crash = Crash(devices=(crashed,), from_s=0.0203, until_s=0.2)
    network = make_network(engine=engine, faults={"crashes": (crash,)})
    (lost,) = run(network, Message(0, 1, 2_000_000, 10.0))
    assert (lost.delivered, lost.reason, lost.ended_s) == (False, "crash", 0.0203)
    # While it is down no transfer begins; afterwards all is as before.
    (refused,) = run(network, Message(0, 1, 1000, 10.0), at_s=0.05)
    assert (refused.reason, refused.latency_s, refused.attempts) == ("crash", 0.0, 0)
    assert network.snapshot().present.tolist() == [crashed != 0, crashed != 1]
    (good,) = run(network, Message(0, 1, 1000, 10.0), at_s=0.2)
    assert good.delivered


def test_a_crash_empties_the_inbox_and_is_told(make_network: Make) -> None:
    crashes = (
        Crash(devices=(1,), from_s=0.5, until_s=0.6),
        Crash(devices=(1,), from_s=0.7, until_s=0.8, memory="lost"),
    )
    network = make_network(faults={"crashes": crashes})
    run(network, Message(0, 1, 1000, 10.0))
    assert len(network.inbox[1].items) == 1
    found = []
    for wait_s in (0.4, 0.2, 0.15):
        network.env.run(until=network.timeout(wait_s))
        found.append((network.crashed(1, 0.0), len(network.inbox[1].items)))
    assert found == [(None, 1), ("kept", 0), ("lost", 0)]
    assert network.crashed(0, 0.0) is None
    assert network.crashed(1, 0.7) is None


def test_resumed_after_a_crash(make_network: Make) -> None:
    message = Message(0, 1, 2_000_000, 10.0)
    (clear,) = run(make_network(), message)
    crash = Crash(devices=(1,), from_s=0.02, until_s=0.05)
    network = make_network(
        faults={"crashes": (crash,)},
        transport=Transport(on_link_failure="resume", packet_header_bytes=0),
    )
    (late,) = run(network, message)
    # Back at 50 ms, noticed a nanosecond later, and on the air from the slot after that.
    assert late.latency_s - clear.latency_s == pytest.approx(0.031, abs=1e-9)


def test_rates_of_churn_are_those_asked_for() -> None:
    """Law: stays and absences are exponential, so their numbers follow the Poisson law."""
    leave, back, horizon_s, count = 0.5, 2.0, 200.0, 200
    timeline = Timeline(
        [str(n) for n in range(count)], count, 3, churn=Churn(leave_per_s=leave, return_per_s=back)
    )
    rows = [row for row in timeline.rows(horizon_s) if row.kind == "churn"]
    # A cycle takes 2 s + 0.5 s on average; the count's variance is at most that of Poisson's law.
    expected = count * horizon_s / (1 / leave + 1 / back)
    low, high = stats.poisson.interval(1 - 1e-6, expected)
    # The first stay begins at 0, which adds (var - mean^2) / (2 mean^2) of a cycle per device.
    assert low - count < len(rows) < high + count
    whole = np.array([row.until_s - row.time_s for row in rows])
    assert stats.kstest(whole, stats.expon(scale=1 / back).cdf).pvalue > 1e-4
    # None of them depends on how far the timeline was evaluated before.
    short = [row for row in timeline.rows(20.0) if row.kind == "churn"]
    assert short == [row for row in rows if row.time_s <= 20.0]


def test_presence_at_the_beginning_is_a_coin() -> None:
    count = 400
    churn = Churn(present_share=0.3, return_per_s=0.0)
    timeline = Timeline([str(n) for n in range(count)], count, 1, churn=churn)
    away = len(timeline.rows(0.0))
    low, high = stats.binom.interval(1 - 1e-6, count, 0.7)
    assert low <= away <= high


def test_churn_of_a_file(tmp_path: Path, make_network: Make) -> None:
    path = tmp_path / "churn.csv"
    path.write_text("t_s,id,event\n0.1,1,leave\n0.3,0,join\n0.4,1,join\n0.5,1,leave\n")
    network = make_network(faults={"churn": Churn(file=str(path))})
    seen = []
    for _ in range(6):
        seen.append(network.snapshot().present.tolist())
        network.env.run(until=network.timeout(0.1))
    assert seen == [[False, True], [False, False], [False, False], [True, False], [True, True],
                    [True, False]]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("t,id,event\n", r"churn.csv:1: the header must be t_s,id,event"),
        ("t_s,id,event\n1,9,leave\n", r"churn.csv:2: there is no device '9'"),
        ("t_s,id,event\n1,0,leave\n2,0,leave\n", r"churn.csv:3: 0 cannot leave, it is away"),
        ("t_s,id,event\n1,0,join\n2,0,join\n", r"churn.csv:3: 0 cannot join, it is there"),
        ("t_s,id,event\n2,0,leave\n1,1,leave\n", r"churn.csv:3: t_s must not fall"),
        ("t_s,id,event\n1,0,go\n", r"churn.csv:2: event must be join or leave, got 'go'"),
        ("t_s,id,event\nx,0,join\n", r"churn.csv:2: t_s must be a number, got 'x'"),
        ("t_s,id,event\n1,0\n", r"churn.csv:2: a line must have 3 fields, got 2"),
    ],
)
def test_a_bad_file_of_churn(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "churn.csv"
    path.write_text(text)
    with pytest.raises(ValueError, match=message):
        Timeline(NAMES, 8, 1, churn=Churn(file=str(path)))


# --- jamming ----------------------------------------------------------------------------------


@ENGINES
@pytest.mark.parametrize("area", ["disc", "rectangle"])
def test_a_jammed_receiver_gets_the_rate_of_its_sinr(
    make_network: Make, engine: str, area: str
) -> None:
    """Law: bits over Shannon's rate at the noise that is raised by 13 dB, inside the area alone."""
    where: dict[str, object] = {"rectangle_m": ((150.0, 10.0), (50.0, -10.0))}
    if area == "disc":
        where = {"center_m": (100.0, 0.0), "radius_m": 50.0}
    jamming = Jamming(**where, noise_db=13.0)
    network = make_network(
        ((0.0, 0.0), (100.0, 0.0)), engine=engine, faults={"jamming": (jamming,)}
    )
    jammed, clear = run(network, Message(0, 1, 10**6, 1e3), Message(1, 0, 10**6, 1e3))
    for transfer, noise_db in ((jammed, 13.0), (clear, 0.0)):
        expected_s = 8e6 / (BANDWIDTH_HZ * np.log2(1 + snr(100.0, noise_db)))
        assert transfer.latency_s == pytest.approx(expected_s, rel=1e-4)
        assert transfer.mean_snr_db == pytest.approx(10 * np.log10(snr(100.0, noise_db)), abs=1e-9)


def test_powers_of_jammers_add_up(make_network: Make) -> None:
    jamming = (
        Jamming(center_m=(100.0, 0.0), radius_m=1.0, power_dbm=-80.0),
        Jamming(center_m=(100.0, 0.0), radius_m=2.0, noise_db=10 * math.log10(3)),
        Jamming(center_m=(100.0, 0.0), radius_m=2.0, power_dbm=0.0, from_s=99.0),
    )
    (transfer,) = run(make_network(faults={"jamming": jamming}), Message(0, 1, 10**5, 1e3))
    noise_w = float(thermal_noise_w(BANDWIDTH_HZ, 9.0))
    expected = snr(100.0) * noise_w / (3 * noise_w + 1e-11)
    assert transfer.mean_snr_db == pytest.approx(10 * np.log10(expected), abs=1e-9)


def test_whoever_leaves_the_area_is_free_of_it(make_network: Make) -> None:
    """Law: a jammer for 40 of the first 50 blocks; the sum over blocks gives the latency."""
    jamming = Jamming(center_m=(100.0, 0.0), radius_m=1.0, noise_db=20.0, from_s=0.01, until_s=0.05)
    (transfer,) = run(make_network(faults={"jamming": (jamming,)}), Message(0, 1, 10**6, 1e3))
    fast, slow = (BANDWIDTH_HZ * np.log2(1 + snr(100.0, db)) for db in (0.0, 20.0))
    left_bits = 8e6 - 0.01 * fast - 0.04 * slow
    assert left_bits > 0
    assert transfer.latency_s == pytest.approx(0.05 + left_bits / fast, rel=1e-4)


# --- stations ---------------------------------------------------------------------------------

STATIONS = ((50.0, 10.0), (50.0, 200.0))


@ENGINES
@pytest.mark.parametrize("on_link_failure", ["discard", "resume"])
def test_a_station_that_fails_loses_or_hands_over(
    make_network: Make, engine: str, on_link_failure: str
) -> None:
    failure = StationFailure(stations=(0,), from_s=0.01, until_s=5.0)
    settings: dict[str, object] = {
        "positions_m": ((0.0, 0.0), (100.0, 0.0)),
        "stations_m": STATIONS,
        "mac": Cell(),
        "engine": engine,
        "transport": Transport(on_link_failure=on_link_failure, packet_header_bytes=0),
    }
    message = Message(0, 1, 10**6, 10.0)
    network = make_network(faults={"station_failures": (failure,)}, **settings)
    (transfer,) = run(network, message)
    if on_link_failure == "discard":
        assert (transfer.delivered, transfer.reason, transfer.ended_s) == (
            False,
            "station-failure",
            0.01,
        )
        # The next one goes through the station that is left, whose links are longer.
        (transfer,) = run(network, message)
    assert transfer.delivered
    distance_m = math.hypot(50.0, 200.0)
    leg_s = 8e6 / (BANDWIDTH_HZ * np.log2(1 + snr(distance_m)))
    # Each hop begins with a slot, of which there is one in a millisecond.
    assert transfer.ended_s - 0.01 == pytest.approx(2 * leg_s, abs=2.1e-3)
    assert transfer.acked_bytes == transfer.air_bytes
    # Once it is back it is the best one again.
    (again,) = run(network, message, at_s=5.0 - network.now_s)
    near_s = 8e6 / (BANDWIDTH_HZ * np.log2(1 + snr(math.hypot(50.0, 10.0))))
    assert again.latency_s == pytest.approx(2 * near_s, abs=2.1e-3)


def test_without_a_station_messages_wait_or_are_lost(make_network: Make) -> None:
    failures = (
        StationFailure(stations=(0, 1), from_s=0.0, until_s=0.5),
        StationFailure(stations=(0,), from_s=0.0, until_s=0.7),
    )
    for on_link_failure, lifetime_s in (("discard", 10.0), ("resume", 10.0), ("resume", 0.3)):
        network = make_network(
            stations_m=STATIONS, mac=Cell(), faults={"station_failures": failures},
            transport=Transport(on_link_failure=on_link_failure),
        )  # fmt: skip
        (transfer,) = run(network, Message(0, 1, 1000, lifetime_s))
        if (on_link_failure, lifetime_s) == ("resume", 10.0):
            # Station 1 is back first.
            assert transfer.delivered
            assert transfer.started_s == pytest.approx(0.5, abs=1e-3)
        else:
            assert (transfer.delivered, transfer.reason) == (False, "station-failure")


@pytest.mark.parametrize("shared", [False, True])
def test_waiting_for_a_station_is_queueing(make_network: Make, shared: bool) -> None:
    """Law: parts of a latency add up, where the way to the first hop is over the backhaul too."""
    failure = StationFailure(stations=(0, 1), from_s=0.0, until_s=0.5)
    for from_server in (False, True):
        network = make_network(
            stations_m=STATIONS, mac=Cell(), faults={"station_failures": (failure,)},
            backhaul=Backhaul(1e9, 0.004, shared=shared),
            transport=Transport(on_link_failure="resume"),
        )  # fmt: skip
        assert network.server is not None
        source = network.server if from_server else 0
        (transfer,) = run(network, Message(source, 1, 1000, 10.0))
        assert transfer.delivered
        parts_s = (
            transfer.queue_s, transfer.channel_access_s, transfer.airtime_s,
            transfer.retransmission_s, transfer.backhaul_s,
        )  # fmt: skip
        assert sum(parts_s) == pytest.approx(transfer.latency_s, abs=1e-8)
        # Before and after the failure the message of the server goes to a station.
        assert transfer.backhaul_s == pytest.approx(2 * from_server * 0.004, abs=1e-3)


# --- stragglers -------------------------------------------------------------------------------


def test_a_straggler_takes_factor_times_as_long() -> None:
    timeline = Timeline(
        NAMES, 8, 1,
        stragglers=(
            Straggler(devices=(0, 1), factor=4.0, from_s=10.0, until_s=20.0),
            Straggler(devices=(1,), factor=2.5, from_s=12.0, until_s=14.0),
        ),
    )  # fmt: skip
    assert timeline.compute_s(0, 10.0, 1.7) == 4.0 * 1.7
    assert timeline.compute_s(2, 10.0, 1.7) == 1.7
    assert timeline.compute_s(0, 20.0, 1.7) == 1.7
    assert timeline.compute_s(1, 12.0, 0.1) == pytest.approx(0.1 * 10.0, rel=1e-12)
    # From 9 s: one second at full speed, ten for 2.5 s of work, the rest at full speed.
    assert timeline.compute_s(0, 9.0, 5.0) == pytest.approx(1 + 10 + 1.5, rel=1e-12)
    # From 10 s: 0.5 s of work until 12, 0.2 until 14, 1.5 until 20.
    assert timeline.compute_s(1, 10.0, 3.0) == pytest.approx(10 + 0.8, rel=1e-12)


# --- rows, and what is refused ----------------------------------------------------------------


def test_every_fault_is_a_row() -> None:
    timeline = Timeline(
        [*NAMES, "station-0"], 8, 1,
        crashes=(Crash(devices=(1, 2), from_s=3.0),),
        link_outages=(LinkOutage(from_s=1.0, until_s=2.0), LinkOutage(links=((0, 3),), from_s=9.0)),
        jamming=(Jamming(center_m=(1.0, 2.0), radius_m=3.0, noise_db=4.0),),
        station_failures=(StationFailure(stations=(0,), from_s=2.0, until_s=4.0),),
        stragglers=(Straggler(devices=(5,), factor=2.0, from_s=1.0),),
    )  # fmt: skip
    rows = [(row.time_s, row.kind, row.location) for row in timeline.rows(5.0)]
    assert rows == [
        (0.0, "jamming", "disc 1,2 m, 3 m"), (1.0, "link-outage", "all links"),
        (1.0, "straggler", "5"), (2.0, "station-failure", "station-0"), (3.0, "crash", "1"),
        (3.0, "crash", "2"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Crash(devices=(0,), from_s=2.0, until_s=2.0), "until_s must be later than from_s"),
        (lambda: LinkOutage(links=((1, 1),)), "two different nodes, got 1 twice"),
        (lambda: Jamming(noise_db=3.0), "jamming needs one area"),
        (lambda: Jamming(center_m=(0.0, 0.0), noise_db=3.0), "jamming needs one area"),
        (lambda: Jamming(center_m=(0.0, 0.0), radius_m=1.0), "one of noise_db and power_dbm"),
        (lambda: Straggler(devices=(), factor=2.0), "at least 1 item"),
        (lambda: Straggler(devices=(0,), factor=0.5), "greater than or equal to 1"),
        (lambda: Churn(return_per_s=1.0), "churn needs a file, leave_per_s or present_share"),
        (lambda: Churn(file="x", leave_per_s=1.0), "needs no devices and no rates, got both"),
    ],
)
def test_what_makes_no_sense_is_refused(make: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize("mac", [Ideal(), Ofdma()])
def test_an_empty_timeline_changes_nothing(make_network: Make, mac: object) -> None:
    motion = Static().motion(4, (200.0, 200.0), 1)
    messages = [Message(n, (n + 1) % 4, 10**5, 10.0) for n in range(4)]
    plain = run(make_network(motion=motion, mac=mac), *messages)
    assert run(make_network(motion=motion, mac=mac, faults={}), *messages) == plain
