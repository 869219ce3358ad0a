"""Results of computations on disk, found again by what they depend on.

An entry is the result of one chunk of jobs: its facts, a small JSON file, and its tensors, a
safetensors file. Files appear whole or not at all. A store has a size; when it is exceeded, the
entries that were not used for the longest time go first, but never one that an unfinished run
needs to go on: each run keeps a list of those beside the entries, until it is complete.
"""

from __future__ import annotations

import json
import os
import time
import weakref
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

_FACTS, _TENSORS, _LIST = ".json", ".safetensors", ".needed"
_PARTS = 16


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
    run : name of the run that uses the store, another one for each that may run at a time
    size_bytes : the store may grow to [byte]
    """

    def __init__(self, folder: Path, run: str, size_bytes: int) -> None:
        self._folder = folder
        self._list_file = folder / f"{run}{_LIST}"
        self._size_bytes = size_bytes
        self._entries: weakref.WeakValueDictionary[str, Entry] = weakref.WeakValueDictionary()
        # What was there before is looked through at the first chance.
        self._written = size_bytes
        folder.mkdir(parents=True, exist_ok=True)
        before = _read(self._list_file) or [time.time_ns()]
        self._since_ns: int = before[0]
        # What an interrupted run had in use is needed until this one has come as far.
        self._before = set(before[1:])

    def facts(self, key: str) -> list[dict[str, Any]] | None:
        """Return the facts of each job of a chunk; None if they are not there."""
        path = self._path(key, _FACTS)
        facts = _read(path)
        if facts is not None:
            os.utime(path)
        return facts

    def entry(self, key: str) -> Entry | None:
        """Return what keeps the tensors of a chunk; None if they are not there."""
        # First on the list, then the look: another run may be clearing up.
        entry = self._needed(key)
        path = self._path(key, _TENSORS)
        if not path.is_file():
            return None
        os.utime(path)
        return entry

    def tensors(self, key: str) -> bytes | None:
        """Return the tensors of a chunk as they were written; None if they are not there."""
        try:
            return self._path(key, _TENSORS).read_bytes()
        except OSError:
            return None

    def keep(self, key: str, facts: Sequence[Mapping[str, Any]], tensors: bytes) -> Entry | None:
        """Write the result of a chunk; return what keeps its tensors, None if it has none."""
        entry = None
        self._before.clear()
        if tensors:
            entry = self._needed(key)
            self._write(self._path(key, _TENSORS), tensors)
        self._write(self._path(key, _FACTS), json.dumps(facts).encode())
        self._clear()
        return entry

    def close(self) -> None:
        """Say that the run is complete: it needs nothing any more."""
        self._list_file.unlink(missing_ok=True)

    def _path(self, key: str, suffix: str) -> Path:
        return self._folder / key[:2] / f"{key}{suffix}"

    def _needed(self, key: str) -> Entry:
        entry = self._entries.get(key) or Entry(key)
        self._entries[key] = entry
        self._list()
        return entry

    def _list(self) -> None:
        """Write down what this run needs: facts in use since it began, and these tensors."""
        needed = sorted(self._before.union(self._entries))
        self._write(self._list_file, json.dumps([self._since_ns, *needed]).encode())

    def _write(self, path: Path, data: bytes) -> None:
        path.parent.mkdir(exist_ok=True)
        # A run that was interrupted here writes the same file when it goes on.
        temporary = path.with_name(f".{path.name}.{self._list_file.stem}.tmp")
        temporary.write_bytes(data)
        temporary.replace(path)
        self._written += len(data)

    def _clear(self) -> None:
        """Remove what was not used for longest until the store is small enough."""
        # To look through the folder after every chunk would cost too much.
        if self._written < self._size_bytes // _PARTS:
            return
        self._written = 0
        found = [
            (status.st_mtime_ns, path, status.st_size)
            for path in self._folder.glob("??/*")
            if (status := _status(path)) is not None
        ]
        total = sum(size for _, _, size in found)
        lists = [each for each in map(_read, self._folder.glob(f"*{_LIST}")) if each]
        since_ns = min((each[0] for each in lists), default=self._since_ns)
        needed = {key for each in lists for key in each[1:]}
        # Tensors can be computed again from older ones as long as the facts are there.
        for suffix in (_TENSORS, _FACTS):
            for used_ns, path, size in sorted(found):
                needs = path.stem in needed if suffix == _TENSORS else used_ns >= since_ns
                if total > self._size_bytes and path.suffix == suffix and not needs:
                    path.unlink(missing_ok=True)
                    total -= size


def _status(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    # Another run may clear up at the same time.
    except FileNotFoundError:
        return None


def _read(path: Path) -> list[Any] | None:
    """Return a list as JSON; None if there is no whole one."""
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
    return found if isinstance(found, list) and found else None
