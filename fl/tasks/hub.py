"""Tasks from the Hugging Face hub, read through the `datasets` library (an optional dependency)."""

from __future__ import annotations

import importlib
from collections.abc import Iterable
from typing import Any

from .benchmarks import BENCHMARKS, Benchmark, Row
from .folder import example_of, split
from .task import Example, Task


def from_hub(
    name: str,
    prompt: str = "prompt",
    answer: str = "answer",
    choices: str | None = None,
    config: str | None = None,
    train_split: str = "train",
    test_split: str = "test",
    n_train: int | None = None,
    n_test: int | None = None,
) -> Task:
    """Return a task from the columns of a dataset.

    Parameters
    ----------
    name : dataset, as in `owner/dataset`; or a key of `BENCHMARKS`, whose columns, splits and
        configuration are known
    prompt, answer, choices : columns; an integer answer is an index into the class names of the
        column or into the choices
    config : configuration of the dataset, if it has several
    train_split, test_split : splits
    n_train, n_test : maximum numbers of examples, the first ones; None for all

    Raises
    ------
    ValueError
        if the library is not installed, the dataset cannot be loaded, or a column is missing or
        contains other values than texts
    """
    try:
        datasets = importlib.import_module("datasets")
    except ImportError as error:
        raise ValueError(
            f"dataset {name!r} needs the `datasets` library, which is not installed "
            "(pip install datasets)"
        ) from error
    known = BENCHMARKS.get(name)
    source = name
    if known is not None:
        source, config, train_split, test_split = (
            known.source, known.config, known.train, known.test,
        )  # fmt: skip
    samples: list[list[Example]] = []
    for part, count in ((train_split, n_train), (test_split, n_test)):
        try:
            table = datasets.load_dataset(source, config, split=part)
        # The library raises its own errors, and those of the hub client and the network.
        except Exception as error:
            raise ValueError(
                f"dataset {name!r}, split {part!r}, cannot be loaded: {error}"
            ) from error
        where = f"{source}/{part}"
        if known is None:
            samples.append(_examples(table, count, (prompt, answer, choices), where))
        else:
            samples.append(_of_benchmark(table, count, known, where))
    return split(name.rsplit("/", 1)[-1], *samples)


def _of_benchmark(
    table: Iterable[Row], count: int | None, known: Benchmark, where: str
) -> list[Example]:
    """Return the first examples of a benchmark."""
    examples: list[Example] = []
    for number, row in enumerate(table, start=1):
        if len(examples) == count:
            break
        try:
            example = known.read(row)
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise ValueError(f"{where}:{number}: not a row as expected: {error}") from error
        if example is not None:
            examples.append(
                example_of(
                    example.prompt, example.answer, list(example.choices) or None,
                    f"{where}:{number}",
                )
            )  # fmt: skip
    if not examples:
        raise ValueError(f"{where}: must hold at least one example, found none")
    return examples


def _examples(
    table: Any, count: int | None, columns: tuple[str, str, str | None], where: str
) -> list[Example]:
    for column in columns:
        if column is not None and column not in table.column_names:
            known = ", ".join(table.column_names)
            raise ValueError(f"{where}: no column {column!r}; it has: {known}")
    prompt, answer, choices = columns
    names = getattr(table.features[answer], "names", None)
    part = table if count is None else table.select(range(min(count, len(table))))
    examples = []
    for number, row in enumerate(part, start=1):
        options = row[choices] if choices is not None else None
        value = row[answer]
        index_into = options if options is not None else names
        if isinstance(value, int) and index_into is not None:
            if not 0 <= value < len(index_into):
                raise ValueError(
                    f"{where}:{number}: answer must be an index below "
                    f"{len(index_into)}, got {value}"
                )
            value = index_into[value]
        examples.append(example_of(row[prompt], value, options, f"{where}:{number}"))
    if not examples:
        raise ValueError(f"{where}: must hold at least one example, found none")
    return examples
