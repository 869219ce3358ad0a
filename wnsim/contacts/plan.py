"""Contact plans, and routes of earliest arrival through them.

A contact is a time in which one node can send to another at a rate, with a delay. A hop over a link
begins in one of its contacts, and continues over the following ones if its message does not fit;
nodes store messages between hops for as long as needed. Routes are found from the source outwards,
in the order of arrival, as if no other messages were sent.

Sources: Fraire, De Jonckere and Burleigh, "Routing in the space Internet: a contact graph routing
tutorial", Journal of Network and Computer Applications 174, 2021, and CCSDS 734.3-B-1
(schedule-aware bundle routing), where a route is one of contacts and a bundle must fit into each;
Jain, Fall and Patra, "Routing in a delay tolerant network", ACM SIGCOMM 2004 (earliest arrival by
Dijkstra's algorithm with costs that depend on time).
"""

from __future__ import annotations

import heapq
import itertools
from bisect import bisect_left
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Contact:
    """Time in which a node can send to another.

    Parameters
    ----------
    begin_s, end_s : when it begins and ends at the sender [s]
    rate_bps : rate [bit/s]
    delay_s : one-way delay [s]
    continues : whether it continues the contact before at another rate, so that hops begin there
        only if their message is not ready before
    """

    begin_s: float
    end_s: float
    rate_bps: float
    delay_s: float = 0.0
    continues: bool = False


class ContactPlan(Protocol):
    """Contacts between nodes, known in advance."""

    def neighbors(self, node: int) -> Collection[int]:
        """Return the nodes that a node may have contacts to, in ascending order."""
        ...

    def contacts(
        self, source: int, target: int, from_s: float, until_s: float
    ) -> Iterable[Contact]:
        """Return the contacts of a link that end after an instant and begin before another [s].

        They are in the order of their begin.
        """
        ...


class GivenPlan:
    """A contact plan of given contacts.

    Parameters
    ----------
    contacts : contacts of each link, by source and target
    """

    def __init__(self, contacts: Iterable[tuple[int, int, Contact]]) -> None:
        self._of: dict[tuple[int, int], list[Contact]] = {}
        for source, target, contact in contacts:
            self._of.setdefault((source, target), []).append(contact)
        self._begins_s: dict[tuple[int, int], list[float]] = {}
        self._neighbors: dict[int, list[int]] = {}
        for link in sorted(self._of):
            self._of[link].sort(key=lambda contact: (contact.begin_s, contact.end_s))
            self._begins_s[link] = [contact.begin_s for contact in self._of[link]]
            self._neighbors.setdefault(link[0], []).append(link[1])

    @property
    def links(self) -> list[tuple[int, int]]:
        """Links with contacts, by source and target."""
        return list(self._begins_s)

    def neighbors(self, node: int) -> Collection[int]:
        """Return the nodes that a node has contacts to, in ascending order."""
        return self._neighbors.get(node, [])

    def delay_s(self, source: int, target: int, at_s: float) -> float:
        """Return the delay of a link in the last contact that has begun before an instant [s]."""
        contacts = self._of.get((source, target))
        if not contacts:
            return 0.0
        place = bisect_left(self._begins_s[source, target], at_s) - 1
        return contacts[max(place, 0)].delay_s

    def contacts(self, source: int, target: int, from_s: float, until_s: float) -> list[Contact]:
        """Return the contacts of a link that end after an instant and begin before another [s]."""
        found = self._of.get((source, target), [])
        return [each for each in found if each.end_s > from_s and each.begin_s < until_s]


@dataclass(frozen=True, slots=True)
class Route:
    """A route through a contact plan.

    Parameters
    ----------
    hops : its links, in order
    begin_s, arrival_s : when the first hop begins, and the last one ends [s]
    """

    hops: list[tuple[int, int]]
    begin_s: float
    arrival_s: float


