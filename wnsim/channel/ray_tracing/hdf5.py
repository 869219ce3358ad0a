"""Reader of the arrays of an HDF5 file, `.h5` or `.hdf5`: one data set for each, at the top.

The file is untrusted: its sizes are bounded, and links and data sets that lead to other files are
refused.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wnsim.channel.ray_tracing.npz import MOST_BYTES
from wnsim.core.files import opened

SUFFIXES = (".h5", ".hdf5")


def read_data_sets(file: str) -> dict[str, NDArray[Any]]:
    """Return the data sets at the top of a file by name.

    Raises
    ------
    ValueError
        if the package h5py is missing, or the file cannot be read, is damaged, is too large, or
        has anything else than data sets of its own
    """

    def error(what: str) -> ValueError:
        return ValueError(f"{file}: {what}")

    try:
        import h5py
    except ImportError:
        raise error('needs the package h5py: pip install "wnsim[hdf5]"') from None
    # Missing files, folders and pipes have messages of their own.
    with opened(file, error):
        pass
    try:
        with h5py.File(file, "r") as content:
            return _data_sets(content, h5py, error)
    except (OSError, RuntimeError, KeyError, TypeError, MemoryError) as problem:
        kind = " ".join(str(problem).split())[:100] or type(problem).__name__
        raise error(f"is not a readable HDF5 file: {kind}") from None


def _data_sets(
    content: Any, h5py: Any, error: Callable[[str], ValueError]
) -> dict[str, NDArray[Any]]:
    """Return the data sets of an open file, whose sizes are checked before they are read."""
    found: dict[str, Any] = {}
    for name in content:
        if not isinstance(content.get(name, getlink=True), h5py.HardLink):
            raise error(f"{name[:40]!r} must be a data set of this file, got a link")
        each = content[name]
        if not isinstance(each, h5py.Dataset):
            raise error(f"{name[:40]!r} must be a data set, got a group")
        if each.is_virtual or each.external:
            raise error(f"{name[:40]!r} must have its values in this file")
        found[name] = each
    total = sum(int(each.size or 0) * each.dtype.itemsize for each in found.values())
    if total > MOST_BYTES:
        raise error(f"arrays may have at most {MOST_BYTES} bytes in total, got {total}")
    # A scalar is read as a number.
    return {name: np.asarray(each[()]) for name, each in found.items()}
