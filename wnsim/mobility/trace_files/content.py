"""Bytes and lines of a file, in pieces and within bounds."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

from wnsim.mobility.trace_files.samples import Samples

MAX_BYTES = 2 << 30
MAX_LINES = 50_000_000
PIECE = 1 << 16


def pieces(samples: Samples, piece: bytes, stream: BinaryIO) -> Iterator[bytes]:
    """Yield the pieces of a stream, within a bound on its size."""
    total = 0
    while piece:
        total += len(piece)
        if total > MAX_BYTES:
            raise samples.error(f"a trace may have at most {MAX_BYTES} bytes, got more")
        yield piece
        piece = stream.read(PIECE)


def lines(samples: Samples, content: Iterator[bytes], longest: int = PIECE) -> Iterator[str]:
    """Yield the lines of UTF-8 text that arrives in pieces, within a bound on their length."""
    rest: list[bytes] = []
    size = number = 0
    for piece in content:
        first, *others = piece.split(b"\n")
        rest.append(first)
        size += len(first)
        for other in others:
            _check_length(samples, size, longest, number + 1)
            number += 1
            if number > MAX_LINES:
                raise samples.error(f"a trace may have at most {MAX_LINES} lines, got more")
            yield _text(samples, b"".join(rest), number)
            rest, size = [other], len(other)
        _check_length(samples, size, longest, number + 1)
    if size:
        yield _text(samples, b"".join(rest), number + 1)


def _check_length(samples: Samples, size: int, longest: int, number: int) -> None:
    """Raise ValueError for a line that is too long."""
    if size > longest:
        raise samples.error(f"a line may have at most {longest} bytes, got more", number)


def _text(samples: Samples, line: bytes, number: int) -> str:
    """Return a line as text, without the byte order mark of the first; empty if left out."""
    try:
        text = line.decode("utf-8-sig" if number == 1 else "utf-8")
    except UnicodeDecodeError:
        samples.skip(samples.bad_row("text must be UTF-8", number))
        return ""
    return text.rstrip("\r")
