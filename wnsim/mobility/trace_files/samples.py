"""Samples of a trace, validated as they are collected, and errors with their place in the file."""

from __future__ import annotations

import math
from array import array
from datetime import UTC, datetime
from typing import Literal

import numpy as np

from wnsim.core.units import Floats
from wnsim.mobility.trace_files.tracks import Track, Tracks

MAX_SAMPLES = 10_000_000
MAX_DEVICES = 1_000_000
MAX_ID = 200
# The largest time [s] and place [m], far beyond any use.
LARGEST = 1e12
OnBadRow = Literal["error", "skip"]

# Values per sample: instant, x, y, height, speed; those that are not known are NaN.
_WIDTH = 5
# Number of omitted rows that a note names.
_NAMED = 3


class BadRowError(ValueError):
    """Error of a single row, which may be left out."""


class _Device:
    """Samples of one device, flat, and the places in them where a segment or a jump begins."""

    def __init__(self) -> None:
        self.values: array[float] = array("d")
        self.breaks: list[int] = []
        self.jumps: list[int] = []
        self.breaks_next = False

    def __len__(self) -> int:
        return len(self.values) // _WIDTH


class Samples:
    """Samples of a trace by device, in order of appearance.

    Parameters
    ----------
    file : file that is read
    on_bad_row : whether an invalid row is an error, or left out

    Attributes
    ----------
    file : as above; with several files the one that is being read
    several : whether there are several files
    degrees : whether positions are longitudes and latitudes; None if the file does not say
    complete, lasting, wall_clock, teleporting : as in `Tracks`
    duplicates : what to add to the error about two positions at one instant
    """

    def __init__(self, file: str, on_bad_row: OnBadRow = "error") -> None:
        self.file = file
        self.several = False
        self.degrees: bool | None = False
        self.complete = False
        self.lasting = False
        self.wall_clock = False
        self.teleporting = False
        self.duplicates = ""
        self._on_bad_row = on_bad_row
        self._origin: datetime | None = None
        self._devices: dict[tuple[str, str], _Device] = {}
        self._count = 0
        self._now_s = -math.inf
        self._omitted: list[str] = []
        self._omissions = 0
        self._notes: list[str] = []
        self._names: set[str] = set()

    def error(self, what: str, line: int | None = None) -> ValueError:
        """Return an error of the whole file, with its place in it."""
        return ValueError(self._placed(what, line))

    def bad_row(self, what: str, line: int) -> BadRowError:
        """Return an error of one row, which `skip` may leave out."""
        return BadRowError(self._placed(what, line))

    def skip(self, problem: BadRowError) -> None:
        """Leave out a row, and count it.

        Raises
        ------
        BadRowError
            the problem, if invalid rows are errors
        """
        if self._on_bad_row == "error":
            raise problem from None
        self._omissions += 1
        if len(self._omitted) < _NAMED:
            self._omitted.append(str(problem))

    def note(self, text: str) -> None:
        """Add a note for the user, once."""
        text = f"{self.file}: {text}"
        if text not in self._notes:
            self._notes.append(text)

    def free_name(self, name: str, number: int = 2) -> str:
        """Return a name that was not returned before, if need be with a number."""
        while name in self._names:
            name += f" ({number})"
        self._names.add(name)
        return name

    def number(self, text: str, what: str, line: int) -> float:
        """Parse a finite number."""
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            raise self.bad_row(f"{what} must be a finite number, got {text[:40]!r}", line)
        if not -LARGEST <= value <= LARGEST:
            raise self.bad_row(
                f"{what} must be from {-LARGEST:g} to {LARGEST:g}, got {text[:40]!r}", line
            )
        return value

    def optional(self, text: str | None) -> float:
        """Parse a number that may be missing; anything else is NaN."""
        try:
            value = float(text) if text else math.nan
        except ValueError:
            return math.nan
        return value if -LARGEST <= value <= LARGEST else math.nan

    def place_deg(self, lon: float, lat: float, line: int) -> tuple[float, float]:
        """Return a longitude and latitude, validated.

        Raises
        ------
        BadRowError
            if one is out of range, or both are 0, which receivers report without a fix
        """
        for name, value, low, high in (
            ("longitudes", lon, -180.0, 360.0),
            ("latitudes", lat, -90.0, 90.0),
        ):
            if not low <= value <= high:
                raise self.bad_row(f"{name} must be from {low:g} to {high:g}, got {value:g}", line)
        if lon == lat == 0.0:
            raise self.bad_row(
                "a place must not be at 0, 0, which receivers report without a fix", line
            )
        return lon, lat

    def elapsed_s(self, when: datetime) -> float:
        """Return the time since the first date read [s]; dates without an offset are UTC."""
        if when.tzinfo is None:
            when = when.replace(tzinfo=UTC)
        self._origin = self._origin or when
        return (when - self._origin).total_seconds()

    def advance(self, time_s: float, line: int) -> None:
        """Advance to an instant [s], which must not precede the last one."""
        if time_s < self._now_s:
            raise self.bad_row(
                f"time must not run backwards, got {time_s:g} s after {self._now_s:g} s", line
            )
        self._now_s = time_s

    def add(
        self,
        name: str,
        x: float,
        y: float,
        line: int,
        *,
        kind: str = "",
        z_m: float = math.nan,
        speed_mps: float = math.nan,
    ) -> None:
        """Add the position [m or degrees] of a device at the current instant; see `add_at`."""
        self.add_at(name, self._now_s, x, y, line, kind=kind, z_m=z_m, speed_mps=speed_mps)

    def add_at(
        self,
        name: str,
        time_s: float,
        x: float,
        y: float,
        line: int,
        *,
        kind: str = "",
        z_m: float = math.nan,
        speed_mps: float = math.nan,
        jumps: bool = False,
    ) -> None:
        """Add the position of a device at an instant after its last one.

        Parameters
        ----------
        name, kind : identity of the device; names are unique within a kind
        time_s : instant [s]
        x, y : position [m or degrees]
        line : line of the file
        z_m, speed_mps : height [m] and speed [m/s], NaN if unknown
        jumps : whether the device moves here from its last position in no time
        """
        device = self._devices.get((kind, name))
        if device is None:
            device = self._begin(name, kind, line)
        elif device.values[-_WIDTH] == time_s:
            raise self.bad_row(
                f"an id may occur once at an instant, got {name!r} twice at {time_s:g} s"
                f"{self.duplicates}",
                line,
            )
        elif device.values[-_WIDTH] > time_s:
            raise self.bad_row(
                f"time must not run backwards, got {time_s:g} s after {device.values[-_WIDTH]:g} s",
                line,
            )
        self._count += 1
        if self._count > MAX_SAMPLES:
            raise self.error(f"a trace may have at most {MAX_SAMPLES} samples, got more", line)
        if device.breaks_next:
            device.breaks.append(len(device))
            device.breaks_next = False
        if jumps:
            device.jumps.append(len(device))
        device.values.extend((time_s, x, y, z_m, speed_mps))

    def end_segment(self, name: str, kind: str = "") -> None:
        """End the presence of a device until its next sample."""
        device = self._devices.get((kind, name))
        if device is not None:
            device.breaks_next = True

    def tracks(self) -> Tracks:
        """Return the collected samples."""
        if not self._devices:
            raise self.error(f"a trace must have at least one sample, got none{self._left_out()}")
        if self._omissions:
            self._notes.append(
                f"{self._omissions} row{'s' * (self._omissions > 1)} left out: "
                + "; ".join(self._omitted)
                + ("; ..." if self._omissions > len(self._omitted) else "")
            )
        by_name: dict[str, Track] = {}
        taken = {name for _, name in self._devices}
        for (_, name), device in self._devices.items():
            label, number = name, 1
            while label in by_name or (number > 1 and label in taken):
                number += 1
                label = f"{name} ({number})"
            by_name[label] = _track(device)
        return Tracks(
            by_name,
            complete=self.complete,
            lasting=self.lasting,
            wall_clock=self.wall_clock,
            teleporting=self.teleporting,
            origin=self._origin,
            notes=tuple(self._notes),
        )

    def _left_out(self) -> str:
        """Return how many rows were left out, as the end of a sentence."""
        if not self._omissions:
            return ""
        return f": {self._omissions} invalid rows were left out, such as {self._omitted[0]}"

    def _placed(self, what: str, line: int | None) -> str:
        """Return a message with its place in the file."""
        return f"{self.file}: {what}" if line is None else f"{self.file}:{line}: {what}"

    def _begin(self, name: str, kind: str, line: int) -> _Device:
        """Return a new device."""
        if not 1 <= len(name) <= MAX_ID:
            raise self.bad_row(
                f"an id must have 1 to {MAX_ID} characters, got {len(name)} of them", line
            )
        if len(self._devices) >= MAX_DEVICES:
            raise self.error(f"a trace may have at most {MAX_DEVICES} devices, got more", line)
        return self._devices.setdefault((kind, name), _Device())


def _track(device: _Device) -> Track:
    """Return the track of a device."""
    values: Floats = np.array(device.values).reshape(-1, _WIDTH)
    heights_m, speeds_mps = values[:, 3], values[:, 4]
    return Track(
        values[:, :3].copy(),
        breaks=np.array(device.breaks, dtype=np.int64),
        jumps=np.array(device.jumps, dtype=np.int64),
        heights_m=heights_m.copy() if np.any(np.isfinite(heights_m)) else None,
        top_speed_mps=float(np.nanmax(speeds_mps)) if np.any(np.isfinite(speeds_mps)) else None,
    )
