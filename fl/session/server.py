"""Federated averaging over a star: a server behind the base stations, and its clients.

In each round the server draws clients among the devices that are there and sends them the average;
each trains from it and answers with its update. All messages cross the air, and live for
`deadline_s`. The round ends when all that were drawn have answered, or cannot any more; what has
arrived is averaged. Before the first average there is nothing to send: all start from a seed that
everybody knows.

Sources: McMahan et al., "Communication-efficient learning of deep networks from decentralized
data", AISTATS 2017, Algorithm 1. A client keeps its optimizer's memory; in the original there is
none to keep.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import simpy

from ..config import Server
from ..engine.streams import generator
from .base import Session, Steps, Told

if TYPE_CHECKING:
    from ..engine.jobs import Value
    from ..trainer.state import State
    from ..updates.codec import Update


class Star(Session):
    """Rounds of a server; see `Session`."""

    def prepare(self) -> None:
        """Find the server.

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
        self._average: Value[Update] | None = None

    def current(self, device: int) -> Value[State] | None:
        """Return a device's state with the server's average, as if it had just been told."""
        own = self.states[device]
        return own if self._average is None else self.trainer.adopt(device, own, self._average)

    def run(self) -> Steps:
        """Run all rounds."""
        return self.in_rounds(self._round)

    def _round(self, number: int, members: Sequence[int]) -> Steps:
        """One round of clients drawn among those who are there."""
        env = self.network.env
        count = max(1, round(self._share * len(members)))
        rng = generator(self.seed, "clients", number)
        drawn = sorted(rng.choice(members, count, replace=False).tolist())
        yield env.all_of([env.process(self._client(me, number)) for me in drawn])
        self._take_in(number)

    def _client(self, me: int, number: int) -> Steps:
        """One client's round."""
        start_s = self.network.now_s
        self.crashed(me, start_s)
        start, heard = self.states[me], []
        if self._average is not None:
            told = Told(self._server, number, start_s, self._average)
            size = self.trainer.payload.average_bytes
            (sent,) = self.send(self._server, [me], number, size, told)
            transfer = yield sent
            if not transfer.delivered:
                return
            yield self.network.inbox[me].get()
            told = self.received(me, told)
            start, heard = self.trainer.adopt(me, start, told.update), [told]
        trained, duration_s = self.train(me, number, start)
        yield self.network.timeout(duration_s)
        if self.crashed(me, start_s):
            return
        trained_s = self.network.now_s
        self.states[me] = trained
        size = 0
        if self.trainer.method.exchanges:
            size, events = self.tell(me, [self._server], number, trained)
            yield from self._wait(events[self._server])
        told_to = int(self.trainer.method.exchanges)
        times_s = (start_s, trained_s)
        self.record(number, me, trained, times_s, (told_to, size), heard, [0] * len(heard))

    def _wait(self, event: simpy.Event) -> Steps:
        """Wait for an answer, as long as the server would."""
        sent_s = self.network.now_s
        transfer = yield event
        if not transfer.delivered:
            left_s = sent_s + self.learning.deadline_s - self.network.now_s
            yield self.network.timeout(max(0.0, left_s))

    def _take_in(self, number: int) -> None:
        """Average what has arrived in a round."""
        inbox = self.network.inbox[self._server]
        told = [message.payload for message in inbox.items]
        inbox.items.clear()
        mine = [each for each in told if isinstance(each, Told) and each.round == number]
        heard = [
            self.received(self._server, each) for each in sorted(mine, key=lambda each: each.device)
        ]
        if heard:
            weights = [self.trainer.weight(each.device) for each in heard]
            updates = [each.update for each in heard]
            self._average = self.trainer.average(updates, weights, self._average)
