"""A stream that a station serves packet by packet, and the book of what became of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from wnsim.core.units import to_s

if TYPE_CHECKING:
    from wnsim.air.flow import Flow, Stream
    from wnsim.mac.csma import Csma


@dataclass(slots=True)
class Book:
    """What is known of a flow besides its own fields.

    Attributes
    ----------
    arrived_bits, dropped_bits : of its packets; given up after too many retries [bit]
    air_ns, sent_ns : in exchanges that brought something; in frames [ns]
    last_ns, last_bits : when something last arrived [ns], and how much [bit]
    """

    arrived_bits: int = 0
    dropped_bits: int = 0
    air_ns: int = 0
    sent_ns: int = 0
    last_ns: int = -1
    last_bits: int = 0


class Service:
    """The packets of a stream.

    Parameters
    ----------
    stream : the stream
    packet_bits : size of a packet; the last one may be shorter [bit]
    mac : rules of repeating
    trace : whether flows remember when their bits arrived

    Attributes
    ----------
    flows : those under way, in their order
    failures : how often the present packet was sent in vain, since it was last begun anew
    tries : how often it was sent
    reached : whether the receiver has it, acknowledged or not
    on_air_ns : when its present frame began; -1: there is none [ns]
    """

    def __init__(self, stream: Stream, packet_bits: int, mac: Csma, trace: bool) -> None:
        self.stream = stream
        self.source = stream.source
        self.priority = stream.flows[0].priority
        self.serial = stream.serial
        self.several = len(stream.flows) > 1
        self.flows = list(stream.flows)
        self.books = {flow: Book() for flow in stream.flows}
        self.failures = self.tries = 0
        self.reached = False
        self.on_air_ns = -1
        self._packet_bits = packet_bits
        self._mac = mac
        self._trace = trace

    @property
    def order(self) -> tuple[int, int]:
        """Its place in a queue."""
        return (-self.priority, self.serial)

    def begin(self, now_ns: int) -> None:
        """Take in that it is at the head of its queue."""
        for flow in self.flows:
            if flow.started_ns < 0:
                flow.started_ns = now_ns

    def next_bits(self) -> int:
        """Return the size of the present packet [bit]."""
        return min(self._packet_bits, max(self.missing_bits(flow) for flow in self.flows))

    def missing_bits(self, flow: Flow) -> int:
        """Return what is still to be sent of a flow [bit]."""
        book = self.books[flow]
        return flow.size_bits - book.arrived_bits - book.dropped_bits

    def sent(self, now_ns: int, duration_ns: int) -> None:
        """Take in that a frame goes on the air."""
        self.on_air_ns = now_ns
        for flow in self.flows:
            flow.sent += 1
            flow.repeated += self.tries > 0
            self.books[flow].sent_ns += duration_ns
        self.tries += 1

    def arrived(self, flow: Flow, bits: int, now_ns: int) -> None:
        """Take in that a frame brought some bits of a flow."""
        book = self.books[flow]
        book.air_ns += now_ns - self.on_air_ns
        self._credit(flow, bits, now_ns)

    def lost(self, flow: Flow, now_ns: int) -> None:
        """Take in that a frame brought a flow nothing."""
        flow.lost += 1
        flow.lost_ns += now_ns - self.on_air_ns

    def succeed(self, flows: tuple[Flow, ...], bits: int, now_ns: int) -> None:
        """Take in the acknowledgement of the present packet."""
        for flow in flows:
            if flow in self.books:
                self.arrived(flow, bits, now_ns)
        self._next()

    def fail(self, flows: tuple[Flow, ...], bits: int, now_ns: int) -> None:
        """Take in that no acknowledgement came; once too often, the packet is given up."""
        self.failures += 1
        last = self.failures >= self._mac.retry_limit
        for flow in flows:
            if flow not in self.books:
                continue
            self.lost(flow, now_ns)
            if last and self.reached:
                self._credit(flow, bits, now_ns)
            elif last and not self._mac.arq:
                self.books[flow].dropped_bits += min(bits, self.missing_bits(flow))
        if last and self._mac.arq and not self.reached:
            self.failures = 0
            self.on_air_ns = -1
        elif last:
            self._next()
        else:
            self.on_air_ns = -1

    def spread(self, flows: tuple[Flow, ...], reached: list[int], bits: int, now_ns: int) -> None:
        """Take in the end of a broadcast frame."""
        for flow in flows:
            if flow in self.books:
                if flow.target in reached:
                    self.arrived(flow, bits, now_ns)
                else:
                    self.lost(flow, now_ns)
        self._next()

    def complete(self) -> list[Flow]:
        """Return the flows of which nothing is left to be sent."""
        return [flow for flow in self.flows if self.missing_bits(flow) == 0]

    def acked_bits(self, flow: Flow, now_ns: int) -> int:
        """Return what had arrived of a flow before an instant [bit]."""
        book = self.books[flow]
        return book.arrived_bits - (book.last_bits if book.last_ns >= now_ns else 0)

    def leave(self, flow: Flow, now_ns: int) -> None:
        """Close the book of a flow that ends."""
        done = self.missing_bits(flow) == 0
        book = self.books.pop(flow)
        self.flows.remove(flow)
        if not done and self.on_air_ns >= 0:
            flow.lost += 1
            flow.lost_ns += now_ns - self.on_air_ns
        flow.delivered = done and not book.dropped_bits
        if done and not flow.delivered:
            flow.limit_reason = "retry-limit"
        flow.acked_bits = book.arrived_bits
        flow.airtime_s = flow.receiving_s = to_s(book.sent_ns)
        if flow.started_ns >= 0:
            flow.access_ns = now_ns - flow.started_ns - flow.lost_ns - book.air_ns

    def _credit(self, flow: Flow, bits: int, now_ns: int) -> None:
        """Give a flow what has arrived."""
        book = self.books[flow]
        book.last_bits = min(bits, self.missing_bits(flow))
        book.last_ns = now_ns
        book.arrived_bits += book.last_bits
        if self._trace:
            flow.progress.append((np.array([now_ns]), np.array([book.last_bits])))

    def _next(self) -> None:
        """Go on to the next packet."""
        self.failures = self.tries = 0
        self.reached = False
        self.on_air_ns = -1
