"""Samples of a trace, validated as they are collected, and errors with their place in the file."""

from __future__ import annotations

import math
from array import array
from dataclasses import dataclass

import numpy as np

from wnsim.core.units import Floats

MAX_SAMPLES = 10_000_000
MAX_DEVICES = 1_000_000
MAX_ID = 200
# The largest time [s] and place [m], far beyond any use.
LARGEST = 1e12


@dataclass(frozen=True)
class Tracks:
    """Content of a trace.

    Parameters
    ----------
    by_name : samples (S, 3) of each device, in order of appearance: instant [s], x and y [m]
    complete : whether the samples are complete, so that a long time between two of them is a
        straight move or a rest; otherwise they come at regular steps, and some may be missing
    lasting : whether devices stay at their last position for ever, rather than vanish
    """

    by_name: dict[str, Floats]
    complete: bool
    lasting: bool


class Samples:
    """Samples of a trace by device, in order of appearance.

    Attributes
    ----------
    degrees : whether positions are longitudes and latitudes; None if the file does not say
    complete, lasting : as in `Tracks`
    """

    def __init__(self, file: str) -> None:
        self.file = file
        self.degrees: bool | None = False
        self.complete = False
        self.lasting = False
        self._by_name: dict[str, array[float]] = {}
        self._count = 0
        self._now_s = -math.inf

    def error(self, what: str, line: int | None = None) -> ValueError:
        """Return an error with its place in the file."""
        where = self.file if line is None else f"{self.file}:{line}"
        return ValueError(f"{where}: {what}")

    def number(self, text: str, what: str, line: int) -> float:
        """Parse a finite number."""
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            raise self.error(f"{what} must be a finite number, got {text[:40]!r}", line)
        if not -LARGEST <= value <= LARGEST:
            raise self.error(
                f"{what} must be from {-LARGEST:g} to {LARGEST:g}, got {text[:40]!r}", line
            )
        return value

    def advance(self, time_s: float, line: int) -> None:
        """Advance to an instant [s], which must not precede the last one."""
        if time_s < self._now_s:
            raise self.error(
                f"time must not run backwards, got {time_s:g} s after {self._now_s:g} s", line
            )
        self._now_s = time_s

    def add(self, name: str, x: float, y: float, line: int) -> None:
        """Add the position [m or degrees] of a device at the current instant."""
        self.add_at(name, self._now_s, x, y, line)

    def add_at(self, name: str, time_s: float, x: float, y: float, line: int) -> None:
        """Add the position [m or degrees] of a device at an instant [s] after its last one."""
        track = self._by_name.get(name)
        if track is None:
            track = self._begin(name, line)
        elif track[-3] == time_s:
            raise self.error(
                f"an id may occur once at an instant, got {name!r} twice at {time_s:g} s", line
            )
        elif track[-3] > time_s:
            raise self.error(
                f"time must not run backwards, got {time_s:g} s after {track[-3]:g} s", line
            )
        self._count += 1
        if self._count > MAX_SAMPLES:
            raise self.error(f"a trace may have at most {MAX_SAMPLES} samples, got more", line)
        track.extend((time_s, x, y))

    def tracks(self) -> Tracks:
        """Return the collected samples."""
        if not self._by_name:
            raise self.error("a trace must have at least one sample, got none")
        by_name = {name: np.array(track).reshape(-1, 3) for name, track in self._by_name.items()}
        return Tracks(by_name, self.complete, self.lasting)

    def _begin(self, name: str, line: int) -> array[float]:
        """Return the empty track of a new device."""
        if not 1 <= len(name) <= MAX_ID:
            raise self.error(
                f"an id must have 1 to {MAX_ID} characters, got {len(name)} of them", line
            )
        if len(self._by_name) >= MAX_DEVICES:
            raise self.error(f"a trace may have at most {MAX_DEVICES} devices, got more", line)
        return self._by_name.setdefault(name, array("d"))
