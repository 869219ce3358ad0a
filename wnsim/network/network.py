"""Network: transport of messages between devices, base stations and a server."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import simpy

from wnsim.air import Attempt, Transmission
from wnsim.contacts.motion_plan import MotionPlan
from wnsim.contacts.satellite_plan import SatellitePlan
from wnsim.core.invariants import ByteLedger
from wnsim.core.transfer import Message, Packet, Transfer
from wnsim.core.units import LONGEST_S, Floats, to_ns, to_s
from wnsim.mac.allocation import Demand
from wnsim.mac.over_the_air import OverTheAir
from wnsim.mac.resource_blocks import ResourceBlocks
from wnsim.network.analog import AnalogAir, Group
from wnsim.network.delivery import Delivery, copies
from wnsim.network.dozing import Dozing
from wnsim.network.flooding import Flooding
from wnsim.network.link_supervision import LinkAvailability, StallDetector
from wnsim.network.propagation_delay import PropagationDelay
from wnsim.network.relays import Relays
from wnsim.network.routing import Backhaul, Router
from wnsim.network.transport import Transport
from wnsim.storage.record_book import RecordBook

if TYPE_CHECKING:
    from wnsim.contacts.plan import ContactPlan
    from wnsim.core.clock import Clock
    from wnsim.mac import Mac
    from wnsim.network.air_options import AirOptions
    from wnsim.network.measurements import SnrMeasurements
    from wnsim.world import Snapshot, World

# Reasons for which an attempt ends that another attempt may follow.
_RESUMABLE = frozenset({"departed", "link-failure", "crash", "link-outage", "station-failure"})


class Network:
    """The radios of all nodes, and the messages between them.

    Parameters
    ----------
    env : the simulation's clock
    world : devices, channel and physical layer
    mac : medium access
    air : how the air interface is simulated
    seed : seed of reception errors
    transport : packets, queues and link failures
    backhaul : links between base stations
    records : makes the journals of transfers and packets

    Attributes
    ----------
    server : address of a server that all base stations reach over the backhaul; None if there are
        no stations
    inbox : a store of received messages for each node, and for the server
    records : makes journals
    transfers : record of each message, in the order of ending
    packets : arrival of each packet, if the transport traces packets
    measurements : SNRs that devices have measured; none: snapshots contain the true means
    battery : returns the share (devices,) of each battery that is left; none: no batteries
    down, down_s : devices that have failed for good, and when [s]
    tx_s, rx_s : (nodes,) time spent transmitting, at full power, and receiving [s]
    slot_s : duration of a slot [s]
    analog : groups whose messages are added over the air; none: the medium access has none
    dozing : when devices are awake; none: always
    """

    def __init__(
        self,
        env: Clock,
        world: World,
        mac: Mac,
        air: AirOptions,
        seed: int,
        *,
        transport: Transport | None = None,
        backhaul: Backhaul | None = None,
        records: RecordBook | None = None,
    ) -> None:
        self.env = env
        self._world = world
        self._transport = Transport(packet_header_bytes=0) if transport is None else transport
        self.inbox = [simpy.Store(env) for _ in range(world.nodes + 1)]
        self.records = RecordBook() if records is None else records
        self.transfers = self.records.journal(Transfer)
        self.packets = self.records.journal(Packet)
        self.measurements: SnrMeasurements | None = None
        self.battery: Callable[[], Floats] | None = None
        self.tx_s = np.zeros(world.nodes)
        self.rx_s = np.zeros(world.nodes)
        setup = air.setup(env, world, mac, self._transport, seed)
        self._modem, self._allocation = setup.modem, getattr(mac, "allocation", None)
        self.slot_s = to_s(setup.modem.slot_ns)
        self._air = air.start(setup, self._on_attempt_end)
        power_save = getattr(mac, "power_save", None)
        self.dozing = None if power_save is None else Dozing(power_save, world.count)
        self._availability = LinkAvailability(env, world)
        self._propagation = PropagationDelay(env, world, self._availability)
        self._stalls = StallDetector(
            env, self._air, self._transport.link_failure_timeout_s, self._delivery_of
        )
        by_contacts = self._transport.routing == "contacts"
        self._router = Router(
            env,
            world,
            self._transport,
            Backhaul() if backhaul is None else backhaul,
            measured=air.replay if air.replays_messages else None,
            relays=Relays(env, self.snapshot)
            if self._transport.max_hops > 1 and not by_contacts
            else None,
            plan=_plan(world) if by_contacts else None,
            start=self._start,
            finish=self._finish,
        )
        self._flooding = Flooding(
            env, self.snapshot, self._transport,
            start=self._transmit, cancel=self._air.cancel, finish=self._finish,
        )  # fmt: skip
        self.server = self._router.server
        self.analog: AnalogAir | None = None
        if isinstance(mac, OverTheAir):
            self.analog = AnalogAir(
                setup, self._transport, self._availability, finish=self._finish,
                advance=self._router.advance, tx_s=self.tx_s, rx_s=self.rx_s,
            )  # fmt: skip
        self._serial = 0
        self._ledger = ByteLedger(world.names)
        self._under_way: dict[Attempt, tuple[Sequence[Delivery], Transmission]] = {}
        self._pending: set[Delivery] = set()
        self._queued_bytes = [0] * (world.nodes + 1)
        if world.faults is not None:
            for at_ns, device in world.faults.crash_instants_ns():
                env.at(at_ns, self.inbox[device].items.clear)

    @property
    def now_s(self) -> float:
        """The present instant [s]."""
        return to_s(self.env.now_ns)

    @property
    def down(self) -> set[int]:
        """Devices that have failed for good."""
        return self._availability.down

    @property
    def down_s(self) -> dict[int, float]:
        """Instants at which devices failed for good [s]."""
        return self._availability.down_s

    @property
    def in_flight(self) -> int:
        """Number of messages that have not ended."""
        return len(self._pending)

    def drained(self, without: Collection[str] = ()) -> simpy.Event:
        """Return an event at the end of all messages that are in flight now.

        Parameters
        ----------
        without : kinds of messages that are not waited for
        """
        waited = (each for each in self._pending if each.message.kind not in without)
        return self.env.all_of([each.event for each in waited])

    def is_drained(self, without: Collection[str] = ()) -> bool:
        """Return whether no message is in flight; see `drained`."""
        return all(each.message.kind in without for each in self._pending)

    def totals(self) -> dict[str, int]:
        """Return the bytes of all messages that have ended, as counted by the ledger."""
        return self._ledger.totals()

    def close(self) -> None:
        """Compare the ledger with the records, at the end of a run.

        Raises
        ------
        InvariantError
            if bytes submitted are not those delivered, dropped or in flight
        """
        self._ledger.close(self.transfers, self._in_flight(), self.now_s)

    def timeout(self, duration_s: float) -> simpy.Event:
        """Return an event that fires after a duration [s]."""
        return self.env.timeout(to_ns(duration_s))

    def snapshot(self, without: Iterable[int] = ()) -> Snapshot:
        """Return the world at the present instant, as a topology policy may see it.

        Parameters
        ----------
        without : devices that are as if they were absent
        """
        measured_db = None
        if self.measurements is not None:
            measured_db = self.measurements.snr_db(self.now_s)
        battery = None if self.battery is None else self.battery()
        return self._world.snapshot(
            self.now_s, sorted({*self.down, *without}), measured_db, battery
        )

    def block_links(self, known: Snapshot, bits: float) -> tuple[Floats, Floats]:
        """Return how messages of the devices would pass each resource block of their uplink.

        Parameters
        ----------
        known : the world at an instant
        bits : size of the messages [bit]

        Returns
        -------
        mean SNR, linear, and rate [bit/s] with the power that is used there, (devices, blocks); no
        columns if the medium access has no such blocks
        """
        blocks = self._allocation
        if not isinstance(blocks, ResourceBlocks):
            nothing = np.empty((self._world.count, 0))
            return nothing, nothing
        whole = np.ones(self._world.count)
        air_bits = whole * self._transport.air_bits(math.ceil(bits / 8))
        demand = Demand(
            bits=air_bits, left_s=whole, snr=known.uplink_snr, limit=whole,
            tx_power_w=known.tx_power_w, size_bits=air_bits, weight=whole,
            device=np.arange(self._world.count),
        )  # fmt: skip
        snr, rate_bps, _ = blocks.links(self._modem, demand)
        return snr, rate_bps

    def crashed(self, device: int, since_s: float) -> str | None:
        """Return the state of a device's memory if it has crashed since an instant [s].

        Returns
        -------
        `kept` or `lost`; None if it has not crashed
        """
        faults = self._world.faults
        if faults is None:
            return None
        return faults.crashed(device, to_ns(since_s), self.env.now_ns)

    @property
    def forgets_leavers(self) -> bool:
        """Whether devices delete what they hold of a device that has left."""
        faults = self._world.faults
        return faults is not None and faults.forgets_leavers

    def has_left(self, device: int) -> bool:
        """Return whether a device is absent by churn."""
        faults = self._world.faults
        return faults is not None and faults.has_left(device, self.env.now_ns)

    def next_presence_s(self) -> float | None:
        """Return the time until a device appears or leaves; None if that never happens [s]."""
        wait_s = self._world.motion.next_change_s(self.now_s) - self.now_s
        # At least one tick, or an instant between two ticks would never be reached.
        return None if math.isinf(wait_s) else max(wait_s, to_s(1))

    def send(self, message: Message) -> simpy.Event:
        """Submit a message; the event fires with its `Transfer`, delivered or not.

        A delivered message also appears in the inbox of its target.

        Raises
        ------
        ValueError
            if it is sent to its own source, is empty or has no lifetime
        """
        return self.broadcast(message, [message.target])[0]

    def broadcast(
        self, message: Message, targets: Sequence[int], quantile: float = 0.0
    ) -> list[simpy.Event]:
        """Submit a message to several receivers, in one multicast transmission.

        Parameters
        ----------
        message : the message; its own target is ignored
        targets : the receivers
        quantile : share of the receivers whose channel may be worse than the one for which the
            rate is selected; 0: the rate is that of the worst receiver

        Returns
        -------
        an event for each target, which fires with its `Transfer`, delivered or not

        Raises
        ------
        ValueError
            if it is sent to its own source, is empty or has no lifetime
        """
        if message.source in targets:
            raise ValueError(f"a message needs two devices, got {message.source} twice")
        if message.size_bytes < 1:
            raise ValueError(f"a message must have at least 1 byte, got {message.size_bytes}")
        if not message.lifetime_s > 0:
            raise ValueError(f"lifetime_s must be positive, got {message.lifetime_s}")
        now = self.env.now_ns
        outstanding = [len(targets)]
        tree = self._router.tree(message, targets)
        paths = {} if tree is None else tree.paths
        deliveries = [
            Delivery(
                message=message
                if message.target == target
                else dataclasses.replace(message, target=target),
                event=self.env.event(),
                sent_ns=now,
                expires_ns=now + to_ns(min(message.lifetime_s, LONGEST_S / 2)),
                hops=paths.get(target) or self._router.hops(message.source, target),
                receivers=len(targets),
                queued_since_ns=now,
                outstanding=outstanding,
                quantile=quantile,
                tree=tree,
            )
            for target in targets
        ]
        if tree is not None:
            tree.deliveries = deliveries
        self._pending.update(deliveries)
        for delivery in deliveries:
            self._ledger.sent(delivery.message)
        bound = self._transport.queue_bytes
        if bound is not None and self._queued_bytes[message.source] + message.size_bytes > bound:
            for delivery in deliveries:
                self.env.at(
                    now, partial(self._finish, delivery, False, "queue-overflow", queued=False)
                )
            return [delivery.event for delivery in deliveries]
        self._queued_bytes[message.source] += message.size_bytes
        if self._transport.multicast == "flood" and len(targets) > 1:
            self._flooding.submit(deliveries)
            return [delivery.event for delivery in deliveries]
        direct = [each for each in deliveries if each.hops and each.hops[0][0] == message.source]
        if self._router.contacts is not None:
            direct = []
        if direct:
            bits = self._transport.air_bits(message.size_bytes)
            if tree is None:
                self._start([[each] for each in direct], bits)
            else:
                on_tree = [each for each in direct if each.message.target in paths]
                rest = [[[each]] for each in direct if each not in on_tree]
                for sent in (copies(on_tree), *rest):
                    if sent:
                        self._start(sent, bits)
        for delivery in deliveries:
            if delivery not in direct:
                self._router.inject(delivery)
        return [delivery.event for delivery in deliveries]

    def superpose(self, messages: Sequence[Message], values: int) -> Group:
        """Submit messages of a group, whose values are added over the air.

        Their sizes are those in digital form. They end together, and those that are delivered also
        appear in the inbox of their target.

        Parameters
        ----------
        messages : messages of different sources to one target
        values : number of real values of each

        Returns
        -------
        the group, with an event for each message

        Raises
        ------
        ValueError
            if the medium access is another one, there are no messages or values, or the devices
            are served by several stations
        """
        if self.analog is None:
            raise ValueError("a group needs mac over-the-air, got another medium access")
        if not messages or values < 1:
            raise ValueError(
                f"a group needs messages and values, got {len(messages)} and {values} of them"
            )
        now = self.env.now_ns
        deliveries = [
            Delivery(
                message=message,
                event=self.env.event(),
                sent_ns=now,
                expires_ns=now + to_ns(min(message.lifetime_s, LONGEST_S / 2)),
                hops=self._router.hops(message.source, message.target),
                queued_since_ns=now,
                analog=True,
            )
            for message in messages
        ]
        receivers = {each.hops[0][1] for each in deliveries}
        if len(receivers) > 1:
            raise ValueError(f"a group must have one receiver, got {len(receivers)}")
        self._pending.update(deliveries)
        for delivery in deliveries:
            self._ledger.sent(delivery.message)
            self._queued_bytes[delivery.message.source] += delivery.message.size_bytes
        return self.analog.send(deliveries, values)

    def superposable(self, sources: Sequence[int], target: int) -> list[bool]:
        """Return which senders belong in a group now, others having to send in digital form."""
        if self.analog is None or not sources:
            return [self.analog is not None] * len(sources)
        receiver = self._router.hops(sources[0], target)[0][1]
        return self.analog.admitted(sources, receiver)

    def fail(self, device: int, reason: str) -> None:
        """Remove a device for good, and drop all attempts from or to it."""
        self._availability.fail(device, reason)
        self._air.drop(device, reason)

    def _delivery_of(self, attempt: Attempt) -> Delivery | None:
        """Return the delivery of an attempt that is under way."""
        found = self._under_way.get(attempt)
        return None if found is None else found[0][0]

    def _start(self, sent: Sequence[Sequence[Delivery]], bits: int) -> None:
        """Start the current hop of a message, once its receiver is awake; see `_transmit`."""
        awake = list(sent)
        if self.dozing is not None:
            now, awake = self.env.now_ns, []
            for copy in sent:
                wakes_ns = self.dozing.wakes_ns(copy[0].hops[copy[0].hop][1], now)
                if wakes_ns <= now:
                    awake.append(copy)
                elif wakes_ns < copy[0].expires_ns:
                    self.env.at(wakes_ns, partial(self._start, [copy], bits))
                else:
                    self.env.at(copy[0].expires_ns, partial(self._expire, copy))
        if awake:
            self._transmit(awake, bits)

    def _expire(self, copy: Sequence[Delivery]) -> None:
        """End deliveries whose message expires before their receiver wakes."""
        for delivery in copy:
            delivery.wait_until(self.env.now_ns)
            self._finish(delivery, False, "deadline")

    def _transmit(self, sent: Sequence[Sequence[Delivery]], bits: int) -> Transmission:
        """Enqueue the current hop of a message for the air, to one or several nodes.

        Parameters
        ----------
        sent : deliveries that the copy of each node is for
        bits : size of the message, or what is left of it [bit]
        """
        now = self.env.now_ns
        attempts = []
        for delivery, *_ in sent:
            source, target = delivery.hops[delivery.hop]
            limit_ns, reason = self._availability.limit(delivery, source, target)
            attempt = Attempt(
                serial=self._serial,
                source=source,
                target=target,
                size_bits=bits,
                limit_ns=now,
                limit_reason=reason,
                priority=delivery.message.priority,
                category=delivery.message.category,
                weight=delivery.message.weight,
                deadline_ns=delivery.expires_ns,
                carried_bits=self._transport.air_bits(delivery.message.size_bytes) - bits,
            )
            self._serial += 1
            self._propagation.limit(attempt, max(now, limit_ns))
            delivery.remaining_bits = bits
            delivery.checked_bits = -1
            attempts.append(attempt)
            self._stalls.watch(attempt)
        quantile = sent[0][0].quantile if len(sent) > 1 else 0.0
        transmission = Transmission(tuple(attempts), quantile)
        for attempt, copy in zip(attempts, sent, strict=True):
            self._under_way[attempt] = copy, transmission
            if self.dozing is not None:
                self.dozing.begin((attempt.source, attempt.target), now)
        self._air.push(transmission)
        return transmission

    def _on_attempt_end(self, attempt: Attempt) -> None:
        """Handle the end of an attempt at its transmitter, and later at its receiver."""
        copy, transmission = self._under_way.pop(attempt)
        if self.dozing is not None:
            self.dozing.end((attempt.source, attempt.target), self.env.now_ns)
        airtime_s = transmission.take_airtime(attempt)
        for node, tx_s, rx_s in (
            (attempt.source, airtime_s, attempt.ack_s),
            (attempt.target, attempt.ack_s, attempt.receiving_s),
        ):
            # The server, which is an end of measured links, has no radio.
            if node != self.server:
                self.tx_s[node] += tx_s
                self.rx_s[node] += rx_s
        self._propagation.follow(attempt, partial(self._on_arrival, copy, attempt))

    def _on_arrival(self, copy: Sequence[Delivery], attempt: Attempt) -> None:
        """Handle the end of an attempt: forward the message, retry, or drop it."""
        delivery, now = copy[0], self.env.now_ns
        for each in copy:
            each.account(attempt, now, counts=each is delivery)
        if delivery in self._flooding:
            self._flooding.ended(delivery, attempt)
            return
        if attempt.delivered:
            if self._transport.trace:
                self.packets.extend(delivery.packets(now, self._transport))
            self._router.forward(copy)
            return
        bits = max(delivery.remaining_bits - attempt.acked_bits, 1)
        if attempt.reason in _RESUMABLE and self._router.contacts is not None:
            planned = self._availability.sets(attempt.source, attempt.target)
            self._router.contacts.resume(delivery, bits, planned=planned)
            return
        if attempt.reason in _RESUMABLE:
            copy = self._router.detour(copy)
            if not copy:
                return
            delivery = copy[0]
        if self._transport.on_link_failure == "resume" and attempt.reason in _RESUMABLE:
            if attempt.reason == "station-failure":
                self._router.reroute(delivery)
                return
            wait_ns = to_ns(self._transport.retry_s) if attempt.reason == "link-failure" else 1
            hop, expires_ns = delivery.hops[delivery.hop], delivery.expires_ns
            retry_ns = self._availability.retry_ns(hop, wait_ns, expires_ns)
            if retry_ns < expires_ns:
                self.env.at(retry_ns, partial(self._start, [copy], bits))
                return
        for each in copy:
            self._finish(each, False, attempt.reason)

    def _in_flight(self) -> Iterator[Message]:
        """Yield the messages that have not ended."""
        return (delivery.message for delivery in self._pending)

    def _finish(
        self, delivery: Delivery, delivered: bool, reason: str, *, queued: bool = True
    ) -> None:
        """End a delivery; `queued` tells whether the message occupies its source's queue."""
        message = delivery.message
        self._pending.discard(delivery)
        delivery.outstanding[0] -= 1
        if not delivery.outstanding[0]:
            if queued:
                self._queued_bytes[message.source] -= message.size_bytes
            if delivery.tree is not None:
                self._router.release(delivery.tree)
        transfer = delivery.transfer(self.env.now_ns, delivered, reason, self._transport)
        self.transfers.append(transfer)
        self._ledger.ended(transfer, self._in_flight())
        if delivered:
            self.inbox[message.target].put(message)
        delivery.event.succeed(transfer)


def _plan(world: World) -> ContactPlan:
    """Return the contacts of a world: those given, of its satellites, or of its devices."""
    if world.plan is not None:
        return world.plan
    return MotionPlan(world) if world.sky is None else SatellitePlan(world)
