"""The exceptions of the program and their one-line messages."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

Made = TypeVar("Made")


class ScenarioError(ValueError):
    """Invalid scenario or invalid file named by it; the message says where and why."""


class MultipleScenarioError(ScenarioError):
    """Several errors of one scenario, a line each.

    Parameters
    ----------
    errors : the errors, at least two
    """

    def __init__(self, errors: Sequence[ScenarioError]) -> None:
        super().__init__("\n".join(map(str, errors)))
        self.errors = tuple(errors)


class UserCodeError(ScenarioError):
    """Error in a user-defined part, which is the cause."""


class DivergedError(ScenarioError):
    """Training of a run whose numbers are no longer finite."""


class DataWarning(UserWarning):
    """Data that are fewer than a scenario asks for."""


class Terminated(SystemExit):
    """Termination by a signal; the exit code is 128 plus its number."""


_LONGEST = 1000
_MOST_ERRORS = 50


def together(errors: Sequence[ScenarioError]) -> ScenarioError:
    """Return one exception for errors, of which equal ones are named once."""
    different = {
        str(each): each
        for error in errors
        for each in (error.errors if isinstance(error, MultipleScenarioError) else (error,))
    }
    found = list(different.values())
    return found[0] if len(found) == 1 else MultipleScenarioError(found)


def collected(
    errors: list[ScenarioError], instead: Made, make: Callable[..., Made], *arguments: Any
) -> Made:
    """Return what a function makes of its arguments; on an error, collect it and return another.

    Parameters
    ----------
    errors : collects the error
    instead : value with which the other errors can be found
    make, arguments : the function and its arguments
    """
    try:
        return make(*arguments)
    except ScenarioError as error:
        errors.append(error)
        return instead


def error_lines(error: ScenarioError | OSError | MemoryError) -> Iterator[str]:
    """Yield a line for each error of the input, the files or the machine; of many, the first."""
    if not isinstance(error, MultipleScenarioError):
        yield error_message(error)
        return
    for each in error.errors[:_MOST_ERRORS]:
        yield error_message(each)
    if len(error.errors) > _MOST_ERRORS:
        yield f"and {len(error.errors) - _MOST_ERRORS} more errors"


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
