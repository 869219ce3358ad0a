"""Row numbers of undirected links, so that data of many links is stored in arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from wnsim import kernels
from wnsim.core.units import Ints

# Places of the smallest hash table.
_LEAST = 64


def ordered(source: Ints, target: Ints) -> tuple[Ints, Ints]:
    """Return the smaller and the larger end of each link; both directions are one link.

    Raises
    ------
    ValueError
        if a link joins a device with itself
    """
    source, target = np.asarray(source, dtype=np.int64), np.asarray(target, dtype=np.int64)
    loops = source == target
    if loops.any():
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
        self._known = 0
        self._names, self._numbers = _table(_LEAST)

    def __len__(self) -> int:
        return self._known

    def __call__(self, low: Ints, high: Ints) -> tuple[Ints, Ints]:
        """Return the row of each link.

        Parameters
        ----------
        low, high : (L,) smaller and larger end of each link, below 2**31

        Returns
        -------
        rows : (L,) row numbers
        new : (K,) indices of K links that have the last rows from now on, each once; the rows of
            others are unchanged, or dropped if there are none
        """
        rows, new = np.empty(low.size, dtype=np.int64), np.empty(low.size, dtype=np.int64)
        self._reserve(low.size)
        number = kernels.link_table.number
        count = number(self._names, self._numbers, self._known, low, high, rows, new)
        if count and self._known + count > self._capacity:
            self._known = 0
            self._names, self._numbers = _table(_LEAST)
            self._reserve(low.size)
            count = number(self._names, self._numbers, 0, low, high, rows, new)
        self._known += count
        return rows, new[:count]

    def _reserve(self, more: int) -> None:
        """Enlarge the table such that a number of links more fill half of it at most."""
        if 2 * (self._known + more) > self._names.size:
            larger = _table(1 << (2 * (self._known + more)).bit_length())
            kernels.link_table.rehash(self._names, self._numbers, *larger)
            self._names, self._numbers = larger


def _table(places: int) -> tuple[Ints, Ints]:
    """Return an empty hash table; see `wnsim.kernels.link_table`."""
    return np.full(places, -1, dtype=np.int64), np.empty(places, dtype=np.int64)


def grown(table: NDArray[Any], rows: int) -> NDArray[Any]:
    """Return a table with at least a number of rows, doubled if needed, its old rows first."""
    if rows <= table.shape[0]:
        return table
    larger = np.empty((max(rows, 2 * table.shape[0]), *table.shape[1:]), dtype=table.dtype)
    larger[: table.shape[0]] = table
    return larger
