"""Warnings of data that are fewer than a scenario asks for."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from wnsim.scenario.errors import DataWarning

_MOST_NAMED = 8


def warn_of_shortages(tasks: Sequence[Any], train: int, test: int) -> None:
    """Warn of tasks with fewer examples than asked for, and of classes without examples.

    Parameters
    ----------
    tasks : tasks of texts, or one of arrays
    train, test : numbers of examples that were asked for, per task

    Warns
    -----
    DataWarning
        once for training and once for test examples, and for each part of arrays
    """
    for key, wanted, part in (("train", train, "training"), ("test", test, "test")):
        few = {task.name: len(getattr(task, key)) for task in tasks}
        few = {name: count for name, count in few.items() if count < wanted}
        if few:
            names = _listed([f"{name} has {count}" for name, count in few.items()])
            warnings.warn(
                f"fl.{key}_examples is {wanted}, and {names} {part} examples: all of them are used",
                DataWarning,
                stacklevel=2,
            )
        for task in tasks:
            labels = getattr(getattr(task, key), "labels", None)
            if labels is None:
                continue
            counts = np.bincount(np.asarray(labels), minlength=task.classes)
            empty = np.flatnonzero(counts == 0).tolist()
            if empty:
                of = "class" if len(empty) == 1 else "classes"
                have = "has" if len(empty) == 1 else "have"
                warnings.warn(
                    f"{of} {_listed(list(map(str, empty)))} of {task.name} {have} no {part} "
                    "examples",
                    DataWarning,
                    stacklevel=2,
                )


def _listed(names: Sequence[str]) -> str:
    """Return names as a list in words, of which many are cut."""
    shown = list(names[:_MOST_NAMED])
    if len(names) > _MOST_NAMED:
        shown.append(f"{len(names) - _MOST_NAMED} more")
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}"
