"""Queues of waiting transmissions, and the rules of sharing radios, for all slotted engines.

The transmissions of a transmitter wait in order of priority, then of arrival. One of them may
start when its link is free and the constraints of the medium access are met: the number of
concurrent transmissions of a transmitter, and half duplex. A transmission whose receiver is busy
does not block those behind it. Only transmitters whose situation has changed are evaluated.
"""

from __future__ import annotations

import heapq
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence, Set
from operator import attrgetter
from typing import TYPE_CHECKING

from wnsim.air.transmission import Attempt, Transmission

if TYPE_CHECKING:
    from wnsim.mac import Rules

_ORDER, _SERIAL = attrgetter("order"), attrgetter("serial")


class Queues:
    """Waiting transmissions and occupied links in one part of the spectrum.

    Parameters
    ----------
    rules : constraints of the medium access
    """

    def __init__(self, rules: Rules) -> None:
        self._batch, self._half_duplex = rules.batch, rules.half_duplex
        self._most_sent, self._most_received = rules.max_transmissions, rules.max_receptions
        self._waiting: dict[int, list[Transmission]] = defaultdict(list)
        self._transmission: dict[Attempt, Transmission] = {}
        self._sending: Counter[int] = Counter()
        self._receiving: Counter[int] = Counter()
        self._links: set[tuple[int, int]] = set()
        # For each receiver, the transmitters with waiting attempts; transmitters to be evaluated.
        self._waiting_for: dict[int, Counter[int]] = defaultdict(Counter)
        self._changed: set[int] = set()
        self._limits: list[tuple[int, int, Attempt]] = []

    def add(self, transmission: Transmission) -> None:
        """Enqueue a transmission."""
        self._waiting[transmission.source].append(transmission)
        self._changed.add(transmission.source)
        for attempt in transmission.attempts:
            self._transmission[attempt] = transmission
            self._waiting_for[attempt.target][attempt.source] += 1
            heapq.heappush(self._limits, (attempt.limit_ns, attempt.serial, attempt))

    def next_limit_ns(self) -> int | None:
        """Return the earliest limit of a waiting attempt, None if there is none [ns]."""
        while self._limits and self._limits[0][2] not in self._transmission:
            heapq.heappop(self._limits)
        return self._limits[0][0] if self._limits else None

    def waiting(self) -> list[Attempt]:
        """Return the waiting attempts."""
        return list(self._transmission)

    def expire(self, now_ns: int) -> list[Attempt]:
        """Remove and return the waiting attempts whose limit has been reached [ns]."""
        gone = []
        while (limit_ns := self.next_limit_ns()) is not None and limit_ns <= now_ns:
            gone.append(heapq.heappop(self._limits)[2])
            self.withdraw(gone[-1])
        return gone

    def withdraw(self, attempt: Attempt) -> None:
        """Remove a waiting attempt."""
        transmission = self._remove(attempt)
        if not transmission.withdraw(attempt):
            self._waiting[attempt.source].remove(transmission)

    def admit(
        self,
        blocked: Callable[[int], bool],
        prepare: Callable[[Sequence[Transmission]], None],
        start: Callable[[Transmission], bool],
    ) -> list[Transmission]:
        """Return the transmissions that start now, in order of priority and arrival.

        Parameters
        ----------
        blocked : whether a transmitter may not send at all
        prepare : called with all candidates before any of them starts
        start : starts a transmission that meets all other constraints, or returns false
        """
        if not self._changed:
            return []
        # Transmitters that were busy before this instant.
        busy = {source for source in self._changed if self._sending[source]}
        candidates = []
        for source in self._changed:
            waiting = self._waiting.get(source)
            if waiting and self._may_send(source, busy) and not blocked(source):
                candidates += [each for each in waiting if self._may_receive(each)]
        candidates.sort(key=_ORDER)
        self._changed.clear()
        started: list[Transmission] = []
        taken: set[int] = set()
        prepare(candidates)
        for transmission in candidates:
            # A candidate still fits unless a transmission with one of its nodes has started.
            fits = taken.isdisjoint(transmission.nodes) or self._fits(transmission, busy)
            if fits and start(transmission):
                started.append(transmission)
                taken.update(transmission.nodes)
                self._waiting[transmission.source].remove(transmission)
                self._sending[transmission.source] += 1
                for attempt in transmission.attempts:
                    self._remove(attempt)
                    self._receiving[attempt.target] += 1
                    self._links.add((attempt.source, attempt.target))
        if self._batch:
            together = Counter(transmission.source for transmission in started)
            for transmission in started:
                for attempt in transmission.attempts:
                    attempt.batch = together[transmission.source]
        return started

    def mark_changed(self, sources: Iterable[int]) -> None:
        """Evaluate some transmitters at the next call of `admit`."""
        self._changed.update(sources)

    def release(self, attempt: Attempt, last: bool) -> None:
        """Free the link of an attempt that was on the air.

        Parameters
        ----------
        attempt : the attempt
        last : whether it was the last one of its transmission
        """
        self._links.discard((attempt.source, attempt.target))
        self._receiving[attempt.target] -= 1
        if last:
            self._sending[attempt.source] -= 1
        self._changed.update((attempt.source, attempt.target))
        self._changed.update(self._waiting_for[attempt.source])
        self._changed.update(self._waiting_for[attempt.target])

    def _fits(self, transmission: Transmission, busy: Set[int]) -> bool:
        """Return whether a transmission may start."""
        return self._may_send(transmission.source, busy) and self._may_receive(transmission)

    def _may_send(self, source: int, busy: Set[int]) -> bool:
        """Return whether a transmitter may start another transmission."""
        if self._batch and source in busy:
            return False
        if self._most_sent is not None and self._sending[source] >= self._most_sent:
            return False
        return not (self._half_duplex and self._receiving[source])

    def _may_receive(self, transmission: Transmission) -> bool:
        """Return whether all receivers of a transmission are free."""
        source, sending, receiving = transmission.source, self._sending, self._receiving
        for target in transmission.targets:
            if self._half_duplex and sending[target]:
                return False
            if self._most_received is not None and receiving[target] >= self._most_received:
                return False
            if (source, target) in self._links:
                return False
        return True

    def _remove(self, attempt: Attempt) -> Transmission:
        """Remove an attempt from the waiting ones; return its transmission."""
        waiting_for = self._waiting_for[attempt.target]
        waiting_for[attempt.source] -= 1
        if not waiting_for[attempt.source]:
            del waiting_for[attempt.source]
        return self._transmission.pop(attempt)


def by_serial(attempts: Iterable[Attempt]) -> list[Attempt]:
    """Return attempts in the order of submission."""
    return sorted(attempts, key=_SERIAL)
