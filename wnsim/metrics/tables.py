"""Tables of a run, read from CSV or Parquet, all or some of their columns."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd
from pandas.api.types import union_categoricals

from wnsim.storage.parquet import SUFFIX, TEXTS, column_names, read

# Columns of transfers.csv in which texts repeat.
_REPEATED = ("kind", "source", "target", "reason")
_ROWS = 100_000
_MISSING: dict[str, Any] = {"keep_default_na": False, "na_values": [""]}


def table_file(table: Path) -> Path | None:
    """Return the file of a table: the one named, or its like in Parquet; None if there is none."""
    return next((each for each in (table, table.with_suffix(SUFFIX)) if each.is_file()), None)


def columns_of(table: Path) -> list[str]:
    """Return the columns of a table; none if there is no such table."""
    path = table_file(table)
    if path is None:
        return []
    if path.suffix == SUFFIX:
        return column_names(path)
    return list(pd.read_csv(path, nrows=0))


def read_table(table: Path, columns: Iterable[str] | None = None) -> pd.DataFrame:
    """Read a table; empty cells, and no others, are missing values.

    Parameters
    ----------
    table : file of the table as CSV, or else its like in Parquet
    columns : columns to read, in this order; all if not given

    Raises
    ------
    FileNotFoundError
        if there is neither
    ValueError
        if the table lacks a column, or is in Parquet and pyarrow is missing
    """
    path, names = table_file(table) or table, None if columns is None else list(columns)
    if path.suffix == SUFFIX:
        whole: pd.DataFrame = read(path, names)
        return whole
    found = pd.read_csv(path, usecols=names, dtype=TEXTS, **_MISSING)
    return found if names is None else found[names]


def read_transfers(folder: Path, columns: Iterable[str]) -> pd.DataFrame:
    """Read some columns of the messages of a run, as far as the table has them.

    Texts become categories: a million messages take 8 MB a number, and 1 or 2 MB a text.

    Parameters
    ----------
    folder : folder of the run
    columns : columns to read

    Raises
    ------
    FileNotFoundError, ValueError
        as `read_table`
    """
    table = folder / "transfers.csv"
    path, there = table_file(table) or table, columns_of(table)
    names = [name for name in columns if name in there]
    texts = [name for name in names if name in _REPEATED]
    if path.suffix == SUFFIX:
        some: pd.DataFrame = read(path, names, texts)
        return some
    types = dict.fromkeys(texts, str)
    with pd.read_csv(path, usecols=names, dtype=types, chunksize=_ROWS, **_MISSING) as batches:
        parts = [batch.astype(dict.fromkeys(texts, "category")) for batch in batches]
    for name in texts:
        joined = union_categoricals([part[name] for part in parts])
        for part in parts:
            part[name] = part[name].cat.set_categories(joined.categories)
    return pd.concat(parts, ignore_index=True)[names]
