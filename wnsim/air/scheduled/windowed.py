"""The windowed engine: the outcome of many slots ahead for all links on the air, at one go.

A window holds what becomes of the coming slots of every flow. It is used until something changes
who is on the air; then the flows that this concerns (whose share of the band, or whose
interference changes) are computed anew from that slot on, and no others. Because the channel and
the draws that decide on errors are functions of pair and slot, computing ahead, cutting and
computing again changes nobody's numbers: `packet`, which looks at one slot at a time, gives the
same results to the last bit.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from wnsim.air.air import Air, Setup
from wnsim.air.flow import Flow, Stream
from wnsim.air.scheduled.lengths import USUAL, Lengths
from wnsim.air.scheduled.reception import Reception
from wnsim.air.scheduled.rows import Rows
from wnsim.air.scheduled.window import Window
from wnsim.core.streams import uniform_blocks
from wnsim.core.units import Floats, Ints
from wnsim.phy.modem import Slots, efficiency


class Windowed(Air):
    """An engine that looks many slots ahead; see `Air`."""

    def __init__(self, setup: Setup, ended: Callable[[Flow], None]) -> None:
        super().__init__(setup, ended)
        self._bands = setup.world.channel.subbands
        self._rows = Rows()
        self._reception = Reception(setup, self._rows, self.hearing)
        self._lengths = Lengths(self._bands)
        self._state = np.zeros(0, dtype=setup.modem.memory)
        self._first = self._until = 0
        # Groups in which something started or ended, streams that lost one of their receivers.
        self._touched: set[int] = set()
        self._shrunk: set[int] = set()
        self._window = Window(0, 0, self._bands, self._state)

    # What `Air` asks for.

    def begin(self, slot: int, started: Sequence[Stream]) -> None:
        """Take in that a slot begins."""
        if started and self._first < slot < self._until - 4 * USUAL:
            self._cut(slot)
        fresh = slot >= self._until
        if fresh and len(self._rows):
            self._commit(self._rows.ordered(), self._until - self._first)
            self._state = self._window.later
        new = [
            self._rows.add(flow, stream, slot, self.setup)
            for stream in started
            for flow in stream.flows
        ]
        self._lengths.changes += len(new) + len(self._touched)
        if new:
            self._make_room(new)
            self._touched.update(self._rows.table["group"][new].tolist())
        if not len(self._rows):
            self._until = slot
            self._lengths.rest()
        elif fresh:
            self._open(slot)
            self._plan(slot, None)
        elif self._touched:
            self._plan(slot, self._touched)
        self._touched, self._shrunk = set(), set()

    def due(self, now_ns: int) -> list[Flow]:
        """Return the flows on the air that end by an instant [ns]."""
        rows = self._rows.ordered()
        ending = rows[self._rows.table["due"][rows] <= now_ns]
        return [self._rows.flow(row) for row in ending.tolist()]

    def next_end_ns(self) -> int | None:
        """Return when the next flow on the air ends [ns]."""
        rows = self._rows.ordered()
        return int(self._rows.table["due"][rows].min()) if rows.size else None

    def next_slot(self) -> int | None:
        """Return the slot at which the window has run out."""
        return self._until if len(self._rows) else None

    def settle(self, flow: Flow, now_ns: int) -> None:
        """Book what a flow that ends now did on the air, and forget it."""
        row = self._rows.number(flow)
        record = self._rows.table[row]
        done = int(record["done"])
        flow.delivered = done >= 0 and int(record["due"]) <= now_ns
        passed = min(now_ns // self.slot_ns, self._until) - self._first
        self._commit(np.array([row]), done + 1 if flow.delivered else passed)
        record = self._rows.table[row]
        flow.acked_bits = min(int(record["acked"]), flow.size_bits)
        flow.count(record["counts"], self.slot_ns)
        flow.snr_sum, flow.capacity_bits = float(record["snr"]), float(record["capacity"])
        flow.airtime_s = float(record["airtime"])
        self._touched.add(int(record["group"]))
        self._shrunk.add(int(record["stream"]))
        self._rows.remove(flow)

    def acked_bits(self, flow: Flow) -> int:
        """Return how many bits of a flow on the air have arrived by now."""
        row = self._rows.number(flow)
        passed = min(self.env.now_ns // self.slot_ns, self._until) - self._first
        return int(self._rows.table["acked"][row] + self._window.bits[row, :passed].sum())

    # Windows.

    def _make_room(self, new: list[int]) -> None:
        """Make rows for flows that start, empty in the window so far."""
        capacity, modem = self._rows.table.size, self.setup.modem
        if capacity > self._state.size:
            self._window = self._window.longer(capacity)
            more = np.zeros(capacity - self._state.size, dtype=modem.memory)
            self._state = np.concatenate([self._state, more])
        self._window.clear(new)
        several = np.array([self._rows.streams[row].several for row in new])
        self._state[new] = modem.start(self._rows.table["size"][new], several)

    def _open(self, slot: int) -> None:
        """Begin a window at a slot."""
        setup = self.setup
        length = self._lengths.next(slot, slot - self._first, self._rows)
        sample = slot // setup.sample_slots
        samples = -(-length // setup.sample_slots)
        # An era from a quiet time is too long for the many that may start now.
        gains = self._reception.gains
        if not sample < gains.end < sample + 4 * max(samples, USUAL):
            gains.open(sample, samples)
        self._first = slot
        self._until = min(slot + length, gains.end * setup.sample_slots)
        if self.hearing is not None:
            limit_ns = self.hearing.end_ns(slot * self.slot_ns)
            self._until = min(self._until, -(-limit_ns // self.slot_ns))
        capacity = self._rows.table.size
        self._window = Window(capacity, self._until - slot, self._bands, self._state.copy())
        self._reception.open(slot * self.slot_ns)

    def _cut(self, slot: int) -> None:
        """End a window of a quiet time at a slot: what starts need not be computed so far ahead."""
        rows = self._rows.ordered()
        if rows.size and not self.setup.modem.memoryless:
            state = self._state[rows]
            self.setup.modem.scan(state, self._slots(rows, self._first, slot))
            self._window.later[rows] = state
        self._until = slot
        self._lengths.rest()

    def _plan(self, slot: int, touched: set[int] | None) -> None:
        """Compute the window from a slot on, for the flows of some groups and all they disturb.

        Parameters
        ----------
        slot : first slot
        touched : groups in which somebody started or ended; none: everything
        """
        rows, mac = self._rows.ordered(), self.setup.mac
        place, slots = slot - self._first, self._until - slot
        if touched is None or (self.rules.interferes and self.rules.patterned):
            changed = rows
        else:
            changed = rows[self._rows.among(rows, "group", touched)]
        if not changed.size and self.hearing is None:
            return
        if self.rules.patterned:
            self._reception.emit(rows, self._window, place)
            links = self._reception.links(changed, slot, self._until)
            quality = efficiency(self._reception.known(links, np.ones(1)))
            average = self._rows.table["average"][changed]
            if place:
                started = self._rows.table["begin"][changed] == slot
                average = np.where(started, 0.0, self._window.average[changed, place - 1])
            on_air = self._rows.on_air(changed)
            self._window.allot(changed, place, mac.shares(on_air, slot, slots, quality, average))
            self._reception.emit(rows, self._window, place)
        else:
            shares = mac.shares(
                self._rows.on_air(changed), slot, slots, np.empty((0, 0)), np.empty(0)
            )
            differs = self._window.allot(changed, place, shares)
            differs |= self._rows.table["begin"][changed] == slot
            differs |= self._rows.among(changed, "stream", self._shrunk)
            changed = changed if touched is None else changed[differs]
            disturbed = self._reception.emit(rows, self._window, place)
            if disturbed.any():
                stream = self._rows.table["stream"]
                # The receivers of a stream are looked at together.
                streams = {*stream[rows[disturbed]].tolist(), *stream[changed].tolist()}
                changed = rows[self._rows.among(rows, "stream", streams)]
            if not changed.size:
                return
            links = self._reception.links(changed, slot, self._until)
        if touched is not None:
            self._lengths.redone += int((self._rows.table["begin"][changed] != slot).sum())
        window, part = self._window, slice(place, None)
        density = (window.power[changed, part] / window.share[changed, part])[..., None]
        known, true = self._reception.ratios(links, density)
        window.known[changed, part], window.sinr[changed, part] = known, true
        self._scan(changed, slot)

    def _scan(self, rows: Ints, slot: int) -> None:
        """Let the modem look at rows, and find out when they are complete."""
        setup, window = self.setup, self._window
        # What a modem remembers is only kept from the beginning of the window.
        begin = slot if setup.modem.memoryless else self._first
        part = slice(begin - self._first, None)
        state = self._state[rows]
        outcome = setup.modem.scan(state, self._slots(rows, begin, self._until))
        window.later[rows] = state
        window.bits[rows, part] = outcome.bits
        window.kind[rows, part] = outcome.kind
        self._rows.foresee(rows, window, self._first, setup.modem)

    def _slots(self, rows: Ints, begin: int, end: int) -> Slots:
        """Return what the modem is told of rows from one slot to another."""
        window, part = self._window, slice(begin - self._first, end - self._first)
        return Slots(
            window.known[rows, part],
            window.sinr[rows, part],
            window.share[rows, part],
            window.active[rows, part],
            self._draws(rows, begin, end),
        )

    def _draws(self, rows: Ints, begin: int, end: int) -> Floats:
        """Return the draws (R, S) that decide on errors of rows from one slot to another."""
        table, window, first = self._rows.table, self._window, self._first
        # Those whose interference changes are looked at again and again.
        new = rows if self.hearing is None else rows[~window.drawn[rows]]
        link = self.setup.error_key, table["source"][new], table["target"][new]
        if self.hearing is None:
            return uniform_blocks(*link, begin, end - begin)
        if new.size:
            window.draw[new, begin - first :] = uniform_blocks(*link, begin, self._until - begin)
            window.drawn[new] = True
        return np.asarray(window.draw[rows, begin - first : end - first])

    def _commit(self, rows: Ints, slots: int) -> None:
        """Book the first slots of the window to rows, for good."""
        if slots <= 0 or not rows.size:
            return
        bandwidth_hz = self.setup.world.bandwidth_hz
        self._rows.book(rows, self._window, self._first, slots, self.slot_ns, bandwidth_hz)
        if self.setup.trace:
            self._rows.trace(rows, self._window, self._first, slots, self.slot_ns)
