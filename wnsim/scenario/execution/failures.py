"""Record of a run that failed, in its folder until it is run again."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Collection, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from wnsim.scenario.errors import DivergedError, ScenarioError, error_message, printable
from wnsim.scenario.user_code import raise_in_run
from wnsim.storage import records

DIVERGED, FAILED = "diverged", "failed"


@dataclass(frozen=True)
class Failure:
    """Why a run has no results.

    Parameters
    ----------
    status : `diverged` if its training did, else `failed`
    error : message of the error, in one line
    """

    status: str
    error: str


@contextlib.contextmanager
def recorded(folder: Path, sources: Collection[str] = ()) -> Iterator[None]:
    """Record the error with which a run ends in its folder, and raise it again.

    Parameters
    ----------
    folder : locked folder of the run
    sources : source files of its user-defined parts

    Raises
    ------
    UserCodeError
        with a sentence and the place of the traceback, if one of these parts raised the error
    """
    try:
        try:
            yield
        except Exception as error:
            raise_in_run(error, sources, folder)
    except Exception as error:
        text = printable(f"{type(error).__name__}: {error}")
        if isinstance(error, ScenarioError | OSError | MemoryError):
            text = error_message(error)
        failure = Failure(DIVERGED if isinstance(error, DivergedError) else FAILED, text)
        # A full disk must not hide the error.
        with contextlib.suppress(OSError):
            records.write(folder / records.FAILURE, (json.dumps(asdict(failure)) + "\n").encode())
        raise


def failure_of(folder: Path) -> Failure | None:
    """Return the recorded failure of a run; None if there is none, or it is damaged."""
    path = folder / records.FAILURE
    if path.is_symlink() or not path.is_file():
        return None
    try:
        found = json.loads(path.read_text("utf-8"))
        return Failure(str(found["status"]), str(found["error"]))
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        return None
