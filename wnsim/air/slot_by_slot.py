"""What the slow engines have in common: links of flows, looked at one slot at a time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

import numpy as np

from wnsim.air.air import Air, Setup
from wnsim.air.flow import Flow
from wnsim.core.units import Floats, Ints


class Link(Protocol):
    """A flow on the air, and what becomes of its present slot.

    Attributes
    ----------
    flow : the flow
    slot : the slot that has not been booked yet, -1 if there is none
    bits : that arrive in it
    counts : (5,) slots by their outcome, see `phy.modem`
    due_ns, complete : when the flow ends, as far as is known [ns], and whether with all its bits
    """

    flow: Flow
    slot: int
    bits: int
    counts: Ints
    due_ns: int
    complete: bool


AnyLink = TypeVar("AnyLink", bound=Link)


class SlotBySlot(Air, Generic[AnyLink]):
    """The part of a slow engine that knows when its links end; see `Air`."""

    def __init__(self, setup: Setup, ended: Callable[[Flow], None]) -> None:
        super().__init__(setup, ended)
        self._links: dict[Flow, AnyLink] = {}
        self._slot = 0

    def book(self, link: AnyLink) -> None:
        """Book the slot that has passed to a flow."""
        raise NotImplementedError

    def due(self, now_ns: int) -> list[Flow]:
        """Return the flows on the air that end by an instant [ns]."""
        return [flow for flow, link in self._links.items() if link.due_ns <= now_ns]

    def next_end_ns(self) -> int | None:
        """Return when the next flow on the air ends [ns]."""
        return min((link.due_ns for link in self._links.values()), default=None)

    def next_slot(self) -> int | None:
        """Return the next slot, while anything is on the air."""
        return self._slot + 1 if self._links else None

    def acked_bits(self, flow: Flow) -> int:
        """Return how many bits of a flow on the air have arrived by now."""
        return flow.acked_bits

    def _take_off(self, flow: Flow, now_ns: int) -> AnyLink:
        """Forget and return the link of a flow that ends now, its last slot booked."""
        link = self._links.pop(flow)
        flow.delivered = link.complete and link.due_ns <= now_ns
        if link.slot >= 0 and (flow.delivered or (link.slot + 1) * self.slot_ns <= now_ns):
            self.book(link)
        flow.acked_bits = min(flow.acked_bits, flow.size_bits)
        return link

    def _arrived(self, link: AnyLink, slot: int) -> None:
        """Take in the end of a slot on a link."""
        there = link.flow in self._links and link.slot == slot and not link.complete
        if there and self.env.now_ns == (slot + 1) * self.slot_ns:
            self.book(link)

    def _foresee(self, link: AnyLink) -> None:
        """Find out whether the bits of the present slot complete a flow in time."""
        flow = link.flow
        missing = flow.size_bits - flow.acked_bits
        if link.bits < missing:
            return
        complete_ns = (link.slot + 1) * self.slot_ns
        if self.setup.modem.fluid:
            complete_ns += -(-missing * self.slot_ns // max(link.bits, 1)) - self.slot_ns
        if complete_ns <= flow.limit_ns:
            link.due_ns, link.complete = complete_ns, True

    def _gain(self, source: int, target: int, slot: int) -> Floats:
        """Return the gain (B,) of a pair in a slot."""
        sample = slot // self.setup.sample_slots
        gain = self.setup.world.channel.gain_blocks(
            np.array([source]), np.array([target]), sample, 1, self.setup.sample_ns
        )
        return np.asarray(gain[0, 0])

    def _noise_w(self, node: int, slot: int) -> Floats:
        """Return the noise of a receiver in a slot [W]."""
        at_ns = np.array([self.setup.sample_of_ns(slot)])
        return np.asarray(self.setup.world.noise_w(np.array([node]), at_ns)[0, 0])

    def _past(self, flow: Flow) -> list[Floats]:
        """Return the gains (B,) of a flow's link that are known in the present slot."""
        return [
            self._gain(flow.source, flow.target, max(self._slot - delay, 0))
            for delay in self.setup.csi_delays
        ]
