"""Messages between devices: handed over at one instant, delivered or given up at another."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import simpy

from wnsim.air import ENGINES, Air, Contention, Flow, Replayed, Setup, Stream
from wnsim.core import streams
from wnsim.core.invariants import Books
from wnsim.core.transfer import Message, Packet, Transfer
from wnsim.core.units import LONGEST_S, NS_PER_S, to_ns, to_s
from wnsim.network.delivery import Delivery
from wnsim.network.transport import Transport
from wnsim.storage.journal import Journal

if TYPE_CHECKING:
    from wnsim.air.quality import Prediction
    from wnsim.channel import ReplayTable
    from wnsim.core.clock import Clock
    from wnsim.mac import Mac
    from wnsim.world import Snapshot, World

T = TypeVar("T")

__all__ = ["Backhaul", "Message", "Network", "Packet", "Transfer"]

# An instant that no simulation reaches: 292 years.
_FAR_NS = 2**63 - 1
# Why a transfer ends that another attempt may complete.
_RESUMED = frozenset({"departed", "link-failure", "crash", "link-outage", "station-failure"})


@dataclass(frozen=True, slots=True)
class Backhaul:
    """What connects base stations.

    Parameters
    ----------
    rate_bps : of each message by itself [bit/s]; none: infinite
    delay_s : from station to station [s]
    """

    rate_bps: float | None = None
    delay_s: float = 0.0

    def delay_ns(self, bits: int) -> int:
        """Return how long a message takes [ns]."""
        return to_ns(self.delay_s + (bits / self.rate_bps if self.rate_bps else 0.0))


class Network:
    """All devices' radios.

    Parameters
    ----------
    env : the simulation's clock
    world : devices, channel and physical layer
    mac : medium access
    block_ns : time over which the channel counts as constant [ns]
    csi_delay_s : age of the channel knowledge from which rates are chosen, rounded up to whole
        slots [s]
    seed : seed of the errors on the air
    transport : packets, queues and broken links
    engine : `windowed` or `packet`
    prediction : how the present channel is guessed from late knowledge
    backhaul : what connects base stations
    replay : measured rates or latencies of links, in place of the air
    folder : on whose disk there is room for records; none: where the system has temporary files

    Attributes
    ----------
    server : address of a server that all base stations reach over the backhaul; None if there is
        no station
    inbox : one store of received messages for each node, and for the server
    transfers : what became of every message, in the order of ending
    packets : when each packet arrived, if the transport traces them
    down, down_s : devices that do not work any more, and since when they failed [s]
    tx_s, rx_s : (nodes,) seconds at full power of sending, and of receiving
    slot_s : length of a slot [s]
    """

    def __init__(
        self,
        env: Clock,
        world: World,
        mac: Mac,
        block_ns: int,
        csi_delay_s: float,
        seed: int,
        *,
        transport: Transport | None = None,
        engine: str = "windowed",
        prediction: Prediction = "none",
        backhaul: Backhaul | None = None,
        replay: ReplayTable | None = None,
        folder: Path | None = None,
    ) -> None:
        self.env = env
        self.inbox = [simpy.Store(env) for _ in range(world.nodes + 1)]
        self._folder = folder
        self._journals: list[Journal[Any]] = []
        self.transfers = self.journal(Transfer)
        self.packets = self.journal(Packet)
        self.down: set[int] = set()
        self.down_s: dict[int, float] = {}
        self._failures: dict[int, str] = {}
        self.tx_s = np.zeros(world.nodes)
        self.rx_s = np.zeros(world.nodes)
        self._world = world
        self._transport = Transport(packet_header_bytes=0) if transport is None else transport
        self._backhaul = Backhaul() if backhaul is None else backhaul
        modem = world.phy.modem(world.bandwidth_hz, world.channel.subbands, block_ns)
        self.slot_s = to_s(modem.slot_ns)
        setup = Setup(
            env=env,
            world=world,
            mac=mac,
            modem=modem,
            sample_slots=_power_of_two(block_ns // modem.slot_ns),
            csi_delay_slots=-(-to_ns(csi_delay_s) // modem.slot_ns),
            prediction=prediction,
            error_key=streams.key(seed, "errors"),
            trace=self._transport.trace,
            packet_bits=8 * (self._transport.packet_bytes + self._transport.packet_header_bytes),
        )
        measured = replay if replay is not None and replay.times_messages else None
        self._air: Air | Contention | Replayed
        if measured is None:
            self._air = ENGINES[mac.scheme][engine](setup, self._ended)
        else:
            self._air = Replayed(setup, measured, self._ended)
        self._replays = measured is not None
        has_stations = world.nodes > world.count and not self._replays
        self.server = world.nodes if has_stations else None
        self._valid_s: float | None = None
        self._measured: dict[tuple[int, int], tuple[float, float]] = {}
        self._serial = 0
        self._books = Books(world.names)
        self._under_way: dict[Flow, tuple[Delivery, Stream]] = {}
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
    def in_flight(self) -> int:
        """Number of messages that have not ended."""
        return len(self._pending)

    def totals(self) -> dict[str, int]:
        """Return the bytes of all messages that have ended, as they were counted when they did."""
        return self._books.totals()

    def close(self) -> None:
        """Check at the end of a run that nothing is lost that nobody knows of.

        Raises
        ------
        BrokenLawError
            if what was sent is not what was delivered, lost, or is in flight
        """
        self._books.close(self.transfers, self._in_flight(), self.now_s)

    def journal(self, kind: type[T]) -> Journal[T]:
        """Return an empty journal of records of a kind, where those of messages are."""
        journal = Journal(kind, self._folder)
        self._journals.append(journal)
        return journal

    def discard(self) -> None:
        """Forget all records, at the end of a run."""
        for journal in self._journals:
            journal.close()

    def timeout(self, duration_s: float) -> simpy.Event:
        """Return an event that fires after a duration [s]."""
        return self.env.timeout(to_ns(duration_s))

    def snapshot(self) -> Snapshot:
        """Return what a topology policy may see of the world now."""
        measured_db = None
        if self._valid_s is not None:
            measured_db = np.full((self._world.count, self._world.count), -np.inf)
            for link, (time_s, snr_db) in self._measured.items():
                if time_s >= self.now_s - self._valid_s:
                    measured_db[link] = snr_db
        return self._world.snapshot(self.now_s, sorted(self.down), measured_db)

    def measure(self, valid_s: float) -> None:
        """Let snapshots tell what was heard of probes in the last while [s], not what is true."""
        self._valid_s = valid_s

    def heard(self, transfer: Transfer) -> None:
        """Keep the SINR of a probe that arrived."""
        link = (transfer.message.source, transfer.message.target)
        self._measured[link] = (transfer.ended_s, transfer.mean_snr_db)

    def crashed(self, device: int, since_s: float) -> str | None:
        """Return what a device that has crashed since an instant [s] has of its memory.

        Returns
        -------
        `kept` or `lost`; None, if it has not crashed
        """
        faults = self._world.faults
        if faults is None:
            return None
        return faults.crashed(device, to_ns(since_s), self.env.now_ns)

    def next_presence_s(self) -> float | None:
        """Return how long until a device appears or vanishes; None if that never happens [s]."""
        wait_s = self._world.motion.next_change_s(self.now_s) - self.now_s
        # At least one tick of the clock, or an instant between two ticks would never be reached.
        return None if math.isinf(wait_s) else max(wait_s, to_s(1))

    def send(self, message: Message) -> simpy.Event:
        """Hand over a message; the event fires with its `Transfer`, delivered or not.

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
        """Hand over a message that several devices are to hear at once.

        Parameters
        ----------
        message : what is told; its own target does not count
        targets : who is to hear it
        quantile : share of them that may be worse than the one for which the rate is chosen;
            0: the rate is that of the worst

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
        mates = [len(targets)]
        deliveries = [
            Delivery(
                message=dataclasses.replace(message, target=target),
                event=self.env.event(),
                sent_ns=now,
                expires_ns=now + to_ns(min(message.lifetime_s, LONGEST_S / 2)),
                hops=self._legs(message.source, target),
                receivers=len(targets),
                queued_since_ns=now,
                mates=mates,
            )
            for target in targets
        ]
        self._pending.update(deliveries)
        for delivery in deliveries:
            self._books.sent(delivery.message)
        bound = self._transport.queue_bytes
        if bound is not None and self._queued_bytes[message.source] + message.size_bytes > bound:
            for delivery in deliveries:
                self.env.at(
                    now, partial(self._finish, delivery, False, "queue-overflow", counted=False)
                )
            return [delivery.event for delivery in deliveries]
        self._queued_bytes[message.source] += message.size_bytes
        bits = self._transport.air_bits(message.size_bytes)
        near = [each for each in deliveries if each.hops[0][0] == message.source]
        if near:
            self._start(near, bits, quantile)
        for delivery in deliveries:
            if delivery not in near:
                begin = partial(self._start, [delivery], bits)
                self._over_backhaul(delivery, message.source, delivery.hops[0][0], begin)
        return [delivery.event for delivery in deliveries]

    def fail(self, device: int, reason: str) -> None:
        """Take a device out of the network for good, and give up what it sends or receives."""
        self.down.add(device)
        self.down_s[device] = self.now_s
        self._failures[device] = reason
        self._air.drop(device, reason)

    def _legs(self, source: int, target: int) -> list[tuple[int, int]]:
        """Return the links that a message takes one after the other."""
        devices, ends = range(self._world.count), (source, target)
        stations = range(self._world.count, self._world.nodes)
        if not stations or self._replays or any(end in stations for end in ends):
            return [ends]
        # Between devices, or between a device and the server.
        up = [(source, self._world.serving(source, self.now_s))] if source in devices else []
        down = [(self._world.serving(target, self.now_s), target)] if target in devices else []
        return up + down

    def _start(self, deliveries: list[Delivery], bits: int, quantile: float = 0.0) -> None:
        """Let the next hop of a message to one or several receivers wait for the air."""
        now = self.env.now_ns
        flows = []
        for delivery in deliveries:
            source, target = delivery.hops[delivery.hop]
            limit_ns, reason = self._limit(delivery, source, target)
            flow = Flow(
                serial=self._serial,
                source=source,
                target=target,
                size_bits=bits,
                limit_ns=max(now, limit_ns),
                limit_reason=reason,
                priority=delivery.message.priority,
                deadline_ns=delivery.expires_ns,
                carried_bits=self._transport.air_bits(delivery.message.size_bytes) - bits,
            )
            self._serial += 1
            delivery.remaining_bits = bits
            delivery.seen_bits = -1
            flows.append(flow)
            if self._transport.link_failure_timeout_s is not None:
                self._look_after(flow)
        stream = Stream(tuple(flows), quantile)
        self._under_way.update(
            (flow, (delivery, stream)) for flow, delivery in zip(flows, deliveries, strict=True)
        )
        self._air.push(stream)

    def _limit(self, delivery: Delivery, source: int, target: int) -> tuple[int, str]:
        """Return when what goes over a link is given up if it has not arrived, and why then."""
        faults = self._world.faults
        vanishes_ns = min(self._vanishes_ns(end) for end in (source, target))
        if faults is not None:
            vanishes_ns = min(vanishes_ns, faults.cut_ns(source, target, self.env.now_ns))
        if vanishes_ns >= delivery.expires_ns:
            return delivery.expires_ns, "deadline"
        reason = "departed" if faults is None else faults.reason(source, target, vanishes_ns)
        for node in self.down.intersection((source, target)):
            reason = self._failures.get(node, reason)
        return vanishes_ns, reason

    def _vanishes_ns(self, node: int) -> int:
        """Return when a node that is there now vanishes; now, if it is not there [ns]."""
        motion = self._world.motion
        if node >= self._world.count:
            faults = self._world.faults
            return _FAR_NS if faults is None else faults.fails_ns(node, self.env.now_ns)
        if node in self.down or not motion.present(np.array([node]), np.array([self.now_s]))[0, 0]:
            return self.env.now_ns
        end_s = motion.presence_end_s(node, self.now_s)
        return _FAR_NS if math.isinf(end_s) else int(end_s * NS_PER_S)

    def _look_after(self, flow: Flow) -> None:
        """Look again, after a while, whether anything arrived of a flow."""
        wait_ns = to_ns(self._transport.link_failure_timeout_s or 0.0)
        self.env.at(self.env.now_ns + wait_ns, partial(self._look, flow), late=True)

    def _look(self, flow: Flow) -> None:
        if flow not in self._under_way:
            return
        delivery, _ = self._under_way[flow]
        if flow.started_ns >= 0:
            bits = self._air.acked_bits(flow)
            if bits == delivery.seen_bits:
                # Not in the phase of an instant in which slots begin.
                self.env.at(self.env.now_ns + 1, partial(self._break, flow))
                return
            delivery.seen_bits = bits
        self._look_after(flow)

    def _break(self, flow: Flow) -> None:
        if flow in self._under_way:
            self._air.cancel(flow, "link-failure")

    def _ended(self, flow: Flow) -> None:
        """Take in that the air has done with a flow."""
        delivery, stream = self._under_way.pop(flow)
        delivery.account(flow)
        self.tx_s[flow.source] += stream.take_airtime(flow)
        self.rx_s[flow.target] += flow.receiving_s
        if flow.delivered:
            if self._transport.trace:
                self.packets.extend(delivery.packets(flow, self._transport))
            self._hop(delivery)
            return
        if self._transport.on_link_failure == "resume" and flow.reason in _RESUMED:
            if flow.reason == "station-failure":
                self._elsewhere(delivery)
                return
            retry_ns = self._retry_ns(delivery, flow.reason)
            if retry_ns < delivery.expires_ns:
                bits = max(delivery.remaining_bits - flow.acked_bits, 1)
                self.env.at(retry_ns, partial(self._start, [delivery], bits))
                return
        self._finish(delivery, False, flow.reason)

    def _elsewhere(self, delivery: Delivery) -> None:
        """Send a message whose station has failed from its source again, once one works."""
        faults, source = self._world.faults, delivery.message.source
        hops = self._legs(source, delivery.message.target)
        now = self.env.now_ns
        if faults is not None and any(faults.clear_ns(*hop, now) > now for hop in hops):
            again_ns = faults.next_edge_ns(now)
            if again_ns < delivery.expires_ns:
                self.env.at(again_ns, partial(self._elsewhere, delivery))
            else:
                self._finish(delivery, False, "station-failure")
            return
        delivery.restart(hops)
        bits = self._transport.air_bits(delivery.message.size_bytes)
        begin = partial(self._start, [delivery], bits)
        reached = source if source == self.server else hops[0][0]
        self._over_backhaul(delivery, reached, hops[0][0], begin)

    def _hop(self, delivery: Delivery) -> None:
        """Go on to the next hop, or to the target."""
        reached, message = delivery.hops[delivery.hop][1], delivery.message
        delivery.hop += 1
        if delivery.hop < len(delivery.hops):
            bits = self._transport.air_bits(message.size_bytes)
            begin = partial(self._start, [delivery], bits)
            self._over_backhaul(delivery, reached, delivery.hops[delivery.hop][0], begin)
        elif reached == message.target:
            self._finish(delivery, True, "")
        else:
            end = partial(self._finish, delivery, True, "")
            self._over_backhaul(delivery, reached, message.target, end)

    def _over_backhaul(
        self, delivery: Delivery, reached: int, wanted: int, action: Callable[[], None]
    ) -> None:
        """Do something when a message has come from one station to another, if it still lives."""
        now = self.env.now_ns
        bits = self._transport.air_bits(delivery.message.size_bytes)
        wait_ns = self._backhaul.delay_ns(bits) if reached != wanted else 0
        if now + wait_ns >= delivery.expires_ns:
            wait_ns = delivery.expires_ns - now
            action = partial(self._finish, delivery, False, "deadline")
        delivery.backhaul_ns += wait_ns
        delivery.queued_since_ns = now + wait_ns
        self.env.at(now + wait_ns, action)

    def _retry_ns(self, delivery: Delivery, reason: str) -> int:
        """Return when a broken link may be tried again: its devices are there [ns]."""
        ends = [node for node in delivery.hops[delivery.hop] if node < self._world.count]
        if self.down.intersection(ends):
            return _FAR_NS
        motion = self._world.motion
        wait_ns = to_ns(self._transport.retry_s) if reason == "link-failure" else 1
        time_s = to_s(self.env.now_ns + wait_ns)
        while time_s * NS_PER_S < delivery.expires_ns:
            if motion.present(np.array(ends), np.array([time_s])).all():
                ready_ns = max(to_ns(time_s), self.env.now_ns + 1)
                clear_ns, faults = ready_ns, self._world.faults
                if faults is not None:
                    clear_ns = faults.clear_ns(*delivery.hops[delivery.hop], ready_ns)
                if clear_ns == ready_ns:
                    return ready_ns
                time_s = to_s(clear_ns)
                continue
            # A tick later: an instant between two ticks of the clock is before it on the clock.
            time_s = motion.next_change_s(time_s) + to_s(1)
        return _FAR_NS

    def _in_flight(self) -> Iterator[Message]:
        """Yield the messages that have not ended."""
        return (delivery.message for delivery in self._pending)

    def _finish(
        self, delivery: Delivery, delivered: bool, reason: str, *, counted: bool = True
    ) -> None:
        """End a message."""
        message = delivery.message
        self._pending.discard(delivery)
        if counted:
            delivery.mates[0] -= 1
            if not delivery.mates[0]:
                self._queued_bytes[message.source] -= message.size_bytes
        transfer = delivery.transfer(self.env.now_ns, delivered, reason, self._transport)
        self.transfers.append(transfer)
        self._books.ended(transfer, self._in_flight())
        if delivered:
            self.inbox[message.target].put(message)
        delivery.event.succeed(transfer)


def _power_of_two(number: int) -> int:
    """Return the largest power of two up to a number, at least 1."""
    return 1 << (max(number, 1).bit_length() - 1)
