"""5G NR link adaptation: a modulation and coding scheme for the known SNR, its errors at the true.

The scheme is the highest of the table whose predicted error probability at the known SNR is at
most the target. Both the prediction and the errors come from the normal approximation for
bit-interleaved coded modulation, at an SNR lowered by one implementation gap for all schemes.
Against simulated NR LDPC codes (QPSK to 64-QAM, 2000 and 8424 bits) the SNR of 10 % block errors
comes out within 0.25 dB; 256-QAM has not been compared.

What is left out: the rounding of transport blocks to the sizes of TS 38.214 clause 5.1.3.2, the
control region, and combining of retransmissions.

Sources: 3GPP TS 38.214, Tables 5.1.3.1-1 to -3 (the schemes); TS 38.211, clauses 4.3.2 and 4.4
(numerology); see `coding` and `bicm` for the error probability.
"""

from __future__ import annotations

import csv
import functools
from dataclasses import dataclass
from importlib import resources
from typing import Literal

import numpy as np

from wnsim.params import parameters
from wnsim.phy.bicm import SNR_MAX_DB, SNR_MIN_DB, SNR_STEP_DB, information
from wnsim.phy.coding import code_block_error, segment, transport_block_error
from wnsim.units import Floats, Ints, linear_to_db

# 12 subcarriers of 15 kHz and 14 symbols of a slot of 1 ms, cyclic prefixes included; the same
# for every numerology, as symbols shorten when subcarriers widen.
RESOURCE_ELEMENTS_PER_HZ_S = 12 * 14 / (12 * 15e3 * 1e-3)
# A slot at a subcarrier spacing of 15 kHz, for which `rate_bps` states a goodput.
SLOT_S = 1e-3
# The smallest transport block of TS 38.214 clause 5.1.3.2.
_MIN_TRANSPORT_BITS = 24
_BISECTIONS = 40


@parameters
class NrMcs:
    """NR modulation and coding with delayed knowledge of the channel.

    Parameters
    ----------
    table : modulation and coding table of the PDSCH: 1 up to 64-QAM, 2 up to 256-QAM, 3 for low
        spectral efficiency
    target_bler : predicted error probability of a block that is accepted, above 0 and below 1
    gap_db : implementation gap of coding and demapping [dB]
    overhead : share of the resource elements without data; one symbol of 14 for the
        demodulation reference signal
    """

    model: Literal["nr"] = "nr"
    table: Literal[1, 2, 3] = 1
    target_bler: float = 0.1
    gap_db: float = 0.9
    overhead: float = 1.0 / 14.0

    def __post_init__(self) -> None:
        if not 0.0 < self.target_bler < 1.0:
            raise ValueError(f"target_bler must be between 0 and 1, got {self.target_bler}")
        if not self.gap_db >= 0.0:
            raise ValueError(f"gap_db must be at least 0 dB, got {self.gap_db}")
        if not 0.0 <= self.overhead < 1.0:
            raise ValueError(f"overhead must be at least 0 and below 1, got {self.overhead}")

    def blocks(
        self, snr_known: Floats, snr: Floats, bandwidth_hz: Floats, block_s: float
    ) -> tuple[Ints, Floats]:
        """Return what blocks carry and how likely each is lost; see `Phy`."""
        elements = np.asarray(bandwidth_hz) * (
            block_s * RESOURCE_ELEMENTS_PER_HZ_S * (1.0 - self.overhead)
        )
        sizes, size = np.unique(elements, return_inverse=True)
        size = size.reshape(elements.shape)
        formats = [_format(self, float(n)) for n in sizes]
        threshold_db = np.stack([f.threshold_db for f in formats])[size]
        known_db = linear_to_db(snr_known)
        shape = np.broadcast_shapes(known_db.shape, np.shape(snr), elements.shape)
        # The thresholds ascend, so the scheme is the number of those that are reached, less one.
        scheme = np.full(shape, -1)
        for index in range(threshold_db.shape[-1]):
            scheme += known_db >= threshold_db[..., index]
        sent = scheme >= 0
        place = np.maximum(scheme, 0) + size * threshold_db.shape[-1]
        bits = np.where(sent, np.concatenate([f.bits for f in formats])[place], 0)
        error_probability = _block_error(
            np.broadcast_to(linear_to_db(snr) - self.gap_db, shape),
            np.concatenate([f.order for f in formats])[place],
            np.concatenate([f.count for f in formats])[place],
            np.concatenate([f.code_block_bits for f in formats])[place],
            np.concatenate([f.symbols for f in formats])[place],
        )
        return bits, np.where(sent, error_probability, 0.0)

    def rate_bps(self, snr: Floats, bandwidth_hz: Floats) -> Floats:
        """Return the expected goodput at a known, constant SNR, in slots of 1 ms; see `Phy`."""
        bits, error_probability = self.blocks(snr, snr, bandwidth_hz, SLOT_S)
        return bits * (1.0 - error_probability) / SLOT_S


