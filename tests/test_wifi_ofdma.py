"""Exchanges of an access point with several stations: timelines, goodput, and what always holds."""

from __future__ import annotations

import dataclasses
import math
from collections import defaultdict
from itertools import pairwise, product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference_tables import rows
from test_csma import DIFS, NEVER, PACKET_BITS, SIFS, SLOT, Offer, at, submit

from wnsim import load, run
from wnsim.air import Attempt, Setup
from wnsim.air.csma.frame import Frame
from wnsim.air.csma.packet import Packet
from wnsim.air.csma.windowed import Windowed
from wnsim.channel import (
    Carrier,
    Channel,
    Geometry,
    LogDistance,
    NoFading,
    Propagation,
    Rayleigh,
    Shadowing,
)
from wnsim.core import streams
from wnsim.core.clock import Clock
from wnsim.core.units import Floats, dbm_to_w
from wnsim.mac import Csma
from wnsim.mac.csma import Aggregation
from wnsim.mac.edca import CATEGORIES, BestEffort, Edca
from wnsim.mac.multi_user import MultiUser
from wnsim.mac.rate_control import LastSnr, MeanSnr, Minstrel
from wnsim.phy import Wifi
from wnsim.phy.wifi_formats import schemes
from wnsim.scenario.__main__ import main
from wnsim.world import World, positions_m

# 16-QAM 3/4 in 102 and in 234 data subcarriers, of the downlink and of triggered frames [ns].
BITS_106, BITS_242 = 102 * 4 * 3 // 4, 234 * 4 * 3 // 4
DOWN_NS, UP_NS = 13_600, 14_400
# Legacy part, repeated and A signal fields, training fields with guard intervals of 0.8 and 1.6 us.
DOWN_PREAMBLE, UP_PREAMBLE = 20_000 + 4_000 + 8_000 + 4_000 + 7_200, 20_000 + 12_000 + 8_000 + 8_000
# Delimiter, headers and packet.
SUBFRAME_BITS = 8 * 1468


def control_ns(octets: int) -> int:
    """Return the duration of a control frame at 24 Mbit/s [ns]."""
    return 20_000 + 4_000 * math.ceil((16 + 6 + 8 * octets) / 96)


def frame_ns(preamble_ns: int, symbol_ns: int, symbol_bits: int, bits: int) -> int:
    return preamble_ns + symbol_ns * math.ceil((16 + 6 + bits) / symbol_bits)


class Recorded(Packet):
    """An engine that remembers all frames."""

    def __init__(self, *parts: Any) -> None:
        super().__init__(*parts)
        self.sent: list[Frame] = []

    def send(self, frame: Frame) -> None:
        self.sent.append(frame)
        super().send(frame)


def cell(count: int, radius_m: float, phy: Wifi, *, points: int = 1, **options: Any) -> World:
    """Return stations on a circle, and access points in its middle and 20 m to the right of it."""
    turns = [2 * math.pi * place / count for place in range(count)]
    center = max(radius_m, 5.0)
    motion = at(
        *((center + radius_m * math.cos(t), center + radius_m * math.sin(t)) for t in turns)
    )
    places_m = np.array([[center + 20.0 * point, center] for point in range(points)])
    nodes = count + points
    fading, bandwidth_hz = options.get("fading", NoFading()), options.get("bandwidth_hz", 20e6)
    channel = Channel(
        Propagation(LogDistance(), Shadowing(sigma_db=0.0), fading),
        Carrier(5.15e9),
        Geometry(
            np.full(nodes, 1.5),
            lambda devices, t_s: positions_m(motion, places_m, devices, t_s),
            0.0,
        ),
        options.get("seed", 1),
    )
    return World(
        motion=motion,
        channel=channel,
        phy=phy,
        tx_power_w=np.full(nodes, float(dbm_to_w(16.0206))),
        noise_figure_db=np.full(nodes, 7.0),
        flops_per_s=np.full(count, 1e12),
        bandwidth_hz=bandwidth_hz,
        stations_m=places_m,
    )


