"""Kernels of slots: SINR, the Shannon rate, the ends of attempts, and sums over slots.

Operations have the order of the packet engine, so that both engines agree to the last bit. Rows of
tables are records; their fields are those of `wnsim.air.scheduled.attempt_table`.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from wnsim.kernels.compiling import compiled

if TYPE_CHECKING:
    from wnsim.core.units import Floats, Ints

    Bools = NDArray[np.bool_]
    Kinds = NDArray[np.int8]
    Table = NDArray[Any]

# Outcomes of a slot, as in `wnsim.phy.modem`.
_IDLE, _NEW, _NEW_LOST = 0, 1, 2
# Largest factor between a predicted gain and the latest known one.
_TRUST = 4.0


@compiled
def sinr(
    gains: Floats,
    base: int,
    sample_slots: int,
    first: int,
    count: int,
    delay: int,
    terms: int,
    pair: Ints,
    power_w: Floats,
    density: Floats,
    noise_w: Floats,
    receiver: Ints,
    interfering: Ints,
    emitted_w: Floats,
) -> Floats:
    """Return SINRs in consecutive slots, as they are or as known after a delay.

    Parameters
    ----------
    gains : (K, T, B) power gains of pairs at samples of the channel
    base : number of the first sample
    sample_slots : slots in which a sample holds
    first, count : number of the first slot, and S, how many
    delay : age of gains, interference and noise that are known [slots]
    terms : past gains from which the present one is predicted, see `wnsim.air.quality`; 0: known
    pair : (R,) pairs of transmitter and receiver
    power_w : (R,) full power of the transmitters [W]
    density : (R or 1, S or 1) share of that power over the share of the band
    noise_w : (R, S or 1) noise [W]
    receiver, interfering : (P,) index of the receiver, in ascending order, and pair of an
        interferer with it
    emitted_w : (P, S or 1) power of the interferers [W]

    Returns
    -------
    (R, S, B) signal over noise and interference, which is added in the order given
    """
    bands = gains.shape[2]
    result = np.zeros((pair.size, count, bands))
    for place in range(receiver.size):
        row, other = receiver[place], interfering[place]
        for slot in range(count):
            sample = max(first + slot - delay, 0) // sample_slots - base
            w = emitted_w[place, slot if emitted_w.shape[1] > 1 else 0]
            for band in range(bands):
                result[row, slot, band] += w * gains[other, sample, band]
    for row in range(pair.size):
        of_row = row if density.shape[0] > 1 else 0
        for slot in range(count):
            samples = (
                max(first + slot - delay, 0) // sample_slots - base,
                max(first + slot - 2 * delay, 0) // sample_slots - base if terms > 1 else 0,
                max(first + slot - 3 * delay, 0) // sample_slots - base if terms > 2 else 0,
            )
            ratio = density[of_row, slot if density.shape[1] > 1 else 0]
            noise = noise_w[row, slot if noise_w.shape[1] > 1 else 0]
            for band in range(bands):
                gain = gains[pair[row], samples[0], band]
                if terms > 1:
                    gain = _predicted(
                        gain, gains[pair[row], samples[1], band],
                        gains[pair[row], samples[2], band], terms,
                    )  # fmt: skip
                signal_w = power_w[row] * gain
                result[row, slot, band] = signal_w * ratio / (noise + result[row, slot, band])
    return result


@compiled
def _predicted(latest: float, before: float, first: float, terms: int) -> float:
    """Return a gain predicted from two or three past ones; see `wnsim.air.quality.predict`."""
    ahead = 2.0 * latest - before
    if terms > 2:
        ahead = 3.0 * latest - 3.0 * before + first
    return min(max(ahead, latest / _TRUST), latest * _TRUST)


@compiled
def efficiency(sinr: Floats, gap: float) -> float:
    """Return the mean over subbands (B,) of log2(1 + SINR / gap) [bit/s/Hz]."""
    total = math.log1p(sinr[0] / gap)
    for band in range(1, sinr.size):
        total += math.log1p(sinr[band] / gap)
    return total / (sinr.size * math.log(2.0))


@compiled
def shannon(
    known: Floats,
    sinr: Floats,
    share: Floats,
    active: Bools,
    draws: Floats,
    gap: float,
    most_bps_hz: float,
    symbols: float,
    bler: float,
) -> tuple[Ints, Kinds]:
    """Return the outcome of slots with Shannon's rate; see `wnsim.phy.shannon`.

    Parameters
    ----------
    known, sinr : (L, S, B) SINR as estimated and as it is, linear
    share, active, draws : (L, S) share of the band, whether a link may send, draws of errors
    gap, most_bps_hz : SNR gap, linear, and maximum spectral efficiency
    symbols : of a slot on the whole band
    bler : probability that a block is lost although the channel supports it

    Returns
    -------
    (L, S) bits received, and outcome
    """
    bits = np.zeros(share.shape, dtype=np.int64)
    kind = np.zeros(share.shape, dtype=np.int8)
    for link in range(share.shape[0]):
        for slot in range(share.shape[1]):
            if not active[link, slot]:
                continue
            chosen = min(efficiency(known[link, slot], gap), most_bps_hz)
            sent = math.floor(chosen * (share[link, slot] * symbols))
            if sent <= 0:
                continue
            lost = draws[link, slot] < bler
            if not lost:
                # Equal SINRs give equal efficiencies.
                equal = True
                for band in range(sinr.shape[2]):
                    equal &= known[link, slot, band] == sinr[link, slot, band]
                lost = not equal and chosen > min(efficiency(sinr[link, slot], gap), most_bps_hz)
            if lost:
                kind[link, slot] = _NEW_LOST
            else:
                kind[link, slot] = _NEW
                bits[link, slot] = np.int64(sent)
    return bits, kind


@compiled
def assign(
    share: Floats,
    power: Floats,
    active: Bools,
    average: Floats,
    rows: Ints,
    offset: int,
    new_share: Floats,
    new_power: Floats,
    new_active: Bools,
    new_average: Floats,
) -> Bools:
    """Write the shares of rows from a slot of the window on; return (R,) which rows they change.

    Parameters
    ----------
    share, power, active, average : (capacity, S) see `wnsim.air.scheduled.window`
    rows, offset : (R,) rows, and the slot
    new_share, new_power, new_active : (R, S - offset or 1) what is written
    new_average : the same, or (0, 0): the average is left as it is
    """
    differs = np.zeros(rows.size, dtype=np.bool_)
    for place in range(rows.size):
        row = rows[place]
        for slot in range(offset, share.shape[1]):
            at = slot - offset
            band = new_share[place, at if new_share.shape[1] > 1 else 0]
            part = new_power[place, at if new_power.shape[1] > 1 else 0]
            may = new_active[place, at if new_active.shape[1] > 1 else 0]
            if slot == offset:
                differs[place] = (
                    share[row, slot] != band or power[row, slot] != part or active[row, slot] != may
                )
            share[row, slot], power[row, slot], active[row, slot] = band, part, may
            if new_average.size:
                average[row, slot] = new_average[place, at if new_average.shape[1] > 1 else 0]
    return differs


@compiled
def slots_left(table: Table, rows: Ints, slot: int, quantile: float) -> float:
    """Return the number of slots after which a part of attempts will have ended, at their pace.

    Parameters
    ----------
    table, rows : records of the attempts, and (R,) their rows, at least one
    slot : number of the present slot
    quantile : the part
    """
    left = np.empty(rows.size)
    for place in range(rows.size):
        row = rows[place]
        acked = table["acked"][row]
        pace = max(acked, 1) / max(slot - table["begin"][row], 1)
        left[place] = (table["size"][row] - acked) / pace
    found: float = np.sort(left)[int(quantile * (left.size - 1))]
    return found


@compiled
def predict_ends(
    table: Table, rows: Ints, bits: Ints, first_slot: int, slot_ns: int, fluid: bool
) -> None:
    """Fill in when attempts end, as far as a window determines it.

    Parameters
    ----------
    table : records of the attempts
    rows : (R,) their rows
    bits : (capacity, S) bits received in the slots of the window
    first_slot, slot_ns : number of its first slot, and duration of a slot [ns]
    fluid : whether bits arrive evenly over a slot; otherwise all at its end
    """
    for place in range(rows.size):
        row = rows[place]
        size, limit_ns = table["size"][row], table["limit"][row]
        acked = table["acked"][row]
        done, due_ns = -1, limit_ns
        for slot in range(bits.shape[1]):
            before = acked
            acked += bits[row, slot]
            if acked >= size:
                complete_ns = (first_slot + slot + 1) * slot_ns
                if fluid:
                    last = max(bits[row, slot], 1)
                    complete_ns += -(-(size - before) * slot_ns // last) - slot_ns
                if complete_ns <= limit_ns:
                    done, due_ns = slot, complete_ns
                break
        table["done"][row], table["due"][row] = done, due_ns


@compiled
def commit(
    table: Table,
    rows: Ints,
    slots: int,
    first_slot: int,
    bits: Ints,
    kind: Kinds,
    sinr: Floats,
    share: Floats,
    power: Floats,
    average: Floats,
    slot_s: float,
    bandwidth_hz: float,
) -> None:
    """Add the first slots of a window to the records of attempts.

    Parameters
    ----------
    table, rows : records of the attempts, and (R,) their rows
    slots, first_slot : how many slots, and the number of the first one
    bits, kind, share, power, average : (capacity, S) see `wnsim.air.scheduled.window`
    sinr : (capacity, S, B) actual SINR, linear
    slot_s, bandwidth_hz : duration [s] and band [Hz] of a slot
    """
    bands = sinr.shape[2]
    for place in range(rows.size):
        row = rows[place]
        acked = table["acked"][row]
        snr, capacity, airtime = table["snr"][row], table["capacity"][row], table["airtime"][row]
        counts = table["counts"][row]
        for slot in range(slots):
            acked += bits[row, slot]
            counts[kind[row, slot]] += 1
            if kind[row, slot] == _IDLE:
                continue
            mean = sinr[row, slot, 0]
            for band in range(1, bands):
                mean += sinr[row, slot, band]
            snr += mean / bands
            possible = efficiency(sinr[row, slot], 1.0) * (bandwidth_hz * slot_s)
            capacity += possible * share[row, slot]
            airtime += power[row, slot] * slot_s
        # The window may have begun before an attempt did.
        counts[_IDLE] -= max(table["begin"][row] - first_slot, 0)
        table["acked"][row] = acked
        table["snr"][row], table["capacity"][row], table["airtime"][row] = snr, capacity, airtime
        table["average"][row] = average[row, slots - 1]
