"""Federated averaging: a server behind the base stations, and its clients.

In each round the server selects clients among the present devices and sends them the average; each
trains from it and returns its update. All messages pass the air and expire after `deadline_s`. The
round ends when all selected clients have answered or can no longer answer, or, with over-selection,
when enough of them have answered; the server averages the updates that have arrived by then. Before
the first average nothing is sent: all clients start from a common seed.

A selection that needs reports receives them on the air at the start of each round, from all devices
that it may select; before the first average it also announces itself to the selected clients, which
otherwise the average does.

Sources: McMahan et al., "Communication-efficient learning of deep networks from decentralized
data", AISTATS 2017, Algorithm 1. A client keeps the state of its optimizer; in the original it has
none.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import simpy

from ..config import Server
from ..config.selection import ImportanceChannel
from ..topology import CONTROL
from ..updates.codec import HEADER_BYTES
from .aggregator import AggregatorSession
from .base import Steps
from .over_the_air import GroupUpdate, collect
from .received_update import ReceivedUpdate
from .selection import Choice, LastRound, Reports, SelectionContext, selector_of

if TYPE_CHECKING:
    from wnsim.core.units import Floats

    from ..engine.jobs import Job, LazyValue
    from ..trainer.state import State
    from ..updates.codec import Update


REPORT_BYTES = HEADER_BYTES + 16
"""Size of a report: two rates and a duration in single precision, an SNR and a battery in half
precision [byte]."""
NOTICE_BYTES = HEADER_BYTES
"""Size of the message that tells a client before the first average that it is selected [byte]."""


@dataclass(eq=False)
class Round:
    """State of a round.

    Parameters
    ----------
    number : its number
    enough : event at the arrival of the last update that is counted
    count : number of updates that are counted
    arrived : clients whose updates have arrived, in order
    trained : state of each client that has trained, where updates are added over the air, with the
        instants of its start and of the end of its training [s] and the updates it has received
    group : what has arrived of them
    """

    number: int
    enough: simpy.Event
    count: int
    arrived: list[int] = field(default_factory=list)
    trained: dict[int, tuple[Job[State], tuple[float, float], list[ReceivedUpdate]]] = field(
        default_factory=dict
    )
    group: GroupUpdate | None = None

    def arrive(self, device: int) -> None:
        """Record the arrival of a client's update."""
        self.arrived.append(device)
        if len(self.arrived) == self.count and not self.enough.triggered:
            self.enough.succeed()