def drive(
    world: World,
    mac: Csma,
    offers: list[Offer],
    *,
    until_ns: int | None = None,
    seed: int = 1,
    cancels: tuple[tuple[int, int], ...] = (),
    engine: type[Packet] | type[Windowed] = Recorded,
) -> tuple[list[Attempt], list[Frame]]:
    """Return all attempts, and the frames that were sent."""
    env, ended = Clock(), []
    modem = world.phy.modem(world.bandwidth_hz, 1, 1_000_000)
    key = streams.key(seed, "errors")
    air = engine(Setup(env, world, mac, modem, 1, 0, "none", key, True, PACKET_BITS), ended.append)
    attempts = submit(env, air, offers, cancels)
    env.run(until=until_ns)
    if until_ns is None and isinstance(air, Packet):
        # Nobody waits for an answer forever.
        assert all(station.frame is station.locked is None for station in air.stations)
    for attempt in attempts:
        if attempt.ended_ns < 0 and until_ns is not None:
            air.cancel(attempt, "over")
    return attempts, getattr(air, "sent", [])


def csma(**options: Any) -> Csma:
    """Return the medium access with aggregation, and with OFDMA of these parameters."""
    return Csma(aggregation=Aggregation(), ofdma=MultiUser(**options))


FIXED = Wifi(standard="ax", mcs=4)


# --- timelines ------------------------------------------------------------------------------


def test_a_downlink_exchange_is_the_sum_of_its_parts() -> None:
    """Law: packets, SIFS, trigger, SIFS, acknowledgements of both stations at once."""
    offers = [Offer(1_000_000, 2, (0,), PACKET_BITS), Offer(1_000_000, 2, (1,), 800)]
    attempts, frames = drive(cell(2, 3.0, FIXED), csma(), offers)
    # Two stations are named in three symbols of signal field B.
    packets_ns = frame_ns(DOWN_PREAMBLE + 12_000, DOWN_NS, BITS_106, SUBFRAME_BITS)
    answer_ns = frame_ns(UP_PREAMBLE, UP_NS, BITS_106, 8 * 32)
    trigger_ns = control_ns(28 + 2 * 9)
    expected = [
        (1_000_000, packets_ns, 2),
        (1_000_000 + packets_ns + SIFS, trigger_ns, 2),
        *[(1_000_000 + packets_ns + SIFS + trigger_ns + SIFS, answer_ns, node) for node in (0, 1)],
    ]
    assert [(f.start_ns, f.end_ns - f.start_ns, f.source) for f in frames] == expected
    end_ns = frames[-1].end_ns
    for attempt in attempts:
        assert attempt.delivered
        assert (attempt.started_ns, attempt.ended_ns) == (1_000_000, end_ns)
        assert (attempt.sent, attempt.failed, attempt.access_ns) == (1, 0, 0)
        # Each unit has 106 of 242 tones, and their share of the power.
        assert attempt.airtime_s == pytest.approx(packets_ns * 106 / 242 * 1e-9, abs=1e-9)
        assert attempt.receiving_s == pytest.approx(packets_ns * 1e-9)
        assert attempt.ack_s == pytest.approx(answer_ns * 1e-9)
        # Power and noise are shared alike.
        snr_db = 16.0206 - 46.6777 - 30 * math.log10(3) + 93.9655
        assert 10 * math.log10(attempt.snr_sum) == pytest.approx(snr_db, abs=0.05)


def test_units_by_queue_end_earlier() -> None:
    """Law: the longer message has half of the channel's units of 106 tones, or two thirds."""
    offers = [Offer(0, 3, (node,), bits) for node, bits in enumerate((40_000, 4_000, 4_000))]
    ends_ns = {}
    for split in ("equal", "queue"):
        attempts, frames = drive(cell(3, 3.0, FIXED), csma(split=split), offers)
        assert all(attempt.delivered for attempt in attempts)
        ends_ns[split] = frames[0].end_ns
        tones = [frames[0].parts[node].unit.tones for node in range(3)]
        assert tones == ([52, 52, 52] if split == "equal" else [106, 52, 52])
    data_ns = {split: end_ns - DOWN_PREAMBLE for split, end_ns in ends_ns.items()}
    assert 1.8 < data_ns["equal"] / data_ns["queue"] < 2.2


