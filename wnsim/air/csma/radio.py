"""Radio model shared by the CSMA engines: detection, capture, rates and error probabilities.

Mean gains are evaluated at fixed instants, a few meters of motion apart, and only between nodes in
range; a frame received with less than a tenth of the noise power is ignored. The signal power of a
frame at its receiver follows from the gain, averaged over the subbands, in the channel sample in
which the frame begins; the same holds for the interference during it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from itertools import pairwise
from operator import mul
from typing import TYPE_CHECKING

import numpy as np

from wnsim.air.csma.aggregate import Aggregator
from wnsim.air.csma.rate_choice import rate_choice
from wnsim.core import streams
from wnsim.core.units import NS_PER_S, db_to_linear, dbm_to_w, linear_to_db, thermal_noise_w
from wnsim.mac.csma import Csma, require_match
from wnsim.phy.wifi import Wifi
from wnsim.phy.wifi_formats import RAREST, Scheme

if TYPE_CHECKING:
    from scipy.spatial import cKDTree

    from wnsim.air.csma.aggregate import Aggregate
    from wnsim.air.csma.frame import Frame
    from wnsim.air.setup import Setup

# Frames with a lower ratio of power to noise are ignored [dB].
_FLOOR_DB = -10.0
# Largest relative motion of two devices between two evaluations of mean gains [m].
_MOVE_M = 5.0
_SHORTEST_S, _LONGEST_S = 0.25, 10.0
_CAPTURE_NS = 16_000

# Gain of a pair at an instant, and the uniform draw of a receiver for a frame of a source.
Gain = Callable[[int, int, int], float]
Draw = Callable[[int, int, int], float]


def added(terms: Iterable[float]) -> float:
    """Return the sum of terms, rounded after each; `sum` compensates in some versions of Python."""
    total = 0.0
    for term in terms:
        total += term
    return total


def covered_share(frame: Frame, other: Frame) -> float:
    """Return the share of another frame's power that falls into the band of a frame."""
    if frame.unit is None:
        return 1.0
    return frame.band if other.unit is None else frame.unit.covered(other.unit)


