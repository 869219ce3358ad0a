"""A stream on the air, and what becomes of its transmissions in the window."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from wnsim.air.air import Setup
from wnsim.air.flow import Flow, Stream
from wnsim.core.invariants import at_once
from wnsim.core.units import NS_PER_S, Floats, Ints, to_s
from wnsim.mac.sidelink import Sidelink
from wnsim.phy.modem import (
    IDLE,
    NEW_LOST,
    OUTCOMES,
    REPEATED,
    REPEATED_LOST,
    efficiency,
    mean_of_bands,
)

# Adding this to the outcome of a new block makes it that of a repeated one.
_AGAIN = REPEATED - 1
_BY_FLOW = (
    "targets", "size", "limit", "state", "gathered", "acked", "counts", "on_air", "listened",
    "snr", "capacity", "known", "sinr", "bits", "kind", "later", "later_gathered", "done", "due",
)  # fmt: skip
_Number = TypeVar("_Number", np.int64, np.float64)
_NEVER = np.iinfo(np.int64).max


@dataclass(frozen=True)
class _Sums:
    """What flows (M,) have after each number of transmissions of the window, 0 to A.

    Parameters
    ----------
    acked, listened : (M, A + 1) bits that arrived, and transmissions that could be heard
    counts : (M, A + 1, 5) transmissions of each outcome
    snr, capacity : (M, A + 1) see `Flow`
    """

    acked: Ints
    listened: Ints
    counts: Ints
    snr: Floats
    capacity: Floats


class Block:
    """The flows (M,) of a stream, and its transmissions (A,) in the window.

    Parameters
    ----------
    stream : the stream
    slot : slot in which it starts
    setup : what the engine works with
    mac : subchannels and repetitions

    Attributes
    ----------
    flows, targets : the flows' rows, those that have not ended, and all receivers
    turn : number of transmissions before the window
    state, gathered : (M,) the modem's memory and (M, B) SINR added up, before the window
    acked : (M,) bits that had arrived before the window
    slots : (A,) when it sends
    known, sinr : (M, A, B) ratio that is believed in and that holds
    bits, kind : (M, A) what arrives, and outcome
    later, later_gathered : `state` and `gathered` after the window
    done : (M,) transmission that completes the flow, or -1
    due : (M,) when the flow ends, as far as is known [ns]
    """

    def __init__(self, stream: Stream, slot: int, setup: Setup, mac: Sidelink) -> None:
        count, bands = len(stream.flows), setup.world.channel.subbands
        self.stream, self.source, self.begin = stream, stream.source, slot
        self.flows = {flow: row for row, flow in enumerate(stream.flows)}
        self.targets = np.array([flow.target for flow in self.flows])
        self.size = np.array([flow.size_bits for flow in self.flows])
        self.limit = np.array([flow.limit_ns for flow in self.flows])
        self.turn = 0
        self.state = setup.modem.start(self.size, np.full(count, count > 1))
        self.gathered = np.zeros((count, bands))
        self.acked = np.zeros(count, dtype=np.int64)
        self.counts = np.zeros((count, OUTCOMES), dtype=np.int64)
        self.on_air = np.zeros(count, dtype=np.int64)
        self.listened = np.zeros(count, dtype=np.int64)
        self.snr, self.capacity = np.zeros(count), np.zeros(count)
        self._setup, self._times, self._bands = setup, mac.repetitions + 1, bands
        self._share = 1.0 / mac.subchannels
        self._possible = setup.world.bandwidth_hz * (setup.modem.slot_ns / NS_PER_S)
        self.reset()

    def reset(self) -> None:
        """Begin a window without transmissions."""
        count = self.targets.size
        self.slots = np.zeros(0, dtype=np.int64)
        self.known = np.zeros((count, 0, self._bands))
        self.sinr = np.zeros((count, 0, self._bands))
        self.bits = np.zeros((count, 0), dtype=np.int64)
        self.kind = np.zeros((count, 0), dtype=np.int8)
        self.later, self.later_gathered = self.state.copy(), self.gathered
        self.done = np.full(count, -1)
        self.due = self.limit.copy()
        self._sums: _Sums | None = None

    @property
    def due_ns(self) -> int:
        """When the first of its flows ends [ns]."""
        return int(self.due.min())

    def decodes(self) -> NDArray[np.bool_]:
        """Return (A,) in which transmissions receivers decode: the last one of each block."""
        number = self.turn + np.arange(self.slots.size)
        return np.asarray(number % self._times == self._times - 1)

    def combined(self) -> Floats:
        """Return the SINR (M, A, B) added up over the repetitions of each block so far."""
        if self._times == 1:
            return self.sinr
        total, gathered = np.empty(self.sinr.shape), self.gathered
        for place in range(self.slots.size):
            new = (self.turn + place) % self._times == 0
            gathered = self.sinr[:, place] + (0.0 if new else gathered)
            total[:, place] = gathered
        self.later_gathered = gathered
        return total

    def outcome(self, bits: Ints, kind: NDArray[np.int8]) -> None:
        """Take in what arrives (M, A), and find out when flows are complete."""
        if self._times > 1:
            number = (self.turn + np.arange(self.slots.size)) % self._times
            early = np.where(number == 0, NEW_LOST, REPEATED_LOST).astype(np.int8)
            last = np.where((kind == IDLE) | (kind >= REPEATED), kind, kind + _AGAIN)
            kind = np.where(number == self._times - 1, last, early).astype(np.int8)
        self.bits, self.kind = bits, kind
        slot_ns = self._setup.modem.slot_ns
        if self._times == 1:
            self._check(bits)
        each = np.arange(self.size.size)
        acked = np.cumsum(bits, axis=1) + self.acked[:, None]
        reached = acked >= self.size[:, None]
        done = np.where(reached.any(axis=1), reached.argmax(axis=1), -1)
        complete = (self.slots[done] + 1) * slot_ns
        if self._setup.modem.fluid:
            last = np.maximum(bits[each, done], 1)
            missing = self.size - (acked[each, done] - bits[each, done])
            complete = complete + -(-missing * slot_ns // last) - slot_ns
        self.done = np.where(complete <= self.limit, done, -1)
        self.due = np.where(self.done >= 0, complete, self.limit)
        self._sums = None

    def _check(self, bits: Ints) -> None:
        """Refuse bits (M, A) that arrive where the receiver hears nothing, for it sends itself."""
        row, place = np.nonzero((bits > 0) & (self.sinr[..., 0] <= 0.0))
        if row.size:
            name = self._setup.world.names[int(self.targets[row[0]])]
            at_ns = int(self.slots[place[0]]) * self._setup.modem.slot_ns
            raise at_once(name, to_s(at_ns))

    def close(self) -> None:
        """Book the window for good, and begin the next one."""
        self.compact()
        if self.slots.size:
            sums = self._summed()
            if self._setup.trace:
                for flow, row in self.flows.items():
                    self._trace(flow, row, self.slots.size)
            self.acked, self.counts = sums.acked[:, -1], sums.counts[:, -1]
            self.listened, self.on_air = sums.listened[:, -1], self.on_air + self.slots.size
            self.snr, self.capacity = sums.snr[:, -1], sums.capacity[:, -1]
            self.state, self.gathered = self.later, self.later_gathered
            self.turn += self.slots.size
        self.reset()

    def compact(self) -> None:
        """Forget the flows that have ended."""
        rows = list(self.flows.values())
        if len(rows) == self.targets.size:
            return
        for name in _BY_FLOW:
            setattr(self, name, getattr(self, name)[rows])
        self.flows = {flow: row for row, flow in enumerate(self.flows)}
        self._sums = None

    def arrived(self, flow: Flow, now_ns: int) -> int:
        """Return how many bits of a flow have arrived by an instant [ns]."""
        return int(self._summed().acked[self.flows[flow], self._passed(now_ns)])

    def settle(self, flow: Flow, now_ns: int) -> None:
        """Book what a flow that ends now did on the air, and take it off."""
        row, slot_ns = self.flows.pop(flow), self._setup.modem.slot_ns
        done = int(self.done[row])
        flow.delivered = done >= 0 and int(self.due[row]) <= now_ns
        passed = int(self.slots[done]) + 1 if flow.delivered else now_ns // slot_ns
        count = done + 1 if flow.delivered else self._passed(now_ns)
        self.due[row] = _NEVER
        sums = self._summed()
        if self._setup.trace:
            self._trace(flow, row, count)
        flow.acked_bits = min(int(sums.acked[row, count]), flow.size_bits)
        counts = sums.counts[row, count].copy()
        counts[IDLE] = max(passed - self.begin, 0) - counts[IDLE + 1 :].sum()
        flow.count(counts, slot_ns)
        flow.receiving_s = to_s(int(sums.listened[row, count]) * slot_ns)
        flow.airtime_s = to_s((int(self.on_air[row]) + count) * slot_ns)
        flow.snr_sum = float(sums.snr[row, count])
        flow.capacity_bits = float(sums.capacity[row, count])

    def _passed(self, now_ns: int) -> int:
        """Return how many of the transmissions are over at an instant [ns]."""
        return int(np.searchsorted(self.slots, now_ns // self._setup.modem.slot_ns))

    def _summed(self) -> _Sums:
        """Return what flows have after each transmission, added one after the other."""
        if self._sums is None:
            sent = self.kind != IDLE
            possible = efficiency(self.sinr) * self._possible * self._share
            outcomes = (self.kind[..., None] == np.arange(OUTCOMES)) & sent[..., None]
            self._sums = _Sums(
                _after(self.acked, self.bits),
                _after(self.listened, sent & (self.sinr[..., 0] > 0.0)),
                _after(self.counts, outcomes),
                _after(self.snr, np.where(sent, mean_of_bands(self.sinr), 0.0)),
                _after(self.capacity, np.where(sent, possible, 0.0)),
            )
        return self._sums

    def _trace(self, flow: Flow, row: int, count: int) -> None:
        """Let a flow remember in which slots how many of its bits arrived."""
        bits = self.bits[row, :count]
        arrived = np.flatnonzero(bits)
        instants_ns = (self.slots[arrived] + 1) * self._setup.modem.slot_ns
        flow.progress.append((instants_ns, bits[arrived]))


def _after(start: NDArray[_Number], added: NDArray[Any]) -> NDArray[_Number]:
    """Return sums (M, A + 1, ...) from a start (M, ...) on, of what is added (M, A, ...)."""
    return np.cumsum(np.concatenate([start[:, None], added], axis=1), axis=1, dtype=start.dtype)
