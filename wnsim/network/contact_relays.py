"""Relays by a contact plan: each node stores a message until the contact of its next hop.

When a message is submitted, and again at each node that has received it, the route of earliest
arrival is found (`wnsim.contacts.plan`). A hop starts in its contact. If the contact ends before
the message has been sent, the node keeps it, and chooses again: between the next contact of the
same link, over which the rest is sent, and another route, over which all of it is sent. Without a
route by its deadline a message waits where it is, and is late.

Scope: all nodes know the plan, at no cost, and plan as if there were no other messages; storage is
unlimited. Each receiver of a message to several devices has a route of its own.

Sources: Burleigh, "Contact graph routing", Internet-Draft draft-burleigh-dtnrg-cgr-01, 2010 (routes
computed anew at each node); RFC 9171, section 5.10 (custody is here a node's keeping of a message).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from wnsim.contacts.plan import Route, crossing, earliest
from wnsim.core.units import to_ns, to_s

if TYPE_CHECKING:
    from wnsim.contacts.plan import ContactPlan
    from wnsim.core.clock import Clock
    from wnsim.network.delivery import Delivery
    from wnsim.network.transport import Transport


class ContactRelays:
    """Routes of messages through a contact plan.

    Parameters
    ----------
    env : the simulation's clock
    plan : contacts of all links
    transport : largest number of hops, time until a retry, sizes on the air
    gateways : nodes that a node reaches, or is reached by, without a hop over the air, and the time
        that it takes [s]: the base stations of the server
    begin : called with a delivery, the node that has it, and an action, when its route is known;
        calls the action once the message is at the node where the next hop begins
    start : called with the copies of a message and its size [bit] when a hop begins
    finish : called with a delivery, whether it is delivered, and otherwise the reason
    """

    def __init__(
        self,
        env: Clock,
        plan: ContactPlan,
        transport: Transport,
        gateways: Callable[[int], tuple[Sequence[int], float]],
        *,
        begin: Callable[[Delivery, int, Callable[[], None]], None],
        start: Callable[[Sequence[Sequence[Delivery]], int], None],
        finish: Callable[[Delivery, bool, str], None],
    ) -> None:
        self._env = env
        self._plan = plan
        self._transport = transport
        self._gateways = gateways
        self._begin = begin
        self._start = start
        self._finish = finish

    def forward(self, delivery: Delivery, node: int) -> None:
        """Send a message onwards from the node that has all of it."""
        nodes, delay_s = self._gateways(node)
        at_s = to_s(self._env.now_ns) + delay_s
        passed = delivery.hops[: delivery.hop]
        route = self._route(delivery, [(each, at_s) for each in nodes], passed)
        if route is None:
            self._wait_for_deadline(delivery)
            return
        delivery.hops = [*passed, *route.hops]
        action = partial(self._start_at, delivery, route.begin_s, self._bits(delivery))
        self._begin(delivery, node, action)

    def resume(self, delivery: Delivery, left_bits: int, *, planned: bool) -> None:
        """Continue a message whose current link carries nothing any more.

        Parameters
        ----------
        delivery : the message
        left_bits : bits that are left of this hop
        planned : whether the contact plan has the end of the contact; otherwise links are tried
            again after the time of a retry
        """
        now_s = to_s(self._env.now_ns) + (0.0 if planned else self._transport.retry_s)
        passed, hop = delivery.hops[: delivery.hop], delivery.hops[delivery.hop]
        until_s = to_s(delivery.expires_ns)
        other = self._route(delivery, [(hop[0], now_s)], passed)
        same: Route | None = None
        over = crossing(self._plan.contacts(*hop, now_s, until_s), now_s, left_bits)
        if over is not None and over[1] <= until_s:
            same = self._route(delivery, [(hop[1], over[1])], [*passed, hop])
        if same is None and other is None:
            self._wait_for_deadline(delivery)
        elif over and same and (other is None or same.arrival_s <= other.arrival_s):
            delivery.hops = [*passed, hop, *same.hops]
            self._start_at(delivery, over[0], left_bits)
        elif other is not None:
            delivery.divert([*passed, *other.hops], delivery.hop)
            self._start_at(delivery, other.begin_s, self._bits(delivery))

    def _route(
        self,
        delivery: Delivery,
        starts: Sequence[tuple[int, float]],
        passed: Sequence[tuple[int, int]],
    ) -> Route | None:
        """Return the route of a message from one of some nodes, none by its deadline."""
        targets, delay_s = self._gateways(delivery.message.target)
        return earliest(
            self._plan,
            starts,
            targets,
            self._bits(delivery),
            most=self._transport.max_hops - len(passed),
            until_s=to_s(delivery.expires_ns) - delay_s,
            without={node for node, _ in passed},
        )

    def _start_at(self, delivery: Delivery, begin_s: float, bits: int) -> None:
        """Start the current hop of a message when its contact begins."""
        begin_ns = max(to_ns(begin_s), self._env.now_ns)
        if begin_ns < delivery.expires_ns:
            self._env.at(begin_ns, partial(self._start, [[delivery]], bits))
        else:
            self._wait_for_deadline(delivery)

    def _wait_for_deadline(self, delivery: Delivery) -> None:
        """Keep a message that cannot arrive until it expires."""
        at_ns = max(delivery.expires_ns, self._env.now_ns)
        self._env.at(at_ns, partial(self._finish, delivery, False, "deadline"))

    def _bits(self, delivery: Delivery) -> int:
        """Return the size of a message on the air [bit]."""
        return self._transport.air_bits(delivery.message.size_bytes)
