"""Window length of the windowed engine, adapted to how long windows remain valid."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wnsim import kernels

if TYPE_CHECKING:
    from wnsim.air.scheduled.attempt_table import AttemptTable

SHORTEST, USUAL, LONGEST = 8, 64, 4096
# Largest number of elements in an array of a window.
_LARGEST = 1 << 22
# Quantile of the expected ends of attempts that bounds a window.
_MOST = 0.9


class WindowLength:
    """The length of the next window, from the changes during the last one.

    Parameters
    ----------
    bands : number of subbands

    Attributes
    ----------
    length : of the present window [slots]
    changes : attempts started since the window began, and groups in which one ended
    recomputed : attempts recomputed because of these changes
    """

    def __init__(self, bands: int) -> None:
        self._bands = bands
        self.length = USUAL
        self.changes = self.recomputed = 0

    def shorten(self) -> None:
        """Use a short window next: the air is idle, or was until now."""
        self.length = USUAL // 2

    def next(self, slot: int, passed: int, attempts: AttemptTable) -> int:
        """Return the length of a window that begins at a slot [slots].

        Twice the last one if nothing changed, or nothing that concerns other attempts; otherwise
        about the duration of a few changes.

        Parameters
        ----------
        slot : its first slot
        passed : slots since the last window began
        attempts : attempts on the air
        """
        if self.recomputed:
            self.length = max(SHORTEST, min(8 * max(passed, 1) // self.changes, USUAL))
        else:
            longest = LONGEST if not self.changes else 4 * USUAL
            self.length = max(USUAL, min(2 * self.length, longest, _slots_left(attempts, slot)))
        largest = max(SHORTEST, _LARGEST // (len(attempts) * self._bands))
        self.length = min(self.length, largest)
        self.changes = self.recomputed = 0
        return self.length


def _slots_left(attempts: AttemptTable, slot: int) -> int:
    """Return the number of slots after which most attempts will have ended, at their past pace."""
    left = kernels.slots.slots_left(attempts.table, attempts.ordered(), slot, _MOST)
    return int(1.05 * left) + 1
