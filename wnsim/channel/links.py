"""Row numbers of undirected links, so that data of many links is stored in arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from wnsim import kernels
from wnsim.core.units import Ints


def ordered(source: Ints, target: Ints) -> tuple[Ints, Ints]:
    """Return the smaller and the larger end of each link; both directions are one link.

    Raises
    ------
    ValueError
        if a link joins a device with itself
    """
    source, target = np.asarray(source, dtype=np.int64), np.asarray(target, dtype=np.int64)
    loops = source == target
    if np.any(loops):
        raise ValueError(
            f"a link must join two devices, got device {int(source[loops][0])} with itself"
        )
    return np.minimum(source, target), np.maximum(source, target)


def members(one: Ints, other: Ints) -> tuple[Ints, Ints, Ints]:
    """Return the nodes that are an end of a link, in ascending order, and the indices of the ends.

    Parameters
    ----------
    one, other : (L,) ends of the links

    Returns
    -------
    members : (n,) nodes
    first, second : (L,) indices of the ends among them
    """
    return kernels.link_geometry.members(one, other)


class LinkRows:
    """Numbering of links 0, 1, 2, ... in the order of first requests.

    Parameters
    ----------
    capacity : maximum number of links; when it is exceeded, all others are dropped
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._row: dict[int, int] = {}

    def __len__(self) -> int:
        return len(self._row)

    def __call__(self, low: Ints, high: Ints) -> tuple[Ints, tuple[Ints, Ints]]:
        """Return the row of each link.

        Parameters
        ----------
        low, high : (L,) smaller and larger end of each link, below 2**31

        Returns
        -------
        rows : (L,) row numbers
        new : (K,) and (K,) ends of the K links that have the last rows from now on; the rows of
            others are unchanged, or dropped if there are none
        """
        names, row = (low << 32 | high).tolist(), self._row
        new = dict.fromkeys([name for name in names if name not in row])
        if new:
            if len(row) + len(new) > self._capacity:
                self._row, new = {}, dict.fromkeys(names)
                row = self._row
            row.update(zip(new, range(len(row), len(row) + len(new)), strict=True))
        name = np.array(list(new), dtype=np.int64)
        rows = np.array([row[name] for name in names], dtype=np.int64)
        return rows, (name >> 32, name & 0xFFFFFFFF)


def grown(table: NDArray[Any], rows: int) -> NDArray[Any]:
    """Return a table with at least a number of rows, doubled if needed, its old rows first."""
    if rows <= table.shape[0]:
        return table
    larger = np.empty((max(rows, 2 * table.shape[0]), *table.shape[1:]), dtype=table.dtype)
    larger[: table.shape[0]] = table
    return larger
