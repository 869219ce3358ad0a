"""Table of the attempts on the air, for vectorized computation."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from wnsim.air.transmission import Attempt, Transmission
from wnsim.core.units import NS_PER_S, Ints
from wnsim.mac.scheduled import OnAir
from wnsim.phy.modem import IDLE, OUTCOMES, efficiency, mean_of_bands

if TYPE_CHECKING:
    from wnsim.air.scheduled.window import Window
    from wnsim.air.setup import Setup
    from wnsim.phy import Modem

# Fields that are sums over the slots in which a block was sent.
_SUMS = ("snr", "capacity", "airtime")
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
        ("size", np.int64),
        ("limit", np.int64),
        ("begin", np.int64),  # first slot
        ("acked", np.int64),  # bits, before the window
        ("done", np.int64),  # slot of the window that completes it, -1 if none does
        ("due", np.int64),  # instant at which it ends [ns], as far as is known
        ("counts", np.int64, (OUTCOMES,)),
        ("snr", np.float64),
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
        self._attempt: dict[int, Attempt] = {}
        self._number: dict[Attempt, int] = {}
        self._free: list[int] = []
        self._order: Ints | None = None

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
        record: Any = np.zeros((), dtype=_FIELDS)
        record["serial"], record["source"], record["target"] = (
            attempt.serial,
            attempt.source,
            attempt.target,
        )
        record["group"] = setup.mac.group(attempt.source, attempt.target, devices)
        record["carrier"] = setup.mac.carrier(attempt.source, attempt.target, devices)
        record["transmission"], record["batch"] = transmission.serial, attempt.batch
        record["power"], record["band"] = attempt.power, attempt.band
        record["size"], record["limit"], record["begin"] = attempt.size_bits, attempt.limit_ns, slot
        record["done"], record["due"] = -1, attempt.limit_ns
        self.table[number] = record
        self._attempt[number], self._number[attempt] = attempt, number
        self.transmissions[number] = transmission
        self._order = None
        return number

    def remove(self, attempt: Attempt) -> int:
        """Free the row of an attempt, and return it; the record stays until the row is reused."""
        number = self._number.pop(attempt)
        del self._attempt[number], self.transmissions[number]
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
        table, part = self.table, slice(0, slots)
        kind, sinr = window.kind[rows, part], window.sinr[rows, part]
        sent = kind != IDLE
        table["acked"][rows] += window.bits[rows, part].sum(axis=1)
        place = np.arange(rows.size)[:, None] * OUTCOMES + kind
        counts = np.bincount(place.ravel(), minlength=rows.size * OUTCOMES)
        counts = counts.reshape(rows.size, OUTCOMES)
        # The window may have begun before an attempt did.
        counts[:, IDLE] -= np.maximum(table["begin"][rows] - first_slot, 0)
        table["counts"][rows] += counts
        slot_s = slot_ns / NS_PER_S
        # Sums are taken slot by slot, in the order of the packet engine.
        summed = np.empty((len(_SUMS), rows.size, slots + 1))
        for number, name in enumerate(_SUMS):
            summed[number, :, 0] = table[name][rows]
        summed[0, :, 1:] = mean_of_bands(sinr)
        summed[1, :, 1:] = efficiency(sinr) * (bandwidth_hz * slot_s) * window.share[rows, part]
        summed[2, :, 1:] = window.power[rows, part] * slot_s
        summed[:, :, 1:] *= sent
        summed.cumsum(axis=2, out=summed)
        for number, name in enumerate(_SUMS):
            table[name][rows] = summed[number, :, -1]
        table["average"][rows] = window.average[rows, slots - 1]

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
        table, slot_ns = self.table, modem.slot_ns
        bits = window.bits[rows]
        acked = np.cumsum(bits, axis=1) + table["acked"][rows][:, None]
        reached = acked >= table["size"][rows][:, None]
        done = np.where(reached.any(axis=1), reached.argmax(axis=1), -1)
        complete = (first_slot + done + 1) * slot_ns
        if modem.fluid:
            each = np.arange(rows.size)
            last = np.maximum(bits[each, done], 1)
            missing = table["size"][rows] - (acked[each, done] - bits[each, done])
            complete += -(-missing * slot_ns // last) - slot_ns
        limit = table["limit"][rows]
        done = np.where(complete <= limit, done, -1)
        table["done"][rows] = done
        table["due"][rows] = np.where(done >= 0, complete, limit)

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
        return (
            np.r_[True, transmission[1:] != transmission[:-1]]
            if transmission.size
            else np.zeros(0, np.bool_)
        )
