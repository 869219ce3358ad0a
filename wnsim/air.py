"""The windowed engine: how transfers of one scheduling domain progress, many blocks at a time.

Time on the air is divided into blocks on an absolute grid; within a block the channel, the rate
and the shares are constant and one transport block per link is sent. A window holds the outcome
of many blocks ahead for all links on the air, computed together; it is used until the first
thing that changes who is on the air, and is cut there. Because the channel and the error draws
are functions of (seed, link, block), cutting and computing again changes nobody's numbers.

Scope: a transfer starts on a block boundary and ends inside the block that completes it; a failed
block is sent again (its bits stay due), acknowledgements are immediate and cost nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any

import numpy as np

from wnsim.flow import Flow, Window
from wnsim.streams import uniforms
from wnsim.units import NS_PER_S, SPEED_OF_LIGHT_MPS

if TYPE_CHECKING:
    import simpy

    from wnsim.clock import Clock
    from wnsim.mac import Mac
    from wnsim.world import World

_FIRST_WINDOW = 256
_LONGEST_WINDOW = 8192


def coherent_block_ns(frequency_hz: float, max_speed_mps: float) -> int:
    """Return a block length of a tenth of a Doppler period when two devices meet at full speed.

    Whole tenths of a millisecond, between 0.5 and 5 ms; a channel changes by less than 10 %
    (1 - J0(0.2 pi)) within it.
    """
    doppler_hz = 2.0 * max_speed_mps * frequency_hz / SPEED_OF_LIGHT_MPS
    block_s = 5e-3 if doppler_hz <= 0 else min(max(0.1 / doppler_hz, 0.5e-3), 5e-3)
    tenths_of_ms = math.floor(block_s * 1e4 + 1e-9)
    return tenths_of_ms * 100_000


class Air:
    """One scheduling domain: the flows that share its resources, and the process that moves them.

    Parameters
    ----------
    env : the simulation's clock
    world : channel, physical layer and powers
    mac : who transmits when, and on which share
    block_ns : block length [ns]
    csi_delay_blocks : age of the channel knowledge from which rates are chosen
    error_key : key of the block errors' draws
    ended : called with each flow when it has been delivered or given up
    """

    def __init__(
        self,
        env: Clock,
        world: World,
        mac: Mac,
        block_ns: int,
        csi_delay_blocks: int,
        error_key: int,
        ended: Callable[[Flow], None],
    ) -> None:
        self._env = env
        self._world = world
        self._mac = mac
        self._block_ns = block_ns
        self._csi_delay_blocks = csi_delay_blocks
        self._error_key = error_key
        self._ended = ended
        self._waiting: list[Flow] = []
        self._on_air: list[Flow] = []
        self._window: Window | None = None
        self._changed = False
        self._arrival = env.event()
        env.process(self._run())

    def push(self, flow: Flow) -> None:
        """Queue a flow behind those that wait already."""
        self._waiting.append(flow)
        self._changed = True
        if not self._arrival.triggered:
            self._arrival.succeed()

    def _run(self) -> Generator[simpy.Event, Any, None]:
        while True:
            self._end_due(self._env.now_ns)
            if self._changed and self._env.now_ns % self._block_ns == 0:
                self._changed = False
                self._reshuffle(self._env.now_ns)
            instant = self._next_instant(self._env.now_ns)
            if self._arrival.triggered:
                self._arrival = self._env.event()
            if instant is None:
                yield self._arrival
            else:
                yield self._env.timeout(instant - self._env.now_ns) | self._arrival

    def _reshuffle(self, now: int) -> None:
        """Start whoever may start, at a block boundary; cut the window if shares change."""
        indices = self._mac.admit(self._waiting, self._on_air)
        if indices or self._mac.dynamic:
            self._commit(now // self._block_ns)
        starting = [self._waiting[index] for index in indices]
        taken = set(indices)
        self._waiting = [flow for i, flow in enumerate(self._waiting) if i not in taken]
        for flow in starting:
            flow.batch = sum(other.source == flow.source for other in starting)
            flow.started_ns = now
        self._on_air += starting

    def _next_instant(self, now: int) -> int | None:
        """Return when something next happens here without new arrivals, or None."""
        instants = [flow.limit_ns for flow in self._waiting]
        if self._changed and (self._waiting or self._on_air):
            instants.append(-(-(now + 1) // self._block_ns) * self._block_ns)
        if self._on_air:
            if self._window is None and now % self._block_ns == 0:
                self._window = self._plan(now // self._block_ns)
            if self._window is not None:
                instants.append(self._window.end_block * self._block_ns)
                instants += [self._due_ns(self._window, row) for row in range(len(self._on_air))]
        return min(instants, default=None)

    def _end_due(self, now: int) -> None:
        """End the flows that are complete or given up now, and leave a window that has run out."""
        for flow in [flow for flow in self._waiting if flow.limit_ns <= now]:
            self._waiting.remove(flow)
            self._end(flow, now)
        window = self._window
        if window is None:
            return
        due = [row for row in range(len(self._on_air)) if self._due_ns(window, row) <= now]
        if due:
            self._changed = True
            flows = [self._on_air[row] for row in due]
            for row, flow in zip(due, flows, strict=True):
                block, complete_ns = window.completion(row, flow, self._block_ns)
                flow.delivered = complete_ns <= min(now, flow.limit_ns)
                passed = min(now // self._block_ns, window.end_block) - window.first_block
                window.credit(row, flow, block + 1 if flow.delivered else passed)
                flow.acked_bits = min(flow.acked_bits, flow.size_bits)
            staying = [row for row in range(len(self._on_air)) if row not in due]
            self._on_air = [self._on_air[row] for row in staying]
            self._window = window.rows(staying) if staying else None
            for flow in flows:
                self._end(flow, now)
        if self._on_air and now >= window.end_block * self._block_ns:
            self._commit(window.end_block)

    def _end(self, flow: Flow, now: int) -> None:
        flow.ended_ns = now
        self._ended(flow)

    def _due_ns(self, window: Window, row: int) -> int:
        """Return when a flow completes in this window or is given up [ns]."""
        flow = self._on_air[row]
        return min(window.completion(row, flow, self._block_ns)[1], flow.limit_ns)

    def _commit(self, end_block: int) -> None:
        """Book what lies before a block to all flows on the air, and drop the window."""
        if self._window is not None:
            for row, flow in enumerate(self._on_air):
                self._window.credit(row, flow, end_block - self._window.first_block)
            self._window = None

    def _plan(self, first_block: int) -> Window:
        """Compute the outcome of the coming blocks for all flows on the air."""
        flows = self._on_air
        blocks = self._window_length(first_block)
        source = np.array([flow.source for flow in flows])
        target = np.array([flow.target for flow in flows])
        band, power = map(np.array, self._mac.shares(flows))
        bandwidth_hz = band * self._world.bandwidth_hz
        block = np.arange(first_block, first_block + blocks)
        # Nothing is known of the channel before the beginning but what it is at the beginning.
        known_block = np.maximum(block - self._csi_delay_blocks, 0)
        oldest = int(known_block[0])
        snr = self._world.snr_blocks(
            source,
            target,
            oldest,
            first_block + blocks - oldest,
            self._block_ns,
            power * self._world.tx_power_w[source],
            bandwidth_hz,
        )
        known, snr = snr[:, known_block - oldest], snr[:, first_block - oldest :]
        bits, error = self._world.phy.blocks(
            known, snr, bandwidth_hz[:, None], self._block_ns / NS_PER_S
        )
        draws = uniforms(self._error_key, source[:, None], target[:, None], block)
        arrives = draws >= error
        acked = np.zeros((len(flows), blocks + 1), dtype=np.int64)
        np.cumsum(np.where(arrives, bits, 0), axis=1, out=acked[:, 1:])
        return Window(first_block, arrives, bits, snr, acked)

    def _window_length(self, first_block: int) -> int:
        """Choose how many blocks to look ahead: to the end of a transfer, from its rate so far."""
        wanted = []
        for flow in self._on_air:
            remaining = flow.size_bits - flow.acked_bits
            elapsed = first_block - flow.started_ns // self._block_ns
            rate = flow.acked_bits / elapsed if elapsed else 0.0
            # While nothing gets through, windows double.
            guess = int(1.1 * remaining / rate) + 64 if rate > 0 else max(elapsed, _FIRST_WINDOW)
            limit = -(-flow.limit_ns // self._block_ns) - first_block
            wanted.append(min(guess, limit))
        # With changing shares the first to end cuts the window; otherwise the last one ends it.
        blocks = min(wanted) if self._mac.dynamic else max(wanted)
        return max(1, min(blocks, _LONGEST_WINDOW))
