"""5G NR on a band: schemes chosen from late channel knowledge, transport blocks, HARQ, and ARQ.

Each slot of a link carries one transport block of the size of TS 38.214. A number of HARQ
processes take turns; a turn of all of them is a round, no shorter than the time until feedback is
in, so at the beginning of a round everything of the round before is known. Then the outer loop
moves its offset (down on a first transmission that was lost, up on one that arrived, so that the
share of losses meets the target), the inner loop takes the highest scheme whose thresholds the
known SINR with this offset reaches, and new blocks are granted for data that is not under way.
Within the round a process repeats its block if that was lost, otherwise sends a new one if it was
granted. A block that is lost too often goes back to the data to be sent (ARQ).

Scope: one layer; feedback is never wrong; what a repetition adds is the information density of its
symbols (incremental redundancy) or its SNR (chase combining), the normal approximation standing
for the LDPC code, whose mother rate is not a limit; broadcasts are neither repeated nor adapted
by feedback: their blocks are taken to be coded across, so that a receiver needs as many as there
are, whichever.

Sources: 3GPP TS 38.214, Tables 5.1.3.1-1 to -4 (the schemes); TS 38.211, clauses 4.3.2 and 4.4
(numerology); Sampath, Kumar and Holtzman, "On setting reverse link target SIR in a CDMA system",
IEEE VTC 1997 (the outer loop's two steps); see `coding` and `bicm` for the error probability.
"""

from __future__ import annotations

import csv
import functools
from dataclasses import dataclass
from importlib import resources
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from wnsim.params import parameters
from wnsim.phy.bicm import SNR_MAX_DB, SNR_MIN_DB, SNR_STEP_DB, information
from wnsim.phy.coding import code_block_error, segment, transport_block_error
from wnsim.phy.modem import (
    IDLE,
    NEW,
    NEW_LOST,
    REPEATED,
    REPEATED_LOST,
    Outcome,
    Slots,
    State,
    efficiency,
)
from wnsim.phy.transport_block import elements, resource_blocks, transport_bits
from wnsim.units import NS_PER_S, Floats, Ints, linear_to_db

_BISECTIONS = 40
# Standard deviation of the power of Rayleigh fading in decibels: pi/sqrt(6) 10/ln(10).
_RAYLEIGH_SPREAD_DB = 5.57
_ORDERS = (2, 4, 6, 8, 10)
# Farther than this the outer loop never goes from what is known [dB].
_LARGEST_OFFSET_DB = 10.0
_SLOT_15_KHZ_NS = 1_000_000


@parameters
class NrMcs:
    """NR modulation, coding, HARQ and link adaptation.

    Against simulated NR LDPC codes (QPSK to 64-QAM, 2000 and 8424 bits) the SNR of 10 % block
    errors comes out within 0.25 dB; 256- and 1024-QAM have not been compared.

    Parameters
    ----------
    table : modulation and coding table of the PDSCH: 1 up to 64-QAM, 2 up to 256-QAM, 3 for low
        spectral efficiency, 4 up to 1024-QAM
    target_bler : share of first transmissions that may be lost, above 0 and below 1
    gap_db : implementation gap of coding and demapping [dB]
    selective_gap_db : what is added to it where the subbands of a block differ as much as in
        Rayleigh fading, in proportion if they differ less [dB]
    subcarrier_hz : subcarrier spacing [Hz]; a slot lasts 1 ms at 15 kHz and half of that at twice
        the spacing
    overhead_elements : resource elements of each resource block and slot without data; 12 are one
        symbol with reference signals
    harq : how repetitions are combined: ir (incremental redundancy), chase, or none (not at all,
        every loss is left to ARQ)
    transmissions : how often a block is sent at most before it is left to ARQ
    processes : HARQ processes of a link, and slots until feedback is in
    outer_step_db : by how much a lost first transmission lowers the SINR that is believed in [dB];
        0 switches the outer loop off
    """

    model: Literal["nr"] = "nr"
    table: Literal[1, 2, 3, 4] = 1
    target_bler: float = 0.1
    gap_db: float = 0.9
    selective_gap_db: float = 0.25
    subcarrier_hz: Literal[15000, 30000, 60000, 120000] = 15000
    overhead_elements: int = 12
    harq: Literal["ir", "chase", "none"] = "ir"
    transmissions: int = 4
    processes: int = 8
    outer_step_db: float = 0.1

    def __post_init__(self) -> None:
        if not 0.0 < self.target_bler < 1.0:
            raise ValueError(f"target_bler must be between 0 and 1, got {self.target_bler}")
        if not 0.0 <= self.gap_db < float("inf"):
            raise ValueError(f"gap_db must be at least 0 dB, got {self.gap_db}")
        if not 0.0 <= self.selective_gap_db < float("inf"):
            raise ValueError(
                f"selective_gap_db must be at least 0 dB, got {self.selective_gap_db}"
            )
        if not 0 <= self.overhead_elements < 168:
            raise ValueError(
                f"overhead_elements must be from 0 to 167, got {self.overhead_elements}"
            )
        if not 1 <= self.transmissions <= 16:
            raise ValueError(f"transmissions must be from 1 to 16, got {self.transmissions}")
        if not 1 <= self.processes <= 64:
            raise ValueError(f"processes must be from 1 to 64, got {self.processes}")
        if not 0.0 <= self.outer_step_db <= _LARGEST_OFFSET_DB:
            raise ValueError(
                f"outer_step_db must be from 0 to {_LARGEST_OFFSET_DB:g} dB, "
                f"got {self.outer_step_db}"
            )

    def modem(self, bandwidth_hz: float, subbands: int, block_ns: int) -> NrModem:
        """Return the modem of a band; see `Phy`."""
        return NrModem(self, bandwidth_hz, subbands)


