"""Kernel of the windowed CSMA engine: parts against plain Python, rows and tables in long runs."""

from __future__ import annotations

import dataclasses
import math

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_csma import PACKET_BITS, Offer, at, circle, drive, make_world

from wnsim.air import ENGINES, Attempt, Setup, Transmission
from wnsim.channel import Channel, NoFading, Rayleigh
from wnsim.core import streams
from wnsim.core.clock import Clock
from wnsim.kernels import compiling, csma
from wnsim.kernels.csma_records import FRAME, HASHED
from wnsim.mac import Csma
from wnsim.mac.csma import Aggregation
from wnsim.mac.edca import Edca
from wnsim.mobility import RandomWaypoint
from wnsim.phy import Wifi
from wnsim.phy.wifi_units import SUBCARRIERS, units, whole


@numba.njit
def total(terms: np.ndarray, partials: np.ndarray) -> float:
    return csma._exact_sum(terms, terms.size, partials)


POSITIVE = st.floats(1e-30, 1e30) | st.sampled_from([1.0, 2.0**-53, 2.0**-54, 2.0**53])


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.lists(POSITIVE, max_size=8))
def test_sums_are_correctly_rounded(terms: list[float]) -> None:
    assert total(np.array(terms, dtype=np.float64), np.empty(8)) == math.fsum(terms)


def test_a_half_is_rounded_by_all_partial_sums() -> None:
    terms = [1.0, 2.0**-53, 2.0**-106]
    assert sum(terms) == 1.0
    assert total(np.array(terms), np.empty(3)) == math.fsum(terms) == 1.0 + 2.0**-52


@settings(max_examples=50, deadline=None, derandomize=True)
@given(st.sets(st.integers(0, 2**31), min_size=1, max_size=32))
def test_a_hash_table_finds_what_was_entered(keys: set[int]) -> None:
    table = np.zeros(64, dtype=HASHED)
    table["key"] = -1
    new = np.array(list(keys))
    csma.enter(table, new, 7)
    for row, key in enumerate(new.tolist(), 7):
        assert table[csma.find(table, key)]["row"] == row
    assert table[csma.find(table, 2**31 + 1)]["key"] == -1


def engine(count: int, mac: Csma, phy: Wifi) -> tuple[Clock, object, list[Attempt]]:
    """Return a clock, an engine of stations on a circle, and where ended attempts are put."""
    world, env, ended = make_world(circle(count, 3.0), phy), Clock(), []
    modem = world.phy.modem(world.bandwidth_hz, 1, 1_000_000)
    key = streams.key(1, "errors")
    setup = Setup(env, world, mac, modem, 1, 0, "none", key, False, PACKET_BITS)
    return env, ENGINES["csma"]["windowed"](setup, ended.append), ended


@pytest.mark.parametrize("aggregated", [False, True])
def test_rows_are_used_again(aggregated: bool) -> None:
    phy = Wifi(standard="n") if aggregated else Wifi(rate_mbps=24.0)
    mac = Csma(aggregation=Aggregation() if aggregated else None)
    env, air, ended = engine(4, mac, phy)
    for number in range(400):
        pair = number % 4, (number + 1) % 4
        attempt = Attempt(number, *pair, 3 * PACKET_BITS, 10**15, "deadline")
        env.at(5_000_000 * number, lambda each=attempt: air.push(Transmission((each,))))
    env.run()
    assert len(ended) == 400
    assert all(attempt.delivered for attempt in ended)
    state = air._state.arrays
    rows = [each.shape[0] for each in (state.services, state.attempts, state.boards, state.frames)]
    assert max(rows) <= 64


@pytest.mark.parametrize("faded", [False, True])
def test_engines_agree_while_mean_gains_change(faded: bool) -> None:
    """Hidden and audible stations that drive past each other, over several intervals."""
    motion = RandomWaypoint(speed_mps=(20.0, 30.0)).motion(6, (250.0, 250.0), 3)
    fading = Rayleigh() if faded else NoFading()
    world = make_world(motion, Wifi(standard="n", mcs=0), fading=fading)
    offers = [
        Offer(node * 1_000_000, node, ((node + step) % 6,), 40 * PACKET_BITS, 10**9)
        for node in range(6)
        for step in (1, 2)
    ]
    mac = Csma(aggregation=Aggregation(packets=3), rts_threshold_bytes=2000, retry_limit=4)
    found = [drive(world, mac, offers, engine=engine) for engine in ("windowed", "packet")]
    assert max(attempt.ended_ns for attempt in found[0][0]) > 6 * 10**8
    first, second = ([dataclasses.astuple(each) for each in attempts] for attempts, _ in found)
    assert repr(first) == repr(second)


