"""Window of the windowed engine: shares and outcome of each attempt in each slot."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from wnsim import kernels
from wnsim.core.units import Floats, Ints
from wnsim.kernels.layout import plain
from wnsim.mac.scheduled import Shares
from wnsim.phy.modem import State

_NONE: Floats = np.empty((0, 0))


class Window:
    """Arrays by row of the attempt and slot of the window.

    Parameters
    ----------
    rows, slots, bands : extent
    end_state : (rows,) state of the modem at the end of the window

    Attributes
    ----------
    estimated, sinr : (rows, slots, bands) estimated and actual SINR, linear
    share, power : (rows, slots) share of the band and of the transmitter's power
    active : (rows, slots) whether the attempt may transmit
    average : (rows, slots) state of the scheduler after each slot
    bits : (rows, slots) bits received
    kind : (rows, slots) outcome, see `phy.modem`
    draw, drawn : (rows, slots) draws of reception errors, (rows,) whether they are computed
    """

    def __init__(self, rows: int, slots: int, bands: int, end_state: State) -> None:
        self.estimated = np.zeros((rows, slots, bands))
        self.sinr = np.zeros((rows, slots, bands))
        self.share = np.zeros((rows, slots))
        self.power = np.zeros((rows, slots))
        self.active = np.zeros((rows, slots), dtype=np.bool_)
        self.average = np.zeros((rows, slots))
        self.bits = np.zeros((rows, slots), dtype=np.int64)
        self.kind = np.zeros((rows, slots), dtype=np.int8)
        self.draw = np.empty((rows, slots))
        self.drawn = np.zeros(rows, dtype=np.bool_)
        self.end_state = end_state

    def enlarged(self, rows: int) -> Window:
        """Return the window with capacity for more rows."""
        old, slots, bands = self.estimated.shape
        new = Window(rows, slots, bands, np.zeros(rows, dtype=self.end_state.dtype))
        for name in (
            "estimated", "sinr", "share", "power", "active", "average", "bits", "kind", "draw",
            "drawn",
        ):  # fmt: skip
            getattr(new, name)[:old] = getattr(self, name)
        new.end_state[: self.end_state.size] = self.end_state
        return new

    def clear(self, rows: list[int]) -> None:
        """Reset rows that are used again."""
        for array in (self.active, self.bits, self.kind, self.share, self.power, self.average):
            array[rows] = 0
        self.drawn[rows] = False

    def assign(self, rows: Ints, offset: int, shares: Shares) -> NDArray[np.bool_]:
        """Assign rows (R,) their shares from a slot of the window on; return which ones changed."""
        if offset == self.active.shape[1]:
            return np.zeros(rows.size, dtype=np.bool_)
        return kernels.slots.assign(
            self.share, self.power, self.active, self.average, rows, offset,
            plain(shares.band), plain(shares.power), plain(shares.active),
            _NONE if shares.average is None else plain(shares.average),
        )  # fmt: skip
