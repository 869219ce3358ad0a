"""Kernel of NR link adaptation and HARQ; see `wnsim.phy.nr` for what it models and its sources.

Link by link and slot by slot. Every value is calculated as in `wnsim.phy.nr_arrays`, in the
same order, with the C library's logarithms and error function in place of NumPy's and SciPy's:
probabilities and decibels agree to 1e-12, and so do all outcomes whose draw is not that close to
its threshold.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from wnsim.kernels.compiling import compiled, inlined

if TYPE_CHECKING:
    from wnsim.core.units import Floats, Ints
    from wnsim.kernels.harq_records import FormatTables, HarqLinks, HarqRules


@compiled
def scan(
    rules: HarqRules,
    tables: FormatTables,
    value: NDArray[np.complex128],
    slope: NDArray[np.complex128],
    links: HarqLinks,
    known: Floats,
    sinr: Floats,
    size: Ints,
    active: NDArray[np.bool_],
    draws: Floats,
    bits: Ints,
    kind: NDArray[np.int8],
) -> None:
    """Carry links through slots.

    Parameters
    ----------
    rules, tables : of the modem
    value, slope : (O, G) moments of the information density; see `information_tables`
    links : advanced to the end of the slots
    known, sinr : (L, S, B) SINR of B subbands as estimated and as it is, linear
    size : (L, S) index of the allocation size
    active : (L, S) whether the link may send
    draws : (L, S) uniform draws that decide on errors
    bits, kind : (L, S) result: bits received, and outcome as in `wnsim.phy.modem`
    """
    steps = np.empty(sinr.shape[2])
    schemes = tables.threshold_db.shape[1]
    for link in range(active.shape[0]):
        # SINRs often hold for several slots: the last slots with others, as estimated and as they
        # are, and with the latter the outcome of a first transmission in a format.
        estimated = actual = first_form = -1
        estimated_db = first_error = first_mean = first_variance = 0.0
        for slot in range(active.shape[1]):
            bits[link, slot] = 0
            kind[link, slot] = 0
            if not active[link, slot]:
                continue
            process = links.turn[link] % rules.processes
            links.turn[link] += 1
            if process == 0:
                _begin_round(rules, links, link)
            new = links.sent[link, process] == 0
            if new:
                # Not even the smallest content fits into what may still be sent.
                if links.grant[link] <= 0 and not links.broadcast[link]:
                    continue
                if estimated < 0 or not _equal(known[link, slot], known[link, estimated]):
                    estimated, estimated_db = slot, _mean_snr_db(known[link, slot])
                known_db = estimated_db + links.offset_db[link]
                scheme = _highest(tables.threshold_db[size[link, slot]], known_db)
                form = size[link, slot] * schemes + scheme
                if scheme < 0 or tables.bits[form] == 0:
                    continue
                _load(links, link, process, form, tables.bits[form])
            form = links.format[link, process]
            links.sent[link, process] += 1
            same = actual >= 0 and _equal(sinr[link, slot], sinr[link, actual])
            if not same:
                actual, first_form = slot, -1
            if rules.chase:
                for band in range(sinr.shape[2]):
                    links.snr[link, process, band] += sinr[link, slot, band]
            before = links.error[link, process]
            if new and form == first_form:
                error, mean, variance = first_error, first_mean, first_variance
            else:
                if rules.chase:
                    _usable_steps(rules, links.snr[link, process], steps)
                elif not same:
                    _usable_steps(rules, sinr[link, slot], steps)
                error, mean, variance = _decode(
                    rules, tables, value, slope, links, link, process, form, steps
                )
                if new:
                    first_form, first_error = form, error
                    first_mean, first_variance = mean, variance
            if not rules.chase:
                links.mean[link, process] = mean
                links.variance[link, process] = variance
            links.error[link, process] = min(error, before)
            # Condition on the block having been lost so far.
            lost = bool(draws[link, slot] * before < error)
            kind[link, slot] = (1 if new else 3) + lost
            if lost:
                links.lost[link] += new
            else:
                received = links.bits[link, process]
                bits[link, slot] = received
                links.left[link] = max(links.left[link] - received, 0)
                links.arrived[link] += new
            spent = links.sent[link, process] >= rules.transmissions
            if not lost or spent or links.broadcast[link]:
                links.sent[link, process] = 0


@inlined
def _begin_round(rules: HarqRules, links: HarqLinks, link: int) -> None:
    """Apply the last round's feedback, and grant new blocks for the data not in transit."""
    if not links.broadcast[link]:
        moved = (
            links.offset_db[link]
            + rules.up_db * links.arrived[link]
            - rules.down_db * links.lost[link]
        )
        links.offset_db[link] = min(max(moved, -rules.largest_offset_db), rules.largest_offset_db)
    links.arrived[link] = 0
    links.lost[link] = 0
    in_transit = 0
    for process in range(rules.processes):
        if links.sent[link, process] > 0:
            in_transit += links.bits[link, process]
    links.grant[link] = links.left[link] - in_transit


