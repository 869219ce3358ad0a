"""Motion from a trace file, in which devices appear and vanish."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from wnsim.core.params import parameters
from wnsim.core.units import SPEED_OF_LIGHT_MPS, Floats, Ints
from wnsim.mobility.motion import Bools, check_count
from wnsim.mobility.trace_choice import chosen, clipped, window_start_s
from wnsim.mobility.trace_files import Layout, OnBadRow, Track, Tracks, read, sources
from wnsim.mobility.trace_files.teleports import without_teleports
from wnsim.mobility.trace_heights import above_ground, check_heights, without_heights

# One missing sample is not an absence; the rest allows for rounded times.
_GAP_STEPS = 2.001


@parameters
class Trace:
    """Motion from a trace file, linear between samples.

    A device is present from its first to its last sample, except for gaps between samples of more
    than `max_gap_s`, the time between two segments of a recording, and teleports of SUMO; devices
    of ns-2 and BonnMotion stay for ever. The area of the scenario is not used: positions are those
    of the file. All formats except Parquet may be compressed with gzip.

    Positions in degrees are projected to meters around their center, with distances accurate to
    2e-5 within 50 km, and shifted so that the lowest x (east) and y (north) are 0. GPX, KML,
    NMEA, GeoLife, SUMO, ns-2, BonnMotion and CSV may have heights.

    Parameters
    ----------
    file : path of the file; of recordings with dates also a list of files, or a folder
    format : "sumo-fcd", "sumo-csv" or "sumo-parquet", floating-car data of SUMO (Parquet needs the
        extra wnsim[parquet]); "ns-2", setdest commands; "bonnmotion", a line of waypoints per
        device; recordings with dates: "gpx" and "kml", a track per device, "geolife", a user per
        device, "nmea" and "cabspotting", a file per device; "csv", samples with the header
        t_s,id,x_m,y_m or t_s,id,lon_deg,lat_deg, where time may replace t_s for dates in ISO 8601,
        and a height, z_m or altitude_m (or without _m), and other columns are allowed; "auto"
        infers the format from the content
    coordinates : "meters" or "degrees" of longitude and latitude, for data of SUMO, which do not
        say; "auto" is the format's own, and for SUMO degrees if meters are implausible
    heights : how heights of the file are used: "none"; "above-ground" for antenna heights over a
        ground at `ground_m`, or "above-lowest" over the lowest height of the file, for altitudes
        above the sea; a device below `devices.height_m` has its antenna there; "drop" if
        each waypoint of BonnMotion has a height, which is not used
    ground_m : height of the flat ground in the heights of the file [m], for "above-ground"
    on_bad_row : "error" for the first invalid row; "skip" leaves invalid rows out, and notes how
        many and which
    start : instant of the trace at which a run starts: "first" for its first sample; seconds on its
        own clock, which for recordings begins with the first sample; or a date in ISO 8601, for
        recordings and for times in Unix seconds; "auto" is "first" for recordings, and otherwise 0
    duration_s : time after which all devices are absent [s]; by default the rest of the trace
    ids : names of the devices to use, in this order; by default `choose` decides
    present_at : instant of a run at which all devices must be present [s]
    choose : which devices are used, if there are more than needed: the "first" of the file, or
        those that are "longest" present
    max_gap_s : longest time between two samples of a device that is bridged [s]; by default twice
        the median time between samples, so that one missing sample is bridged and two are not, but
        any time in ns-2, BonnMotion and recordings, which omit samples where nothing changes
    """

    model: Literal["trace"] = "trace"
    file: str | Annotated[tuple[str, ...], Field(min_length=1)]
    format: Layout = "auto"
    coordinates: Literal["auto", "meters", "degrees"] = "auto"
    heights: Literal["none", "drop", "above-ground", "above-lowest"] = "none"
    ground_m: Annotated[float, Field(ge=-1e5, le=1e5)] = 0.0
    on_bad_row: OnBadRow = "error"
    start: float | str = "auto"
    duration_s: Annotated[float, Field(gt=0)] | None = None
    ids: Annotated[tuple[str | int, ...], Field(min_length=1)] | None = None
    present_at: Annotated[float, Field(ge=0)] | None = None
    choose: Literal["first", "longest"] = "first"
    max_gap_s: float | None = None

    def __post_init__(self) -> None:
        if self.max_gap_s is not None and not self.max_gap_s > 0.0:
            raise ValueError(f"max_gap_s must be positive, got {self.max_gap_s}")
        if self.heights != "above-ground" and self.ground_m != 0.0:
            raise ValueError(
                f"ground_m must be left out unless heights is above-ground, got {self.heights}"
            )
        if self.ids is not None and (self.present_at is not None or self.choose != "first"):
            raise ValueError("ids name the devices: leave out present_at and choose")

    def motion(self, count: int, area_m: tuple[float, float], seed: int) -> TraceMotion:
        """Return the motion of the chosen devices of the trace.

        Raises
        ------
        ValueError
            if the trace cannot be read, has fewer devices than requested, or one faster than light
        """
        check_count(count)
        try:
            stamps = tuple(map(_stamp, sources(self.file)))
        except OSError:
            stamps = ()
        return _motion(self, count, stamps)

    def read(self, count: int) -> TraceMotion:
        """Read the trace; see `motion`."""
        tracks, degrees = read(
            self.file,
            self.format,
            self.coordinates,
            heights=self.heights != "none",
            on_bad_row=self.on_bad_row,
        )
        name = self.file if isinstance(self.file, str) else ", ".join(self.file)[:200]
        try:
            return self._motion(tracks, degrees, count)
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from None

    def _motion(self, tracks: Tracks, degrees: bool, count: int) -> TraceMotion:
        """Return the motion of the chosen devices of a trace."""
        uses_heights = self.heights.startswith("above")
        if uses_heights:
            tracks = above_ground(tracks, None if self.heights == "above-lowest" else self.ground_m)
        else:
            tracks = without_heights(tracks)
        max_gap_s = _usual_gap_s(tracks) if self.max_gap_s is None else self.max_gap_s
        end_s = math.inf if self.duration_s is None else self.duration_s
        begin_s = window_start_s(self.start, tracks)
        spans = f"from {tracks.first_s - begin_s:g} s to {tracks.last_s - begin_s:g} s"
        tracks = tracks.within(begin_s, end_s)
        if not tracks.by_name:
            raise ValueError(
                f"a device must be present between 0 s and {end_s:g} s, got a trace {spans}; the "
                "key start sets which instant of the trace is 0 s"
            )
        if degrees:
            if self.heights == "above-ground" and self.ground_m == 0.0 and tracks.wall_clock:
                tracks = tracks.noting(
                    "heights are taken as above the ground, but those of recordings are usually "
                    "above the sea; ground_m or heights: above-lowest refers them to the ground"
                )
            tracks = tracks.projected()
        if tracks.teleporting:
            tracks = without_teleports(tracks, max_gap_s)
        names = chosen(
            tracks, count, max_gap_s, end_s,
            ids=self.ids, present_at=self.present_at, longest=self.choose == "longest",
        )  # fmt: skip
        if uses_heights:
            check_heights(tracks, names)
        motion = TraceMotion(
            tuple(names),
            [tracks.by_name[name] for name in names],
            max_gap_s,
            lasting=tracks.lasting,
            end_s=end_s,
            notes=tracks.notes,
        )
        if not motion.max_speed_mps < SPEED_OF_LIGHT_MPS:
            raise ValueError(
                f"a device must be slower than light, got {motion.max_speed_mps:g} m/s"
            )
        return motion


class TraceMotion:
    """Motion of devices with samples (S, 3) of instant [s], x and y [m].

    Parameters
    ----------
    names : one name per device
    tracks : samples of each device, or its track; heights of tracks are used if all have them
    max_gap_s : longest time between samples that is bridged [s]
    lasting : whether devices stay for ever after their last sample
    end_s : instant after which all devices are absent [s]
    notes : what a user should know about how the trace was read

    Attributes
    ----------
    names, notes : as above
    max_speed_mps : highest speed between samples, in space where heights are used [m/s]
    height_bounds_m : (N,) lowest and (N,) highest height of each device [m]; none: no heights
    """

    def __init__(
        self,
        names: tuple[str, ...],
        tracks: Sequence[Floats | Track],
        max_gap_s: float,
        *,
        lasting: bool = False,
        end_s: float = math.inf,
        notes: tuple[str, ...] = (),
    ) -> None:
        self.names, self.notes = names, notes
        known = [track if isinstance(track, Track) else Track(track) for track in tracks]
        # (3, S) each: instant, x, y, each contiguous, which np.interp needs to search in place
        self._tracks = [np.ascontiguousarray(track.samples.T) for track in known]
        self._spans_s = [
            clipped(track.spans_s(max_gap_s, lasting=lasting), end_s) for track in known
        ]
        self._changes_s = np.unique(np.concatenate([span.ravel() for span in self._spans_s]))
        self.max_speed_mps = max(_max_speed_mps(track, max_gap_s) for track in known)
        self._heights_m = [track.heights_m for track in known if track.heights_m is not None]
        self.height_bounds_m: tuple[Floats, Floats] | None = None
        if len(self._heights_m) == len(known):
            self.height_bounds_m = (
                np.array([heights_m.min() for heights_m in self._heights_m]),
                np.array([heights_m.max() for heights_m in self._heights_m]),
            )

    def position_m(self, devices: Ints, t_s: Floats) -> Floats:
        """Return positions (n, T, 2) [m]; outside the track, those of its ends."""
        t_s = np.maximum(np.asarray(t_s, dtype=np.float64), 0.0)
        positions_m = np.empty((np.size(devices), t_s.size, 2))
        for row, device in enumerate(np.asarray(devices).tolist()):
            when_s, x_m, y_m = self._tracks[device]
            positions_m[row, :, 0] = np.interp(t_s, when_s, x_m)
            positions_m[row, :, 1] = np.interp(t_s, when_s, y_m)
        return positions_m

    def height_m(self, devices: Ints, t_s: Floats) -> Floats:
        """Return heights (n, T) above the ground [m], as `position_m` does positions."""
        t_s = np.maximum(np.asarray(t_s, dtype=np.float64), 0.0)
        heights_m = np.empty((np.size(devices), t_s.size))
        for row, device in enumerate(np.asarray(devices).tolist()):
            heights_m[row] = np.interp(t_s, self._tracks[device][0], self._heights_m[device])
        return heights_m

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
        if not spans_s.size:
            return np.zeros(t_s.size, dtype=np.bool_)
        place = np.searchsorted(spans_s[:, 0], t_s, side="right") - 1
        present: Bools = (place >= 0) & (t_s <= spans_s[place, 1])
        return present


def _stamp(file: str) -> tuple[str, int, int]:
    """Return the name, time of change and size of a file, by which its content is known."""
    status = Path(file).stat()
    return file, status.st_mtime_ns, status.st_size


@functools.lru_cache(maxsize=1)
def _motion(trace: Trace, count: int, stamps: tuple[tuple[str, int, int], ...]) -> TraceMotion:
    """Return the motion of a trace, whose files are read once while they do not change."""
    return trace.read(count)


def _usual_gap_s(tracks: Tracks) -> float:
    """Return the longest time between samples that is not an absence [s]."""
    if tracks.complete:
        return math.inf
    steps_s = np.concatenate([np.diff(track.samples[:, 0]) for track in tracks.by_name.values()])
    return _GAP_STEPS * float(np.median(steps_s)) if steps_s.size else math.inf


def _max_speed_mps(track: Track, max_gap_s: float) -> float:
    """Return the highest speed between samples, excluding gaps [m/s]."""
    steps, ends = track.steps(max_gap_s)
    with np.errstate(over="ignore"):
        ways_m = np.hypot(steps[:, 1], steps[:, 2])
        if track.heights_m is not None:
            ways_m = np.hypot(ways_m, track.heights_m[ends] - track.heights_m[ends - 1])
        return float(np.max(ways_m / steps[:, 0], initial=0.0))
