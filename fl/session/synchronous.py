"""Synchronous rounds with a barrier: train, send, receive, aggregate.

A round starts for all devices when the last one has finished the round before, as in
arXiv 2602.20492 (the barrier costs no messages). A device that has finished training sends its
update to its neighbors; an update expires after `deadline_s`. The device then receives updates
until it has those of all neighbors, or until the last neighbor's update has expired, which it knows
because the training time of each device is announced; it then aggregates the updates that arrived.

Where updates are added over the air, all devices wait for the last one that trains. The devices
then take turns as receivers, in ascending order: the neighbors of each send at once, and all
aggregate at the end.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import simpy

from ..aggregation.consensus import mixing_matrix
from ..config import Similarity
from ..mixture.features import EMBEDDING_SIZE
from ..topology import CONTROL, connected_groups
from .base import Session, Steps, topology_policy
from .cluster_exchange import AdapterCache
from .forgetting import Forgetting
from .over_the_air import GroupUpdate, collect
from .queries import QueryService
from .received_update import ReceivedUpdate
from .records import ClusterRow, MemberRow

if TYPE_CHECKING:
    from ..engine.jobs import Job, LazyValue
    from ..topology import Graph
    from ..trainer.state import State
    from ..updates.codec import Update

# Instants are whole nanoseconds, so sums of durations are off by a few of them: a device listens
# this much longer than the last update lives.
_SLACK_S = 1e-6


@dataclass(eq=False)
class _Round:
    """State of a round that is common to all devices."""

    number: int
    start_s: float
    trained_s: dict[int, float] = field(default_factory=dict)
    graph: Graph | None = None


class SynchronousSession(Session):
    """Rounds with a barrier; see `Session`."""

    def prepare(self) -> None:
        """Create the topology and the adapter caches."""
        self._topology = topology_policy(self)
        self._cache = AdapterCache(self)
        self._forgetting = None
        if self.network.forgets_leavers:
            self._forgetting = Forgetting(self, self._cache)
        # Devices whose updates each device aggregated in its last round.
        self._senders: dict[int, list[int]] = {}
        self._current_groups: list[list[int]] = []
        self._queries = None
        if self.learning.queries is not None:
            self._queries = QueryService(self, self.learning.queries)

    def cached_updates(self, device: int) -> Mapping[int, LazyValue[Update]]:
        """Return the cluster updates in a device's adapter cache, by device."""
        return self._cache.of(device)

    def forget(self, me: int) -> None:
        """Discard everything that a device has learned and received."""
        super().forget(me)
        self._cache.forget(me)
        if self._forgetting is not None:
            self._forgetting.discard(me)

    def renewed(self, me: int) -> None:
        """Take note that a device has another mask and A, which no other one has."""
        super().renewed(me)
        self._cache.renewed(me)

    def run(self) -> Steps:
        """Run all rounds."""
        yield from self.run_rounds(self._round)
        if self._queries is not None:
            yield self.network.env.all_of(self._queries.pending)

    def _round(self, number: int, present: Sequence[int]) -> Steps:
        """Run one round of the present devices."""
        env = self.network.env
        if self._forgetting is not None:
            yield from self._forgetting.run(number, self._current_groups, present)
        this = _Round(number, self.network.now_s)
        if self.network.analog is not None and self.trainer.method.exchanges:
            yield from self._turns(this, present)
        else:
            yield env.all_of([env.process(self._device(me, this)) for me in present])
        if self.trainer.method.exchanges:
            before, self._current_groups = (
                self._current_groups,
                connected_groups(self._graph(this).subgraph(present)),
            )
            if self._current_groups != before:
                self.memberships.extend(
                    MemberRow(number, this.start_s, group[0], device)
                    for group in self._current_groups
                    for device in group
                )
            exchange = self.learning.cluster_exchange
            last = number == self.learning.rounds
            if exchange is not None and (last or number % exchange.every == 0):
                clusters = [tuple(each) for each in self._current_groups]
                yield from self._cache.exchange(number, clusters, present, exchange.source)

    def _device(self, me: int, this: _Round) -> Steps:
        """Run one round of a device; a crash ends it."""
        self.crashed(me, this.start_s)
        trained, duration_s = self.train(me, this.number, self.states[me])
        this.trained_s[me] = this.start_s + duration_s
        yield self.network.timeout(duration_s)
        if self.crashed(me, this.start_s):
            return
        neighbors = self._neighbors(me, this) if self.trainer.method.exchanges else []
        size, _ = self.send_update(me, neighbors, this.number, trained)
        received = yield from self._receive_all(me, neighbors, this)
        crash = self.crashed(me, this.start_s)
        if crash is not None:
            if crash == "kept":
                self.states[me] = trained
                if self._forgetting is not None:
                    self._forgetting.discard(me)
            return
        senders = [each.device for each in received]
        self._senders[me] = senders
        state = self.aggregate(me, trained, received, [1.0] * len(received))
        self.states[me] = state
        if self._forgetting is not None:
            self._forgetting.note(me, trained, received)
        if self.learning.inference is not None:
            self._cache.put_own(me, senders, self.trainer.groups.own_update(this.number, state))
        times_s = (this.start_s, this.trained_s[me])
        sent, staleness = (len(neighbors), size), [0] * len(received)
        self.record_round(this.number, me, trained, times_s, sent, received, staleness)

    def _turns(self, this: _Round, present: Sequence[int]) -> Steps:
        """Run one round in which the neighbors of each device send to it at once, in turns."""
        env, number = self.network.env, this.number
        trained: dict[int, Job[State]] = {}
        yield env.all_of([env.process(self._train(me, this, trained)) for me in present])
        groups: dict[int, GroupUpdate] = {}
        sizes, receivers = dict.fromkeys(trained, 0), dict.fromkeys(trained, 0)
        for me in sorted(trained):
            ready = {
                other: trained[other]
                for other in self._neighbors(me, this)
                if other in trained and not self.crashed(other, this.start_s)
            }
            if not ready or self.crashed(me, this.start_s):
                continue
            groups[me] = yield from collect(self, me, number, ready)
            for other, size in groups[me].sent_bytes.items():
                sizes[other] += size
                receivers[other] += 1
        for me, own in sorted(trained.items()):
            crash = self.crashed(me, this.start_s)
            if crash is None:
                self.states[me] = self._aggregate_group(me, own, groups.get(me, GroupUpdate()))
            elif crash == "kept":
                self.states[me] = own
            else:
                continue
            received = [*groups[me].added, *groups[me].digital] if me in groups else []
            received = [each for each in received if each.device in groups[me].devices]
            times_s, sent = (this.start_s, this.trained_s[me]), (receivers[me], sizes[me])
            self._senders[me] = [each.device for each in received]
            self.record_round(number, me, own, times_s, sent, received, [0] * len(received))

    def _train(self, me: int, this: _Round, trained: dict[int, Job[State]]) -> Steps:
        """Train a device, and enter its state unless it crashes."""
        self.crashed(me, this.start_s)
        state, duration_s = self.train(me, this.number, self.states[me])
        this.trained_s[me] = this.start_s + duration_s
        yield self.network.timeout(duration_s)
        if not self.crashed(me, this.start_s):
            trained[me] = state

    def _aggregate_group(self, me: int, own: Job[State], group: GroupUpdate) -> LazyValue[State]:
        """Return a device's state, aggregated with what has arrived of its neighbors."""
        if not group.devices:
            return own
        weight = self.trainer.weight
        return self.trainer.superposed_aggregate(
            me,
            own,
            [each.update for each in group.added],
            [weight(me), *(weight(each.device) for each in group.added)],
            group.superposition,
            [each.update for each in group.digital],
            [weight(each.device) for each in group.digital],
        )

    def _neighbors(self, me: int, this: _Round) -> list[int]:
        """Return the neighbors of a device that take part in the round."""
        graph = self._graph(this)
        return (
            sorted(other for other in graph[me] if other in this.trained_s) if me in graph else []
        )

    def _graph(self, this: _Round) -> Graph:
        """Return the graph of a round, created on first use with its control messages."""
        if this.graph is None:
            this.graph = self._topology(self.view(), this.number)
            if this.graph.graph.get(CONTROL):
                embedding = EMBEDDING_SIZE if isinstance(self.learning.topology, Similarity) else 0
                size = self.trainer.cost_model.control_bytes(embedding)
                self.broadcast_control(sorted(this.graph), this.number, size)
        return this.graph

    def evaluate(self, number: int) -> None:
        """Test every device, record the collisions and the consensus of each group, and ask."""
        super().evaluate(number)
        if self._queries is not None and number > 0:
            self._queries.ask(number)
        now_s, groups = self.network.now_s, self.trainer.groups
        for members in self._current_groups:
            trained = [state for each in members if (state := self.trained[each]) is not None]
            aggregated = [state for each in members if (state := self.states[each]) is not None]
            if len(trained) == len(members):
                mixing = mixing_matrix(members, self._senders, self.trainer.weight)
                found = (
                    *groups.collisions(members, trained),
                    *groups.consensus(aggregated, mixing),
                )
                self.groups.append(ClusterRow(number, now_s, members[0], len(members), *found))

    def _receive_all(
        self, me: int, neighbors: Sequence[int], this: _Round
    ) -> Generator[simpy.Event, Any, list[ReceivedUpdate]]:
        """Receive the neighbors' updates of a round until the last of them has expired."""
        missing = set(neighbors)
        received: dict[int, ReceivedUpdate] = {}
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
            payload = message.payload
            if isinstance(payload, ReceivedUpdate) and payload.round == this.number:
                received[payload.device] = self.receive(me, payload)
                missing.discard(payload.device)
        return [received[other] for other in sorted(received)]
