"""Rows of a table in text, with a header and one of three separators."""

from __future__ import annotations

import csv
from collections.abc import Iterator

from wnsim.mobility.trace_files.content import lines
from wnsim.mobility.trace_files.samples import Samples


def table(
    samples: Samples, content: Iterator[bytes]
) -> tuple[list[str], Iterator[tuple[int, list[str]]]]:
    """Return the header of a table, and its rows with their lines; blank lines are ignored.

    Columns are separated by whichever of semicolon, comma and tab is most frequent in the header.
    Rows of another width than the header, or with an open quotation, are invalid.
    """
    text = lines(samples, content)
    first = next(text, "")
    separator = max(";,\t", key=first.count)
    try:
        header = [name.strip() for name in _split(first, separator)]
    except csv.Error as problem:
        raise samples.error(f"the line is not comma-separated: {problem}", 1) from None
    return header, _rows(samples, text, separator, len(header))


def _rows(
    samples: Samples, text: Iterator[str], separator: str, width: int
) -> Iterator[tuple[int, list[str]]]:
    """Yield line and values of each row."""
    for line, content in enumerate(text, start=2):
        if not content or content.isspace():
            continue
        try:
            row = _split(content, separator)
        except csv.Error as problem:
            samples.skip(samples.bad_row(f"the line is not comma-separated: {problem}", line))
            continue
        if len(row) != width:
            samples.skip(samples.bad_row(f"a line must have {width} values, got {len(row)}", line))
            continue
        yield line, row


def _split(line: str, separator: str) -> list[str]:
    """Return the values of a line."""
    return next(csv.reader([line], delimiter=separator, strict=True), [])
