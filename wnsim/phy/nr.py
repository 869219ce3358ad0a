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
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from wnsim import kernels
from wnsim.core.params import parameters
from wnsim.core.units import NS_PER_S, Floats, Ints, linear_to_db
from wnsim.kernels.harq_records import HarqLinks, HarqRules
from wnsim.kernels.layout import plain
from wnsim.phy.bicm import SNR_MIN_DB, SNR_STEP_DB
from wnsim.phy.coding import MIN_VARIANCE, code_block_error, transport_block_error
from wnsim.phy.formats import LAST_STEP, Formats, grid, information_tables, moments, schemes
from wnsim.phy.inverse import factor_to, snr_for
from wnsim.phy.modem import Outcome, Slots, State
from wnsim.phy.transport_block import elements, resource_blocks

# Largest offset of the outer loop [dB].
LARGEST_OFFSET_DB = 10.0
# Standard deviation of the power of Rayleigh fading in decibels: pi/sqrt(6) 10/ln(10).
_RAYLEIGH_SPREAD_DB = 5.57
# Lowest carrier of FR2, and the subcarrier spacing that only FR2 has.
_FR2_HZ = 24.25e9
_FR2_ONLY_HZ = 120_000
_SLOT_15_KHZ_NS = 1_000_000


@parameters
class NrMcs:
    """NR modulation, coding, HARQ and link adaptation.

    Compared with simulated NR LDPC codes (QPSK to 64-QAM with 2000 and 8424 bits, 256- and 1024-QAM
    with 2000), the SNR of 10 % block errors agrees within 0.25 dB.

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
        if not 0.0 <= self.outer_step_db <= LARGEST_OFFSET_DB:
            raise ValueError(
                f"outer_step_db must be from 0 to {LARGEST_OFFSET_DB:g} dB, "
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
        frequency_range = phy.frequency_range
        if frequency_range == "auto":
            frequency_range = "fr2" if phy.subcarrier_hz == _FR2_ONLY_HZ else "fr1"
        self._elements = float(
            elements(
                resource_blocks(bandwidth_hz, phy.subcarrier_hz, frequency_range),
                phy.overhead_elements,
            )
        )
        self._rules = HarqRules(
            processes=phy.harq_processes,
            transmissions=1 if phy.harq == "none" else phy.max_transmissions,
            chase=phy.harq == "chase",
            # Acknowledgements raise the estimated SINR so that steps balance at the target.
            up_db=phy.outer_step_db * phy.target_bler / (1.0 - phy.target_bler),
            down_db=phy.outer_step_db,
            largest_offset_db=LARGEST_OFFSET_DB,
            gap_db=phy.gap_db,
            selective_gap_db=phy.selective_gap_db,
            full_spread_db=_RAYLEIGH_SPREAD_DB,
            snr_min_db=SNR_MIN_DB,
            steps_per_db=1.0 / SNR_STEP_DB,
            last_step=LAST_STEP,
            min_variance=MIN_VARIANCE,
        )
        blocks = (phy.harq_processes,)
        sums = (phy.harq_processes, subbands if phy.harq == "chase" else 0)
        self.memory = np.dtype(
            [
                ("turn", np.int64),
                ("left", np.int64),
                ("grant", np.int64),
                ("broadcast", np.bool_),
                ("offset_db", np.float64),
                ("arrived", np.int64),
                ("lost", np.int64),
                ("sent", np.int64, blocks),
                ("bits", np.int64, blocks),
                ("format", np.int64, blocks),
                ("error", np.float64, blocks),
                ("mean", np.float64, blocks),
                ("variance", np.float64, blocks),
                ("snr", np.float64, sums),
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
        # Not at the top: who only checks a scenario needs no kernel.
        # Field by field, as the fields of records lie far apart.
        memory = HarqLinks(*(state[name].copy() for name in HarqLinks._fields))
        size = self._formats.sizes(slots.share, self._elements)
        bits = np.empty(slots.active.shape, dtype=np.int64)
        kind = np.empty(slots.active.shape, dtype=np.int8)
        kernels.harq.scan(
            self._rules,
            self._formats.tables,
            *information_tables(self._orders),
            memory,
            plain(slots.known),
            plain(slots.sinr),
            plain(size),
            plain(slots.active),
            plain(slots.draws),
            bits,
            kind,
        )
        for name, values in zip(HarqLinks._fields, memory, strict=True):
            state[name] = values
        return Outcome(bits, kind)

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
        bits = self._formats.tables.bits[form]
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
