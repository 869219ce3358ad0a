"""What the devices do, one round after another: train, tell the neighbors, hear from them, merge.

Rounds are synchronous, as in arXiv 2602.20492: a round begins for everybody when the last device
has finished the one before (this barrier costs no messages). A device that has finished training
sends its update to its neighbors; each update is of use for `deadline_s`. The device then hears
until it has heard from every neighbor, or until the last neighbor's update has expired, which it
knows because the time that each device needs to train is announced; and it merges what arrived.
A device that has left the scene trains on but reaches nobody, and takes part again when it is back.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import simpy

from wnsim.network import Message, Network, Transfer

from .config import Learning
from .rows import EvaluationRow, RoundRow
from .seeds import key
from .topology import TOPOLOGIES
from .update import HEADER_BYTES, encode

if TYPE_CHECKING:
    import torch

    from .adapters import Adapter
    from .jobs import State
    from .topology import Graph
    from .trainer import Trainer
    from .update import Update

# Instants are whole nanoseconds, so sums of durations are off by a few of them: a device listens
# this much longer than the last update lives.
_SLACK_S = 1e-6

Steps = Generator[simpy.Event, Any, Any]


@dataclass(eq=False)
class _Round:
    number: int
    start_s: float
    trained_s: dict[int, float] = field(default_factory=dict)
    graph: Graph | None = None


class Session:
    """Federated learning of all devices, as processes of a simulation.

    Parameters
    ----------
    network : carries the updates
    trainer : does the computing
    learning : rounds, deadline and topology
    compute_time_s : seconds that a device takes for a number of operations
    devices : number of devices
    seed : of a random topology
    progress : called after each evaluation with round, time [s] and mean accuracy

    Attributes
    ----------
    rounds, evaluations : the records
    done : event that fires when the last round is over
    """

    def __init__(
        self,
        network: Network,
        trainer: Trainer,
        learning: Learning,
        compute_time_s: Callable[[int, float], float],
        devices: int,
        seed: int,
        progress: Callable[[int, float, float | None], None],
    ) -> None:
        self._network = network
        self._trainer = trainer
        self._learning = learning
        self._compute_time_s = compute_time_s
        self._progress = progress
        self._topology = TOPOLOGIES[type(learning.topology)](
            learning.topology, devices, key(seed, "topology")
        )
        # Who is known to hold one's mask and A; whose mask is held.
        self._reached: set[tuple[int, int]] = set()
        self._masks: dict[tuple[int, int], tuple[torch.Tensor, ...] | None] = {}
        self._states: list[State | None] = [None] * devices
        self.rounds: list[RoundRow] = []
        self.evaluations: list[EvaluationRow] = []
        self.done = network.env.process(self._run())

    @property
    def adapters(self) -> list[Adapter | None]:
        """Each device's adapter, None before its first round."""
        return [None if state is None else state.adapter for state in self._states]

    def _run(self) -> Steps:
        env = self._network.env
        self._evaluate(0)
        for number in range(1, self._learning.rounds + 1):
            members = yield from self._members()
            if not members:
                # Everybody has left for good.
                if self.evaluations[-1].round != number - 1:
                    self._evaluate(number - 1)
                break
            this = _Round(number, self._network.now_s)
            yield env.all_of([env.process(self._device(me, this)) for me in members])
            last = number == self._learning.rounds
            if last or number % self._learning.evaluate_every == 0:
                self._evaluate(number)
            else:
                self._progress(number, self._network.now_s, None)

    def _members(self) -> Generator[simpy.Event, Any, list[int]]:
        """Wait until a device is there; return those that are, none if there will never be one."""
        while True:
            present = self._network.snapshot().present
            if present.any():
                return [int(device) for device in present.nonzero()[0]]
            wait_s = self._network.next_presence_s()
            if wait_s is None:
                return []
            yield self._network.timeout(wait_s)

    def _device(self, me: int, this: _Round) -> Steps:
        """One device's round."""
        job = self._trainer.submit(me, this.number, self._states[me])
        duration_s = self._compute_time_s(me, job.flops)
        this.trained_s[me] = this.start_s + duration_s
        yield self._network.timeout(duration_s)
        state = job.result()
        neighbors = self._neighbors(me, this) if self._trainer.method.exchanges else []
        sent = sum(
            self._tell(me, group, state.adapter, this.number)
            for group in self._groups(me, neighbors)
        )
        heard = yield from self._hear(me, neighbors, this)
        if self._trainer.method.exchanges:
            state = dataclasses.replace(
                state, adapter=self._trainer.method.merge(state.adapter, heard)
            )
        self._states[me] = state
        self.rounds.append(
            RoundRow(
                this.number,
                me,
                this.start_s,
                this.trained_s[me],
                self._network.now_s,
                len(neighbors),
                len(heard),
                sent,
                state.loss,
            )
        )

    def _neighbors(self, me: int, this: _Round) -> list[int]:
        """Return whom to tell: neighbors in the graph as it is when the first one asks for it."""
        if this.graph is None:
            this.graph = self._topology(self._network.snapshot())
        if me not in this.graph:
            return []
        return sorted(other for other in this.graph[me] if other in this.trained_s)

    def _groups(self, me: int, neighbors: Sequence[int]) -> list[list[int]]:
        """Return the neighbors that are told with one message: all that are told the same."""
        if not self._learning.broadcast:
            return [[neighbor] for neighbor in neighbors]
        known = [neighbor for neighbor in neighbors if (me, neighbor) in self._reached]
        new = [neighbor for neighbor in neighbors if (me, neighbor) not in self._reached]
        return [group for group in (known, new) if group]

    def _tell(self, me: int, neighbors: list[int], adapter: Adapter, number: int) -> int:
        """Send an update to neighbors that know the same; return the size for all [byte]."""
        first = (me, neighbors[0]) not in self._reached
        data = encode(self._trainer.method.update(adapter, me, number, first))
        size = self._trainer.payload.size_bytes(data, first)
        message = Message(
            me,
            neighbors[0],
            size,
            self._learning.deadline_s,
            payload=data,
            round=number,
            header_bytes=HEADER_BYTES,
        )
        quantile = self._learning.broadcast_quantile
        for event in self._network.broadcast(message, neighbors, quantile):
            event.callbacks.append(self._acknowledged)
        return size * len(neighbors)

    def _acknowledged(self, event: simpy.Event) -> None:
        transfer = event.value
        if isinstance(transfer, Transfer) and transfer.delivered:
            self._reached.add((transfer.message.source, transfer.message.target))

    def _hear(
        self, me: int, neighbors: Sequence[int], this: _Round
    ) -> Generator[simpy.Event, Any, list[Update]]:
        """Collect the neighbors' updates of this round until the last of them has expired."""
        missing = set(neighbors)
        heard: dict[int, Update] = {}
        if not missing:
            return []
        last_s = max(this.trained_s[other] for other in missing) + self._learning.deadline_s
        expiry = self._network.timeout(max(0.0, last_s - self._network.now_s) + _SLACK_S)
        while missing:
            arrival = self._network.inbox[me].get()
            yield arrival | expiry
            if not arrival.triggered:
                arrival.cancel()
                break
            message = arrival.value
            if not isinstance(message, Message) or message.round != this.number:
                continue
            update = self._trainer.decode(message.payload, self._masks.get((me, message.source)))
            if update.tells_mask:
                self._masks[me, message.source] = update.mask
            heard[message.source] = update
            missing.discard(message.source)
        return [heard[other] for other in sorted(heard)]

    def _evaluate(self, number: int) -> None:
        """Test every device on every task; an adapter is what it is, whoever is away."""
        names = [task.name for task in self._trainer.tasks]
        now_s = self._network.now_s
        total = []
        for device, adapter in enumerate(self.adapters):
            accuracies = self._trainer.accuracies(device, adapter)
            total += accuracies
            self.evaluations += [
                EvaluationRow(
                    number, now_s, device, name, task == self._trainer.task_of[device], accuracy
                )
                for task, (name, accuracy) in enumerate(zip(names, accuracies, strict=True))
            ]
        self._progress(number, now_s, sum(total) / len(total))
