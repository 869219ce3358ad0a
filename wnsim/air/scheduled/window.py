"""Window of the windowed engine: shares and outcome of each attempt in each slot."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wnsim import kernels
from wnsim.core.units import Floats, Ints
from wnsim.kernels.layout import plain
from wnsim.mac.scheduled import Shares
from wnsim.phy.modem import State

_NONE: Floats = np.empty((0, 0))


class Buffers:
    """Memory of arrays, which is used again by those of the next window."""

    def __init__(self) -> None:
        self._memory: dict[str, NDArray[Any]] = {}

    def array(self, name: str, shape: tuple[int, ...], dtype: Any) -> NDArray[Any]:
        """Return an undefined array in the memory of the last one of that name."""
        size = math.prod(shape)
        memory = self._memory.get(name)
        if memory is None or memory.size < size:
            memory = self._memory[name] = np.zeros(size, dtype=dtype)
        return memory[:size].reshape(shape)

    def clear(self) -> None:
        """Use new memory from now on."""
        self._memory = {}


class Window:
    """Arrays by row of the attempt and slot of the window.

    A row is undefined until it is cleared, or all of it has been written.

    Parameters
    ----------
    rows, slots, bands : extent
    end_state : (rows,) state of the modem at the end of the window
    buffers : memory, which was that of earlier windows

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

    def __init__(
        self, rows: int, slots: int, bands: int, end_state: State, buffers: Buffers
    ) -> None:
        self._buffers = buffers
        self.estimated = buffers.array("estimated", (rows, slots, bands), np.float64)
        self.sinr = buffers.array("sinr", (rows, slots, bands), np.float64)
        self.share = buffers.array("share", (rows, slots), np.float64)
        self.power = buffers.array("power", (rows, slots), np.float64)
        self.active = buffers.array("active", (rows, slots), np.bool_)
        self.average = buffers.array("average", (rows, slots), np.float64)
        self.bits = buffers.array("bits", (rows, slots), np.int64)
        self.kind = buffers.array("kind", (rows, slots), np.int8)
        self.draw = buffers.array("draw", (rows, slots), np.float64)
        self.drawn = np.zeros(rows, dtype=np.bool_)
        self.end_state = end_state

    def enlarged(self, rows: int) -> Window:
        """Return the window with capacity for more rows."""
        old, slots, bands = self.estimated.shape
        # Not in the memory of the old one.
        self._buffers.clear()
        new = Window(rows, slots, bands, np.zeros(rows, dtype=self.end_state.dtype), self._buffers)
        for name in (
            "estimated", "sinr", "share", "power", "active", "average", "bits", "kind", "draw",
            "drawn",
        ):  # fmt: skip
            getattr(new, name)[:old] = getattr(self, name)
        new.end_state[: self.end_state.size] = self.end_state
        return new

    def clear(self, rows: list[int]) -> None:
        """Reset rows that are used again."""
        index = np.array(rows)
        for array in (
            self.estimated, self.sinr, self.active, self.bits, self.kind, self.share, self.power,
            self.average,
        ):  # fmt: skip
            array[index] = 0
        self.drawn[index] = False

    def assign(self, rows: Ints, offset: int, shares: Shares) -> NDArray[np.bool_]:
        """Assign rows (R,) their shares from a slot of the window on; return which ones changed."""
        if offset == self.active.shape[1]:
            return np.zeros(rows.size, dtype=np.bool_)
        return kernels.slots.assign(
            self.share, self.power, self.active, self.average, rows, offset,
            plain(shares.band), plain(shares.power), plain(shares.active),
            _NONE if shares.average is None else plain(shares.average),
        )  # fmt: skip