@inlined
def _load(links: HarqLinks, link: int, process: int, form: int, bits: int) -> None:
    """Give a process a new block."""
    links.grant[link] -= bits
    links.format[link, process] = form
    links.bits[link, process] = bits
    links.error[link, process] = 1.0
    links.mean[link, process] = 0.0
    links.variance[link, process] = 0.0
    for band in range(links.snr.shape[2]):
        links.snr[link, process, band] = 0.0


@inlined
def _equal(one: Floats, other: Floats) -> bool:
    """Return whether SINRs (B,) are equal."""
    equal = True
    for band in range(one.size):
        equal &= one[band] == other[band]
    return equal


@inlined
def _decode(
    rules: HarqRules,
    tables: FormatTables,
    value: NDArray[np.complex128],
    slope: NDArray[np.complex128],
    links: HarqLinks,
    link: int,
    process: int,
    form: int,
    steps: Floats,
) -> tuple[float, float, float]:
    """Return the error probability of a block after one more transmission, and its moments."""
    mean, variance = _moments(
        rules, value, slope, tables.order[form], tables.repeat_steps[form], steps
    )
    symbols = tables.symbols[form]
    mean, variance, total = symbols * mean, symbols * variance, symbols
    if not rules.chase:
        mean += links.mean[link, process]
        variance += links.variance[link, process]
        total = symbols * links.sent[link, process]
    error = _block_error(
        rules, tables.code_block_bits[form], total, mean, variance, tables.code_blocks[form]
    )
    # Symbols at zero SINR do not count, though they would lengthen the code.
    if _highest_step(steps) <= 0.0:
        error = max(error, links.error[link, process])
    return error, mean, variance


@inlined
def _block_error(
    rules: HarqRules, bits: float, symbols: float, mean: float, variance: float, count: int
) -> float:
    """Return the error probability of a transport block; see `wnsim.phy.coding`."""
    margin = mean - bits + 0.5 * math.log2(symbols)
    deviation = math.sqrt(max(variance, rules.min_variance * symbols))
    of_code_block = 0.5 * math.erfc(margin / deviation * math.sqrt(0.5))
    if of_code_block >= 1.0:
        return 1.0
    return -math.expm1(count * math.log1p(-of_code_block))


@inlined
def _moments(
    rules: HarqRules,
    value: NDArray[np.complex128],
    slope: NDArray[np.complex128],
    order: int,
    repeat_steps: float,
    steps: Floats,
) -> tuple[float, float]:
    """Return mean and variance of the information density, averaged over subbands."""
    row = order // 2 - 1
    mean = variance = 0.0
    for band in range(steps.size):
        step = min(steps[band] + repeat_steps, rules.last_step)
        left = int(step)
        at, rise = value[row, left], slope[row, left]
        mean += at.real + (step - left) * rise.real
        variance += at.imag + (step - left) * rise.imag
    return mean / steps.size, variance / steps.size


@inlined
def _usable_steps(rules: HarqRules, sinr: Floats, steps: Floats) -> None:
    """Fill in the SINR (B,) less the implementation gaps, as steps of the grid."""
    bands = sinr.size
    gap_db = rules.gap_db
    for band in range(bands):
        steps[band] = 10.0 * math.log10(sinr[band]) if sinr[band] > 0.0 else -math.inf
    if bands > 1:
        total = squares = 0.0
        for band in range(bands):
            total += max(steps[band], rules.snr_min_db)
        for band in range(bands):
            squares += (max(steps[band], rules.snr_min_db) - total / bands) ** 2
        spread_db = math.sqrt(squares / bands)
        gap_db += rules.selective_gap_db * min(spread_db / rules.full_spread_db, 1.0)
    for band in range(bands):
        step = (steps[band] - gap_db - rules.snr_min_db) * rules.steps_per_db
        steps[band] = min(max(step, 0.0), rules.last_step)


@inlined
def _highest_step(steps: Floats) -> float:
    """Return the largest of the steps (B,)."""
    largest: float = steps[0]
    for band in range(1, steps.size):
        largest = max(largest, steps[band])
    return largest


@inlined
def _mean_snr_db(known: Floats) -> float:
    """Return the SNR of the same mean capacity as subbands (B,) [dB]."""
    mean = known[0]
    if known.size > 1:
        nats = 0.0
        for band in range(known.size):
            nats += math.log1p(known[band])
        mean = math.expm1(nats / known.size)
    return 10.0 * math.log10(mean) if mean > 0.0 else -math.inf


@inlined
def _highest(threshold_db: Floats, level_db: float) -> int:
    """Return the last of ascending thresholds that a level reaches, -1 if it reaches none."""
    low, high = 0, threshold_db.size
    while low < high:
        middle = (low + high) // 2
        if threshold_db[middle] <= level_db:
            low = middle + 1
        else:
            high = middle
    return low - 1
