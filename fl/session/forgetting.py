"""Deletion of devices that have left: their terms leave the states and caches of all others.

At the start of a round, devices that took part in the last one and have left since are deleted. A
device that aggregated an update of one aggregates again without it, from what it received. Cached
adapters of a deleted device are discarded, and so are cluster updates that contain its own; the
rest of the cluster sends another one. All others are tested on the tasks of the deleted devices
before and after.

Sources: deletion of a contribution without its history is the aim of arXiv 2606.22878, 2026, known
to us by its abstract, where contributions are coordinates in orthogonal spaces. Ours: the term is
the device's last update; what others learned from its earlier ones stays.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from .base import Steps
from .records import ForgettingRow

if TYPE_CHECKING:
    from ..engine.jobs import LazyValue
    from ..trainer.state import Evaluation, State
    from .base import Session
    from .cluster_exchange import AdapterCache
    from .received_update import ReceivedUpdate


class Forgetting:
    """Deletion of devices that have left.

    Parameters
    ----------
    session, cache : session of the devices, and their adapter caches
    """

    def __init__(self, session: Session, cache: AdapterCache) -> None:
        self._session, self._cache = session, cache
        # What each device aggregated last: its trained state, and the received updates.
        self._last: dict[int, tuple[LazyValue[State], list[ReceivedUpdate]]] = {}

    def note(self, me: int, trained: LazyValue[State], received: Sequence[ReceivedUpdate]) -> None:
        """Remember what a device aggregates."""
        self._last[me] = trained, list(received)

    def discard(self, me: int) -> None:
        """Forget what a device aggregated last."""
        self._last.pop(me, None)

    def run(self, number: int, clusters: Sequence[Sequence[int]], present: Sequence[int]) -> Steps:
        """Delete the members of the clusters of the last round that have left since.

        Parameters
        ----------
        number : number of the round that begins
        clusters : devices of each cluster in the last round
        present : devices that are present
        """
        session = self._session
        absent = {device for each in clusters for device in each} - set(present)
        gone = sorted(device for device in absent if session.network.has_left(device))
        if not gone:
            return
        others = [device for device in range(session.devices) if device not in gone]
        before = self._tests(number, others)
        for me in others:
            self._aggregate_without(me, gone, number - 1)
        sent_before = self._cache.sent_bytes
        rest = [tuple(each for each in cluster if each not in gone) for cluster in clusters]
        changed = [
            members
            for members, cluster in zip(rest, clusters, strict=True)
            if members and len(members) < len(cluster)
        ]
        self._cache.delete(gone)
        exchange = session.learning.cluster_exchange
        if exchange is not None and changed:
            yield from self._cache.exchange(
                number, changed, present, exchange.source, states_of=number - 1
            )
        sent_bytes = self._cache.sent_bytes - sent_before
        after = self._tests(number, others)
        trainer, now_s = session.trainer, session.network.now_s
        for leaver in gone:
            for task in trainer.task_of[leaver]:
                name = trainer.tasks[task].name
                session.recorder.forgettings.extend(
                    ForgettingRow(
                        number, now_s, device, leaver, name, one.accuracies[task],
                        other.accuracies[task], sent_bytes,
                    )
                    for device, one, other in zip(others, before, after, strict=True)
                )  # fmt: skip

    def _aggregate_without(self, me: int, gone: Sequence[int], number: int) -> None:
        """Aggregate the last updates of a device, of a round, without those of deleted devices."""
        session = self._session
        if me not in self._last or session.states[me] is None:
            return
        trained, received = self._last[me]
        left = [each for each in received if each.device not in gone]
        if len(left) == len(received):
            return
        self.note(me, trained, left)
        state = session.aggregate(me, trained, left, [1.0] * len(left))
        session.states[me] = state
        if session.learning.inference is not None:
            senders = [each.device for each in left]
            self._cache.put_own(me, senders, session.trainer.groups.own_update(number, state))

    def _tests(self, number: int, devices: Sequence[int]) -> list[Evaluation]:
        """Return the current test results of devices."""
        session = self._session
        tests = [
            session.trainer.test(
                device, number - 1, session.current(device), session.cached_updates(device)
            )
            for device in devices
        ]
        return [test.value() for test in tests]
