"""Data set before its examples are drawn, and the bounds of its size."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

MOST_BYTES = 4 << 30
"""Largest size of the values of a data set [byte]."""
MOST_CLASSES = 10_000


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """Training or test part of a data set.

    Attributes
    ----------
    labels : (n,) class of each example, int64
    load : returns the inputs of some examples by their numbers, (k, channels, height, width) or
        (k, features), of any real type
    """

    labels: NDArray[np.int64]
    load: Callable[[NDArray[np.int64]], NDArray[Any]]

    @staticmethod
    def of(
        inputs: NDArray[Any], labels: NDArray[Any], source: object, labels_source: object = None
    ) -> Part:
        """Return a part in memory.

        Parameters
        ----------
        inputs : (n, height, width), (n, channels, height, width) or with the channels last, or
            (n, features)
        labels : (n,) or (n, 1) classes
        source, labels_source : file or key of the inputs, and of the labels if it is another one,
            for messages

        Raises
        ------
        ValueError
            if shapes, types or values do not fit
        """
        inputs, labels = _inputs(inputs, source), _labels(labels, labels_source or source)
        if len(inputs) != len(labels) or not len(labels):
            raise ValueError(
                f"{source}: there must be as many labels as inputs, at least one, "
                f"got {len(labels)} and {len(inputs)}"
            )
        return Part(labels, lambda rows: inputs[rows])


@dataclass(frozen=True, slots=True, eq=False)
class Dataset:
    """Data set with its two parts.

    Attributes
    ----------
    train, test : the parts
    classes : number of classes
    """

    train: Part
    test: Part
    classes: int

    @staticmethod
    def of(train: Part, test: Part, source: object) -> Dataset:
        """Return a data set whose classes are numbered up to the largest label of either part.

        Raises
        ------
        ValueError
            if there are fewer than two classes, or too many
        """
        classes = 1 + int(max(train.labels.max(), test.labels.max()))
        if not 2 <= classes <= MOST_CLASSES:
            raise ValueError(
                f"{source}: there must be 2 to {MOST_CLASSES} classes, got labels up to "
                f"{classes - 1}"
            )
        return Dataset(train, test, classes)


def checked_size(size_bytes: int, source: object) -> None:
    """Raise ValueError if the values of a data set are too large.

    Parameters
    ----------
    size_bytes : their size [byte]
    source : file, for messages
    """
    if size_bytes > MOST_BYTES:
        raise ValueError(
            f"{source}: must have at most {MOST_BYTES} bytes of values, got {size_bytes}"
        )


def unlinked(path: Path) -> Path:
    """Return a path that is no symbolic link.

    Raises
    ------
    ValueError
        if it is one
    """
    if path.is_symlink():
        raise ValueError(f"{path}: is a link, which is not followed")
    return path


def _inputs(inputs: NDArray[Any], source: object) -> NDArray[Any]:
    """Return inputs with their channels after the number of the example."""
    if inputs.dtype.kind not in "biuf":
        raise ValueError(f"{source}: inputs must be real numbers, got type {inputs.dtype}")
    if inputs.ndim == 3:
        inputs = inputs[:, None]
    elif inputs.ndim == 4 and inputs.shape[-1] <= 4 < inputs.shape[1]:
        inputs = np.moveaxis(inputs, -1, 1)
    if inputs.ndim not in (2, 4) or 0 in inputs.shape[1:]:
        raise ValueError(
            f"{source}: inputs must be (n, features), (n, height, width), (n, channels, height, "
            f"width) or (n, height, width, channels), got shape {inputs.shape}"
        )
    if inputs.dtype.kind == "f" and not np.isfinite(inputs).all():
        raise ValueError(f"{source}: inputs must be finite, and are not")
    return inputs


def _labels(labels: NDArray[Any], source: object) -> NDArray[np.int64]:
    """Return labels as a vector of integers."""
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.ndim != 1 or labels.dtype.kind not in "iu":
        raise ValueError(
            f"{source}: labels must be one integer per input, got shape {labels.shape} of type "
            f"{labels.dtype}"
        )
    if len(labels) and int(labels.min()) < 0:
        raise ValueError(f"{source}: labels must be 0 or more, got {labels.min()}")
    if len(labels) and int(labels.max()) >= MOST_CLASSES:
        raise ValueError(f"{source}: labels must be below {MOST_CLASSES}, got {labels.max()}")
    return labels.astype(np.int64)