def uplinks(frames: list[Frame]) -> list[list[Frame]]:
    """Return the frames of each uplink exchange: trigger, packets, acknowledgement."""
    found: dict[int, list[Frame]] = defaultdict(list)
    for frame in frames:
        if frame.exchange is not None and frame.exchange.packets is None:
            found[id(frame.exchange)].append(frame)
    return list(found.values())


def test_an_uplink_exchange_is_the_sum_of_its_parts() -> None:
    """Law: trigger, SIFS, packets padded to the longest, SIFS, one acknowledgement."""
    offers = [
        *(Offer(0, 0, (2,), PACKET_BITS) for _ in range(30)),
        *(Offer(0, 1, (2,), 2 * PACKET_BITS) for _ in range(30)),
    ]
    attempts, frames = drive(cell(2, 3.0, FIXED), csma(), offers)
    assert all(attempt.delivered for attempt in attempts)
    packets_ns = frame_ns(UP_PREAMBLE, UP_NS, BITS_106, 2 * SUBFRAME_BITS)
    complete = [each for each in uplinks(frames) if len(each) == 4]
    assert len(complete) > 20
    for trigger, *sent, answer in complete:
        assert trigger.end_ns - trigger.start_ns == control_ns(28 + 2 * 6)
        for frame in sent:
            assert frame.start_ns == trigger.end_ns + SIFS
            assert frame.end_ns - frame.start_ns == packets_ns
        assert answer.start_ns == sent[0].end_ns + SIFS
        assert answer.end_ns - answer.start_ns == control_ns(22 + 2 * 12)
        assert {frame.nav_ns for frame in (trigger, *sent)} == {answer.end_ns}
    # In a triggered frame all power is in 106 of 242 tones.
    snr_db = 16.0206 - 46.6777 - 30 * math.log10(3) + 93.9655
    best = max(attempt.snr_sum / attempt.sent for attempt in attempts)
    assert 10 * math.log10(best) == pytest.approx(snr_db + 10 * math.log10(242 / 106), abs=0.05)


def test_both_directions_take_turns() -> None:
    offers = [Offer(0, node, (4,), PACKET_BITS) for node in range(4) for _ in range(40)]
    offers += [Offer(0, 4, (node,), PACKET_BITS) for _ in range(40) for node in range(4)]
    attempts, frames = drive(cell(4, 3.0, FIXED), csma(), offers)
    assert all(attempt.delivered for attempt in attempts)
    begun = {id(f.exchange): f.exchange.packets is None for f in frames if f.exchange is not None}
    turns = list(begun.values())
    assert 0.3 < np.mean(turns) < 0.7
    same = np.mean([a == b for a, b in pairwise(turns[:21])])
    assert same < 0.3


def test_a_triggered_station_does_not_contend_for_a_while() -> None:
    """Law: not within the MU EDCA timer after an acknowledgement of its triggered packets."""
    offers = [
        Offer(burst * 5_000_000, node, (3,), 800)
        for burst in range(60) for node in range(3) for _ in range(4)
    ]  # fmt: skip
    held = 0
    for timer_ms in (0.0, 8.192):
        _, frames = drive(cell(3, 3.0, FIXED), csma(timer_ms=timer_ms), offers)
        own = [frame for frame in frames if frame.service is not None and frame.exchange is None]
        answers = [each[-1] for each in uplinks(frames) if len(each) > 2]
        assert len(answers) > 5
        gaps_ns = [
            frame.start_ns - answer.end_ns
            for answer in answers
            for frame in own
            if frame.source in answer.targets and frame.start_ns > answer.end_ns
        ]
        assert min(gaps_ns) >= timer_ms * 1e6 + DIFS
        held += min(gaps_ns) > 8_000_000
    assert held == 1


# --- goodput --------------------------------------------------------------------------------


