"""Split learning: the model is cut between the clients and a server behind the base stations.

A client computes its batch up to the cut, sends the activations with the labels, receives their
gradients from the server, and computes backwards; so in each local step. What it learns is what it
would learn with the whole model: only the times and the messages differ. After its steps it sends
its part of the model. In parallel the server averages the parts of all clients, and its own ones;
in turns each client goes on where the one before has ended.

Sources: see `fl.config.Split`.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import TYPE_CHECKING, Any

import simpy

from wnsim.core.transfer import ACTIVATION, GRADIENT

from ..config import Split
from .base import Steps
from .server import Round, ServerSession

if TYPE_CHECKING:
    from ..engine.jobs import Job, LazyValue
    from ..trainer.state import State


class SplitSession(ServerSession):
    """Rounds of clients that hold the first blocks of the model; see `Session`."""

    def prepare(self) -> None:
        """Keep the server's speed; see `ServerSession`."""
        super().prepare()
        protocol = self.learning.protocol
        self._split = protocol if isinstance(protocol, Split) else Split()

    def one_round(self, number: int, present: Sequence[int]) -> Steps:
        """Run one round of clients, at once or in turns."""
        if self._split.order == "parallel":
            yield from super().one_round(number, present)
            return
        count = self._split.counted(len(present))
        selected = yield from self.selected(number, present, count)
        counted, distances = list[int](), dict[int, float]()
        for me in selected:
            this = Round(number, self.network.env.event(), 1)
            yield self.network.env.process(self.client(me, this))
            arrived, of_arrived = self.average_received(this)
            counted += arrived
            distances |= of_arrived
        self.remember(selected, counted, distances)

    def local_steps(
        self, me: int, number: int, start: LazyValue[State] | None
    ) -> Generator[simpy.Event, Any, Job[State] | None]:
        """Exchange the activations and gradients of each step; None if one is not delivered."""
        trained, _ = self.start_training(me, number, start)
        steps = self.trainer.split_steps(me)
        if steps is None:
            raise RuntimeError("the trainer has the whole model on its devices")
        server_s = steps.server_flops / self._split.server_flops_per_s
        for _ in range(steps.count):
            start_s = self.network.now_s
            yield self.network.timeout(self.compute_time_s(me, steps.forward_flops))
            if self.crashed(me, start_s):
                return None
            (sent,) = self.send(me, [self._server], number, steps.up_bytes, None, ACTIVATION)
            if not (yield sent).delivered:
                return None
            yield self.network.timeout(server_s)
            (sent,) = self.send(self._server, [me], number, steps.down_bytes, None, GRADIENT)
            if not (yield sent).delivered:
                return None
            yield self.network.inbox[me].get()
            yield self.network.timeout(self.compute_time_s(me, steps.backward_flops))
        return trained
