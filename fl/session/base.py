"""What the protocols have in common: members, messages, records and tests.

A device that has left the scene trains on but reaches nobody, and takes part again when it is back.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import simpy

from wnsim.network import Message, Network, Transfer

from ..engine.jobs import digest
from ..seeds import key
from ..topology import CONTROL, Party, policy_of
from ..updates.codec import HEADER_BYTES
from .records import DamageRow, EvaluationRow, GroupRow, MemberRow, RoundRow

if TYPE_CHECKING:
    from ..adapters import Adapter
    from ..config import Learning
    from ..engine.jobs import Job, Value
    from ..topology import Policy
    from ..trainer import Trainer
    from ..trainer.state import State, Tested
    from ..updates.codec import Update

Steps = Generator[simpy.Event, Any, Any]


@dataclass(frozen=True, slots=True)
class Told:
    """What a message brings.

    Parameters
    ----------
    device, round : whose update, and of which of its rounds
    made_s : when it was made [s]
    update : the update
    """

    device: int
    round: int
    made_s: float
    update: Value[Update]


class Session:
    """Federated learning of all devices, as processes of a simulation.

    Parameters
    ----------
    network : carries the updates
    trainer : does the computing
    learning : rounds, deadline and topology
    compute_time_s : seconds that a device takes for a number of operations
    devices : number of devices
    seed : of what is random in a protocol
    progress : called after each round with its number, time [s] and mean accuracy, if it was found

    Attributes
    ----------
    rounds, evaluations, groups, memberships, damages : the records
    trained : each device's state after its last local steps, before it merged anything
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
        self.network = network
        self.trainer = trainer
        self.learning = learning
        self.devices = devices
        self.seed = seed
        self.states: list[Value[State] | None] = [None] * devices
        self.trained: list[Value[State] | None] = [None] * devices
        self.rounds = network.records.journal(RoundRow)
        self.evaluations = network.records.journal(EvaluationRow)
        self.groups = network.records.journal(GroupRow)
        self.memberships = network.records.journal(MemberRow)
        self._compute_time_s = compute_time_s
        self._progress = progress
        # Who is known to hold one's mask and A.
        self.reached: set[tuple[int, int]] = set()
        self._open: list[tuple[RoundRow, Job[State]]] = []
        self.damages = network.records.journal(DamageRow)
        self._damaged: list[tuple[float, int, int, Value[Update]]] = []
        # After which round everybody was tested last.
        self._evaluated = -1
        # When each device's memory was last looked after.
        self._looked_s = [0.0] * devices
        self.prepare()
        self.done = network.env.process(self.run())

    # What a protocol says.

    def prepare(self) -> None:
        """Get ready before the first instant."""

    def run(self) -> Steps:
        """Run all rounds; the process of the whole session."""
        raise NotImplementedError

    def current(self, device: int) -> Value[State] | None:
        """Return what a device would be tested with now, None for the untrained model."""
        return self.states[device]

    def held(self, device: int) -> Mapping[int, Value[Update]]:
        """Return by device what one knows of it and its group."""
        return {}

    def forget(self, me: int) -> None:
        """Take in that a device has lost all that it had learned and heard."""
        self.states[me] = self.trained[me] = None
        self.reached = {(source, target) for source, target in self.reached if target != me}

    # What protocols use.

    def crashed(self, me: int, since_s: float) -> str | None:
        """Return whether a device has crashed since an instant [s]; it may have lost its memory.

        Returns
        -------
        None if it has not, else `kept` or `lost`
        """
        if self.network.crashed(me, self._looked_s[me]) == "lost":
            self.forget(me)
        self._looked_s[me] = self.network.now_s
        return self.network.crashed(me, since_s)

    def received(self, me: int, told: Told, group: Sequence[int] = ()) -> Told:
        """Return what a device hears of what it was told: bits may have changed on the way.

        Parameters
        ----------
        me : the device
        told : what it was told
        group : of whom that is, if it is what a group has come to
        """
        damaged = self.trainer.damaged(me, told.device, told.round, told.update, group)
        if damaged is None:
            return told
        self._damaged.append((self.network.now_s, told.device, me, damaged))
        return dataclasses.replace(told, update=damaged)

    @property
    def adapters(self) -> list[Adapter | None]:
        """Each device's adapter, None before its first round."""
        states = [self.current(device) for device in range(self.devices)]
        return [None if state is None else state.value().adapter for state in states]

    def members(self) -> Generator[simpy.Event, Any, list[int]]:
        """Wait until a device is there; return those that are, none if there will never be one."""
        while True:
            present = self.network.snapshot().present
            if present.any():
                return [int(device) for device in present.nonzero()[0]]
            wait_s = self.network.next_presence_s()
            if wait_s is None:
                return []
            yield self.network.timeout(wait_s)

    def in_rounds(self, one_round: Callable[[int, Sequence[int]], Steps]) -> Steps:
        """Run all rounds, one after another, as long as somebody is there.

        Parameters
        ----------
        one_round : runs a round, given its number and the devices that are there when it begins
        """
        self.evaluate(0)
        for number in range(1, self.learning.rounds + 1):
            members = yield from self.members()
            if not members:
                # Everybody has left for good.
                if self._evaluated != number - 1:
                    self.evaluate(number - 1)
                break
            yield from one_round(number, members)
            self.end_round(number, last=number == self.learning.rounds)

    def train(self, me: int, number: int, start: Value[State] | None) -> tuple[Job[State], float]:
        """Return a device's state after its local steps, and how long they take it [s]."""
        trained = self.trainer.train(me, number, start)
        first = self.states[me] is None
        return trained, self._compute_time_s(me, self.trainer.flops(me, first))

    def tell(
        self, me: int, targets: Sequence[int], number: int, trained: Value[State]
    ) -> tuple[int, dict[int, simpy.Event]]:
        """Send a device's update; return the size for all [byte] and an event for each target."""
        told = Told(me, number, self.network.now_s, self.trainer.tell(me, number, trained))
        size = 0
        events: dict[int, simpy.Event] = {}
        for group in self._groups(me, targets):
            first = (me, group[0]) not in self.reached
            one = self.trainer.payload.size_bytes(first)
            if first and self.learning.inference is not None:
                one += self.trainer.payload.centroid_bytes
            sent = self.send(me, group, number, one, told)
            events |= zip(group, sent, strict=True)
            size += one * len(group)
        for event in events.values():
            event.callbacks.append(self._acknowledged)
        return size, events

    def send(
        self,
        source: int,
        targets: Sequence[int],
        number: int,
        size_bytes: int,
        told: Told | None,
        kind: str = "update",
    ) -> list[simpy.Event]:
        """Send one message to all targets; return an event for each."""
        message = Message(
            source,
            targets[0],
            size_bytes,
            self.learning.deadline_s,
            payload=told,
            round=number,
            header_bytes=HEADER_BYTES,
            kind=kind,
        )
        return self.network.broadcast(message, targets, self.learning.broadcast_quantile)

    def tell_all(self, devices: Sequence[int], number: int, size_bytes: int) -> None:
        """Let each of these devices tell all others of them about itself, to agree on something."""
        for source in devices:
            others = [other for other in devices if other != source]
            if others:
                self.send(source, others, number, size_bytes, None, CONTROL)

    def _groups(self, me: int, targets: Sequence[int]) -> list[list[int]]:
        """Return the targets that are told with one message: all that are told the same."""
        if not self.learning.broadcast:
            return [[target] for target in targets]
        known = [target for target in targets if (me, target) in self.reached]
        new = [target for target in targets if (me, target) not in self.reached]
        return [group for group in (known, new) if group]

    def _acknowledged(self, event: simpy.Event) -> None:
        transfer = event.value
        if isinstance(transfer, Transfer) and transfer.delivered:
            self.reached.add((transfer.message.source, transfer.message.target))

    def merge(
        self, me: int, trained: Value[State], heard: Sequence[Told], counts: Sequence[float]
    ) -> Value[State]:
        """Return a device's state with what it heard, each counting as much as is said."""
        if not self.trainer.method.exchanges:
            return trained
        weights = [self.trainer.weight(me)]
        weights += [
            self.trainer.weight(told.device) * count
            for told, count in zip(heard, counts, strict=True)
        ]
        return self.trainer.merge(me, trained, [told.update for told in heard], weights)

    def record(
        self,
        number: int,
        me: int,
        trained: Job[State],
        times_s: tuple[float, float],
        told: tuple[int, int],
        heard: Sequence[Told],
        staleness: Sequence[int],
    ) -> None:
        """Write down a device's round.

        Parameters
        ----------
        number, me : which round, whose
        trained : its own state after its local steps
        times_s : when it began, and when these were done [s]
        told : to how many it sent, and how many bytes
        heard, staleness : what it merged, and how late that was
        """
        now_s = self.network.now_s
        ages_s = [now_s - each.made_s for each in heard]
        row = RoundRow(
            number, me, *times_s, now_s, told[0], len(heard), told[1], _mean(staleness),
            _mean(ages_s), math.nan,
        )  # fmt: skip
        self._open.append((row, trained))
        self.trained[me] = trained

    def settle(self, number: int) -> None:
        """Compute what is pending, and find out the losses.

        Raises
        ------
        ValueError
            if training went wrong, or other processes of this run do not see the same
        """
        for row, trained in self._open:
            self.rounds.append(dataclasses.replace(row, loss=self.trainer.loss(trained)))
        self._open.clear()
        self.damages.extend(
            DamageRow(time_s, source, target, update.value().refused)
            for time_s, source, target, update in self._damaged
        )
        self._damaged.clear()
        env = self.network.env
        keys = [None if state is None else state.key for state in self.states]
        self.trainer.agree(number, digest(number, env.now_ns, env.events, keys))

    def end_round(self, number: int, *, last: bool) -> None:
        """Compute what is pending, and test everybody if it is time to."""
        self.settle(number)
        if last or number % self.learning.evaluate_every == 0:
            self.evaluate(number)
        else:
            self._progress(number, self.network.now_s, None)

    def evaluate(self, number: int) -> None:
        """Test every device on every task; an adapter is what it is, whoever is away."""
        names = [task.name for task in self.trainer.tasks]
        now_s = self.network.now_s
        for device in range(self.devices):
            self.crashed(device, now_s)
        tests = [
            self.trainer.test(device, number, self.current(device), self.held(device))
            for device in range(self.devices)
        ]
        before = [self._test_before_merging(device, number) for device in range(self.devices)]
        total: list[float] = []
        for device, (test, other) in enumerate(zip(tests, before, strict=True)):
            tested = test.value()
            trained = [math.nan] * len(names) if other is None else other.value().accuracies
            total += tested.accuracies
            own = self.trainer.task_of[device]
            self.evaluations.extend(
                EvaluationRow(
                    number, now_s, device, name, task in own, tested.accuracies[task],
                    trained[task], tested.routing, tested.load_entropy,
                )
                for task, name in enumerate(names)
            )  # fmt: skip
        self._evaluated = number
        self._progress(number, now_s, sum(total) / len(total))

    def _test_before_merging(self, device: int, number: int) -> Value[Tested] | None:
        """Return how well a device did before its last merge, None if that is not asked for."""
        trained = self.trained[device]
        if trained is None or not self.learning.evaluate_before_merging:
            return None
        return self.trainer.test(device, number, trained)

    def stored_bytes(self, device: int) -> int:
        """Return the size of the adapters that a device holds now, its own and others' [byte]."""
        held = self.held(device)
        states = {each.key for each in held.values()}
        own = int(device not in held and self.states[device] is not None)
        devices = len(held) + own
        means = devices if self.learning.inference is not None else 0
        return self.trainer.payload.stored_bytes(len(states) + own, devices, means)


def policy(session: Session) -> Policy:
    """Return the topology of a session.

    Raises
    ------
    ValueError
        if there is no such graph
    """
    trainer, learning = session.trainer, session.learning
    party = Party(
        count=session.devices,
        seed=key(session.seed, "topology"),
        tasks=trainer.task_of,
        bits=8.0 * trainer.payload.size_bytes(False),
        deadline_s=learning.deadline_s,
        densities=trainer.groups.densities,
        sketches=trainer.groups.sketches,
    )
    return policy_of(learning.topology, party)


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else math.nan
