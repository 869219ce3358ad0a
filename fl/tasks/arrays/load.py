"""Loading of a task from arrays: recognises the format, draws examples, standardises them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ...config.tasks import DIGITS
from ..folder import draw_order
from . import cifar, digits, idx, images, npz
from .dataset import Dataset, Part
from .task import ArrayTask, Samples, standardised

if TYPE_CHECKING:
    from ...config import Arrays


def load_arrays(source: Arrays, n_train: int, n_test: int, seed: int) -> ArrayTask:
    """Return the task of a source, its channels standardised.

    Parameters
    ----------
    source : the data set, and how its examples are drawn
    n_train, n_test : maximum numbers of examples
    seed : 0 or more; seed of the draw, unless the source takes the first examples

    Raises
    ------
    ValueError
        if a file is missing, malformed or too large
    """
    drawn = seed if source.draw == "seed" else None
    found = _dataset(source, drawn)
    name = DIGITS if source.arrays == DIGITS else Path(source.arrays).stem
    train = _samples(found.train, n_train, drawn, f"{name} train")
    test = _samples(found.test, n_test, drawn, f"{name} test")
    if train.inputs.shape[1:] != test.inputs.shape[1:]:
        raise ValueError(
            f"{source.arrays}: training and test inputs must have one shape, got "
            f"{train.inputs.shape[1:]} and {test.inputs.shape[1:]}"
        )
    return standardised(ArrayTask(name, train, test, found.classes))


def check_arrays(source: Arrays) -> None:
    """Check that the data set of a source exists and is well-formed, as far as that is fast.

    Raises
    ------
    ValueError
        as `load_arrays`
    """
    if source.arrays == DIGITS:
        digits.check_installed()
    else:
        _dataset(source, None)


def _dataset(source: Arrays, seed: int | None) -> Dataset:
    """Return the data set of a source by its format."""
    if source.arrays == DIGITS:
        return digits.read(seed)
    path = Path(source.arrays)
    if path.is_file() and path.suffix == ".npz":
        return npz.read(path)
    if path.is_dir():
        if idx.is_folder(path):
            return idx.read(path)
        if cifar.is_folder(path):
            return cifar.read(path)
        if images.is_folder(path):
            return images.read(path, source.side_px, source.channels)
    raise ValueError(
        f"{path}: must be digits, a NumPy file (.npz), or a folder with the files of MNIST, with "
        "those of CIFAR-10 (binary version), or with train and test, each with a folder of images "
        "per class"
    )


def _samples(part: Part, count: int, seed: int | None, name: str) -> Samples:
    """Return examples of a part, as many as there are up to a number."""
    order = np.array(draw_order(len(part.labels), seed, name)[:count], dtype=np.int64)
    return Samples(part.load(order).astype(np.float32), part.labels[order])
