"""Highway mobility: vehicles in the lanes of both directions, each at constant speed.

The road runs along the x axis through the middle of the area. A vehicle that reaches its end is
absent for some time and re-enters at its beginning in the same lane. Phases are uniform, so the
vehicles of a lane are a Poisson process given their number (with nearly exponential headways), and
the motion is stationary. Traffic keeps right; faster lanes are closer to the middle.

Limits: vehicles of different speed pass through one another; there is no car following and no lane
change.

Sources: Bai, Sadagopan, Helmy, "IMPORTANT: a framework to systematically analyze the impact of
mobility on performance of routing protocols for ad hoc networks", INFOCOM 2003 (freeway model).
"""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from wnsim.core import streams
from wnsim.core.params import parameters
from wnsim.core.units import Floats, Ints
from wnsim.mobility.motion import Bools, Motion, check_area, check_count
from wnsim.mobility.speeds import FASTEST_MPS, SLOWEST_MPS

LaneSpeed = Annotated[float, Field(ge=SLOWEST_MPS, le=FASTEST_MPS)]


@parameters
class Highway:
    """Vehicles on a straight road as long as the area is wide, assigned to the lanes in turn.

    Parameters
    ----------
    lane_speeds_mps : mean speed in each lane of one direction, from the outermost inwards [m/s]
    speed_spread : largest relative deviation of a vehicle's speed from that of its lane, uniform
    both_directions : whether the other direction has as many lanes
    lane_width_m : width of a lane [m]; the area must be high enough for all lanes
    absent_s : time between leaving at one end and re-entering at the other [s]
    """

    model: Literal["highway"] = "highway"
    lane_speeds_mps: Annotated[tuple[LaneSpeed, ...], Field(min_length=1, max_length=100)] = (
        25.0,
        33.0,
    )
    speed_spread: Annotated[float, Field(ge=0, le=0.9)] = 0.1
    both_directions: bool = True
    lane_width_m: Annotated[float, Field(ge=0.1, le=100)] = 3.75
    absent_s: Annotated[float, Field(ge=1e-3, le=1e9)] = 1.0

    def motion(self, count: int, area_m: tuple[float, float], seed: int) -> Motion:
        """Return the motion of devices; each is independent of the number of devices.

        Raises
        ------
        ValueError
            if the area is too low for the lanes
        """
        check_count(count)
        check_area(area_m)
        length_m, height_m = area_m
        directions = 2 if self.both_directions else 1
        lanes = directions * len(self.lane_speeds_mps)
        road_m = lanes * self.lane_width_m
        if road_m > height_m:
            raise ValueError(
                f"the {lanes} lanes must fit into the height of the area of {height_m:g} m, "
                f"got {road_m:g} m"
            )
        draws = np.array([streams.generator(seed, "mobility", n).random(2) for n in range(count)])
        lane = np.arange(count) // directions % len(self.lane_speeds_mps)
        eastward = np.arange(count) % directions == 0
        spread = 1.0 + self.speed_spread * (2.0 * draws[:, 0] - 1.0)
        # Eastbound lanes lie south of the middle.
        below_m = (height_m - road_m) / 2.0
        from_edge_m = (lane + 0.5) * self.lane_width_m
        return HighwayMotion(
            np.array(self.lane_speeds_mps)[lane] * spread,
            draws[:, 1],
            np.where(eastward, below_m + from_edge_m, below_m + road_m - from_edge_m),
            eastward,
            length_m,
            self.absent_s,
            (1.0 + self.speed_spread) * max(self.lane_speeds_mps),
        )


class HighwayMotion:
    """Motion of vehicles that pass, are absent, and pass again.

    Parameters
    ----------
    speed_mps : (devices,) speed [m/s]
    phase : (devices,) fraction of the first cycle that has elapsed at 0 s
    y_m : (devices,) lateral position [m]
    eastward : (devices,) whether x increases
    length_m : length of the road [m]
    absent_s : absence between two passages [s]
    max_speed_mps : upper bound of the speed [m/s]
    """

    def __init__(
        self,
        speed_mps: Floats,
        phase: Floats,
        y_m: Floats,
        eastward: Bools,
        length_m: float,
        absent_s: float,
        max_speed_mps: float,
    ) -> None:
        self.names = tuple(str(n) for n in range(speed_mps.size))
        self.max_speed_mps = max_speed_mps
        self._speed_mps = speed_mps
        self._passage_s = length_m / speed_mps
        self._round_s = self._passage_s + absent_s
        self._offset_s = phase * self._round_s
        self._y_m = y_m
        self._eastward = eastward
        self._length_m = length_m

    def position_m(self, devices: Ints, t_s: Floats) -> Floats:
        """Return positions (n, T, 2) [m]; an absent vehicle is at the end where it left."""
        devices = np.asarray(devices)
        t_s = np.maximum(np.asarray(t_s, dtype=np.float64), 0.0)
        driven_m = self._speed_mps[devices, None] * (t_s - self._begin_s(devices, t_s))
        driven_m = np.clip(driven_m, 0.0, self._length_m)
        positions_m = np.empty((devices.size, t_s.size, 2))
        positions_m[..., 0] = np.where(
            self._eastward[devices, None], driven_m, self._length_m - driven_m
        )
        positions_m[..., 1] = self._y_m[devices, None]
        return positions_m

    def present(self, devices: Ints, t_s: Floats) -> Bools:
        """Return (n, T) whether devices (n,) are on the road, both ends included."""
        devices = np.asarray(devices)
        t_s = np.maximum(np.asarray(t_s, dtype=np.float64), 0.0)
        end_s = self._begin_s(devices, t_s) + self._passage_s[devices, None]
        return np.asarray(t_s <= end_s, dtype=np.bool_)

    def next_change_s(self, t_s: float) -> float:
        """Return the first instant after t at which a device appears or vanishes [s]."""
        everyone = np.arange(len(self.names))
        rounds = self._rounds(everyone, np.array([max(t_s, 0.0)]))
        end_s = self._instant_s(everyone, rounds)[:, 0] + self._passage_s
        again_s = self._instant_s(everyone, rounds + 1)[:, 0]
        return float(np.min(np.where(end_s > t_s, end_s, again_s)))

    def presence_end_s(self, device: int, t_s: float) -> float:
        """Return when a device that is present at t vanishes [s].

        Raises
        ------
        ValueError
            if the device is not present at t
        """
        begin_s = self._begin_s(np.array([device]), np.array([max(t_s, 0.0)]))[0, 0]
        end_s = float(begin_s + self._passage_s[device])
        if t_s > end_s:
            raise ValueError(f"device {self.names[device]!r} must be present, is not at {t_s:g} s")
        return end_s

    def _instant_s(self, devices: Ints, rounds: Ints) -> Floats:
        """Return when cycles (n, T) of devices (n,) start [s]."""
        return np.asarray(rounds * self._round_s[devices, None] - self._offset_s[devices, None])

    def _rounds(self, devices: Ints, t_s: Floats) -> Ints:
        """Return the cycles (n, T) of devices (n,) at instants (T,) [s]."""
        guess = np.floor((t_s + self._offset_s[devices, None]) / self._round_s[devices, None])
        rounds = guess.astype(np.int64)
        # The rounded start of a cycle decides.
        rounds -= self._instant_s(devices, rounds) > t_s
        rounds += self._instant_s(devices, rounds + 1) <= t_s
        return rounds

    def _begin_s(self, devices: Ints, t_s: Floats) -> Floats:
        """Return when the current cycles of devices (n,) at instants (T,) started (n, T) [s]."""
        return self._instant_s(devices, self._rounds(devices, t_s))
