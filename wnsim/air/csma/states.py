"""Station states: carrier sense, backoff and pending frame of every station.

A backoff is not counted slot by slot: the instant at which it ends follows from the instant at
which the medium falls idle, and stays valid unless the station senses a frame before.
"""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING

from wnsim.air.csma.lookahead import Backoffs, LinkGains, ReceptionDraws
from wnsim.phy.wifi import DIFS_NS, SLOT_NS

if TYPE_CHECKING:
    from wnsim.air.csma.frame import Frame
    from wnsim.air.csma.radio import Radio
    from wnsim.air.setup import Setup

# An instant that no simulation reaches.
NEVER_NS = 2**63 - 1


class StationStates:
    """States of all stations, one entry for each node.

    Parameters
    ----------
    setup : what the engine is built from
    radio : keys of the random draws

    Attributes
    ----------
    busy_ns : end of the period in which the node senses the medium as busy [ns]
    eifs_ns : end of the extended interframe space after a frame that it could not decode [ns]
    nav_ns : end of the part of that period that decoded frames set (NAV) [ns]
    tx_end_ns : end of the node's last own frame [ns]
    slots : remaining backoff when the medium last fell idle [slots]
    contends : whether the node has a packet to send
    asked_ns : when it began to contend for that packet [ns]
    starts_ns : when it will send unless it senses a frame before; `NEVER_NS` if not scheduled [ns]
    number : sequence number of its next frame
    locked : frame to which its receiver is locked, if any
    sending : frame that it has on the air or that is not answered yet, or that is about to begin
    backoffs, draws, gains : backoff draws, reception draws and link gains, shared by all stations
    """

    def __init__(self, setup: Setup, radio: Radio) -> None:
        nodes = setup.world.nodes
        self.nodes = nodes
        self.busy_ns, self.eifs_ns, self.tx_end_ns = [0] * nodes, [0] * nodes, [0] * nodes
        self.nav_ns = [0] * nodes
        self.slots = [0] * nodes
        self.contends = [False] * nodes
        self.asked_ns = [0] * nodes
        self.starts_ns = [NEVER_NS] * nodes
        self.number = [0] * nodes
        self.locked: list[Frame | None] = [None] * nodes
        self.sending: list[Frame | None] = [None] * nodes
        self.backoffs = Backoffs(radio.backoff_key, nodes)
        self.draws = ReceptionDraws(setup.error_key)
        self.gains = LinkGains(setup)
        # Scheduled starts and their nodes; an entry that differs from starts_ns is void.
        self._starts: list[tuple[int, int]] = []

    def schedule(self, node: int) -> None:
        """Schedule the start of a node's next frame, unless it does not contend."""
        if self.contends[node] and self.sending[node] is None:
            free = max(self.busy_ns[node], self.eifs_ns[node])
            start = free + DIFS_NS + SLOT_NS * self.slots[node]
            start = max(start, self.asked_ns[node])
            self.starts_ns[node] = start
            heapq.heappush(self._starts, (start, node))

    def freeze(self, node: int, now: int) -> None:
        """Freeze the backoff of a node that senses a frame."""
        self.starts_ns[node] = NEVER_NS
        if self.slots[node]:
            free = max(self.busy_ns[node], self.eifs_ns[node])
            passed = (now - free - DIFS_NS) // SLOT_NS
            if passed > 0:
                self.slots[node] = max(self.slots[node] - passed, 0)

    def withdraw(self, node: int) -> None:
        """Stop contending: the queue of a node is empty."""
        self.contends[node] = False
        self.starts_ns[node] = NEVER_NS

    def next_start_ns(self) -> int:
        """Return the earliest scheduled start, `NEVER_NS` if there is none [ns]."""
        starts, starts_ns = self._starts, self.starts_ns
        while starts and starts_ns[starts[0][1]] != starts[0][0]:
            heapq.heappop(starts)
        return starts[0][0] if starts else NEVER_NS

    def pop_start(self, now: int) -> int | None:
        """Remove and return a node whose backoff ends at an instant, None if there is none."""
        starts = self._starts
        while starts and starts[0][0] == now:
            _, node = heapq.heappop(starts)
            if self.starts_ns[node] == now:
                self.starts_ns[node] = NEVER_NS
                return node
        return None
