"""Aggregation of packets: closed forms, exact timelines, and selective retransmission."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from test_csma import DIFS, ENGINE, PACKET_BITS, SIFS, SLOT, Offer, at, drive, make_world

from wnsim.air import Attempt, Setup, Transmission
from wnsim.air.csma.aggregate import Aggregator, Mpdu
from wnsim.air.csma.aggregated_service import AggregatedService
from wnsim.air.csma.frame import Frame
from wnsim.air.csma.radio import Radio
from wnsim.channel import LogDistance
from wnsim.core.clock import Clock
from wnsim.mac import Csma
from wnsim.mac.csma import Aggregation
from wnsim.phy import Wifi
from wnsim.phy.wifi_formats import schemes

# Delimiter, headers and packet: 1468 bytes, a whole number of words.
SUBFRAME_BITS = 8 * 1468
# Block acknowledgements of 32 and 56 bytes at 24 Mbit/s: 16 + 6 more bits, 96 in a symbol.
BLOCK_ACK, LONG_BLOCK_ACK = 32_000, 40_000


@dataclasses.dataclass(frozen=True)
class Format:
    """Data bits and duration of a symbol, preamble, and largest frame, by the standard."""

    phy: Wifi
    symbol_bits: int
    symbol_ns: int
    preamble_ns: int
    most_bytes: int

    def frame_ns(self, count: int) -> int:
        symbols = math.ceil((16 + 6 + count * SUBFRAME_BITS) / self.symbol_bits)
        return self.preamble_ns + symbols * self.symbol_ns

    def most(self, packets: int, duration_us: float) -> int:
        fits = (
            count
            for count in range(1, packets + 1)
            if self.frame_ns(count) <= 1e3 * duration_us
            and count * SUBFRAME_BITS <= 8 * self.most_bytes
        )
        return max(fits, default=1)


HT = Format(Wifi(standard="n", mcs=7), 260, 4_000, 36_000, 65_535)
VHT = Format(Wifi(standard="ac", mcs=4), 156, 4_000, 40_000, 1_048_575)
HE = Format(Wifi(standard="ax", mcs=4), 702, 13_600, 43_200, 6_500_631)


def arrivals(attempt: Attempt) -> tuple[np.ndarray, np.ndarray]:
    return tuple(np.concatenate(part) for part in zip(*attempt.progress, strict=True))


# The length limit of HT, the duration limit of VHT, and the number of packets with HE; a packet
# that lasts longer than the limit; and the long acknowledgement.
@pytest.mark.parametrize(
    ("kind", "packets", "duration_us", "answer_ns"),
    [
        (HT, 64, 5484.0, BLOCK_ACK),
        (VHT, 64, 2000.0, BLOCK_ACK),
        (HE, 20, 5484.0, BLOCK_ACK),
        (HE, 64, 50.0, BLOCK_ACK),
        (HE, 128, 5484.0, LONG_BLOCK_ACK),
    ],
)
def test_saturated_link_has_the_closed_form_efficiency(
    kind: Format, packets: int, duration_us: float, answer_ns: int
) -> None:
    """Law: n packets in DIFS, 7.5 slots on average, frame, SIFS and block acknowledgement."""
    world = make_world(at((0, 0), (5, 0)), kind.phy)
    mac = Csma(aggregation=Aggregation(packets=packets, duration_us=duration_us))
    count = kind.most(packets, duration_us)
    offers = [Offer(0, 0, (1,), 1500 * count * PACKET_BITS)]
    (attempt,), _ = drive(world, mac, offers)
    at_ns, bits = arrivals(attempt)
    assert bits.tolist() == [count * PACKET_BITS] * 1500
    exchange_ns = kind.frame_ns(count) + SIFS + answer_ns
    slots, rest = np.divmod(np.diff(at_ns) - DIFS - exchange_ns, SLOT)
    assert not rest.any()
    assert set(slots.tolist()) == set(range(16))
    period_ns = exchange_ns + DIFS + 7.5 * SLOT
    # 1500 backoffs of standard deviation 4.6 slots: 1.1 us, four times which is less than 1 %
    # of every period.
    assert attempt.ended_ns / 1500 == pytest.approx(period_ns, rel=0.01)
    assert (attempt.sent, attempt.failed, attempt.repeated) == (1500 * count, 0, 0)
    assert attempt.airtime_s == pytest.approx(1500 * kind.frame_ns(count) * 1e-9)
    assert attempt.ack_s == pytest.approx(1500 * answer_ns * 1e-9)
    snr_db = 16.0206 - 46.6777 - 30 * math.log10(5) + 93.9655
    assert 10 * math.log10(attempt.snr_sum / attempt.sent) == pytest.approx(snr_db, abs=0.05)


@ENGINE
def test_one_packet_is_a_frame_with_a_delimiter_and_a_longer_answer(engine: str) -> None:
    world = make_world(at((0, 0), (5, 0)), HE.phy)
    offers = [Offer(0, 0, (1,), 50 * PACKET_BITS)]
    gaps_ns = []
    for aggregation, header in ((Aggregation(packets=1), 36), (None, 40)):
        mac = Csma(aggregation=aggregation, header_bytes=header)
        (attempt,), _ = drive(world, mac, offers, engine=engine)
        at_ns, _ = arrivals(attempt)
        gaps_ns.append(np.diff([0, *at_ns]))
    assert set((gaps_ns[0] - gaps_ns[1]).tolist()) == {BLOCK_ACK - 28_000}


def lossy(share: float) -> tuple[float, float]:
    """Return the distance at which a share of packets is lost, and the exact share there."""
    (scheme,) = [each for each in schemes("ax") if each.mcs == 4]
    snr_db = 10 * math.log10(scheme.threshold(SUBFRAME_BITS, share))
    distance_m = 10 ** ((16.0206 + 93.9655 - snr_db - 46.6777) / 30)
    loss_db = LogDistance().loss_db(np.array(distance_m), 1.5, 1.5, 5.15e9, True)
    noise_dbm = -173.975 + 10 * math.log10(20e6) + 7.0
    snr = 10 ** ((16.0206 - float(loss_db) - noise_dbm) / 10)
    return distance_m, float(scheme.error(np.array(snr), SUBFRAME_BITS))


def test_packets_are_sent_until_received() -> None:
    """Law: with a loss probability p a packet is sent 1 / (1 - p) times on average."""
    distance_m, share = lossy(0.3)
    assert share == pytest.approx(0.3, abs=0.02)
    world = make_world(at((0, 0), (distance_m, 0)), HE.phy)
    mac = Csma(aggregation=Aggregation(packets=20), retry_limit=1000)
    count = 10_000
    (attempt,), _ = drive(world, mac, [Offer(0, 0, (1,), count * PACKET_BITS)])
    # Geometric numbers: a standard deviation of sqrt(p) / (1 - p); five of the mean, and the
    # table of loss rates is accurate to 1 %.
    tolerance = 5 * math.sqrt(share / count) / (1 - share) + 0.01 * share / (1 - share) ** 2
    assert attempt.sent / count == pytest.approx(1 / (1 - share), abs=tolerance)
    assert attempt.sent - attempt.failed == count
    at_ns, bits = arrivals(attempt)
    assert bits.sum() == attempt.acked_bits == attempt.size_bits
    # The window does not grow: at most 15 slots between exchanges.
    assert np.diff(at_ns).max() <= DIFS + 15 * SLOT + HE.frame_ns(20) + SIFS + BLOCK_ACK
    # Exchanges are charged to received and lost packets by their numbers.
    exchanges_ns = attempt.ended_ns - attempt.access_ns
    assert attempt.failed_ns / exchanges_ns == pytest.approx(share, rel=0.05)
    # Without automatic repetition the first loss drops a packet, and the message is incomplete.
    mac = dataclasses.replace(mac, arq=False, retry_limit=1)
    (attempt,), _ = drive(world, mac, [Offer(0, 0, (1,), count * PACKET_BITS)])
    assert (attempt.sent, attempt.reason) == (count, "retry-limit")
    assert attempt.acked_bits == (count - attempt.failed) * PACKET_BITS
    tolerance = 5 * math.sqrt(share * (1 - share) / count) + 0.01 * share
    assert attempt.failed / count == pytest.approx(share, abs=tolerance)


@ENGINE
def test_a_short_interfering_frame_destroys_the_packets_that_it_meets(engine: str) -> None:
    # 0 and 2 do not hear each other; 1 is between them, and 3 close to 2.
    kind = Format(Wifi(standard="n", mcs=0), 26, 4_000, 36_000, 65_535)
    world = make_world(at((0, 0), (60, 0), (95, 0), (96, 0)), kind.phy)
    mac = Csma(
        aggregation=Aggregation(packets=12, duration_us=1e5),
        detection_dbm=-85.0, energy_dbm=-60.0,
    )  # fmt: skip
    offers = [Offer(0, 0, (1,), 12 * PACKET_BITS), Offer(7_100_000, 2, (3,), 800)]
    (first, other), _ = drive(world, mac, offers, engine=engine)
    assert other.delivered
    assert other.failed == 0
    # The short frame has a subframe of 140 bytes, on the air from 7.1 ms on.
    begin_ns = 7_100_000
    end_ns = begin_ns + 36_000 + 4_000 * math.ceil((22 + 8 * 140) / 26)
    edges = 36_000 + (kind.frame_ns(12) - 36_000) * np.arange(13) / 12
    met = int(np.sum((edges[:-1] < end_ns) & (edges[1:] > begin_ns)))
    assert met == 2
    assert (first.sent, first.failed, first.repeated) == (12 + met, met, met)
    _, bits = arrivals(first)
    assert bits.tolist() == [(12 - met) * PACKET_BITS, met * PACKET_BITS]


def test_packet_errors_equal_the_sum_over_nanoseconds() -> None:
    """Law: a packet survives with exp(-hazard x bits), summed over its own time alone."""
    world = make_world(at((0, 0), (5, 0), (9, 0), (9, 9)), HE.phy)
    mac = Csma(aggregation=Aggregation())
    modem = world.phy.modem(20e6, 1, 1_000_000)
    radio = Radio(Setup(Clock(), world, mac, modem, 1, 0, "none", 1, True, PACKET_BITS))
    (scheme,) = [each for each in schemes("ax") if each.mcs == 4]
    packets = [Mpdu(place, bits) for place, bits in enumerate((8 * 1001, 8 * 500, 8 * 1428, 80))]
    aggregate = radio.aggregator.build(packets, scheme)
    # Delimiters, headers, and padding of all but the last one.
    assert aggregate.edges_bits == [0, 8 * 1044, 8 * 1584, 8 * 3052, 8 * 3102]
    end_ns = scheme.duration_ns(aggregate.bits)
    everywhere = dict.fromkeys(range(4), 1.0)
    frame = Frame(
        0, (1,), 0, 0, end_ns, scheme, aggregate.bits, everywhere, aggregate=aggregate
    )  # fmt: skip
    noise, snr = radio.noise_w[1], scheme.threshold(8 * 1044, 0.2)
    gains = {0: snr * noise / radio.tx_w[0]}
    # From before the data to the middle of the first packet; and from there into the second one.
    spans_ns = {2: (10_000, 100_000), 3: (150_000, 200_000)}
    power = {2: 0.05 * noise, 3: 0.2 * noise}
    for node, (first, last) in spans_ns.items():
        gains[node] = power[node] / radio.tx_w[node]
        frame.overlapping.append(
            Frame(node, (1,), 0, first, last, scheme, 1, everywhere)
        )  # fmt: skip
    found = radio.packet_errors(1, frame, aggregate, lambda source, _target, _at: gains[source])
    now_ns = np.arange(end_ns)
    other = sum(power[n] * ((now_ns >= a) & (now_ns < b)) for n, (a, b) in spans_ns.items())
    level, place = np.unique(snr * noise / (noise + other), return_inverse=True)
    hazard = -np.log1p(-scheme.bit_error(level))[place]
    data_ns = end_ns - scheme.preamble_ns
    begins = scheme.preamble_ns + data_ns * np.array(aggregate.edges_bits) // aggregate.bits
    for error, first, last in zip(found, begins, begins[1:], strict=False):
        bits_per_ns = aggregate.bits / data_ns
        expected = 1 - np.exp(-np.sum(hazard[first:last]) * bits_per_ns)
        # The table of loss rates is accurate to 1 %.
        assert error == pytest.approx(expected, rel=0.012)


def test_window_of_packets_under_way() -> None:
    """Law: at most 64 packets are under way from the first missing one on, 256 after more."""
    (scheme,) = [each for each in schemes("ax") if each.mcs == 11]
    for packets, window in ((64, 64), (65, 256)):
        aggregator = Aggregator(Aggregation(packets=packets), "ax", 36)
        attempt = Attempt(0, 0, 1, 1000 * 8_000, 10**9, "deadline")
        service = AggregatedService(
            Transmission((attempt,)), 8_000, Csma(), False, aggregator
        )  # fmt: skip
        highest = 0
        for turn in range(10):
            aggregate = service.aggregate(scheme)
            service.on_sent(turn, 10)
            places = [packet.place for packet in aggregate.packets]
            assert places[0] == 0
            assert len(places) <= packets
            highest = max(highest, *places)
            aggregate.arrived = [place > 0 for place in places]
            service.on_reached((attempt,), 1)
            service.on_ack((attempt,), 0, turn + 10)
        assert highest == window - 1
        assert service.acked_bits(attempt, 100) == highest * 8_000


def test_errors() -> None:
    world = make_world(at((0, 0), (5, 0)), Wifi())
    with pytest.raises(ValueError, match="aggregation must be used with wifi standard n, ac or ax"):
        drive(world, Csma(aggregation=Aggregation()), [])
