"""A message under way to one receiver, and the sums over its attempts and hops."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from wnsim.core.transfer import Message, Packet, Transfer
from wnsim.core.units import linear_to_db, to_s

if TYPE_CHECKING:
    import simpy

    from wnsim.air import Flow
    from wnsim.network.transport import Transport

# Leg of attempts that came to nothing.
_VOID = -1


@dataclass(eq=False, slots=True)
class Delivery:
    """A message under way to one receiver.

    Parameters
    ----------
    message : the message
    event : fires when it has ended
    sent_ns, expires_ns : handed over; of no use any more [ns]
    hops : links that it takes one after the other
    queued_since_ns : when it began to wait for the air, or for the backhaul [ns]
    receivers : of the same transmission
    mates : how many of them have not ended, a list of one number that they share

    Attributes
    ----------
    hop : number of the hop that it is on
    remaining_bits : of this hop, when its last attempt began
    seen_bits : what had arrived of that attempt when somebody looked, -1 if nobody did
    flows : all attempts, with their hops
    queue_ns, access_ns, air_ns, lost_ns, backhaul_ns : where its time went so far [ns]
    """

    message: Message
    event: simpy.Event
    sent_ns: int
    expires_ns: int
    hops: list[tuple[int, int]]
    queued_since_ns: int
    receivers: int = 1
    mates: list[int] = field(default_factory=lambda: [1])
    hop: int = 0
    remaining_bits: int = 0
    seen_bits: int = -1
    flows: list[tuple[int, Flow]] = field(default_factory=list)
    queue_ns: int = 0
    access_ns: int = 0
    air_ns: int = 0
    lost_ns: int = 0
    backhaul_ns: int = 0

    def restart(self, hops: list[tuple[int, int]]) -> None:
        """Begin anew over other links: what an earlier attempt brought does not count."""
        self.hops, self.hop = hops, 0
        self.flows = [(_VOID, flow) for _, flow in self.flows]

    def account(self, flow: Flow) -> None:
        """Add the time of an attempt that has ended."""
        self.flows.append((self.hop, flow))
        started_ns = flow.started_ns if flow.started_ns >= 0 else flow.ended_ns
        self.queue_ns += started_ns - self.queued_since_ns
        self.lost_ns += flow.lost_ns
        self.access_ns += flow.access_ns
        self.air_ns += flow.ended_ns - started_ns - flow.lost_ns - flow.access_ns
        self.queued_since_ns = flow.ended_ns

    def transfer(self, now_ns: int, delivered: bool, reason: str, transport: Transport) -> Transfer:
        """Return what became of the message, which ends now [ns]."""
        flows = [flow for _, flow in self.flows]
        started = [flow.started_ns for flow in flows if flow.started_ns >= 0]
        sent = sum(flow.sent for flow in flows)
        last = [flow.acked_bits for hop, flow in self.flows if hop == len(self.hops) - 1]
        snr = sum(flow.snr_sum for flow in flows)
        size_bytes = self.message.size_bytes
        return Transfer(
            message=self._told(),
            sent_s=to_s(self.sent_ns),
            started_s=to_s(started[0]) if started else math.nan,
            ended_s=to_s(now_ns),
            delivered=delivered,
            reason=reason,
            acked_bytes=sum(last) // 8,
            carried_bytes=sum(flow.acked_bits for flow in flows) // 8,
            air_bytes=transport.air_bits(size_bytes) // 8,
            packets=transport.packets(size_bytes),
            hops=len(self.hops),
            attempts=len(started),
            receivers=self.receivers,
            queue_s=to_s(self.queue_ns + now_ns - self.queued_since_ns),
            channel_access_s=to_s(self.access_ns),
            airtime_s=to_s(self.air_ns),
            retransmission_s=to_s(self.lost_ns),
            backhaul_s=to_s(self.backhaul_ns),
            blocks=sent,
            failed_blocks=sum(flow.lost for flow in flows),
            retransmitted_blocks=sum(flow.repeated for flow in flows),
            mean_snr_db=float(linear_to_db(snr / sent)) if sent else math.nan,
            capacity_bytes=sum(flow.capacity_bits for flow in flows) / 8.0,
        )

    def packets(self, flow: Flow, transport: Transport) -> list[Packet]:
        """Return when each packet of a hop arrived, whose last attempt is a flow.

        Bits arrive in order, so a packet is there when as many bits are as it and those before it
        have, those of earlier attempts included.
        """
        parts = [part for hop, each in self.flows if hop == self.hop for part in each.progress]
        instants_ns = np.concatenate([instants for instants, _ in parts])
        acked = np.cumsum(np.concatenate([bits for _, bits in parts]))
        whole = transport.packet_bytes + transport.packet_header_bytes
        told, size_bytes = self._told(), self.message.size_bytes
        total = transport.air_bits(size_bytes) // 8
        ends = np.minimum(np.arange(1, transport.packets(size_bytes) + 1) * whole, total)
        places = np.minimum(np.searchsorted(acked, 8 * ends), instants_ns.size - 1)
        return [
            Packet(
                told,
                self.hop,
                number,
                end - number * whole,
                to_s(min(int(instants_ns[place]), flow.ended_ns)),
            )
            for number, (end, place) in enumerate(zip(ends.tolist(), places.tolist(), strict=True))
        ]

    def _told(self) -> Message:
        """Return the message for a record, which outlives what it tells of."""
        return dataclasses.replace(self.message, payload=None)
