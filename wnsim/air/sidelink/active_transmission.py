"""A transmission on the air, and its transport blocks in the window."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wnsim import kernels
from wnsim.air.setup import Setup
from wnsim.air.transmission import Attempt, Transmission
from wnsim.core.invariants import half_duplex_violation
from wnsim.core.units import NS_PER_S, Floats, Ints, to_s
from wnsim.kernels.layout import plain
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

# Difference between the outcomes of repeated and of new blocks.
_AGAIN = REPEATED - 1
_BY_ATTEMPT = (
    "targets", "size", "limit", "state", "accumulated", "acked", "counts", "on_air", "listened",
    "snr", "capacity", "estimated", "sinr", "bits", "kind", "end_state", "end_accumulated", "done",
    "due",
)  # fmt: skip
_NEVER = np.iinfo(np.int64).max


@dataclass(frozen=True)
class _Sums:
    """Cumulative counters of attempts (M,) after each number of blocks of the window, 0 to A.

    Parameters
    ----------
    acked, listened : (M, A + 1) bits received, and blocks that the receiver could hear
    counts : (M, A + 1, 5) blocks of each outcome
    snr, capacity : (M, A + 1) see `Attempt`
    """

    acked: Ints
    listened: Ints
    counts: Ints
    snr: Floats
    capacity: Floats


class ActiveTransmission:
    """The attempts (M,) of a transmission, and its transport blocks (A,) in the window.

    Blind repetitions count as blocks.

    Parameters
    ----------
    transmission : the transmission
    slot : slot in which it starts
    setup : what the engine is built from
    mac : subchannels and repetitions

    Attributes
    ----------
    attempts, targets : rows of the attempts that have not ended, and all receivers
    blocks_sent : number of blocks before the window
    state, accumulated : (M,) state of the modem and (M, B) accumulated SINR, before the window
    acked : (M,) bits received before the window
    slots : (A,) slots of the blocks
    estimated, sinr : (M, A, B) estimated and actual SINR
    bits, kind : (M, A) bits received, and outcome
    end_state, end_accumulated : `state` and `accumulated` after the window
    done : (M,) block that completes the attempt, or -1
    due : (M,) when the attempt ends, as far as is known [ns]
    """

    def __init__(self, transmission: Transmission, slot: int, setup: Setup, mac: Sidelink) -> None:
        count, bands = len(transmission.attempts), setup.world.channel.subbands
        self.transmission, self.source, self.begin = transmission, transmission.source, slot
        self.attempts = {attempt: row for row, attempt in enumerate(transmission.attempts)}
        self.targets = np.array([attempt.target for attempt in self.attempts])
        self.size = np.array([attempt.size_bits for attempt in self.attempts])
        self.limit = np.array([attempt.limit_ns for attempt in self.attempts])
        self.blocks_sent = 0
        self.state = setup.modem.start(self.size, np.full(count, count > 1))
        self.accumulated = np.zeros((count, bands))
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
        """Begin a window without blocks."""
        count = self.targets.size
        self.slots = np.zeros(0, dtype=np.int64)
        self.estimated = np.zeros((count, 0, self._bands))
        self.sinr = np.zeros((count, 0, self._bands))
        self.bits = np.zeros((count, 0), dtype=np.int64)
        self.kind = np.zeros((count, 0), dtype=np.int8)
        self.end_state, self.end_accumulated = self.state.copy(), self.accumulated
        self.done = np.full(count, -1)
        self.due = self.limit.copy()
        self._sums: _Sums | None = None

    @property
    def due_ns(self) -> int:
        """When the first of its attempts ends [ns]."""
        return int(self.due.min())

    def decoded(self) -> NDArray[np.bool_]:
        """Return which blocks (A,) receivers decode: the last repetition of each."""
        number = self.blocks_sent + np.arange(self.slots.size)
        return np.asarray(number % self._times == self._times - 1)

    def combined(self) -> Floats:
        """Return the SINR (M, A, B) accumulated over the repetitions of each block."""
        if self._times == 1:
            return self.sinr
        total, accumulated = np.empty(self.sinr.shape), self.accumulated
        for place in range(self.slots.size):
            new = (self.blocks_sent + place) % self._times == 0
            accumulated = self.sinr[:, place] + (0.0 if new else accumulated)
            total[:, place] = accumulated
        self.end_accumulated = accumulated
        return total

    def outcome(self, bits: Ints, kind: NDArray[np.int8]) -> None:
        """Set the outcome of blocks (M, A), and compute when attempts are complete."""
        if self._times > 1:
            number = (self.blocks_sent + np.arange(self.slots.size)) % self._times
            early = np.where(number == 0, NEW_LOST, REPEATED_LOST).astype(np.int8)
            last = np.where((kind == IDLE) | (kind >= REPEATED), kind, kind + _AGAIN)
            kind = np.where(number == self._times - 1, last, early).astype(np.int8)
        self.bits, self.kind = bits, kind
        slot_ns = self._setup.modem.slot_ns
        if self._times == 1:
            self._check_half_duplex(bits)
        self.done, self.due = kernels.sidelink.complete(
            plain(bits), self.acked, self.size, self.limit, self.slots, slot_ns,
            self._setup.modem.fluid,
        )  # fmt: skip
        self._sums = None

    def _check_half_duplex(self, bits: Ints) -> None:
        """Raise an error if bits (M, A) are received while the receiver transmits."""
        row, place = np.nonzero((bits > 0) & (self.sinr[..., 0] <= 0.0))
        if row.size:
            name = self._setup.world.names[int(self.targets[row[0]])]
            at_ns = int(self.slots[place[0]]) * self._setup.modem.slot_ns
            raise half_duplex_violation(name, to_s(at_ns))

    def close(self) -> None:
        """Commit the window, and begin the next one."""
        self.compact()
        if self.slots.size:
            sums = self._summed()
            if self._setup.trace:
                for attempt, row in self.attempts.items():
                    self._trace(attempt, row, self.slots.size)
            self.acked, self.counts = sums.acked[:, -1].copy(), sums.counts[:, -1].copy()
            self.listened = sums.listened[:, -1].copy()
            self.on_air = self.on_air + self.slots.size
            self.snr, self.capacity = sums.snr[:, -1].copy(), sums.capacity[:, -1].copy()
            self.state, self.accumulated = self.end_state, self.end_accumulated
            self.blocks_sent += self.slots.size
        self.reset()

    def compact(self) -> None:
        """Remove the attempts that have ended."""
        rows = list(self.attempts.values())
        if len(rows) == self.targets.size:
            return
        for name in _BY_ATTEMPT:
            setattr(self, name, getattr(self, name)[rows])
        self.attempts = {attempt: row for row, attempt in enumerate(self.attempts)}
        self._sums = None

    def received_bits(self, attempt: Attempt, now_ns: int) -> int:
        """Return the number of bits of an attempt received by an instant [ns]."""
        return int(self._summed().acked[self.attempts[attempt], self._passed(now_ns)])

    def finalize(self, attempt: Attempt, now_ns: int) -> None:
        """Write the outcome of an attempt that ends now, and remove it."""
        row, slot_ns = self.attempts.pop(attempt), self._setup.modem.slot_ns
        done = int(self.done[row])
        attempt.delivered = done >= 0 and int(self.due[row]) <= now_ns
        passed = int(self.slots[done]) + 1 if attempt.delivered else now_ns // slot_ns
        count = done + 1 if attempt.delivered else self._passed(now_ns)
        self.due[row] = _NEVER
        sums = self._summed()
        if self._setup.trace:
            self._trace(attempt, row, count)
        attempt.acked_bits = min(int(sums.acked[row, count]), attempt.size_bits)
        counts = sums.counts[row, count].copy()
        counts[IDLE] = max(passed - self.begin, 0) - counts[IDLE + 1 :].sum()
        attempt.count(counts, slot_ns)
        attempt.receiving_s = to_s(int(sums.listened[row, count]) * slot_ns)
        attempt.airtime_s = to_s((int(self.on_air[row]) + count) * slot_ns)
        attempt.snr_sum = float(sums.snr[row, count])
        attempt.capacity_bits = float(sums.capacity[row, count])

    def _passed(self, now_ns: int) -> int:
        """Return the number of blocks that are over at an instant [ns]."""
        return int(np.searchsorted(self.slots, now_ns // self._setup.modem.slot_ns))

    def _summed(self) -> _Sums:
        """Return the cumulative counters, added block by block."""
        if self._sums is None:
            possible = efficiency(self.sinr) * self._possible * self._share
            self._sums = _Sums(
                *kernels.sidelink.running_sums(
                    plain(self.bits), plain(self.kind), self.sinr[..., 0] > 0.0,
                    plain(mean_of_bands(self.sinr)), possible, self.acked, self.listened,
                    self.counts, self.snr, self.capacity, IDLE,
                )
            )  # fmt: skip
        return self._sums

    def _trace(self, attempt: Attempt, row: int, count: int) -> None:
        """Record in which slots bits of an attempt were received."""
        bits = self.bits[row, :count]
        received_bits = np.flatnonzero(bits)
        instants_ns = (self.slots[received_bits] + 1) * self._setup.modem.slot_ns
        attempt.progress.append((instants_ns, bits[received_bits]))
