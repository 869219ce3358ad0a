"""Delivery of a message to one receiver: its state, and the sums over its attempts and hops."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from wnsim.core.transfer import Message, Packet, Transfer
from wnsim.core.units import to_s

if TYPE_CHECKING:
    import simpy

    from wnsim.air import Attempt
    from wnsim.network.transport import Transport

# Hop of attempts whose bits were discarded.
_DISCARDED = -1


@dataclass(eq=False, slots=True)
class Delivery:
    """A message under way to one receiver.

    Parameters
    ----------
    message : the message
    event : fires when the delivery has ended
    sent_ns, expires_ns : when the message was submitted; when it expires [ns]
    hops : hops over the air, in order; none between base stations and server
    queued_since_ns : since when it has waited for the air or the backhaul [ns]
    receivers : number of receivers of the same multicast
    outstanding : how many of them have not ended, a list of one number that they share
    analog : whether values are sent over the air, not the bits of the message

    Attributes
    ----------
    hop : index of the current hop
    remaining_bits : bits of this hop, when its last attempt began
    checked_bits : bits of that attempt received by the last progress check; -1 before the first
    attempts : all attempts, with their hops
    queue_ns, access_ns, air_ns, failed_ns, backhaul_ns : time spent so far in each state [ns]
    """

    message: Message
    event: simpy.Event
    sent_ns: int
    expires_ns: int
    hops: list[tuple[int, int]]
    queued_since_ns: int
    receivers: int = 1
    outstanding: list[int] = field(default_factory=lambda: [1])
    analog: bool = False
    hop: int = 0
    remaining_bits: int = 0
    checked_bits: int = -1
    attempts: list[tuple[int, Attempt]] = field(default_factory=list)
    queue_ns: int = 0
    access_ns: int = 0
    air_ns: int = 0
    failed_ns: int = 0
    backhaul_ns: int = 0

    def restart(self, hops: list[tuple[int, int]]) -> None:
        """Restart over other hops; what was received of earlier attempts is discarded."""
        self.hops, self.hop = hops, 0
        self.attempts = [(_DISCARDED, attempt) for _, attempt in self.attempts]

    def divert(self, hops: list[tuple[int, int]]) -> None:
        """Use another link for the current hop, and other hops after it, from the first bit."""
        self.hops = hops
        self.attempts = [
            (_DISCARDED if hop == self.hop else hop, attempt) for hop, attempt in self.attempts
        ]

    def account(self, attempt: Attempt) -> None:
        """Add the times of an attempt that has ended."""
        self.attempts.append((self.hop, attempt))
        started_ns = attempt.started_ns if attempt.started_ns >= 0 else attempt.ended_ns
        self.queue_ns += started_ns - self.queued_since_ns
        self.failed_ns += attempt.failed_ns
        self.access_ns += attempt.access_ns
        self.air_ns += attempt.ended_ns - started_ns - attempt.failed_ns - attempt.access_ns
        self.queued_since_ns = attempt.ended_ns

    def transfer(self, now_ns: int, delivered: bool, reason: str, transport: Transport) -> Transfer:
        """Return the record of the message, which ends now [ns]."""
        attempts = [attempt for _, attempt in self.attempts]
        started = [attempt.started_ns for attempt in attempts if attempt.started_ns >= 0]
        sent = sum(attempt.sent for attempt in attempts)
        last = [attempt.acked_bits for hop, attempt in self.attempts if hop == len(self.hops) - 1]
        snr = sum(attempt.snr_sum for attempt in attempts)
        size_bytes = self.message.size_bytes
        air_bytes = transport.air_bits(size_bytes) // 8
        return Transfer(
            message=self._without_payload(),
            sent_s=to_s(self.sent_ns),
            started_s=to_s(started[0]) if started else math.nan,
            ended_s=to_s(now_ns),
            delivered=delivered,
            reason=reason,
            # Without a hop over the air, all of it arrives over the backhaul at once.
            acked_bytes=sum(last) // 8 if self.hops else air_bytes * delivered,
            # An analog message carries no bits.
            carried_bytes=0
            if self.analog
            else sum(attempt.acked_bits for attempt in attempts) // 8,
            air_bytes=air_bytes,
            packets=0 if self.analog else transport.packets(size_bytes),
            hops=len(self.hops),
            attempts=len(started),
            receivers=self.receivers,
            queue_s=to_s(self.queue_ns + now_ns - self.queued_since_ns),
            channel_access_s=to_s(self.access_ns),
            airtime_s=to_s(self.air_ns),
            retransmission_s=to_s(self.failed_ns),
            backhaul_s=to_s(self.backhaul_ns),
            blocks=sent,
            failed_blocks=sum(attempt.failed for attempt in attempts),
            retransmitted_blocks=sum(attempt.repeated for attempt in attempts),
            mean_snr_db=_to_db(snr / sent) if sent else math.nan,
            capacity_bytes=sum(attempt.capacity_bits for attempt in attempts) / 8.0,
        )

    def packets(self, attempt: Attempt, transport: Transport) -> list[Packet]:
        """Return when each packet of a hop was received, given the last attempt of the hop.

        Bits are received in order: a packet is complete once the number of bits received by all
        attempts of the hop reaches its end.
        """
        parts = [part for hop, each in self.attempts if hop == self.hop for part in each.progress]
        instants_ns = np.concatenate([instants for instants, _ in parts])
        acked = np.cumsum(np.concatenate([bits for _, bits in parts]))
        whole = transport.packet_bytes + transport.packet_header_bytes
        message, size_bytes = self._without_payload(), self.message.size_bytes
        total = transport.air_bits(size_bytes) // 8
        ends = np.minimum(np.arange(1, transport.packets(size_bytes) + 1) * whole, total)
        places = np.minimum(np.searchsorted(acked, 8 * ends), instants_ns.size - 1)
        return [
            Packet(
                message,
                self.hop,
                number,
                end - number * whole,
                to_s(min(int(instants_ns[place]), attempt.ended_ns)),
            )
            for number, (end, place) in enumerate(zip(ends.tolist(), places.tolist(), strict=True))
        ]

    def _without_payload(self) -> Message:
        """Return the message for a record, which outlives the payload."""
        if self.message.payload is None:
            return self.message
        return dataclasses.replace(self.message, payload=None)


def _to_db(ratio: float) -> float:
    """Return a power ratio in decibels; zero gives minus infinity."""
    return 10.0 * math.log10(ratio) if ratio > 0.0 else -math.inf
