"""The packet engine: one event for each transport block, the slow oracle of the windowed engine.

In each slot it goes through what is on the air, link by link, with the same functions of pair and
slot, the same physical layer and the same medium access as `windowed`, but without windows,
without cuts, without rows and without anything computed ahead.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np

from wnsim.air.flow import Flow, Stream
from wnsim.air.quality import common, predict, sinr
from wnsim.air.slot_by_slot import SlotBySlot
from wnsim.core.streams import uniforms
from wnsim.core.units import NS_PER_S, Floats
from wnsim.mac.scheduled import OnAir
from wnsim.phy.modem import IDLE, OUTCOMES, Slots, State, efficiency, mean_of_bands


class _Link:
    """A flow on the air, and what became of its present slot."""

    def __init__(self, flow: Flow, stream: Stream, group: int, carrier: int, state: State) -> None:
        self.flow, self.stream, self.group, self.carrier = flow, stream, group, carrier
        self.state = state
        self.counts = np.zeros(OUTCOMES, dtype=np.int64)
        self.average = 0.0
        self.slot = -1
        self.bits = 0
        self.kind = IDLE
        self.sinr = np.zeros(1)
        self.share = self.power = 0.0
        self.due_ns = flow.limit_ns
        self.complete = False


class Packet(SlotBySlot[_Link]):
    """An engine that looks at one slot at a time; see `Air`."""

    # What `Air` asks for.

    def begin(self, slot: int, started: Sequence[Stream]) -> None:
        """Take in that a slot begins: send one block on each link."""
        setup = self.setup
        for stream in started:
            for flow in stream.flows:
                group = setup.mac.group(flow.source, flow.target, setup.world.count)
                carrier = setup.mac.carrier(flow.source, flow.target, setup.world.count)
                several = np.array([stream.several])
                state = setup.modem.start(np.array([flow.size_bits]), several)
                self._links[flow] = _Link(flow, stream, group, carrier, state)
        self._slot = slot
        links = sorted(
            self._links.values(),
            key=lambda link: (link.group, link.stream.serial, link.flow.serial),
        )
        if not links:
            return
        on_air = OnAir(
            np.array([link.flow.source for link in links]),
            np.array([link.group for link in links]),
            np.array([link.stream.serial for link in links]),
            np.array([link.flow.batch for link in links]),
            np.array([link.flow.power for link in links]),
        )
        mean_w, now_w = {}, {}
        if self.hearing is not None:
            mean_w = self._emitted(links, setup.mac.duty(on_air).tolist())
        quality = np.empty((0, 0))
        if self.rules.patterned:
            quality = efficiency(np.stack(self._known(links, mean_w, [1.0] * len(links)))[:, None])
        average = np.array([link.average for link in links])
        shares = setup.mac.shares(on_air, slot, 1, quality, average)
        share, power = shares.band[:, 0], shares.power[:, 0]
        active = shares.active[:, 0]
        if self.hearing is not None:
            now_w = self._emitted(links, np.where(active, power, 0.0).tolist())
        density = [float(p / b) for p, b in zip(power, share, strict=True)]
        known = self._known(links, mean_w, density)
        for place, link in enumerate(links):
            link.slot, link.share, link.power = slot, float(share[place]), float(power[place])
            if shares.average is not None:
                link.average = float(shares.average[place, 0])
            link.sinr = self._sinr(link, now_w, density[place])
            self._send(link, known[place], bool(active[place]))
        for link in sorted(links, key=lambda link: link.flow.serial):
            instant_ns = min(link.due_ns, (slot + 1) * self.slot_ns)
            self.env.at(instant_ns, partial(self._arrived, link, slot))

    def settle(self, flow: Flow, now_ns: int) -> None:
        """Book what a flow that ends now did on the air, and forget it."""
        link = self._take_off(flow, now_ns)
        flow.count(link.counts, self.slot_ns)

    # Slots.

    def _send(self, link: _Link, known: Floats, active: bool) -> None:
        """Let the modem look at the present slot of a link, and find out whether that is all."""
        setup, flow = self.setup, link.flow
        draws = uniforms(setup.error_key, flow.source, flow.target, [[link.slot]])
        outcome = setup.modem.scan(
            link.state,
            Slots(
                known[None, None],
                link.sinr[None, None],
                np.array([[link.share]]),
                np.array([[active]]),
                draws,
            ),
        )
        link.bits, link.kind = int(outcome.bits[0, 0]), int(outcome.kind[0, 0])
        self._foresee(link)

    def book(self, link: _Link) -> None:
        """Book the slot that has passed to a flow."""
        flow = link.flow
        link.slot = -1
        link.counts[link.kind] += 1
        if link.kind == IDLE:
            return
        if link.bits and self.setup.trace:
            instant_ns = (self._slot + 1) * self.slot_ns
            flow.progress.append((np.array([instant_ns]), np.array([link.bits])))
        flow.acked_bits += link.bits
        slot_s = self.slot_ns / NS_PER_S
        possible = efficiency(link.sinr) * (self.setup.world.bandwidth_hz * slot_s)
        flow.snr_sum = float(flow.snr_sum + mean_of_bands(link.sinr))
        flow.capacity_bits = float(flow.capacity_bits + possible * link.share)
        flow.airtime_s = float(flow.airtime_s + link.power * slot_s)

    # Quality.

    def _emitted(self, links: list[_Link], power: list[float]) -> dict[tuple[int, int], float]:
        """Return the power [W] that each node puts on the air in each group."""
        total: dict[tuple[int, int], float] = {}
        streams = set()
        for link, share in zip(links, power, strict=True):
            if link.stream.serial in streams:
                continue
            streams.add(link.stream.serial)
            emitter = (link.flow.source, link.group)
            full_w = float(self.setup.world.tx_power_w[link.flow.source])
            total[emitter] = total.get(emitter, 0.0) + share * full_w
        return total

    def _interference(
        self, link: _Link, emitted: dict[tuple[int, int], float], slot: int
    ) -> Floats:
        """Return the interference (B,) that a link's receiver meets [W]."""
        total = np.zeros(self.setup.world.channel.subbands)
        if self.hearing is None:
            return total
        target, now_ns = link.flow.target, self._slot * self.slot_ns
        heard = set(self.hearing.heard([target], now_ns)[0].tolist())
        carriers = {
            (other.flow.source, other.group): other.carrier for other in self._links.values()
        }
        for (node, group), power_w in sorted(emitted.items()):
            if node not in heard or node == link.flow.source or group == link.group:
                continue
            if carriers[node, group] == link.carrier:
                total = total + power_w * self._gain(node, target, slot)
        return total

    def _sinr(self, link: _Link, emitted: dict[tuple[int, int], float], density: float) -> Floats:
        """Return the ratio (B,) of signal to interference and noise in the present slot."""
        world, flow = self.setup.world, link.flow
        noise_w = self._noise_w(flow.target, self._slot)
        signal_w = world.tx_power_w[flow.source] * self._gain(flow.source, flow.target, self._slot)
        return sinr(
            signal_w, np.array(density), noise_w, self._interference(link, emitted, self._slot)
        )

    def _known(
        self, links: list[_Link], emitted: dict[tuple[int, int], float], density: list[float]
    ) -> list[Floats]:
        """Return the ratio (B,) that each transmitter believes in."""
        setup = self.setup
        world, delay = setup.world, setup.csi_delay_slots
        result = []
        for link, spread in zip(links, density, strict=True):
            flow = link.flow
            noise_w = self._noise_w(flow.target, max(self._slot - delay, 0))
            met_w = self._interference(link, emitted, max(self._slot - delay, 0))
            signal_w = world.tx_power_w[flow.source] * predict(self._past(flow))
            result.append(sinr(signal_w, np.array(spread), noise_w, met_w))
        for stream in {link.stream for link in links if len(link.stream.flows) > 1}:
            members = [place for place, link in enumerate(links) if link.stream is stream]
            agreed = common(np.stack([result[place] for place in members]), stream.quantile)
            for place in members:
                result[place] = agreed
        return result
