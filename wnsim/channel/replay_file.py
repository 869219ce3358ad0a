"""Reader of measured links: a table of links, or recordings of one device's up- and downlink.

A table has the header `t_s,source,target` and one or more of `gain_db`, `rate_bps` and `latency_s`;
with gains also `mean_gain_db`, the gain without fading, and in place of `gain_db` one column for
each subband, `gain_db_0` and so on. Cells of gains may be empty: there is no sample of them then.
Devices are given by name or, if no device has that name, by number; base stations are `station-0`
and so on, and the server behind them is `server`. Files are untrusted: lines and samples are
bounded, and any error is a one-line message.
"""

from __future__ import annotations

import csv
import math
from array import array
from collections.abc import Collection, Iterator, Sequence
from itertools import chain

import numpy as np

from wnsim.channel.replay_lines import BadLineError, Lines, OnBadRow
from wnsim.channel.replay_recordings import layout_of, recorded
from wnsim.core.files import opened
from wnsim.core.units import LONGEST_S, Floats

_KEYS = ["t_s", "source", "target"]
# Least and largest value of each optional column. A passive link has no gain above 0 dB.
_COLUMNS = {"gain_db": (-1000.0, 0.0), "rate_bps": (0.0, 1e15), "latency_s": (0.0, LONGEST_S)}
_MEAN = "mean_gain_db"
# Begin of the names of columns of subbands.
BAND_GAIN = "gain_db_"
_MOST_BANDS = 256


class MeasuredLinks:
    """Content of files of measured links.

    Parameters
    ----------
    columns : names of the measured quantities
    samples : (S, 1 + columns) instants [s], ascending, and values, by source and target
    ends_s : instant at which the measurement of a link ends, by source and target [s]
    wraps : links whose format says that measurements repeat after their end
    notes : what a user should know about how the files were read
    """

    def __init__(
        self,
        columns: Sequence[str],
        samples: dict[tuple[int, int], Floats],
        ends_s: dict[tuple[int, int], float],
        *,
        wraps: Collection[tuple[int, int]] = (),
        notes: tuple[str, ...] = (),
    ) -> None:
        self.columns, self.samples, self.ends_s = list(columns), samples, ends_s
        self.wraps, self.notes = wraps, notes


def read(
    files: Sequence[str],
    uplinks: Sequence[str],
    names: Sequence[str],
    stations: int = 0,
    *,
    layout: str = "auto",
    on_bad_row: OnBadRow = "error",
) -> MeasuredLinks:
    """Read measured links, plain or compressed with gzip.

    Parameters
    ----------
    files : one table, or recordings in the order of the devices
    uplinks : recordings of uplinks in the order of the devices, if they have files of their own
    names : names of the devices in the order of their numbers
    stations : number of base stations; with any, there is a server behind them
    layout : format of the files; "auto" infers it from their content
    on_bad_row : whether an invalid row is an error, or left out and noted

    Raises
    ------
    ValueError
        if a file cannot be read or is malformed, or recordings are not as many as devices
    """
    if len(files) == 1 and not uplinks:
        lines = Lines(files[0], on_bad_row)
        with opened(files[0], lines.error) as stream:
            text = lines.of(stream)
            first = next(text, "")
            if layout == "table" or (layout == "auto" and layout_of(first) == "table"):
                return _Table(lines, names, stations).read(chain([first], text))
    return _recordings(files, uplinks, len(names), stations, layout, on_bad_row)


def _recordings(
    files: Sequence[str],
    uplinks: Sequence[str],
    count: int,
    stations: int,
    layout: str,
    on_bad_row: OnBadRow,
) -> MeasuredLinks:
    """Return the links between devices and the server that files recorded."""
    if not stations:
        raise ValueError(
            f"{files[0]}: recordings of a device's rates are of links with a server: they need a "
            "section base_stations"
        )
    notes: list[str] = []
    down = recorded(files, layout, on_bad_row, notes)
    up = recorded(uplinks, layout, on_bad_row, notes)
    server, ends_s = count + stations, {}
    samples: dict[tuple[int, int], Floats] = {}
    for what, found in (("downlink", down), ("uplink", up)):
        if found and len(found) < count:
            raise ValueError(
                f"{files[0]}: there must be a recording of the {what} of each device, "
                f"got {len(found)} for {count}"
            )
    wraps: list[tuple[int, int]] = []
    for device in range(count):
        links = [((server, device), down[device], down[device].down)]
        uplink = (up[device], up[device].down) if up else (down[device], down[device].up)
        if uplink[1] is not None:
            links.append(((device, server), uplink[0], uplink[1]))
        for pair, recording, link in links:
            samples[pair], ends_s[pair] = link.samples, link.end_s
            wraps += [pair] * recording.wraps
    return MeasuredLinks(["rate_bps"], samples, ends_s, wraps=wraps, notes=tuple(notes))


