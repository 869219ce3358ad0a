"""Synchronous rounds: train, tell the neighbors, hear from them, merge.

A round begins for everybody when the last device has finished the one before, as in
arXiv 2602.20492 (this barrier costs no messages). A device that has finished training sends its
update to its neighbors; each update is of use for `deadline_s`. The device then hears until it has
heard from every neighbor, or until the last neighbor's update has expired, which it knows because
the time that each device needs to train is announced; and it merges what arrived.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import simpy

from ..aggregation.consensus import mixing_matrix
from ..config import Similarity
from ..mixture.features import SKETCH
from ..topology import CONTROL, groups
from .base import Session, Steps, Told, policy
from .records import ClusterRow, MemberRow
from .sharing import Holdings

if TYPE_CHECKING:
    from ..engine.jobs import Value
    from ..topology import Graph
    from ..updates.codec import Update

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
        self._topology = policy(self)
        self._holdings = Holdings(self)
        # Whom each device heard in its last round.
        self._heard: dict[int, list[int]] = {}
        self._groups_now: list[list[int]] = []

    def held(self, device: int) -> Mapping[int, Value[Update]]:
        """Return by device what one knows of it and its group."""
        return self._holdings.of(device)

    def forget(self, me: int) -> None:
        """Take in that a device has lost all that it had learned and heard."""
        super().forget(me)
        self._holdings.forget(me)

    def run(self) -> Steps:
        """Run all rounds."""
        return self.in_rounds(self._round)

    def _round(self, number: int, members: Sequence[int]) -> Steps:
        """One round of those who are there."""
        env = self.network.env
        this = _Round(number, self.network.now_s)
        yield env.all_of([env.process(self._device(me, this)) for me in members])
        if self.trainer.method.exchanges:
            before, self._groups_now = (
                self._groups_now,
                groups(self._graph(this).subgraph(members)),
            )
            if self._groups_now != before:
                self.memberships.extend(
                    MemberRow(number, this.start_s, group[0], device)
                    for group in self._groups_now
                    for device in group
                )
            sharing = self.learning.cluster_exchange
            last = number == self.learning.rounds
            if sharing is not None and (last or number % sharing.every == 0):
                everybody = [tuple(each) for each in self._groups_now]
                yield from self._holdings.exchange(number, everybody, members, sharing.source)

    def _device(self, me: int, this: _Round) -> Steps:
        """One device's round, which is over when it crashes."""
        self.crashed(me, this.start_s)
        trained, duration_s = self.train(me, this.number, self.states[me])
        this.trained_s[me] = this.start_s + duration_s
        yield self.network.timeout(duration_s)
        if self.crashed(me, this.start_s):
            return
        neighbors = self._neighbors(me, this) if self.trainer.method.exchanges else []
        sent, _ = self.tell(me, neighbors, this.number, trained)
        heard = yield from self._hear(me, neighbors, this)
        crash = self.crashed(me, this.start_s)
        if crash is not None:
            if crash == "kept":
                self.states[me] = trained
            return
        self._heard[me] = [told.device for told in heard]
        state = self.merge(me, trained, heard, [1.0] * len(heard))
        self.states[me] = state
        if self.learning.inference is not None:
            known = self.trainer.groups.known(state)
            self._holdings.keep_own(me, [told.device for told in heard], known)
        times_s = (this.start_s, this.trained_s[me])
        told = (len(neighbors), sent)
        self.record(this.number, me, trained, times_s, told, heard, [0] * len(heard))

    def _neighbors(self, me: int, this: _Round) -> list[int]:
        """Return whom to tell: neighbors in the graph as it is when the first one asks for it."""
        graph = self._graph(this)
        return (
            sorted(other for other in graph[me] if other in this.trained_s) if me in graph else []
        )

    def _graph(self, this: _Round) -> Graph:
        """Return the graph of a round; what it takes to agree upon one is sent now."""
        if this.graph is None:
            this.graph = self._topology(self.network.snapshot(), this.number)
            if this.graph.graph.get(CONTROL):
                sketch = SKETCH if isinstance(self.learning.topology, Similarity) else 0
                size = self.trainer.payload.control_bytes(sketch)
                self.tell_all(sorted(this.graph), this.number, size)
        return this.graph

    def evaluate(self, number: int) -> None:
        """Test every device, and find out how much the members of each group collide and agree."""
        super().evaluate(number)
        now_s, asked = self.network.now_s, self.trainer.groups
        for members in self._groups_now:
            trained = [state for each in members if (state := self.trained[each]) is not None]
            merged = [state for each in members if (state := self.states[each]) is not None]
            if len(trained) == len(members):
                mixing = mixing_matrix(members, self._heard, self.trainer.weight)
                found = (*asked.collisions(members, trained), *asked.agreement(merged, mixing))
                self.groups.append(ClusterRow(number, now_s, members[0], len(members), *found))

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
                heard[told.device] = self.received(me, told)
                missing.discard(told.device)
        return [heard[other] for other in sorted(heard)]
