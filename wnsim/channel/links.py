"""Row numbers for undirected links, so that what is known of many links lies in arrays."""

from __future__ import annotations

import numpy as np

from wnsim.units import Ints


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


class LinkRows:
    """Numbers links 0, 1, 2, ... in the order in which they are first asked for.

    Parameters
    ----------
    capacity : how many links are kept; when new ones go beyond, all others are forgotten
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._row: dict[int, int] = {}

    def __len__(self) -> int:
        return len(self._row)

    def __call__(self, low: Ints, high: Ints) -> tuple[Ints, int]:
        """Return the row of each link.

        Parameters
        ----------
        low, high : (L,) smaller and larger end of each link, below 2**31

        Returns
        -------
        rows : (L,) row numbers
        known : rows from this one on are new, all of them if the others were forgotten
        """
        row = self._row
        known = len(row)
        names = (low << 32 | high).tolist()
        rows = [row.setdefault(name, len(row)) for name in names]
        if known < len(row) and len(row) > self._capacity:
            row.clear()
            known = 0
            rows = [row.setdefault(name, len(row)) for name in names]
        return np.array(rows, dtype=np.int64), known
