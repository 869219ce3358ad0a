"""The one exception of the program: something in the input is wrong, said in one sentence."""

from __future__ import annotations


class ScenarioError(ValueError):
    """A scenario, or a file that it names, cannot be used; the message says where and why."""


class Ended(SystemExit):
    """The program was told to end, by a signal; 128 and its number is the exit code."""


_LONGEST = 1000


def sentence(error: ScenarioError | OSError | MemoryError) -> str:
    """Return what went wrong: with the input, the files or the machine."""
    if isinstance(error, MemoryError):
        return "not enough memory on this machine for this scenario"
    text = f"{_file(error)}: {error.strerror}" if isinstance(error, OSError) else str(error)
    # What was written may be of any length; where it stands and what is wrong come first and last.
    if len(text) > _LONGEST:
        text = f"{text[: _LONGEST * 2 // 3]} ... {text[-_LONGEST // 3 :]}"
    # Nor does it move the cursor, or begin another line.
    shown = (each if each.isprintable() else ascii(each)[1:-1] for each in text)
    return "".join(shown)


def _file(error: BaseException | None) -> object:
    """Return the file that an error is about; simpy raises errors again without what they name."""
    while isinstance(error, OSError):
        if error.filename is not None:
            return error.filename
        error = error.__cause__
    return "output"
