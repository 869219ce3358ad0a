"""Windowed CSMA engine: event-driven simulation ahead of the simulated clock.

Between two events of the simulated clock nothing outside the engine can start or cancel a
transmission. The engine therefore processes its own events up to the next one in one call of a
compiled kernel, `wnsim.kernels.csma`, or to the end of an attempt; the clock sees one event for
each such window and none for a frame. `packet`, which simulates every slot of every station, gives
bit-identical results.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

from wnsim import kernels
from wnsim.air.csma.contention import Contention
from wnsim.air.csma.kernel_state import KernelState
from wnsim.air.csma.kernel_tables import KernelTables, rules_of
from wnsim.air.csma.multi_user import planner_of
from wnsim.core.clock import LAST
from wnsim.core.invariants import half_duplex_violation
from wnsim.core.units import FAR_NS, to_s

if TYPE_CHECKING:
    from wnsim.air.csma.plan import Plan
    from wnsim.air.setup import Setup
    from wnsim.air.transmission import Attempt, Transmission


class Windowed(Contention):
    """An engine that runs ahead of the clock; see `Contention`."""

    def __init__(self, setup: Setup, ended: Callable[[Attempt], None]) -> None:
        super().__init__(setup, ended)
        self._planner = planner_of(setup, self.radio)
        self._tables = KernelTables(setup, self.radio, self._planner)
        self._rules = rules_of(setup, self.radio, self._planner, self._tables)
        points = range(0) if self._planner is None else setup.world.stations
        most_users = self._rules.most_users
        self._state = KernelState(setup.world.nodes, points, most_users, self.radio)
        self._wake_ns = FAR_NS

    # The clock.

    def wake(self) -> None:
        """Schedule a run at the end of this instant."""
        self._arm(self.env.now_ns)

    def _arm(self, instant_ns: int) -> None:
        if instant_ns < self._wake_ns:
            self._wake_ns = instant_ns
            self.env.at(instant_ns, self._on_wake, late=LAST)

    def _on_wake(self) -> None:
        now = self.env.now_ns
        if self._wake_ns != now:
            return
        self._wake_ns = FAR_NS
        cursor = self._state.arrays.cursor[0]
        cursor["now_ns"] = max(int(cursor["now_ns"]), now)
        while True:
            if self.done:
                if self.done[0].ended_ns > now:
                    self._arm(self.done[0].ended_ns)
                    return
                # The network may hand over more messages in response, at this same instant.
                self.report()
                self._arm(now)
                return
            if self._next_ns() <= now:
                self._run(now + 1)
                continue
            if self.changed:
                self._update_queues(now)
                continue
            horizon = self.env.peek()
            if self._next_ns() < horizon:
                self._run(FAR_NS if math.isinf(horizon) else int(horizon))
                if self.done:
                    continue
            instant_ns = self._next_ns()
            if instant_ns < FAR_NS:
                self._arm(instant_ns)
            return

    def _next_ns(self) -> int:
        """Return the instant of the next event on the air [ns]."""
        state = self._state.arrays
        cursor, limit_ns = state.cursor[0], self.next_limit_ns()
        event_ns = int(state.events[0]["at_ns"]) if cursor["events"] else FAR_NS
        start_ns = int(cursor["start_ns"])
        if start_ns < 0:  # to be computed
            start_ns = int(state.starts_ns.min())
        return min(event_ns, start_ns, FAR_NS if limit_ns is None else limit_ns)

    def _run(self, horizon_ns: int) -> None:
        """Process events before a horizon [ns], up to the end of the first attempt."""
        kernel = kernels.csma
        while True:
            limit_ns = self.next_limit_ns()
            state = self._state.arrays
            state.cursor[0]["limit_ns"] = FAR_NS if limit_ns is None else limit_ns
            request = kernel.advance(self._rules, self._tables.arrays, state, horizon_ns)
            if request in (kernel.IDLE, kernel.ENDED):
                self._collect()
                return
            self._serve(request)
            if self.done:  # at their limits
                horizon_ns = min(horizon_ns, int(state.cursor[0]["now_ns"]) + 1)

    def _collect(self) -> None:
        """Read what the kernel has recorded."""
        self._state.read_started()
        self._state.read_credits()
        for attempt in self._state.read_ended():
            self.settle(attempt, self._state.end(attempt))

    # Requests.

    def _serve(self, request: int) -> None:
        """Do what the kernel requests."""
        kernel, state, tables = kernels.csma, self._state, self._tables
        cursor = state.arrays.cursor[0]
        source, target = int(cursor["source"]), int(cursor["target"])
        now = int(cursor["now_ns"])
        if request == kernel.GAIN:
            tables.find_gain(state.arrays, source, target, int(cursor["at_ns"]))
        elif request == kernel.DRAWS:
            tables.draw_receptions(source, target, int(cursor["number"]))
        elif request == kernel.BACKOFFS:
            tables.draw_backoffs(state.arrays, int(cursor["place"]))
        elif request == kernel.SCHEME:
            self._choose_scheme(int(cursor["service"]), now)
        elif request == kernel.LEARN:
            self._learn(int(cursor["number"]))
            cursor["learned"] = 1
        elif request == kernel.PLAN:
            self._plan(int(cursor["place"]), now)
        elif request == kernel.LEVEL:
            tables.find_level(int(cursor["number"]), int(cursor["place"]))
        elif request == kernel.NEAR:
            tables.find_near(state.arrays, source, now)
        elif request == kernel.BOARD:
            state.add_board(int(cursor["service"]))
        elif request == kernel.LIMIT:
            self._collect()
            self.expire(now)
        elif request == kernel.CREDITS:
            state.read_credits()
        elif request == kernel.FRAMES:
            state.more_frames()
        elif request == kernel.EVENTS:
            state.more_events()
        else:
            raise half_duplex_violation(self.setup.world.names[source], to_s(now))

    def _choose_scheme(self, service: int, now: int) -> None:
        """Choose the scheme of a service's next frame."""
        state, radio = self._state, self.radio
        of = state.arrays.services[service]
        transmission = state.transmission[service]
        targets = state.targets(service)
        scheme = radio.scheme(transmission.source, targets, transmission.quantile, now)
        if radio.rates is not None and not of["multicast"]:
            failures = int(of["failures"])
            scheme = radio.rates.choose(transmission.source, targets[0], failures, scheme, now)
        of["scheme"] = self._tables.choose(scheme, int(of["last_level"]))
        of["scheme_interval"] = radio.gain_interval(now)

    def _learn(self, number: int) -> None:
        """Tell the choice of rates whether a frame was answered."""
        frame, radio = self._state.arrays.frames[number], self.radio
        source, target, start_ns = (int(frame[name]) for name in ("source", "target", "start_ns"))
        packets = int(frame["packets"])
        arrived = 0
        if frame["answered"]:
            arrived = int(frame["arrived"]) if frame["aligned_bits"] else 1
        scheme = self._tables.schemes[frame["scheme"]]
        radio.learn(source, target, scheme, packets, arrived, start_ns, self._tables.gain)

    # Exchanges of access points with several stations.

    def _plan(self, place: int, now: int) -> None:
        """Plan what an access point sends next by an access function."""
        kernel, state, planner, rules = kernels.csma, self._state, self._planner, self.mac.ofdma
        if planner is None or rules is None:
            raise TypeError("nothing is planned without ofdma")
        node, rank = divmod(place, len(self.mac.functions))
        function, head = state.arrays.functions[place], int(state.arrays.functions[place]["head"])
        waits = head >= 0
        polls = rules.uplink and function["reports"] >= rules.fewest
        uplink = polls and not (waits and function["was_uplink"])
        function["was_uplink"] = uplink
        plan = None
        if uplink:
            plan = planner.uplink(node, place, state.reported(node, rank, planner.most), now)
            if plan is None:
                # No packet of these stations fits in an exchange: they contend themselves.
                state.forget_reports(node, rank)
        if (
            plan is None
            and waits
            and rules.downlink
            and not state.arrays.services[head]["multicast"]
        ):
            uplink = False
            plan = planner.downlink(node, place, state.candidates(node), now)
        cursor = state.arrays.cursor[0]
        if plan is None:
            cursor["plan"] = kernel.SINGLE if waits else kernel.NOTHING
        else:
            cursor["plan"] = kernel.SEVERAL
            self._write_plan(plan, node, place, uplink)

    def _write_plan(self, plan: Plan, node: int, place: int, uplink: bool) -> None:
        """Hand over a plan to the kernel."""
        tables = self._tables
        control, level = tables.row_of(plan.control), tables.length_row(plan.trigger_bits)
        tables.find_level(level, control)
        schemes = [
            (tables.unit_row(user.scheme), -1 if user.down is None else tables.unit_row(user.down))
            for user in plan.users
        ]
        self._state.write_plan(plan, node, place, uplink, (control, level), schemes)

    # Queues.

    def enqueue(self, transmission: Transmission) -> int:
        """Put a transmission into its queue; return its access function."""
        size_bits, packet_bits = transmission.attempts[0].size_bits, self.setup.packet_bits
        last_bits = (size_bits - 1) % packet_bits + 1
        aggregator = self.radio.aggregator
        if aggregator is None or transmission.multicast:
            last_bits = self.radio.air_bits(last_bits)
        else:
            last_bits = aggregator.frame_bits(last_bits)
        level = self._tables.length_row(last_bits)
        return self._state.add(transmission, packet_bits, level)

    def close(self, attempt: Attempt, now_ns: int) -> int:
        """Write the outcome of an attempt that ends; return its access function."""
        state = self._state
        row, service = state.row[attempt], state.service_of(attempt)
        kernels.csma.close(state.arrays, row, service, now_ns)
        return state.end(attempt)

    def acked_bits(self, attempt: Attempt) -> int:
        """Return the number of bits of an attempt received before the present instant."""
        return self._state.acked_bits(attempt, self.env.now_ns)

    def _update_queues(self, now: int) -> None:
        """Let access functions whose queue has changed begin or stop contending."""
        changed, self.changed = sorted(self.changed), set()
        for place in changed:
            while True:
                tables, state = self._tables.arrays, self._state.arrays
                request = kernels.csma.update_queue(self._rules, tables, state, place, now)
                if not request:
                    break
                self._serve(request)
        self._state.read_started()