def usable_db(sinr: Floats, phy: NrMcs) -> Floats:
    """Return the SINR (..., B) of subbands with the implementation gaps taken off [dB]."""
    sinr_db = linear_to_db(sinr)
    gap_db = phy.gap_db
    if sinr.shape[-1] == 1:
        return sinr_db - gap_db
    finite_db = np.maximum(sinr_db, SNR_MIN_DB)
    spread_db = finite_db.std(axis=-1, keepdims=True)
    selective = np.minimum(spread_db / _RAYLEIGH_SPREAD_DB, 1.0)
    return np.asarray(sinr_db - gap_db - phy.selective_gap_db * selective)


def schemes(table: int) -> tuple[Ints, Floats]:
    """Return a modulation and coding table.

    Parameters
    ----------
    table : number of the PDSCH table, 1 to 4

    Returns
    -------
    order : (M,) bits in a symbol
    rate : (M,) target code rate
    """
    text = resources.files(__package__).joinpath(f"mcs_table_{table}.csv").read_text("utf-8")
    rows = list(csv.DictReader(line for line in text.splitlines() if not line.startswith("#")))
    order = np.array([int(row["modulation_order"]) for row in rows], dtype=np.int64)
    return order, np.array([float(row["code_rate_x1024"]) / 1024.0 for row in rows])


