"""Replay of measured links: attempts take as long as was measured, without simulation of slots.

An attempt starts immediately and ends after the measured latency of its link, or when the integral
of the measured rate reaches its size; both pause during link outages. Attempts neither wait for
each other nor share resources, and cost no energy.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from wnsim.air.transmission import Attempt, Transmission
from wnsim.core.units import LONGEST_S, NS_PER_S, to_s

if TYPE_CHECKING:
    from wnsim.air.setup import Setup
    from wnsim.channel import ReplayTable

# Begin and end of the outages of a link, in order [s].
_Intervals = list[tuple[float, float]]


class Replayed:
    """Attempts over measured links; see `Air` for the methods used by the network.

    Parameters
    ----------
    setup : what the engine is built from
    links : measured rates or latencies
    ended : called with each attempt that has been delivered or dropped
    """

    def __init__(self, setup: Setup, links: ReplayTable, ended: Callable[[Attempt], None]) -> None:
        self._setup, self._env, self._links = setup, setup.env, links
        self._ended = ended
        self._outages_s: dict[Attempt, _Intervals] = {}

    def push(self, transmission: Transmission) -> None:
        """Start the attempts of a transmission."""
        faults, now = self._setup.world.faults, self._env.now_ns
        for attempt in transmission.attempts:
            link = (attempt.source, attempt.target)
            outages_s = [] if faults is None else faults.dark_s(*link)
            bits = np.array([attempt.size_bits])
            (ends_s,) = self._links.arrival_s(*link, to_s(now), bits, outages_s).tolist()
            self._outages_s[attempt] = outages_s
            attempt.started_ns = now
            ends_ns, reason = attempt.limit_ns, attempt.limit_reason
            # An attempt whose limit is now is dropped, even if it would be received now.
            if ends_s < LONGEST_S and now < ends_ns and round(ends_s * NS_PER_S) <= ends_ns:
                ends_ns, reason = round(ends_s * NS_PER_S), ""
            self._env.at(max(ends_ns, now), partial(self._end, attempt, reason))

    def drop(self, device: int, reason: str) -> None:
        """Drop all attempts from or to a device immediately."""
        for attempt in [
            attempt for attempt in self._outages_s if device in (attempt.source, attempt.target)
        ]:
            self._end(attempt, reason)

    def cancel(self, attempt: Attempt, reason: str) -> None:
        """Drop an attempt immediately."""
        self._end(attempt, reason)

    def acked_bits(self, attempt: Attempt) -> int:
        """Return a measure of the progress of an attempt under way.

        With measured rates, the number of bits received. A measured latency does not define it: one
        bit for each nanosecond without an outage is returned.
        """
        if not self._links.has_latency:
            return self._carried_bits(attempt)
        now_s = to_s(self._env.now_ns)
        return round(
            NS_PER_S * _uptime_s(to_s(attempt.started_ns), now_s, self._outages_s[attempt])
        )

    def _carried_bits(self, attempt: Attempt) -> int:
        """Return the number of bits received; with a measured latency, none before the last."""
        carried = self._links.carried_bits(
            attempt.source, attempt.target, to_s(attempt.started_ns), to_s(self._env.now_ns),
            self._outages_s[attempt],
        )  # fmt: skip
        return min(int(carried), attempt.size_bits - 1)

    def _end(self, attempt: Attempt, reason: str) -> None:
        # The attempt may have been dropped before.
        if attempt not in self._outages_s:
            return
        attempt.ended_ns, attempt.delivered, attempt.reason = self._env.now_ns, not reason, reason
        attempt.acked_bits = self._carried_bits(attempt) if reason else attempt.size_bits
        outages_s = self._outages_s.pop(attempt)
        if self._setup.trace and attempt.acked_bits:
            self._trace(attempt, outages_s)
        self._ended(attempt)

    def _trace(self, attempt: Attempt, outages_s: _Intervals) -> None:
        """Record when each packet was received."""
        packet = self._setup.packet_bits
        first = packet - attempt.carried_bits % packet
        bits = np.append(np.arange(first, attempt.acked_bits, packet), attempt.acked_bits)
        ends_s = self._links.arrival_s(
            attempt.source, attempt.target, to_s(attempt.started_ns), bits, outages_s
        )
        instants = np.minimum(np.rint(ends_s * NS_PER_S), attempt.ended_ns).astype(np.int64)
        attempt.progress.append((instants, np.diff(bits, prepend=0)))


def _uptime_s(from_s: float, until_s: float, outages_s: _Intervals) -> float:
    """Return the time without an outage between two instants [s]."""
    outage = (max(min(end_s, until_s) - max(begin_s, from_s), 0.0) for begin_s, end_s in outages_s)
    return until_s - from_s - sum(outage)
