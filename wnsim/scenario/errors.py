"""The exceptions of the program and their one-line messages."""

from __future__ import annotations


class ScenarioError(ValueError):
    """Invalid scenario or invalid file named by it; the message says where and why."""


class DivergedError(ScenarioError):
    """Training of a run whose numbers are no longer finite."""


class Terminated(SystemExit):
    """Termination by a signal; the exit code is 128 plus its number."""


_LONGEST = 1000


def error_message(error: ScenarioError | OSError | MemoryError) -> str:
    """Return a one-line message for an error of the input, the files or the machine."""
    if isinstance(error, MemoryError):
        why = f": {error}" if str(error) else ""
        return printable(f"not enough memory on this machine for this scenario{why}")
    text = f"{_file(error)}: {error.strerror}" if isinstance(error, OSError) else str(error)
    # The input may have any length; its place comes first and the problem last.
    if len(text) > _LONGEST:
        text = f"{text[: _LONGEST * 2 // 3]} ... {text[-_LONGEST // 3 :]}"
    return printable(text)


def printable(text: str) -> str:
    """Return a text in one line, whose control characters cannot move the cursor of a terminal."""
    return "".join(each if each.isprintable() else ascii(each)[1:-1] for each in text)


def _file(error: BaseException | None) -> object:
    """Return the file that an error is about; simpy re-raises errors without their file name."""
    while isinstance(error, OSError):
        if error.filename is not None:
            return error.filename
        error = error.__cause__
    return "output"
