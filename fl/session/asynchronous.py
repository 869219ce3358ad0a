"""Asynchronous gossip: nobody waits for anybody.

Each device trains, tells its neighbors of the moment, merges what has arrived since it last did,
and goes on. All devices together make as many local rounds as they would in synchronous ones, and
are tested whenever that many of them are done; a fast device makes more of them than a slow one.
A neighbor to whom an update is still on its way is not sent another one, which would wait behind
it. In the end devices merge what is still on its way.

Sources: the weight of stale updates, (1 + s)^-a, is the polynomial one of Xie et al.,
"Asynchronous federated optimization", 2019; s counts the merges that the receiver has made since
the update was made, as there it counts the server's.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import Any

import simpy

from ..config import Asynchronous
from .base import Session, Steps, Told, policy


class Gossip(Session):
    """Local rounds without a barrier; see `Session`."""

    def prepare(self) -> None:
        """Draw the graph, if it is drawn once."""
        protocol = self.learning.protocol
        self._topology = policy(self)
        self._exponent = protocol.staleness_exponent if isinstance(protocol, Asynchronous) else 0.0
        self._left = self.learning.rounds * self.devices
        self._finished = 0
        self._on_way: dict[tuple[int, int], simpy.Event] = {}
        self._merged_s: list[list[float]] = [[] for _ in range(self.devices)]

    def run(self) -> Steps:
        """Let every device go its own way until the local rounds are used up."""
        env = self.network.env
        self.evaluate(0)
        yield env.all_of([env.process(self._device(me)) for me in range(self.devices)])
        yield env.all_of(list(self._on_way.values()))
        for me in range(self.devices):
            self.crashed(me, self.network.now_s)
            state = self.states[me]
            heard, staleness = self._heard(me)
            if state is not None and heard:
                self.states[me] = self.merge(me, state, heard, self._counts(staleness))
        # Fewer than asked for, if everybody has left for good.
        number = self._finished // self.devices
        self.settle(number)
        if number or self._finished:
            self.evaluate(number)

    def _device(self, me: int) -> Steps:
        """One device's life."""
        number = 0
        while self._left > 0:
            if not self.network.snapshot().present[me]:
                wait_s = self.network.next_presence_s()
                if wait_s is None:
                    return
                yield self.network.timeout(wait_s)
                continue
            self._left -= 1
            number += 1
            yield from self._round(me, number)
            self._finished += 1
            whole, rest = divmod(self._finished, self.devices)
            if not rest and whole < self.learning.rounds:
                self.end_round(whole, last=False)

    def _round(self, me: int, number: int) -> Steps:
        """One local round."""
        start_s = self.network.now_s
        self.crashed(me, start_s)
        trained, duration_s = self.train(me, number, self.states[me])
        yield self.network.timeout(duration_s)
        if self.crashed(me, start_s):
            # What it was computing is lost.
            return
        trained_s = self.network.now_s
        targets = self._targets(me) if self.trainer.method.exchanges else []
        sent, events = self.tell(me, targets, number, trained)
        for target, event in events.items():
            self._on_way[me, target] = event
            event.callbacks.append(self._arrived)
        # What arrives at this very instant is heard too.
        yield self.network.timeout(0.0)
        heard, staleness = self._heard(me)
        self.states[me] = self.merge(me, trained, heard, self._counts(staleness))
        times_s = (start_s, trained_s)
        self.record(number, me, trained, times_s, (len(targets), sent), heard, staleness)
        self._merged_s[me].append(self.network.now_s)

    def _targets(self, me: int) -> list[int]:
        """Return the neighbors of the moment to whom nothing is on its way."""
        graph = self._topology(self.network.snapshot(), self._finished // self.devices + 1)
        neighbors = sorted(graph[me]) if me in graph else []
        return [other for other in neighbors if (me, other) not in self._on_way]

    def _arrived(self, event: simpy.Event) -> None:
        transfer: Any = event.value
        self._on_way.pop((transfer.message.source, transfer.message.target), None)

    def _heard(self, me: int) -> tuple[list[Told], list[int]]:
        """Return the last update of each device that has arrived, and how stale each is."""
        inbox = self.network.inbox[me]
        last: dict[int, Told] = {}
        while inbox.items:
            told = inbox.items.pop(0).payload
            if isinstance(told, Told) and (
                told.device not in last or told.round > last[told.device].round
            ):
                last[told.device] = told
        heard = [self.received(me, last[device]) for device in sorted(last)]
        merges_s = self._merged_s[me]
        return heard, [len(merges_s) - bisect_right(merges_s, told.made_s) for told in heard]

    def _counts(self, staleness: list[int]) -> list[float]:
        """Return how much updates count for being stale."""
        return [(1.0 + stale) ** -self._exponent for stale in staleness]
