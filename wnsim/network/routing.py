"""Cellular routing: hops of a message over base stations and the backhaul between them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from wnsim.core.units import to_ns, to_s
from wnsim.network.contact_relays import ContactRelays
from wnsim.network.delivery import Tree, copies

if TYPE_CHECKING:
    from wnsim.channel import ReplayTable
    from wnsim.contacts.plan import ContactPlan
    from wnsim.core.clock import Clock
    from wnsim.core.transfer import Message
    from wnsim.network.delivery import Delivery
    from wnsim.network.relays import Relays
    from wnsim.network.transport import Transport
    from wnsim.world import World


@dataclass(frozen=True, slots=True)
class Backhaul:
    """Links between base stations, and to the server behind them.

    Parameters
    ----------
    rate_bps : rate for each message by itself, packet headers included, or of each station's link
        if it is shared [bit/s]; none: infinite
    delay_s : propagation delay from station to station [s]
    shared : whether the messages of a station follow each other on one link in each direction;
        otherwise there is no contention
    queue_bytes : size of the queue of each link and direction; a message that does not fit is lost
        [byte]; none: unlimited
    """

    rate_bps: float | None = None
    delay_s: float = 0.0
    shared: bool = False
    queue_bytes: int | None = None

    def delay_ns(self, bits: int) -> int:
        """Return the transfer time of a message [ns]."""
        return to_ns(self.delay_s + (bits / self.rate_bps if self.rate_bps else 0.0))

    def service_ns(self, bits: int) -> int:
        """Return the time for which a message occupies a link [ns]."""
        return to_ns(bits / self.rate_bps if self.rate_bps else 0.0)


class _Link:
    """One direction of a station's link to the backhaul: messages follow each other.

    Attributes
    ----------
    free_ns : when the last message will have passed [ns]
    """

    def __init__(self) -> None:
        self.free_ns = 0
        self._queued: list[tuple[int, int]] = []

    def queued_bytes(self, now_ns: int) -> int:
        """Return the size of the messages that have not passed [byte]."""
        self._queued = [each for each in self._queued if each[0] > now_ns]
        return sum(size for _, size in self._queued)

    def enter(self, now_ns: int, service_ns: int, size_bytes: int) -> int:
        """Let a message follow those before it; return when it will have passed [ns]."""
        self.free_ns = max(self.free_ns, now_ns) + service_ns
        self._queued.append((self.free_ns, size_bytes))
        return self.free_ns


class Router:
    """Forwarding of messages from hop to hop.

    Parameters
    ----------
    env : the simulation's clock
    world : devices, base stations and faults
    transport : size of messages on the air
    backhaul : links between base stations
    measured : measured rates or latencies of links, in place of the air; messages then go through
        base stations or the server as far as their links were measured
    relays : choice of paths over other devices; none: messages between devices are direct
    plan : contact plan, by which all messages go; none: there is none
    start : called with the copies of a message that a node sends at once, each for one or several
        deliveries over one link, and its size [bit] when their next hop may begin
    finish : called with a delivery, whether it is delivered, and otherwise the reason

    Attributes
    ----------
    server : address of the server behind the base stations; None if there are none
    contacts : relays by the contact plan; None without a plan
    """

    def __init__(
        self,
        env: Clock,
        world: World,
        transport: Transport,
        backhaul: Backhaul,
        *,
        measured: ReplayTable | None = None,
        relays: Relays | None = None,
        plan: ContactPlan | None = None,
        start: Callable[[Sequence[Sequence[Delivery]], int], None],
        finish: Callable[[Delivery, bool, str], None],
    ) -> None:
        self._env = env
        self._world = world
        self._transport = transport
        self._backhaul = backhaul
        self._start = start
        self._finish = finish
        self._measured = measured
        self._relays = relays
        stations = world.stations
        if measured is not None and not any(
            measured.measures(device, node)
            for device in range(world.count)
            for node in (*stations, world.nodes)
        ):
            stations = range(0)
        self._stations = stations
        # By station and direction: towards the backhaul, or from it.
        self._links: dict[tuple[int, str], _Link] = defaultdict(_Link)
        self.server = world.nodes if stations else None
        self.contacts: ContactRelays | None = None
        if plan is not None:
            self.contacts = ContactRelays(
                env, plan, transport, self._gateways, begin=self._begin_at, start=start,
                finish=finish,
            )  # fmt: skip

    def hops(self, source: int, target: int) -> list[tuple[int, int]]:
        """Return the hops over the air from source to target, in order."""
        devices, stations, ends = range(self._world.count), self._stations, (source, target)
        if self._measured is None and stations and not any(end in devices for end in ends):
            return []
        if self.contacts is not None:
            # Until the route is known.
            return [ends]
        if self._relays is not None:
            return self._relays.path(source, target, self._transport.max_hops) or [ends]
        if not stations or any(end in stations for end in ends):
            return [ends]
        if self._measured is not None and self._measured.measures(*ends):
            return [ends]
        # Between devices, or between a device and the server.
        up = [(source, self._access(source, up=True))] if source in devices else []
        down = [(self._access(target, up=False), target)] if target in devices else []
        return up + down

    def tree(self, message: Message, targets: Sequence[int]) -> Tree | None:
        """Return the tree on which a message goes to several receivers, none without trees."""
        if self._relays is None or self._transport.multicast != "tree" or len(targets) < 2:
            return None
        tree = Tree(self._transport.air_bits(message.size_bytes), message.lifetime_s)
        tree.holders[message.source] = []
        tree.paths = self._relays.grow(tree, targets, self._transport.max_hops)
        return tree

    def release(self, tree: Tree) -> None:
        """Forget a tree whose message has ended for all receivers."""
        if self._relays is not None:
            self._relays.release(tree)

    def _access(self, device: int, *, up: bool) -> int:
        """Return the node by which a device reaches the network: the serving station.

        With measured links it is the server, if its link was measured, or else the measured station
        with the best link now.
        """
        now_s = to_s(self._env.now_ns)
        if self._measured is None:
            return self._world.serving(device, now_s)
        if self._measured.measures(device, self._world.nodes):
            return self._world.nodes
        known = [node for node in self._stations if self._measured.measures(device, node)]
        if not known:
            return self._stations[0]
        return self._measured.best(device, known, now_s, up=up)

    def inject(self, delivery: Delivery) -> None:
        """Forward a message that begins behind the base stations to its first hop."""
        message = delivery.message
        if delivery.hops and self.contacts is not None:
            self.contacts.forward(delivery, message.source)
        elif delivery.hops:
            self._begin_hop(delivery, message.source)
        else:
            end = partial(self._finish, delivery, True, "")
            self._over_backhaul(delivery, message.source, message.target, end)

    def forward(self, copy: Sequence[Delivery]) -> None:
        """Forward the message of one or several deliveries that have completed a hop."""
        first = copy[0]
        if first.tree is not None:
            passed = first.hops[: first.hop + 1]
            first.tree.holders[passed[-1][1]] = passed
        if len(copy) == 1:
            self.advance(copy[0])
            return
        onward = []
        for delivery in copy:
            delivery.hop += 1
            if delivery.hop < len(delivery.hops):
                onward.append(delivery)
            else:
                self._finish(delivery, True, "")
        self._start_at_once(onward)

    def advance(self, delivery: Delivery) -> None:
        """Forward a message that has completed a hop, to the next one or to its target."""
        node, message = delivery.hops[delivery.hop][1], delivery.message
        delivery.hop += 1
        if delivery.hop < len(delivery.hops) and self.contacts is not None:
            self.contacts.forward(delivery, node)
        elif delivery.hop < len(delivery.hops):
            self._begin_hop(delivery, node)
        elif node == message.target:
            self._finish(delivery, True, "")
        else:
            end = partial(self._finish, delivery, True, "")
            self._over_backhaul(delivery, node, message.target, end)

    def detour(self, copy: Sequence[Delivery]) -> list[Delivery]:
        """Send a message over other relays after its current link broke.

        The device that holds it chooses among paths with as many hops as are left, around the
        broken link and around all devices that had the message before. On a tree, all devices that
        hold the message are possible starts, and those that wait for it are left alone.

        Returns
        -------
        the deliveries for which there are no other relays
        """
        if self._relays is None:
            return list(copy)
        first, most = copy[0], self._transport.max_hops
        passed, link = first.hops[: first.hop], first.hops[first.hop]
        targets = [each.message.target for each in copy]
        if first.tree is None:
            around = [node for node, _ in passed]
            path = self._relays.path(link[0], targets[0], most - len(passed), around, [link])
            paths = {} if path is None else {targets[0]: [*passed, *path]}
            holders = {link[0], *around}
        else:
            awaits = first.tree.awaits(without=copy)
            paths = self._relays.grow(first.tree, targets, most, awaits, [link])
            holders = set(first.tree.holders)
        diverted: dict[int, list[Delivery]] = {}
        for delivery in copy:
            hops = paths.get(delivery.message.target)
            if hops is not None:
                start = next(place for place, hop in enumerate(hops) if hop[1] not in holders)
                delivery.divert(hops, start)
                diverted.setdefault(hops[start][0], []).append(delivery)
        for deliveries in diverted.values():
            self._start_at_once(deliveries)
        return [each for each in copy if each.message.target not in paths]

    def reroute(self, delivery: Delivery) -> None:
        """Restart a message at its source, after its base station failed, once one works."""
        faults, source = self._world.faults, delivery.message.source
        hops = self.hops(source, delivery.message.target)
        now = self._env.now_ns
        if faults is not None and any(faults.clear_ns(*hop, now) > now for hop in hops):
            again_ns = faults.next_edge_ns(now)
            if again_ns < delivery.expires_ns:
                self._env.at(again_ns, partial(self.reroute, delivery))
            else:
                self._finish(delivery, False, "station-failure")
            return
        delivery.restart(hops)
        self._begin_hop(delivery, source if source == self.server else hops[0][0])

    def _gateways(self, node: int) -> tuple[Sequence[int], float]:
        """Return the nodes that send and receive for a node, and how long it takes to them [s]."""
        if node == self.server:
            return self._stations, self._backhaul.delay_s
        return [node], 0.0

    def _begin_at(self, delivery: Delivery, node: int, action: Callable[[], None]) -> None:
        """Do something when a message has come from a node to where its next hop begins."""
        self._over_backhaul(delivery, node, delivery.hops[delivery.hop][0], action)

    def _begin_hop(self, delivery: Delivery, node: int) -> None:
        """Start the current hop of a message that is at a node, over the backhaul if needed."""
        bits = self._transport.air_bits(delivery.message.size_bytes)
        start = partial(self._start, [[delivery]], bits)
        self._over_backhaul(delivery, node, delivery.hops[delivery.hop][0], start)

    def _start_at_once(self, deliveries: Sequence[Delivery]) -> None:
        """Start the current hops of a message that is at one device, in one multicast."""
        if deliveries:
            bits = self._transport.air_bits(deliveries[0].message.size_bytes)
            self._env.at(self._env.now_ns, partial(self._start, copies(deliveries), bits))

    def _over_backhaul(
        self, delivery: Delivery, source: int, target: int, action: Callable[[], None]
    ) -> None:
        """Schedule an action for the arrival of a message at a station, unless it expires."""
        now = self._env.now_ns
        delivery.wait_until(now)
        bits = self._transport.air_bits(delivery.message.size_bytes)
        if self._backhaul.shared and source != target:
            path = [(source, "up"), (target, "down")]
            links = [each for each in path if each[0] in self._stations]
            self._through(delivery, links, action)
            return
        wait_ns = self._backhaul.delay_ns(bits) if source != target else 0
        if now + wait_ns >= delivery.expires_ns:
            wait_ns = delivery.expires_ns - now
            action = partial(self._finish, delivery, False, "deadline")
        delivery.backhaul_ns += wait_ns
        delivery.queued_since_ns = now + wait_ns
        self._env.at(now + wait_ns, action)

    def _through(
        self, delivery: Delivery, path: list[tuple[int, str]], action: Callable[[], None]
    ) -> None:
        """Let a message pass links of the backhaul, one after another, then do something.

        A message that would arrive too late does not enter a link, and expires in its queue.

        Parameters
        ----------
        delivery : the message
        path : links that it has to pass, by station and direction
        action : done when it has passed all of them and the propagation delay
        """
        now, size_bytes = self._env.now_ns, delivery.message.size_bytes
        bits = self._transport.air_bits(size_bytes)
        link = self._links[path[0]]
        bound = self._backhaul.queue_bytes
        if bound is not None and link.queued_bytes(now) + size_bytes > bound:
            self._finish(delivery, False, "queue-overflow")
            return
        service_ns = self._backhaul.service_ns(bits)
        last = len(path) == 1
        passed_ns = max(link.free_ns, now) + service_ns + last * to_ns(self._backhaul.delay_s)
        if passed_ns >= delivery.expires_ns:
            passed_ns = delivery.expires_ns
            action = partial(self._finish, delivery, False, "deadline")
        else:
            link.enter(now, service_ns, size_bytes)
            if not last:
                action = partial(self._through, delivery, path[1:], action)
        delivery.backhaul_ns += passed_ns - now
        delivery.queued_since_ns = passed_ns
        self._env.at(passed_ns, action)
