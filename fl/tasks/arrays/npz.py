"""Data sets in NumPy files (.npz), read without pickle and with bounded sizes."""

from __future__ import annotations

import math
import zipfile
import zlib
from pathlib import Path
from tokenize import TokenError
from typing import Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from .dataset import Dataset, Part, checked_size

# As Keras and MedMNIST name them.
_KEYS = (
    ("x_train", "y_train", "x_test", "y_test"),
    ("train_images", "train_labels", "test_images", "test_labels"),
)
# The library's own, and what its decoders and file raise.
_ZIP_ERRORS = (
    zipfile.BadZipFile, zlib.error, OSError, EOFError, NotImplementedError, RuntimeError,
)  # fmt: skip
_HEADERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}


def read(path: Path) -> Dataset:
    """Return the data set of a file with training and test arrays.

    Raises
    ------
    ValueError
        if the file is malformed or too large, lacks an array, or holds objects
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = {each.filename.removesuffix(".npy"): each for each in archive.infolist()}
            keys = next((keys for keys in _KEYS if set(keys) <= members.keys()), None)
            if keys is None:
                raise ValueError(
                    f"{path}: must hold the arrays {', '.join(_KEYS[0])}, or "
                    f"{', '.join(_KEYS[1])}, got {', '.join(sorted(members)[:8])}"
                )
            checked_size(sum(members[key].file_size for key in keys), path)
            arrays = [_array(archive, members[key], f"{path}: {key}") for key in keys]
    except _ZIP_ERRORS as error:
        raise ValueError(f"{path}: must be a NumPy file, but is malformed: {error}") from error
    train, test = (
        Part.of(*arrays[at : at + 2], *(f"{path}: {key}" for key in keys[at : at + 2]))
        for at in (0, 2)
    )
    return Dataset.of(train, test, path)


def _array(archive: zipfile.ZipFile, member: zipfile.ZipInfo, source: str) -> NDArray[Any]:
    """Return an array whose header agrees with the size of its member."""
    with archive.open(member) as file:
        try:
            version = npy.read_magic(file)
            shape, fortran, dtype = _HEADERS[version](file)
        # The header is a literal, whose errors the library passes on.
        except (ValueError, KeyError, TypeError, SyntaxError, TokenError, RecursionError) as error:
            raise ValueError(f"{source}: its header is malformed: {error}") from error
        if dtype.hasobject:
            raise ValueError(
                f"{source}: must hold numbers, not objects, whose pickles can run code"
            )
        expected, found = math.prod(shape) * dtype.itemsize, member.file_size - file.tell()
        if expected != found or min(shape, default=0) < 0 or not dtype.itemsize:
            raise ValueError(f"{source}: must have {expected} bytes of values, got {found}")
        values = np.frombuffer(file.read(), dtype)
    return values.reshape(shape, order="F" if fortran else "C")