class NrModem:
    """NR on a band; see `Modem`."""

    fluid = False
    memoryless = False

    def __init__(self, phy: NrMcs, bandwidth_hz: float, subbands: int) -> None:
        self.slot_ns = round(_SLOT_15_KHZ_NS * 15_000 / phy.subcarrier_hz)
        self._phy = phy
        self._limit = 1 if phy.harq == "none" else phy.transmissions
        self._elements = float(
            elements(resource_blocks(bandwidth_hz, phy.subcarrier_hz), phy.overhead_elements)
        )
        # A round's acknowledgements raise the believed SINR so that the target is in balance.
        self._up_db = phy.outer_step_db * phy.target_bler / (1.0 - phy.target_bler)
        turns = (phy.processes,)
        self.memory = np.dtype(
            [
                ("turn", np.int64),  # slots in which the link was allowed to send
                ("left", np.int64),  # bits that have not arrived
                ("grant", np.int64),  # bits for which new blocks may still be sent in this round
                ("broadcast", np.bool_),
                ("offset_db", np.float64),
                ("arrived", np.int64),  # first transmissions of this round
                ("lost", np.int64),
                # The block of each process: times sent (0: there is none), bits, format, ...
                ("sent", np.int64, turns),
                ("bits", np.int64, turns),
                ("format", np.int64, turns),
                # ... error probability so far, and what was gathered for a decision.
                ("error", np.float64, turns),
                ("mean", np.float64, turns),
                ("variance", np.float64, turns),
                ("snr", np.float64, (phy.processes, subbands if phy.harq == "chase" else 0)),
            ]
        )
        self._formats = _Formats(phy)

    def start(self, size_bits: Ints, broadcast: NDArray[np.bool_]) -> State:
        """Return what is remembered of links before their first slot; see `Modem`."""
        state = np.zeros(size_bits.size, dtype=self.memory)
        state["left"] = size_bits
        state["broadcast"] = broadcast
        return state

    def scan(self, state: State, slots: Slots) -> Outcome:
        """Return what becomes of slots; see `Modem`."""
        links, processes = state.size, self._phy.processes
        first = state["turn"] % processes
        count = slots.active.sum(axis=1)
        state["turn"] += count
        # Slots in which a link may send, one process after another: (links, rounds, processes),
        # with the number of the slot, or -1 for turns before and after these slots.
        width = int(-(-(first + count).max(initial=0) // processes)) * processes
        link, slot = np.nonzero(slots.active)
        place = (np.cumsum(slots.active, axis=1) - 1 + first[:, None])[link, slot]
        turns = np.full((links, width), -1)
        turns[link, place] = slot
        valid = turns >= 0
        rows = np.arange(links)[:, None]
        size = self._formats.sizes(slots.share, self._elements)[rows, turns]
        grid = _grid(usable_db(slots.sinr, self._phy))[rows, turns]
        # One number for selective channels: the SNR of the same mean capacity.
        known = np.expm1(efficiency(slots.known) * np.log(2.0))
        known_db = linear_to_db(known)[rows, turns]
        draws = slots.draws[rows, turns]
        bits = np.zeros((links, width), dtype=np.int64)
        kind = np.zeros((links, width), dtype=np.int8)
        for begin in range(0, width, processes):
            part = slice(begin, begin + processes)
            beginning = valid[:, begin]
            if beginning.any():
                self._begin_round(state, beginning)
            sinr = slots.sinr[rows, turns[:, part]] if self._phy.harq == "chase" else None
            bits[:, part], kind[:, part] = self._turns(
                state,
                valid[:, part],
                size[:, part],
                known_db[:, part],
                grid[:, part],
                sinr,
                draws[:, part],
            )
        outcome = Outcome(
            np.zeros(slots.active.shape, dtype=np.int64),
            np.zeros(slots.active.shape, dtype=np.int8),
        )
        outcome.bits[link, slot] = bits[link, place]
        outcome.kind[link, slot] = kind[link, place]
        return outcome

    def rate_bps(self, snr: Floats, share: Floats) -> Floats:
        """Return the expected goodput at a known, constant SNR, first transmissions alone."""
        snr, share = np.broadcast_arrays(
            np.asarray(snr, dtype=np.float64), np.asarray(share, dtype=np.float64)
        )
        size = self._formats.sizes(share, self._elements)
        scheme = self._formats.choose(linear_to_db(snr), size)
        sent = scheme >= 0
        form = size * self._formats.schemes + np.maximum(scheme, 0)
        order, bits, count, code_block_bits, symbols = self._formats.of(form)
        mean, variance = _moments(
            _grid(linear_to_db(snr)[..., None] - self._phy.gap_db), order[..., None]
        )
        error = transport_block_error(
            code_block_error(code_block_bits, symbols, symbols * mean, symbols * variance), count
        )
        return np.asarray(np.where(sent, bits * (1.0 - error), 0.0) * (NS_PER_S / self.slot_ns))

    def _begin_round(self, state: State, beginning: NDArray[np.bool_]) -> None:
        """Use the feedback of the last round and grant new blocks, to links (L,) that begin one."""
        moved = (
            state["offset_db"]
            + self._up_db * state["arrived"]
            - self._phy.outer_step_db * state["lost"]
        )
        moved = np.clip(moved, -_LARGEST_OFFSET_DB, _LARGEST_OFFSET_DB)
        adapted = beginning & ~state["broadcast"]
        state["offset_db"] = np.where(adapted, moved, state["offset_db"])
        state["arrived"][beginning] = 0
        state["lost"][beginning] = 0
        under_way = np.where(state["sent"] > 0, state["bits"], 0).sum(axis=1)
        state["grant"] = np.where(beginning, state["left"] - under_way, state["grant"])

    def _turns(
        self,
        state: State,
        valid: NDArray[np.bool_],
        size: Ints,
        known_db: Floats,
        grid: Floats,
        sinr: Floats | None,
        draws: Floats,
    ) -> tuple[Ints, NDArray[np.int8]]:
        """Return bits that arrive and the kind of outcome (L, N) of each process's turn."""
        empty = state["sent"] == 0
        scheme = self._formats.choose(known_db + state["offset_db"][:, None], size)
        form = size * self._formats.schemes + np.maximum(scheme, 0)
        new = valid & empty & (scheme >= 0)
        offered = np.where(new, self._formats.bits[form], 0)
        granted = np.cumsum(offered, axis=1) - offered < state["grant"][:, None]
        broadcast = state["broadcast"][:, None]
        new &= (granted | broadcast) & (offered > 0)
        offered = np.where(new, offered, 0)
        state["grant"] -= offered.sum(axis=1)
        sending = new | (valid & ~empty)
        state["format"] = form = np.where(new, form, state["format"])
        state["bits"] = bits = np.where(new, offered, state["bits"])
        before = np.where(new, 1.0, state["error"])
        order, _, count, code_block_bits, symbols = self._formats.of(form)
        state["sent"] = sent = state["sent"] + sending
        if sinr is not None:
            gathered = np.where(new[..., None], 0.0, state["snr"]) + sinr
            state["snr"] = np.where(sending[..., None], gathered, state["snr"])
            grid = _grid(usable_db(gathered, self._phy))
        mean, variance = _moments(grid, order[..., None])
        mean, variance, total = symbols * mean, symbols * variance, symbols
        if sinr is None:
            fresh = new | ~sending
            mean += np.where(fresh, 0.0, state["mean"])
            variance += np.where(fresh, 0.0, state["variance"])
            total = symbols * np.maximum(sent, 1)
            state["mean"] = np.where(sending, mean, state["mean"])
            state["variance"] = np.where(sending, variance, state["variance"])
        error = transport_block_error(
            code_block_error(code_block_bits, total, mean, variance), count
        )
        # The block was lost so far, which had the probability of the time before.
        lost = sending & (draws * before < error)
        arrives = sending & ~lost
        state["error"] = np.where(sending, np.minimum(error, before), state["error"])
        over = arrives | (lost & ((sent >= self._limit) | broadcast))
        state["sent"] = np.where(over, 0, sent)
        received = np.where(arrives, bits, 0)
        state["left"] = np.maximum(state["left"] - received.sum(axis=1), 0)
        state["arrived"] += (new & arrives).sum(axis=1)
        state["lost"] += (new & lost).sum(axis=1)
        kind = np.where(
            sending,
            np.where(new, np.where(lost, NEW_LOST, NEW), np.where(lost, REPEATED_LOST, REPEATED)),
            IDLE,
        )
        return received, kind.astype(np.int8)


@dataclass(frozen=True)
class _Format:
    """What an allocation carries with each scheme (M,) of a table."""

    order: Ints
    bits: Ints
    count: Ints
    code_block_bits: Floats
    symbols: Floats  # of a code block
    threshold_db: Floats  # ascending: from here on this scheme or a higher one is chosen


class _Formats:
    """The formats of all sizes of allocation met so far, one after the other in arrays."""

    def __init__(self, phy: NrMcs) -> None:
        self._phy = phy
        self.schemes = schemes(phy.table)[0].size
        self._number: dict[float, int] = {}
        self.bits = np.empty(0, dtype=np.int64)
        self._order = np.empty(0, dtype=np.int64)
        self._count = np.empty(0, dtype=np.int64)
        self._code_block_bits = np.empty(0)
        self._symbols = np.empty(0)
        self._threshold_db = np.empty((0, self.schemes))

    def sizes(self, share: Floats, band_elements: float) -> Ints:
        """Return the number of the allocation size of each share (...,) of the band."""
        first = share.flat[0] if share.size else 0.0
        if share.size and (share == first).all():
            return np.full(share.shape, self._size(float(first) * band_elements))
        values, place = np.unique(share, return_inverse=True)
        numbers = np.array([self._size(float(value) * band_elements) for value in values])
        return np.asarray(numbers[place].reshape(share.shape))

    def choose(self, known_db: Floats, size: Ints) -> Ints:
        """Return the highest scheme that reaches its threshold, -1 if none does."""
        reached = known_db[..., None] >= self._threshold_db[size]
        return np.asarray(reached.sum(axis=-1) - 1)

    def of(self, form: Ints) -> tuple[Ints, Ints, Ints, Floats, Floats]:
        """Return order, bits, code blocks, bits and symbols of a code block of formats."""
        return (
            self._order[form],
            self.bits[form],
            self._count[form],
            self._code_block_bits[form],
            self._symbols[form],
        )

    def _size(self, data_elements: float) -> int:
        number = self._number.get(data_elements)
        if number is None:
            number = self._number[data_elements] = len(self._number)
            new = _format(self._phy, data_elements)
            self.bits = np.concatenate([self.bits, new.bits])
            self._order = np.concatenate([self._order, new.order])
            self._count = np.concatenate([self._count, new.count])
            self._code_block_bits = np.concatenate([self._code_block_bits, new.code_block_bits])
            self._symbols = np.concatenate([self._symbols, new.symbols])
            self._threshold_db = np.concatenate([self._threshold_db, new.threshold_db[None]])
        return number


@functools.lru_cache(maxsize=4096)
def _format(phy: NrMcs, data_elements: float) -> _Format:
    """Return what a number of resource elements carries with each scheme, and when it is chosen."""
    order, rate = schemes(phy.table)
    bits = transport_bits(data_elements, order, rate)
    count, code_block_bits = segment(bits, rate)
    symbols = np.maximum(data_elements / count, 1.0)
    low_db, high_db = np.full(order.shape, SNR_MIN_DB), np.full(order.shape, SNR_MAX_DB)
    for _ in range(_BISECTIONS):
        middle_db = (low_db + high_db) / 2.0
        mean, variance = _moments(_grid(middle_db[:, None]), order[:, None])
        error = transport_block_error(
            code_block_error(code_block_bits, symbols, symbols * mean, symbols * variance), count
        )
        high_db = np.where(error <= phy.target_bler, middle_db, high_db)
        low_db = np.where(error <= phy.target_bler, low_db, middle_db)
    usable = (bits > 0) & (high_db < SNR_MAX_DB)
    threshold_db = np.where(usable, high_db + phy.gap_db, np.inf)
    # A scheme that a higher one undercuts is never chosen above the higher one's threshold.
    threshold_db = np.minimum.accumulate(threshold_db[::-1])[::-1]
    return _Format(order, bits, count, code_block_bits, symbols, threshold_db)


def _grid(snr_db: Floats) -> Floats:
    """Return the places of SNRs on the grid of `information`, in steps."""
    steps = (snr_db - SNR_MIN_DB) * (1.0 / SNR_STEP_DB)
    last = _information_tables()[0].shape[1] - 1.000001
    return np.asarray(np.minimum(np.maximum(steps, 0.0), last))


def _moments(steps: Floats, order: Ints) -> tuple[Floats, Floats]:
    """Return moments of the information density, averaged over subbands.

    Parameters
    ----------
    steps : (..., B) places on the grid of SNRs
    order : (..., 1) bits in a symbol

    Returns
    -------
    mean, variance : (...,) interpolated between the grid's values
    """
    value, slope = _information_tables()
    left = steps.astype(np.int64)
    at = (order // 2 - 1) * value.shape[1] + left
    moments = value.ravel()[at] + (steps - left) * slope.ravel()[at]
    total = moments[..., 0]
    for band in range(1, steps.shape[-1]):
        total = total + moments[..., band]
    total = total / steps.shape[-1]
    return total.real, total.imag


@functools.cache
def _information_tables() -> tuple[NDArray[np.complex128], NDArray[np.complex128]]:
    """Return mean + j variance (orders, G) of all modulations, and its slope per step."""
    tables = np.stack([mean + 1j * variance for mean, variance in map(information, _ORDERS)])
    return tables, np.diff(tables, axis=1, append=tables[:, -1:])
