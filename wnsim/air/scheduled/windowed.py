"""Windowed engine: outcome of many slots ahead for all links on the air, in one vectorized pass.

A window contains the outcome of the coming slots of every attempt. It is used until the set of
attempts on the air changes; then the attempts affected by the change, through their share of the
band or their interference, are recomputed from that slot on, and no others. The channel and the
draws of reception errors are functions of pair and slot, so results do not depend on windows:
`packet`, which simulates one slot at a time, gives bit-identical results.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from wnsim.air.air import Air
from wnsim.air.scheduled.attempt_table import AttemptTable
from wnsim.air.scheduled.reception import Reception
from wnsim.air.scheduled.window import Buffers, Window
from wnsim.air.scheduled.window_length import USUAL, WindowLength
from wnsim.air.setup import Setup
from wnsim.air.transmission import Attempt, Transmission
from wnsim.core.streams import uniform_blocks
from wnsim.core.units import Floats, Ints
from wnsim.phy.modem import Slots, efficiency


class Windowed(Air):
    """An engine that computes many slots ahead; see `Air`."""

    def __init__(self, setup: Setup, ended: Callable[[Attempt], None]) -> None:
        super().__init__(setup, ended)
        self._bands = setup.world.channel.subbands
        self._attempts = AttemptTable()
        self._reception = Reception(setup, self._attempts, self.interference_graph)
        self._length = WindowLength(self._bands)
        self._state = np.zeros(0, dtype=setup.modem.memory)
        self._first = self._until = 0
        # Groups in which an attempt started or ended; transmissions that lost a receiver.
        self._changed: set[int] = set()
        self._shrunk: set[int] = set()
        self._buffers = Buffers()
        self._window = Window(0, 0, self._bands, self._state, self._buffers)

    # Required by `Air`.

    def begin_slot(self, slot: int, started: Sequence[Transmission]) -> None:
        """Begin a slot: start transmissions, and compute or update the window."""
        if started and self._first < slot < self._until - 4 * USUAL:
            self._cut(slot)
        expired = slot >= self._until
        if expired and len(self._attempts):
            self._commit(self._attempts.ordered(), self._until - self._first)
            self._state = self._window.end_state
        new = [
            self._attempts.add(attempt, transmission, slot, self.setup)
            for transmission in started
            for attempt in transmission.attempts
        ]
        self._length.changes += len(new) + len(self._changed)
        if new:
            self._add_rows(new)
            self._changed.update(self._attempts.table["group"][new].tolist())
        if not len(self._attempts):
            self._until = slot
            self._length.shorten()
        elif expired:
            self._open(slot)
            self._compute(slot, None)
        elif self._changed:
            self._compute(slot, self._changed)
        self._changed, self._shrunk = set(), set()

    def due(self, now_ns: int) -> list[Attempt]:
        """Return the attempts on the air that end by an instant [ns]."""
        rows = self._attempts.ordered()
        ending = rows[self._attempts.table["due"][rows] <= now_ns]
        return [self._attempts.attempt(row) for row in ending.tolist()]

    def next_end_ns(self) -> int | None:
        """Return when the next attempt on the air ends [ns]."""
        rows = self._attempts.ordered()
        return int(self._attempts.table["due"][rows].min()) if rows.size else None

    def next_slot(self) -> int | None:
        """Return the slot after the end of the window."""
        return self._until if len(self._attempts) else None

    def finalize(self, attempt: Attempt, now_ns: int) -> None:
        """Write the outcome of an attempt that ends now, and remove it."""
        row = self._attempts.number(attempt)
        record = self._attempts.table[row]
        done = int(record["done"])
        attempt.delivered = done >= 0 and int(record["due"]) <= now_ns
        passed = min(now_ns // self.slot_ns, self._until) - self._first
        self._commit(np.array([row]), done + 1 if attempt.delivered else passed)
        record = self._attempts.table[row]
        attempt.acked_bits = min(int(record["acked"]), attempt.size_bits)
        attempt.count(record["counts"], self.slot_ns)
        attempt.snr_sum, attempt.capacity_bits = float(record["snr"]), float(record["capacity"])
        attempt.airtime_s = float(record["airtime"])
        self._changed.add(int(record["group"]))
        self._shrunk.add(int(record["transmission"]))
        self._attempts.remove(attempt)

    def acked_bits(self, attempt: Attempt) -> int:
        """Return the number of bits of an attempt on the air received by now."""
        row = self._attempts.number(attempt)
        passed = min(self.env.now_ns // self.slot_ns, self._until) - self._first
        return int(self._attempts.table["acked"][row] + self._window.bits[row, :passed].sum())

    def allotted(self, attempts: Sequence[Attempt]) -> None:
        """Use the shares that attempts have been allotted from this slot on."""
        self._changed.update(self._attempts.allot(attempts))

    # Windows.

    def _add_rows(self, new: list[int]) -> None:
        """Initialize the rows of attempts that start, without blocks in the window so far."""
        capacity, modem = self._attempts.table.size, self.setup.modem
        if capacity > self._state.size:
            self._window = self._window.enlarged(capacity)
            more = np.zeros(capacity - self._state.size, dtype=modem.memory)
            self._state = np.concatenate([self._state, more])
        self._window.clear(new)
        multicast = np.array([self._attempts.transmissions[row].multicast for row in new])
        self._state[new] = modem.start(self._attempts.table["size"][new], multicast)

    def _open(self, slot: int) -> None:
        """Begin a window at a slot."""
        setup = self.setup
        length = self._length.next(slot, slot - self._first, self._attempts)
        sample = slot // setup.sample_slots
        samples = -(-length // setup.sample_slots)
        # A window of gains opened in a quiet period is too long for many new attempts.
        gains = self._reception.gains
        if not sample < gains.end < sample + 4 * max(samples, USUAL):
            gains.open(sample, samples)
        self._first = slot
        self._until = min(slot + length, gains.end * setup.sample_slots)
        if self.interference_graph is not None:
            limit_ns = self.interference_graph.end_ns(slot * self.slot_ns)
            self._until = min(self._until, -(-limit_ns // self.slot_ns))
        capacity = self._attempts.table.size
        self._window = Window(
            capacity, self._until - slot, self._bands, self._state.copy(), self._buffers
        )
        self._reception.open(slot * self.slot_ns)

    def _cut(self, slot: int) -> None:
        """End a long window early at a slot in which transmissions start after a quiet period."""
        rows = self._attempts.ordered()
        if rows.size and not self.setup.modem.memoryless:
            state = self._state[rows]
            self.setup.modem.scan(state, self._slots(rows, self._first, slot))
            self._window.end_state[rows] = state
        self._until = slot
        self._length.shorten()

    def _compute(self, slot: int, groups: set[int] | None) -> None:
        """Compute the window from a slot on, for some groups and all they interfere with.

        Parameters
        ----------
        slot : first slot
        groups : groups in which an attempt started or ended; none: all
        """
        rows, mac = self._attempts.ordered(), self.setup.mac
        offset, slots = slot - self._first, self._until - slot
        if groups is None or (self.rules.interferes and self.rules.patterned):
            changed = rows
        else:
            changed = rows[self._attempts.matching(rows, "group", groups)]
        if not changed.size and self.interference_graph is None:
            return
        if self.rules.patterned:
            self._reception.update_emitters(rows, self._window, offset)
            links = self._reception.links(changed, slot, self._until)
            quality = efficiency(self._reception.estimated(links, np.ones((1, 1))))
            average = self._attempts.table["average"][changed]
            if offset:
                started = self._attempts.table["begin"][changed] == slot
                average = np.where(started, 0.0, self._window.average[changed, offset - 1])
            on_air = self._attempts.on_air(changed)
            self._window.assign(changed, offset, mac.shares(on_air, slot, slots, quality, average))
            self._reception.update_emitters(rows, self._window, offset)
        else:
            shares = mac.shares(
                self._attempts.on_air(changed), slot, slots, np.empty((0, 0)), np.empty(0)
            )
            differs = self._window.assign(changed, offset, shares)
            differs |= self._attempts.table["begin"][changed] == slot
            differs |= self._attempts.matching(changed, "transmission", self._shrunk)
            changed = changed if groups is None else changed[differs]
            affected = self._reception.update_emitters(rows, self._window, offset)
            if affected.any():
                transmission = self._attempts.table["transmission"]
                # The receivers of a transmission are evaluated together.
                transmissions = {
                    *transmission[rows[affected]].tolist(),
                    *transmission[changed].tolist(),
                }
                changed = rows[self._attempts.matching(rows, "transmission", transmissions)]
            if not changed.size:
                return
            links = self._reception.links(changed, slot, self._until)
        if groups is not None:
            self._length.recomputed += int((self._attempts.table["begin"][changed] != slot).sum())
        window, part = self._window, slice(offset, None)
        density = window.power[changed, part] / window.share[changed, part]
        density /= self._attempts.table["noise"][changed, None]
        estimated, true = self._reception.sinrs(links, density)
        window.estimated[changed, part], window.sinr[changed, part] = estimated, true
        self._run_modem(changed, slot)

    def _run_modem(self, rows: Ints, slot: int) -> None:
        """Let the modem process rows, and compute when they end."""
        setup, window = self.setup, self._window
        # The state of the modem is stored for the beginning of the window only.
        begin = slot if setup.modem.memoryless else self._first
        part = slice(begin - self._first, None)
        state = self._state[rows]
        outcome = setup.modem.scan(state, self._slots(rows, begin, self._until))
        if not setup.modem.memoryless:
            window.end_state[rows] = state
        window.bits[rows, part] = outcome.bits
        window.kind[rows, part] = outcome.kind
        self._attempts.predict_ends(rows, window, self._first, setup.modem)

    def _slots(self, rows: Ints, begin: int, end: int) -> Slots:
        """Return the input of the modem for rows from one slot to another."""
        window, part = self._window, slice(begin - self._first, end - self._first)
        return Slots(
            window.estimated[rows, part],
            window.sinr[rows, part],
            window.share[rows, part],
            window.active[rows, part],
            self._draws(rows, begin, end),
        )

    def _draws(self, rows: Ints, begin: int, end: int) -> Floats:
        """Return the draws (R, S) of reception errors of rows from one slot to another."""
        table, window, first = self._attempts.table, self._window, self._first
        # Rows whose interference changes are recomputed repeatedly.
        new = rows if self.interference_graph is None else rows[~window.drawn[rows]]
        link = self.setup.error_key, table["source"][new], table["target"][new]
        if self.interference_graph is None:
            return uniform_blocks(*link, begin, end - begin)
        if new.size:
            window.draw[new, begin - first :] = uniform_blocks(*link, begin, self._until - begin)
            window.drawn[new] = True
        return np.asarray(window.draw[rows, begin - first : end - first])

    def _commit(self, rows: Ints, slots: int) -> None:
        """Add the first slots of the window to the records of rows."""
        if slots <= 0 or not rows.size:
            return
        bandwidth_hz = self.setup.world.bandwidth_hz
        self._attempts.commit(rows, self._window, self._first, slots, self.slot_ns, bandwidth_hz)
        if self.setup.trace:
            self._attempts.trace(rows, self._window, self._first, slots, self.slot_ns)
