"""What the engines of `csma` have in common: queues of streams, limits, and the network's calls.

Everything on the air that happens at an instant happens after everything else, in this order:
frames end and missing acknowledgements are noticed, flows meet their limits, frames begin to be
sensed, frames begin; then flows that have ended are reported, and then stations take in what they
have been given to send.
"""

from __future__ import annotations

import heapq
from bisect import insort
from collections import defaultdict
from collections.abc import Callable
from typing import TYPE_CHECKING

from wnsim.air.csma.radio import Radio
from wnsim.air.csma.service import Service
from wnsim.air.queues import by_serial

if TYPE_CHECKING:
    from wnsim.air.air import Setup
    from wnsim.air.flow import Flow, Stream


class Contention:
    """The part of an engine that does not look at frames; see `Air` for its methods.

    Parameters
    ----------
    setup : what to work with
    ended : called with each flow when it has been delivered or given up
    """

    def __init__(self, setup: Setup, ended: Callable[[Flow], None]) -> None:
        self.setup = setup
        self.env = setup.env
        self.radio = Radio(setup)
        self.mac = self.radio.mac
        self._ended = ended
        self.queues: dict[int, list[Service]] = defaultdict(list)
        self._service: dict[Flow, Service] = {}
        self._limits: list[tuple[int, int, Flow]] = []
        # Stations whose queue has changed, and flows that have ended but are not reported.
        self.fresh: set[int] = set()
        self.done: list[Flow] = []

    # What an engine adds.

    def wake(self) -> None:
        """Look at the stations whose queue has changed, at the end of this instant."""
        raise NotImplementedError

    def limit(self, instant_ns: int) -> None:
        """Take in that a flow has a limit at an instant [ns]."""

    # What the network uses.

    def push(self, stream: Stream) -> None:
        """Let a stream wait for its turn."""
        service = Service(stream, self.setup.packet_bits, self.mac, self.setup.trace)
        insort(self.queues[service.source], service, key=lambda each: each.order)
        for flow in stream.flows:
            self._service[flow] = service
            heapq.heappush(self._limits, (flow.limit_ns, flow.serial, flow))
            self.limit(max(flow.limit_ns, self.env.now_ns))
        self.fresh.add(service.source)
        self.wake()

    def drop(self, device: int, reason: str) -> None:
        """Give up everything from or to a device, now."""
        for flow in by_serial(self._service):
            if device in (flow.source, flow.target):
                self.cancel(flow, reason)

    def cancel(self, flow: Flow, reason: str) -> None:
        """Give up a flow, now."""
        flow.limit_ns, flow.limit_reason = self.env.now_ns, reason
        self.settle(flow, self.env.now_ns)
        self.done.remove(flow)
        self.wake()
        self._report(flow)

    def acked_bits(self, flow: Flow) -> int:
        """Return how many bits of a flow have arrived before now."""
        return self._service[flow].acked_bits(flow, self.env.now_ns)

    # What engines use.

    def settle(self, flow: Flow, now_ns: int) -> None:
        """Close the book of a flow that ends; it is still to be reported."""
        service = self._service.pop(flow)
        service.leave(flow, now_ns)
        flow.ended_ns = now_ns
        if not service.flows:
            self.queues[service.source].remove(service)
        self.fresh.add(service.source)
        self.done.append(flow)

    def complete(self, service: Service, now_ns: int) -> None:
        """End the flows of a stream of which nothing is left to be sent."""
        for flow in service.complete():
            self.settle(flow, now_ns)

    def next_limit_ns(self) -> int | None:
        """Return when the next flow is given up [ns]."""
        while self._limits and self._limits[0][2] not in self._service:
            heapq.heappop(self._limits)
        return self._limits[0][0] if self._limits else None

    def expire(self, now_ns: int) -> None:
        """Give up the flows whose limit has come."""
        while (limit_ns := self.next_limit_ns()) is not None and limit_ns <= now_ns:
            self.settle(heapq.heappop(self._limits)[2], now_ns)

    def report(self) -> None:
        """Tell the network of the flows that have ended."""
        flows, self.done = by_serial(self.done), []
        for flow in flows:
            self._report(flow)

    def _report(self, flow: Flow) -> None:
        flow.reason = "" if flow.delivered else flow.limit_reason
        self._ended(flow)
