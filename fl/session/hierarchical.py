"""Hierarchical federated averaging: devices, an average at each base station, one in the cloud.

Every `edge_every` rounds each device sends its update to the station that serves it then, and each
station averages what arrives by the deadline. After every `cloud_every` of these averages the
stations send theirs over the backhaul to the server, which averages them, weighted by the devices
in them, and sends its average back. At the start of the round after an average each device receives
that of the station that serves it then, which may be another one than before (handover); a device
that does not receive it goes on with its own state.

Sources: Liu, Zhang, Song and Letaief, "Client-edge-cloud hierarchical federated learning", IEEE ICC
2020, Algorithm 1 (HierFAVG), with local steps of a round in place of one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ..config import Hierarchical
from .aggregator import AggregatorSession
from .base import Steps
from .received_update import ReceivedUpdate

if TYPE_CHECKING:
    from ..engine.jobs import LazyValue
    from ..trainer.state import State
    from ..updates.codec import Update

BACKHAUL = "backhaul"
"""Kind of the messages between stations and server."""


class HierarchicalSession(AggregatorSession):
    """Rounds of devices, stations and a server; see `Session`."""

    def prepare(self) -> None:
        """Locate the server, and begin without averages; see `AggregatorSession`."""
        super().prepare()
        protocol = self.learning.protocol
        self._every = protocol if isinstance(protocol, Hierarchical) else Hierarchical()
        # Averages of the stations, and the weights in them since the last average of the cloud.
        self._averages: dict[int, LazyValue[Update]] = {}
        self._weights: dict[int, float] = {}
        # Whether the last round ended with averages that the devices have not received yet.
        self._averaged = False

    def current(self, device: int) -> LazyValue[State] | None:
        """Return a device's state, with its station's average if that is newer."""
        own = self.states[device]
        average = self._averages.get(self._stations()[device]) if self._averaged else None
        if average is None:
            return own
        return self.trainer.adopt(device, own, self.trainer.for_client(device, average))

    def run(self) -> Steps:
        """Run all rounds."""
        return self.run_rounds(self._round)

    def _stations(self) -> list[int]:
        """Return the station that serves each device now."""
        stations: list[int] = self.network.snapshot().serving.tolist()
        return stations

    def _round(self, number: int, present: Sequence[int]) -> Steps:
        """Run one round of the present devices."""
        env = self.network.env
        exchanges = self.trainer.method.exchanges
        averages = exchanges and number % self._every.edge_every == 0
        serving = self._stations()
        yield env.all_of(
            [env.process(self._device(me, number, serving[me], averages)) for me in present]
        )
        self._averaged = averages
        if averages:
            self._average_at_stations(number)
            if number // self._every.edge_every % self._every.cloud_every == 0:
                yield from self._average_in_cloud(number)

    def _device(self, me: int, number: int, station: int, averages: bool) -> Steps:
        """Run one round of a device.

        Parameters
        ----------
        me, number : device and round
        station : station that serves the device at the start
        averages : whether the round ends with averages
        """
        start_s = self.network.now_s
        self.crashed(me, start_s)
        start, received = self.states[me], list[ReceivedUpdate]()
        average = self._averages.get(station) if self._averaged else None
        if average is not None:
            part = self.trainer.for_client(me, average, number)
            payload = ReceivedUpdate(station, number, start_s, part)
            size = self.trainer.average_bytes(average, me, number, False)
            (sent,) = self.send(station, [me], number, size, payload)
            transfer = yield sent
            if transfer.delivered:
                yield self.network.inbox[me].get()
                received = [self.receive(me, payload)]
                start = self.trainer.adopt(me, start, received[0].update)
        trained, duration_s = self.train(me, number, start)
        yield self.network.timeout(duration_s)
        if self.crashed(me, start_s):
            return
        trained_s = self.network.now_s
        self.states[me] = trained
        size = 0
        if averages:
            # The device may have moved into another cell while it trained.
            target = self._stations()[me]
            size, events = self.send_update(me, [target], number, trained)
            yield from self.wait_for_transfer(events[target])
        times_s = (start_s, trained_s)
        self.record_round(
            number, me, trained, times_s, (int(averages), size), received, [0] * len(received)
        )

    def _received(self, node: int, number: int) -> list[ReceivedUpdate]:
        """Return the updates of a round in a node's inbox, by sender, and clear it."""
        return sorted(self.take_updates(node, number), key=lambda each: each.device)

    def _average_at_stations(self, number: int) -> None:
        """Average at each station what has arrived there."""
        for station in range(self.devices, self._server):
            received = [self.receive(station, each) for each in self._received(station, number)]
            if received:
                weights = [self.trainer.weight(each.device) for each in received]
                updates = [each.update for each in received]
                before = self._averages.get(station)
                self._averages[station] = self.trainer.average(updates, weights, before)
                self._weights[station] = sum(weights)

    def _average_in_cloud(self, number: int) -> Steps:
        """Average the stations' averages at the server, and send the result back to them."""
        sent = []
        for station in sorted(self._weights):
            average = self._averages[station]
            payload = ReceivedUpdate(station, number, self.network.now_s, average)
            size = self.trainer.average_bytes(average, 0, number, False)
            sent += self.send(station, [self._server], number, size, payload, BACKHAUL)
        yield self.network.env.all_of(sent)
        received = self._received(self._server, number)
        if not received:
            return
        weights = [self._weights[each.device] for each in received]
        average = self.trainer.average([each.update for each in received], weights)
        self._weights.clear()
        size = self.trainer.average_bytes(average, 0, number, False)
        stations = list(range(self.devices, self._server))
        payload = ReceivedUpdate(self._server, number, self.network.now_s, average)
        back = [
            self.send(self._server, [station], number, size, payload, BACKHAUL)[0]
            for station in stations
        ]
        yield self.network.env.all_of(back)
        for station, event in zip(stations, back, strict=True):
            self.network.inbox[station].items.clear()
            transfer: Any = event.value
            if transfer.delivered:
                self._averages[station] = average
