"""Readers of recorded rates of one device: mahimahi, and drive tests.

A rate that a program reports for an interval holds during that interval. Time starts with the first
interval of a recording.

Sources: manual page of mm-link, mahimahi 0.98 (a line is the time in ms at which 1500 bytes can be
delivered; the trace repeats); Raca et al., "Beyond throughput, the next generation: a 5G dataset
with channel and context metrics", MMSys 2020 (DL_bitrate and UL_bitrate in kbit/s); README of
Lumos5G 1.0 (seconds of a run, iPerf throughput), IMC 2020, in Mbit/s; README of NYU-METS (iPerf
throughput of each second), in Mbit/s; van der Hooft et al., "4G/LTE bandwidth logs" (milliseconds,
latitude, longitude, bytes and duration of each interval), also the form of Riiser et al., MMSys
2013.
"""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import chain, groupby, pairwise
from typing import Literal

import numpy as np

from wnsim.channel.replay_lines import BadLineError, Lines, OnBadRow
from wnsim.core.files import opened
from wnsim.core.units import Floats

Recording = Literal["auto", "table", "mahimahi", "ucc", "lumos5g", "nyu-mets", "ghent"]
_PACKET_BITS = 12_000
_MOST_BPS = 1e15
_MOST_S = 9e9
_UCC = ("Timestamp", "DL_bitrate")
_LUMOS = ("run_num", "seq_num", "Throughput")
_GHENT = re.compile(r"\d{9,13} \d+ -?\d+(\.\d+)? -?\d+(\.\d+)? \d+ \d+")
_NUMBER = re.compile(r"\s*[-+0-9.eE]+\s*(,.*)?")


@dataclass(frozen=True)
class Link:
    """Rates of a link in one direction.

    Parameters
    ----------
    samples : (S, 2) instants [s] and the rates from then on [bit/s]
    end_s : end of the last interval [s]
    """

    samples: Floats
    end_s: float


@dataclass(frozen=True)
class Recorded:
    """Recording of one device: its downlink, its uplink if measured, and whether it repeats."""

    down: Link
    up: Link | None = None
    wraps: bool = False


def layout_of(first: str) -> str:
    """Return the format of a file from its first line."""
    names = [name.strip() for name in first.split(",")]
    if set(_UCC) <= set(names):
        return "ucc"
    if set(_LUMOS) <= set(names):
        return "lumos5g"
    if _GHENT.fullmatch(first.strip()):
        return "ghent"
    return "series" if _NUMBER.fullmatch(first) else "table"


def recorded(
    files: Sequence[str], layout: str, on_bad_row: OnBadRow, notes: list[str]
) -> list[Recorded]:
    """Return the recordings of files, in order; a file may have several.

    Parameters
    ----------
    files : the files
    layout : their format, or "auto"
    on_bad_row : whether an invalid row is an error, or left out
    notes : receives a note about rows that were left out

    Raises
    ------
    ValueError
        if a file cannot be read, or is of none of the formats
    """
    found: list[Recorded] = []
    for file in files:
        lines = Lines(file, on_bad_row)
        with opened(file, lines.error) as stream:
            text = lines.of(stream)
            first = next(text, "")
            kind = layout_of(first) if layout == "auto" else layout
            if kind == "table":
                raise lines.error(
                    "a recording must be of mahimahi, UCC, Lumos5G, NYU-METS or Ghent, "
                    f"got {first[:60]!r}",
                    1,
                )
            found += _READERS[kind](lines, enumerate(chain([first], text), start=1))
        notes += [note for note in lines.notes() if note not in notes]
    return found


_Numbered = Iterator[tuple[int, str]]


def _series(lines: Lines, text: _Numbered) -> list[Recorded]:
    """Read numbers one a line: mahimahi if they are whole and never decrease, or else NYU-METS."""
    rows = [(line, content) for line, content in text if content.strip()]
    values = [content.strip() for _, content in rows]
    whole = all(value.isdecimal() for value in values)
    if whole and all(int(one) <= int(other) for one, other in pairwise(values)):
        return _mahimahi(lines, iter(rows))
    return _nyu_mets(lines, iter(rows))


