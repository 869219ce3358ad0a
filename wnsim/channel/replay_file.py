"""Reader of measured links in comma-separated values.

The file has the header `t_s,source,target` and one or more of `gain_db`, `rate_bps` and
`latency_s`; devices are given by name or, if no device has that name, by number. Files are
untrusted: lines and samples are bounded, and any error is a one-line message.
"""

from __future__ import annotations

import csv
import math
from array import array
from collections.abc import Iterator, Sequence
from typing import BinaryIO

import numpy as np

from wnsim.core.files import opened
from wnsim.core.units import LONGEST_S, Floats

MAX_SAMPLES = 10_000_000
MAX_LINE_BYTES = 4096
_MAX_LINES = MAX_SAMPLES + 1
_KEYS = ["t_s", "source", "target"]
# Least and largest value of each optional column.
_COLUMNS = {"gain_db": (-1000.0, 100.0), "rate_bps": (0.0, 1e15), "latency_s": (0.0, LONGEST_S)}


def read(file: str, names: Sequence[str]) -> tuple[list[str], dict[tuple[int, int], Floats]]:
    """Read measured links, plain or compressed with gzip.

    Parameters
    ----------
    file : path of the file
    names : names of the devices in the order of their numbers

    Returns
    -------
    columns : names of the measured quantities
    samples : (S, 1 + columns) instants [s], ascending, and values, by source and target

    Raises
    ------
    ValueError
        if the file cannot be read or is malformed
    """
    return _Reader(file, names).read()


class _Reader:
    """Reader of one file with error messages that name the line."""

    def __init__(self, file: str, names: Sequence[str]) -> None:
        self._file = file
        self._number = {str(n): n for n in range(len(names))}
        self._number |= {name: n for n, name in enumerate(names)}
        self._samples: dict[tuple[int, int], array[float]] = {}

    def read(self) -> tuple[list[str], dict[tuple[int, int], Floats]]:
        """Return the measured columns, and the samples of each directed link."""
        with opened(self._file, self._error) as stream:
            rows = csv.reader(self._lines(stream), strict=True)
            try:
                columns = self._header(next(rows, []))
                for row in rows:
                    self._add(row, columns, rows.line_num)
            except csv.Error as problem:
                raise self._error(
                    f"the line is not comma-separated: {problem}", rows.line_num
                ) from None
        if not self._samples:
            raise self._error("a table must have at least one sample, got none")
        width = 1 + len(columns)
        return columns, {
            pair: np.array(track).reshape(-1, width) for pair, track in self._samples.items()
        }

    def _header(self, header: list[str]) -> list[str]:
        """Return the measured columns of a header."""
        columns = header[len(_KEYS) :]
        known = set(columns) <= set(_COLUMNS) and len(set(columns)) == len(columns)
        if header[: len(_KEYS)] != _KEYS or not columns or not known:
            raise self._error(
                f"the first line must be {','.join(_KEYS)} and one or more of "
                f"{', '.join(_COLUMNS)}, got {','.join(header)[:60]!r}",
                1,
            )
        return columns

    def _add(self, row: list[str], columns: list[str], line: int) -> None:
        """Add a sample."""
        width = len(_KEYS) + len(columns)
        if len(row) != width:
            raise self._error(f"a line must have {width} values, got {len(row)}", line)
        time_s = self._value(row[0], "t_s", (-LONGEST_S, LONGEST_S), line)
        source, target = (self._device(row[n], _KEYS[n], line) for n in (1, 2))
        if source == target:
            raise self._error(f"a link must join two devices, got {row[1]!r} with itself", line)
        track = self._samples.setdefault((source, target), array("d"))
        if track and track[-1 - len(columns)] >= time_s:
            raise self._error(
                f"time must increase on a link, got {time_s:g} s after "
                f"{track[-1 - len(columns)]:g} s from {row[1]!r} to {row[2]!r}",
                line,
            )
        track.append(time_s)
        for name, text in zip(columns, row[len(_KEYS) :], strict=True):
            track.append(self._value(text, name, _COLUMNS[name], line))

    def _device(self, text: str, what: str, line: int) -> int:
        """Return the number of a device."""
        if text not in self._number:
            raise self._error(f"{what} must be a device, got {text[:40]!r}", line)
        return self._number[text]

    def _value(self, text: str, what: str, span: tuple[float, float], line: int) -> float:
        """Return a number within bounds."""
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not span[0] <= value <= span[1]:
            raise self._error(
                f"{what} must be from {span[0]:g} to {span[1]:g}, got {text[:40]!r}", line
            )
        return value

    def _error(self, what: str, line: int | None = None) -> ValueError:
        """Return an error with its place in the file."""
        where = self._file if line is None else f"{self._file}:{line}"
        return ValueError(f"{where}: {what}")

    def _lines(self, stream: BinaryIO) -> Iterator[str]:
        """Yield the lines of UTF-8 text, within bounds on their length and number."""
        for number in range(1, _MAX_LINES + 2):
            line = stream.readline(MAX_LINE_BYTES + 1)
            if not line:
                return
            if len(line) > MAX_LINE_BYTES:
                raise self._error(
                    f"a line may have at most {MAX_LINE_BYTES} bytes, got more", number
                )
            try:
                text = line.decode("utf-8-sig" if number == 1 else "utf-8")
            except UnicodeDecodeError:
                raise self._error("text must be UTF-8", number) from None
            yield text.rstrip("\r\n")
        raise self._error(f"a table may have at most {MAX_SAMPLES} samples, got more")