def earliest(
    plan: ContactPlan,
    starts: Sequence[tuple[int, float]],
    targets: Collection[int],
    bits: int,
    *,
    most: int,
    until_s: float,
    without: Collection[int] = (),
) -> Route | None:
    """Return the route of earliest arrival, with the fewest hops of equally early ones.

    Parameters
    ----------
    plan : contacts
    starts : nodes that have the message, and from when on [s]
    targets : nodes one of which is to receive it
    bits : size of the message [bit]
    most : largest number of hops
    until_s : latest arrival [s]
    without : nodes that it must not pass

    Returns
    -------
    the route; none if there is none by then
    """
    serial = itertools.count()
    waiting: list[_Reached] = [(at_s, 0, node, next(serial), None) for node, at_s in starts]
    heapq.heapify(waiting)
    # Fewest hops with which each node has been reached; later arrivals need fewer.
    fewest: dict[int, int] = {}
    while waiting:
        at_s, used, node, _, last = heapq.heappop(waiting)
        if node in targets:
            return _route(last, at_s)
        if used >= fewest.get(node, most):
            continue
        fewest[node] = used
        for other in plan.neighbors(node):
            if other in without or used + 1 > fewest.get(other, most):
                continue
            over = crossing(plan.contacts(node, other, at_s, until_s), at_s, bits)
            if over is not None and over[1] <= until_s:
                step = _Step(node, other, over[0], last)
                heapq.heappush(waiting, (over[1], used + 1, other, next(serial), step))
    return None


@dataclass(frozen=True, slots=True)
class _Step:
    """A hop of a route, when it begins [s], and the hop before."""

    source: int
    target: int
    begin_s: float
    before: _Step | None


# Arrival [s], number of hops, node, number in the order of finding, and last hop.
_Reached = tuple[float, int, int, int, _Step | None]


def crossing(contacts: Iterable[Contact], at_s: float, bits: float) -> tuple[float, float] | None:
    """Return when a hop that is ready at an instant begins, and when its last bit arrives [s].

    Parameters
    ----------
    contacts : contacts of the link, by their begin
    at_s : when the message is ready [s]
    bits : size of the message [bit]

    Returns
    -------
    begin and arrival, of all contacts in which it may begin those of earliest arrival; none if the
    contacts carry too little
    """
    best: tuple[float, float] | None = None
    under_way: list[_Sending] = []
    for contact in contacts:
        if best is not None and contact.begin_s >= best[1]:
            break
        if contact.rate_bps <= 0.0 or contact.end_s <= at_s:
            continue
        if not (contact.continues and under_way):
            under_way.append(_Sending(max(contact.begin_s, at_s), float(bits)))
        for sending in under_way:
            sending.use(contact)
        for sending in under_way:
            if sending.left_bits <= 0.0 and (best is None or sending.arrival_s < best[1]):
                best = sending.begin_s, sending.arrival_s
        under_way = [sending for sending in under_way if sending.left_bits > 0.0]
    return best


class _Sending:
    """A message that is sent over the contacts of a link from an instant on.

    Parameters
    ----------
    begin_s : the instant [s]
    left_bits : bits that are still to be sent

    Attributes
    ----------
    arrival_s : when the last bit that was sent has arrived [s]
    """

    def __init__(self, begin_s: float, left_bits: float) -> None:
        self.begin_s = self._free_s = begin_s
        self.left_bits = left_bits
        self.arrival_s = 0.0

    def use(self, contact: Contact) -> None:
        """Send over another contact, which begins no earlier than those before."""
        start_s = max(contact.begin_s, self._free_s)
        duration_s = contact.end_s - start_s
        if duration_s <= 0.0:
            return
        needed_s = self.left_bits / contact.rate_bps
        self._free_s = start_s + min(needed_s, duration_s)
        self.arrival_s = self._free_s + contact.delay_s
        self.left_bits = (
            0.0 if needed_s <= duration_s else (self.left_bits - duration_s * contact.rate_bps)
        )


def _route(last: _Step | None, arrival_s: float) -> Route:
    """Return the route that ends with a hop."""
    hops, begin_s = [], arrival_s
    while last is not None:
        hops.append((last.source, last.target))
        begin_s, last = last.begin_s, last.before
    return Route(hops[::-1], begin_s, arrival_s)