def _mahimahi(lines: Lines, text: _Numbered) -> list[Recorded]:
    """Read delivery opportunities; each is a rate over the millisecond that it ends."""
    opportunities_ms: list[int] = []
    for line, content in text:
        if not content.strip():
            continue
        try:
            at_ms = lines.number(content, "time", (0.0, 1e12), line)
            if not at_ms.is_integer() or (opportunities_ms and at_ms < opportunities_ms[-1]):
                raise lines.bad(
                    "a line must be a whole number of milliseconds, no less than the one before, "
                    f"got {content[:40]!r}",
                    line,
                )
            opportunities_ms.append(int(at_ms))
        except BadLineError as problem:
            lines.skip(problem)
    if not opportunities_ms or opportunities_ms[-1] == 0:
        raise lines.error("a trace of mahimahi must have an opportunity after 0 ms, got none")
    # What can be delivered at 0 ms is deliverable when the trace repeats.
    moved_ms = np.maximum(np.array(opportunities_ms), 1)
    at_ms_, counts = np.unique(moved_ms, return_counts=True)
    changes = np.zeros(2 * at_ms_.size + 1)
    when_ms = np.zeros(2 * at_ms_.size + 1)
    when_ms[1::2], when_ms[2::2] = at_ms_ - 1, at_ms_
    changes[1::2] = counts * _PACKET_BITS * 1e3
    # Where two values are of one instant, the later one holds.
    last = np.append(np.diff(when_ms) > 0.0, True)
    samples = np.column_stack([when_ms / 1e3, changes])[last]
    end_s = float(at_ms_[-1]) / 1e3
    return [Recorded(Link(samples[samples[:, 0] < end_s], end_s), wraps=True)]


def _nyu_mets(lines: Lines, text: _Numbered) -> list[Recorded]:
    """Read the throughput of each second [Mbit/s], in the first column."""
    rates_bps: list[float] = []
    for line, content in text:
        value = content.partition(",")[0].strip()
        # The first line may be a header.
        if not value or (line == 1 and not _NUMBER.fullmatch(value)):
            continue
        try:
            rates_bps.append(1e6 * lines.number(value, "a rate", (0.0, _MOST_BPS / 1e6), line))
        except BadLineError as problem:
            lines.skip(problem)
            # The second counts even if its rate is unknown: the one before holds.
            rates_bps.append(rates_bps[-1] if rates_bps else 0.0)
    return [Recorded(_link(lines, np.arange(float(len(rates_bps))), [rates_bps])[0])]


