"""Kernels of the sidelink: resources of a grant, and the records of transport blocks in a window.

See `wnsim.air.sidelink.occupancy` and `wnsim.air.sidelink.active_transmission`. Sums are taken
block by block, so that they are those of an engine that simulates one slot at a time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from wnsim.kernels.compiling import compiled

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from wnsim.core.units import Floats, Ints


@compiled
def enter(
    channel: NDArray[np.int16],
    announced: NDArray[np.bool_],
    base: int,
    begin: int,
    slots: Ints,
    channels: Ints,
    period: int,
    periods: int,
    keeps: bool,
) -> None:
    """Enter the resources of a grant in a node's rows of the table of occupancy.

    Parameters
    ----------
    channel, announced : (S,) subchannel used in each slot, and whether the period after that is
        announced
    base : slot of the first column
    begin : slot from which on resources are entered
    slots, channels : (N,) slot of the first use of each resource, and its subchannel
    period, periods : reservation period [slots], and how many of them
    keeps : whether resources are kept after the last one
    """
    until = base + channel.size
    for resource in range(slots.size):
        first = slots[resource]
        number = max(-((first - begin) // period), 0)
        slot = first + number * period
        while number < periods and slot < until:
            channel[slot - base] = channels[resource]
            announced[slot - base] = keeps or number + 1 < periods
            number += 1
            slot += period


@compiled
def complete(
    bits: Ints, acked: Ints, size: Ints, limit: Ints, slots: Ints, slot_ns: int, fluid: bool
) -> tuple[Ints, Ints]:
    """Return which block completes each attempt, and when it ends.

    Parameters
    ----------
    bits : (M, A) bits received in each block
    acked, size : (M,) bits received before the window, and to be received
    limit : (M,) when the attempts end at the latest [ns]
    slots : (A,) slots of the blocks
    slot_ns : duration of a slot [ns]
    fluid : whether an attempt ends within its last slot, in proportion to the bits

    Returns
    -------
    (M,) blocks, -1 if none does before the limit, and instants [ns]
    """
    done, due = np.full(size.size, -1), limit.copy()
    for row in range(size.size):
        total = acked[row]
        for block in range(slots.size):
            before = total
            total += bits[row, block]
            if total < size[row]:
                continue
            at = (slots[block] + 1) * slot_ns
            if fluid:
                last = max(bits[row, block], 1)
                at += -(-(size[row] - before) * slot_ns // last) - slot_ns
            if at <= limit[row]:
                done[row], due[row] = block, at
            break
    return done, due


@compiled
def running_sums(
    bits: Ints,
    kind: NDArray[np.int8],
    heard: NDArray[np.bool_],
    ratio: Floats,
    possible: Floats,
    acked: Ints,
    listened: Ints,
    counts: Ints,
    snr: Floats,
    capacity: Floats,
    idle: int,
) -> tuple[Ints, Ints, Ints, Floats, Floats]:
    """Return the counters of attempts after each number of blocks, 0 to A.

    Parameters
    ----------
    bits, kind : (M, A) bits received in each block, and its outcome
    heard : (M, A) whether the receiver can hear a block
    ratio, possible : (M, A) SINR, and bits that the channel would carry
    acked, listened, counts, snr, capacity : (M,), and (M, K) for K outcomes: counters before the
        window, of bits, blocks heard, outcomes, SINR and bits that the channel would carry
    idle : the outcome that is no block

    Returns
    -------
    (M, A + 1) and (M, A + 1, K) counters, in that order
    """
    rows, blocks = bits.shape
    bits_sum = np.empty((rows, blocks + 1), np.int64)
    heard_sum = np.empty((rows, blocks + 1), np.int64)
    counts_sum = np.empty((rows, blocks + 1, counts.shape[1]), np.int64)
    snr_sum, capacity_sum = np.empty((rows, blocks + 1)), np.empty((rows, blocks + 1))
    for row in range(rows):
        bits_sum[row, 0], heard_sum[row, 0] = acked[row], listened[row]
        snr_sum[row, 0], capacity_sum[row, 0] = snr[row], capacity[row]
        for outcome in range(counts.shape[1]):
            counts_sum[row, 0, outcome] = counts[row, outcome]
        for block in range(blocks):
            after, sent = block + 1, kind[row, block] != idle
            bits_sum[row, after] = bits_sum[row, block] + bits[row, block]
            heard_sum[row, after] = heard_sum[row, block] + (sent and heard[row, block])
            for outcome in range(counts.shape[1]):
                counts_sum[row, after, outcome] = counts_sum[row, block, outcome]
            snr_sum[row, after], capacity_sum[row, after] = (
                snr_sum[row, block], capacity_sum[row, block],
            )  # fmt: skip
            if sent:
                counts_sum[row, after, kind[row, block]] += 1
                snr_sum[row, after] += ratio[row, block]
                capacity_sum[row, after] += possible[row, block]
    return bits_sum, heard_sum, counts_sum, snr_sum, capacity_sum
