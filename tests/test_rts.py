"""Requests to send: exact timelines, the NAV, Bianchi's closed form, and hidden terminals."""

from __future__ import annotations

import dataclasses
import math

import pytest
from test_csma import (
    ACK,
    DATA,
    DIFS,
    ENGINE,
    PACKET_BITS,
    SIFS,
    SLOT,
    Offer,
    at,
    bianchi,
    circle,
    drive,
    make_world,
    packets,
)

from wnsim.mac import Csma
from wnsim.mac.csma import Aggregation
from wnsim.phy import Wifi

# 20 and 14 bytes at 24 Mbit/s: 16 + 6 more bits, 96 in a symbol of 4 us.
RTS, CTS = 28_000, 28_000
REQUEST = RTS + SIFS + CTS + SIFS
TIMEOUT = SIFS + SLOT + 20_000
ALWAYS = Csma(rts_threshold_bytes=0)


@ENGINE
@pytest.mark.parametrize(("threshold", "announced"), [(1463, True), (1464, False)])
def test_longer_frames_are_announced(engine: str, threshold: int, announced: bool) -> None:
    world = make_world(at((0, 0), (5, 0)), Wifi(rate_mbps=24.0))
    mac = Csma(rts_threshold_bytes=threshold)
    (attempt,), _ = drive(world, mac, [Offer(1_000_000, 0, (1,), PACKET_BITS)], engine=engine)
    assert attempt.delivered
    assert (attempt.sent, attempt.failed, attempt.failed_ns, attempt.access_ns) == (1, 0, 0, 0)
    assert attempt.ended_ns == 1_000_000 + REQUEST * announced + DATA + SIFS + ACK
    assert attempt.airtime_s == pytest.approx((RTS * announced + DATA) * 1e-9)
    assert attempt.ack_s == pytest.approx((CTS * announced + ACK) * 1e-9)


@ENGINE
def test_requests_without_an_answer(engine: str) -> None:
    # Out of range: seven requests, and no packet is ever sent.
    world = make_world(at((0, 0), (400, 0)), Wifi(rate_mbps=24.0))
    mac = Csma(rts_threshold_bytes=0, arq=False)
    (attempt,), _ = drive(world, mac, [Offer(1_000_000, 0, (1,), PACKET_BITS)], engine=engine)
    assert (attempt.delivered, attempt.reason) == (False, "retry-limit")
    assert (attempt.sent, attempt.failed) == (0, 0)
    assert attempt.failed_ns == 7 * (RTS + TIMEOUT)
    assert attempt.airtime_s == pytest.approx(7 * RTS * 1e-9)
    assert attempt.ended_ns == 1_000_000 + attempt.failed_ns + attempt.access_ns
    assert (attempt.access_ns - 6 * DIFS) % SLOT == 0
    # Of a multicast nothing is announced.
    world = make_world(at((0, 0), (5, 0), (0, 5)), Wifi(rate_mbps=24.0))
    both, _ = drive(world, ALWAYS, [Offer(1_000_000, 0, (1, 2), PACKET_BITS)], engine=engine)
    assert [each.ended_ns for each in both] == [1_000_000 + DATA] * 2


@ENGINE
def test_a_limit_during_the_request_keeps_the_packet(engine: str) -> None:
    world = make_world(at((0, 0), (5, 0)), Wifi(rate_mbps=24.0))
    offers = [
        Offer(10**6, 0, (1,), PACKET_BITS, limit_ns=10**6 + RTS + SIFS + CTS + 1),
        Offer(10**6, 0, (1,), PACKET_BITS),
    ]
    late, other = drive(world, ALWAYS, offers, engine=engine)[0]
    assert (late.sent, late.failed, late.reason) == (0, 0, "deadline")
    assert late.failed_ns == late.ended_ns - 10**6 == RTS + SIFS + CTS + 1
    assert other.delivered
    # It starts over with a backoff after the instant at which the packet would have begun.
    assert (other.ended_ns - 10**6 - REQUEST - DIFS - REQUEST - DATA - SIFS - ACK) % SLOT == 0


