"""Base class of the protocols: participants, messages, aggregation, crashes and tests.

A device that has left the scene keeps training but reaches no device, and participates again after
its return.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Generator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import simpy

from wnsim.network import Message, Network, Transfer

from ..engine.streams import key
from ..methods.extensions import is_differential
from ..topology import CONTROL, TopologyContext, policy_of
from ..updates.codec import HEADER_BYTES
from .received_update import ReceivedUpdate
from .recorder import Recorder

if TYPE_CHECKING:
    from ..adapters import Adapter
    from ..config import Learning
    from ..engine.jobs import Job, LazyValue
    from ..topology import Policy, View
    from ..trainer.state import Evaluation, State
    from ..updates.codec import Update
    from .protocols import SessionTrainer

Steps = Generator[simpy.Event, Any, Any]


_IN_TIME = 0.8
"""Share of the deadline in which an update should arrive that adapts to its links."""


class Session:
    """Federated learning of all devices, as processes of a simulation.

    Parameters
    ----------
    network : network that carries the updates
    trainer : trainer of the devices
    learning : rounds, deadline and topology
    compute_time_s : returns the time that a device needs for a number of operations [s]
    devices : number of devices
    seed : seed of the random choices of a protocol
    progress : called after each round with its number, the time [s] and the mean accuracy, or None
        without an evaluation

    Attributes
    ----------
    rounds, evaluations, classes, groups, memberships, drifts, forgettings, queries, corruptions :
        the records; see `Recorder`
    askers : devices that do not train, but ask others
    states : current state of each device, None before its first round
    trained : state of each device after its last local steps, before aggregation
    acknowledged : (source, target) pairs of which the target has the source's mask and A
    actions, busy_until_s : trainings and messages since a device's round was recorded last, and end
        of the latest training [s]
    done : event at the end of the last round
    """

    def __init__(
        self,
        network: Network,
        trainer: SessionTrainer,
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
        self.states: list[LazyValue[State] | None] = [None] * devices
        self.trained: list[LazyValue[State] | None] = [None] * devices
        self.acknowledged: set[tuple[int, int]] = set()
        # Bytes per second of the last update from each device to each other one.
        self._throughput: dict[int, dict[int, float]] = {}
        self.recorder = Recorder(network, trainer)
        self.rounds = self.recorder.rounds
        self.evaluations = self.recorder.evaluations
        self.classes = self.recorder.classes
        self.groups = self.recorder.groups
        self.memberships = self.recorder.memberships
        self.drifts = self.recorder.drifts
        self.forgettings = self.recorder.forgettings
        self.queries = self.recorder.queries
        self.corruptions = self.recorder.corruptions
        self.askers = () if learning.queries is None else learning.queries.devices
        self.compute_time_s = compute_time_s
        self._progress = progress
        # Whether the last evaluation has reached `stop_at`.
        self.has_reached = False
        self._evaluated_round = -1
        # Time until which the loss of each device's memory has been handled.
        self._memory_checked_s = [0.0] * devices
        self.actions, self.busy_until_s = 0, 0.0
        self.prepare()
        steps: Any = self.run()
        if not isinstance(steps, Generator):
            name = learning.protocol.model
            raise ValueError(f"{name}: run must be a process with yield, got {steps!r}")
        self.done = network.env.process(steps)

    # Overridden by protocols.

    def prepare(self) -> None:
        """Initialize the protocol before the simulation starts."""

    def run(self) -> Steps:
        """Run all rounds: the process of the whole session."""
        raise NotImplementedError

    def current(self, device: int) -> LazyValue[State] | None:
        """Return the state with which a device is tested, None for the initial adapter."""
        return self.states[device]

    def cached_updates(self, device: int) -> Mapping[int, LazyValue[Update]]:
        """Return the cluster updates in a device's adapter cache, by device."""
        return {}

    def forget(self, me: int) -> None:
        """Discard everything that a device has learned and received."""
        self.states[me] = self.trained[me] = None
        self._throughput.pop(me, None)
        self.acknowledged = {
            (source, target) for source, target in self.acknowledged if target != me
        }

    def renewed(self, me: int) -> None:
        """Take note that a device has another mask and A, which no other one has."""
        self.acknowledged = {pair for pair in self.acknowledged if pair[0] != me}

    # Used by protocols.

    def crashed(self, me: int, since_s: float) -> str | None:
        """Return whether a device has crashed since an instant [s], and handle lost memory.

        Returns
        -------
        None without a crash, else `kept` or `lost`, the fate of its memory
        """
        if self.network.crashed(me, self._memory_checked_s[me]) == "lost":
            self.forget(me)
        self._memory_checked_s[me] = self.network.now_s
        return self.network.crashed(me, since_s)

    def receive(
        self, me: int, update: ReceivedUpdate, members: Sequence[int] = ()
    ) -> ReceivedUpdate:
        """Apply channel corruption to a received update.

        Parameters
        ----------
        me : receiver
        update : update as sent
        members : devices of the cluster whose update this is; empty for the sender's own
        """
        corrupted = self.trainer.channel.corrupted(
            me, update.device, update.round, update.update, members
        )
        if corrupted is None:
            return update
        self.recorder.record_corruption(update.device, me, corrupted)
        return dataclasses.replace(update, update=corrupted)

    @property
    def adapters(self) -> list[Adapter | None]:
        """Adapter of each device, None before its first round."""
        states = [self.current(device) for device in range(self.devices)]
        return [None if state is None else state.value().adapter for state in states]

    def view(self) -> View:
        """Return the state of the network as if devices that do not train were absent."""
        view: View = self.network.snapshot(without=self.askers)
        return view

    def wait_for_devices(self) -> Generator[simpy.Event, Any, list[int]]:
        """Wait until a device is present; return all present ones, none if none will ever be."""
        while True:
            present = self.view().present
            if present.any():
                return [int(device) for device in present.nonzero()[0]]
            wait_s = self.network.next_presence_s()
            if wait_s is None:
                return []
            yield self.network.timeout(wait_s)

    def run_rounds(self, one_round: Callable[[int, Sequence[int]], Steps]) -> Steps:
        """Run rounds one after another while devices are present.

        Parameters
        ----------
        one_round : runs a round, given its number and the devices present at its start
        """
        self.evaluate(0)
        for number in range(1, self.learning.rounds + 1):
            if self.has_reached:
                break
            present = yield from self.wait_for_devices()
            if not present:
                # All devices have left for good.
                if self._evaluated_round != number - 1:
                    self.evaluate(number - 1)
                break
            yield from one_round(number, present)
            self.end_round(number, last=number == self.learning.rounds)

    def train(
        self, me: int, number: int, start: LazyValue[State] | None
    ) -> tuple[Job[State], float]:
        """Return a device's state after its local steps, and their duration [s]."""
        trained, calibrations = self.start_training(me, number, start)
        duration_s = self.compute_time_s(me, self.trainer.flops(me, calibrations))
        self.busy_until_s = max(self.busy_until_s, self.network.now_s + duration_s)
        return trained, duration_s

    def start_training(
        self, me: int, number: int, start: LazyValue[State] | None
    ) -> tuple[Job[State], int]:
        """Return a device's state after its local steps, and its number of calibrations."""
        self.actions += 1
        drifted = self.trainer.renew(me, number, start)
        calibrations = int(self.states[me] is None)
        if drifted is not None:
            self.recorder.record_drift(number, me, drifted)
            calibrations += drifted.calibrations
            if drifted.renewed is not None:
                start = drifted.renewed
                self.renewed(me)
        return self.trainer.train(me, number, start), calibrations

    def send_update(
        self, me: int, targets: Sequence[int], number: int, trained: LazyValue[State]
    ) -> tuple[int, dict[int, simpy.Event]]:
        """Send a device's update; return the total size [byte] and an event for each target."""
        if self.trainer.adapts:
            self._adapt(me, number, targets)
        outgoing = self.trainer.outgoing_update(me, number, trained)
        payload = ReceivedUpdate(me, number, self.network.now_s, outgoing)
        size = 0
        events: dict[int, simpy.Event] = {}
        groups = self._multicast_groups(me, targets)
        known = {target for source, target in self.acknowledged if source == me}
        if is_differential(self.trainer.method):
            # Only receivers of this message can use the next one.
            self.acknowledged -= {(me, target) for target in known}
        for group in groups:
            first = group[0] not in known
            one = self.trainer.update_bytes(me, number, trained, first)
            one += self.profile_bytes(first)
            sent = self.send(me, group, number, one, payload, weight=float(self.trainer.weight(me)))
            events |= zip(group, sent, strict=True)
            size += one * len(group)
        for event in events.values():
            event.callbacks.append(self.on_transfer_end)
        return size, events

    def _adapt(self, me: int, number: int, targets: Sequence[int]) -> None:
        """Let an update fit into what the links to its targets carried last before a deadline."""
        known = self._throughput.get(me, {})
        rates = [known[target] for target in targets if target in known]
        if rates:
            in_time = _IN_TIME * self.learning.deadline_s * np.array(rates)
            self.trainer.adapt(me, number, in_time)

    def profile_bytes(self, first_contact: bool) -> int:
        """Return the size of what a mixture of experts adds to an update's message [byte]."""
        if first_contact and self.learning.inference is not None:
            return self.trainer.cost_model.centroid_bytes
        return 0

    def send(
        self,
        source: int,
        targets: Sequence[int],
        number: int,
        size_bytes: int,
        payload: ReceivedUpdate | None,
        kind: str = "update",
        lifetime_s: float | None = None,
        weight: float = 1.0,
    ) -> list[simpy.Event]:
        """Send one message to all targets; return an event for each."""
        message = Message(
            source,
            targets[0],
            size_bytes,
            self.learning.deadline_s if lifetime_s is None else lifetime_s,
            weight=weight,
            payload=payload,
            round=number,
            header_bytes=HEADER_BYTES,
            kind=kind,
        )
        self.actions += 1
        return self.network.broadcast(message, targets, self.learning.broadcast_quantile)

    def broadcast_control(self, devices: Sequence[int], number: int, size_bytes: int) -> None:
        """Send a control message from each of these devices to all others of them."""
        for source in devices:
            others = [other for other in devices if other != source]
            if others:
                self.send(source, others, number, size_bytes, None, CONTROL)

    def _multicast_groups(self, me: int, targets: Sequence[int]) -> list[list[int]]:
        """Return the targets of each message: with broadcast, all that get equal content."""
        if not self.learning.broadcast:
            return [[target] for target in targets]
        known = [target for target in targets if (me, target) in self.acknowledged]
        new = [target for target in targets if (me, target) not in self.acknowledged]
        return [group for group in (known, new) if group]

    def on_transfer_end(self, event: simpy.Event) -> None:
        """Record that the target of a delivered update has its source's mask and A."""
        transfer = event.value
        if not isinstance(transfer, Transfer):
            return
        source, target = transfer.message.source, transfer.message.target
        if transfer.delivered:
            self.acknowledged.add((source, target))
        if self.trainer.adapts and transfer.ended_s > transfer.sent_s:
            size = transfer.message.size_bytes if transfer.delivered else transfer.acked_bytes
            took_s = transfer.ended_s - transfer.sent_s
            self._throughput.setdefault(source, {})[target] = size / took_s

    def aggregate(
        self,
        me: int,
        trained: LazyValue[State],
        received: Sequence[ReceivedUpdate],
        factors: Sequence[float],
    ) -> LazyValue[State]:
        """Return a device's state, aggregated with received updates.

        Parameters
        ----------
        me : receiver
        trained : its state after the local steps
        received, factors : the updates, and the factor of each one's weight
        """
        if not self.trainer.method.exchanges:
            return trained
        weights = [self.trainer.weight(me)]
        weights += [
            self.trainer.weight(each.device) * factor
            for each, factor in zip(received, factors, strict=True)
        ]
        return self.trainer.aggregate(me, trained, [each.update for each in received], weights)

    def record_round(
        self,
        number: int,
        me: int,
        trained: Job[State],
        times_s: tuple[float, float],
        sent: tuple[int, int],
        received: Sequence[ReceivedUpdate],
        staleness: Sequence[int],
    ) -> None:
        """Record a device's round; see `Recorder.record_round`."""
        self.actions = 0
        self.recorder.record_round(number, me, trained, times_s, sent, received, staleness)
        self.trained[me] = trained

    def end_round(self, number: int, *, last: bool) -> None:
        """Compute all pending jobs, and evaluate all devices if an evaluation is due."""
        self.recorder.settle(number, self.states)
        if last or number % self.learning.evaluate_every == 0:
            self.evaluate(number)
        else:
            self._progress(number, self.network.now_s, None)

    def evaluate(self, number: int) -> None:
        """Test devices on every task: all, or those that are present."""
        now_s = self.network.now_s
        for device in range(self.devices):
            self.crashed(device, now_s)
        present = self.view().present
        tests_all = self.learning.evaluate_devices == "all"
        tested = [
            device
            for device in range(self.devices)
            if (tests_all or present[device]) and device not in self.askers
        ]
        tests = [
            self.trainer.test(device, number, self.current(device), self.cached_updates(device))
            for device in tested
        ]
        before = [self._test_before_aggregation(device, number) for device in tested]
        total: list[float] = []
        for device, test, other in zip(tested, tests, before, strict=True):
            result = test.value()
            trained = None if other is None else other.value()
            total += result.accuracies
            self.recorder.record_evaluation(
                number, device, result, trained, present=bool(present[device])
            )
        self._evaluated_round = number
        accuracy = sum(total) / len(total) if total else None
        stop_at = self.learning.stop_at
        self.has_reached = bool(
            stop_at is not None and accuracy is not None and accuracy >= stop_at
        )
        self._progress(number, now_s, accuracy)

    def _test_before_aggregation(self, device: int, number: int) -> LazyValue[Evaluation] | None:
        """Return the test results before a device's last aggregation, None if not requested."""
        trained = self.trained[device]
        if trained is None or not self.learning.evaluate_before_aggregation:
            return None
        return self.trainer.test(device, number, trained)

    def stored_bytes(self, device: int) -> int:
        """Return the size of the adapters that a device stores, its own and cached ones [byte]."""
        cached = self.cached_updates(device)
        states = {each.key for each in cached.values()}
        own = int(device not in cached and self.states[device] is not None)
        devices = len(cached) + own
        centroids = devices if self.learning.inference is not None else 0
        neighbors = sum(target == device for _, target in self.acknowledged)
        cost = self.trainer.cost_model
        return cost.stored_bytes(len(states) + own, devices, centroids, neighbors)


def topology_policy(session: Session) -> Policy:
    """Return the topology of a session.

    Raises
    ------
    ValueError
        if no such graph exists
    """
    trainer, learning = session.trainer, session.learning
    context = TopologyContext(
        count=session.devices,
        seed=key(session.seed, "topology"),
        tasks=trainer.task_of,
        bits=8.0 * trainer.cost_model.size_bytes(False),
        deadline_s=learning.deadline_s,
        densities=trainer.groups.densities,
        prompt_embeddings=trainer.groups.prompt_embeddings,
    )
    return policy_of(learning.topology, context)
