"""Group transmissions: messages whose values are added over the air.

Groups transmit one after another, each from the start of a slot on. Each sender's message is a
transfer of its own, as large as it would be in digital form, which is what the records compare.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from wnsim.air import Attempt, Superposition
from wnsim.air.superposition import duration_ns, mean_snr, superpose, symbols_per_slot
from wnsim.core.clock import FIRST
from wnsim.core.transfer import BELOW_THRESHOLD
from wnsim.core.units import Floats, Ints, to_s

if TYPE_CHECKING:
    import simpy

    from wnsim.air import Setup
    from wnsim.network.delivery import Delivery
    from wnsim.network.link_supervision import LinkAvailability
    from wnsim.network.transport import Transport


@dataclass(eq=False, slots=True)
class Group:
    """Transmission of a group.

    Parameters
    ----------
    events : one for each sender, in order, which fires with its `Transfer`

    Attributes
    ----------
    superposition : the sum, once all events have fired; none if it did not reach its target by the
        deadline
    """

    events: list[simpy.Event]
    superposition: Superposition | None = None


@dataclass(frozen=True, slots=True)
class _OnAir:
    """A group on the air.

    Parameters
    ----------
    group, deliveries : the group, and the messages
    target : receiver
    values : number of values of each message
    first_slot : slot in which it begins
    end_ns : when it ends, or expires [ns]
    limits : until when each sender is able to send [ns], and why not longer
    complete : whether it ends by the deadline
    """

    group: Group
    deliveries: list[Delivery]
    target: int
    values: int
    first_slot: int
    end_ns: int
    limits: list[tuple[int, str]]
    complete: bool


class AnalogAir:
    """Groups on the air.

    Parameters
    ----------
    setup : world, physical layer and access
    transport : sizes of messages
    availability : when nodes are able to send and receive
    finish : ends a delivery, given whether it is delivered, and otherwise the reason
    advance : forwards a delivery that was received
    tx_s, rx_s : (nodes,) times spent transmitting and receiving, which grow by those of groups [s]

    Raises
    ------
    ValueError
        if a slot is too short for a symbol
    """

    def __init__(
        self,
        setup: Setup,
        transport: Transport,
        availability: LinkAvailability,
        *,
        finish: Callable[[Delivery, bool, str], None],
        advance: Callable[[Delivery], None],
        tx_s: Floats,
        rx_s: Floats,
    ) -> None:
        # A slot that is too short for a symbol is an error now.
        symbols_per_slot(setup)
        self._setup = setup
        self._transport = transport
        self._availability = availability
        self._finish = finish
        self._advance = advance
        self._tx_s, self._rx_s = tx_s, rx_s
        self._free_ns = 0

    def admitted(self, sources: Sequence[int], target: int) -> list[bool]:
        """Return which senders may be in a group: all, or those above the threshold without fading.

        Parameters
        ----------
        sources, target : senders, and the receiver of their hop
        """
        if self._setup.mac.weak_devices != "digital":
            return [True] * len(sources)
        now_s = to_s(self._setup.env.now_ns)
        snr = mean_snr(self._setup, sources, target, now_s)
        return [bool(each) for each in snr >= self._setup.mac.threshold]

    def send(self, deliveries: list[Delivery], values: int) -> Group:
        """Send messages of one number of values to the receiver of their first hop."""
        env, slot_ns = self._setup.env, self._setup.modem.slot_ns
        group = Group([each.event for each in deliveries])
        target = deliveries[0].hops[0][1]
        first_slot = -(-max(env.now_ns, self._free_ns) // slot_ns)
        end_ns = first_slot * slot_ns + duration_ns(self._setup, values)
        expires_ns = min(each.expires_ns for each in deliveries)
        on_air = _OnAir(
            group, deliveries, target, values, first_slot, min(end_ns, expires_ns),
            [self._availability.limit(each, *each.hops[0]) for each in deliveries],
            end_ns <= expires_ns,
        )  # fmt: skip
        self._free_ns = max(self._free_ns, on_air.end_ns)
        env.at(on_air.end_ns, partial(self._end, on_air), late=FIRST)
        return group

    def _end(self, on_air: _OnAir) -> None:
        """End a group: account for what was sent, and deliver what arrived."""
        start_ns = min(on_air.first_slot * self._setup.modem.slot_ns, on_air.end_ns)
        sources = [each.hops[0][0] for each in on_air.deliveries]
        limits = [
            self._availability.earlier(source, on_air.target, limit)
            for source, limit in zip(sources, on_air.limits, strict=True)
        ]
        until_ns = [limit_ns for limit_ns, _ in limits]
        found = superpose(
            self._setup, sources, on_air.target, on_air.first_slot, on_air.values, until_ns
        )
        if on_air.target < self._rx_s.size:
            self._rx_s[on_air.target] += to_s(on_air.end_ns - start_ns)
        received: list[Delivery] = []
        for place, delivery in enumerate(on_air.deliveries):
            self._tx_s[sources[place]] += found.tx_s[place]
            limit_ns, reason = limits[place]
            if on_air.complete:
                reason = BELOW_THRESHOLD if limit_ns >= on_air.end_ns else reason
            else:
                reason = reason if limit_ns < on_air.end_ns else "deadline"
            sent = bool(found.blocks[place] > 0)
            delivered = on_air.complete and limit_ns >= on_air.end_ns and sent
            delivery.account(
                self._attempt(on_air, place, start_ns, found.silent_ns, delivered=delivered),
                on_air.end_ns,
            )
            last = delivery.attempts[-1][1]
            last.sent, last.snr_sum = int(found.blocks[place]), float(found.snr[place])
            if delivered:
                received.append(delivery)
            else:
                self._finish(delivery, False, reason)
        # Parts of updates alone are no message that anybody forwards.
        if received:
            on_air.group.superposition = found.superposition
            self._forward(on_air.group, received)

    def _attempt(
        self, on_air: _OnAir, place: int, start_ns: int, silent_ns: Ints, *, delivered: bool
    ) -> Attempt:
        """Return a sender's part in a group as an attempt that has ended."""
        delivery = on_air.deliveries[place]
        bits = self._transport.air_bits(delivery.message.size_bytes)
        source, target = delivery.hops[0]
        return Attempt(
            -1,
            source,
            target,
            bits,
            on_air.end_ns,
            "",
            started_ns=start_ns,
            ended_ns=on_air.end_ns,
            delivered=delivered,
            acked_bits=bits * delivered,
            access_ns=min(int(silent_ns[place]), on_air.end_ns - start_ns),
        )

    def _forward(self, group: Group, received: list[Delivery]) -> None:
        """Forward a sum to its target: one message for all, over the backhaul if needed."""
        first, *others = received

        def follow(event: simpy.Event) -> None:
            transfer: Any = event.value
            if not transfer.delivered:
                group.superposition = None
            for other in others:
                other.backhaul_ns = first.backhaul_ns
                other.queued_since_ns = first.queued_since_ns
                self._finish(other, transfer.delivered, transfer.reason)

        first.event.callbacks.insert(0, follow)
        self._advance(first)
