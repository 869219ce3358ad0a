"""Tables in Parquet, with the values and types that the same tables have as CSV.

In a table as CSV the type of a column follows from all of its values. A table is therefore
converted in two passes over a batch of rows at a time: the first one finds the types.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

SUFFIX = ".parquet"
# Names of devices and tasks are texts, even if they look like numbers.
TEXTS = dict.fromkeys(("source", "target", "device", "task", "run"), str)
# Rows in memory at once; a row group of the file.
_ROWS = 50_000
# Type in pandas of each kind of column. Missing numbers make a column of integers one of floats.
_TYPES = {"none": "float64", "bool": "boolean", "int": "int64", "float": "float64", "text": str}


def pyarrow_parquet(what: object) -> Any:
    """Return the module `pyarrow.parquet`.

    Parameters
    ----------
    what : what needs it, for the message

    Raises
    ------
    ValueError
        if pyarrow is missing
    """
    try:
        return import_module("pyarrow.parquet")
    except ImportError as error:
        raise ValueError(
            f"{what}: Parquet needs the package pyarrow: pip install 'wnsim[parquet]'"
        ) from error


def column_names(path: Path) -> list[str]:
    """Return the columns of a table in Parquet."""
    return list(pyarrow_parquet(path).read_schema(path).names)


def read(path: Path, columns: Sequence[str] | None = None, repeated: Sequence[str] = ()) -> Any:
    """Return a table in Parquet as a data frame of pandas.

    Parameters
    ----------
    path : the file; the names of its folders, like `lora,seed=1`, are no columns
    columns : columns to read, in this order; all if not given
    repeated : those whose texts repeat, which become categories

    Raises
    ------
    ValueError
        if pyarrow is missing
    """
    return (
        pyarrow_parquet(path)
        .read_table(path, columns=columns, read_dictionary=list(repeated), partitioning=None)
        .to_pandas()
    )


def convert(source: Path, target: Path) -> None:
    """Write a table in Parquet.

    Parameters
    ----------
    source : the table as CSV, in which empty cells are missing values
    target : file to write
    """
    import pandas as pd

    parquet, arrow = pyarrow_parquet(target), import_module("pyarrow")
    options: dict[str, Any] = {"keep_default_na": False, "na_values": [""], "chunksize": _ROWS}
    kinds: dict[str, str] = {}
    with pd.read_csv(source, dtype=TEXTS, **options) as batches:
        for batch in batches:
            for name, values in batch.items():
                kind = "text" if name in TEXTS else _kind(values)
                kinds[name] = _joined(kinds.get(name, kind), kind)
    types: dict[str, Any] = {name: _TYPES[kind] for name, kind in kinds.items()}
    fields = {
        "bool": arrow.bool_(), "int": arrow.int64(), "text": arrow.string(), "": arrow.null(),
        "none": arrow.float64(), "float": arrow.float64(),
    }  # fmt: skip
    # The columns of an empty table have no type.
    names = pd.read_csv(source, nrows=0)
    schema = arrow.schema([(name, fields[kinds.get(name, "")]) for name in names])
    with (
        parquet.ParquetWriter(target, schema, compression="zstd") as file,
        pd.read_csv(source, dtype=types, **options) as batches,
    ):
        for batch in batches:
            file.write_table(arrow.Table.from_pandas(batch, schema, preserve_index=False))


def _kind(values: pd.Series) -> str:
    """Return the kind of some values of a column."""
    there = values.dropna()
    if there.empty:
        return "none"
    if values.dtype.kind == "b" or all(isinstance(value, bool) for value in there):
        return "bool"
    return {"i": "int", "f": "float"}.get(values.dtype.kind, "text")


def _joined(one: str, other: str) -> str:
    """Return the kind of a column whose parts have two kinds."""
    if one == other:
        return one
    kinds = {one, other} - {"none"}
    if kinds <= {"int", "float"}:
        return "float"
    return kinds.pop() if len(kinds) == 1 else "text"
