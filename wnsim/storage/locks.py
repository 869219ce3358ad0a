"""A folder that one process at a time may write in, whoever dies.

The lock is the kernel's, on an open file: it goes with the process that holds it, so that a file
left behind locks nobody out. What stands in the file only tells others who holds it.

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
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Self

from wnsim.core.files import naming

FILE = ".lock"
# What a file system says that has no locks.
_NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP}
_LOOKS, _BETWEEN_LOOKS_S = 10, 0.02


class Lock:
    """The right to write in a folder, until it is closed or the process ends.

    Parameters
    ----------
    folder : the folder; made if it is not there

    Raises
    ------
    ValueError
        if another process has it
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / FILE
        # Not for the children: a program that this one starts must not keep the lock alive.
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
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
            "process": os.getpid(),
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
        """Let others in."""
        os.close(self._file)


def _holder(path: Path) -> str:
    """Return who holds a lock, in words."""
    # Between locking the file and writing in it a moment passes.
    for _ in range(_LOOKS):
        try:
            facts = json.loads(path.read_bytes())
            return f"process {facts['process']} on {facts['host']} since {facts['since']}"
        except (OSError, ValueError, KeyError, TypeError):
            time.sleep(_BETWEEN_LOOKS_S)
    return "another process"
