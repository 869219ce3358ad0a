"""Records of a run in the order in which they were made, on disk but for the last ones."""

from __future__ import annotations

import dataclasses
import json
import tempfile
import typing
import weakref
from collections.abc import Iterable, Iterator
from io import FileIO
from operator import methodcaller
from pathlib import Path
from typing import Any, Generic, TypeVar

from wnsim.core.files import naming

T = TypeVar("T")

# Records that are kept in memory before they are written all at once.
_HELD = 1024


class Journal(Generic[T]):
    """Records that may be too many for memory, to be read in the order in which they came.

    A file without a name takes them up, a block of JSON at a time; it vanishes when the journal is
    closed, or with the process, however that ends. There is none as long as records are few.

    Parameters
    ----------
    kind : dataclass of the records, of numbers, texts and dataclasses of such
    folder : on whose disk they may lie; none: where the system has temporary files
    """

    def __init__(self, kind: type[T], folder: Path | None = None) -> None:
        self._form = _Form(kind)
        self._folder = folder
        self._file: FileIO | None = None
        self._sizes: list[int] = []
        self._recent: list[T] = []

    def append(self, record: T) -> None:
        """Add a record.

        Raises
        ------
        OSError
            if there is no room; it names the folder
        """
        self._recent.append(record)
        if len(self._recent) == _HELD:
            self._write()

    def extend(self, records: Iterable[T]) -> None:
        """Add records; see `append`."""
        for record in records:
            self.append(record)

    def __len__(self) -> int:
        """Return how many there are."""
        return _HELD * len(self._sizes) + len(self._recent)

    def __iter__(self) -> Iterator[T]:
        """Yield those that are there when the first one is asked for, in their order."""
        sizes, recent = list(self._sizes), list(self._recent)
        start = 0
        for size in sizes:
            yield from self._read(start, size)
            start += size
        yield from recent

    def close(self) -> None:
        """Forget all records, and give back their room on the disk."""
        if self._file is not None:
            self._file.close()
        self._file = None
        self._sizes, self._recent = [], []

    def _write(self) -> None:
        rows = [self._form.row(record) for record in self._recent]
        block = json.dumps(rows, separators=(",", ":"), default=methodcaller("item")).encode()
        with naming(self._folder or Path(tempfile.gettempdir())):
            file = self._disk()
            file.seek(sum(self._sizes))
            left = memoryview(block)
            while left:
                left = left[file.write(left) :]
        self._sizes.append(len(block))
        self._recent.clear()

    def _read(self, start: int, size: int) -> Iterator[T]:
        file, block = self._disk(), bytearray(size)
        file.seek(start)
        left = memoryview(block)
        while left and (got := file.readinto(left)):
            left = left[got:]
        return map(self._form.record, json.loads(block))

    def _disk(self) -> FileIO:
        if self._file is None:
            self._file = tempfile.TemporaryFile(dir=self._folder, buffering=0)  # noqa: SIM115
            weakref.finalize(self, self._file.close)
        return self._file


class _Form:
    """How a record becomes a row of plain values, and a record again.

    Parameters
    ----------
    kind : its dataclass
    """

    def __init__(self, kind: Any) -> None:
        types = typing.get_type_hints(kind)
        self._kind = kind
        self._names = [field.name for field in dataclasses.fields(kind)]
        self._inner = {
            place: _Form(types[name])
            for place, name in enumerate(self._names)
            if dataclasses.is_dataclass(types[name])
        }

    def row(self, record: object) -> list[Any]:
        row = [getattr(record, name) for name in self._names]
        for place, form in self._inner.items():
            row[place] = form.row(row[place])
        return row

    def record(self, row: list[Any]) -> Any:
        for place, form in self._inner.items():
            row[place] = form.record(row[place])
        return self._kind(*row)