def test_one_station_in_the_whole_channel_has_the_closed_form_goodput() -> None:
    """Law: that of frames to one, less the trigger and the longer preamble and guard interval.

    The access point does not know where packets end, and lets the station pad its frame to the
    largest duration.
    """
    packets = 64
    options: dict[str, Any] = {"fewest": 1, "timer_ms": 2000.0}
    offers = [Offer(0, 0, (1,), 200 * packets * PACKET_BITS)]
    (attempt,), frames = drive(cell(1, 3.0, FIXED), csma(**options), offers)
    most = max(
        count
        for count in range(1, packets + 1)
        if frame_ns(UP_PREAMBLE, UP_NS, BITS_242, count * SUBFRAME_BITS) <= 5_484_000
    )
    packets_ns = UP_PREAMBLE + (5_484_000 - UP_PREAMBLE) // UP_NS * UP_NS
    exchange_ns = control_ns(28 + 6) + SIFS + packets_ns + SIFS + control_ns(22 + 12)
    exchanges = uplinks(frames)[1:-1]
    starts_ns = [each[0].start_ns for each in exchanges]
    slots, rest = np.divmod(np.diff(starts_ns) - exchange_ns - DIFS, SLOT)
    assert not rest.any()
    assert slots.min() >= 0
    assert slots.max() <= 15
    assert np.mean(slots) == pytest.approx(7.5, abs=3 * 4.61 / math.sqrt(slots.size))
    assert all(frame.packets == most for _, frame, _ in exchanges)
    alone, _ = drive(cell(1, 3.0, FIXED), Csma(aggregation=Aggregation()), offers, engine=Windowed)
    # By frames to one: a guard interval of 0.8 us, and no trigger.
    single = max(
        count
        for count in range(1, packets + 1)
        if frame_ns(DOWN_PREAMBLE, DOWN_NS, BITS_242, count * SUBFRAME_BITS) <= 5_484_000
    )
    single_ns = frame_ns(DOWN_PREAMBLE, DOWN_NS, BITS_242, single * SUBFRAME_BITS)
    between_ns = DIFS + 7.5 * SLOT
    longer = (exchange_ns + between_ns) / most
    longer /= (single_ns + SIFS + control_ns(32) + between_ns) / single
    assert 1.02 < longer < 1.1
    # Some two hundred backoffs each, of 41 us in exchanges of 5.5 ms.
    assert attempt.ended_ns / alone[0].ended_ns == pytest.approx(longer, rel=0.003)


@pytest.mark.parametrize("uplink", [False, True])
def test_short_packets_of_many_stations_gain(uplink: bool) -> None:
    """Nine stations with 100 bytes each: preamble, backoff and answer are shared."""
    count = 9
    ends = [((node, (count,)) if uplink else (count, (node,))) for node in range(count)]
    offers = [Offer(0, *pair, 800) for _ in range(60) for pair in ends]
    world = cell(count, 3.0, Wifi(standard="ax"))
    single, _ = drive(world, Csma(aggregation=Aggregation()), offers, engine=Windowed)
    several, _ = drive(world, csma(), offers, engine=Windowed)
    assert all(attempt.delivered for attempt in (*single, *several))
    last_ns = [max(attempt.ended_ns for attempt in found) for found in (single, several)]
    assert last_ns[0] > 1.5 * last_ns[1]


