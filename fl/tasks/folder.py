"""Tasks from a folder: a subfolder for each, with one file for training and one for tests.

The files are train.jsonl and test.jsonl (or validation.jsonl, dev.jsonl or val.jsonl), with one
JSON object per line; or Parquet files of the same names, also in several parts, such as
train-00000-of-00002.parquet. A row holds the texts `prompt` and `answer` and, for multiple choice,
`choices`, a list of texts; or the columns of a known benchmark as the hub has them, see
`benchmarks`. Other keys are ignored.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np

from .benchmarks import Benchmark, Row, benchmark_of
from .task import Example, Task

# Kinds of files of tasks.
SUFFIXES = (".jsonl", ".parquet")
_TESTS = ("test", "validation", "dev", "val")
_LONGEST_LINE_BYTES = 1_000_000


def from_folder(
    path: str | Path,
    n_train: int | None,
    n_test: int | None,
    subfolders: Sequence[str] = (),
    seed: int | None = None,
) -> list[Task]:
    """Return the tasks of a folder, one per subfolder.

    Parameters
    ----------
    path : the folder with the subfolders
    n_train, n_test : maximum numbers of examples; None for all
    subfolders : names of the tasks; empty for all, in alphabetical order
    seed : seed of the draw of the examples; None for the first ones

    Raises
    ------
    ValueError
        if a subfolder or a file is missing, too short or malformed; the message names file and
        line
    """
    for label, count in (("n_train", n_train), ("n_test", n_test)):
        if count is not None and count < 1:
            raise ValueError(f"{label} must be at least 1, got {count}")
    folder = Path(path)
    if not folder.is_dir():
        raise ValueError(f"{folder}: must be a folder with one subfolder per task")
    names = [
        entry.name
        for entry in sorted(folder.iterdir())
        if entry.is_dir() and not entry.name.startswith(".")
    ]
    if not names:
        raise ValueError(f"{folder}: must hold at least one task folder, found none")
    for name in subfolders:
        if name not in names:
            raise ValueError(f"{folder}: subfolders must be among {', '.join(names)}, got {name!r}")
    return [_task(folder / name, n_train, n_test, seed) for name in subfolders or names]


def _task(folder: Path, n_train: int | None, n_test: int | None, seed: int | None) -> Task:
    files = _files(folder, "train")
    known = _benchmark(files)
    train = _examples(folder, "train", files, n_train, seed)
    # Some benchmarks keep the answers of their test split secret.
    tests = _TESTS if known is None else (known.test, *_TESTS)
    part = next((part for part in tests if _files(folder, part)), "test")
    test = _examples(folder, part, _files(folder, part), n_test, seed)
    return split(folder.name, train, test)


def _files(folder: Path, part: str) -> list[Path]:
    """Return the files of a part: one of lines, or else Parquet files in order."""
    lines = folder / f"{part}.jsonl"
    if lines.is_file():
        return [lines]
    return sorted({*folder.glob(f"{part}.parquet"), *folder.glob(f"{part}-*.parquet")})


def _benchmark(files: Sequence[Path]) -> Benchmark | None:
    """Return the benchmark that files contain, by their first row."""
    for path in files:
        for _, row in _rows(path):
            return None if "prompt" in row else benchmark_of(row)
    return None


def draw_order(count: int, seed: int | None, name: str) -> list[int]:
    """Return the order in which examples are taken; a smaller draw is the beginning of a larger.

    Parameters
    ----------
    count : number of examples
    seed : 0 or more; seed of the draw; None keeps their order
    name : of the task and its part, so that their draws are independent
    """
    if seed is None:
        return list(range(count))
    order: list[int] = np.random.default_rng([seed, *name.encode()]).permutation(count).tolist()
    return order


def split(name: str, train: list[Example], test: list[Example]) -> Task:
    """Return a task of two samples, without test prompts that are also training prompts.

    Raises
    ------
    ValueError
        if no test prompt remains
    """
    trained = {example.prompt for example in train}
    unseen = [example for example in test if example.prompt not in trained]
    if not unseen:
        raise ValueError(f"task {name!r}: at least one test prompt must not be in the train set")
    return Task(name, tuple(train), tuple(unseen), chance([*train, *unseen]))


def chance(examples: list[Example]) -> float:
    """Return the accuracy of guessing among the choices, or among the distinct answers."""
    if all(example.choices for example in examples):
        return fmean(1.0 / len(example.choices) for example in examples)
    return 1.0 / len({example.answer for example in examples})


def _examples(
    folder: Path, part: str, files: Sequence[Path], count: int | None, seed: int | None
) -> list[Example]:
    if not files:
        raise ValueError(
            f"{folder / part}.jsonl: file is missing; a task folder needs train.jsonl and "
            "test.jsonl, or Parquet files"
        )
    examples: list[Example] = []
    for source, row in (found for path in files for found in _rows(path)):
        example = _example(row, source)
        if example is not None:
            examples.append(example)
        if seed is None and count is not None and len(examples) == count:
            break
    if not examples:
        raise ValueError(f"{files[0]}: must hold at least one example, found none")
    order = draw_order(len(examples), seed, f"{folder.name} {part}.jsonl")
    return [examples[index] for index in order[:count]]


def _rows(path: Path) -> Iterator[tuple[str, Row]]:
    """Yield the place of each row, for messages, and the row."""
    return _parquet_rows(path) if path.suffix == ".parquet" else _line_rows(path)


def _line_rows(path: Path) -> Iterator[tuple[str, Row]]:
    with path.open("rb") as file:
        number = 0
        # The limit keeps a file without line breaks out of memory.
        while line := file.readline(_LONGEST_LINE_BYTES + 1):
            number += 1
            if len(line) > _LONGEST_LINE_BYTES:
                raise ValueError(
                    f"{path}:{number}: a line must be at most {_LONGEST_LINE_BYTES} bytes long"
                )
            if line.strip():
                yield f"{path}:{number}", _record(line, f"{path}:{number}")


def _parquet_rows(path: Path) -> Iterator[tuple[str, Row]]:
    try:
        parquet: Any = importlib.import_module("pyarrow.parquet")
    except ImportError as error:
        raise ValueError(f"{path}: Parquet needs pyarrow: pip install 'wnsim[parquet]'") from error
    number = 0
    try:
        with parquet.ParquetFile(path) as file:
            for batch in file.iter_batches(1024):
                for row in batch.to_pylist():
                    number += 1
                    yield f"{path}:{number}", row
    # The library raises its own errors, most of which are these.
    except (OSError, ValueError) as error:
        raise ValueError(f"{path}: must be a Parquet file, but is malformed: {error}") from error


def _record(line: bytes, source: str) -> Row:
    try:
        record = json.loads(line.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise ValueError(f"{source}: must be UTF-8 text, byte {error.start + 1} is not") from error
    except (json.JSONDecodeError, RecursionError) as error:
        raise ValueError(f"{source}: must be one JSON object, but is malformed: {error}") from error
    if not isinstance(record, dict):
        raise ValueError(f"{source}: must be one JSON object, got {type(record).__name__}")
    return record


def _example(row: Row, source: str) -> Example | None:
    """Return the example in a row; None if the benchmark skips it."""
    known = None if "prompt" in row else benchmark_of(row)
    if known is None:
        return example_of(row.get("prompt"), row.get("answer"), row.get("choices"), source)
    return benchmark_example(known, row, source)


def benchmark_example(known: Benchmark, row: Row, source: str) -> Example | None:
    """Return the checked example of a benchmark's row; None for rows to skip.

    Parameters
    ----------
    known, row : the benchmark and its row
    source : file and line, for messages

    Raises
    ------
    ValueError
        if a value is missing or of a wrong kind
    """
    try:
        example = known.read(row)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        reason = f"no {error}" if isinstance(error, KeyError) else error
        raise ValueError(f"{source}: not a row as expected: {reason}") from error
    if example is None:
        return None
    return example_of(example.prompt, example.answer, list(example.choices) or None, source)


def example_of(prompt: object, answer: object, choices: object, source: str) -> Example:
    """Return a checked example.

    Parameters
    ----------
    prompt, answer, choices : values as read; None for a missing key
    source : file and line, for messages

    Raises
    ------
    ValueError
        if a value is missing, of a wrong type or empty, or the answer is not among the choices
    """
    correct = _text("answer", answer, source).strip()
    return Example(_text("prompt", prompt, source), correct, _choices(choices, correct, source))


def _text(key: str, value: object, source: str) -> str:
    if value is None:
        raise ValueError(f"{source}: key {key!r} is missing")
    if not isinstance(value, str):
        raise ValueError(f"{source}: {key} must be a text, got {type(value).__name__}")
    if not value.strip():
        raise ValueError(f"{source}: {key} must not be empty")
    return value


def _choices(choices: object, answer: str, source: str) -> tuple[str, ...]:
    if choices is None:
        return ()
    shown = repr(choices)[:80]
    if not isinstance(choices, list) or not all(isinstance(choice, str) for choice in choices):
        raise ValueError(f"{source}: choices must be a list of texts, got {shown}")
    stripped = tuple(choice.strip() for choice in choices)
    if len(set(stripped)) < 2 or not all(stripped):
        raise ValueError(f"{source}: choices must be at least two different texts, got {shown}")
    if answer not in stripped:
        raise ValueError(f"{source}: answer must be among the choices, got {answer[:80]!r}")
    if stripped.count(answer) > 1:
        raise ValueError(f"{source}: answer must be one of the choices only, got {shown}")
    return stripped
