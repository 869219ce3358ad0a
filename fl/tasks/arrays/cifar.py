"""CIFAR-10 in its binary version.

Sources: the format as Krizhevsky describes it on the page of CIFAR-10: records of a label and the
3 * 32 * 32 bytes of an image, red first, row by row.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from .dataset import Dataset, Part, checked_size, unlinked

_SHAPE = (3, 32, 32)
_RECORD_BYTES = 1 + 3 * 32 * 32
_PICKLES = ("batches.meta", "data_batch_1", "test_batch")


def is_folder(folder: Path) -> bool:
    """Return whether a folder has the files of CIFAR-10, in the binary version.

    Raises
    ------
    ValueError
        if it has those of the version for Python
    """
    if (folder / "data_batch_1.bin").exists():
        return True
    for name in _PICKLES:
        if (folder / name).is_file():
            raise ValueError(
                f"{folder / name}: is of the Python version of CIFAR-10, whose pickle files can "
                "run code; use the binary version, data_batch_1.bin to data_batch_5.bin and "
                "test_batch.bin"
            )
    return False


def read(folder: Path) -> Dataset:
    """Return the data set of a folder with data_batch_1.bin to data_batch_5.bin and test_batch.bin.

    Raises
    ------
    ValueError
        if a file is missing or malformed
    """
    train = [folder / f"data_batch_{number}.bin" for number in range(1, 6)]
    return Dataset.of(_part(train), _part([folder / "test_batch.bin"]), folder)


def _part(paths: Sequence[Path]) -> Part:
    batches = []
    for path in paths:
        if not unlinked(path).is_file():
            raise ValueError(f"{path}: file is missing")
        size = path.stat().st_size
        checked_size(size * len(paths), path)
        if size % _RECORD_BYTES or not size:
            raise ValueError(
                f"{path}: must consist of records of {_RECORD_BYTES} bytes, got {size} bytes"
            )
        batches.append(np.fromfile(path, np.uint8).reshape(-1, _RECORD_BYTES))
    records = np.concatenate(batches)
    return Part.of(records[:, 1:].reshape(-1, *_SHAPE), records[:, 0], paths[0])