class _Table:
    """Reader of a table of links."""

    def __init__(self, lines: Lines, names: Sequence[str], stations: int) -> None:
        self._lines = lines
        self._number = {str(n): n for n in range(len(names))}
        if stations:
            places = [f"station-{n}" for n in range(stations)]
            self._number |= {name: len(names) + n for n, name in enumerate([*places, "server"])}
        self._number |= {name: n for n, name in enumerate(names)}
        self._samples: dict[tuple[int, int], array[float]] = {}

    def read(self, text: Iterator[str]) -> MeasuredLinks:
        """Return the measured columns, and the samples of each directed link."""
        columns = self._header(next(csv.reader([next(text, "")])), self._lines)
        for number, line in enumerate(text, start=2):
            if not line or line.isspace():
                continue
            try:
                self._add(self._row(line, number), columns, number)
            except BadLineError as problem:
                self._lines.skip(problem)
        if not self._samples:
            raise self._lines.error("a table must have at least one sample, got none")
        width = 1 + len(columns)
        samples = {pair: np.array(each).reshape(-1, width) for pair, each in self._samples.items()}
        return MeasuredLinks(
            columns,
            samples,
            dict.fromkeys(samples, _end_s(list(samples.values()))),
            notes=self._lines.notes(),
        )

    @staticmethod
    def _header(header: list[str], lines: Lines) -> list[str]:
        """Return the measured columns of a header."""
        columns = header[len(_KEYS) :]
        bands = [name for name in columns if name.startswith(BAND_GAIN)]
        own = [f"{BAND_GAIN}{band}" for band in range(len(bands))]
        whole = bands == own[:_MOST_BANDS] and not (bands and "gain_db" in columns)
        gains = bool(bands) or "gain_db" in columns
        allowed = {*_COLUMNS, *own, *([_MEAN] if gains else [])}
        known = set(columns) <= allowed and len(set(columns)) == len(columns) and whole
        if header[: len(_KEYS)] != _KEYS or not columns or not known:
            raise lines.error(
                f"the first line must be {','.join(_KEYS)} and one or more of "
                f"{', '.join(_COLUMNS)}, got {','.join(header)[:60]!r}",
                1,
            )
        return columns

    def _row(self, line: str, number: int) -> list[str]:
        """Return the values of a line."""
        try:
            return next(csv.reader([line], strict=True), [])
        except csv.Error as problem:
            raise self._lines.bad(f"the line is not comma-separated: {problem}", number) from None

    def _add(self, row: list[str], columns: list[str], line: int) -> None:
        """Add a sample."""
        width = len(_KEYS) + len(columns)
        if len(row) != width:
            raise self._lines.bad(f"a line must have {width} values, got {len(row)}", line)
        time_s = self._lines.number(row[0], "t_s", (-LONGEST_S, LONGEST_S), line)
        source, target = (self._node(row[n], _KEYS[n], line) for n in (1, 2))
        if source == target:
            raise self._lines.bad(f"a link must join two devices, got {row[1]!r} with itself", line)
        values = [
            self._value(text, name, line)
            for name, text in zip(columns, row[len(_KEYS) :], strict=True)
        ]
        if all(map(math.isnan, values)):
            raise self._lines.bad("a line must have a value, and all of them are empty", line)
        track = self._samples.setdefault((source, target), array("d"))
        if track and track[-1 - len(columns)] >= time_s:
            raise self._lines.bad(
                f"time must increase on a link, got {time_s:g} s after "
                f"{track[-1 - len(columns)]:g} s from {row[1]!r} to {row[2]!r}",
                line,
            )
        track.extend((time_s, *values))

    def _value(self, text: str, name: str, line: int) -> float:
        """Return a value; NaN for an empty cell of a column of gains."""
        is_gain = name.startswith(BAND_GAIN) or name in ("gain_db", _MEAN)
        if is_gain and not text:
            return math.nan
        return self._lines.number(text, name, _COLUMNS["gain_db" if is_gain else name], line)

    def _node(self, text: str, what: str, line: int) -> int:
        """Return the number of a node."""
        if text not in self._number:
            raise self._lines.bad(f"{what} must be a device, got {text[:40]!r}", line)
        return self._number[text]


def _end_s(tracks: Sequence[Floats]) -> float:
    """Return when a table ends: after its last instant by the median time between instants [s]."""
    when_s = np.unique(np.concatenate([track[:, 0] for track in tracks]))
    step_s = float(np.median(np.diff(when_s))) if when_s.size > 1 else 1.0
    return float(when_s[-1]) + step_s
