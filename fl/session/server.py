"""Federated averaging: a server behind the base stations, and its clients.

In each round the server samples clients among the present devices and sends them the average; each
trains from it and returns its update. All messages pass the air and expire after `deadline_s`. The
round ends when all sampled clients have answered or can no longer answer; the server averages the
updates that have arrived. Before the first average nothing is sent: all clients start from a common
seed.

Sources: McMahan et al., "Communication-efficient learning of deep networks from decentralized
data", AISTATS 2017, Algorithm 1. A client keeps the state of its optimizer; in the original it has
none.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import simpy

from ..config import Server
from ..engine.streams import generator
from .base import Session, Steps
from .received_update import ReceivedUpdate

if TYPE_CHECKING:
    from ..engine.jobs import LazyValue
    from ..trainer.state import State
    from ..updates.codec import Update


class ServerSession(Session):
    """Rounds of a server; see `Session`."""

    def prepare(self) -> None:
        """Locate the server.

        Raises
        ------
        ValueError
            if there is no base station
        """
        server = self.network.server
        if server is None:
            raise ValueError("protocol server needs a base station, got none")
        self._server = server
        protocol = self.learning.protocol
        self._share = protocol.share if isinstance(protocol, Server) else 1.0
        self._average: LazyValue[Update] | None = None
        # Number of averages so far, and that of the last one that each client has received.
        self._averages = 0
        self._last_received: dict[int, int] = {}

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
        """Run all rounds."""
        return self.run_rounds(self._round)

    def _round(self, number: int, present: Sequence[int]) -> Steps:
        """Run one round of clients sampled among the present devices."""
        env = self.network.env
        count = max(1, round(self._share * len(present)))
        rng = generator(self.seed, "clients", number)
        sampled = sorted(rng.choice(present, count, replace=False).tolist())
        yield env.all_of([env.process(self._client(me, number)) for me in sampled])
        self._average_received(number)

    def _client(self, me: int, number: int) -> Steps:
        """Run one round of a client."""
        start_s = self.network.now_s
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
        trained, duration_s = self.train(me, number, start)
        yield self.network.timeout(duration_s)
        if self.crashed(me, start_s):
            return
        trained_s = self.network.now_s
        self.states[me] = trained
        size = 0
        if self.trainer.method.exchanges:
            size, events = self.send_update(me, [self._server], number, trained)
            yield from self._wait_for_transfer(events[self._server])
        receivers = int(self.trainer.method.exchanges)
        times_s = (start_s, trained_s)
        staleness = [0] * len(received)
        self.record_round(number, me, trained, times_s, (receivers, size), received, staleness)

    def _wait_for_transfer(self, event: simpy.Event) -> Steps:
        """Wait for a transfer; if it fails, until the server's deadline."""
        sent_s = self.network.now_s
        transfer = yield event
        if not transfer.delivered:
            left_s = sent_s + self.learning.deadline_s - self.network.now_s
            yield self.network.timeout(max(0.0, left_s))

    def _average_received(self, number: int) -> None:
        """Average the updates of a round that have arrived."""
        inbox = self.network.inbox[self._server]
        payloads = [message.payload for message in inbox.items]
        inbox.items.clear()
        current = [
            each for each in payloads if isinstance(each, ReceivedUpdate) and each.round == number
        ]
        received = [
            self.receive(self._server, each)
            for each in sorted(current, key=lambda each: each.device)
        ]
        if received:
            weights = [self.trainer.weight(each.device) for each in received]
            updates = [each.update for each in received]
            self._average = self.trainer.average(updates, weights, self._average)
            self._averages += 1
