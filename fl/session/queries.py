"""Collaborative inference: devices that cannot train send their prompts to others and get answers.

After each evaluation from the first round on, each asking device sends the prompts of a query to
one helper, which answers with what it is tested with, its adapter or the mixture of its cache, and
sends the answers back. Queries are on the air beside the next round. What a helper answers
correctly is its test result on the asker's task; how many prompts a query has changes its size,
the helper's computing time and the latency.

Sources: named as future work by arXiv 2602.20492; the rules for choosing a helper are ours.
"""

from __future__ import annotations

import math
from collections import defaultdict
from typing import TYPE_CHECKING, Any

import numpy as np

from wnsim.core.units import Floats

from ..mixture.features import EMBEDDING_SIZE
from ..topology import CONTROL
from .base import Steps
from .records import QueryRow

if TYPE_CHECKING:
    import simpy

    from ..config import Queries
    from ..engine.jobs import LazyValue
    from ..trainer.state import Evaluation
    from .base import Session


class QueryService:
    """The queries of a session.

    Parameters
    ----------
    session : session of the devices
    config : who asks, and whom

    Attributes
    ----------
    pending : processes of queries; all of them have ended after the last one
    """

    def __init__(self, session: Session, config: Queries) -> None:
        self._session, self._config = session, config
        self.pending: list[simpy.Event] = []
        # Devices whose prompt embedding has arrived at an asking device.
        self._known: dict[int, set[int]] = defaultdict(set)

    def ask(self, number: int) -> None:
        """Let all asking devices that are present send a query after a round."""
        session = self._session
        present = session.network.snapshot().present
        for me in session.askers:
            if present[me]:
                self.pending.append(session.network.env.process(self._ask(me, number)))

    def _ask(self, me: int, number: int) -> Steps:
        """Send one query, wait for its answer, and record both."""
        session, network = self._session, self._session.network
        if self._config.helper == "matching":
            yield from self._announce(me, number)
        helper = self._helper(me)
        if helper is None:
            return
        began_s, state = network.now_s, session.current(helper)
        tests = (
            session.trainer.test(helper, number, state, session.cached_updates(helper)),
            session.trainer.test(me, number, None),
        )
        size, answer_size, flops = session.trainer.query(me, self._config.prompts)
        answered = yield from self._delivered(me, helper, number, size, "query")
        if answered:
            asked_s = network.now_s
            yield network.timeout(session.compute_time_s(helper, flops))
            answered = not network.crashed(helper, asked_s)
        if answered:
            answered = yield from self._delivered(helper, me, number, answer_size, "answer")
        latency_s = network.now_s - began_s if answered else math.nan
        self._record(number, began_s, me, helper, latency_s, (size, answer_size), tests)

    def _announce(self, me: int, number: int) -> Steps:
        """Let devices that train send their prompt embedding to an asking device, once each."""
        session = self._session
        size = session.trainer.cost_model.control_bytes(EMBEDDING_SIZE)
        sent = [
            event
            for other in self._helpers()
            if other not in self._known[me]
            for event in session.send(other, [me], number, size, None, CONTROL)
        ]
        yield session.network.env.all_of(sent)
        for event in sent:
            transfer: Any = event.value
            if transfer.delivered:
                self._known[me].add(transfer.message.source)

    def _helpers(self) -> list[int]:
        """Return the devices that have something to answer with, and are present."""
        session = self._session
        present = np.flatnonzero(session.view().present).tolist()
        return [device for device in present if session.current(device) is not None]

    def _helper(self, me: int) -> int | None:
        """Return the device that is asked; None if there is none."""
        session, helpers = self._session, self._helpers()
        if self._config.helper == "matching":
            helpers = [each for each in helpers if each in self._known[me]]
        if not helpers:
            return None
        score = session.network.snapshot().snr_db[me, helpers]
        if self._config.helper == "matching":
            embeddings = session.trainer.groups.prompt_embeddings()
            alike = _cosine(embeddings[helpers], embeddings[me])
            # Of equally similar ones, the device with the best link.
            score = np.where(np.isclose(alike, alike.max()), score, -np.inf)
        return helpers[int(np.argmax(score))]

    def _delivered(self, source: int, target: int, number: int, size: int, kind: str) -> Steps:
        """Send a message; return whether it arrives in time."""
        (event,) = self._session.send(source, [target], number, size, None, kind)
        transfer: Any = yield event
        return bool(transfer.delivered)

    def _record(
        self,
        number: int,
        began_s: float,
        me: int,
        helper: int,
        latency_s: float,
        sizes: tuple[int, int],
        tests: tuple[LazyValue[Evaluation], LazyValue[Evaluation]],
    ) -> None:
        """Record a query, in a row for each of the asking device's tasks."""
        session = self._session
        by_helper, alone = (each.value().accuracies for each in tests)
        session.queries.extend(
            QueryRow(
                number, began_s, me, helper, session.trainer.tasks[task].name,
                not math.isnan(latency_s), latency_s, *sizes, by_helper[task], alone[task],
            )
            for task in session.trainer.task_of[me]
        )  # fmt: skip


def _cosine(vectors: Floats, one: Floats) -> Floats:
    """Return the cosine similarities of vectors (N, embedding) and another one."""
    lengths = np.linalg.norm(vectors, axis=1) * np.linalg.norm(one)
    return np.asarray(vectors @ one / np.maximum(lengths, np.finfo(float).tiny))