class ServerSession(AggregatorSession):
    """Rounds of a server; see `Session`."""

    def prepare(self) -> None:
        """Locate the server, and begin without an average; see `AggregatorSession`."""
        super().prepare()
        protocol = self.learning.protocol
        self._protocol = protocol if isinstance(protocol, Server) else Server()
        weight = np.array([self.trainer.weight(device) for device in range(self.devices)])
        self._select = selector_of(
            self._protocol.selection, SelectionContext(self.devices, self.seed, weight)
        )
        self._last = LastRound(
            (), (), np.zeros(self.devices, dtype=np.int64), np.full(self.devices, np.nan)
        )
        # Clients that have not finished yet, of this round or, with over-selection, earlier ones.
        self._busy: dict[int, simpy.Event] = {}
        self._average: LazyValue[Update] | None = None
        # Number of averages so far, and that of the last one that each client has received.
        self._averages = 0
        self._last_received: dict[int, int] = {}

    @property
    def _needs_reports(self) -> bool:
        """Whether devices report at the start of a round."""
        return self._protocol.selection.reports or self.trainer.plans

    def current(self, device: int) -> LazyValue[State] | None:
        """Return a device's state with the server's latest average."""
        own = self.states[device]
        if self._average is None:
            return own
        return self.trainer.adopt(device, own, self.trainer.for_client(device, self._average))

    def forget(self, me: int) -> None:
        """Discard everything that a device has learned and received."""
        super().forget(me)
        self._last_received.pop(me, None)

    def run(self) -> Steps:
        """Run all rounds, and wait for clients whose updates were not counted."""
        yield from self.run_rounds(self.one_round)
        if self._busy:
            yield self.network.env.all_of(list(self._busy.values()))
            self.network.inbox[self._server].items.clear()
            self.recorder.settle(self.learning.rounds, self.states)

    def one_round(self, number: int, present: Sequence[int]) -> Steps:
        """Run one round of clients selected among the present devices."""
        env = self.network.env
        count = self._protocol.counted(len(present))
        idle = [device for device in present if device not in self._busy]
        if not idle:
            yield env.any_of(list(self._busy.values()))
            idle = [device for device in present if device not in self._busy]
        more = math.ceil(count * self._protocol.over_selection - 1e-9)
        selected = yield from self.selected(number, idle, more)
        this = Round(number, env.event(), min(count, len(selected)))
        for me in selected:
            self._busy[me] = env.process(self._work(me, this))
        clients = env.all_of([self._busy[me] for me in selected])
        if self._protocol.over_selection > 1.0:
            yield clients | this.enough
        else:
            yield clients
        if this.trained:
            yield from self._superpose(this)
        self.remember(selected, *self.average_received(this))

    def selected(
        self, number: int, devices: Sequence[int], count: int
    ) -> Generator[simpy.Event, Any, list[int]]:
        """Return the clients of a round, in ascending order.

        Parameters
        ----------
        number : number of the round
        devices : devices that may be selected
        count : how many should be selected
        """
        reports = Reports.unknown(self.devices)
        if self._needs_reports:
            reports, devices = yield from self._reported(number, devices)
        if not devices:
            return []
        average = self._average
        choice = Choice(
            number,
            np.array(devices, dtype=np.int64),
            min(count, len(devices)),
            reports,
            self._last,
            8.0 * self.trainer.cost_model.size_bytes(False),
            0.0
            if average is None
            else 8.0 * self.trainer.average_bytes(average, devices[0], number, True),
        )
        chosen: Any = self._select(choice)
        if isinstance(chosen, simpy.Event):
            # Of a selection that is made outside of the simulation.
            chosen = yield chosen
        selected = self._valid(chosen, choice)
        if self.trainer.plans and selected:
            clients = np.array(selected, dtype=np.int64)
            self.trainer.plan(
                number, selected, reports.compute_s[clients], reports.downlink_bps[clients],
                reports.uplink_bps[clients],
            )  # fmt: skip
        return selected

    def _valid(self, chosen: Any, choice: Choice) -> list[int]:
        """Return selected devices in ascending order.

        Raises
        ------
        ValueError
            if they are no devices that may be selected, one is there twice, or they are too many
        """
        name = self._protocol.selection.model
        known = set(choice.devices.tolist())
        try:
            selected = sorted(map(operator.index, chosen))
        except TypeError:
            raise ValueError(
                f"selection {name} must return numbers of devices, got {chosen}"
            ) from None
        unknown = [device for device in selected if device not in known]
        if unknown:
            raise ValueError(
                f"selection {name} must select devices that may be selected, got {unknown[0]}"
            )
        if len(set(selected)) < len(selected):
            raise ValueError(f"selection {name} must select each device once, got {selected}")
        if len(selected) > choice.count:
            raise ValueError(
                f"selection {name} must select at most {choice.count} devices, got {len(selected)}"
            )
        return selected

    def _reported(
        self, number: int, devices: Sequence[int]
    ) -> Generator[simpy.Event, Any, tuple[Reports, list[int]]]:
        """Return the reports that devices send on the air, and the devices whose reports arrive."""
        known = self.network.snapshot()
        compute_s = [
            known.compute_time_s(
                device, self.trainer.flops(device, int(self.states[device] is None))
            )
            for device in range(self.devices)
        ]
        values = (
            known.uplink_bps, known.downlink_bps, np.array(compute_s), known.battery,
            known.uplink_snr,
            *self.network.block_links(known, 8.0 * self.trainer.cost_model.size_bytes(False)),
        )  # fmt: skip
        lifetime_s = min(self._protocol.report_deadline_s, self.learning.deadline_s)
        sent = [
            event
            for device in devices
            for event in self.send(
                device, [self._server], number, REPORT_BYTES, None, CONTROL, lifetime_s
            )
        ]
        yield self.network.env.all_of(sent)
        # Only updates that are too late lie there beside the reports.
        self.network.inbox[self._server].items.clear()
        transfers: list[Any] = [event.value for event in sent]
        arrived = [
            device for device, each in zip(devices, transfers, strict=True) if each.delivered
        ]
        missing = np.ones(self.devices, dtype=np.bool_)
        missing[arrived] = False

        def heard(value: Floats) -> Floats:
            absent = missing.reshape(-1, *[1] * (value.ndim - 1))
            return np.where(absent, np.nan, value)

        return Reports(*map(heard, values)), arrived

    def _work(self, me: int, this: Round) -> Steps:
        """Run one round of a client, and count its update if it arrives in time."""
        yield from self.client(me, this)
        del self._busy[me]

    def client(self, me: int, this: Round) -> Steps:
        """Run one round of a client."""
        number, start_s = this.number, self.network.now_s
        self.crashed(me, start_s)
        start, received = self.states[me], []
        if self._average is not None:
            part = self.trainer.for_client(me, self._average, number)
            average = ReceivedUpdate(self._server, number, start_s, part)
            last = self._last_received.get(me, 0)
            is_current = last >= self._averages - 1
            size = self.trainer.average_bytes(self._average, me, number, is_current)
            (sent,) = self.send(self._server, [me], number, size, average)
            transfer = yield sent
            if not transfer.delivered:
                return
            yield self.network.inbox[me].get()
            self._last_received[me] = self._averages
            average = self.receive(me, average)
            start, received = self.trainer.adopt(me, start, average.update), [average]
        elif self._needs_reports:
            (sent,) = self.send(self._server, [me], number, NOTICE_BYTES, None, CONTROL)
            transfer = yield sent
            if not transfer.delivered:
                return
            yield self.network.inbox[me].get()
        trained = yield from self.local_steps(me, number, start)
        if trained is None or self.crashed(me, start_s):
            return
        trained_s = self.network.now_s
        self.states[me] = trained
        size = 0
        if self.trainer.method.exchanges and self.network.analog is not None:
            this.trained[me] = trained, (start_s, trained_s), received
            return
        if self.trainer.method.exchanges:
            size, events = self.send_update(me, [self._server], number, trained)
            if (yield from self.wait_for_transfer(events[self._server])):
                this.arrive(me)
        receivers = int(self.trainer.method.exchanges)
        times_s = (start_s, trained_s)
        staleness = [0] * len(received)
        self.record_round(number, me, trained, times_s, (receivers, size), received, staleness)

    def local_steps(
        self, me: int, number: int, start: LazyValue[State] | None
    ) -> Generator[simpy.Event, Any, Job[State] | None]:
        """Let a client train; return its state, None if it could not complete its steps."""
        trained, duration_s = self.train(me, number, start)
        yield self.network.timeout(duration_s)
        return trained

    def _superpose(self, this: Round) -> Steps:
        """Let the clients that have trained send their updates at once."""
        ready = {
            me: trained
            for me, (trained, times_s, _) in this.trained.items()
            if not self.crashed(me, times_s[0])
        }
        this.group = yield from collect(self, self._server, this.number, ready)
        for me in sorted(ready):
            trained, times_s, received = this.trained[me]
            size = this.group.sent_bytes.get(me, 0)
            sent, staleness = (int(size > 0), size), [0] * len(received)
            self.record_round(this.number, me, trained, times_s, sent, received, staleness)

    def _average_group(self, group: GroupUpdate) -> list[int]:
        """Average what has arrived of a group; return the devices in the average."""
        if group.devices:
            self._average = self.trainer.superposed_average(
                [each.update for each in group.added],
                [self.trainer.weight(each.device) for each in group.added],
                group.superposition,
                [each.update for each in group.digital],
                [self.trainer.weight(each.device) for each in group.digital],
                self._average,
            )
            self._averages += 1
        return group.devices

    def _counted_updates(self, this: Round) -> list[ReceivedUpdate]:
        """Return the updates of a round that have arrived one by one and are counted."""
        if this.group is not None:
            return []
        current = self.take_updates(self._server, this.number)[: this.count]
        return [
            self.receive(self._server, each)
            for each in sorted(current, key=lambda each: each.device)
        ]

    def average_received(self, this: Round) -> tuple[list[int], dict[int, float]]:
        """Average the updates of a round that have arrived and are counted.

        Returns
        -------
        devices in the average, and distance of the updates of some of them from the average before
        """
        before, received = self._average, self._counted_updates(this)
        counted = [each.device for each in received]
        if this.group is not None:
            counted = self._average_group(this.group)
        elif received:
            weights = [self.trainer.weight(each.device) for each in received]
            updates = [each.update for each in received]
            self._average = self.trainer.average(updates, weights, before)
            self._averages += 1
        selection = self._protocol.selection
        # No other built-in selection asks for values, which would then be computed now.
        if not isinstance(selection, ImportanceChannel) and ":" not in selection.model:
            return counted, {}
        return counted, {
            each.device: self.trainer.distance(each.update, before) for each in received
        }

    def remember(
        self, selected: Sequence[int], counted: Sequence[int], distances: Mapping[int, float]
    ) -> None:
        """Take note of a round for the next selection; see `average_received`."""
        age, distance = self._last.age + 1, self._last.distance.copy()
        age[list(counted)] = 0
        for device, each in distances.items():
            distance[device] = each
        self._last = LastRound(tuple(selected), tuple(counted), age, distance)
