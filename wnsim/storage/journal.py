"""Journals: records of a running simulation in order of creation, kept on disk."""

from __future__ import annotations

import dataclasses
import json
import tempfile
import typing
import weakref
from collections.abc import Iterable, Iterator
from io import FileIO
from operator import attrgetter, methodcaller
from pathlib import Path
from typing import Any, Generic, TypeVar

from wnsim.core.files import naming

T = TypeVar("T")

# Records kept in memory before they are written together.
_HELD = 1024


class Journal(Generic[T]):
    """Sequence of records that may exceed the memory.

    Records are written to an unnamed file in blocks of JSON; the file vanishes when the journal is
    closed or the process ends in any way. Few records stay in memory.

    Parameters
    ----------
    kind : dataclass of the records, made of numbers, strings and such dataclasses
    folder : folder on whose disk the file lies; None: the system's temporary folder
    """

    def __init__(self, kind: type[T], folder: Path | None = None) -> None:
        self._form = _Form(kind)
        self._folder = folder
        self._file: FileIO | None = None
        self._sizes: list[int] = []
        self._recent: list[T] = []

    def append(self, record: T) -> None:
        """Append a record.

        Raises
        ------
        OSError
            if the disk is full; it names the folder
        """
        self._recent.append(record)
        if len(self._recent) == _HELD:
            self._write()

    def extend(self, records: Iterable[T]) -> None:
        """Append records; see `append`."""
        for record in records:
            self.append(record)

    def __len__(self) -> int:
        """Return the number of records."""
        return _HELD * len(self._sizes) + len(self._recent)

    def __iter__(self) -> Iterator[T]:
        """Iterate over the records that exist when the first one is requested."""
        sizes, recent = list(self._sizes), list(self._recent)
        start = 0
        for size in sizes:
            yield from self._read(start, size)
            start += size
        yield from recent

    def close(self) -> None:
        """Discard all records and free their disk space."""
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
    """Conversion between a record and a row of plain values.

    Parameters
    ----------
    kind : dataclass of the records
    """

    def __init__(self, kind: Any) -> None:
        types = typing.get_type_hints(kind)
        self._kind = kind
        names = [field.name for field in dataclasses.fields(kind)]
        # With a name more, lest the values of a single one were not a tuple.
        self._values = attrgetter(*names, "__class__")
        self._inner = {
            place: _Form(types[name])
            for place, name in enumerate(names)
            if dataclasses.is_dataclass(types[name])
        }

    def row(self, record: object) -> list[Any]:
        *row, _ = self._values(record)
        for place, form in self._inner.items():
            row[place] = form.row(row[place])
        return row

    def record(self, row: list[Any]) -> Any:
        for place, form in self._inner.items():
            row[place] = form.record(row[place])
        return self._kind(*row)