def test_a_far_station_loses_less_in_a_small_unit() -> None:
    """Law: with all power in 106 of 242 tones the SNR is higher by 3.6 dB."""
    (slowest,) = [each for each in schemes("ax") if each.mcs == 0]
    snr_db = 10 * math.log10(slowest.threshold(SUBFRAME_BITS, 0.6))
    world = cell(4, 10 ** ((63.3084 - snr_db) / 30), Wifi(standard="ax", mcs=0))
    mac = dataclasses.replace(
        csma(), aggregation=Aggregation(duration_us=15_000.0), detection_dbm=-100.0,
        detection_snr_db=-10.0,
    )  # fmt: skip
    single = dataclasses.replace(mac, ofdma=None)
    offers = [Offer(0, node, (4,), 300 * PACKET_BITS, 3 * 10**9) for node in range(4)]
    (alone,), _ = drive(world, single, offers[:1], engine=Windowed)
    assert alone.failed / alone.sent == pytest.approx(0.6, abs=0.15)
    _, frames = drive(world, mac, offers)
    # Without collisions with frames of their own accord.
    parts = [
        each.parts[4]
        for found in uplinks(frames)
        for each in found
        if each.group and all(other in each.group for other in each.overlapping)
    ]
    assert {part.unit.tones for part in parts} <= {106, 52}
    assert len(parts) > 20
    lost = sum(part.packets - sum(part.aggregate.arrived) for part in parts)
    assert lost < 0.05 * sum(part.packets for part in parts)


def full_queues(
    mcs: int, count: int, *, both: bool = False, timer_ms: float = 0
) -> tuple[World, Csma, list[Offer]]:
    """Return world, medium access and messages of full queues, as ns-3 was set up.

    Its scheduler leaves no unit empty: of eight stations it serves four at a time.
    """
    most = max(units for units in (2, 4, 9) if units <= count)
    mac = Csma(
        header_bytes=38, aggregation=Aggregation(),
        ofdma=MultiUser(most_stations=most, timer_ms=timer_ms),
        edca=Edca(best_effort=BestEffort(txop_us=0.0)),
    )  # fmt: skip
    offers = [Offer(0, count, (node,), 10**9) for node in range(count)]
    offers += [Offer(0, node, (count,), 10**9) for node in range(count)] if both else []
    return cell(count, 0.4, Wifi(standard="ax", mcs=mcs)), mac, offers


def saturated_mbps(
    mcs: int, count: int, *, seconds: float, seed: int = 1, both: bool = False, timer_ms: float = 0
) -> tuple[float, float]:
    """Return the goodput of the up- and downlink of full queues, after half a second [Mbit/s]."""
    case, begin_ns = full_queues(mcs, count, both=both, timer_ms=timer_ms), 500_000_000
    until_ns = begin_ns + round(1e9 * seconds)
    attempts, _ = drive(*case, until_ns=until_ns, seed=seed, engine=Windowed)
    up_bits = down_bits = 0
    for attempt in attempts:
        bits = sum(int(each[0]) for at_ns, each in attempt.progress if at_ns[0] >= begin_ns)
        if attempt.source == count:
            down_bits += bits
        else:
            up_bits += bits
    return up_bits / (1e6 * seconds), down_bits / (1e6 * seconds)


def downlink_reference() -> dict[tuple[int, int], float]:
    """Return ns-3's goodput of the downlink by scheme and number of stations [Mbit/s]."""
    cases = defaultdict(list)
    for row in rows("wifi_ofdma_ns3.csv"):
        cases[int(row["mcs"]), int(row["stations"])].append(float(row["down_mbps"]))
    return {case: float(np.mean(found)) for case, found in cases.items()}


@pytest.mark.parametrize(("mcs", "count"), downlink_reference())
def test_the_downlink_equals_ns3(mcs: int, count: int) -> None:
    """Tolerance: one exchange more or less in 0.6 s is 1 %."""
    _, down_mbps = saturated_mbps(mcs, count, seconds=0.6)
    assert down_mbps == pytest.approx(downlink_reference()[mcs, count], rel=0.02)


# Scheme, number of stations, MU EDCA timer [ms], and whether it was set aside.
Case = tuple[int, int, float, bool]


def both_ways_reference() -> dict[Case, Floats]:
    """Return ns-3's goodput (seeds, 2) of up- and downlink, both with OFDMA [Mbit/s]."""
    cases = defaultdict(list)
    for row in rows("wifi_ofdma_uplink_ns3.csv"):
        case = int(row["mcs"]), int(row["stations"]), float(row["timer_ms"]), row["held_out"] == "1"
        cases[case].append((float(row["up_mbps"]), float(row["down_mbps"])))
    return {case: np.array(found) for case, found in cases.items()}


