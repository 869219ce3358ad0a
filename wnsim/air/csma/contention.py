"""Common part of the CSMA engines: attempts, their limits, and the interface to the network.

Events on the air at one instant follow all other events of that instant, in this order: frames
end and acknowledgement timeouts expire, attempts reach their limits, frames become detectable,
frames begin; then attempts that have ended are reported, and then stations process changes of
their queues.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from typing import TYPE_CHECKING

from wnsim.air.csma.radio import Radio
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
    changed : access functions whose queue has changed
    done : attempts that have ended and are not reported yet
    """

    def __init__(self, setup: Setup, ended: Callable[[Attempt], None]) -> None:
        self.setup = setup
        self.env = setup.env
        self.radio = Radio(setup)
        self.mac = self.radio.mac
        self._ended = ended
        self._under_way: set[Attempt] = set()
        self._limits: list[tuple[int, int, Attempt]] = []
        self.changed: set[int] = set()
        self.done: list[Attempt] = []

    # To be defined by an engine.

    def wake(self) -> None:
        """Schedule the processing of changed queues at the end of this instant."""
        raise NotImplementedError

    def on_limit(self, instant_ns: int) -> None:
        """Schedule the handling of a limit of an attempt at an instant [ns]."""

    def enqueue(self, transmission: Transmission) -> int:
        """Put a transmission into its queue; return its access function."""
        raise NotImplementedError

    def close(self, attempt: Attempt, now_ns: int) -> int:
        """Write the outcome of an attempt that ends; return its access function."""
        raise NotImplementedError

    def acked_bits(self, attempt: Attempt) -> int:
        """Return the number of bits of an attempt received before the present instant."""
        raise NotImplementedError

    # Used by the network.

    def push(self, transmission: Transmission) -> None:
        """Enqueue a transmission."""
        self.changed.add(self.enqueue(transmission))
        for attempt in transmission.attempts:
            self._under_way.add(attempt)
            heapq.heappush(self._limits, (attempt.limit_ns, attempt.serial, attempt))
            self.on_limit(max(attempt.limit_ns, self.env.now_ns))
        self.wake()

    def drop(self, device: int, reason: str) -> None:
        """Drop all attempts from or to a device immediately."""
        for attempt in by_serial(self._under_way):
            if device in (attempt.source, attempt.target):
                self.cancel(attempt, reason)

    def cancel(self, attempt: Attempt, reason: str) -> None:
        """Drop an attempt immediately."""
        attempt.limit_ns, attempt.limit_reason = self.env.now_ns, reason
        self.finalize(attempt, self.env.now_ns)
        self.done.remove(attempt)
        self.wake()
        self._report(attempt)

    # Used by engines.

    def finalize(self, attempt: Attempt, now_ns: int) -> None:
        """Finalize an attempt that ends, which is still to be reported."""
        self.settle(attempt, self.close(attempt, now_ns))
        attempt.ended_ns = now_ns

    def settle(self, attempt: Attempt, function: int) -> None:
        """Record that an attempt of an access function has ended."""
        self._under_way.remove(attempt)
        self.changed.add(function)
        self.done.append(attempt)

    def next_limit_ns(self) -> int | None:
        """Return the earliest limit of an attempt, None if there is none [ns]."""
        while self._limits and self._limits[0][2] not in self._under_way:
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
