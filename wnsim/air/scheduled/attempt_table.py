"""Table of the attempts on the air, for vectorized computation."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from wnsim import kernels
from wnsim.air.transmission import Attempt, Transmission
from wnsim.core.units import NS_PER_S, Ints
from wnsim.mac.scheduled import OnAir
from wnsim.phy.modem import OUTCOMES

if TYPE_CHECKING:
    from wnsim.air.scheduled.window import Window
    from wnsim.air.setup import Setup
    from wnsim.phy import Modem

_FIELDS = np.dtype(
    [
        ("serial", np.int64),
        ("source", np.int64),
        ("target", np.int64),
        ("group", np.int64),
        ("carrier", np.int64),
        ("transmission", np.int64),
        ("batch", np.int64),
        ("power", np.float64),
        ("band", np.float64),
        ("noise", np.float64),
        ("size", np.int64),
        ("limit", np.int64),
        ("begin", np.int64),  # first slot
        ("acked", np.int64),  # bits, before the window
        ("done", np.int64),  # slot of the window that completes it, -1 if none does
        ("due", np.int64),  # instant at which it ends [ns], as far as is known
        ("counts", np.int64, (OUTCOMES,)),
        ("snr", np.float64),  # this and the next two are sums over the slots with a block
        ("capacity", np.float64),
        ("airtime", np.float64),
        ("average", np.float64),  # of the scheduler, before the window
    ]
)


class AttemptTable:
    """A row for each attempt on the air, whose number stays the same until the attempt ends.

    Attributes
    ----------
    table : (capacity,) records of the attempts; unused ones are undefined
    transmissions : the transmission of each attempt
    """

    def __init__(self) -> None:
        self.table = np.zeros(0, dtype=_FIELDS)
        self.transmissions: dict[int, Transmission] = {}
        self._multicast: set[int] = set()
        self._attempt: dict[int, Attempt] = {}
        self._number: dict[Attempt, int] = {}
        self._free: list[int] = []
        self._order: Ints | None = None

    @property
    def multicasts(self) -> bool:
        """Whether any attempt began as part of a multicast."""
        return bool(self._multicast)

    def __len__(self) -> int:
        return len(self._attempt)

    def add(self, attempt: Attempt, transmission: Transmission, slot: int, setup: Setup) -> int:
        """Add an attempt that starts in a slot; return its row."""
        if not self._free:
            room = max(16, self.table.size)
            self._free = list(range(self.table.size + room - 1, self.table.size - 1, -1))
            self.table = np.concatenate([self.table, np.zeros(room, dtype=_FIELDS)])
        number = self._free.pop()
        devices = setup.world.count
        self.table[number] = (
            attempt.serial,
            attempt.source,
            attempt.target,
            setup.mac.group(attempt.source, attempt.target, devices),
            setup.mac.carrier(attempt.source, attempt.target, devices),
            transmission.serial,
            attempt.batch,
            attempt.power,
            attempt.band,
            attempt.noise,
            attempt.size_bits,
            attempt.limit_ns,
            slot,
            0,  # acked
            -1,  # done
            attempt.limit_ns,  # due
            0,  # counts
            0.0,  # snr
            0.0,  # capacity
            0.0,  # airtime
            0.0,  # average
        )
        if transmission.multicast:
            self._multicast.add(number)
        self._attempt[number], self._number[attempt] = attempt, number
        self.transmissions[number] = transmission
        self._order = None
        return number

    def remove(self, attempt: Attempt) -> int:
        """Free the row of an attempt, and return it; the record stays until the row is reused."""
        number = self._number.pop(attempt)
        del self._attempt[number], self.transmissions[number]
        self._multicast.discard(number)
        self._free.append(number)
        if self._order is not None:
            self._order = self._order[self._order != number]
        return number

    def allot(self, attempts: Iterable[Attempt]) -> set[int]:
        """Write the allocated shares of attempts; return the groups of those with a row."""
        groups = set()
        for attempt in attempts:
            number = self._number.get(attempt)
            if number is not None:
                self.table["power"][number] = attempt.power
                self.table["band"][number] = attempt.band
                self.table["noise"][number] = attempt.noise
                groups.add(int(self.table["group"][number]))
        return groups

    def attempt(self, number: int) -> Attempt:
        """Return the attempt of a row."""
        return self._attempt[number]

    def number(self, attempt: Attempt) -> int:
        """Return the row of an attempt."""
        return self._number[attempt]

    def commit(
        self,
        rows: Ints,
        window: Window,
        first_slot: int,
        slots: int,
        slot_ns: int,
        bandwidth_hz: float,
    ) -> None:
        """Add the first slots of a window to the records of rows (R,).

        Parameters
        ----------
        rows : the rows
        window, first_slot : the window, and the number of its first slot
        slots : how many of its slots
        slot_ns, bandwidth_hz : duration [ns] and band [Hz] of a slot
        """
        kernels.slots.commit(
            self.table, rows, slots, first_slot, window.bits, window.kind, window.sinr,
            window.share, window.power, window.average, slot_ns / NS_PER_S, bandwidth_hz,
        )  # fmt: skip

    def trace(self, rows: Ints, window: Window, first_slot: int, slots: int, slot_ns: int) -> None:
        """Record in which slots bits of attempts were received; see `commit`."""
        for row in rows.tolist():
            bits = window.bits[row, :slots]
            arrived = np.flatnonzero(bits)
            self._attempt[row].progress.append(
                ((first_slot + arrived + 1) * slot_ns, bits[arrived])
            )

    def predict_ends(self, rows: Ints, window: Window, first_slot: int, modem: Modem) -> None:
        """Compute when rows (R,) end, as far as the window that begins at a slot determines it."""
        kernels.slots.predict_ends(
            self.table, rows, window.bits, first_slot, modem.slot_ns, modem.fluid
        )

    def ordered(self) -> Ints:
        """Return the rows in use (R,), by group, then transmission, then attempt."""
        if self._order is None:
            used = np.fromiter(self._attempt, np.int64, len(self._attempt))
            keys = [self.table[name][used] for name in ("serial", "transmission", "group")]
            self._order = used[np.lexsort(keys)]
        return self._order

    def matching(self, rows: Ints, name: str, wanted: set[int]) -> NDArray[np.bool_]:
        """Return which of rows (R,) have one of some values in a field."""
        values = self.table[name][rows].tolist()
        return np.fromiter(map(wanted.__contains__, values), np.bool_, rows.size)

    def on_air(self, rows: Ints) -> OnAir:
        """Return the view of medium access on ordered rows."""
        table = self.table
        return OnAir(
            table["source"][rows],
            table["group"][rows],
            table["transmission"][rows],
            table["batch"][rows],
            table["power"][rows],
            table["band"][rows],
        )

    def leaders(self, rows: Ints) -> NDArray[np.bool_]:
        """Return which of ordered rows (R,) are the first of their transmissions."""
        transmission = self.table["transmission"][rows]
        leader = np.ones(rows.size, dtype=np.bool_)
        np.not_equal(transmission[1:], transmission[:-1], out=leader[1:])
        return leader
