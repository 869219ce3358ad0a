"""Errors in user-defined parts: one sentence that names the part, and the traceback in a file."""

from __future__ import annotations

import contextlib
import sys
import traceback
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from types import FrameType
from typing import NoReturn

from wnsim.scenario.errors import UserCodeError, printable
from wnsim.storage import records

TRACEBACK = "traceback.txt"
"""File in the folder of a run with the traceback of an error in a user-defined part."""


def files_of(modules: Sequence[str]) -> set[str]:
    """Return the source files of imported modules."""
    found = (getattr(sys.modules.get(name), "__file__", None) for name in modules)
    return {str(each) for each in found if each is not None}


def user_error(error: BaseException, files: Collection[str]) -> str | None:
    """Return a sentence about an error that a user-defined part has raised.

    Parameters
    ----------
    error : the error, or one that it has caused
    files : source files of user-defined parts

    Returns
    -------
    the part that was called, the error and its place; None if no such part is involved
    """
    # Engines raise errors of processes again, and others are wrapped: the last cause is the first.
    for each in reversed(list(_chain(error))):
        frames = [(frame, line) for frame, line in traceback.walk_tb(each.__traceback__)]
        own = [(frame, line) for frame, line in frames if frame.f_code.co_filename in files]
        if own:
            (frame, _), (last, line) = own[0], own[-1]
            place = f"{Path(last.f_code.co_filename).name}:{line}"
            return printable(f"{_part(frame)}: {type(each).__name__}: {each} ({place})")
    return None


def raise_in_run(error: Exception, files: Collection[str], folder: Path) -> NoReturn:
    """Raise the error of a run again; with a sentence if a user-defined part has raised it.

    Parameters
    ----------
    error : the error
    files : source files of user-defined parts
    folder : folder of the run, which gets the traceback
    """
    said = user_error(error, files)
    if said is None:
        raise error
    text = "".join(traceback.format_exception(error))
    try:
        records.write(folder / TRACEBACK, text.encode(errors="backslashreplace"))
    except OSError:
        raise UserCodeError(f"{said}; its traceback cannot be written") from error
    raise UserCodeError(f"{said}; traceback: {folder / TRACEBACK}") from error


@contextlib.contextmanager
def user_code_in_sentences(modules: Sequence[str], *, shows: bool = False) -> Iterator[None]:
    """Say an error in user-defined parts, outside of runs, in one sentence.

    Parameters
    ----------
    modules : modules of the parts, which are imported inside
    shows : whether the traceback of any error is printed too

    Raises
    ------
    UserCodeError
        in place of an error in these parts
    """
    try:
        yield
    except Exception as error:
        if shows:
            traceback.print_exception(error)
        said = None if isinstance(error, UserCodeError) else user_error(error, files_of(modules))
        if said is None:
            raise
        raise UserCodeError(f"{said}; --traceback shows its traceback") from error


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and its causes."""
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        yield current
        current = current.__cause__


def _part(frame: FrameType) -> str:
    """Return the name of a part by the frame of its call, such as `mine:Wall.loss_db`."""
    module = str(frame.f_globals.get("__name__", "?"))
    return f"{module}:{frame.f_code.co_qualname.replace('.<locals>', '')}"
