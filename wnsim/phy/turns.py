"""HARQ process interleaving: slots of links arranged in rounds of one slot per process."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from wnsim.core.units import Ints

_Number = TypeVar("_Number", np.float64, np.int64, np.int8)


class Turns:
    """Slots in which links may send, arranged in rounds of one slot per process.

    Parameters
    ----------
    active : (L, S) slots in which each link may send
    first : (L,) process of the first such slot
    processes : N

    Attributes
    ----------
    valid : (L, R N) which slots of R rounds exist: some of the first round precede these slots,
        some of the last one follow them
    """

    def __init__(self, active: NDArray[np.bool_], first: Ints, processes: int) -> None:
        self._shape = active.shape
        if not first.any() and not active.shape[1] % processes and active.all():
            self._turns = None
            self.valid = active
            return
        width = -(-int((first + active.sum(axis=1)).max(initial=0)) // processes) * processes
        self._link, self._slot = np.nonzero(active)
        self._turn = (np.cumsum(active, axis=1) - 1 + first[:, None])[self._link, self._slot]
        self._turns = np.full((active.shape[0], width), -1)
        self._turns[self._link, self._turn] = self._slot
        self.valid = self._turns >= 0

    def arranged(self, values: NDArray[_Number]) -> NDArray[_Number]:
        """Return values by slot (L, S, ...) arranged by process slot (L, R N, ...)."""
        if self._turns is None:
            return values
        links = np.arange(self._shape[0])[:, None]
        return np.asarray(values[links, self._turns])

    def restored(self, values: NDArray[_Number]) -> NDArray[_Number]:
        """Return values (L, R N) rearranged by slot (L, S), 0 where a link may not send."""
        if self._turns is None:
            return values
        result = np.zeros(self._shape, dtype=values.dtype)
        result[self._link, self._slot] = values[self._link, self._turn]
        return result
