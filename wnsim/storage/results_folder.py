"""Results folders as those who read them find them: checked before anything else is done."""

from __future__ import annotations

import csv
import os
import warnings
from pathlib import Path

from wnsim.storage import records

_TABLES = {
    "summary.csv": ("run", "metric", "value"),
    "aggregate.csv": ("variant", "metric", "baseline"),
    "runs.csv": ("run", "state"),
}
"""Tables of a whole folder, and columns that each has."""
_NUMBERS = ("value",)


def check_results(folder: Path) -> None:
    """Check that a folder can be one of results, and that its tables are whole.

    Whether it has a complete run is left to what is done with it.

    Parameters
    ----------
    folder : the folder

    Raises
    ------
    ValueError
        if there is no such folder, or a table in it is damaged

    Warns
    -----
    UserWarning
        for each folder in it whose manifest is not that of a complete run
    """
    if not os.path.lexists(folder):
        raise ValueError(f"{folder}: no such folder")
    if not folder.is_dir():
        raise ValueError(f"{folder}: must be a folder of results, got a file")
    for name in _TABLES:
        read_rows(folder / name)
    for path in sorted(folder.glob(f"*/{records.MANIFEST}")):
        if records.read_manifest(path.parent) is None:
            warnings.warn(
                f"{path}: is damaged, or not the manifest of a complete run; the run is left out",
                stacklevel=2,
            )


def read_rows(path: Path) -> list[dict[str, str]]:
    """Return the rows of a table of a whole folder, none without the table or if it is a link.

    Parameters
    ----------
    path : file `summary.csv`, `aggregate.csv` or `runs.csv`

    Raises
    ------
    ValueError
        if it is not a table with the columns and numbers that it must have
    """
    if path.is_symlink() or not os.path.lexists(path):
        return []
    if not path.is_file():
        raise ValueError(f"{path}: must be a file")
    try:
        with path.open(encoding="utf-8", newline="") as lines:
            reader = csv.DictReader(lines, strict=True)
            rows = list(reader)
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{path}: is not a table of text: {error}") from error
    columns = reader.fieldnames or []
    for name in _TABLES[path.name]:
        if name not in columns:
            raise ValueError(f"{path}: must have a column {name}, got {', '.join(columns)[:200]}")
    for number, row in enumerate(rows, start=2):
        if None in row or None in row.values():
            raise ValueError(f"{path}: row {number} must have {len(columns)} cells")
        for name in _NUMBERS:
            _check_number(f"{path}: row {number}: {name}", row.get(name, ""))
    return rows


def _check_number(where: str, text: str) -> None:
    """Raise ValueError unless a cell is a number or empty."""
    try:
        float(text or "nan")
    except ValueError:
        raise ValueError(f"{where} must be a number, got {text[:100]!r}") from None
