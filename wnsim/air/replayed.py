"""Messages that take as long as was measured, in place of an engine that looks into slots.

A flow begins at once, and ends by the measured latency of its link, or when the integral of the
measured rate has come to its size; neither goes on while the link is dark. Flows do not wait for
each other nor share anything, and cost no energy: what was measured is all that counts.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from wnsim.air.flow import Flow, Stream
from wnsim.units import LONGEST_S, NS_PER_S, to_s

if TYPE_CHECKING:
    from wnsim.air.air import Setup
    from wnsim.channel import ReplayTable


@dataclass(frozen=True, slots=True)
class _Course:
    """When a flow arrives if nothing comes in between, and when its link is dark [s]."""

    ends_s: float
    dark_s: list[tuple[float, float]]


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
        self._courses: dict[Flow, _Course] = {}

    def push(self, stream: Stream) -> None:
        """Let the flows of a stream begin."""
        faults, now = self._setup.world.faults, self._env.now_ns
        for flow in stream.flows:
            link = (flow.source, flow.target)
            dark_s = [] if faults is None else faults.dark_s(*link)
            ends_s = self._links.arrival_s(*link, to_s(now), flow.size_bits, dark_s)
            self._courses[flow] = _Course(ends_s, dark_s)
            flow.started_ns = now
            ends_ns, reason = flow.limit_ns, flow.limit_reason
            if ends_s < LONGEST_S and round(ends_s * NS_PER_S) <= flow.limit_ns:
                ends_ns, reason = round(ends_s * NS_PER_S), ""
            self._env.at(max(ends_ns, now), partial(self._end, flow, reason))

    def drop(self, device: int, reason: str) -> None:
        """Give up everything from or to a device, now."""
        for flow in [flow for flow in self._courses if device in (flow.source, flow.target)]:
            self._end(flow, reason)

    def cancel(self, flow: Flow, reason: str) -> None:
        """Give up a flow, now."""
        self._end(flow, reason)

    def acked_bits(self, flow: Flow) -> int:
        """Return how many bits of a flow under way have arrived by now, of a latency evenly."""
        if not self._links.has_latency:
            return self._carried_bits(flow)
        course, begun_s = self._courses[flow], to_s(flow.started_ns)
        if math.isinf(course.ends_s):
            return 0
        past_s = _light_s(begun_s, to_s(self._env.now_ns), course.dark_s)
        return int(flow.size_bits * past_s / _light_s(begun_s, course.ends_s, course.dark_s))

    def _carried_bits(self, flow: Flow) -> int:
        """Return how many bits have arrived; by a latency none before all do."""
        carried = self._links.carried_bits(
            flow.source, flow.target, to_s(flow.started_ns), to_s(self._env.now_ns),
            self._courses[flow].dark_s,
        )  # fmt: skip
        return min(int(carried), flow.size_bits - 1)

    def _end(self, flow: Flow, reason: str) -> None:
        # It may have been given up before.
        if flow not in self._courses:
            return
        flow.ended_ns, flow.delivered, flow.reason = self._env.now_ns, not reason, reason
        flow.acked_bits = self._carried_bits(flow) if reason else flow.size_bits
        course = self._courses.pop(flow)
        if self._setup.trace and flow.acked_bits:
            self._trace(flow, course)
        self._ended(flow)

    def _trace(self, flow: Flow, course: _Course) -> None:
        """Remember when each packet arrived."""
        link, begun_s = (flow.source, flow.target), to_s(flow.started_ns)
        packet = self._setup.packet_bits
        bits = np.array([*range(packet, flow.acked_bits, packet), flow.acked_bits])
        ends_s = [
            self._links.arrival_s(*link, begun_s, each, course.dark_s) for each in bits.tolist()
        ]
        instants = np.minimum(np.rint(np.array(ends_s) * NS_PER_S), flow.ended_ns)
        flow.progress.append((instants.astype(np.int64), np.diff(bits, prepend=0)))


def _light_s(from_s: float, until_s: float, dark_s: list[tuple[float, float]]) -> float:
    """Return for how long it is not dark between two instants [s]."""
    light_s = 0.0
    for since_s, ends_s in dark_s:
        light_s += max(min(since_s, until_s) - from_s, 0.0)
        from_s = max(from_s, ends_s)
    return light_s + max(until_s - from_s, 0.0)
