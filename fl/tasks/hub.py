"""Tasks from the Hugging Face hub, read through the `datasets` library (an optional dependency)."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Any

from .benchmarks import BENCHMARKS, Benchmark
from .folder import benchmark_example, draw_order, example_of, split
from .task import Example, Task


def from_hub(
    name: str,
    prompt: str | None = None,
    answer: str | None = None,
    choices: str | None = None,
    config: str | None = None,
    train_split: str | None = None,
    test_split: str | None = None,
    n_train: int | None = None,
    n_test: int | None = None,
    seed: int | None = None,
) -> Task:
    """Return a task from the columns of a dataset.

    Parameters
    ----------
    name : dataset, as in `owner/dataset`; or a key of `BENCHMARKS`, whose columns, splits and
        configuration are known
    prompt, answer, choices : columns, prompt, answer and none by default; an integer answer is an
        index into the class names of the column or into the choices
    config : configuration of the dataset, if it has several
    train_split, test_split : splits, train and test by default, or those of the benchmark
    n_train, n_test : maximum numbers of examples; None for all
    seed : seed of the draw of the examples; None for the first ones

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
    source, splits = name, ("train", "test")
    if known is not None:
        source, config, splits = known.source, known.config, (known.train, known.test)
    parts = (train_split or splits[0], test_split or splits[1])
    columns = (prompt or "prompt", answer or "answer", choices)
    samples: list[list[Example]] = []
    for part, count in zip(parts, (n_train, n_test), strict=True):
        try:
            table = datasets.load_dataset(source, config, split=part)
        # The library raises its own errors, and those of the hub client and the network.
        except Exception as error:
            raise ValueError(
                f"dataset {name!r}, split {part!r}, cannot be loaded: {error}"
            ) from error
        where = f"{source}/{part}"
        order = draw_order(len(table), seed, f"{name} {part}")
        if known is None:
            samples.append(_examples(table, order[:count], columns, where))
        else:
            samples.append(_of_benchmark(table, order, count, known, where))
    return split(name.rsplit("/", 1)[-1], *samples)


def _of_benchmark(
    table: Any, order: Sequence[int], count: int | None, known: Benchmark, where: str
) -> list[Example]:
    """Return the first examples of a benchmark in an order of its rows."""
    examples: list[Example] = []
    for number in order:
        if len(examples) == count:
            break
        example = benchmark_example(known, table[number], f"{where}:{number + 1}")
        if example is not None:
            examples.append(example)
    if not examples:
        raise ValueError(f"{where}: must hold at least one example, found none")
    return examples


def _examples(
    table: Any, order: Sequence[int], columns: tuple[str, str, str | None], where: str
) -> list[Example]:
    for column in columns:
        if column is not None and column not in table.column_names:
            known = ", ".join(table.column_names)
            raise ValueError(f"{where}: no column {column!r}; it has: {known}")
    prompt, answer, choices = columns
    names = getattr(table.features[answer], "names", None)
    examples = []
    for number, row in zip((index + 1 for index in order), table.select(order), strict=True):
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
