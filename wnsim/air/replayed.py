"""Messages that take as long as was measured, in place of an engine that looks into slots.

A flow begins at once, and ends by the measured latency of its link, or when the integral of the
measured rate has come to its size; neither goes on while the link is dark. Flows do not wait for
each other nor share anything, and cost no energy: what was measured is all that counts.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from wnsim.air.flow import Flow, Stream
from wnsim.core.units import LONGEST_S, NS_PER_S, to_s

if TYPE_CHECKING:
    from wnsim.air.air import Setup
    from wnsim.channel import ReplayTable

# Since when and until when a link is dark, one after the other [s].
_Spans = list[tuple[float, float]]


class Replayed:
    """Flows over measured links; see `Air` for what the network uses.

    Parameters
    ----------
    setup : what to work with
    links : the measured rates or latencies
    ended : called with each flow when it has been delivered or given up
    """

    def __init__(self, setup: Setup, links: ReplayTable, ended: Callable[[Flow], None]) -> None:
        self._setup, self._env, self._links = setup, setup.env, links
        self._ended = ended
        self._dark_s: dict[Flow, _Spans] = {}

    def push(self, stream: Stream) -> None:
        """Let the flows of a stream begin."""
        faults, now = self._setup.world.faults, self._env.now_ns
        for flow in stream.flows:
            link = (flow.source, flow.target)
            dark_s = [] if faults is None else faults.dark_s(*link)
            bits = np.array([flow.size_bits])
            (ends_s,) = self._links.arrival_s(*link, to_s(now), bits, dark_s).tolist()
            self._dark_s[flow] = dark_s
            flow.started_ns = now
            ends_ns, reason = flow.limit_ns, flow.limit_reason
            # What is to be given up at once does not arrive at once.
            if ends_s < LONGEST_S and now < ends_ns and round(ends_s * NS_PER_S) <= ends_ns:
                ends_ns, reason = round(ends_s * NS_PER_S), ""
            self._env.at(max(ends_ns, now), partial(self._end, flow, reason))

    def drop(self, device: int, reason: str) -> None:
        """Give up everything from or to a device, now."""
        for flow in [flow for flow in self._dark_s if device in (flow.source, flow.target)]:
            self._end(flow, reason)

    def cancel(self, flow: Flow, reason: str) -> None:
        """Give up a flow, now."""
        self._end(flow, reason)

    def acked_bits(self, flow: Flow) -> int:
        """Return how many bits of a flow under way have arrived by now.

        Nobody knows that of a latency: it is as if a bit came in each nanosecond of light.
        """
        if not self._links.has_latency:
            return self._carried_bits(flow)
        now_s = to_s(self._env.now_ns)
        return round(NS_PER_S * _light_s(to_s(flow.started_ns), now_s, self._dark_s[flow]))

    def _carried_bits(self, flow: Flow) -> int:
        """Return how many bits have arrived; by a latency none before all do."""
        carried = self._links.carried_bits(
            flow.source, flow.target, to_s(flow.started_ns), to_s(self._env.now_ns),
            self._dark_s[flow],
        )  # fmt: skip
        return min(int(carried), flow.size_bits - 1)

    def _end(self, flow: Flow, reason: str) -> None:
        # It may have been given up before.
        if flow not in self._dark_s:
            return
        flow.ended_ns, flow.delivered, flow.reason = self._env.now_ns, not reason, reason
        flow.acked_bits = self._carried_bits(flow) if reason else flow.size_bits
        dark_s = self._dark_s.pop(flow)
        if self._setup.trace and flow.acked_bits:
            self._trace(flow, dark_s)
        self._ended(flow)

    def _trace(self, flow: Flow, dark_s: _Spans) -> None:
        """Remember when each packet arrived."""
        packet = self._setup.packet_bits
        first = packet - flow.carried_bits % packet
        bits = np.append(np.arange(first, flow.acked_bits, packet), flow.acked_bits)
        ends_s = self._links.arrival_s(
            flow.source, flow.target, to_s(flow.started_ns), bits, dark_s
        )
        instants = np.minimum(np.rint(ends_s * NS_PER_S), flow.ended_ns).astype(np.int64)
        flow.progress.append((instants, np.diff(bits, prepend=0)))


def _light_s(from_s: float, until_s: float, dark_s: _Spans) -> float:
    """Return for how long it is not dark between two instants [s]."""
    dark = (max(min(end_s, until_s) - max(begin_s, from_s), 0.0) for begin_s, end_s in dark_s)
    return until_s - from_s - sum(dark)
