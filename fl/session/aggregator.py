"""Session with a server behind the base stations: what its protocols share."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import simpy

from .base import Session
from .received_update import ReceivedUpdate


class AggregatorSession(Session):
    """Rounds in which updates go to a server or a base station; see `Session`."""

    def prepare(self) -> None:
        """Locate the server.

        Raises
        ------
        ValueError
            if there is no base station
        """
        server = self.network.server
        if server is None:
            model = self.learning.protocol.model
            raise ValueError(f"protocol {model} needs a base station, got none")
        self._server = server

    def wait_for_transfer(self, event: simpy.Event) -> Generator[simpy.Event, Any, bool]:
        """Return whether an update is delivered; if not, wait until its deadline first."""
        sent_s = self.network.now_s
        transfer = yield event
        if not transfer.delivered:
            left_s = sent_s + self.learning.deadline_s - self.network.now_s
            yield self.network.timeout(max(0.0, left_s))
        return bool(transfer.delivered)

    def take_updates(self, node: int, number: int) -> list[ReceivedUpdate]:
        """Return the updates of a round in a node's inbox, as they arrived, and clear the inbox."""
        inbox = self.network.inbox[node]
        payloads = [message.payload for message in inbox.items]
        inbox.items.clear()
        return [
            each for each in payloads if isinstance(each, ReceivedUpdate) and each.round == number
        ]
