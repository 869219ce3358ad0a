"""Folder locks: one writing process at a time, robust against killed processes.

The lock is a kernel lock on an open file and ends with its process, so that a remaining lock file
blocks no one. The content of the file names the holder, and marks the folder as one of results: any
other folder that is not empty is refused, so that no file of the user is replaced.

Sources: flock(2); on NFS it is a lock on the whole file, seen by all hosts.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import socket
import time
import warnings
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Self

from wnsim.core.files import naming

FILE = ".lock"
_MARK = "process"
# Errors of file systems without locks.
_NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP}
_LOOKS, _BETWEEN_LOOKS_S, _BETWEEN_WAITS_S = 10, 0.02, 0.1
# Bytes of a lock file that are read.
_LONGEST = 4096


class Lock:
    """Exclusive right to write in a folder, until it is closed or the process ends.

    Parameters
    ----------
    folder : folder to lock; created if missing
    own : returns whether an unmarked folder that is not empty may be used nevertheless

    Raises
    ------
    ValueError
        if another process holds the lock, or if the folder is not one of results
    """

    def __init__(self, folder: Path, own: Callable[[Path], bool] = lambda folder: False) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / FILE
        require_usable(folder, own)
        # Not inheritable: a child process must not keep the lock alive. A link is not followed.
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
        self._file = os.open(path, flags, 0o666)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = _holder(path)
            os.close(self._file)
            raise ValueError(f"{folder}: is in use by {holder}; let it end, or stop it") from error
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                os.close(self._file)
                raise
            warnings.warn(
                f"{folder}: this file system has no locks; run a scenario once at a time there",
                stacklevel=2,
            )
        facts = {
            _MARK: os.getpid(),
            "host": socket.gethostname(),
            "since": datetime.now(UTC).astimezone().isoformat(sep=" ", timespec="seconds"),
        }
        with naming(path):
            try:
                os.ftruncate(self._file, 0)
                os.pwrite(self._file, json.dumps(facts).encode(), 0)
            except OSError:
                os.close(self._file)
                raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Release the lock."""
        os.close(self._file)


def await_release(folder: Path, most_s: float) -> None:
    """Wait until no process holds the lock of a folder.

    Parameters
    ----------
    folder : folder that may be missing
    most_s : longest time to wait [s]
    """
    until_s = time.monotonic() + most_s
    while _is_held(folder / FILE) and time.monotonic() < until_s:
        time.sleep(_BETWEEN_WAITS_S)


def _is_held(path: Path) -> bool:
    """Return whether a process holds a lock file."""
    try:
        file = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        os.close(file)
    return False


def require_usable(folder: Path, own: Callable[[Path], bool]) -> None:
    """Raise ValueError if a folder holds files of others.

    Parameters
    ----------
    folder : folder that may be missing, empty, or marked as one of results
    own : returns whether another one may be used nevertheless
    """
    if not is_marked(folder) and folder.exists() and any(folder.iterdir()) and not own(folder):
        raise ValueError(
            f"{folder}: is not empty and holds no results of wnsim; choose another folder"
        )


def is_marked(folder: Path) -> bool:
    """Return whether the lock file of a folder marks it as one of results."""
    path = folder / FILE
    if path.is_symlink() or not path.is_file():
        return False
    try:
        text = path.read_bytes()[:_LONGEST]
        # Empty: a process was killed before it wrote its name.
        return text == b"" or _MARK in json.loads(text)
    except (OSError, ValueError, TypeError):
        return False


def _holder(path: Path) -> str:
    """Return a description of the process that holds a lock."""
    # The holder may not have written its name yet.
    for _ in range(_LOOKS):
        try:
            facts = json.loads(path.read_bytes())
            return f"process {facts['process']} on {facts['host']} since {facts['since']}"
        except (OSError, ValueError, KeyError, TypeError):
            time.sleep(_BETWEEN_LOOKS_S)
    return "another process"
