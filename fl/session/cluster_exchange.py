"""Inter-cluster exchange: cluster updates sent to other clusters, and each device's adapter cache.

Sources: arXiv 2602.20492: the aggregated adapter of a cluster is sent to the other clusters and
stored there. The paper leaves the sender open. `head`: the member with the best links to the
outside sends to all devices. `nearest` (ours): each device gets a missing update from the device
with the best link among those that have it, members or not; for this all devices broadcast lists of
the updates that they have.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from .base import Steps
from .received_update import ReceivedUpdate

if TYPE_CHECKING:
    from ..engine.jobs import LazyValue
    from ..updates.codec import Update
    from .base import Session

Members = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class _ClusterUpdate:
    """Update of a cluster.

    Parameters
    ----------
    round : round of the update
    update : the update, as a device has received it
    """

    round: int
    update: LazyValue[Update]


class AdapterCache:
    """Adapter caches of all devices, used by mixtures of experts.

    Parameters
    ----------
    session : session of the devices

    Attributes
    ----------
    sent_bytes : size of all cluster updates that have been sent, each receiver counted [byte]
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._cached: list[dict[int, LazyValue[Update]]] = [{} for _ in range(session.devices)]
        self._updates: list[dict[Members, _ClusterUpdate]] = [{} for _ in range(session.devices)]
        # (device, other) pairs of which the device has the other's A and prompt centroid.
        self._has_a: set[tuple[int, int]] = set()
        # (device, cluster) pairs of which the device has an update, but under an earlier mask.
        self._old_mask: set[tuple[int, Members]] = set()
        self.sent_bytes = 0

    def of(self, device: int) -> dict[int, LazyValue[Update]]:
        """Return the cached updates of a device, by device."""
        return self._cached[device]

    def forget(self, me: int) -> None:
        """Clear the cache of a device."""
        self._cached[me], self._updates[me] = {}, {}
        self._has_a = {(device, other) for device, other in self._has_a if device != me}

    def renewed(self, me: int) -> None:
        """Take note that a device has another mask, A and prompt centroid."""
        self._has_a = {(device, other) for device, other in self._has_a if other != me}
        self._old_mask |= {
            (device, members)
            for device, updates in enumerate(self._updates)
            for members in updates
            if me in members
        }

    def delete(self, gone: Sequence[int]) -> None:
        """Discard the adapters of devices, and all cluster updates that contain them, everywhere.

        What a device holds of its own cluster is its own state.
        """
        for me, updates in enumerate(self._updates):
            cached = self._cached[me]
            for members in [each for each in updates if set(each) & set(gone)]:
                del updates[members]
                if me not in members:
                    for member in members:
                        cached.pop(member, None)
            for device in gone:
                cached.pop(device, None)
        self._has_a = {(device, other) for device, other in self._has_a if other not in gone}

    def put_own(self, me: int, members: Sequence[int], update: LazyValue[Update]) -> None:
        """Cache the aggregated state of a device for itself and the members it has received."""
        self._cached[me] |= dict.fromkeys([me, *members], update)

    def exchange(
        self,
        number: int,
        clusters: Sequence[Members],
        present: Sequence[int],
        source: str,
        *,
        states_of: int | None = None,
    ) -> Steps:
        """Send the update of each cluster to the devices of the others.

        Parameters
        ----------
        number : number of the round
        clusters : devices of each cluster, which have aggregated with each other
        present : devices that are present
        source : sender of an update: `head` or `nearest`
        states_of : round whose states are sent; None for this round
        """
        session = self._session
        of_round = number if states_of is None else states_of
        for members in clusters:
            state = session.states[members[0]]
            if state is not None:
                update = session.trainer.groups.cluster_update(members[0], of_round, state, members)
                for member in members:
                    self._updates[member][members] = _ClusterUpdate(number, update)
        if source == "nearest":
            size = session.trainer.cost_model.listing_bytes(len(clusters))
            session.broadcast_control(present, number, size)
        sent = []
        for (sender, members), targets in self._requests(clusters, present, source).items():
            own = self._updates[sender][members]
            payload = ReceivedUpdate(sender, number, session.network.now_s, own.update)
            for group, size in self._multicast_groups(members, targets):
                self.sent_bytes += size * len(group)
                events = session.send(sender, group, number, size, payload, "cluster-exchange")
                sent += [
                    (event, target, members, own.round, payload)
                    for event, target in zip(events, group, strict=True)
                ]
        yield session.network.env.all_of([event for event, *_ in sent])
        for event, target, members, round_, payload in sent:
            session.network.inbox[target].items.clear()
            transfer: Any = event.value
            if not transfer.delivered:
                continue
            received = session.receive(target, payload, members).update
            # The senders of the next exchange depend on it, so that it is computed now.
            if received is not payload.update and received.value().rejected:
                continue
            self._updates[target][members] = _ClusterUpdate(round_, received)
            self._old_mask.discard((target, members))
            self._cached[target] |= dict.fromkeys(members, received)
            self._has_a |= {(target, member) for member in members}

    def _requests(
        self, clusters: Sequence[Members], present: Sequence[int], source: str
    ) -> dict[tuple[int, Members], list[int]]:
        """Return the targets of each sender and cluster."""
        snr_db = self._session.network.snapshot().snr_db
        requests: dict[tuple[int, Members], list[int]] = {}
        for members in clusters:
            outside = [device for device in present if device not in members]
            if not outside:
                continue
            if source == "head":
                # Members that have lost their memory since have no update to send.
                has = [member for member in members if members in self._updates[member]]
                median_db = [float(np.median(snr_db[member, outside])) for member in has]
                if has:
                    requests[has[int(np.argmax(median_db))], members] = outside
                continue
            for target in outside:
                own = self._updates[target].get(members)
                has = [
                    device
                    for device in present
                    if members in self._updates[device]
                    and (own is None or self._updates[device][members].round > own.round)
                ]
                if has:
                    sender = has[int(np.argmax(snr_db[has, target]))]
                    requests.setdefault((sender, members), []).append(target)
        return requests

    def _multicast_groups(
        self, members: Members, targets: Sequence[int]
    ) -> list[tuple[list[int], int]]:
        """Return the targets of each message and its size [byte]; see `Session`."""
        session = self._session
        active = session.trainer.groups.active_share(members)
        by_size: dict[int, list[int]] = {}
        for target in targets:
            newcomers = sum(
                (target, member) not in self._has_a and (member, target) not in session.acknowledged
                for member in members
            )
            has_update = members in self._updates[target]
            includes_mask = not has_update or (target, members) in self._old_mask
            size = session.trainer.cost_model.cluster_update_bytes(active, includes_mask, newcomers)
            by_size.setdefault(size, []).append(target)
        if session.learning.broadcast:
            return [(group, size) for size, group in sorted(by_size.items())]
        return [([target], size) for size, group in sorted(by_size.items()) for target in group]
