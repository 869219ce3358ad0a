"""Lines of a file of measured links, within bounds, and errors with their place in it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import BinaryIO, Literal

MAX_SAMPLES = 10_000_000
MAX_LINE_BYTES = 8192
_MAX_LINES = MAX_SAMPLES + 1
# Number of omitted lines that a note names.
_NAMED = 3
OnBadRow = Literal["error", "skip"]


class BadLineError(ValueError):
    """Error of a single line, which may be left out."""


class Lines:
    """Lines of one file.

    Parameters
    ----------
    file : path of the file
    on_bad_row : whether an invalid line is an error, or left out
    """

    def __init__(self, file: str, on_bad_row: OnBadRow) -> None:
        self.file = file
        self._on_bad_row = on_bad_row
        self._omitted: list[str] = []
        self._omissions = 0

    def of(self, stream: BinaryIO) -> Iterator[str]:
        """Yield the lines of UTF-8 text, within bounds on their length and number."""
        for number in range(1, _MAX_LINES + 2):
            line = stream.readline(MAX_LINE_BYTES + 1)
            if not line:
                return
            if len(line) > MAX_LINE_BYTES:
                raise self.error(
                    f"a line may have at most {MAX_LINE_BYTES} bytes, got more", number
                )
            try:
                text = line.decode("utf-8-sig" if number == 1 else "utf-8")
            except UnicodeDecodeError:
                self.skip(self.bad("text must be UTF-8", number))
                text = ""
            yield text.rstrip("\r\n")
        raise self.error(f"a table may have at most {MAX_SAMPLES} samples, got more")

    def number(self, text: str, what: str, span: tuple[float, float], line: int) -> float:
        """Return a number within bounds.

        Raises
        ------
        BadLineError
            if it is none, or out of bounds
        """
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not span[0] <= value <= span[1]:
            raise self.bad(
                f"{what} must be from {span[0]:g} to {span[1]:g}, got {text[:40]!r}", line
            )
        return value

    def skip(self, problem: BadLineError) -> None:
        """Leave out a line, and count it.

        Raises
        ------
        BadLineError
            the problem, if invalid lines are errors
        """
        if self._on_bad_row == "error":
            raise problem from None
        self._omissions += 1
        if len(self._omitted) < _NAMED:
            self._omitted.append(str(problem))

    def notes(self) -> tuple[str, ...]:
        """Return a note about the lines that were left out, if there are any."""
        if not self._omissions:
            return ()
        more = "; ..." if self._omissions > len(self._omitted) else ""
        rows = f"{self._omissions} row{'s' * (self._omissions > 1)} left out: "
        return (rows + "; ".join(self._omitted) + more,)

    def error(self, what: str, line: int | None = None) -> ValueError:
        """Return an error of the whole file, with its place in it."""
        return ValueError(self._placed(what, line))

    def bad(self, what: str, line: int) -> BadLineError:
        """Return an error of one line."""
        return BadLineError(self._placed(what, line))

    def _placed(self, what: str, line: int | None) -> str:
        """Return a message with its place in the file."""
        return f"{self.file}: {what}" if line is None else f"{self.file}:{line}: {what}"
