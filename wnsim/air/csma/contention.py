"""Common part of the CSMA engines: transmission queues, limits, and the interface to the network.

Events on the air at one instant follow all other events of that instant, in this order: frames
end and acknowledgement timeouts expire, attempts reach their limits, frames become detectable,
frames begin; then attempts that have ended are reported, and then stations process changes of
their queues.
"""

from __future__ import annotations

import heapq
from bisect import insort
from collections import defaultdict
from collections.abc import Callable
from typing import TYPE_CHECKING

from wnsim.air.csma.aggregated_service import AggregatedService
from wnsim.air.csma.radio import Radio
from wnsim.air.csma.service import Service
from wnsim.air.queues import by_serial

if TYPE_CHECKING:
    from wnsim.air.setup import Setup
    from wnsim.air.transmission import Attempt, Transmission


class Contention:
    """The part of a CSMA engine that is independent of frames; see `Air` for its methods.

    Parameters
    ----------
    setup : what the engine is built from
    ended : called with each attempt that has been delivered or dropped

    Attributes
    ----------
    queues : transmissions that wait for each access function, the current one first
    changed : access functions whose queue has changed
    done : attempts that have ended and are not reported yet
    """

    def __init__(self, setup: Setup, ended: Callable[[Attempt], None]) -> None:
        self.setup = setup
        self.env = setup.env
        self.radio = Radio(setup)
        self.mac = self.radio.mac
        self._ended = ended
        self.queues: dict[int, list[Service]] = defaultdict(list)
        self._service: dict[Attempt, Service] = {}
        self._limits: list[tuple[int, int, Attempt]] = []
        self.changed: set[int] = set()
        self.done: list[Attempt] = []

    # To be defined by an engine.

    def wake(self) -> None:
        """Schedule the processing of changed queues at the end of this instant."""
        raise NotImplementedError

    def on_limit(self, instant_ns: int) -> None:
        """Schedule the handling of a limit of an attempt at an instant [ns]."""

    # Used by the network.

    def push(self, transmission: Transmission) -> None:
        """Enqueue a transmission."""
        service = self._serve(transmission)
        insort(self.queues[service.function], service, key=lambda each: each.order)
        for attempt in transmission.attempts:
            self._service[attempt] = service
            heapq.heappush(self._limits, (attempt.limit_ns, attempt.serial, attempt))
            self.on_limit(max(attempt.limit_ns, self.env.now_ns))
        self.changed.add(service.function)
        self.wake()

    def _serve(self, transmission: Transmission) -> Service:
        setup, aggregator = self.setup, self.radio.aggregator
        if aggregator is None or transmission.multicast:
            return Service(transmission, setup.packet_bits, self.mac, setup.trace)
        return AggregatedService(transmission, setup.packet_bits, self.mac, setup.trace, aggregator)

    def drop(self, device: int, reason: str) -> None:
        """Drop all attempts from or to a device immediately."""
        for attempt in by_serial(self._service):
            if device in (attempt.source, attempt.target):
                self.cancel(attempt, reason)

    def cancel(self, attempt: Attempt, reason: str) -> None:
        """Drop an attempt immediately."""
        attempt.limit_ns, attempt.limit_reason = self.env.now_ns, reason
        self.finalize(attempt, self.env.now_ns)
        self.done.remove(attempt)
        self.wake()
        self._report(attempt)

    def acked_bits(self, attempt: Attempt) -> int:
        """Return the number of bits of an attempt received before the present instant."""
        return self._service[attempt].acked_bits(attempt, self.env.now_ns)

    # Used by engines.

    def finalize(self, attempt: Attempt, now_ns: int) -> None:
        """Finalize an attempt that ends, which is still to be reported."""
        service = self._service.pop(attempt)
        service.close(attempt, now_ns)
        attempt.ended_ns = now_ns
        if not service.attempts:
            self.queues[service.function].remove(service)
        self.changed.add(service.function)
        self.done.append(attempt)

    def end_complete(self, service: Service, now_ns: int) -> None:
        """End the attempts of a transmission that have no packets left."""
        for attempt in service.complete():
            self.finalize(attempt, now_ns)

    def next_limit_ns(self) -> int | None:
        """Return the earliest limit of an attempt, None if there is none [ns]."""
        while self._limits and self._limits[0][2] not in self._service:
            heapq.heappop(self._limits)
        return self._limits[0][0] if self._limits else None

    def expire(self, now_ns: int) -> None:
        """End the attempts whose limit has been reached."""
        while (limit_ns := self.next_limit_ns()) is not None and limit_ns <= now_ns:
            self.finalize(heapq.heappop(self._limits)[2], now_ns)

    def report(self) -> None:
        """Report the attempts that have ended to the network."""
        attempts, self.done = by_serial(self.done), []
        for attempt in attempts:
            self._report(attempt)

    def _report(self, attempt: Attempt) -> None:
        attempt.reason = "" if attempt.delivered else attempt.limit_reason
        self._ended(attempt)
