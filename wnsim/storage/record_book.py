"""Record book: the journals of one run, which share a disk and are discarded together."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar

from wnsim.storage.journal import Journal

T = TypeVar("T")


class RecordBook:
    """Journals of a run.

    Parameters
    ----------
    folder : folder on whose disk the journals are kept; none: the system's temporary folder
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder
        self._journals: list[Journal[Any]] = []

    def journal(self, kind: type[T]) -> Journal[T]:
        """Return a new journal of records of a kind."""
        journal = Journal(kind, self._folder)
        self._journals.append(journal)
        return journal

    def discard(self) -> None:
        """Discard all records, at the end of a run."""
        for journal in self._journals:
            journal.close()