class Radio:
    """Powers, rates and error probabilities.

    Parameters
    ----------
    setup : what the engine is built from

    Attributes
    ----------
    mac, phy : parameters of the medium access, and schemes
    noise_w, tx_w : noise and transmit power of each node [W]
    detection_w, detection : power [W] and SINR from which preambles are detected
    energy_w : energy detection threshold [W]
    capture, capture_ns : ratio of powers from which a receiver changes to another frame, and time
        after the beginning of the first one in which it may [ns]
    interval_ns : time for which mean gains are constant [ns]
    unprotected_bits : length above which frames are announced; none: none are [bit]
    backoff_key : key of the backoff draws
    aggregator : limits of aggregates, if there are any
    rates : choice of the rates of frames to one receiver; none: by the mean SNR

    Raises
    ------
    ValueError
        if the medium access is not `csma` or the radio not `wifi`
    """

    def __init__(self, setup: Setup) -> None:
        world = setup.world
        require_match(setup.mac, world.phy)
        if not isinstance(setup.mac, Csma) or not isinstance(world.phy, Wifi):
            raise TypeError("csma must come with its own parameters")
        self.mac, self.phy = setup.mac, world.phy.rates(world.bandwidth_hz)
        self._world = world
        self._sample_ns = setup.sample_ns
        self._bandwidth_hz = world.bandwidth_hz
        self.noise_w: list[float] = thermal_noise_w(
            world.bandwidth_hz, world.noise_figure_db
        ).tolist()
        self.tx_w: list[float] = world.tx_power_w.tolist()
        self.backoff_key = streams.key(setup.error_key, "backoff")
        self.aggregator: Aggregator | None = None
        if self.mac.aggregation is not None:
            self.aggregator = Aggregator(
                self.mac.aggregation, world.phy.standard, self.mac.header_bytes
            )
        threshold = self.mac.rts_threshold_bytes
        self.unprotected_bits = None if threshold is None else 8 * threshold
        self._packet_bits = self.air_bits(setup.packet_bits)
        self.rates = rate_choice(
            self.mac.rate_control, self.phy, setup.packet_bits, self._packet_bits, self.aggregator,
            streams.key(setup.error_key, "rate control"),
        )  # fmt: skip
        self.detection_w = float(dbm_to_w(self.mac.detection_dbm))
        self.detection = float(db_to_linear(self.mac.detection_snr_db))
        self.energy_w = float(dbm_to_w(self.mac.energy_dbm))
        self.capture_ns = _CAPTURE_NS
        capture_db = self.mac.capture_db
        self.capture = math.inf if capture_db is None else float(db_to_linear(capture_db))
        speed_mps = world.motion.max_speed_mps
        interval_s = _LONGEST_S if speed_mps <= 0 else _MOVE_M / (2.0 * speed_mps)
        self.interval_ns = round(min(max(interval_s, _SHORTEST_S), _LONGEST_S) * NS_PER_S)
        budget_db = linear_to_db(world.tx_power_w).max() - linear_to_db(self.noise_w).min()
        self._range_m = world.channel.max_range_m(float(budget_db) - _FLOOR_DB)
        self._interval = -1
        self._tree: cKDTree | None = None
        self._received: dict[int, dict[int, float]] = {}
        self._schemes: dict[tuple[int, tuple[int, ...], float], Scheme] = {}
        self._fixed = self.phy.fixed

    # Mean gains.

    def gain_interval(self, now_ns: int) -> int:
        """Return the number of the interval in which the mean gains of an instant are constant."""
        number = now_ns // self.interval_ns
        if number != self._interval:
            from scipy.spatial import cKDTree

            self._interval = number
            at_s = np.array([number * self.interval_ns / NS_PER_S])
            positions_m = self._world.position_m(np.arange(self._world.nodes), at_s)[:, 0]
            self._tree = cKDTree(positions_m)
            self._received, self._schemes = {}, {}
        return number

    def received_w(self, source: int, now_ns: int) -> dict[int, float]:
        """Return the mean received power of a node's frames at each node in range [W]."""
        gain_interval = self.gain_interval(now_ns)
        if source not in self._received and self._tree is not None:
            near = self._tree.query_ball_point(
                self._tree.data[source], self._range_m, return_sorted=True
            )
            target = np.array([node for node in near if node != source], dtype=np.int64)
            at_s = np.array([gain_interval * self.interval_ns / NS_PER_S])
            gain_db = self._world.channel.large_scale_db(
                np.full(target.size, source), target, at_s
            )[:, 0]
            power_w = self.tx_w[source] * db_to_linear(gain_db)
            floor_w = float(db_to_linear(_FLOOR_DB))
            self._received[source] = {
                node: power
                for node, power in zip(target.tolist(), power_w.tolist(), strict=True)
                if power >= floor_w * self.noise_w[node]
            }
        return self._received[source]

    def locks(self, node: int, power_w: float, other_w: float) -> bool:
        """Return whether a preamble is detected at a power and an interference power [W]."""
        enough_w = self.detection * (self.noise_w[node] + other_w)
        return power_w >= self.detection_w and power_w >= enough_w

    def captures(self, node: int, frame: Frame, held: Frame) -> bool:
        """Return whether a frame captures a receiver that is locked on to another frame."""
        return (
            frame.start_ns - held.start_ns <= self.capture_ns
            and frame.received_w[node] >= self.capture * held.received_w[node]
        )

    def decodes(self, node: int, frame: Frame) -> bool:
        """Return whether a node that is locked on to a frame but not addressed can decode it."""
        if frame.aggregate is not None:
            return self._decodes_packet(node, frame, frame.aggregate)
        needed = frame.scheme.threshold(frame.bits, 0.5)
        worst_w = 0.0
        # Frames that begin and end together have one preamble.
        group = frame.group or [frame]
        overlapping = [
            other for other in frame.overlapping if node in other.received_w and other not in group
        ]
        # Interference peaks at the beginning of the frame or of one of the others.
        starts_ns = {frame.start_ns, *(other.start_ns for other in overlapping)}
        for at_ns in starts_ns if overlapping else ():
            current = [o.received_w[node] for o in overlapping if o.start_ns <= at_ns < o.end_ns]
            worst_w = max(worst_w, math.fsum(current))
        power_w = added(each.received_w.get(node, 0.0) for each in group)
        return power_w >= needed * (self.noise_w[node] + worst_w)

    def _decodes_packet(self, node: int, frame: Frame, aggregate: Aggregate) -> bool:
        """Return whether a node can decode a packet of an aggregate, which has its duration."""
        spans, edges = frame.spans_ns, aggregate.edges_bits
        overlapping = [other for other in frame.overlapping if node in other.received_w]
        for (begin_ns, end_ns), (first, last) in zip(spans, pairwise(edges), strict=True):
            worst_w = 0.0
            for at_ns in {begin_ns, *(other.start_ns for other in overlapping)}:
                if begin_ns <= at_ns < end_ns:
                    current = [
                        other.received_w[node]
                        for other in overlapping
                        if other.start_ns <= at_ns < other.end_ns
                    ]
                    worst_w = max(worst_w, math.fsum(current))
            needed = frame.scheme.threshold(last - first, 0.5)
            if frame.received_w[node] >= needed * (self.noise_w[node] + worst_w):
                return True
        return False

    # Rates.

    def scheme(self, source: int, targets: tuple[int, ...], quantile: float, now_ns: int) -> Scheme:
        """Return the modulation and coding scheme for some receivers."""
        if self.mac.basic_multicast and len(set(targets)) > 1:
            return self.phy.slowest
        if self._fixed is not None:
            return self._fixed
        received_w = self.received_w(source, now_ns)
        scheme = self._schemes.get((source, targets, quantile))
        if scheme is None:
            snr = sorted(received_w.get(node, 0.0) / self.noise_w[node] for node in targets)
            place = min(int(quantile * len(snr)), len(snr) - 1)
            scheme = self.phy.scheme(snr[place], self._packet_bits)
            self._schemes[source, targets, quantile] = scheme
        return scheme

    def unit_scheme(self, source: int, target: int, gain: float, now_ns: int) -> Scheme:
        """Return the scheme, of the whole channel, for the mean SNR in a resource unit.

        Parameters
        ----------
        source, target : ends of the link
        gain : of the SNR in the unit over that in the whole channel
        now_ns : the present instant [ns]
        """
        power_w = self.received_w(source, now_ns).get(target, 0.0)
        return self.phy.scheme(gain * power_w / self.noise_w[target], self._packet_bits)

    def air_bits(self, payload_bits: int) -> int:
        """Return the length of a data frame, a whole number of bytes [bit]."""
        return -(-payload_bits // 8) * 8 + 8 * self.mac.header_bytes

    @property
    def announces(self) -> bool:
        """Whether some frames are announced by a request to send."""
        return self.unprotected_bits is not None

    def protects(self, bits: int) -> bool:
        """Return whether a frame of a length [bit] is announced by a request to send."""
        return self.unprotected_bits is not None and bits > self.unprotected_bits

    # Reception.

    def sample(self, now_ns: int) -> int:
        """Return the channel sample of an instant."""
        return now_ns // self._sample_ns

    def record_sent(self, frame: Frame, gain: Gain) -> None:
        """Add the SNR and the Shannon bound of a frame to its attempts that are under way."""
        duration_s = (frame.end_ns - frame.start_ns) / NS_PER_S
        for attempt in frame.service.attempts if frame.service else ():
            power_w = self.tx_w[frame.source] * gain(frame.source, attempt.target, frame.start_ns)
            snr = power_w * frame.power / (self.noise_w[attempt.target] * frame.band)
            attempt.snr_sum += snr * frame.packets
            attempt.capacity_bits += self.capacity_bits(snr, duration_s) * frame.band

    def learn(
        self,
        source: int,
        target: int,
        scheme: Scheme,
        sent: int,
        arrived: int,
        start_ns: int,
        gain: Gain,
    ) -> None:
        """Tell the choice of rates how many packets of a frame were acknowledged; 0: no answer."""
        if self.rates is not None:
            self.rates.learn(
                source, target, scheme, sent, arrived,
                lambda: self.tx_w[source] * gain(source, target, start_ns) / self.noise_w[target],
            )  # fmt: skip

    def capacity_bits(self, snr: float, duration_s: float) -> float:
        """Return the Shannon bound on the bits sent in a duration."""
        return math.log2(1.0 + snr) * (self._bandwidth_hz * duration_s)

    def receives(self, node: int, frame: Frame, gain: Gain, draw: Draw) -> bool:
        """Return whether an addressed node that is locked on to a frame receives it.

        Of an aggregate it may receive some of the packets, which are recorded.
        """
        frame = frame.parts.get(node, frame)
        aggregate = frame.aggregate
        if aggregate is not None:
            errors = self.packet_errors(node, frame, aggregate, gain)
            aggregate.arrived = [
                error == 0.0 or draw(frame.source, node, number) >= error
                for number, error in enumerate(errors, frame.number)
            ]
            return True in aggregate.arrived
        error_probability = self.error_probability(node, frame, gain)
        return (
            error_probability == 0.0 or draw(frame.source, node, frame.number) >= error_probability
        )

    def error_probability(self, node: int, frame: Frame, gain: Gain) -> float:
        """Return the error probability of a frame at a node, from segments of its interference."""
        begin_ns = frame.start_ns + frame.scheme.preamble_ns
        signal_w = self.tx_w[frame.source] * gain(frame.source, node, frame.start_ns) * frame.power
        noise_w = self.noise_w[node] * frame.band
        others = self._interference(node, frame, begin_ns, gain)
        if not others:
            return self.interference_free_error(frame.scheme, frame.bits, signal_w / noise_w)
        return self._error(
            noise_w, frame.scheme, frame.bits, (begin_ns, frame.end_ns), signal_w, others
        )

    def packet_errors(
        self, node: int, frame: Frame, aggregate: Aggregate, gain: Gain
    ) -> list[float]:
        """Return the error probability of each packet of an aggregate at a node."""
        signal_w = self.tx_w[frame.source] * gain(frame.source, node, frame.start_ns) * frame.power
        noise_w = self.noise_w[node] * frame.band
        begin_ns = frame.start_ns + frame.scheme.preamble_ns
        scheme, snr = frame.scheme, signal_w / noise_w
        sizes = [last - first for first, last in pairwise(aggregate.edges_bits)]
        others = self._interference(node, frame, begin_ns, gain)
        if not others:
            alone = {bits: self.interference_free_error(scheme, bits, snr) for bits in set(sizes)}
            return [alone[bits] for bits in sizes]
        errors = []
        for bits, (first_ns, last_ns) in zip(sizes, frame.spans_ns, strict=True):
            during = [
                (max(start, first_ns), min(end, last_ns), power_w)
                for start, end, power_w in others
                if start < last_ns and end > first_ns
            ]
            errors.append(
                self._error(noise_w, scheme, bits, (first_ns, last_ns), signal_w, during)
                if during
                else self.interference_free_error(scheme, bits, snr)
            )
        return errors

    def _interference(
        self, node: int, frame: Frame, begin_ns: int, gain: Gain
    ) -> list[tuple[int, int, float]]:
        """Return beginning, end [ns] and power [W] of other frames from an instant on."""
        return [
            (
                max(other.start_ns, begin_ns),
                min(other.end_ns, frame.end_ns),
                self.tx_w[other.source] * gain(other.source, node, other.start_ns) * covered,
            )
            for other in sorted(frame.overlapping, key=lambda each: (each.start_ns, each.source))
            if node in other.received_w
            and other.end_ns > begin_ns
            and other.start_ns < frame.end_ns
            and (covered := covered_share(frame, other)) > 0.0
        ]

    def _error(
        self,
        noise_w: float,
        scheme: Scheme,
        bits: int,
        span_ns: tuple[int, int],
        signal_w: float,
        others: list[tuple[int, int, float]],
    ) -> float:
        """Return the error probability of some bits sent in a span of time with interference."""
        edges = sorted({*span_ns, *(m[0] for m in others), *(m[1] for m in others)})
        sinr, share = [], []
        for first, last in pairwise(edges):
            other_w = added(power_w for start, end, power_w in others if start <= first < end)
            sinr.append(signal_w / (noise_w + other_w))
            share.append((last - first) / (span_ns[1] - span_ns[0]) * bits)
        if min(sinr) >= scheme.threshold(bits, 0.0):
            return 0.0
        if max(sinr) <= scheme.hopeless:
            return 1.0
        hazard = [scheme.hazard(each) for each in sinr]
        return -math.expm1(-math.fsum(map(mul, hazard, share)))

    def interference_free_error(self, scheme: Scheme, bits: int, snr: float) -> float:
        """Return the error probability of a frame without interference."""
        if snr >= scheme.threshold(bits, 0.0):
            return 0.0
        lost = -math.expm1(-bits * scheme.hazard(snr))
        return lost if lost >= RAREST else 0.0
