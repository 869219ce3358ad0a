"""User-defined metrics: functions from the tables of a run to a number.

A metric is named by its function, `module:function`, which must have been imported with permission.
"""

from __future__ import annotations

import inspect
import math
import traceback
import warnings
from collections.abc import Iterator, Mapping, Sequence
from numbers import Real
from pathlib import Path

import pandas as pd

from wnsim.core.plugins import resolve, source_file
from wnsim.metrics.tables import read_table, table_file
from wnsim.storage.parquet import SUFFIX


class RunTables(Mapping[str, pd.DataFrame]):
    """Tables of a run by name, such as `transfers`, read when they are asked for.

    Parameters
    ----------
    folder : folder of the run
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __getitem__(self, name: str) -> pd.DataFrame:
        """Return a table.

        Raises
        ------
        KeyError
            if the run has none of this name
        """
        path = self._folder / f"{name}.csv"
        if table_file(path) is None:
            raise KeyError(name)
        return read_table(path)

    def __iter__(self) -> Iterator[str]:
        """Iterate over the names of the tables."""
        paths = [path for path in self._folder.iterdir() if path.suffix in (".csv", SUFFIX)]
        return iter(sorted({path.stem for path in paths}))

    def __len__(self) -> int:
        """Return the number of tables."""
        return len(list(iter(self)))


def own_metrics(names: Sequence[str], folder: Path) -> dict[str, float]:
    """Return the user-defined metrics of a run by name; those with errors are left out.

    Parameters
    ----------
    names : names of the metrics
    folder : folder of the run

    Warns
    -----
    UserWarning
        for each metric that raises an error or returns no number
    """
    found = {}
    for name in names:
        try:
            value: object = resolve(name)(RunTables(folder))
        # Runs take hours: no error in a metric may hide the others.
        except Exception as error:
            place = _place(name, error)
            why = f"{type(error).__name__}: {error}{place}"
            warnings.warn(f"metric {name} of {folder.name} is left out: {why}", stacklevel=2)
            continue
        if isinstance(value, bool) or not isinstance(value, Real):
            kind = type(value).__name__
            warnings.warn(
                f"metric {name} of {folder.name} is left out: it must return a number, got {kind}",
                stacklevel=2,
            )
            continue
        found[name] = math.nan if math.isinf(value) else float(value)
    return found


def own_definition(name: str) -> str:
    """Return the first line of the docstring of a user-defined metric, empty without one.

    Raises
    ------
    ValueError
        if its module is not imported here
    """
    return (inspect.getdoc(resolve(name)) or "").partition("\n")[0].rstrip(".")


def _place(name: str, error: Exception) -> str:
    """Return the last place of an error in the source file of a metric."""
    own = source_file(name)
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if own is not None and Path(frame.filename) == own]
    return f" ({own.name}:{lines[-1]})" if own is not None and lines else ""
