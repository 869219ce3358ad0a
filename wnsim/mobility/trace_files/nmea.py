"""Reader of NMEA 0183 logs of satellite receivers: one device per file.

Positions and dates are those of RMC sentences, positions and heights those of GGA sentences; the
sentences with one time of day are one point. Points without a fix are ignored, other sentences too.
Without any date, time is that of the day.

Sources: NMEA 0183, sentences RMC and GGA, as described by the manuals of receivers, such as u-blox
M8, "Receiver description including protocol specification", 31.2.
"""

from __future__ import annotations

import functools
import math
import operator
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from wnsim.mobility.trace_files.content import lines
from wnsim.mobility.trace_files.recorder import Recorder
from wnsim.mobility.trace_files.samples import BadRowError, Samples

_SENTENCE = re.compile(r"[$!]([A-Z0-9]{4,12},[^*]*)(?:\*([0-9A-Fa-f]{2}))?\s*")
_TIME = re.compile(r"(\d\d)(\d\d)(\d\d(?:\.\d+)?)")
_DATE = re.compile(r"(\d\d)(\d\d)(\d\d)")
_ANGLE = re.compile(r"(\d{1,3})(\d\d(?:\.\d+)?)")
_SIGNS = {"N": 1.0, "S": -1.0, "E": 1.0, "W": -1.0}
_DAY_S = 86_400.0
# Two-digit years from this one on are of the twentieth century.
_FIRST_YEAR = 80


def read_nmea(samples: Samples, content: Iterator[bytes]) -> None:
    """Read the sentences of a receiver."""
    samples.degrees = samples.complete = samples.wall_clock = True
    log = _Log(samples)
    for line, text in enumerate(lines(samples, content), start=1):
        if not text or text.isspace() or text.startswith("#"):
            continue
        try:
            log.add(_fields(samples, text, line), line)
        except BadRowError as problem:
            samples.skip(problem)
    log.end()


def _fields(samples: Samples, text: str, line: int) -> list[str]:
    """Return the fields of a sentence, if its checksum is right."""
    match = _SENTENCE.fullmatch(text)
    if match is None:
        raise samples.bad_row(f"a line must be a sentence of NMEA 0183, got {text[:40]!r}", line)
    if match[2] is not None:
        found = functools.reduce(operator.xor, match[1].encode())
        if found != int(match[2], 16):
            raise samples.bad_row(
                f"the checksum must be that of the sentence, {found:02X}, got {match[2]}", line
            )
    return match[1].split(",")


class _Log:
    """Points of a receiver, each from the sentences with one time of day."""

    def __init__(self, samples: Samples) -> None:
        self._samples = samples
        self._recorder = Recorder(samples, samples.free_name(Path(samples.file).stem))
        self._midnight: datetime | None = None
        # Days since the first point, in logs without a date.
        self._days = 0
        self._dated: bool | None = None
        self._last_s = -math.inf
        self._time = ""
        self._place: tuple[float, float] | None = None
        self._z_m = math.nan
        self._line = 0

    def add(self, fields: list[str], line: int) -> None:
        """Add a sentence."""
        kind = fields[0][2:]
        if kind not in ("RMC", "GGA"):
            return
        wanted = 10 if kind == "RMC" else 12
        if len(fields) < wanted:
            raise self._samples.bad_row(
                f"a sentence {kind} must have {wanted - 1} fields or more, got {len(fields) - 1}",
                line,
            )
        if fields[1] != self._time:
            self._flush()
            self._time, self._line = fields[1], line
        if kind == "RMC":
            if fields[9]:
                self._midnight = self._date(fields[9], line)
            if fields[2] != "A":
                return
            self._place = self._position(fields[3:7], line)
        elif fields[6] not in ("", "0"):
            self._place = self._place or self._position(fields[2:6], line)
            self._z_m = self._samples.optional(fields[9])

    def end(self) -> None:
        """End the log."""
        self._flush()
        self._recorder.end()

    def _flush(self) -> None:
        """Pass on the point of the sentences so far."""
        place, z_m, self._place, self._z_m = self._place, self._z_m, None, math.nan
        if place is None:
            return
        try:
            self._add_point(place, z_m)
        except BadRowError as problem:
            self._samples.skip(problem)

    def _add_point(self, place: tuple[float, float], z_m: float) -> None:
        """Pass on a point."""
        match = _TIME.fullmatch(self._time)
        if match is None:
            raise self._samples.bad_row(f"time must be hhmmss, got {self._time[:40]!r}", self._line)
        time_s = 3600.0 * int(match[1]) + 60.0 * int(match[2]) + float(match[3])
        if self._dated is None:
            self._dated = self._midnight is not None
        if time_s < self._last_s - _DAY_S / 2.0:
            self._days += 1
        self._last_s = time_s
        if self._dated and self._midnight is not None:
            when = self._midnight + timedelta(seconds=time_s)
            self._recorder.point(when, *place, self._line, z_m)
        else:
            since_s = time_s + self._days * _DAY_S
            self._recorder.point_at(since_s, *place, self._line, z_m, time_s.is_integer())

    def _date(self, text: str, line: int) -> datetime:
        """Return the midnight at which a day begins, from ddmmyy."""
        match = _DATE.fullmatch(text)
        try:
            day, month, year = map(int, match.groups() if match else ())
            return datetime(year + (1900 if year >= _FIRST_YEAR else 2000), month, day, tzinfo=UTC)
        except ValueError:
            raise self._samples.bad_row(f"a date must be ddmmyy, got {text[:40]!r}", line) from None

    def _position(self, fields: list[str], line: int) -> tuple[float, float]:
        """Return longitude and latitude [degrees] from ddmm.mm, N or S, dddmm.mm, E or W."""
        angles = []
        for text, side in (fields[2:4], fields[0:2]):
            match = _ANGLE.fullmatch(text)
            if match is None or side not in _SIGNS:
                raise self._samples.bad_row(
                    f"an angle must be ddmm.mm with its side, got {text[:40]!r} {side[:4]!r}", line
                )
            angles.append(_SIGNS[side] * (int(match[1]) + float(match[2]) / 60.0))
        return angles[0], angles[1]
