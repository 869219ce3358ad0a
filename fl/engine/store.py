"""Result cache on disk, addressed by digests of everything that a result depends on.

An entry is the result of one micro-batch of jobs: its scalars, a small JSON file, and its tensors,
a safetensors file. Files are written atomically, and an altered file counts as missing.

The lock file marks a folder as a store: any other folder that is not empty is refused. Only files
with the names of entries are ever removed, and links are neither followed nor removed.

Above its maximum size a store evicts the least recently used entries, except those that an
unfinished run needs: each process lists these in a file beside the entries until its run is
complete. A resumed run takes over the lists of its terminated processes on the same host. The lists
of other terminated processes protect their entries permanently; to release them, delete the folder
while no run uses it: everything in it can be recomputed.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import socket
import stat
import sys
import time
import warnings
import weakref
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

if sys.platform != "win32":
    import fcntl

_SCALARS, _TENSORS, _LIST, _TEMPORARY = ".json", ".safetensors", ".needed", ".tmp"
_LOCK, _PARTS = "store.lock", 16
_MARK = b"store of wnsim\n"
_OF_ENTRY = re.compile(r"([0-9a-f]{2})[0-9a-f]*\.(json|safetensors)")
_OF_TEMPORARY = re.compile(r"\.([0-9a-f]{2})[0-9a-f]*\.(json|safetensors)\..+\.\d+\.tmp")
# No file takes as long to write: the process that began it has terminated.
_WRITTEN_WITHIN_NS = 3600 * 10**9


class Entry:
    """Reference to an entry of a store, which is not evicted while this object exists."""

    __slots__ = ("__weakref__", "key")

    def __init__(self, key: str) -> None:
        self.key = key


class Store:
    """A folder of entries.

    Parameters
    ----------
    folder : the folder, created if missing
    run : name of the run that uses the store; a run of the same name resumes an unfinished one
    size_bytes : maximum size of the store [byte]

    Raises
    ------
    ValueError
        if the folder is not empty and not a store
    """

    def __init__(self, folder: Path, run: str, size_bytes: int) -> None:
        self._folder = folder
        self._size_bytes = size_bytes
        self._entries: weakref.WeakValueDictionary[str, Entry] = weakref.WeakValueDictionary()
        # Existing entries are counted at the first opportunity.
        self._written = size_bytes
        self._holder = [run, socket.gethostname(), os.getpid()]
        self._list_file = self._list_of(self._holder)
        folder.mkdir(parents=True, exist_ok=True)
        _claim(folder)
        with self._locked(exclusive=True):
            left = [each for each in self._lists() if self._takes_over(each["holder"])]
            self._since_ns = min([each["since_ns"] for each in left] or [time.time_ns()])
            # Entries that an interrupted run used are needed until this one has caught up.
            self._before = {key for each in left for key in each["needed"]}
            self._list()
            for path in {self._list_of(each["holder"]) for each in left} - {self._list_file}:
                path.unlink(missing_ok=True)
            for each in left:
                self._remove_partial_files(each["holder"])

    def scalars(self, key: str) -> list[dict[str, Any]] | None:
        """Return the scalars of each job of a micro-batch; None if they are missing."""
        path = self._path(key, _SCALARS)
        with self._locked(), suppress(FileNotFoundError):
            if (record := _read(path, key)) is not None:
                os.utime(path)
                return list(record["scalars"])
        return None

    def entry(self, key: str) -> Entry | None:
        """Return the entry of a micro-batch's tensors; None if they are missing."""
        # Listed before it is read: another run may be evicting entries.
        entry = self._needed(key)
        return None if self.tensors(key) is None else entry

    def tensors(self, key: str) -> bytes | None:
        """Return the tensors of a micro-batch as written; None if they are missing."""
        path = self._path(key, _TENSORS)
        with self._locked(), suppress(FileNotFoundError):
            record, tensors = _read(self._path(key, _SCALARS), key), path.read_bytes()
            if record is not None and record["tensors"] == _digest(tensors):
                os.utime(path)
                return tensors
            if record is not None:
                _warn(path)
        return None

    def put(self, key: str, scalars: Sequence[Mapping[str, Any]], tensors: bytes) -> Entry | None:
        """Write the result of a micro-batch; return its entry, None without tensors."""
        entry = None
        self._before.clear()
        record = _sealed({"key": key, "scalars": scalars, "tensors": _digest(tensors)})
        with self._locked(exclusive=True):
            if tensors:
                entry = self._needed(key)
                self._write(self._path(key, _TENSORS), tensors)
            self._write(self._path(key, _SCALARS), record)
            self._evict()
        return entry

    def close(self) -> None:
        """Release all entries of a completed run."""
        self._list_file.unlink(missing_ok=True)

    @contextmanager
    def _locked(self, *, exclusive: bool = False) -> Iterator[None]:
        """Hold a shared lock against evictions, or an exclusive lock of the store."""
        # NFS requires read permission for shared and write permission for exclusive locks.
        with _opened(self._folder / _LOCK) as file:
            try:
                if sys.platform != "win32":
                    fcntl.flock(file, fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH)
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
        """Write the list of this process: start time of the scalars that it needs, and tensors."""
        needed = sorted(self._before.union(self._entries))
        own = {"holder": self._holder, "since_ns": self._since_ns, "needed": needed}
        self._write(self._list_file, _sealed(own))

    def _list_of(self, holder: Sequence[object]) -> Path:
        return self._folder / f"{'.'.join(map(str, holder))}{_LIST}"

    def _lists(self) -> list[dict[str, Any]]:
        return [each for path in self._folder.glob(f"*{_LIST}") if (each := _read(path))]

    def _takes_over(self, holder: Sequence[Any]) -> bool:
        """Return whether a process is this one, or a terminated one of this run on this host."""
        if holder[:2] == self._holder[:2] and holder != self._holder and sys.platform != "win32":
            try:
                os.kill(holder[2], 0)
            except OSError as error:
                return error.errno == errno.ESRCH
        return holder == self._holder

    def _remove_partial_files(self, holder: Sequence[Any]) -> None:
        """Remove the temporary files of a killed process."""
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

    def _evict(self) -> None:
        """Remove the least recently used entries until the store fits its size."""
        # Scanning the folder after every write would be too expensive.
        if self._written < self._size_bytes // _PARTS:
            return
        self._written = 0
        found = []
        for path in self._folder.glob("??/*"):
            name = _OF_ENTRY.fullmatch(path.name) or _OF_TEMPORARY.fullmatch(path.name)
            if name is None or name[1] != path.parent.name or path.parent.is_symlink():
                continue
            with suppress(FileNotFoundError):
                status = path.lstat()
                if stat.S_ISREG(status.st_mode):
                    found.append((status.st_mtime_ns, path, status.st_size))
        total = sum(size for _, _, size in found)
        lists = self._lists()
        needed = {key for each in lists for key in each["needed"]}
        since_ns = min((each["since_ns"] for each in lists), default=self._since_ns)
        abandoned_ns = time.time_ns() - _WRITTEN_WITHIN_NS
        # Tensors can be recomputed from older ones while the scalars exist.
        for suffix in (_TEMPORARY, _TENSORS, _SCALARS):
            for used_ns, path, size in sorted(found):
                until_ns = abandoned_ns if suffix == _TEMPORARY else since_ns
                is_needed = path.stem in needed if suffix == _TENSORS else used_ns >= until_ns
                if total > self._size_bytes and path.suffix == suffix and not is_needed:
                    path.unlink(missing_ok=True)
                    total -= size


