"""How long the windows of the windowed engine are: about as long as they will be of use."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from wnsim.air.scheduled.rows import Rows

SHORTEST, USUAL, LONGEST = 8, 64, 4096
# Numbers that a window's largest array may have.
_LARGEST = 1 << 22
# Share of the flows on the air whose expected end bounds a window: beyond, little is used of it.
_MOST = 0.9


class Lengths:
    """The length of the next window, from what became of the last one.

    Parameters
    ----------
    bands : parts of the band that differ

    Attributes
    ----------
    length : of the present window [slots]
    changes : flows that started since the window began, and groups in which one ended
    redone : flows that had to be computed anew for that
    """

    def __init__(self, bands: int) -> None:
        self._bands = bands
        self.length = USUAL
        self.changes = self.redone = 0

    def rest(self) -> None:
        """Be brief after a quiet time: nobody is on the air, or somebody starts after long."""
        self.length = USUAL // 2

    def next(self, slot: int, passed: int, rows: Rows) -> int:
        """Return the length of a window that begins at a slot [slots].

        Twice as long as the last one while nothing happens, or nothing that concerns the others;
        else about as long as a few changes take.

        Parameters
        ----------
        slot : its first slot
        passed : slots since the last window began
        rows : the flows on the air
        """
        if self.redone:
            self.length = max(SHORTEST, min(8 * max(passed, 1) // self.changes, USUAL))
        else:
            longest = LONGEST if not self.changes else 4 * USUAL
            self.length = max(USUAL, min(2 * self.length, longest, _slots_left(rows, slot)))
        largest = max(SHORTEST, _LARGEST // (len(rows) * self._bands))
        self.length = min(self.length, largest)
        self.changes = self.redone = 0
        return self.length


def _slots_left(rows: Rows, slot: int) -> int:
    """Return in how many slots most flows will have ended, at their pace so far."""
    table = rows.table[rows.ordered()]
    pace = np.maximum(table["acked"], 1) / np.maximum(slot - table["begin"], 1)
    left = np.sort((table["size"] - table["acked"]) / pace)
    return int(1.05 * left[int(_MOST * (left.size - 1))]) + 1
