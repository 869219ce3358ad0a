"""Motion from a trace file, in which devices appear and vanish."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np

from wnsim.core.params import parameters
from wnsim.core.units import SPEED_OF_LIGHT_MPS, Floats, Ints
from wnsim.mobility.motion import Bools, Motion, check_count
from wnsim.mobility.trace_files import Layout, Tracks, read

# One missing sample is not an absence; the rest allows for rounded times.
_GAP_STEPS = 2.001


@parameters
class Trace:
    """Motion from a trace file, linear between samples.

    A device is present from its first to its last sample, except for gaps between samples of more
    than `max_gap_s`; devices of ns-2 and BonnMotion stay for ever. The area of the scenario is not
    used: positions are those of the file. All formats except Parquet may be compressed with gzip.

    Positions in degrees are projected to meters around their center, with distances accurate to
    2e-5 within 50 km, and shifted so that the lowest x (east) and y (north) are 0.

    Parameters
    ----------
    file : path of the file
    format : "sumo-fcd", "sumo-csv" or "sumo-parquet", floating-car data of SUMO (Parquet needs the
        extra wnsim[parquet]); "ns-2", setdest commands; "bonnmotion", a line of waypoints per
        device; "gpx", a track per device; "csv", samples in order of time with the header
        t_s,id,x_m,y_m or t_s,id,lon_deg,lat_deg; "auto" infers the format from the content
    coordinates : "meters" or "degrees" of longitude and latitude, for data of SUMO, which do not
        say; "auto" is the format's own, and meters for SUMO
    heights : "drop" if each waypoint of BonnMotion has a height, which is not used
    max_gap_s : longest time between two samples of a device that is bridged [s]; by default twice
        the median time between samples, so that one missing sample is bridged and two are not, but
        any time in ns-2, BonnMotion and GPX, which omit samples where nothing changes
    """

    model: Literal["trace"] = "trace"
    file: str
    format: Layout = "auto"
    coordinates: Literal["auto", "meters", "degrees"] = "auto"
    heights: Literal["none", "drop"] = "none"
    max_gap_s: float | None = None

    def __post_init__(self) -> None:
        if self.max_gap_s is not None and not self.max_gap_s > 0.0:
            raise ValueError(f"max_gap_s must be positive, got {self.max_gap_s}")

    def motion(self, count: int, area_m: tuple[float, float], seed: int) -> Motion:
        """Return the motion of the first devices of the trace in order of appearance.

        Raises
        ------
        ValueError
            if the trace cannot be read, has fewer devices than requested, or one faster than light
        """
        check_count(count)
        tracks = read(self.file, self.format, self.coordinates, heights=self.heights == "drop")
        if count > len(tracks.by_name):
            raise ValueError(
                f"{self.file}: the trace must have at least as many devices as the scenario, "
                f"got {len(tracks.by_name)} for {count}"
            )
        max_gap_s = _usual_gap_s(tracks) if self.max_gap_s is None else self.max_gap_s
        chosen = list(tracks.by_name)[:count]
        motion = TraceMotion(
            tuple(chosen),
            [tracks.by_name[name] for name in chosen],
            max_gap_s,
            lasting=tracks.lasting,
        )
        if not motion.max_speed_mps < SPEED_OF_LIGHT_MPS:
            raise ValueError(
                f"{self.file}: a device must be slower than light, got {motion.max_speed_mps:g} m/s"
            )
        return motion


class TraceMotion:
    """Motion of devices with samples (S, 3) of instant [s], x and y [m].

    Parameters
    ----------
    names : one name per device
    tracks : samples of each device
    max_gap_s : longest time between samples that is bridged [s]
    lasting : whether devices stay for ever after their last sample
    """

    def __init__(
        self,
        names: tuple[str, ...],
        tracks: list[Floats],
        max_gap_s: float,
        *,
        lasting: bool = False,
    ) -> None:
        self.names = names
        # (3, S) each: instant, x, y, each contiguous, which np.interp needs to search in place
        self._tracks = [np.ascontiguousarray(track.T) for track in tracks]
        self._spans_s = [_spans_s(track[:, 0], max_gap_s) for track in tracks]
        if lasting:
            for spans_s in self._spans_s:
                spans_s[-1, 1] = math.inf
        self._changes_s = np.unique(np.concatenate([span.ravel() for span in self._spans_s]))
        self.max_speed_mps = max(_max_speed_mps(track, max_gap_s) for track in tracks)

    def position_m(self, devices: Ints, t_s: Floats) -> Floats:
        """Return positions (n, T, 2) [m]; outside the track, those of its ends."""
        t_s = np.asarray(t_s, dtype=np.float64)
        positions_m = np.empty((np.size(devices), t_s.size, 2))
        for row, device in enumerate(np.asarray(devices).tolist()):
            when_s, x_m, y_m = self._tracks[device]
            positions_m[row, :, 0] = np.interp(t_s, when_s, x_m)
            positions_m[row, :, 1] = np.interp(t_s, when_s, y_m)
        return positions_m

    def present(self, devices: Ints, t_s: Floats) -> Bools:
        """Return (n, T) whether devices (n,) are present at instants (T,), both ends included."""
        t_s = np.asarray(t_s, dtype=np.float64)
        rows = [self._present(device, t_s) for device in np.asarray(devices).tolist()]
        return np.array(rows, dtype=np.bool_).reshape(-1, t_s.size)

    def next_change_s(self, t_s: float) -> float:
        """Return the first instant after t at which a device appears or vanishes, or inf [s]."""
        place = int(np.searchsorted(self._changes_s, t_s, side="right"))
        return float(self._changes_s[place]) if place < self._changes_s.size else math.inf

    def presence_end_s(self, device: int, t_s: float) -> float:
        """Return when a device that is present at t vanishes [s].

        Raises
        ------
        ValueError
            if the device is not present at t
        """
        for begin_s, end_s in self._spans_s[device]:
            if begin_s <= t_s <= end_s:
                return float(end_s)
        raise ValueError(f"device {self.names[device]!r} must be present, is not at {t_s:g} s")

    def _present(self, device: int, t_s: Floats) -> Bools:
        """Return (T,) whether the device is present."""
        spans_s = self._spans_s[device]
        place = np.searchsorted(spans_s[:, 0], t_s, side="right") - 1
        present: Bools = (place >= 0) & (t_s <= spans_s[place, 1])
        return present


def _usual_gap_s(tracks: Tracks) -> float:
    """Return the longest time between samples that is not an absence [s]."""
    if tracks.complete:
        return math.inf
    steps_s = np.concatenate([np.diff(track[:, 0]) for track in tracks.by_name.values()])
    return _GAP_STEPS * float(np.median(steps_s)) if steps_s.size else math.inf


def _spans_s(when_s: Floats, max_gap_s: float) -> Floats:
    """Return start and end (intervals, 2) of the times without gaps between samples."""
    gaps = np.flatnonzero(np.diff(when_s) > max_gap_s)
    begin_s = when_s[np.concatenate([[0], gaps + 1])]
    end_s = when_s[np.concatenate([gaps, [when_s.size - 1]])]
    return np.stack([begin_s, end_s], axis=-1)


def _max_speed_mps(track: Floats, max_gap_s: float) -> float:
    """Return the highest speed between samples, excluding gaps [m/s]."""
    steps = np.diff(track, axis=0)
    steps = steps[steps[:, 0] <= max_gap_s]
    with np.errstate(over="ignore"):
        return float(np.max(np.hypot(steps[:, 1], steps[:, 2]) / steps[:, 0], initial=0.0))