def schemes(table: int) -> tuple[Ints, Floats]:
    """Return a modulation and coding table.

    Parameters
    ----------
    table : number of the PDSCH table, 1 to 3

    Returns
    -------
    order : (M,) bits in a symbol
    rate : (M,) target code rate
    """
    text = resources.files(__package__).joinpath(f"mcs_table_{table}.csv").read_text("utf-8")
    rows = list(csv.DictReader(line for line in text.splitlines() if not line.startswith("#")))
    order = np.array([int(row["modulation_order"]) for row in rows], dtype=np.int64)
    return order, np.array([float(row["code_rate_x1024"]) / 1024.0 for row in rows])


@dataclass(frozen=True)
class _Format:
    """A block of some resource elements with each scheme (M,) of a table."""

    order: Ints
    bits: Ints
    count: Ints
    code_block_bits: Floats
    symbols: Floats
    threshold_db: Floats  # ascending: from here on this scheme or a higher one is chosen


@functools.lru_cache(maxsize=4096)
def _format(model: NrMcs, elements: float) -> _Format:
    """Return what a number of resource elements carries with each scheme, and when it is chosen."""
    order, rate = schemes(model.table)
    bits = np.floor(elements * order * rate).astype(np.int64)
    count, code_block_bits = segment(bits, rate)
    symbols = np.maximum(elements / count, 1.0)
    low_db, high_db = np.full(order.shape, SNR_MIN_DB), np.full(order.shape, SNR_MAX_DB)
    for _ in range(_BISECTIONS):
        middle_db = (low_db + high_db) / 2.0
        error = _block_error(middle_db, order, count, code_block_bits, symbols)
        high_db = np.where(error <= model.target_bler, middle_db, high_db)
        low_db = np.where(error <= model.target_bler, low_db, middle_db)
    usable = (bits >= _MIN_TRANSPORT_BITS) & (high_db < SNR_MAX_DB)
    threshold_db = np.where(usable, high_db + model.gap_db, np.inf)
    # A scheme that a higher one undercuts is never chosen above the higher one's threshold.
    threshold_db = np.minimum.accumulate(threshold_db[::-1])[::-1]
    return _Format(order, bits, count, code_block_bits, symbols, threshold_db)


def _block_error(
    snr_db: Floats, order: Ints, count: Ints, code_block_bits: Floats, symbols: Floats
) -> Floats:
    """Return the error probability of blocks (...,) at an SNR from which the gap is taken off."""
    mean, variance = _moments(snr_db, order)
    error = code_block_error(code_block_bits, symbols, mean, variance)
    return transport_block_error(error, count)


def _moments(snr_db: Floats, order: Ints) -> tuple[Floats, Floats]:
    """Return moments of the information density by interpolation on the grid of `information`."""
    tables = _information_tables()
    # (2, 4 G): the tables of all orders, one after the other
    flat = tables.reshape(2, -1)
    steps = np.clip((snr_db - SNR_MIN_DB) / SNR_STEP_DB, 0.0, tables.shape[-1] - 1.000001)
    left = steps.astype(np.int64)
    at = (order // 2 - 1) * tables.shape[-1] + left
    mean, variance = flat[:, at] + (steps - left) * (flat[:, at + 1] - flat[:, at])
    return mean, variance


@functools.cache
def _information_tables() -> Floats:
    """Return mean and variance (2, 4, G) of QPSK, 16-, 64- and 256-QAM."""
    return np.stack([information(order) for order in (2, 4, 6, 8)], axis=1)
