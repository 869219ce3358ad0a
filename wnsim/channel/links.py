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
    """Numbers links 0, 1, 2, ... in the order in which they are first asked for."""

    def __init__(self) -> None:
        self._row: dict[int, int] = {}

    def __len__(self) -> int:
        return len(self._row)

    def clear(self) -> None:
        """Forget all links."""
        self._row.clear()

    def __call__(self, low: Ints, high: Ints) -> Ints:
        """Return the row of each link, new rows for new links.

        Parameters
        ----------
        low, high : (L,) smaller and larger end of each link, below 2**31

        Returns
        -------
        (L,) row numbers
        """
        row = self._row
        names = (np.asarray(low, dtype=np.int64) << 32 | high).tolist()
        return np.array([row.setdefault(name, len(row)) for name in names], dtype=np.int64)
