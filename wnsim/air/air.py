"""What engines have in common: who is on the air, who waits, and what ends when.

Time on the air is divided into slots on an absolute grid. Streams start at the beginning of a
slot; a flow ends when its last bit arrives, or at its limit, wherever in a slot that is, and its
resources are free from the next slot on. At any instant flows end first, in the order in which
they were handed over, then everything else happens, and streams start last. What happens in the
slots is an engine's business.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from wnsim.air.deadline_power import set_powers
from wnsim.air.flow import Flow, Stream
from wnsim.air.interference_graph import Hearing
from wnsim.air.quality import TERMS
from wnsim.air.queues import Queues, by_serial
from wnsim.air.spatial_reuse import Protection
from wnsim.core.clock import FIRST, LAST
from wnsim.core.invariants import HalfDuplex
from wnsim.core.units import to_s

if TYPE_CHECKING:
    from wnsim.air.quality import Prediction
    from wnsim.core.clock import Clock
    from wnsim.phy import Modem
    from wnsim.world import World


@dataclass(frozen=True, slots=True)
class Setup:
    """What an engine works with.

    Parameters
    ----------
    env : the simulation's clock
    world : devices, channel and powers
    mac : who transmits when, of the kind that the engine is for
    modem : what becomes of a slot
    sample_slots : slots between samples of the channel
    csi_delay_slots : age of the channel knowledge from which rates are chosen
    prediction : how the present channel is guessed from that knowledge
    error_key : key of the draws that decide on errors
    trace : whether flows remember when each of their bits arrived
    packet_bits : size of a packet, its headers included, where the air carries packets [bit]
    """

    env: Clock
    world: World
    mac: Any
    modem: Modem
    sample_slots: int
    csi_delay_slots: int
    prediction: Prediction
    error_key: int
    trace: bool = False
    packet_bits: int = 12_000

    @property
    def csi_delays(self) -> list[int]:
        """How many slots ago the gains are from which the present one is guessed."""
        terms = TERMS[self.prediction] if self.csi_delay_slots else 1
        return [term * self.csi_delay_slots for term in range(1, terms + 1)]

    @property
    def sample_ns(self) -> int:
        """Time between samples of the channel [ns]."""
        return self.sample_slots * self.modem.slot_ns

    def sample_of_ns(self, slot: int) -> int:
        """Return the instant at which the sample of the channel is taken for a slot [ns]."""
        return slot // self.sample_slots * self.sample_ns


class Air:
    """The part of an engine that does not look into slots.

    Parameters
    ----------
    setup : what to work with
    ended : called with each flow when it has been delivered or given up
    """

    def __init__(self, setup: Setup, ended: Callable[[Flow], None]) -> None:
        self.setup = setup
        self.env = setup.env
        self.slot_ns = setup.modem.slot_ns
        self.rules = setup.mac.rules()
        self._ended = ended
        self._queues = Queues(self.rules)
        self._duplex = HalfDuplex(setup.world.names) if self.rules.half_duplex else None
        self.hearing = Hearing(setup.world) if self.rules.interferes else None
        self._protection = None
        if self.hearing is not None and self.rules.protection_ratio_db is not None:
            self._protection = Protection(self.hearing, self.rules.protection_ratio_db)
        self._streams: dict[Flow, Stream] = {}
        self._alive: dict[Stream, int] = {}
        self._end_ns: int | None = None
        self._boundary_ns: int | None = None

    # What an engine adds.

    def begin(self, slot: int, started: Sequence[Stream]) -> None:
        """Take in that a slot begins, with these streams new on the air and others gone."""
        raise NotImplementedError

    def due(self, now_ns: int) -> list[Flow]:
        """Return the flows on the air that end by an instant [ns]."""
        raise NotImplementedError

    def settle(self, flow: Flow, now_ns: int) -> None:
        """Book what a flow that ends now did on the air, and forget it."""
        raise NotImplementedError

    def next_end_ns(self) -> int | None:
        """Return when the next flow on the air ends, as far as is known [ns]."""
        raise NotImplementedError

    def next_slot(self) -> int | None:
        """Return the next slot to begin although nobody starts or ends."""
        raise NotImplementedError

    def acked_bits(self, flow: Flow) -> int:
        """Return how many bits of a flow on the air have arrived by now."""
        raise NotImplementedError

    # What the network uses.

    def push(self, stream: Stream) -> None:
        """Let a stream wait for its turn."""
        self._queues.add(stream)
        for flow in stream.flows:
            self._arm_end(max(flow.limit_ns, self.env.now_ns))
        self._arm_boundary(-(-self.env.now_ns // self.slot_ns))

    def drop(self, device: int, reason: str) -> None:
        """Give up everything from or to a device, now."""
        for flow in by_serial([*self._queues.waiting(), *self._streams]):
            if device in (flow.source, flow.target):
                self.cancel(flow, reason)

    def cancel(self, flow: Flow, reason: str) -> None:
        """Give up a flow, now."""
        flow.limit_ns, flow.limit_reason = self.env.now_ns, reason
        if flow in self._streams:
            self._leave_air(flow, self.env.now_ns)
        else:
            self._queues.withdraw(flow)
            self._end(flow, self.env.now_ns)
        self._arm_next()

    # How it runs.

    def _arm_end(self, instant_ns: int) -> None:
        if self._end_ns is None or instant_ns < self._end_ns:
            self._end_ns = instant_ns
            self.env.at(instant_ns, self._on_end, late=FIRST)

    def _arm_boundary(self, slot: int) -> None:
        instant_ns = slot * self.slot_ns
        if self._boundary_ns is None or instant_ns < self._boundary_ns:
            self._boundary_ns = instant_ns
            self.env.at(instant_ns, self._on_boundary, late=LAST)

    def _on_end(self) -> None:
        now = self.env.now_ns
        if self._end_ns != now:
            return
        self._end_ns = None
        waiting = self._queues.expire(now)
        for flow in by_serial([*waiting, *self.due(now)]):
            if flow in self._streams:
                self._leave_air(flow, now)
            else:
                self._end(flow, now)
        self._arm_next()

    def _on_boundary(self) -> None:
        now = self.env.now_ns
        if self._boundary_ns != now:
            return
        self._boundary_ns = None
        if self._protection is not None and self._protection.renew(now):
            # At one go for all who will be asked for before long.
            flows = [*self._queues.waiting(), *self._streams]
            self._protection.prepare({flow.target for flow in flows}, now)
        started = self._queues.admit(self._barred, self._prepare, self._start)
        if self.rules.margin_db is not None:
            set_powers(started, self.setup, now // self.slot_ns, self.rules.margin_db)
        self.begin(now // self.slot_ns, started)
        self._arm_next()

    def _barred(self, source: int) -> bool:
        """Return whether a transmitter must not send, because of those on the air."""
        return self._protection is not None and self._protection.barred(source)

    def _prepare(self, streams: Sequence[Stream]) -> None:
        """Find out together what will be asked of the receivers of streams."""
        if self._protection is not None:
            receivers = {flow.target for stream in streams for flow in stream.flows}
            self._protection.prepare(receivers, self.env.now_ns)

    def _start(self, stream: Stream) -> bool:
        """Put a stream on the air, unless somebody has to be protected from it."""
        if self._protection is not None:
            # One that started just now may bar a source that was free before.
            if self._barred(stream.source) or not self._protection.permits(stream.flows):
                return False
            self._protection.begin(stream.flows)
        now = self.env.now_ns
        self._alive[stream] = len(stream.flows)
        if self._duplex is not None:
            self._duplex.begin(stream.source, [flow.target for flow in stream.flows], to_s(now))
        for flow in stream.flows:
            flow.started_ns = now
            self._streams[flow] = stream
        return True

    def _arm_next(self) -> None:
        for instant_ns in (self._queues.next_limit_ns(), self.next_end_ns()):
            if instant_ns is not None:
                self._arm_end(instant_ns)
        slot = self.next_slot()
        if slot is not None:
            self._arm_boundary(slot)

    def _leave_air(self, flow: Flow, now: int) -> None:
        """Take a flow off the air."""
        stream = self._streams.pop(flow)
        self._alive[stream] -= 1
        self.settle(flow, now)
        last = not self._alive[stream]
        self._queues.release(flow, last)
        if self._duplex is not None:
            self._duplex.end(flow.source, flow.target, last=last)
        if self._protection is not None:
            self._queues.reconsider(self._protection.end(flow, last))
        if last:
            del self._alive[stream]
        self._arm_boundary(-(-now // self.slot_ns))
        self._end(flow, now)

    def _end(self, flow: Flow, now: int) -> None:
        flow.ended_ns = now
        flow.reason = "" if flow.delivered else flow.limit_reason
        self._ended(flow)
