"""Who waits and who may start: the rules of sharing a radio, the same for every engine.

A transmitter's streams wait in order of priority, then of arrival. One of them may start when its
link is free and the constraints of the medium access are met: how many streams a transmitter
sends at once, whether a radio can listen while it talks. A stream whose receiver is busy does not
hold up those behind it. Only transmitters for which something changed are looked at.
"""

from __future__ import annotations

import heapq
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from wnsim.air.flow import Flow, Stream

if TYPE_CHECKING:
    from wnsim.mac import Rules


class Queues:
    """The streams of one part of the spectrum that wait, and the links that are taken.

    Parameters
    ----------
    rules : constraints of the medium access
    """

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self._waiting: dict[int, list[Stream]] = defaultdict(list)
        self._stream: dict[Flow, Stream] = {}
        self._sending: Counter[int] = Counter()
        self._receiving: Counter[int] = Counter()
        self._links: set[tuple[int, int]] = set()
        # For each receiver the transmitters with something for it, and whose situation changed.
        self._callers: dict[int, Counter[int]] = defaultdict(Counter)
        self._changed: set[int] = set()
        self._limits: list[tuple[int, int, Flow]] = []

    def add(self, stream: Stream) -> None:
        """Let a stream wait."""
        self._waiting[stream.source].append(stream)
        self._changed.add(stream.source)
        for flow in stream.flows:
            self._stream[flow] = stream
            self._callers[flow.target][flow.source] += 1
            heapq.heappush(self._limits, (flow.limit_ns, flow.serial, flow))

    def next_limit_ns(self) -> int | None:
        """Return when the next of those that wait is given up [ns]."""
        while self._limits and self._limits[0][2] not in self._stream:
            heapq.heappop(self._limits)
        return self._limits[0][0] if self._limits else None

    def waiting(self) -> list[Flow]:
        """Return the flows that wait."""
        return list(self._stream)

    def expire(self, now_ns: int) -> list[Flow]:
        """Remove and return the waiting flows that are given up by now [ns]."""
        gone = []
        while (limit_ns := self.next_limit_ns()) is not None and limit_ns <= now_ns:
            gone.append(heapq.heappop(self._limits)[2])
            self.withdraw(gone[-1])
        return gone

    def withdraw(self, flow: Flow) -> None:
        """Remove a flow that waits."""
        stream = self._leave(flow)
        remaining = tuple(other for other in stream.flows if other is not flow)
        if remaining:
            stream.flows = remaining
        else:
            self._waiting[flow.source].remove(stream)

    def admit(
        self,
        barred: Callable[[int], bool],
        prepare: Callable[[Sequence[Stream]], None],
        starts: Callable[[Stream], bool],
    ) -> list[Stream]:
        """Return the streams that start now, in the order in which they may.

        Parameters
        ----------
        barred : whether a transmitter may send nothing at all
        prepare : told which streams are going to be looked at
        starts : asked last of all, of each stream that may start otherwise
        """
        if not self._changed:
            return []
        before = Counter({source: self._sending[source] for source in self._changed})
        candidates = sorted(
            (
                stream
                for source in self._changed
                if self._waiting[source] and self._free(source, before) and not barred(source)
                for stream in self._waiting[source]
                if self._receivable(stream)
            ),
            key=lambda stream: (-stream.flows[0].priority, stream.flows[0].serial),
        )
        self._changed.clear()
        started: list[Stream] = []
        taken: set[int] = set()
        prepare(candidates)
        for stream in candidates:
            # They fit as long as nobody has started that shares a radio with them.
            fits = taken.isdisjoint(stream.nodes) or self._fits(stream, before)
            if fits and starts(stream):
                started.append(stream)
                taken.update(stream.nodes)
                self._waiting[stream.source].remove(stream)
                self._sending[stream.source] += 1
                for flow in stream.flows:
                    self._leave(flow)
                    self._receiving[flow.target] += 1
                    self._links.add((flow.source, flow.target))
        if self._rules.batch:
            together = Counter(stream.source for stream in started)
            for stream in started:
                for flow in stream.flows:
                    flow.batch = together[stream.source]
        return started

    def reconsider(self, sources: Iterable[int]) -> None:
        """Look at some transmitters next time."""
        self._changed.update(sources)

    def release(self, flow: Flow, last: bool) -> None:
        """Free the link of a flow that was on the air.

        Parameters
        ----------
        flow : the flow
        last : whether it was the last of its stream
        """
        self._links.discard((flow.source, flow.target))
        self._receiving[flow.target] -= 1
        if last:
            self._sending[flow.source] -= 1
        self._changed.update((flow.source, flow.target))
        self._changed.update(self._callers[flow.source])
        self._changed.update(self._callers[flow.target])

    def _fits(self, stream: Stream, before: Counter[int]) -> bool:
        """Return whether a stream may start."""
        return self._free(stream.source, before) and self._receivable(stream)

    def _free(self, source: int, before: Counter[int]) -> bool:
        """Return whether a transmitter may start another stream."""
        rules = self._rules
        if rules.batch and before[source]:
            return False
        if rules.streams is not None and self._sending[source] >= rules.streams:
            return False
        return not (rules.half_duplex and self._receiving[source])

    def _receivable(self, stream: Stream) -> bool:
        """Return whether the receivers of a stream may listen to it."""
        rules = self._rules
        for flow in stream.flows:
            source, target = flow.source, flow.target
            if (source, target) in self._links:
                return False
            if rules.half_duplex and self._sending[target]:
                return False
            if rules.receptions is not None and self._receiving[target] >= rules.receptions:
                return False
        return True

    def _leave(self, flow: Flow) -> Stream:
        """Forget that a flow waits; return its stream."""
        callers = self._callers[flow.target]
        callers[flow.source] -= 1
        if not callers[flow.source]:
            del callers[flow.source]
        return self._stream.pop(flow)


def by_serial(flows: Iterable[Flow]) -> list[Flow]:
    """Return flows in the order in which they were handed over."""
    return sorted(flows, key=lambda flow: flow.serial)
