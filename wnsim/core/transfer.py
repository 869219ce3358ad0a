"""A message between devices, and what became of it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Message:
    """Something one device tells another.

    Parameters
    ----------
    source, target : devices, or base stations
    size_bytes : what is to be told [byte]
    lifetime_s : how long after it was sent it is of use [s]
    payload : the content, which the network never looks at
    round : round of learning or traffic, for the records
    header_bytes : part of the size that is header [byte]
    priority : of two messages that wait at a device the one with the higher number goes first;
        what goes on the air together does not wait
    kind : what it is, for the records
    """

    source: int
    target: int
    size_bytes: int
    lifetime_s: float
    payload: Any = None
    round: int = 0
    header_bytes: int = 0
    priority: int = 0
    kind: str = "update"


@dataclass(frozen=True, slots=True)
class Transfer:
    """What became of a message: one row of `transfers.csv`.

    The time from being handed over to the end is the sum of `queue_s`, `channel_access_s`,
    `airtime_s`, `retransmission_s` and `backhaul_s`.

    Parameters
    ----------
    message : the message
    sent_s, started_s, ended_s : handed over; first on the air (NaN if never); delivered or given
        up [s]
    delivered : whether all of it arrived in time
    reason : empty if delivered, else `deadline`, `departed` (a device vanished), `link-failure`
        (nothing arrived any more), `queue-overflow` (refused for want of room), `retry-limit` (a
        packet was given up by the medium access), `battery`, or by a fault `crash`, `link-outage`
        or `station-failure`
    acked_bytes : what had arrived when it ended, packet headers included [byte]
    carried_bytes : the same, summed over the hops [byte]
    air_bytes : what the air had to carry, packet headers included [byte]
    packets : into how many it was cut
    hops : links one after the other, 1 but through base stations
    attempts : times it went on the air, once for each hop at least
    receivers : number of receivers of the same transmission
    queue_s : waiting for other messages, for the next slot to begin, or for a broken link [s]
    channel_access_s : on the air, but not its turn, or with nothing to send before feedback is in
        [s]
    airtime_s : sending what arrived [s]
    retransmission_s : sending what did not arrive [s]
    backhaul_s : between base stations [s]
    blocks, failed_blocks, retransmitted_blocks : transport blocks or packets sent; those that did
        not arrive; those that were sent before
    mean_snr_db : mean over them of the linear SINR [dB], NaN if there were none
    capacity_bytes : what Shannon's bound allows in their time and band [byte]
    """

    message: Message
    sent_s: float
    started_s: float
    ended_s: float
    delivered: bool
    reason: str
    acked_bytes: int
    carried_bytes: int
    air_bytes: int
    packets: int
    hops: int
    attempts: int
    receivers: int
    queue_s: float
    channel_access_s: float
    airtime_s: float
    retransmission_s: float
    backhaul_s: float
    blocks: int
    failed_blocks: int
    retransmitted_blocks: int
    mean_snr_db: float
    capacity_bytes: float

    @property
    def latency_s(self) -> float:
        """From being handed over to being delivered or given up [s]."""
        return self.ended_s - self.sent_s

    @property
    def of_bound(self) -> float:
        """Bits that were carried over what Shannon's bound allows in the same slots, or NaN."""
        return self.carried_bytes / self.capacity_bytes if self.capacity_bytes > 0 else math.nan


@dataclass(frozen=True, slots=True)
class Packet:
    """When a packet of a message arrived: one row of `packets.csv`.

    Parameters
    ----------
    message : the message
    hop : number of the hop, from 0
    number : of the packet, from 0
    size_bytes : headers included [byte]
    arrived_s : when its last bit arrived [s]
    """

    message: Message
    hop: int
    number: int
    size_bytes: int
    arrived_s: float