def both_ways_mbps(case: Case, *, seeds: int, seconds: float) -> Floats:
    """Return the mean goodput (2,) of up- and downlink of a case [Mbit/s]."""
    mcs, count, timer_ms, _ = case
    found = [
        saturated_mbps(mcs, count, seconds=seconds, seed=seed, both=True, timer_ms=timer_ms)
        for seed in range(1, seeds + 1)
    ]
    return np.mean(found, axis=0)


@pytest.mark.parametrize(
    "case", [case for case in both_ways_reference() if case[2] and case[1] < 8]
)
def test_both_directions_equal_ns3(case: Case) -> None:
    """Stations do not contend between triggers. Tolerance: of 90 exchanges one is 1.1 %."""
    found, theirs = both_ways_mbps(case, seeds=1, seconds=1.0), both_ways_reference()[case].mean(0)
    assert found == pytest.approx(theirs, rel=0.025)


def test_saturated_stations_and_their_access_point_all_get_turns() -> None:
    """Frames of both stations and of the access point collide at the beginning."""
    offers = [Offer(0, node, (to,), 10**9) for node, to in ((0, 2), (1, 2), (2, 0), (2, 1))]
    attempts, frames = drive(cell(2, 0.4, FIXED), csma(), offers, until_ns=300_000_000)
    assert len({frame.start_ns for frame in frames[:3]}) == 1
    # A quarter of what the channel carries each, but for the turns that chance gives.
    assert min(attempt.acked_bits for attempt in attempts) > 0.1 * 300_000 * 40


# --- what always holds ----------------------------------------------------------------------


@st.composite
def situations(draw: st.DrawFn) -> dict[str, Any]:
    """Cells with hidden stations, fading, deadlines, both directions and cancellations."""
    count = draw(st.integers(1, 6))
    points = draw(st.integers(1, 2))
    stations = st.integers(0, count - 1)
    offers = []
    for _ in range(draw(st.integers(1, 14))):
        ends = draw(stations), count + draw(st.integers(0, points - 1))
        source, target = ends if draw(st.booleans()) else ends[::-1]
        at_ns = draw(st.sampled_from([0, 1_000_000]) | st.integers(0, 10**7))
        life_ns = draw(st.sampled_from([3_000_000, 60_000_000]))
        offers.append(
            Offer(
                at_ns, source, (target,) * draw(st.integers(1, 2)), draw(st.integers(1, 200_000)),
                at_ns + life_ns, draw(st.integers(0, 1)), draw(st.sampled_from(CATEGORIES)),
            )
        )  # fmt: skip
    attempts = sum(len(offer.targets) for offer in offers)
    cancels = st.tuples(st.integers(0, 2 * 10**7), st.integers(0, attempts - 1))
    phy = draw(
        st.sampled_from([Wifi(standard="ax"), Wifi(standard="ax", streams=2, code="ldpc"), FIXED])
    )
    controls = [MeanSnr(), LastSnr(), Minstrel(interval_s=0.005, sample_share=0.3)]
    return {
        "count": count,
        "points": points,
        "radius_m": draw(st.sampled_from([3.0, 20.0, 60.0])),
        "faded": draw(st.booleans()),
        "phy": phy,
        "mac": Csma(
            aggregation=Aggregation(packets=draw(st.sampled_from([1, 64, 65]))),
            edca=draw(
                st.none()
                | st.just(Edca())
                | st.just(Edca(best_effort=BestEffort(txop_us=0.0, cw_min=1)))
            ),
            arq=draw(st.booleans()),
            retry_limit=draw(st.sampled_from([2, 7])),
            rts_threshold_bytes=draw(st.sampled_from([None, 500])),
            capture_db=draw(st.sampled_from([None, 5.0])),
            rate_control=MeanSnr() if phy.is_fixed else draw(st.sampled_from(controls)),
            ofdma=MultiUser(
                downlink=draw(st.booleans()),
                uplink=draw(st.booleans()),
                split=draw(st.sampled_from(["equal", "queue"])),
                fewest=draw(st.integers(1, 2)),
                timer_ms=draw(st.sampled_from([0.0, 8.192])),
            ),
        ),
        "offers": offers,
        "cancels": tuple(draw(st.lists(cancels, max_size=2))),
        "bandwidth_hz": draw(st.sampled_from([20e6, 80e6])),
        "seed": draw(st.integers(0, 10**6)),
    }