def _claim(folder: Path) -> None:
    """Mark a folder as a store.

    Raises
    ------
    ValueError
        if it is not empty and not a store
    """
    path = folder / _LOCK
    own = path.is_file() and path.read_bytes()[: len(_MARK) + 1] in (b"", _MARK)
    if path.is_symlink() or (path.exists() and not own):
        raise ValueError(f"{path}: is not the lock file of a store; choose another --store")
    if not path.exists() and any(folder.iterdir()):
        raise ValueError(f"{folder}: is not empty and not a store; choose another --store")
    with _opened(path) as file:
        if file.seek(0, os.SEEK_END) == 0:
            file.write(_MARK)


def _opened(path: Path) -> BinaryIO:
    """Open a lock file, created if missing, without following a link."""
    flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0)
    return os.fdopen(os.open(path, flags, 0o666), "r+b")


def _temporary(holder: Sequence[Any]) -> str:
    """Return the suffix of the temporary files of a process."""
    return f".{holder[1]}.{holder[2]}{_TEMPORARY}"


def _digest(data: bytes) -> str:
    return hashlib.blake2b(data, digest_size=16).hexdigest()


def _sealed(record: Mapping[str, Any]) -> bytes:
    """Return a record as JSON, preceded by its digest."""
    return json.dumps([_digest(json.dumps(record).encode()), record]).encode()


def _read(path: Path, key: str | None = None) -> dict[str, Any] | None:
    """Return a sealed record; None if it is missing or altered, or not the one of a key."""
    try:
        data = path.read_bytes()
    except OSError:
        return None
    with suppress(ValueError, TypeError, LookupError):
        record: dict[str, Any] = json.loads(data)[1]
        if _sealed(record) == data and (key is None or record.get("key") == key):
            return record
    _warn(path)
    return None


def _warn(path: Path) -> None:
    warnings.warn(f"{path}: was altered or cut short, and counts as missing", stacklevel=2)
