"""Files of a trace: one file, several, or those in a folder."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

MAX_FILES = 100_000


def sources(named: str | Sequence[str]) -> list[str]:
    """Return the paths of the files of a trace.

    Parameters
    ----------
    named : a file, a folder, or several files

    Returns
    -------
    the files; those of a folder and its subfolders in order of their names, without links and
    hidden files

    Raises
    ------
    ValueError
        if a folder has no files or too many, or a name is given twice
    """
    if isinstance(named, str):
        return _inside(Path(named)) if Path(named).is_dir() else [named]
    files = [file for name in named for file in sources(name)]
    for number, file in enumerate(files):
        if file in files[:number]:
            raise ValueError(f"{file}: a file must be named once, got it twice")
    if not files:
        raise ValueError("a trace must have at least one file, got none")
    return files


def _inside(folder: Path) -> list[str]:
    """Return the files in a folder and its subfolders."""
    found: list[str] = []
    for place, folders, names in os.walk(folder, followlinks=False):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        paths = (Path(place) / name for name in sorted(names) if not name.startswith("."))
        found += [str(path) for path in paths if path.is_file() and not path.is_symlink()]
        if len(found) > MAX_FILES:
            raise ValueError(f"{folder}: a trace may have at most {MAX_FILES} files, got more")
    if not found:
        raise ValueError(f"{folder}: a folder of traces must have at least one file, got none")
    return found
