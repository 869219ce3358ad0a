"""5G NR: link adaptation from outdated CSI, transport blocks, HARQ and ARQ.

Each slot of a link carries one transport block of the size of TS 38.214. HARQ processes are
interleaved over slots; one slot of each is a round, no shorter than the feedback delay, so that at
the start of a round all feedback of the round before is known. Then the outer loop moves its offset
(down on a lost first transmission, up on a received one, so that the loss ratio meets the target),
the inner loop selects the highest MCS whose threshold the estimated SINR with this offset reaches,
and new blocks are granted for data not in transit. Within the round a process retransmits its block
if that was lost, otherwise sends a new one if granted. A block lost too often returns to the data
to be sent (ARQ).

Scope: one layer; feedback is error-free; a retransmission adds the information density of its
symbols (incremental redundancy) or its SNR (chase combining), with the normal approximation in
place of the LDPC code, whose mother code rate is not a limit; broadcasts are neither retransmitted
nor adapted by feedback: their blocks are assumed to be coded jointly, so that a receiver needs as
many blocks as there are, whichever.

Sources: 3GPP TS 38.214, Tables 5.1.3.1-1 to -4 (MCS tables); TS 38.211, clauses 4.3.2 and 4.4
(numerology); Sampath, Kumar and Holtzman, "On setting reverse link target SIR in a CDMA system",
IEEE VTC 1997 (the outer loop's two steps); see `coding` and `bicm` for the error probability.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from wnsim.core.params import parameters
from wnsim.core.units import NS_PER_S, Floats, Ints, linear_to_db
from wnsim.phy.bicm import SNR_MIN_DB
from wnsim.phy.coding import code_block_error, transport_block_error
from wnsim.phy.formats import Formats, grid, moments, schemes
from wnsim.phy.inverse import factor_to, snr_for
from wnsim.phy.modem import NEW, REPEATED, Outcome, Slots, State, efficiency
from wnsim.phy.transport_block import elements, resource_blocks
from wnsim.phy.turns import Turns

# Largest offset of the outer loop [dB].
_LARGEST_OFFSET_DB = 10.0
# Standard deviation of the power of Rayleigh fading in decibels: pi/sqrt(6) 10/ln(10).
_RAYLEIGH_SPREAD_DB = 5.57
# Lowest carrier of FR2, and the subcarrier spacing that only FR2 has.
_FR2_HZ = 24.25e9
_FR2_ONLY_HZ = 120_000
_SLOT_15_KHZ_NS = 1_000_000

# Fields of the state as separate arrays.
_Memory = dict[str, NDArray[Any]]


@parameters
class NrMcs:
    """NR modulation, coding, HARQ and link adaptation.

    Compared with simulated NR LDPC codes (QPSK to 64-QAM, 2000 and 8424 bits), the SNR of 10 %
    block errors agrees within 0.25 dB; 256- and 1024-QAM have not been compared.

    Parameters
    ----------
    table : MCS table of the PDSCH: 1 up to 64-QAM, 2 up to 256-QAM, 3 for low spectral efficiency,
        4 up to 1024-QAM
    target_bler : target block error ratio of first transmissions, between 0 and 1
    gap_db : implementation gap of coding and demapping [dB]
    selective_gap_db : additional gap where the subbands of a block differ as much as in Rayleigh
        fading, in proportion if they differ less [dB]
    subcarrier_hz : subcarrier spacing [Hz]; a slot lasts 1 ms at 15 kHz and half of that at twice
        the spacing
    frequency_range : `fr1` up to 7.125 GHz, `fr2` from 24.25 GHz on; they differ in the subcarrier
        spacings, and in the resource blocks of a band; `auto`: that of the scenario's carrier, and
        `fr1` in between
    overhead_elements : resource elements per resource block and slot without data; 12 are one
        symbol with reference signals
    harq : combining of retransmissions: ir (incremental redundancy), chase, or none (every loss is
        left to ARQ)
    max_transmissions : maximum number of transmissions of a block before it is left to ARQ
    harq_processes : number of HARQ processes per link, and slots until feedback is available
    outer_step_db : step by which a lost first transmission lowers the estimated SINR [dB]; 0
        disables the outer loop
    """

    model: Literal["nr"] = "nr"
    table: Literal[1, 2, 3, 4] = 1
    target_bler: float = 0.1
    gap_db: float = 0.9
    selective_gap_db: float = 0.25
    subcarrier_hz: Literal[15000, 30000, 60000, 120000] = 15000
    frequency_range: Literal["auto", "fr1", "fr2"] = "auto"
    overhead_elements: int = 12
    harq: Literal["ir", "chase", "none"] = "ir"
    max_transmissions: int = 4
    harq_processes: int = 8
    outer_step_db: float = 0.1

    def __post_init__(self) -> None:
        if not 0.0 < self.target_bler < 1.0:
            raise ValueError(f"target_bler must be between 0 and 1, got {self.target_bler}")
        if not 0.0 <= self.gap_db < float("inf"):
            raise ValueError(f"gap_db must be at least 0 dB, got {self.gap_db}")
        if not 0.0 <= self.selective_gap_db < float("inf"):
            raise ValueError(f"selective_gap_db must be at least 0 dB, got {self.selective_gap_db}")
        if not 0 <= self.overhead_elements < 168:
            raise ValueError(
                f"overhead_elements must be from 0 to 167, got {self.overhead_elements}"
            )
        if not 1 <= self.max_transmissions <= 16:
            raise ValueError(
                f"max_transmissions must be from 1 to 16, got {self.max_transmissions}"
            )
        if not 1 <= self.harq_processes <= 64:
            raise ValueError(f"harq_processes must be from 1 to 64, got {self.harq_processes}")
        if not 0.0 <= self.outer_step_db <= _LARGEST_OFFSET_DB:
            raise ValueError(
                f"outer_step_db must be from 0 to {_LARGEST_OFFSET_DB:g} dB, "
                f"got {self.outer_step_db}"
            )

    def on_carrier(self, frequency_hz: float) -> NrMcs:
        """Return this radio with the frequency range of a carrier [Hz] in place of `auto`."""
        if self.frequency_range != "auto":
            return self
        return replace(self, frequency_range="fr2" if frequency_hz >= _FR2_HZ else "fr1")

    def modem(self, bandwidth_hz: float, subbands: int, block_ns: int) -> NrModem:
        """Return the modem of a band; see `Phy`."""
        return NrModem(self, bandwidth_hz, subbands)


def usable_db(sinr: Floats, phy: NrMcs) -> Floats:
    """Return the SINR (..., B) of subbands less the implementation gaps [dB]."""
    sinr_db = linear_to_db(sinr)
    if sinr.shape[-1] == 1:
        return sinr_db - phy.gap_db
    finite_db = np.maximum(sinr_db, SNR_MIN_DB)
    spread_db = finite_db.std(axis=-1, keepdims=True)
    selective = np.minimum(spread_db / _RAYLEIGH_SPREAD_DB, 1.0)
    return np.asarray(sinr_db - phy.gap_db - phy.selective_gap_db * selective)


class NrModem:
    """NR on a band; see `Modem`."""

    fluid = False
    memoryless = False

    def __init__(self, phy: NrMcs, bandwidth_hz: float, subbands: int) -> None:
        self.slot_ns = round(_SLOT_15_KHZ_NS * 15_000 / phy.subcarrier_hz)
        self._phy = phy
        self._orders = int(schemes(phy.table)[0].max()) // 2
        self._limit = 1 if phy.harq == "none" else phy.max_transmissions
        frequency_range = phy.frequency_range
        if frequency_range == "auto":
            frequency_range = "fr2" if phy.subcarrier_hz == _FR2_ONLY_HZ else "fr1"
        self._elements = float(
            elements(
                resource_blocks(bandwidth_hz, phy.subcarrier_hz, frequency_range),
                phy.overhead_elements,
            )
        )
        # Acknowledgements raise the estimated SINR so that steps balance at the target.
        self._up_db = phy.outer_step_db * phy.target_bler / (1.0 - phy.target_bler)
        turns = (phy.harq_processes,)
        self.memory = np.dtype(
            [
                ("turn", np.int64),  # slots in which the link could send
                ("left", np.int64),  # bits not received
                ("grant", np.int64),  # bits for which new blocks may still be sent in this round
                ("broadcast", np.bool_),
                ("offset_db", np.float64),
                ("arrived", np.int64),  # first transmissions of this round
                ("lost", np.int64),
                # Block of each process: transmissions (0: none), bits, format, ...
                ("sent", np.int64, turns),
                ("bits", np.int64, turns),
                ("format", np.int64, turns),
                # ... error probability so far, and soft information gathered.
                ("error", np.float64, turns),
                ("mean", np.float64, turns),
                ("variance", np.float64, turns),
                ("snr", np.float64, (phy.harq_processes, subbands if phy.harq == "chase" else 0)),
            ]
        )
        self._formats = Formats(phy.table, phy.target_bler, phy.gap_db)

    def start(self, size_bits: Ints, broadcast: NDArray[np.bool_]) -> State:
        """Return the state of links before their first slot; see `Modem`."""
        state = np.zeros(size_bits.size, dtype=self.memory)
        state["left"] = size_bits
        state["broadcast"] = broadcast
        return state

    def scan(self, state: State, slots: Slots) -> Outcome:
        """Return the outcome of slots; see `Modem`."""
        processes = self._phy.harq_processes
        order = Turns(slots.active, state["turn"] % processes, processes)
        state["turn"] += slots.active.sum(axis=1)
        # Field by field, as the fields of records lie far apart.
        memory = {name: state[name].copy() for name in self.memory.fields or ()}
        # One number for selective channels: the SNR of the same mean capacity.
        known = slots.known[..., 0]
        if slots.known.shape[-1] > 1:
            known = np.expm1(efficiency(slots.known) * np.log(2.0))
        known_db = order.arranged(linear_to_db(known))
        size = order.arranged(self._formats.sizes(slots.share, self._elements))
        steps = order.arranged(grid(usable_db(slots.sinr, self._phy)))
        sinr = order.arranged(slots.sinr) if self._phy.harq == "chase" else None
        draws = order.arranged(slots.draws)
        bits = np.zeros(order.valid.shape, dtype=np.int64)
        kind = np.zeros(order.valid.shape, dtype=np.int8)
        for begin in range(0, order.valid.shape[1], processes):
            part = slice(begin, begin + processes)
            beginning = order.valid[:, begin]
            if beginning.any():
                self._begin_round(memory, beginning)
            bits[:, part], kind[:, part] = self._turns(
                memory,
                order.valid[:, part],
                size[:, part],
                known_db[:, part],
                steps[:, part],
                None if sinr is None else sinr[:, part],
                draws[:, part],
            )
        for name, values in memory.items():
            state[name] = values
        return Outcome(order.restored(bits), order.restored(kind))

    def rate_bps(self, snr: Floats, share: Floats) -> Floats:
        """Return the expected goodput of first transmissions at a known, constant SNR."""
        snr, share = np.broadcast_arrays(
            np.asarray(snr, dtype=np.float64), np.asarray(share, dtype=np.float64)
        )
        size = self._formats.sizes(share, self._elements)
        scheme = self._formats.choose(linear_to_db(snr), size)
        sent = scheme >= 0
        form = size * self._formats.schemes + np.maximum(scheme, 0)
        order, count, code_block_bits, symbols = self._formats.of(form)
        bits = self._formats.bits[form]
        steps = grid(linear_to_db(snr)[..., None] - self._phy.gap_db)
        steps = self._formats.combined(form, steps)
        mean, variance = moments(steps, order[..., None], self._orders)
        error = transport_block_error(
            code_block_error(code_block_bits, symbols, symbols * mean, symbols * variance), count
        )
        return np.asarray(np.where(sent, bits * (1.0 - error), 0.0) * (NS_PER_S / self.slot_ns))

    def factor(self, known: Floats, rate_bps: Floats, share: Floats) -> Floats:
        """Return the factor on SNRs for a goodput of first transmissions."""
        snr = snr_for(lambda ratio: self.rate_bps(ratio, share), np.asarray(rate_bps))
        # As in `scan`, the SNR of the same mean capacity.
        return factor_to(np.log2(1.0 + snr), known)

    def _begin_round(self, state: _Memory, beginning: NDArray[np.bool_]) -> None:
        """Apply the last round's feedback and grant new blocks to links (L,) that start a round."""
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
        state: _Memory,
        valid: NDArray[np.bool_],
        size: Ints,
        known_db: Floats,
        steps: Floats,
        sinr: Floats | None,
        draws: Floats,
    ) -> tuple[Ints, NDArray[np.int8]]:
        """Return received bits and outcome (L, N) of each process's slot."""
        every = bool(valid.all())

        def kept(value: Floats, before: Floats) -> Floats:
            """Return a value where it is a process's slot, elsewhere the previous value."""
            return value if every else np.where(valid, value, before)

        empty = state["sent"] == 0
        scheme = self._formats.choose(known_db + state["offset_db"][:, None], size)
        form = size * self._formats.schemes + np.maximum(scheme, 0)
        new = valid & empty & (scheme >= 0)
        offered = np.where(new, self._formats.bits[form], 0)
        granted = np.cumsum(offered, axis=1) - offered < state["grant"][:, None]
        broadcast = state["broadcast"][:, None]
        new &= (granted | broadcast) & (offered > 0)
        offered *= new
        state["grant"] -= offered.sum(axis=1)
        sending = new | (valid & ~empty)
        state["format"] = form = np.where(new, form, state["format"])
        state["bits"] = bits = np.where(new, offered, state["bits"])
        before = np.where(new, 1.0, state["error"])
        order, count, code_block_bits, symbols = self._formats.of(form)
        sent = state["sent"] + sending
        if sinr is not None:
            gathered = np.where(new[..., None], 0.0, state["snr"]) + sinr
            state["snr"] = np.where(valid[..., None], gathered, state["snr"])
            steps = grid(usable_db(gathered, self._phy))
        combined = self._formats.combined(form, steps)
        mean, variance = moments(combined, order[..., None], self._orders)
        mean, variance, total = symbols * mean, symbols * variance, symbols
        if sinr is None:
            mean += np.where(new, 0.0, state["mean"])
            variance += np.where(new, 0.0, state["variance"])
            total = symbols * np.maximum(sent, 1)
            state["mean"] = kept(mean, state["mean"])
            state["variance"] = kept(variance, state["variance"])
        error = transport_block_error(
            code_block_error(code_block_bits, total, mean, variance), count
        )
        # Symbols at zero SINR do not count, though they would lengthen the code.
        silent = (steps <= 0.0).all(axis=-1)
        error = np.where(silent, np.maximum(error, before), error)
        # Condition on the block having been lost so far.
        lost = sending & (draws * before < error)
        arrives = sending & ~lost
        state["error"] = kept(np.minimum(error, before), state["error"])
        over = arrives | (lost & ((sent >= self._limit) | broadcast))
        state["sent"] = sent * ~over
        received = bits * arrives
        state["left"] = np.maximum(state["left"] - received.sum(axis=1), 0)
        first_lost = (new & lost).sum(axis=1)
        state["lost"] += first_lost
        state["arrived"] += new.sum(axis=1) - first_lost
        kind = sending * (NEW + lost + (REPEATED - NEW) * ~new)
        return received, kind.astype(np.int8)
