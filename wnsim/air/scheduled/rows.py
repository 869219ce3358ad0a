"""The flows on the air as rows of a table, so that many are worked on at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from wnsim.air.flow import Flow, Stream
from wnsim.core.units import NS_PER_S, Ints
from wnsim.mac.scheduled import OnAir
from wnsim.phy.modem import IDLE, OUTCOMES, efficiency, mean_of_bands

if TYPE_CHECKING:
    from wnsim.air.air import Setup
    from wnsim.air.scheduled.window import Window
    from wnsim.phy import Modem

# Fields that are sums over the slots in which something was sent.
_SUMS = ("snr", "capacity", "airtime")
_FIELDS = np.dtype(
    [
        ("serial", np.int64),
        ("source", np.int64),
        ("target", np.int64),
        ("group", np.int64),
        ("carrier", np.int64),
        ("stream", np.int64),
        ("batch", np.int64),
        ("power", np.float64),
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


class Rows:
    """A table with a row for each flow on the air, which keeps its number until the flow ends.

    Attributes
    ----------
    table : (capacity,) records of the flows; those that are not in use mean nothing
    streams : the stream of each flow
    """

    def __init__(self) -> None:
        self.table = np.zeros(0, dtype=_FIELDS)
        self.streams: dict[int, Stream] = {}
        self._flow: dict[int, Flow] = {}
        self._number: dict[Flow, int] = {}
        self._free: list[int] = []
        self._order: Ints | None = None

    def __len__(self) -> int:
        return len(self._flow)

    def add(self, flow: Flow, stream: Stream, slot: int, setup: Setup) -> int:
        """Give a flow that starts in a slot a row, and return its number."""
        if not self._free:
            room = max(16, self.table.size)
            self._free = list(range(self.table.size + room - 1, self.table.size - 1, -1))
            self.table = np.concatenate([self.table, np.zeros(room, dtype=_FIELDS)])
        number = self._free.pop()
        devices = setup.world.count
        record: Any = np.zeros((), dtype=_FIELDS)
        record["serial"], record["source"], record["target"] = flow.serial, flow.source, flow.target
        record["group"] = setup.mac.group(flow.source, flow.target, devices)
        record["carrier"] = setup.mac.carrier(flow.source, flow.target, devices)
        record["stream"], record["batch"] = stream.serial, flow.batch
        record["power"] = flow.power
        record["size"], record["limit"], record["begin"] = flow.size_bits, flow.limit_ns, slot
        record["done"], record["due"] = -1, flow.limit_ns
        self.table[number] = record
        self._flow[number], self._number[flow] = flow, number
        self.streams[number] = stream
        self._order = None
        return number

    def remove(self, flow: Flow) -> int:
        """Take a flow's row from it, and return its number; the record stays until it is reused."""
        number = self._number.pop(flow)
        del self._flow[number], self.streams[number]
        self._free.append(number)
        if self._order is not None:
            self._order = self._order[self._order != number]
        return number

    def flow(self, number: int) -> Flow:
        """Return the flow of a row."""
        return self._flow[number]

    def number(self, flow: Flow) -> int:
        """Return the row of a flow."""
        return self._number[flow]

    def book(
        self,
        rows: Ints,
        window: Window,
        first_slot: int,
        slots: int,
        slot_ns: int,
        bandwidth_hz: float,
    ) -> None:
        """Add what rows (R,) did in the first slots of a window to what they did before.

        Parameters
        ----------
        rows : the rows
        window, first_slot : what they did, and the number of its first slot
        slots : how many slots of it
        slot_ns, bandwidth_hz : duration [ns] and band [Hz] of a slot
        """
        table, part = self.table, slice(0, slots)
        kind, sinr = window.kind[rows, part], window.sinr[rows, part]
        sent = kind != IDLE
        table["acked"][rows] += window.bits[rows, part].sum(axis=1)
        place = np.arange(rows.size)[:, None] * OUTCOMES + kind
        counts = np.bincount(place.ravel(), minlength=rows.size * OUTCOMES)
        counts = counts.reshape(rows.size, OUTCOMES)
        # The window may have begun before a flow did.
        counts[:, IDLE] -= np.maximum(table["begin"][rows] - first_slot, 0)
        table["counts"][rows] += counts
        slot_s = slot_ns / NS_PER_S
        # What is summed goes one slot after the other, as an engine without windows adds.
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
        """Let flows remember in which slots how many of their bits arrived; see `book`."""
        for row in rows.tolist():
            bits = window.bits[row, :slots]
            arrived = np.flatnonzero(bits)
            self._flow[row].progress.append(((first_slot + arrived + 1) * slot_ns, bits[arrived]))

    def foresee(self, rows: Ints, window: Window, first_slot: int, modem: Modem) -> None:
        """Find out when rows (R,) end, as far as a window that begins at a slot tells."""
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
        """Return the rows in use (R,), by group, then stream, then flow."""
        if self._order is None:
            used = np.fromiter(self._flow, np.int64, len(self._flow))
            keys = [self.table[name][used] for name in ("serial", "stream", "group")]
            self._order = used[np.lexsort(keys)]
        return self._order

    def among(self, rows: Ints, name: str, wanted: set[int]) -> NDArray[np.bool_]:
        """Return which of rows (R,) have one of some values in a field."""
        values = self.table[name][rows].tolist()
        return np.fromiter(map(wanted.__contains__, values), np.bool_, rows.size)

    def on_air(self, rows: Ints) -> OnAir:
        """Return what medium access sees of rows in order."""
        table = self.table
        return OnAir(
            table["source"][rows],
            table["group"][rows],
            table["stream"][rows],
            table["batch"][rows],
            table["power"][rows],
        )

    def leaders(self, rows: Ints) -> NDArray[np.bool_]:
        """Return which of rows (R,) in order are the first of their streams."""
        stream = self.table["stream"][rows]
        return np.r_[True, stream[1:] != stream[:-1]] if stream.size else np.zeros(0, np.bool_)