@ENGINE
def test_stations_that_hear_the_receiver_are_silent(engine: str) -> None:
    """Law: a clear to send silences hidden stations until the acknowledgement has ended.

    A request that is not answered silences those who hear it until a frame would have begun, and
    two slots.
    """
    # 0 and 2 do not hear each other; 1 is between them.
    world = make_world(at((0, 0), (60, 0), (120, 0)), Wifi(rate_mbps=6.0))
    mac = Csma(rts_threshold_bytes=100, detection_dbm=-88.0)
    frame = 20_000 + 4_000 * math.ceil((22 + PACKET_BITS + 8 * 36) / 24)
    rts, cts = (20_000 + 4_000 * math.ceil((22 + 8 * size) / 24) for size in (20, 14))
    ends_ns = 10**6 + rts + SIFS + cts + SIFS + frame + SIFS + cts
    offers = [Offer(10**6, 0, (1,), PACKET_BITS), Offer(1_300_000, 2, (1,), 80)]
    first, second = drive(world, mac, offers, engine=engine)[0]
    assert first.ended_ns == ends_ns
    assert (first.failed, second.failed) == (0, 0)
    short = 20_000 + 4_000 * math.ceil((22 + 80 + 8 * 36) / 24) + SIFS + cts
    slots, rest = divmod(second.ended_ns - ends_ns - DIFS - short, SLOT)
    assert rest == 0
    assert 0 <= slots <= 15
    # 1 asks a receiver that is out of range; 0 hears the request only.
    world = make_world(at((0, 0), (60, 0), (5000, 0)), Wifi(rate_mbps=6.0))
    offers = [Offer(10**6, 1, (2,), PACKET_BITS, 10**6 + rts + 1), Offer(1_090_000, 0, (1,), 80)]
    _, second = drive(world, mac, offers, engine=engine)[0]
    free_ns = 10**6 + rts + SIFS + cts + SIFS + 2 * SLOT + 20_000
    slots, rest = divmod(second.ended_ns - free_ns - DIFS - short, SLOT)
    assert (second.failed, rest) == (0, 0)
    assert 0 <= slots <= 15


@ENGINE
def test_requests_are_not_answered_during_a_nav(engine: str) -> None:
    # Each hears its neighbors only: 2 hears the clear to send of 1, 3 hears nothing of it.
    world = make_world(at((0, 0), (60, 0), (120, 0), (180, 0)), Wifi(rate_mbps=6.0))
    mac = Csma(rts_threshold_bytes=100, detection_dbm=-88.0)
    frame = 20_000 + 4_000 * math.ceil((22 + PACKET_BITS + 8 * 36) / 24)
    rts, cts = (20_000 + 4_000 * math.ceil((22 + 8 * size) / 24) for size in (20, 14))
    exchange_ns = rts + SIFS + cts + SIFS + frame + SIFS + cts
    offers = [Offer(10**6, 0, (1,), PACKET_BITS), Offer(1_300_000, 3, (2,), PACKET_BITS)]
    first, second = drive(world, mac, offers, engine=engine)[0]
    assert first.ended_ns == 10**6 + exchange_ns
    assert (first.failed, second.failed, second.sent) == (0, 0, 1)
    requests, rest = divmod(second.failed_ns, rts + TIMEOUT)
    assert rest == 0
    assert requests >= 1
    # The request that is answered ends after the NAV.
    assert second.ended_ns - exchange_ns + rts > first.ended_ns


@pytest.mark.parametrize("count", [5, 10, 20])
def test_saturation_equals_bianchi(count: int) -> None:
    """Law: with requests a collision costs a request instead of a frame."""
    world = make_world(circle(count, 0.4), Wifi(rate_mbps=24.0))
    offers = [Offer(0, node, ((node + 1) % count,), 10**9) for node in range(count)]
    mac = Csma(retry_limit=1000, rts_threshold_bytes=0)
    attempts, _ = drive(world, mac, offers, until_ns=15 * 10**8)
    success = (REQUEST + DATA + SIFS + ACK + DIFS) * 1e-9
    expected = bianchi(count, success, (RTS + DIFS) * 1e-9)
    # The closed form takes attempts in different slots to be independent: good to 2 or 3 %.
    assert packets(attempts) / 1.5 == pytest.approx(expected, rel=0.03)


@ENGINE
@pytest.mark.parametrize("aggregation", [None, Aggregation(packets=8)])
def test_hidden_terminals_lose_requests_only(engine: str, aggregation: Aggregation | None) -> None:
    """Law: of stations that do not hear each other no packet is lost, whenever they begin.

    The exception is a request that begins between the end of another one and the detection of the
    clear to send: its sender does not hear the latter.
    """
    world = make_world(at((0, 0), (60, 0), (120, 0)), Wifi(standard="n", mcs=1))
    plain = Csma(detection_dbm=-88.0, aggregation=aggregation, arq=False, retry_limit=1)
    mac = dataclasses.replace(plain, rts_threshold_bytes=0)
    # 20 bytes at 12 Mbit/s; without its last symbols a request may survive.
    rts = 20_000 + 4_000 * math.ceil((22 + 8 * 20) / 48)
    seen = set()
    for delay_ns in range(0, 200_000, 5_000):
        if rts - 8_000 <= delay_ns < rts + SIFS + 4_000:
            continue
        offers = [Offer(10**6 + delay_ns * part, 2 * part, (1,), PACKET_BITS) for part in (0, 1)]
        attempts, _ = drive(world, mac, offers, engine=engine)
        assert [each.failed for each in attempts] == [0, 0]
        seen.add(tuple(each.delivered for each in attempts))
    # Two requests that overlap are both lost, or the later one; of later ones none is.
    assert {(False, False), (True, True)} <= seen
    attempts, _ = drive(world, plain, offers, engine=engine)
    assert [each.failed for each in attempts] == [1, 1]
