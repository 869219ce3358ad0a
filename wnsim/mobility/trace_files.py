"""Reading mobility traces: SUMO floating-car data in XML, and comma-separated samples.

Files are untrusted: they are read in pieces, with bounds on their size, without document type
definitions, entities or external references, and whatever is wrong with one is a single sentence.

Sources: SUMO documentation, "FCDOutput" (elements timestep, vehicle and person; attributes time,
id, x, y).
"""

from __future__ import annotations

import csv
import gzip
import io
import math
import zlib
from array import array
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO
from xml.etree.ElementTree import ParseError

import numpy as np
from defusedxml import DefusedXmlException
from defusedxml.ElementTree import DefusedXMLParser

from wnsim.units import Floats

MAX_SAMPLES = 10_000_000
MAX_BYTES = 2 << 30
_PIECE = 1 << 16
_CSV_HEADER = ["t_s", "id", "x_m", "y_m"]
_GZIP_MAGIC = b"\x1f\x8b"


class Samples:
    """The samples of a trace by device, in order of appearance, checked as they are added."""

    def __init__(self, file: str) -> None:
        self._by_name: dict[str, array[float]] = {}
        self._file = file
        self._count = 0
        self._now_s = -math.inf

    def error(self, what: str, line: int | None = None) -> ValueError:
        """Return an error that says where in the file something is wrong."""
        where = self._file if line is None else f"{self._file}:{line}"
        return ValueError(f"{where}: {what}")

    def number(self, text: str, what: str, line: int) -> float:
        """Return a finite number."""
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            raise self.error(f"{what} must be a finite number, got {text[:40]!r}", line)
        return value

    def advance(self, time_s: float, line: int) -> None:
        """Go on to an instant [s], which must not lie before the last."""
        if time_s < self._now_s:
            raise self.error(
                f"time must not run backwards, got {time_s:g} s after {self._now_s:g} s", line
            )
        self._now_s = time_s

    def add(self, name: str, x_m: float, y_m: float, line: int) -> None:
        """Add the place [m] of a device at the current instant."""
        track = self._by_name.setdefault(name, array("d"))
        if track and track[-3] == self._now_s:
            raise self.error(
                f"an id may occur once at an instant, got {name!r} twice at {self._now_s:g} s", line
            )
        self._count += 1
        if self._count > MAX_SAMPLES:
            raise self.error(f"a trace may have at most {MAX_SAMPLES} samples, got more", line)
        track.extend((self._now_s, x_m, y_m))

    def tracks(self) -> dict[str, Floats]:
        """Return the samples (S, 3) of each device: instant [s], x and y [m]."""
        if not self._by_name:
            raise self.error("a trace must have at least one sample, got none")
        return {name: np.array(track).reshape(-1, 3) for name, track in self._by_name.items()}


def read(file: str, layout: str) -> dict[str, Floats]:
    """Read a trace, plain or compressed with gzip.

    Parameters
    ----------
    file : path of the file
    layout : "sumo-fcd", "csv", or "auto" to tell from the first character of the content

    Returns
    -------
    samples (S, 3) of each device, in order of appearance: instant [s], x and y [m]

    Raises
    ------
    ValueError
        if the file cannot be read, or anything in it is not as it should be
    """
    samples = Samples(file)
    with _opened(samples, file) as stream:
        start = stream.read(_PIECE)
        if layout == "auto":
            layout = "sumo-fcd" if start.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] == b"<" else "csv"
        pieces = _pieces(samples, start, stream)
        if layout == "sumo-fcd":
            _read_fcd(samples, pieces)
        else:
            _read_csv(samples, pieces)
    return samples.tracks()


@contextmanager
def _opened(samples: Samples, file: str) -> Iterator[BinaryIO]:
    """Open a file, through gzip if it is compressed, and tell what may be wrong with that."""
    try:
        with Path(file).open("rb") as raw:
            compressed = raw.read(2) == _GZIP_MAGIC
            raw.seek(0)
            if compressed:
                with gzip.GzipFile(fileobj=raw) as stream:
                    yield io.BufferedReader(stream)
            else:
                yield raw
    except FileNotFoundError:
        raise samples.error("no such file") from None
    except EOFError:
        raise samples.error("the compressed file is truncated") from None
    except (gzip.BadGzipFile, zlib.error) as problem:
        raise samples.error(f"the compressed file is damaged: {problem}") from None
    except OSError as problem:
        raise samples.error(f"the file cannot be read: {problem.strerror}") from None


