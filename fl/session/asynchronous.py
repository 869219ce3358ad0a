"""Asynchronous gossip without a barrier.

Each device trains, sends its update to its current neighbors, aggregates the updates that have
arrived since its last aggregation, and continues. All devices together make as many local rounds as
in the synchronous protocol, fast devices more than slow ones, and are evaluated whenever as many
local rounds as there are devices have been completed. A neighbor to which an update is still in
flight is not sent another one, which would queue behind it. At the end devices aggregate the
updates that are still in flight.

Sources: the weight of stale updates, (1 + s)^-a, is the polynomial one of Xie et al.,
"Asynchronous federated optimization", 2019; s is the number of aggregations of the receiver since
the update was made, there those of the server.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import Any

import simpy

from ..config import Asynchronous
from .base import Session, Steps, topology_policy
from .received_update import ReceivedUpdate


class AsynchronousSession(Session):
    """Local rounds without a barrier; see `Session`."""

    def prepare(self) -> None:
        """Create the topology."""
        protocol = self.learning.protocol
        self._topology = topology_policy(self)
        self._exponent = protocol.staleness_exponent if isinstance(protocol, Asynchronous) else 0.0
        self._remaining = self.learning.rounds * self.devices
        self._completed = 0
        self._in_flight: dict[tuple[int, int], simpy.Event] = {}
        self._aggregated_s: list[list[float]] = [[] for _ in range(self.devices)]

    def run(self) -> Steps:
        """Run one process per device until all local rounds are made."""
        env = self.network.env
        self.evaluate(0)
        yield env.all_of([env.process(self._device(me)) for me in range(self.devices)])
        yield env.all_of(list(self._in_flight.values()))
        for me in range(self.devices):
            self.crashed(me, self.network.now_s)
            state = self.states[me]
            received, staleness = self._receive_pending(me)
            if state is not None and received:
                self.states[me] = self.aggregate(me, state, received, self._factors(staleness))
        # Fewer rounds than requested, if all devices have left for good or `stop_at` is reached.
        number = self._completed // self.devices
        self.recorder.settle(number, self.states)
        if number or self._completed:
            self.evaluate(number)

    def _device(self, me: int) -> Steps:
        """Run the local rounds of a device."""
        number = 0
        while self._remaining > 0 and not self.has_reached:
            if not self.network.snapshot().present[me]:
                wait_s = self.network.next_presence_s()
                if wait_s is None:
                    return
                yield self.network.timeout(wait_s)
                continue
            self._remaining -= 1
            number += 1
            yield from self._round(me, number)
            self._completed += 1
            whole, rest = divmod(self._completed, self.devices)
            if not rest and whole < self.learning.rounds:
                self.end_round(whole, last=False)

    def _round(self, me: int, number: int) -> Steps:
        """Run one local round of a device."""
        start_s = self.network.now_s
        self.crashed(me, start_s)
        trained, duration_s = self.train(me, number, self.states[me])
        yield self.network.timeout(duration_s)
        if self.crashed(me, start_s):
            # The result of the interrupted computation is lost.
            return
        trained_s = self.network.now_s
        targets = self._targets(me) if self.trainer.method.exchanges else []
        sent, events = self.send_update(me, targets, number, trained)
        for target, event in events.items():
            self._in_flight[me, target] = event
            event.callbacks.append(self._on_arrival)
        # Updates that arrive at this instant are aggregated too.
        yield self.network.timeout(0.0)
        received, staleness = self._receive_pending(me)
        self.states[me] = self.aggregate(me, trained, received, self._factors(staleness))
        times_s = (start_s, trained_s)
        self.record_round(number, me, trained, times_s, (len(targets), sent), received, staleness)
        self._aggregated_s[me].append(self.network.now_s)

    def _targets(self, me: int) -> list[int]:
        """Return the current neighbors to which no update is in flight."""
        graph = self._topology(self.network.snapshot(), self._completed // self.devices + 1)
        neighbors = sorted(graph[me]) if me in graph else []
        return [other for other in neighbors if (me, other) not in self._in_flight]

    def _on_arrival(self, event: simpy.Event) -> None:
        transfer: Any = event.value
        self._in_flight.pop((transfer.message.source, transfer.message.target), None)

    def _receive_pending(self, me: int) -> tuple[list[ReceivedUpdate], list[int]]:
        """Return the latest update of each device in the inbox, and the staleness of each."""
        inbox = self.network.inbox[me]
        latest: dict[int, ReceivedUpdate] = {}
        while inbox.items:
            payload = inbox.items.pop(0).payload
            if isinstance(payload, ReceivedUpdate) and (
                payload.device not in latest or payload.round > latest[payload.device].round
            ):
                latest[payload.device] = payload
        received = [self.receive(me, latest[device]) for device in sorted(latest)]
        times_s = self._aggregated_s[me]
        return received, [len(times_s) - bisect_right(times_s, each.made_s) for each in received]

    def _factors(self, staleness: list[int]) -> list[float]:
        """Return the weight factor of each update, given its staleness."""
        return [(1.0 + stale) ** -self._exponent for stale in staleness]