def _rows(
    lines: Lines, text: _Numbered, wanted: Sequence[str]
) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield line and values by column of a table with some columns."""
    header: list[str] | None = None
    for line, content in text:
        if not content.strip():
            continue
        try:
            row = next(csv.reader([content], strict=True))
        except csv.Error as problem:
            lines.skip(lines.bad(f"the line is not comma-separated: {problem}", line))
            continue
        if header is None:
            header = [name.strip() for name in row]
            if not set(wanted) <= set(header):
                raise lines.error(
                    f"the columns must include {', '.join(wanted)}, got {content[:60]!r}", line
                )
        elif len(row) != len(header):
            lines.skip(lines.bad(f"a line must have {len(header)} values, got {len(row)}", line))
        else:
            yield line, dict(zip(header, row, strict=True))


def _ucc(lines: Lines, text: _Numbered) -> list[Recorded]:
    """Read down- and uplink rates [kbit/s]; those of an idle application are left out."""
    when: list[datetime] = []
    rates_bps: tuple[list[float], list[float]] = ([], [])
    for line, row in _rows(lines, text, _UCC):
        if row.get("State", "D").strip() == "I":
            continue
        try:
            values = [
                1e3 * lines.number(row.get(name, "0"), name, (0.0, _MOST_BPS / 1e3), line)
                for name in ("DL_bitrate", "UL_bitrate")
            ]
            try:
                at = datetime.strptime(f"{row['Timestamp'].strip()}Z", "%Y.%m.%d_%H.%M.%S%z")
            except ValueError:
                raise lines.bad(
                    f"Timestamp must be YYYY.MM.DD_hh.mm.ss, got {row['Timestamp'][:40]!r}", line
                ) from None
            if when and at < when[-1]:
                raise lines.bad(f"time must not run backwards, got {row['Timestamp'][:40]}", line)
            when.append(at)
            for series, value in zip(rates_bps, values, strict=True):
                series.append(value)
        except BadLineError as problem:
            lines.skip(problem)
    when_s = _spread(np.array([(at - when[0]).total_seconds() for at in when]))
    down, up = _link(lines, when_s, rates_bps)
    return [Recorded(down, up)]


def _lumos(lines: Lines, text: _Numbered) -> list[Recorded]:
    """Read the throughput [Mbit/s] of each second of each run; a run is a recording."""
    runs: dict[str, list[tuple[float, float]]] = {}
    for line, row in _rows(lines, text, _LUMOS):
        try:
            second = lines.number(row["seq_num"], "seq_num", (0.0, _MOST_S), line)
            rate = lines.number(row["Throughput"], "Throughput", (0.0, _MOST_BPS / 1e6), line)
            run = runs.setdefault(row["run_num"], [])
            if run and second <= run[-1][0]:
                raise lines.bad(f"seq_num must increase in a run, got {second:g}", line)
            run.append((second, 1e6 * rate))
        except BadLineError as problem:
            lines.skip(problem)
    if not runs:
        raise lines.error("a recording must have at least one sample, got none")
    series = [np.array(run) for run in runs.values()]
    return [
        Recorded(_link(lines, run[:, 0] - run[0, 0], [run[:, 1].tolist()])[0]) for run in series
    ]


def _ghent(lines: Lines, text: _Numbered) -> list[Recorded]:
    """Read the bytes of each interval, which ends at its time."""
    begins_s: list[float] = []
    rates_bps: list[float] = []
    end_s = -math.inf
    for line, content in text:
        words = content.split()
        if not words:
            continue
        try:
            if len(words) != 6:
                raise lines.bad(f"a line must have 6 values, got {len(words)}", line)
            at_s = 1e-3 * lines.number(words[1], "the time", (0.0, 1e12), line)
            bits = 8.0 * lines.number(words[4], "the bytes", (0.0, 1e15), line)
            took_s = 1e-3 * lines.number(words[5], "the duration", (1.0, 1e9), line)
            # Intervals that overlap by a rounded millisecond follow each other.
            begin_s = max(at_s - took_s, end_s)
            if not begin_s < at_s:
                raise lines.bad(f"time must not run backwards, got {words[1]} ms", line)
            begins_s.append(begin_s)
            rates_bps.append(bits / took_s)
            end_s = at_s
        except BadLineError as problem:
            lines.skip(problem)
    first_s = begins_s[0] if begins_s else 0.0
    (link,) = _link(lines, np.array(begins_s) - first_s, [rates_bps])
    return [Recorded(Link(link.samples, end_s - first_s))]


def _spread(when_s: Floats) -> Floats:
    """Return instants in which those of one whole second are spread over it [s]."""
    spread: list[float] = []
    for second, group in groupby(when_s.tolist()):
        size = len(list(group))
        spread += [second + number / size for number in range(size)]
    return np.array(spread)


def _link(lines: Lines, when_s: Floats, series: Sequence[Sequence[float]]) -> list[Link]:
    """Return a link for each series of rates [bit/s]; the last rate holds for a median step."""
    if not when_s.size:
        raise lines.error("a recording must have at least one sample, got none")
    step_s = float(np.median(np.diff(when_s))) if when_s.size > 1 else 1.0
    end_s = float(when_s[-1]) + step_s
    return [Link(np.column_stack([when_s, rates_bps]), end_s) for rates_bps in series]


_READERS: dict[str, Callable[[Lines, _Numbered], list[Recorded]]] = {
    "series": _series,
    "mahimahi": _mahimahi,
    "nyu-mets": _nyu_mets,
    "ucc": _ucc,
    "lumos5g": _lumos,
    "ghent": _ghent,
}