def test_the_rate_of_multicast_follows_the_receivers_that_lack_packets() -> None:
    """Within a transmission opportunity: the nearest one sent when the others received."""
    places_m = at((66.7, 41.6), (88.2, 53.4), (63.8, 63.3), (51.4, 30.0))
    world = make_world(places_m, Wifi(standard="n"))
    offers = [Offer(0, 1, (0, 2, 3), 1, 3_000_000), Offer(0, 0, (1,), 1505, 3_000_000)]
    mac = Csma(edca=Edca(category="voice"))
    found = [drive(world, mac, offers, engine=engine)[0] for engine in ("windowed", "packet")]
    nearest, *others, _ = found[0]
    assert [attempt.sent for attempt in (nearest, *others)] == [3, 2, 2]
    assert nearest.airtime_s < 3 / 2 * others[0].airtime_s
    assert repr(found[0]) == repr(found[1])


def test_a_message_cancelled_between_request_and_packet_counts_nothing_more() -> None:
    world = make_world(at((0, 0), (2, 0)), Wifi(rate_mbps=24.0))
    offers = [Offer(0, 0, (1, 1), PACKET_BITS)]
    for engine in ("windowed", "packet"):
        (first, second), _ = drive(
            world, Csma(rts_threshold_bytes=0), offers, engine=engine, cancels=((1_000, 0),)
        )
        assert (first.sent, first.snr_sum, first.delivered) == (0, 0.0, False)
        assert second.delivered
        assert second.snr_sum > 0.0


def gains(channel: Channel, sample: int) -> np.ndarray:
    source, target = np.triu_indices(5, 1)
    return channel.gain_blocks(source, target, sample, 1, 1_000_000)


def test_a_constant_channel_has_the_same_gains_at_all_instants() -> None:
    channel = make_world(circle(5, 20.0), Wifi()).channel
    assert channel.constant
    for sample in (0, 1, 77, 10**6):
        assert np.array_equal(gains(channel, sample), gains(channel, 0))


def test_a_channel_that_fades_or_moves_is_not_constant() -> None:
    assert not make_world(circle(5, 20.0), Wifi(), fading=Rayleigh()).channel.constant
    motion = RandomWaypoint(speed_mps=(1.0, 2.0)).motion(5, (50.0, 50.0), 1)
    assert not make_world(motion, Wifi()).channel.constant


def test_without_the_switch_of_numba_references_are_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(compiling, "DefaultOptions", object)

    @compiling.uncounted
    def twice(values: np.ndarray) -> float:
        return 2.0 * values[0]

    assert twice(np.array([3.0])) == 6.0


def test_frames_to_a_receiver_out_of_range_are_lost() -> None:
    world = make_world(at((0.0, 0.0), (1e4, 0.0)), Wifi(rate_mbps=24.0))
    (attempt,), _ = drive(world, Csma(arq=False, retry_limit=2), [Offer(0, 0, (1,), PACKET_BITS)])
    assert (attempt.sent, attempt.failed, attempt.delivered) == (2, 2, False)


def test_basic_multicast_on_a_channel_whose_rates_are_all_higher() -> None:
    """The slowest rate of 802.11ax at 80 MHz is 36 Mbit/s; multicast is sent at 6."""
    world = dataclasses.replace(
        make_world(at((0, 0), (5, 0), (0, 5)), Wifi(standard="ax")), bandwidth_hz=80e6
    )
    mac, offers = Csma(basic_multicast=True), [Offer(0, 0, (1, 2), PACKET_BITS)]
    found = [drive(world, mac, offers, engine=engine)[0] for engine in ("windowed", "packet")]
    assert all(attempt.delivered for attempt in found[0])
    assert found[0][0].airtime_s > PACKET_BITS / 6e6
    assert repr(found[0]) == repr(found[1])


@numba.njit
def covered(frames: np.ndarray) -> float:
    return csma._covered_share(frames[0], frames[1])


def test_shares_of_units_are_those_of_plain_python() -> None:
    every = [unit for tones in SUBCARRIERS if tones <= 996 for unit in units(80, tones)]
    assert len(every) == 37 + 16 + 8 + 4 + 2 + 1
    for one in every:
        for other in every:
            frames = np.zeros(2, dtype=FRAME)
            for row, unit in zip(frames, (one, other), strict=True):
                row["first"], row["places"], row["tones"] = unit.first, unit.places, unit.tones
                row["band"] = unit.tones / whole(80).tones
            assert covered(frames) == one.covered(other)
            frames[1]["tones"] = 0
            assert covered(frames) == frames[0]["band"]
            frames[0]["tones"] = 0
            assert covered(frames) == 1.0