def check_attempt(attempt: Attempt) -> None:
    """Check the counters of an attempt that has ended."""
    assert attempt.ended_ns >= 0
    assert attempt.access_ns >= 0
    assert attempt.failed_ns >= 0
    assert 0 <= attempt.acked_bits <= attempt.size_bits
    assert attempt.acked_bits == sum(int(bits.sum()) for _, bits in attempt.progress)
    assert attempt.delivered == (attempt.acked_bits == attempt.size_bits)
    assert attempt.failed <= attempt.sent
    assert attempt.ended_ns <= attempt.limit_ns
    assert attempt.airtime_s <= attempt.receiving_s + 1e-12 or attempt.receiving_s == 0.0


@settings(max_examples=60, deadline=None, derandomize=True)
@given(situations())
def test_bits_and_the_order_of_frames(case: dict[str, Any]) -> None:
    """Nothing is lost or made; no station sends twice at once; exchanges are SIFS apart."""
    options = {"fading": Rayleigh() if case["faded"] else NoFading()}
    options |= {name: case[name] for name in ("points", "bandwidth_hz", "seed")}
    world = cell(case["count"], case["radius_m"], case["phy"], **options)
    attempts, frames = drive(
        world, case["mac"], case["offers"], cancels=case["cancels"], seed=case["seed"]
    )
    for attempt in attempts:
        check_attempt(attempt)
    of_node: dict[int, list[Frame]] = defaultdict(list)
    for frame in frames:
        of_node[frame.source].append(frame)
    for sent in of_node.values():
        assert all(a.end_ns <= b.start_ns for a, b in pairwise(sent))
    access_points = range(case["count"], world.nodes)
    exchanges: dict[int, list[Frame]] = defaultdict(list)
    for frame in frames:
        if frame.exchange is not None:
            exchanges[id(frame.exchange)].append(frame)
            assert frame.end_ns <= frame.exchange.end_ns
    for found in exchanges.values():
        exchange = found[0].exchange
        assert exchange is not None
        assert exchange.source in access_points
        users = list(exchange.users.values())
        for place, user in enumerate(users):
            assert all(user.unit.covered(other.unit) == 0.0 for other in users[place + 1 :])
        groups = [list(found[:1])]
        for frame in found[1:]:
            if frame.start_ns == groups[-1][0].start_ns:
                groups[-1].append(frame)
            else:
                groups.append([frame])
        for before, after in pairwise(groups):
            assert {frame.start_ns for frame in after} == {before[0].end_ns + SIFS}
            assert len({frame.end_ns for frame in after}) == 1
        txop_ns = [each.txop_ns for each in case["mac"].functions]
        limit_ns = txop_ns[exchange.function % len(txop_ns)]
        if limit_ns:
            assert exchange.end_ns - found[0].start_ns <= limit_ns


@settings(max_examples=40, deadline=None, derandomize=True)
@given(situations())
def test_engines_agree_to_the_last_bit(case: dict[str, Any]) -> None:
    options = {"fading": Rayleigh() if case["faded"] else NoFading()}
    options |= {name: case[name] for name in ("points", "bandwidth_hz", "seed")}
    world = cell(case["count"], case["radius_m"], case["phy"], **options)
    found = [
        drive(
            world, case["mac"], case["offers"], cancels=case["cancels"], seed=case["seed"],
            engine=engine,
        )[0]
        for engine in (Packet, Windowed)
    ]  # fmt: skip
    first, second = ([dataclasses.astuple(each) for each in attempts] for attempts in found)
    assert repr(first) == repr(second)


