"""Delivery of a message to a receiver: its state, sums over its attempts and hops, and its tree."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from wnsim.core.transfer import Message, Packet, Transfer
from wnsim.core.units import Floats, to_s

if TYPE_CHECKING:
    import simpy

    from wnsim.air import Attempt
    from wnsim.network.transport import Transport

Hop = tuple[int, int]

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
    quantile : share of the receivers of a multicast whose channel may be worse than the one for
        which the rate is selected
    tree : tree of the message's paths to several receivers; none: each has a path of its own
    analog : whether values are sent over the air, not the bits of the message

    Attributes
    ----------
    hop : index of the current hop
    remaining_bits : bits of this hop, when its last attempt began
    checked_bits : bits of that attempt received by the last progress check; -1 before the first
    attempts : all attempts, with their hops
    shared : those that another delivery counts, whose message is on the same bits
    queue_ns, access_ns, air_ns, failed_ns, backhaul_ns : time spent so far in each state [ns]
    """

    message: Message
    event: simpy.Event
    sent_ns: int
    expires_ns: int
    hops: list[Hop]
    queued_since_ns: int
    receivers: int = 1
    outstanding: list[int] = field(default_factory=lambda: [1])
    quantile: float = 0.0
    tree: Tree | None = None
    analog: bool = False
    hop: int = 0
    remaining_bits: int = 0
    checked_bits: int = -1
    attempts: list[tuple[int, Attempt]] = field(default_factory=list)
    shared: list[Attempt] = field(default_factory=list)
    queue_ns: int = 0
    access_ns: int = 0
    air_ns: int = 0
    failed_ns: int = 0
    backhaul_ns: int = 0

    def restart(self, hops: list[Hop]) -> None:
        """Restart over other hops; what was received of earlier attempts is discarded."""
        self.hops, self.hop = hops, 0
        self.attempts = [(_DISCARDED, attempt) for _, attempt in self.attempts]

    def divert(self, hops: list[Hop], start: int) -> None:
        """Continue with a hop of another path, from the first bit."""
        self.hops, self.hop = hops, start
        self.attempts = [
            (_DISCARDED if hop >= start else hop, attempt) for hop, attempt in self.attempts
        ]

    def take(self, hops: list[Hop]) -> None:
        """Receive another segment, on the last of these hops."""
        self.hops, self.hop = hops, len(hops) - 1
        self.attempts = [
            (hop if hop == _DISCARDED else self.hop, attempt) for hop, attempt in self.attempts
        ]

    def discard(self) -> None:
        """Discard what was received of the last attempt."""
        self.attempts[-1] = _DISCARDED, self.attempts[-1][1]

    def wait_until(self, now_ns: int) -> None:
        """Count the time until now as spent waiting [ns]."""
        self.queue_ns += now_ns - self.queued_since_ns
        self.queued_since_ns = now_ns

    def account(self, attempt: Attempt, now_ns: int, *, counts: bool = True) -> None:
        """Add an attempt that has ended at its receiver; its bits may count for another delivery.

        Parameters
        ----------
        attempt : the attempt
        now_ns : the present instant, that of its end and the propagation delay [ns]
        counts : whether this delivery counts its bits
        """
        self.attempts.append((self.hop, attempt))
        if not counts:
            self.shared.append(attempt)
        started_ns = attempt.started_ns if attempt.started_ns >= 0 else now_ns
        self.queue_ns += started_ns - self.queued_since_ns
        self.failed_ns += attempt.failed_ns
        self.access_ns += attempt.access_ns
        self.air_ns += now_ns - started_ns - attempt.failed_ns - attempt.access_ns
        self.queued_since_ns = now_ns

    def transfer(self, now_ns: int, delivered: bool, reason: str, transport: Transport) -> Transfer:
        """Return the record of the message, which ends now [ns]."""
        attempts = [attempt for _, attempt in self.attempts]
        started = [attempt.started_ns for attempt in attempts if attempt.started_ns >= 0]
        own = [attempt for attempt in attempts if attempt not in self.shared]
        sent = sum(attempt.sent for attempt in own)
        last = [attempt.acked_bits for hop, attempt in self.attempts if hop == len(self.hops) - 1]
        snr = sum(attempt.snr_sum for attempt in own)
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
            carried_bytes=0 if self.analog else sum(attempt.acked_bits for attempt in own) // 8,
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
            failed_blocks=sum(attempt.failed for attempt in own),
            retransmitted_blocks=sum(attempt.repeated for attempt in own),
            mean_snr_db=_to_db(snr / sent) if sent else math.nan,
            capacity_bytes=sum(attempt.capacity_bits for attempt in own) / 8.0,
        )

    def packets(self, now_ns: int, transport: Transport) -> list[Packet]:
        """Return when each packet of a hop was received, which is complete now [ns].

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
                to_s(min(int(instants_ns[place]), now_ns)),
            )
            for number, (end, place) in enumerate(zip(ends.tolist(), places.tolist(), strict=True))
        ]

    def _without_payload(self) -> Message:
        """Return the message for a record, which outlives the payload."""
        if self.message.payload is None:
            return self.message
        return dataclasses.replace(self.message, payload=None)


@dataclass(eq=False, slots=True)
class Tree:
    """Tree of the paths of one message to several receivers.

    Parameters
    ----------
    bits : size of the message on the air [bit]
    lifetime_s : time until it expires [s]

    Attributes
    ----------
    paths : hops to each receiver that could be reached when the message was submitted
    holders : devices that have received the message, and the hops over which they have
    deliveries : deliveries to the receivers, ended ones among them
    airtime_s : (devices,) airtime for which the message has booked each transmitter; 0 before [s]
    """

    bits: int
    lifetime_s: float
    paths: dict[int, list[Hop]] = field(default_factory=dict)
    holders: dict[int, list[Hop]] = field(default_factory=dict)
    deliveries: list[Delivery] = field(default_factory=list)
    airtime_s: Floats | float = 0.0

    def awaits(self, without: Collection[Delivery]) -> set[int]:
        """Return the devices that are still to receive the message for other deliveries."""
        return {
            node
            for each in self.deliveries
            if each not in without and not each.event.triggered
            for _, node in each.hops[each.hop :]
        }


def copies(deliveries: Sequence[Delivery]) -> list[list[Delivery]]:
    """Return the deliveries of one message at one device by the device that they go to next.

    The first one of each counts the bits: that to this device, if it is a receiver.
    """
    by_node: dict[int, list[Delivery]] = {}
    for each in deliveries:
        by_node.setdefault(each.hops[each.hop][1], []).append(each)
    for node, group in by_node.items():
        group.sort(key=lambda each: each.message.target != node)
    return list(by_node.values())


def _to_db(ratio: float) -> float:
    """Return a power ratio in decibels; zero gives minus infinity."""
    return 10.0 * math.log10(ratio) if ratio > 0.0 else -math.inf
