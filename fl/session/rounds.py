"""Synchronous rounds: train, tell the neighbors, hear from them, merge.

A round begins for everybody when the last device has finished the one before, as in
arXiv 2602.20492 (this barrier costs no messages). A device that has finished training sends its
update to its neighbors; each update is of use for `deadline_s`. The device then hears until it has
heard from every neighbor, or until the last neighbor's update has expired, which it knows because
the time that each device needs to train is announced; and it merges what arrived.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import simpy

from ..seeds import key
from ..topology import TOPOLOGIES
from .base import Session, Steps, Told

if TYPE_CHECKING:
    from ..topology import Graph

# Instants are whole nanoseconds, so sums of durations are off by a few of them: a device listens
# this much longer than the last update lives.
_SLACK_S = 1e-6


@dataclass(eq=False)
class _Round:
    number: int
    start_s: float
    trained_s: dict[int, float] = field(default_factory=dict)
    graph: Graph | None = None


class Rounds(Session):
    """Rounds with a barrier; see `Session`."""

    def prepare(self) -> None:
        """Draw the graph, if it is drawn once."""
        topology = self.learning.topology
        self._topology = TOPOLOGIES[type(topology)](
            topology, self.devices, key(self.seed, "topology")
        )

    def run(self) -> Steps:
        """Run all rounds."""
        env = self.network.env
        self.evaluate(0)
        for number in range(1, self.learning.rounds + 1):
            members = yield from self.members()
            if not members:
                # Everybody has left for good.
                if self.evaluations[-1].round != number - 1:
                    self.evaluate(number - 1)
                break
            this = _Round(number, self.network.now_s)
            yield env.all_of([env.process(self._device(me, this)) for me in members])
            self.end_round(number, last=number == self.learning.rounds)

    def _device(self, me: int, this: _Round) -> Steps:
        """One device's round."""
        trained, duration_s = self.train(me, this.number, self.states[me])
        this.trained_s[me] = this.start_s + duration_s
        yield self.network.timeout(duration_s)
        neighbors = self._neighbors(me, this) if self.trainer.method.exchanges else []
        sent, _ = self.tell(me, neighbors, this.number, trained)
        heard = yield from self._hear(me, neighbors, this)
        self.states[me] = self.merge(me, trained, heard, [1.0] * len(heard))
        times_s = (this.start_s, this.trained_s[me])
        told = (len(neighbors), sent)
        self.record(this.number, me, trained, times_s, told, heard, [0] * len(heard))

    def _neighbors(self, me: int, this: _Round) -> list[int]:
        """Return whom to tell: neighbors in the graph as it is when the first one asks for it."""
        if this.graph is None:
            this.graph = self._topology(self.network.snapshot())
        if me not in this.graph:
            return []
        return sorted(other for other in this.graph[me] if other in this.trained_s)

    def _hear(
        self, me: int, neighbors: Sequence[int], this: _Round
    ) -> Generator[simpy.Event, Any, list[Told]]:
        """Collect the neighbors' updates of this round until the last of them has expired."""
        missing = set(neighbors)
        heard: dict[int, Told] = {}
        if not missing:
            return []
        last_s = max(this.trained_s[other] for other in missing) + self.learning.deadline_s
        expiry = self.network.timeout(max(0.0, last_s - self.network.now_s) + _SLACK_S)
        while missing:
            arrival = self.network.inbox[me].get()
            yield arrival | expiry
            if not arrival.triggered:
                arrival.cancel()
                break
            message: Any = arrival.value
            told = message.payload
            if isinstance(told, Told) and told.round == this.number:
                heard[told.device] = told
                missing.discard(told.device)
        return [heard[other] for other in sorted(heard)]