@pytest.mark.parametrize(
    ("count", "most", "radius_m", "split"),
    [*product([4], [9], [3.0, 20.0], ["equal", "queue"]), (6, 2, 3.0, "equal")],
)
def test_engines_agree_in_full_cells(count: int, most: int, radius_m: float, split: Any) -> None:
    """Two access points, one of which some of the stations hardly hear, and full queues.

    In the last case each has more stations than units, which then take turns by their reports.
    """
    sizes = (800, 3 * PACKET_BITS, 90_000)
    offers = [
        Offer(number * 100_000 + node, *pair, sizes[(number + node) % 3], 200_000_000, 0, category)
        for number in range(12)
        for node in range(count)
        for pair in ((node, (count + node % 2,)), (count + node % 2, (node,)))
        for category in (("best-effort", "voice") if number % 4 == 0 else ("best-effort",))
    ]
    world = cell(count, radius_m, Wifi(standard="ax"), points=2, fading=Rayleigh())
    rules = MultiUser(
        split=split, fewest=1, most_stations=most, timer_ms=8.192 if split == "equal" else 1.0
    )
    mac = Csma(aggregation=Aggregation(), edca=Edca(), ofdma=rules)
    found = [drive(world, mac, offers, engine=engine) for engine in (Recorded, Windowed)]
    first, second = ([dataclasses.astuple(each) for each in attempts] for attempts, _ in found)
    assert repr(first) == repr(second)
    assert sum(len(each) > 2 for each in uplinks(found[0][1])) > 5


def test_messages_without_a_deadline_arrive() -> None:
    """Rayleigh fading, stations at the edge, both directions: nothing waits forever."""
    count = 6
    offers = [Offer(0, node, (count,), 300_000, NEVER) for node in range(count)]
    offers += [Offer(0, count, (node,), 300_000, NEVER) for node in range(count)]
    world = cell(count, 25.0, Wifi(standard="ax"), fading=Rayleigh())
    for split in ("equal", "queue"):
        attempts, _ = drive(world, csma(split=split), offers, until_ns=20 * 10**9, engine=Windowed)
        assert all(attempt.delivered for attempt in attempts)


# --- scenarios ------------------------------------------------------------------------------


SCENARIO = """
name: office
area_m: [20, 20]
devices: {count: 4, tx_power_dbm: 16, noise_figure_db: 7}
mobility: {model: static}
channel: {path_loss: {model: inh, variant: open}, fading: {model: none}}
radio: {frequency_hz: 5.2e9, phy: {model: wifi, standard: ax}}
mac: {model: csma, aggregation: {}, ofdma: {split: queue}}
base_stations: {height_m: 3, tx_power_dbm: 20}
traffic: {size_bytes: 20_000, neighbors: 2, rounds: 1}
background: [{rate_bps: 2.0e+5, size_bytes: 200}]
"""


def test_a_scenario_has_equal_tables_in_both_engines(tmp_path: Path) -> None:
    path = tmp_path / "office.yaml"
    path.write_text(SCENARIO)
    found = run(load(path), tmp_path / "windowed", figures=False)
    again = run(load(path, settings={"engine": "packet"}), tmp_path / "packet", figures=False)
    pd.testing.assert_frame_equal(found.transfers, again.transfers)
    assert found.transfers["delivered"].mean() > 0.9


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        (
            "base_stations:",
            "# ",
            "mac.ofdma is for access points and needs a section base_stations",
        ),
        ("standard: ax", "standard: ac", "mac ofdma must be used with wifi standard ax, got ac"),
        ("aggregation: {}, ", "", "ofdma needs aggregation, whose block acknowledgements it uses"),
        ("split: queue", "split: fair", "split"),
        ("split: queue", "fewest: 10", "most_stations must be at least fewest, 10, got 9"),
        ("split: queue", "timer_ms: -1", "timer_ms"),
    ],
)
def test_errors(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], before: str, after: str, message: str
) -> None:
    path = tmp_path / "office.yaml"
    path.write_text(SCENARIO.replace(before, after))
    assert main([str(path), "--check"]) == 2
    assert message in capsys.readouterr().err
