"""Tracks of devices as read from a trace: samples, interruptions, and how time and place count."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

import numpy as np

from wnsim.core.units import Floats, Ints
from wnsim.mobility.geography import plane_m


def _no_places() -> Ints:
    return np.empty(0, dtype=np.int64)


@dataclass(frozen=True)
class Track:
    """Samples of one device.

    Parameters
    ----------
    samples : (S, 3) instant [s], x and y [m, or degrees]
    breaks : samples before which the device is absent since the one before
    jumps : samples at which the device is placed anew, without a way from the one before
    heights_m : (S,) height above the ground or the sea, whichever the file has, NaN where it has
        none [m]; None if no sample has a height
    top_speed_mps : highest speed that the file states [m/s]; None if it states none
    """

    samples: Floats
    breaks: Ints = field(default_factory=_no_places)
    jumps: Ints = field(default_factory=_no_places)
    heights_m: Floats | None = None
    top_speed_mps: float | None = None

    def spans_s(self, max_gap_s: float, *, lasting: bool = False) -> Floats:
        """Return start and end (intervals, 2) of the times at which the device is present [s].

        Parameters
        ----------
        max_gap_s : longest time between two samples that is no absence [s]
        lasting : whether the device stays after its last sample for ever
        """
        when_s = self.samples[:, 0]
        gaps = np.union1d(np.flatnonzero(np.diff(when_s) > max_gap_s) + 1, self.breaks)
        begin_s = when_s[np.concatenate([[0], gaps]).astype(np.int64)]
        end_s = when_s[np.concatenate([gaps - 1, [when_s.size - 1]]).astype(np.int64)]
        if lasting:
            end_s[-1] = math.inf
        return np.stack([begin_s, end_s], axis=-1)

    def steps(self, max_gap_s: float) -> tuple[Floats, Ints]:
        """Return the moves between samples during presence.

        Parameters
        ----------
        max_gap_s : longest time between two samples that is no absence [s]

        Returns
        -------
        (n, 3) duration [s] and displacement [m], and (n,) the sample at which each move ends
        """
        steps = np.diff(self.samples, axis=0)
        walked = steps[:, 0] <= max_gap_s
        walked[self.breaks - 1] = False
        walked[self.jumps - 1] = False
        return steps[walked], np.flatnonzero(walked) + 1

    def shifted(self, by_s: float) -> Track:
        """Return the track on a clock that starts later by a time [s]."""
        return replace(self, samples=self.samples - [by_s, 0.0, 0.0])

    def within(self, first_s: float, last_s: float) -> Track:
        """Return the part of the track that determines positions between two instants [s]."""
        when_s = self.samples[:, 0]
        low = max(int(np.searchsorted(when_s, first_s, side="right")) - 1, 0)
        high = min(int(np.searchsorted(when_s, last_s, side="left")) + 1, when_s.size)
        if (low, high) == (0, when_s.size):
            return self
        return replace(
            self,
            samples=self.samples[low:high],
            breaks=_inside(self.breaks, low, high),
            jumps=_inside(self.jumps, low, high),
            heights_m=None if self.heights_m is None else self.heights_m[low:high],
        )


@dataclass(frozen=True)
class Tracks:
    """Content of a trace.

    Parameters
    ----------
    by_name : track of each device, in order of appearance in the file
    complete : whether the samples are complete, so that a long time between two of them is a
        straight move or a rest; otherwise they come at regular steps, and some may be missing
    lasting : whether devices stay at their last position for ever, rather than vanish
    wall_clock : whether times are those of a clock, so that a run starts with the first of them
    teleporting : whether devices of this format may jump, as the vehicles of SUMO
    origin : date at 0 s, if the file has dates
    notes : what a user should know about how the file was read
    """

    by_name: dict[str, Track]
    complete: bool = False
    lasting: bool = False
    wall_clock: bool = False
    teleporting: bool = False
    origin: datetime | None = None
    notes: tuple[str, ...] = ()

    @property
    def first_s(self) -> float:
        """Instant of the first sample [s]."""
        return float(min(track.samples[0, 0] for track in self.by_name.values()))

    @property
    def last_s(self) -> float:
        """Instant of the last sample [s]."""
        return float(max(track.samples[-1, 0] for track in self.by_name.values()))

    def within(self, start_s: float, duration_s: float) -> Tracks:
        """Return the part from an instant on, with that instant at 0 s.

        Parameters
        ----------
        start_s : the instant [s]
        duration_s : duration of the part [s]

        Returns
        -------
        the tracks that have samples in the part, or around it without an end
        """
        by_name = {}
        for name, track in self.by_name.items():
            first_s, last_s = track.samples[[0, -1], 0] - start_s
            if first_s <= duration_s and (last_s >= 0.0 or self.lasting):
                by_name[name] = track.shifted(start_s).within(0.0, duration_s)
        origin = None if self.origin is None else self.origin + timedelta(seconds=start_s)
        return replace(self, by_name=by_name, origin=origin)

    def only(self, by_name: dict[str, Track]) -> Tracks:
        """Return the same trace with other tracks."""
        return replace(self, by_name=by_name)

    def noting(self, *texts: str) -> Tracks:
        """Return the same trace with more notes."""
        return replace(self, notes=(*self.notes, *texts))

    def projected(self) -> Tracks:
        """Return tracks in meters from longitudes and latitudes, projected around one center.

        Raises
        ------
        ValueError
            if a position is out of range, or the positions are too far apart
        """
        tracks = list(self.by_name.values())
        places_m = plane_m(np.concatenate([track.samples[:, 1:] for track in tracks]))
        ends = np.cumsum([track.samples.shape[0] for track in tracks])[:-1]
        return self.only(
            {
                name: replace(track, samples=np.column_stack([track.samples[:, 0], part_m]))
                for (name, track), part_m in zip(
                    self.by_name.items(), np.split(places_m, ends), strict=True
                )
            }
        )


def _inside(places: Ints, low: int, high: int) -> Ints:
    """Return the places in a part of the samples; its first sample follows none."""
    return places[(places > low) & (places < high)] - low
