"""Common part of the slotted engines: waiting transmissions, their start, and the end of attempts.

Time is divided into slots on an absolute grid. A transmission starts at the beginning of a slot.
An attempt ends when its last bit is received, or at its limit, at any instant; its resources are
free from the next slot on. Within an instant, attempts end first, in the order of submission, then
all other events happen, and transmissions start last. Subclasses simulate the slots.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from wnsim.air.allocator import Allocator
from wnsim.air.deadline_power import set_powers
from wnsim.air.interference_graph import InterferenceGraph
from wnsim.air.queues import Queues, by_serial
from wnsim.air.spatial_reuse import SpatialReuse
from wnsim.air.transmission import Attempt, Transmission
from wnsim.core.clock import FIRST, LAST
from wnsim.core.invariants import HalfDuplexCheck
from wnsim.core.units import to_s

if TYPE_CHECKING:
    from wnsim.air.setup import Setup


class Air:
    """The part of a slotted engine that does not depend on the content of slots.

    Parameters
    ----------
    setup : what the engine is built from
    ended : called with each attempt that has been delivered or dropped
    """

    def __init__(self, setup: Setup, ended: Callable[[Attempt], None]) -> None:
        self.setup = setup
        self.env = setup.env
        self.slot_ns = setup.modem.slot_ns
        self.rules = setup.mac.rules()
        self._ended = ended
        self._queues = Queues(self.rules)
        self._duplex = HalfDuplexCheck(setup.world.names) if self.rules.half_duplex else None
        self.interference_graph = InterferenceGraph(setup.world) if self.rules.interferes else None
        self._spatial_reuse = None
        if self.interference_graph is not None and self.rules.protection_ratio_db is not None:
            self._spatial_reuse = SpatialReuse(
                self.interference_graph, self.rules.protection_ratio_db
            )
        self._allocator = Allocator(setup) if self.rules.allocation is not None else None
        self._transmissions: dict[Attempt, Transmission] = {}
        self._outstanding: dict[Transmission, int] = {}
        self._end_ns: int | None = None
        self._boundary_ns: int | None = None

    # To be defined by an engine.

    def begin_slot(self, slot: int, started: Sequence[Transmission]) -> None:
        """Begin a slot with new transmissions; others may have ended since the last one."""
        raise NotImplementedError

    def due(self, now_ns: int) -> list[Attempt]:
        """Return the attempts on the air that end by an instant [ns]."""
        raise NotImplementedError

    def finalize(self, attempt: Attempt, now_ns: int) -> None:
        """Write the outcome of an attempt that ends now, and remove it."""
        raise NotImplementedError

    def next_end_ns(self) -> int | None:
        """Return when the next attempt on the air ends, as far as is known [ns]."""
        raise NotImplementedError

    def next_slot(self) -> int | None:
        """Return the next slot that must begin even if no transmission starts or ends."""
        raise NotImplementedError

    def acked_bits(self, attempt: Attempt) -> int:
        """Return the number of bits of an attempt on the air received by now."""
        raise NotImplementedError

    def allotted(self, attempts: Sequence[Attempt]) -> None:
        """Use the shares that attempts have been allotted from this slot on."""

    # Used by the network.

    def push(self, transmission: Transmission) -> None:
        """Enqueue a transmission."""
        self._queues.add(transmission)
        for attempt in transmission.attempts:
            self._arm_end(max(attempt.limit_ns, self.env.now_ns))
        self._arm_boundary(-(-self.env.now_ns // self.slot_ns))

    def drop(self, device: int, reason: str) -> None:
        """Drop all attempts from or to a device immediately."""
        for attempt in by_serial([*self._queues.waiting(), *self._transmissions]):
            if device in (attempt.source, attempt.target):
                self.cancel(attempt, reason)

    def cancel(self, attempt: Attempt, reason: str) -> None:
        """Drop an attempt immediately."""
        attempt.limit_ns, attempt.limit_reason = self.env.now_ns, reason
        if attempt in self._transmissions:
            self._leave_air(attempt, self.env.now_ns)
        else:
            self._queues.withdraw(attempt)
            self._end(attempt, self.env.now_ns)
        self._arm_next()

    # Events.

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
        for attempt in by_serial([*waiting, *self.due(now)]):
            if attempt in self._transmissions:
                self._leave_air(attempt, now)
            else:
                self._end(attempt, now)
        self._arm_next()

    def _on_boundary(self) -> None:
        now = self.env.now_ns
        if self._boundary_ns != now:
            return
        self._boundary_ns = None
        if self._spatial_reuse is not None and self._spatial_reuse.refresh(now):
            # In one batch, for all receivers that may be evaluated during this interval.
            waiting = self._queues.waiting()
            attempts = [*waiting, *self._transmissions]
            self._spatial_reuse.prepare({attempt.target for attempt in attempts}, now)
            # What was held back before may be compatible now.
            self._spatial_reuse.renew()
            self._queues.mark_changed(attempt.source for attempt in waiting)
        started = self._queues.admit(self._blocked, self._prepare, self._start)
        if self.rules.margin_db is not None:
            set_powers(started, self.setup, now // self.slot_ns, self.rules.margin_db)
        if self._allocator is not None:
            self.allotted(self._allocator.allot(self._transmissions, self.acked_bits, now))
        self.begin_slot(now // self.slot_ns, started)
        self._arm_next()

    def _blocked(self, source: int) -> bool:
        """Return whether a transmitter is blocked by a transmission on the air."""
        return self._spatial_reuse is not None and self._spatial_reuse.blocked(source)

    def _prepare(self, transmissions: Sequence[Transmission]) -> None:
        """Compute the audible sets of the receivers of transmissions in one batch."""
        if self._spatial_reuse is not None:
            receivers = {target for each in transmissions for target in each.targets}
            self._spatial_reuse.prepare(receivers, self.env.now_ns)

    def _start(self, transmission: Transmission) -> bool:
        """Start a transmission, unless it would exceed an interference threshold."""
        if self._spatial_reuse is not None:
            # A transmission that started in this slot may block a source that was free before.
            if not self._spatial_reuse.permits(transmission.attempts):
                return False
            self._spatial_reuse.begin(transmission.attempts)
        now = self.env.now_ns
        self._outstanding[transmission] = len(transmission.attempts)
        if self._duplex is not None:
            self._duplex.begin(transmission.source, transmission.targets, to_s(now))
        for attempt in transmission.attempts:
            attempt.started_ns = now
            self._transmissions[attempt] = transmission
        return True

    def _arm_next(self) -> None:
        for instant_ns in (self._queues.next_limit_ns(), self.next_end_ns()):
            if instant_ns is not None:
                self._arm_end(instant_ns)
        again = None if self._allocator is None else self._allocator.next_slot()
        for slot in (self.next_slot(), again):
            if slot is not None:
                self._arm_boundary(slot)

    def _leave_air(self, attempt: Attempt, now: int) -> None:
        """Take an attempt off the air."""
        transmission = self._transmissions.pop(attempt)
        self._outstanding[transmission] -= 1
        self.finalize(attempt, now)
        last = not self._outstanding[transmission]
        self._queues.release(attempt, last)
        if self._duplex is not None:
            self._duplex.end(attempt.source, attempt.target, last=last)
        if self._spatial_reuse is not None:
            self._queues.mark_changed(self._spatial_reuse.end(attempt, last))
        if last:
            del self._outstanding[transmission]
        self._arm_boundary(-(-now // self.slot_ns))
        self._end(attempt, now)

    def _end(self, attempt: Attempt, now: int) -> None:
        attempt.ended_ns = now
        attempt.reason = "" if attempt.delivered else attempt.limit_reason
        self._ended(attempt)
