"""Who hears a station's frames and how well: the physics that the engines of `csma` share.

Mean powers are taken at fixed instants, a few meters of motion apart, and only between nodes that
are near enough; nobody hears what arrives with less than a tenth of the noise. The power with
which a frame reaches its receiver follows the gain in the sample of the channel in which it
begins, the mean over subbands; so does the interference that it meets there.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise
from operator import mul
from typing import TYPE_CHECKING

import numpy as np
from scipy.spatial import cKDTree

from wnsim.core import streams
from wnsim.core.units import NS_PER_S, db_to_linear, dbm_to_w, linear_to_db, thermal_noise_w
from wnsim.mac.csma import Csma, require_match
from wnsim.phy.wifi import RAREST, Scheme, Wifi

if TYPE_CHECKING:
    from wnsim.air.air import Setup
    from wnsim.air.csma.frame import Frame

# Power over the noise below which a frame is not there [dB].
_FLOOR_DB = -10.0
# Devices may move this far between two looks at mean gains [m].
_MOVE_M = 5.0
_SHORTEST_S, _LONGEST_S = 0.25, 10.0
ACK_BITS = 14 * 8

# Gain of a pair at an instant, and the uniform draw of a receiver on a source's frame.
Gain = Callable[[int, int, int], float]
Draw = Callable[[int, int, int], float]


class Radio:
    """Powers, rates and errors.

    Parameters
    ----------
    setup : what the engine works with

    Attributes
    ----------
    mac, phy : parameters
    noise_w, tx_w : of each node [W]
    backoff_key : key of the draws of backoffs

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
        self.mac, self.phy = setup.mac, world.phy
        self._world = world
        self._sample_ns = setup.sample_ns
        self._bandwidth_hz = world.bandwidth_hz
        self.noise_w: list[float] = thermal_noise_w(
            world.bandwidth_hz, world.noise_figure_db
        ).tolist()
        self.tx_w: list[float] = world.tx_power_w.tolist()
        self.backoff_key = streams.key(setup.error_key, "backoff")
        self._packet_bits = self.air_bits(setup.packet_bits)
        self._detection_w = float(dbm_to_w(self.mac.detection_dbm))
        self._detection = float(db_to_linear(self.mac.detection_snr_db))
        self.energy_w = float(dbm_to_w(self.mac.energy_dbm))
        capture_db = self.mac.capture_db
        self._capture = math.inf if capture_db is None else float(db_to_linear(capture_db))
        speed_mps = world.motion.max_speed_mps
        epoch_s = _LONGEST_S if speed_mps <= 0 else _MOVE_M / (2.0 * speed_mps)
        self._epoch_ns = round(min(max(epoch_s, _SHORTEST_S), _LONGEST_S) * NS_PER_S)
        budget_db = linear_to_db(world.tx_power_w).max() - linear_to_db(self.noise_w).min()
        self._reach_m = world.channel.reach_m(float(budget_db) - _FLOOR_DB)
        self._epoch = -1
        self._tree: cKDTree | None = None
        self._heard: dict[int, dict[int, float]] = {}
        self._alone: dict[int, frozenset[int]] = {}
        self._schemes: dict[tuple[int, tuple[int, ...], float], Scheme] = {}
        self._fixed = None if self.phy.rate_mbps is None else self.phy.scheme(0.0, 1)

    # Mean gains.

    def epoch(self, now_ns: int) -> int:
        """Return the number of the stretch of time in which mean gains stay what they are."""
        number = now_ns // self._epoch_ns
        if number != self._epoch:
            self._epoch = number
            at_s = np.array([number * self._epoch_ns / NS_PER_S])
            places_m = self._world.position_m(np.arange(self._world.nodes), at_s)[:, 0]
            self._tree = cKDTree(places_m)
            self._heard, self._alone, self._schemes = {}, {}, {}
        return number

    def epoch_end_ns(self, now_ns: int) -> int:
        """Return when the present mean gains are no longer used [ns]."""
        return (now_ns // self._epoch_ns + 1) * self._epoch_ns

    def heard_w(self, source: int, now_ns: int) -> dict[int, float]:
        """Return the mean power of a node's frames at each node that can hear it [W]."""
        epoch = self.epoch(now_ns)
        if source not in self._heard and self._tree is not None:
            near = self._tree.query_ball_point(
                self._tree.data[source], self._reach_m, return_sorted=True
            )
            target = np.array([node for node in near if node != source], dtype=np.int64)
            at_s = np.array([epoch * self._epoch_ns / NS_PER_S])
            gain_db = self._world.channel.large_scale_db(
                np.full(target.size, source), target, at_s
            )[:, 0]
            power_w = self.tx_w[source] * db_to_linear(gain_db)
            floor_w = float(db_to_linear(_FLOOR_DB))
            self._heard[source] = {
                node: power
                for node, power in zip(target.tolist(), power_w.tolist(), strict=True)
                if power >= floor_w * self.noise_w[node]
            }
        return self._heard[source]

    def alone(self, source: int, now_ns: int) -> frozenset[int]:
        """Return the nodes that lock on to a node's frames if nothing else is on the air."""
        heard_w = self.heard_w(source, now_ns)
        if source not in self._alone:
            self._alone[source] = frozenset(
                node for node, power_w in heard_w.items() if self.locks(node, power_w, 0.0)
            )
        return self._alone[source]

    def locks(self, node: int, power_w: float, other_w: float) -> bool:
        """Return whether a preamble of some power is noticed among other power [W]."""
        enough_w = self._detection * (self.noise_w[node] + other_w)
        return power_w >= self._detection_w and power_w >= enough_w

    def captures(self, node: int, frame: Frame, held: Frame) -> bool:
        """Return whether a frame makes a node leave the one that it has locked on to."""
        return (
            frame.start_ns - held.start_ns <= 16_000
            and frame.heard_w[node] >= self._capture * held.heard_w[node]
        )

    def reads(self, node: int, frame: Frame) -> bool:
        """Return whether a node that is no target of a frame it has listened to can read it."""
        needed = frame.scheme.threshold(frame.bits, 0.5)
        worst_w = 0.0
        met = [other for other in frame.met if node in other.heard_w]
        # The most that is there at once is there when the frame or one of the others begins.
        for instant_ns in {frame.start_ns, *(other.start_ns for other in met)} if met else ():
            there = [o.heard_w[node] for o in met if o.start_ns <= instant_ns < o.end_ns]
            worst_w = max(worst_w, math.fsum(there))
        return frame.heard_w[node] >= needed * (self.noise_w[node] + worst_w)

    # Rates.

    def scheme(self, source: int, targets: tuple[int, ...], quantile: float, now_ns: int) -> Scheme:
        """Return the modulation and code for some receivers."""
        if self._fixed is not None:
            return self._fixed
        heard_w = self.heard_w(source, now_ns)
        known = self._schemes.get((source, targets, quantile))
        if known is None:
            snr = sorted(heard_w.get(node, 0.0) / self.noise_w[node] for node in targets)
            place = min(int(quantile * len(snr)), len(snr) - 1)
            known = self.phy.scheme(snr[place], self._packet_bits)
            self._schemes[source, targets, quantile] = known
        return known

    def air_bits(self, payload_bits: int) -> int:
        """Return the length of a frame of data, a whole number of bytes [bit]."""
        return -(-payload_bits // 8) * 8 + 8 * self.mac.header_bytes

    # What arrives.

    def sample(self, now_ns: int) -> int:
        """Return the sample of the channel that holds at an instant."""
        return now_ns // self._sample_ns

    def count(self, frame: Frame, gain: Gain) -> None:
        """Add a frame to what its flows were sent."""
        duration_s = (frame.end_ns - frame.start_ns) / NS_PER_S
        for flow in frame.flows:
            power_w = self.tx_w[frame.source] * gain(frame.source, flow.target, frame.start_ns)
            snr = power_w / self.noise_w[flow.target]
            flow.snr_sum += snr
            flow.capacity_bits += self.capacity_bits(snr, duration_s)

    def capacity_bits(self, snr: float, duration_s: float) -> float:
        """Return what Shannon's bound allows [bit]."""
        return math.log2(1.0 + snr) * (self._bandwidth_hz * duration_s)

    def arrives(self, node: int, frame: Frame, gain: Gain, draw: Draw) -> bool:
        """Return whether a frame that a node has listened to arrives there."""
        error = self.error(node, frame, gain)
        return error == 0.0 or draw(frame.source, node, frame.number) >= error

    def error(self, node: int, frame: Frame, gain: Gain) -> float:
        """Return the error probability of a frame at a node, piece by piece of its interference."""
        begin_ns = frame.start_ns + frame.scheme.preamble_ns
        signal_w = self.tx_w[frame.source] * gain(frame.source, node, frame.start_ns)
        met = [
            (
                max(other.start_ns, begin_ns),
                min(other.end_ns, frame.end_ns),
                self.tx_w[other.source] * gain(other.source, node, other.start_ns),
            )
            for other in sorted(frame.met, key=lambda each: (each.start_ns, each.source))
            if node in other.heard_w and other.end_ns > begin_ns
        ]
        if not met:
            return self.clean_error(frame.scheme, frame.bits, signal_w / self.noise_w[node])
        edges = sorted({begin_ns, frame.end_ns, *(m[0] for m in met), *(m[1] for m in met)})
        sinr, share = [], []
        for first, last in pairwise(edges):
            other_w = sum(power_w for start, end, power_w in met if start <= first < end)
            sinr.append(signal_w / (self.noise_w[node] + other_w))
            share.append((last - first) / (frame.end_ns - begin_ns) * frame.bits)
        if min(sinr) >= frame.scheme.threshold(frame.bits, 0.0):
            return 0.0
        if max(sinr) <= frame.scheme.hopeless:
            return 1.0
        hazard = [frame.scheme.hazard(each) for each in sinr]
        return -math.expm1(-math.fsum(map(mul, hazard, share)))

    def clean_error(self, scheme: Scheme, bits: int, snr: float) -> float:
        """Return the error probability of a frame without interference."""
        if snr >= scheme.threshold(bits, 0.0):
            return 0.0
        lost = -math.expm1(-bits * scheme.hazard(snr))
        return lost if lost >= RAREST else 0.0
