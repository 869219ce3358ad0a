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
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wnsim.air.air import Air, Setup
from wnsim.air.flow import Flow, Stream
from wnsim.air.gains import Gains
from wnsim.air.quality import common, predict, sinr
from wnsim.air.scheduled.interference import Disturbers, Emitters, disturbers, emitters, hears_any
from wnsim.air.scheduled.rows import Rows
from wnsim.air.scheduled.window import Window
from wnsim.phy.modem import Slots, efficiency
from wnsim.streams import uniform_blocks
from wnsim.units import Floats, Ints, thermal_noise_w

_SHORTEST, _USUAL, _LONGEST = 8, 64, 4096
# Numbers that a window's largest array may have.
_LARGEST = 1 << 22
# Share of the flows on the air whose expected end bounds a window: beyond, little is used of it.
_MOST = 0.9


@dataclass(frozen=True)
class _Links:
    """What reaches the receivers of some rows (R,) in the slots that are planned (S,) [W].

    Attributes
    ----------
    signal_w, known_w : (R, S, B) of the transmitter's full power, and what is expected of it
    noise_w : (R, 1, 1) on the whole band
    disturbers : who disturbs them, or none
    disturbing : (P,) rows of these pairs in the gains
    """

    signal_w: Floats
    known_w: Floats
    noise_w: Floats
    disturbers: Disturbers | None
    disturbing: Ints


