"""Station states: carrier sense, backoff and pending frame of every station.

Each station has an access function, or one for each access category, with a backoff of its own;
they are numbered station by station, see `Csma.function_of`. A backoff is not counted slot by slot:
the instant at which it ends follows from the instant at which the medium falls idle, and stays
valid unless the station senses a frame before.
"""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING

from wnsim.air.csma.lookahead import Backoffs, LinkGains, ReceptionDraws
from wnsim.phy.wifi import SLOT_NS

if TYPE_CHECKING:
    from wnsim.air.csma.frame import Frame
    from wnsim.air.csma.radio import Radio
    from wnsim.air.setup import Setup

# An instant that no simulation reaches.
NEVER_NS = 2**63 - 1


class StationStates:
    """States of all stations and access functions, one entry for each of them.

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
    number : sequence number of the node's next frame
    locked : frame to which the node's receiver is locked, if any
    sending : frame that the node has on the air or that is not answered yet, or that is about to
        begin
    slots : remaining backoff of an access function when the medium last fell idle [slots]
    contends : whether the function has a packet to send
    asked_ns : when it began to contend for that packet [ns]
    starts_ns : when it will send unless its node senses a frame before; `NEVER_NS` if not scheduled
        [ns]
    backoffs, draws, gains : backoff draws, reception draws and link gains, shared by all stations
    """

    def __init__(self, setup: Setup, radio: Radio) -> None:
        nodes = setup.world.nodes
        self.nodes = nodes
        self.busy_ns, self.eifs_ns, self.tx_end_ns = [0] * nodes, [0] * nodes, [0] * nodes
        self.nav_ns = [0] * nodes
        self._functions = radio.mac.functions
        self.per_node = len(self._functions)
        functions = nodes * self.per_node
        # Numbers and parameters of the functions of each node.
        self._of_node = [
            tuple(enumerate(self._functions, node * self.per_node)) for node in range(nodes)
        ]
        self.slots = [0] * functions
        self.contends = [False] * functions
        self.asked_ns = [0] * functions
        self.starts_ns = [NEVER_NS] * functions
        self.number = [0] * nodes
        self.locked: list[Frame | None] = [None] * nodes
        self.sending: list[Frame | None] = [None] * nodes
        self.backoffs = Backoffs(radio.backoff_key, functions)
        self.draws = ReceptionDraws(setup.error_key)
        self.gains = LinkGains(setup)
        # Scheduled starts and their functions; an entry that differs from starts_ns is void.
        self._starts: list[tuple[int, int]] = []

    def of_node(self, node: int) -> range:
        """Return the access functions of a node, that of the highest category first."""
        return range(node * self.per_node, (node + 1) * self.per_node)

    def schedule(self, node: int) -> None:
        """Schedule the starts of the access functions of a node that contend, unless it sends."""
        if self.sending[node] is not None:
            return
        free = max(self.busy_ns[node], self.eifs_ns[node])
        for place, function in self._of_node[node]:
            if self.contends[place]:
                start = free + function.space_ns + SLOT_NS * self.slots[place]
                start = max(start, self.asked_ns[place])
                if self.starts_ns[place] != start:
                    self.starts_ns[place] = start
                    heapq.heappush(self._starts, (start, place))

    def freeze(self, node: int, now: int) -> None:
        """Freeze the backoffs of a node that senses a frame, or sends one."""
        if self.sending[node] is not None:
            return
        for place, function in self._of_node[node]:
            self.starts_ns[place] = NEVER_NS
            slots = self.slots[place]
            if slots:
                free = max(self.busy_ns[node], self.eifs_ns[node])
                passed = (now - free - function.space_ns) // SLOT_NS + function.boundary
                if passed > 0:
                    self.slots[place] = max(slots - passed, 0)

    def draw(self, place: int, failures: int) -> None:
        """Draw the backoff of an access function after a number of failures."""
        function = self._functions[place % self.per_node]
        window = function.contention_window(failures)
        self.slots[place] = self.backoffs.draw(place, window)

    def withdraw(self, place: int) -> None:
        """Stop contending: the queue of an access function is empty."""
        self.contends[place] = False
        self.starts_ns[place] = NEVER_NS

    def next_start_ns(self) -> int:
        """Return the earliest scheduled start, `NEVER_NS` if there is none [ns]."""
        starts, starts_ns = self._starts, self.starts_ns
        while starts and starts_ns[starts[0][1]] != starts[0][0]:
            heapq.heappop(starts)
        return starts[0][0] if starts else NEVER_NS

    def pop_start(self, now: int) -> int | None:
        """Remove and return a function whose backoff ends at an instant, None if there is none."""
        starts = self._starts
        while starts and starts[0][0] == now:
            _, place = heapq.heappop(starts)
            if self.starts_ns[place] == now:
                self.starts_ns[place] = NEVER_NS
                return place
        return None
