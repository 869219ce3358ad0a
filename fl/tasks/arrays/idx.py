"""Files of MNIST and its relatives (idx), plain or compressed.

Sources: the format as LeCun, Cortes and Burges describe it on the page of MNIST: two zero bytes,
the type (8: unsigned bytes), the number of dimensions, their sizes as big-endian 32-bit integers,
and the values.
"""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .dataset import MOST_BYTES, Dataset, Part, checked_size, unlinked

_TRAIN, _TEST = ("train",), ("t10k", "test")
_UNSIGNED_BYTES = 8


def is_folder(folder: Path) -> bool:
    """Return whether a folder has images for training in this format."""
    return bool(_found(folder, _TRAIN, "images"))


def read(folder: Path) -> Dataset:
    """Return the data set of a folder with four files.

    Raises
    ------
    ValueError
        if a file is missing, malformed or too large
    """
    return Dataset.of(_part(folder, _TRAIN), _part(folder, _TEST), folder)


def _part(folder: Path, names: Sequence[str]) -> Part:
    """Return a part of the data set."""
    images, labels = (_file(folder, names, what) for what in ("images", "labels"))
    return Part.of(_values(images, 3), _values(labels, 1), images, labels)


def _found(folder: Path, names: Sequence[str], what: str) -> list[Path]:
    """Return the files of a part, for instance train-images-idx3-ubyte.gz."""
    kind = "idx3" if what == "images" else "idx1"
    return [file for name in names for file in sorted(folder.glob(f"*{name}-{what}?{kind}-ubyte*"))]


def _file(folder: Path, names: Sequence[str], what: str) -> Path:
    found = _found(folder, names, what)
    if not found:
        kind = "idx3" if what == "images" else "idx1"
        raise ValueError(f"{folder / names[0]}-{what}-{kind}-ubyte: file is missing")
    return unlinked(found[0])


def _values(path: Path, dimensions: int) -> NDArray[np.uint8]:
    """Return the values of a file."""
    checked_size(path.stat().st_size, path)
    try:
        if path.suffix == ".gz":
            with gzip.open(path) as file:
                data = file.read(MOST_BYTES + 1)
        else:
            data = path.read_bytes()
    except (OSError, EOFError, zlib.error) as error:
        raise ValueError(f"{path}: cannot be read: {error}") from error
    checked_size(len(data), path)
    start = 4 + 4 * dimensions
    magic = bytes((0, 0, _UNSIGNED_BYTES, dimensions))
    if len(data) < start or data[:4] != magic:
        raise ValueError(
            f"{path}: must be an idx file of unsigned bytes in {dimensions} dimensions, starts "
            f"with {data[:4].hex()}"
        )
    shape = struct.unpack_from(f">{dimensions}I", data, 4)
    if math.prod(shape) != len(data) - start:
        raise ValueError(
            f"{path}: must have {math.prod(shape)} bytes of values, got {len(data) - start}"
        )
    return np.frombuffer(data, np.uint8, offset=start).reshape(shape)
