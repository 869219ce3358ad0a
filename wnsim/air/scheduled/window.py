"""The arrays of a window: what each flow is given in each slot, and what becomes of it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from wnsim.core.units import Ints
from wnsim.mac.scheduled import Shares
from wnsim.phy.modem import State


class Window:
    """Arrays by row of the flows and slot of the window.

    Parameters
    ----------
    rows, slots, bands : extent
    later : (rows,) where the modem's memory at the end of the window goes

    Attributes
    ----------
    known, sinr : (rows, slots, bands) ratio that is believed in and that holds, linear
    share, power : (rows, slots) share of the band and of the transmitter's power
    active : (rows, slots) whether the flow may send
    average : (rows, slots) what the scheduler remembers after each slot
    bits : (rows, slots) bits that arrive
    kind : (rows, slots) outcome, see `phy.modem`
    draw, drawn : (rows, slots) draws that decide on errors, (rows,) whether they are known
    """

    def __init__(self, rows: int, slots: int, bands: int, later: State) -> None:
        self.known = np.zeros((rows, slots, bands))
        self.sinr = np.zeros((rows, slots, bands))
        self.share = np.zeros((rows, slots))
        self.power = np.zeros((rows, slots))
        self.active = np.zeros((rows, slots), dtype=np.bool_)
        self.average = np.zeros((rows, slots))
        self.bits = np.zeros((rows, slots), dtype=np.int64)
        self.kind = np.zeros((rows, slots), dtype=np.int8)
        self.draw = np.empty((rows, slots))
        self.drawn = np.zeros(rows, dtype=np.bool_)
        self.later = later

    def longer(self, rows: int) -> Window:
        """Return the window with room for more rows."""
        old, slots, bands = self.known.shape
        new = Window(rows, slots, bands, np.zeros(rows, dtype=self.later.dtype))
        for name in (
            "known", "sinr", "share", "power", "active", "average", "bits", "kind", "draw", "drawn",
        ):  # fmt: skip
            getattr(new, name)[:old] = getattr(self, name)
        new.later[: self.later.size] = self.later
        return new

    def clear(self, rows: list[int]) -> None:
        """Forget what other flows did in rows that are used again."""
        for array in (self.active, self.bits, self.kind, self.share, self.power, self.average):
            array[rows] = 0
        self.drawn[rows] = False

    def allot(self, rows: Ints, place: int, shares: Shares) -> NDArray[np.bool_]:
        """Give rows (R,) their shares from a slot of the window on; return which ones differ."""
        if place == self.active.shape[1]:
            return np.zeros(rows.size, dtype=np.bool_)
        old = (self.share[rows, place], self.power[rows, place], self.active[rows, place])
        self.share[rows, place:] = shares.band
        self.power[rows, place:] = shares.power
        self.active[rows, place:] = shares.active
        if shares.average is not None:
            self.average[rows, place:] = shares.average
        new = (self.share[rows, place], self.power[rows, place], self.active[rows, place])
        differs = np.zeros(rows.size, dtype=np.bool_)
        for before, after in zip(old, new, strict=True):
            differs |= before != after
        return differs