class Windowed(Air):
    """An engine that looks many slots ahead; see `Air`."""

    def __init__(self, setup: Setup, ended: Callable[[Flow], None]) -> None:
        super().__init__(setup, ended)
        world = setup.world
        self._delays = setup.csi_delays
        history = -(-self._delays[-1] // setup.sample_slots)
        self._gains = Gains(world.channel, setup.sample_ns, history)
        self._noise_w = thermal_noise_w(world.bandwidth_hz, world.noise_figure_db)
        self._bands = world.channel.subbands
        self._rows = Rows()
        self._state = np.zeros(0, dtype=setup.modem.memory)
        self._first = self._until = 0
        self._length = _USUAL
        # Since the window began: flows that started, groups in which one ended, and flows that had
        # to be computed anew for that.
        self._changes = self._redone = 0
        # Groups in which something started or ended, streams that lost one of their receivers.
        self._touched: set[int] = set()
        self._shrunk: set[int] = set()
        self._emitters: Emitters | None = None
        self._window = Window(0, 0, self._bands, self._state)

    # What `Air` asks for.

    def begin(self, slot: int, started: Sequence[Stream]) -> None:
        """Take in that a slot begins."""
        if started and self._first < slot < self._until - 4 * _USUAL:
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
        self._changes += len(new) + len(self._touched)
        if new:
            self._make_room(new)
            self._touched.update(self._rows.table["group"][new].tolist())
        if not len(self._rows):
            self._until, self._length = slot, _USUAL // 2
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
        # Twice as long while nothing happens, or nothing that concerns the others; else about as
        # long as a few changes take.
        if self._redone:
            elapsed = max(slot - self._first, 1)
            self._length = max(_SHORTEST, min(8 * elapsed // self._changes, _USUAL))
        else:
            longest = _LONGEST if not self._changes else 4 * _USUAL
            left = self._slots_left(slot)
            self._length = max(_USUAL, min(2 * self._length, longest, left))
        largest = max(_SHORTEST, _LARGEST // (len(self._rows) * self._bands))
        self._length = min(self._length, largest)
        self._changes = self._redone = 0
        sample = slot // setup.sample_slots
        samples = -(-self._length // setup.sample_slots)
        # An era from a quiet time is too long for the many that may start now.
        if not sample < self._gains.end < sample + 4 * max(samples, _USUAL):
            self._gains.open(sample, samples)
        self._first = slot
        self._until = min(slot + self._length, self._gains.end * setup.sample_slots)
        if self.hearing is not None:
            limit_ns = self.hearing.end_ns(slot * self.slot_ns)
            self._until = min(self._until, -(-limit_ns // self.slot_ns))
        capacity = self._rows.table.size
        self._window = Window(capacity, self._until - slot, self._bands, self._state.copy())
        self._emitters = None

    def _cut(self, slot: int) -> None:
        """End a window of a quiet time at a slot: what starts need not be computed so far ahead."""
        rows = self._rows.ordered()
        if rows.size and not self.setup.modem.memoryless:
            state = self._state[rows]
            self.setup.modem.scan(state, self._slots(rows, self._first, slot))
            self._window.later[rows] = state
        self._until, self._length = slot, _USUAL // 2

    def _slots_left(self, slot: int) -> int:
        """Return in how many slots most flows will have ended, at their pace so far."""
        table = self._rows.table[self._rows.ordered()]
        pace = np.maximum(table["acked"], 1) / np.maximum(slot - table["begin"], 1)
        left = np.sort((table["size"] - table["acked"]) / pace)
        return int(1.05 * left[int(_MOST * (left.size - 1))]) + 1

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
            changed = rows[_among(self._rows.table["group"][rows], touched)]
        if not changed.size and self.hearing is None:
            return
        if self.rules.patterned:
            self._emit(rows, slot)
            links = self._links(changed, slot)
            whole = sinr(links.known_w, np.ones(1), links.noise_w, self._known(links, slot))
            quality = efficiency(self._agreed(changed, whole))
            average = self._rows.table["average"][changed]
            if place:
                started = self._rows.table["begin"][changed] == slot
                average = np.where(started, 0.0, self._window.average[changed, place - 1])
            on_air = self._rows.on_air(changed)
            self._window.allot(changed, place, mac.shares(on_air, slot, slots, quality, average))
            self._emit(rows, slot)
        else:
            shares = mac.shares(
                self._rows.on_air(changed), slot, slots, np.empty((0, 0)), np.empty(0)
            )
            differs = self._window.allot(changed, place, shares)
            differs |= self._rows.table["begin"][changed] == slot
            differs |= _among(self._rows.table["stream"][changed], self._shrunk)
            changed = changed if touched is None else changed[differs]
            disturbed = self._emit(rows, slot)
            if disturbed.any():
                stream = self._rows.table["stream"]
                # The receivers of a stream are looked at together.
                streams = {*stream[rows[disturbed]].tolist(), *stream[changed].tolist()}
                changed = rows[_among(stream[rows], streams)]
            if not changed.size:
                return
            links = self._links(changed, slot)
        if touched is not None:
            self._redone += int((self._rows.table["begin"][changed] != slot).sum())
        self._assess(changed, slot, links)
        self._scan(changed, slot)

    def _links(self, rows: Ints, slot: int) -> _Links:
        """Return what reaches the receivers of rows (R,) from a slot on."""
        setup, table = self.setup, self._rows.table
        source, target = table["source"][rows], table["target"][rows]
        power_w = setup.world.tx_power_w[source][:, None, None]
        slots = np.arange(slot, self._until)
        met = None
        if self.hearing is not None and self._emitters is not None:
            group, carrier = table["group"][rows], table["carrier"][rows]
            now_ns = self._first * self.slot_ns
            met = disturbers(self._emitters, self.hearing, now_ns, source, target, group, carrier)
            ends = np.concatenate([source, met.node]), np.concatenate([target, target[met.row]])
            pair, disturbing = np.split(self._gains.rows(*ends), [rows.size])
        else:
            pair, disturbing = self._gains.rows(source, target), rows[:0]
        past = [
            self._gains.at(pair, np.maximum(slots - delay, 0) // setup.sample_slots)
            for delay in self._delays
        ]
        return _Links(
            power_w * self._gains.at(pair, slots // setup.sample_slots),
            power_w * predict(past),
            self._noise_w[target][:, None, None],
            met,
            disturbing,
        )

    def _known(self, links: _Links, slot: int) -> Floats:
        """Return the interference (R, S, B) to be expected: mean powers, delayed gains [W]."""
        if links.disturbers is None or self._emitters is None:
            return np.zeros((1, 1, 1))
        met = links.disturbers
        slots = np.maximum(np.arange(slot, self._until) - self.setup.csi_delay_slots, 0)
        gain = self._gains.at(links.disturbing, slots // self.setup.sample_slots)
        return met.sum(self._emitters.mean_w[met.emitter][:, None], gain)

    def _true(self, links: _Links, slot: int) -> Floats:
        """Return the interference (R, S, B) that holds [W]."""
        if links.disturbers is None or self._emitters is None:
            return np.zeros((1, 1, 1))
        met = links.disturbers
        slots = np.arange(slot, self._until)
        gain = self._gains.at(links.disturbing, slots // self.setup.sample_slots)
        return met.sum(self._emitters.power_w[met.emitter], gain)

    def _assess(self, rows: Ints, slot: int, links: _Links) -> None:
        """Set the ratios of signal to interference and noise of rows from a slot on."""
        window, part = self._window, slice(slot - self._first, None)
        share, power = window.share[rows, part], window.power[rows, part]
        density = (power / share)[..., None]
        known = sinr(links.known_w, density, links.noise_w, self._known(links, slot))
        window.known[rows, part] = self._agreed(rows, known)
        window.sinr[rows, part] = sinr(
            links.signal_w, density, links.noise_w, self._true(links, slot)
        )

    def _agreed(self, rows: Ints, known: Floats) -> Floats:
        """Let the receivers of one stream be known as one: that for which the rate is chosen."""
        leader = self._rows.leaders(rows)
        if leader.all():
            return known
        begin = np.flatnonzero(leader)
        for first, last in zip(begin, [*begin[1:], rows.size], strict=True):
            if last - first > 1:
                quantile = self._rows.streams[int(rows[first])].quantile
                known[first:last] = common(known[first:last], quantile)
        return known

    def _emit(self, rows: Ints, slot: int) -> NDArray[np.bool_]:
        """Bring the emitters up to date from a slot on; return which rows hear a difference."""
        if self.hearing is None:
            return np.zeros(rows.size, dtype=np.bool_)
        table, window = self._rows.table, self._window
        leader = self._rows.leaders(rows)
        leaders = rows[leader]
        full_w = self.setup.world.tx_power_w[table["source"][leaders]]
        mean_w = self.setup.mac.duty(self._rows.on_air(rows))[leader] * full_w
        power_w = mean_w[:, None]
        if self.rules.patterned:
            part = slice(slot - self._first, None)
            share = np.where(window.active[leaders, part], window.power[leaders, part], 0.0)
            power_w = share * full_w[:, None]
        before = self._emitters
        source, group, carrier = (table[name][leaders] for name in ("source", "group", "carrier"))
        self._emitters = emitters(source, group, carrier, mean_w, power_w)
        if before is None or self.rules.patterned:
            return np.ones(rows.size, dtype=np.bool_)
        marked = self._emitters.differ_from(before, self.setup.world.nodes)
        if not marked.any():
            return np.zeros(rows.size, dtype=np.bool_)
        heard = self.hearing.heard(table["target"][rows].tolist(), self._first * self.slot_ns)
        return hears_any(marked, heard)

    def _scan(self, rows: Ints, slot: int) -> None:
        """Let the modem look at rows, and find out when they are complete."""
        setup, table, window = self.setup, self._rows.table, self._window
        # What a modem remembers is only kept from the beginning of the window.
        begin = slot if setup.modem.memoryless else self._first
        part = slice(begin - self._first, None)
        state = self._state[rows]
        outcome = setup.modem.scan(state, self._slots(rows, begin, self._until))
        window.later[rows] = state
        window.bits[rows, part] = outcome.bits
        window.kind[rows, part] = outcome.kind
        bits = window.bits[rows]
        acked = np.cumsum(bits, axis=1) + table["acked"][rows][:, None]
        reached = acked >= table["size"][rows][:, None]
        done = np.where(reached.any(axis=1), reached.argmax(axis=1), -1)
        complete = (self._first + done + 1) * self.slot_ns
        if setup.modem.fluid:
            each = np.arange(rows.size)
            last = np.maximum(bits[each, done], 1)
            missing = table["size"][rows] - (acked[each, done] - bits[each, done])
            complete += -(-missing * self.slot_ns // last) - self.slot_ns
        limit = table["limit"][rows]
        done = np.where(complete <= limit, done, -1)
        table["done"][rows] = done
        table["due"][rows] = np.where(done >= 0, complete, limit)

    def _slots(self, rows: Ints, begin: int, end: int) -> Slots:
        """Return what the modem is told of rows from one slot to another."""
        table, window = self._rows.table, self._window
        part = slice(begin - self._first, end - self._first)
        source, target = table["source"][rows], table["target"][rows]
        return Slots(
            window.known[rows, part],
            window.sinr[rows, part],
            window.share[rows, part],
            window.active[rows, part],
            uniform_blocks(self.setup.error_key, source, target, begin, end - begin),
        )

    def _commit(self, rows: Ints, slots: int) -> None:
        """Book the first slots of the window to rows, for good."""
        if slots <= 0 or not rows.size:
            return
        bandwidth_hz = self.setup.world.bandwidth_hz
        self._rows.book(rows, self._window, self._first, slots, self.slot_ns, bandwidth_hz)
        if self.setup.trace:
            self._trace(rows, slots)

    def _trace(self, rows: Ints, slots: int) -> None:
        """Let flows remember in which slots how many of their bits arrived."""
        for row in rows.tolist():
            bits = self._window.bits[row, :slots]
            arrived = np.flatnonzero(bits)
            instants_ns = (self._first + arrived + 1) * self.slot_ns
            self._rows.flow(row).progress.append((instants_ns, bits[arrived]))


def _among(values: Ints, wanted: set[int]) -> NDArray[np.bool_]:
    """Return which of some values (V,) are wanted."""
    return np.fromiter(map(wanted.__contains__, values.tolist()), np.bool_, values.size)