def _pieces(samples: Samples, piece: bytes, stream: BinaryIO) -> Iterator[bytes]:
    """Return the content in pieces, refusing too much of it."""
    total = 0
    while piece:
        total += len(piece)
        if total > MAX_BYTES:
            raise samples.error(f"a trace may have at most {MAX_BYTES} bytes, got more")
        yield piece
        piece = stream.read(_PIECE)


class _FcdTarget:
    """Receives the elements of floating-car data as the parser meets them."""

    def __init__(self, samples: Samples) -> None:
        self._samples = samples
        self._in_step = False
        self.parser: DefusedXMLParser | None = None

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        """Take an element's attributes."""
        if tag == "timestep":
            time = self._attribute(tag, attributes, "time")
            self._samples.advance(self._samples.number(time, "time", self._line()), self._line())
            self._in_step = True
        elif tag in ("vehicle", "person") and self._in_step:
            line = self._line()
            name = self._attribute(tag, attributes, "id")
            x_m = self._samples.number(self._attribute(tag, attributes, "x"), "x", line)
            y_m = self._samples.number(self._attribute(tag, attributes, "y"), "y", line)
            self._samples.add(name, x_m, y_m, line)

    def end(self, tag: str) -> None:
        """Leave a time step."""
        if tag == "timestep":
            self._in_step = False

    def data(self, text: str) -> None:
        """Ignore text."""

    def close(self) -> None:
        """Do nothing at the end."""

    def _attribute(self, tag: str, attributes: dict[str, str], name: str) -> str:
        if name not in attributes:
            raise self._samples.error(f"a {tag} must have the attribute {name!r}", self._line())
        return attributes[name]

    def _line(self) -> int:
        return int(self.parser.parser.CurrentLineNumber) if self.parser else 0


def _read_fcd(samples: Samples, pieces: Iterator[bytes]) -> None:
    """Read floating-car data, in UTF-8 whatever the document declares."""
    target = _FcdTarget(samples)
    parser = DefusedXMLParser(target=target, encoding="utf-8", forbid_dtd=True)
    target.parser = parser
    try:
        for piece in pieces:
            parser.feed(piece)
        parser.close()
    except DefusedXmlException:
        line = parser.parser.CurrentLineNumber
        raise samples.error("document types and entities are refused in XML", line) from None
    except ParseError as problem:
        raise samples.error(f"the XML is not well-formed: {problem}") from None


def _read_csv(samples: Samples, pieces: Iterator[bytes]) -> None:
    """Read comma-separated samples under the header t_s,id,x_m,y_m."""
    rows = csv.reader(_lines(samples, pieces), strict=True)
    try:
        header = next(rows, [])
        if header != _CSV_HEADER:
            raise samples.error(
                f"the first line must be {','.join(_CSV_HEADER)}, got {','.join(header)[:60]!r}", 1
            )
        for row in rows:
            line = rows.line_num
            if len(row) != len(_CSV_HEADER):
                raise samples.error(f"a line must have 4 values, got {len(row)}", line)
            samples.advance(samples.number(row[0], "t_s", line), line)
            x_m, y_m = (samples.number(row[n], _CSV_HEADER[n], line) for n in (2, 3))
            samples.add(row[1], x_m, y_m, line)
    except csv.Error as problem:
        raise samples.error(f"the line is not comma-separated: {problem}", rows.line_num) from None


def _lines(samples: Samples, pieces: Iterator[bytes]) -> Iterator[str]:
    """Return the lines of UTF-8 text that comes in pieces."""
    rest = b""
    number = 0
    for piece in pieces:
        *lines, rest = (rest + piece).split(b"\n")
        if len(rest) > _PIECE:
            raise samples.error(f"a line may have at most {_PIECE} bytes, got more", number + 1)
        for line in lines:
            number += 1
            yield _text(samples, line, number)
    if rest:
        yield _text(samples, rest, number + 1)


def _text(samples: Samples, line: bytes, number: int) -> str:
    """Return a line as text, without the byte order mark of the first."""
    try:
        text = line.decode("utf-8-sig" if number == 1 else "utf-8")
    except UnicodeDecodeError:
        raise samples.error("text must be UTF-8", number) from None
    return text.rstrip("\r")
