"""What groups tell each other without aggregating, and what each device holds of everybody.

Sources: arXiv 2602.20492: between clusters, what a cluster has come to is exchanged and stored. The
paper leaves open who sends: here the member that is best heard outside does.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .base import Steps, Told

if TYPE_CHECKING:
    from ..jobs import Value
    from ..state import State
    from ..update import Update
    from .base import Session


class Holdings:
    """What every device holds of the others, for its mixture.

    Parameters
    ----------
    session : whose devices they are
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._held: list[dict[int, Value[Update]]] = [{} for _ in range(session.devices)]
        # Whose A and prompts' mean a device has; which groups' masks it knows.
        self._knows: set[tuple[int, int]] = set()
        self._masks: set[tuple[int, tuple[int, ...]]] = set()

    def of(self, device: int) -> dict[int, Value[Update]]:
        """Return by device what one holds of it."""
        return self._held[device]

    def keep_own(self, me: int, members: Sequence[int], state: Value[State]) -> None:
        """Keep what a device has come to with those whom it has heard."""
        known = self._session.trainer.known(state)
        self._held[me] |= dict.fromkeys([me, *members], known)

    def exchange(
        self, number: int, groups: Sequence[Sequence[int]], present: Sequence[int]
    ) -> Steps:
        """Let the head of each group tell all devices outside of it.

        Parameters
        ----------
        number : of the round
        groups : of devices, each of which has come to a state
        present : devices that are there
        """
        session = self._session
        snr_db = session.network.snapshot().snr_db
        sent = []
        for members in groups:
            outside = [device for device in present if device not in members]
            if not outside:
                continue
            heard_db = [float(np.median(snr_db[member, outside])) for member in members]
            head = members[int(np.argmax(heard_db))]
            state = session.states[head]
            if state is None:
                continue
            value = session.trainer.share(head, number, state, members)
            told = Told(head, number, session.network.now_s, value)
            for targets, size in self._sizes(members, outside):
                events = session.send(head, targets, number, size, told, "share")
                sent += [
                    (event, target, members, value)
                    for event, target in zip(events, targets, strict=True)
                ]
        yield session.network.env.all_of([event for event, *_ in sent])
        for event, target, members, value in sent:
            session.network.inbox[target].items.clear()
            transfer: Any = event.value
            if transfer.delivered:
                self._held[target] |= dict.fromkeys(members, value)
                self._knows |= {(target, member) for member in members}
                self._masks.add((target, tuple(members)))

    def _sizes(self, members: Sequence[int], outside: Sequence[int]) -> list[tuple[list[int], int]]:
        """Return who is told how many bytes; together those who are told the same, if one may."""
        session = self._session
        active = session.trainer.active(members)
        told: dict[int, list[int]] = {}
        for target in outside:
            news = sum(
                (target, member) not in self._knows and (member, target) not in session.reached
                for member in members
            )
            tells_mask = (target, tuple(members)) not in self._masks
            size = session.trainer.payload.shared_bytes(active, tells_mask, news)
            told.setdefault(size, []).append(target)
        if session.learning.broadcast:
            return [(targets, size) for size, targets in sorted(told.items())]
        return [([target], size) for size, targets in sorted(told.items()) for target in targets]
