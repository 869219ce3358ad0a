"""NR transport formats: content, selection thresholds and errors of each allocation size and MCS.

Sources: 3GPP TS 38.214, Tables 5.1.3.1-1 to -4 (MCS tables); see `coding` and `bicm` for the error
probability.
"""

from __future__ import annotations

import csv
import functools
from importlib import resources
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wnsim.core.units import Floats, Ints, linear_to_db
from wnsim.kernels.harq_records import FormatTables
from wnsim.phy.bicm import SNR_MAX_DB, SNR_MIN_DB, SNR_STEP_DB, information
from wnsim.phy.coding import code_block_error, repetition, segment, transport_block_error
from wnsim.phy.modem import mean_of_bands
from wnsim.phy.transport_block import transport_bits

_BISECTIONS = 40
# Without the grid's last value, so that each has a successor.
LAST_STEP = round((SNR_MAX_DB - SNR_MIN_DB) / SNR_STEP_DB) - 1e-6


def schemes(table: int) -> tuple[Ints, Floats]:
    """Return an MCS table.

    Parameters
    ----------
    table : number of the PDSCH table, 1 to 4

    Returns
    -------
    order : (M,) bits per symbol
    rate : (M,) target code rate
    """
    text = resources.files(__package__).joinpath(f"mcs_table_{table}.csv").read_text("utf-8")
    rows = list(csv.DictReader(line for line in text.splitlines() if not line.startswith("#")))
    order = np.array([int(row["modulation_order"]) for row in rows], dtype=np.int64)
    return order, np.array([float(row["code_rate_x1024"]) / 1024.0 for row in rows])


class Formats:
    """Formats of all allocation sizes used so far.

    Parameters
    ----------
    table : number of the MCS table, 1 to 4
    target_bler : block error rate at the threshold of an MCS
    gap_db : implementation gap added to the thresholds [dB]

    Attributes
    ----------
    tables : the formats
    schemes : number M of MCS
    """

    def __init__(self, table: int, target_bler: float, gap_db: float) -> None:
        self._choice = (table, target_bler, gap_db)
        self.schemes = schemes(table)[0].size
        self._number: dict[float, int] = {}
        none, nothing = np.empty(0, dtype=np.int64), np.empty(0)
        self.tables = FormatTables(
            np.empty((0, self.schemes)), none, none, none, nothing, nothing, nothing
        )

    def sizes(self, share: Floats, band_elements: float) -> Ints:
        """Return the index of the allocation size of each share (...,) of the band."""
        first = share.flat[0] if share.size else 0.0
        if share.size and (share == first).all():
            return np.full(share.shape, self._size(float(first) * band_elements))
        values, place = np.unique(share, return_inverse=True)
        numbers = np.array([self._size(float(value) * band_elements) for value in values])
        return np.asarray(numbers[place].reshape(share.shape))

    def choose(self, known_db: Floats, size: Ints) -> Ints:
        """Return the highest MCS whose threshold is reached, -1 if none is."""
        threshold_db = self.tables.threshold_db
        first = size.flat[0] if size.size else 0
        if (size == first).all():
            # Counts the thresholds that are at most the known SNR, like the comparison below.
            return np.searchsorted(threshold_db[first], known_db, side="right") - 1
        reached = known_db[..., None] >= threshold_db[size]
        return np.asarray(reached.sum(axis=-1) - 1)

    def of(self, form: Ints) -> tuple[Ints, Ints, Floats, Floats]:
        """Return order, number of code blocks, and bits and distinct symbols of a code block."""
        tables = self.tables
        return (
            tables.order[form],
            tables.code_blocks[form],
            tables.code_block_bits[form],
            tables.symbols[form],
        )

    def combined(self, form: Ints, steps: Floats) -> Floats:
        """Return SNRs (..., B) on the grid after the repetition of formats (...,), in steps."""
        raised = steps + self.tables.repeat_steps[form][..., None]
        return np.asarray(np.minimum(raised, LAST_STEP))

    def _size(self, data_elements: float) -> int:
        number = self._number.get(data_elements)
        if number is None:
            number = self._number[data_elements] = len(self._number)
            new = _formats(*self._choice, data_elements)
            both: Any = zip(self.tables, new, strict=True)
            self.tables = FormatTables(*map(np.concatenate, both))
        return number


@functools.lru_cache(maxsize=4096)
def _formats(table: int, target_bler: float, gap_db: float, data_elements: float) -> FormatTables:
    """Return the content of a number of resource elements with each MCS, and its threshold."""
    order, rate = schemes(table)
    bits = transport_bits(data_elements, order, rate)
    count, code_block_bits = segment(bits, rate)
    symbols = np.maximum(data_elements / count, 1.0)
    repeated = repetition(bits, rate, symbols * order)
    symbols, repeat_db = symbols / repeated, linear_to_db(repeated)
    low_db, high_db = np.full(order.shape, SNR_MIN_DB), np.full(order.shape, SNR_MAX_DB)
    for _ in range(_BISECTIONS):
        middle_db = (low_db + high_db) / 2.0
        steps = grid((middle_db + repeat_db)[:, None])
        mean, variance = moments(steps, order[:, None], int(order.max()) // 2)
        error = transport_block_error(
            code_block_error(code_block_bits, symbols, symbols * mean, symbols * variance), count
        )
        high_db = np.where(error <= target_bler, middle_db, high_db)
        low_db = np.where(error <= target_bler, low_db, middle_db)
    usable = (bits > 0) & (high_db < SNR_MAX_DB)
    threshold_db = np.where(usable, high_db + gap_db, np.inf)
    # An MCS with a higher threshold than a faster one is never chosen.
    threshold_db = np.minimum.accumulate(threshold_db[::-1])[::-1]
    return FormatTables(
        threshold_db[None], order, bits, count, code_block_bits, symbols, repeat_db / SNR_STEP_DB
    )


def grid(snr_db: Floats) -> Floats:
    """Return SNRs as positions on the grid of `information`, in steps."""
    steps = (snr_db - SNR_MIN_DB) * (1.0 / SNR_STEP_DB)
    return np.asarray(np.minimum(np.maximum(steps, 0.0), LAST_STEP))


def moments(steps: Floats, order: Ints, orders: int) -> tuple[Floats, Floats]:
    """Return moments of the information density, averaged over subbands.

    Parameters
    ----------
    steps : (..., B) positions on the SNR grid
    order : (..., 1) bits per symbol
    orders : number of modulations of the MCS table

    Returns
    -------
    mean, variance : (...,) interpolated between the grid's values
    """
    value, slope = information_tables(orders)
    left = steps.astype(np.int64)
    at = (order // 2 - 1) * value.shape[1] + left
    mean = mean_of_bands(value.ravel()[at] + (steps - left) * slope.ravel()[at])
    return mean.real, mean.imag


@functools.cache
def information_tables(orders: int) -> tuple[NDArray[np.complex128], NDArray[np.complex128]]:
    """Return mean + j variance (orders, G) of QPSK, 16-QAM, ..., and its slope per step."""
    moments = (information(2 * bits) for bits in range(1, orders + 1))
    tables = np.stack([mean + 1j * variance for mean, variance in moments])
    return tables, np.diff(tables, axis=1, append=tables[:, -1:])
