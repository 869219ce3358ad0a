"""Results of computations on disk, found again by what they depend on.

An entry is the result of one chunk of jobs: its facts, a small JSON file, and its tensors, a
safetensors file. Files appear whole or not at all, and one that was altered is as good as missing.

A store has a size; when it is exceeded, the entries that were not used for the longest time go
first, but never one that an unfinished run needs to go on: each process keeps a list of those
beside the entries, until its run is complete. A run that is taken up again takes over the lists
of its dead processes on the same host. Other lists of the dead protect their entries for good;
to be rid of them, delete the folder while no run uses it: all of it can be computed again.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import socket
import sys
import time
import warnings
import weakref
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

if sys.platform != "win32":
    import fcntl

_FACTS, _TENSORS, _LIST, _TEMPORARY = ".json", ".safetensors", ".needed", ".tmp"
_LOCK, _PARTS = "store.lock", 16
# Nobody takes so long to write a file: who began it is dead.
_WRITTEN_WITHIN_NS = 3600 * 10**9


class Entry:
    """A place in a store, which keeps it as long as anybody has this object."""

    __slots__ = ("__weakref__", "key")

    def __init__(self, key: str) -> None:
        self.key = key


class Store:
    """A folder of entries.

    Parameters
    ----------
    folder : where they are; made if it is not there
    run : name of the run that uses the store; the same one takes up what it left unfinished
    size_bytes : the store may grow to [byte]
    """

    def __init__(self, folder: Path, run: str, size_bytes: int) -> None:
        self._folder = folder
        self._size_bytes = size_bytes
        self._entries: weakref.WeakValueDictionary[str, Entry] = weakref.WeakValueDictionary()
        # What was there before is looked through at the first chance.
        self._written = size_bytes
        self._holder = [run, socket.gethostname(), os.getpid()]
        self._list_file = self._list_of(self._holder)
        folder.mkdir(parents=True, exist_ok=True)
        with self._locked(alone=True):
            left = [each for each in self._lists() if self._follows(each["holder"])]
            self._since_ns = min([each["since_ns"] for each in left] or [time.time_ns()])
            # What an interrupted run had in use is needed until this one has come as far.
            self._before = {key for each in left for key in each["needed"]}
            self._list()
            for path in {self._list_of(each["holder"]) for each in left} - {self._list_file}:
                path.unlink(missing_ok=True)
            for each in left:
                self._remove_half_written(each["holder"])

    def facts(self, key: str) -> list[dict[str, Any]] | None:
        """Return the facts of each job of a chunk; None if they are not there."""
        path = self._path(key, _FACTS)
        with self._locked(), suppress(FileNotFoundError):
            if (record := _read(path)) is not None:
                os.utime(path)
                return list(record["facts"])
        return None

    def entry(self, key: str) -> Entry | None:
        """Return what keeps the tensors of a chunk; None if they are not there."""
        # First on the list, then the look: another run may be clearing up.
        entry = self._needed(key)
        return None if self.tensors(key) is None else entry

    def tensors(self, key: str) -> bytes | None:
        """Return the tensors of a chunk as they were written; None if they are not there."""
        path = self._path(key, _TENSORS)
        with self._locked(), suppress(FileNotFoundError):
            record, tensors = _read(self._path(key, _FACTS)), path.read_bytes()
            if record is not None and record["tensors"] == _digest(tensors):
                os.utime(path)
                return tensors
            if record is not None:
                _warn(path)
        return None

    def keep(self, key: str, facts: Sequence[Mapping[str, Any]], tensors: bytes) -> Entry | None:
        """Write the result of a chunk; return what keeps its tensors, None if it has none."""
        entry = None
        self._before.clear()
        record = _sealed({"facts": facts, "tensors": _digest(tensors)})
        with self._locked(alone=True):
            if tensors:
                entry = self._needed(key)
                self._write(self._path(key, _TENSORS), tensors)
            self._write(self._path(key, _FACTS), record)
            self._clear()
        return entry

    def close(self) -> None:
        """Say that the run is complete: it needs nothing any more."""
        self._list_file.unlink(missing_ok=True)

    @contextmanager
    def _locked(self, *, alone: bool = False) -> Iterator[None]:
        """Keep others from removing entries meanwhile, or from using the store at all."""
        # On NFS a lock needs the right to read if it is shared, and to write if it is not.
        with (self._folder / _LOCK).open("a+b") as file:
            try:
                if sys.platform != "win32":
                    fcntl.flock(file, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
            except OSError as error:
                message = f"cannot be locked ({error.strerror}); let one run at a time use it"
                warnings.warn(f"{self._folder}: {message}", stacklevel=2)
            yield

    def _path(self, key: str, suffix: str) -> Path:
        return self._folder / key[:2] / f"{key}{suffix}"

    def _needed(self, key: str) -> Entry:
        entry = self._entries.get(key) or Entry(key)
        self._entries[key] = entry
        self._list()
        return entry

    def _list(self) -> None:
        """Write down what this process needs: facts used since it began, and these tensors."""
        needed = sorted(self._before.union(self._entries))
        own = {"holder": self._holder, "since_ns": self._since_ns, "needed": needed}
        self._write(self._list_file, _sealed(own))

    def _list_of(self, holder: Sequence[object]) -> Path:
        return self._folder / f"{'.'.join(map(str, holder))}{_LIST}"

    def _lists(self) -> list[dict[str, Any]]:
        return [each for path in self._folder.glob(f"*{_LIST}") if (each := _read(path))]

    def _follows(self, holder: Sequence[Any]) -> bool:
        """Whether another process was this run's, on this host, and is over; or is this one."""
        if holder[:2] == self._holder[:2] and holder != self._holder and sys.platform != "win32":
            try:
                os.kill(holder[2], 0)
            except OSError as error:
                return error.errno == errno.ESRCH
        return holder == self._holder

    def _remove_half_written(self, holder: Sequence[Any]) -> None:
        """Remove what a process that was killed has left."""
        for folder in ("", "??/"):
            for path in self._folder.glob(f"{folder}.*{_temporary(holder)}"):
                path.unlink(missing_ok=True)

    def _write(self, path: Path, data: bytes) -> None:
        path.parent.mkdir(exist_ok=True)
        temporary = path.with_name(f".{path.name}{_temporary(self._holder)}")
        try:
            temporary.write_bytes(data)
            temporary.replace(path)
        except OSError as error:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)
            raise OSError(error.errno, error.strerror, str(path)) from error
        self._written += len(data)

    def _clear(self) -> None:
        """Remove what was not used for longest until the store is small enough."""
        # To look through the folder after every chunk would cost too much.
        if self._written < self._size_bytes // _PARTS:
            return
        self._written = 0
        found = []
        for path in self._folder.glob("??/*"):
            with suppress(FileNotFoundError):
                status = path.stat()
                found.append((status.st_mtime_ns, path, status.st_size))
        total = sum(size for _, _, size in found)
        lists = self._lists()
        needed = {key for each in lists for key in each["needed"]}
        since_ns = min((each["since_ns"] for each in lists), default=self._since_ns)
        dead_ns = time.time_ns() - _WRITTEN_WITHIN_NS
        # Tensors can be computed again from older ones as long as the facts are there.
        for suffix in (_TEMPORARY, _TENSORS, _FACTS):
            for used_ns, path, size in sorted(found):
                until_ns = dead_ns if suffix == _TEMPORARY else since_ns
                needs = path.stem in needed if suffix == _TENSORS else used_ns >= until_ns
                if total > self._size_bytes and path.suffix == suffix and not needs:
                    path.unlink(missing_ok=True)
                    total -= size


def _temporary(holder: Sequence[Any]) -> str:
    """Return how the names of files end that a process is writing."""
    return f".{holder[1]}.{holder[2]}{_TEMPORARY}"


def _digest(data: bytes) -> str:
    return hashlib.blake2b(data, digest_size=16).hexdigest()


def _sealed(record: Mapping[str, Any]) -> bytes:
    """Return a record as JSON, after a digest of it."""
    return json.dumps([_digest(json.dumps(record).encode()), record]).encode()


def _read(path: Path) -> dict[str, Any] | None:
    """Return a record that was written sealed; None if it is not there, or not as it was."""
    try:
        data = path.read_bytes()
    except OSError:
        return None
    with suppress(ValueError, TypeError, LookupError):
        record: dict[str, Any] = json.loads(data)[1]
        if _sealed(record) == data:
            return record
    _warn(path)
    return None


def _warn(path: Path) -> None:
    warnings.warn(f"{path}: was altered or cut short, and counts as missing", stacklevel=2)
