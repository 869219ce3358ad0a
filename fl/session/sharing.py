"""What groups tell each other without aggregating, and what each device holds of everybody.

Sources: arXiv 2602.20492: between clusters, what a cluster has come to is exchanged and stored.
The paper leaves open who sends. `head`: the member that is best heard outside tells everybody.
`nearest` (ours): what a device lacks it gets from whom it hears best of those who have it, members
or not; for that all tell all what they have.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from .base import Steps, Told

if TYPE_CHECKING:
    from ..engine.jobs import Value
    from ..updates.codec import Update
    from .base import Session

Members = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class _News:
    """What a group had come to by a round."""

    round: int
    value: Value[Update]


class Holdings:
    """What every device holds of the others, for its mixture.

    Parameters
    ----------
    session : whose devices they are
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._held: list[dict[int, Value[Update]]] = [{} for _ in range(session.devices)]
        self._news: list[dict[Members, _News]] = [{} for _ in range(session.devices)]
        # Whose A and prompts' mean a device has.
        self._knows: set[tuple[int, int]] = set()

    def of(self, device: int) -> dict[int, Value[Update]]:
        """Return by device what one holds of it."""
        return self._held[device]

    def forget(self, me: int) -> None:
        """Take in that a device has lost all that it held."""
        self._held[me], self._news[me] = {}, {}
        self._knows = {(device, other) for device, other in self._knows if device != me}

    def keep_own(self, me: int, members: Sequence[int], known: Value[Update]) -> None:
        """Keep what a device has come to with those whom it has heard."""
        self._held[me] |= dict.fromkeys([me, *members], known)

    def exchange(
        self, number: int, groups: Sequence[Members], present: Sequence[int], source: str
    ) -> Steps:
        """Let all devices get what other groups have come to.

        Parameters
        ----------
        number : of the round
        groups : of devices, each of which has come to a state
        present : devices that are there
        source : from whom: `head` or `nearest`
        """
        session = self._session
        for members in groups:
            state = session.states[members[0]]
            if state is not None:
                news = _News(
                    number, session.trainer.groups.share(members[0], number, state, members)
                )
                for member in members:
                    self._news[member][members] = news
        if source == "nearest":
            session.tell_all(present, number, session.trainer.payload.listing_bytes(len(groups)))
        sent = []
        for (sender, members), targets in self._wanted(groups, present, source).items():
            news = self._news[sender][members]
            told = Told(sender, number, session.network.now_s, news.value)
            for together, size in self._sizes(members, targets):
                events = session.send(sender, together, number, size, told, "cluster-exchange")
                sent += [
                    (event, target, members, news.round, told)
                    for event, target in zip(events, together, strict=True)
                ]
        yield session.network.env.all_of([event for event, *_ in sent])
        for event, target, members, made, told in sent:
            session.network.inbox[target].items.clear()
            transfer: Any = event.value
            if not transfer.delivered:
                continue
            heard = session.received(target, told, members).update
            # Who passes on what depends on it, so that it must be known now.
            if heard is not told.update and heard.value().refused:
                continue
            self._news[target][members] = _News(made, heard)
            self._held[target] |= dict.fromkeys(members, heard)
            self._knows |= {(target, member) for member in members}

    def _wanted(
        self, groups: Sequence[Members], present: Sequence[int], source: str
    ) -> dict[tuple[int, Members], list[int]]:
        """Return who is to send what to whom."""
        snr_db = self._session.network.snapshot().snr_db
        wanted: dict[tuple[int, Members], list[int]] = {}
        for members in groups:
            outside = [device for device in present if device not in members]
            if not outside:
                continue
            if source == "head":
                # Whoever has lost its memory since has nothing to tell.
                has = [member for member in members if members in self._news[member]]
                heard_db = [float(np.median(snr_db[member, outside])) for member in has]
                if has:
                    wanted[has[int(np.argmax(heard_db))], members] = outside
                continue
            for target in outside:
                mine = self._news[target].get(members)
                has = [
                    device
                    for device in present
                    if members in self._news[device]
                    and (mine is None or self._news[device][members].round > mine.round)
                ]
                if has:
                    sender = has[int(np.argmax(snr_db[has, target]))]
                    wanted.setdefault((sender, members), []).append(target)
        return wanted

    def _sizes(self, members: Members, targets: Sequence[int]) -> list[tuple[list[int], int]]:
        """Return who is told how many bytes; together those who are told the same, if one may."""
        session = self._session
        active = session.trainer.groups.active(members)
        told: dict[int, list[int]] = {}
        for target in targets:
            news = sum(
                (target, member) not in self._knows and (member, target) not in session.reached
                for member in members
            )
            tells_mask = members not in self._news[target]
            size = session.trainer.payload.shared_bytes(active, tells_mask, news)
            told.setdefault(size, []).append(target)
        if session.learning.broadcast:
            return [(some, size) for size, some in sorted(told.items())]
        return [([target], size) for size, some in sorted(told.items()) for target in some]
