"""Packet-level engine: one event for each transport block, the oracle of the windowed engine.

In each slot it evaluates the links on the air one by one, with the same functions of pair and slot,
the same physical layer and the same medium access as `windowed`, but without windows, tables or
computation ahead.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np

from wnsim import kernels
from wnsim.air.quality import multicast_quality, predict, sinr
from wnsim.air.slot_by_slot import SlotBySlot
from wnsim.air.transmission import Attempt, Transmission
from wnsim.core.streams import uniforms
from wnsim.core.units import NS_PER_S, Floats
from wnsim.mac.scheduled import OnAir
from wnsim.phy.modem import IDLE, OUTCOMES, Slots, State, efficiency, mean_of_bands


class _Link:
    """An attempt on the air, and the outcome of its present slot."""

    def __init__(
        self, attempt: Attempt, transmission: Transmission, group: int, carrier: int, state: State
    ) -> None:
        self.attempt, self.transmission, self.group, self.carrier = (
            attempt,
            transmission,
            group,
            carrier,
        )
        self.state = state
        self.counts = np.zeros(OUTCOMES, dtype=np.int64)
        self.average = 0.0
        self.slot = -1
        self.bits = 0
        self.kind = IDLE
        self.sinr = np.zeros(1)
        self.share = self.power = 0.0
        self.due_ns = attempt.limit_ns
        self.complete = False


class Packet(SlotBySlot[_Link]):
    """An engine that simulates one slot at a time; see `Air`."""

    # Required by `Air`.

    def begin_slot(self, slot: int, started: Sequence[Transmission]) -> None:
        """Begin a slot: send one block on each link."""
        setup = self.setup
        for transmission in started:
            for attempt in transmission.attempts:
                group = setup.mac.group(attempt.source, attempt.target, setup.world.count)
                carrier = setup.mac.carrier(attempt.source, attempt.target, setup.world.count)
                multicast = np.array([transmission.multicast])
                state = setup.modem.start(np.array([attempt.size_bits]), multicast)
                self._links[attempt] = _Link(attempt, transmission, group, carrier, state)
        self._slot = slot
        links = sorted(
            self._links.values(),
            key=lambda link: (link.group, link.transmission.serial, link.attempt.serial),
        )
        if not links:
            return
        on_air = OnAir(
            np.array([link.attempt.source for link in links]),
            np.array([link.group for link in links]),
            np.array([link.transmission.serial for link in links]),
            np.array([link.attempt.batch for link in links]),
            np.array([link.attempt.power for link in links]),
            np.array([link.attempt.band for link in links]),
        )
        mean_w, now_w = {}, {}
        if self.interference_graph is not None:
            mean_w = self._emitted(links, setup.mac.duty(on_air).tolist())
        quality = np.empty((0, 0))
        if self.rules.patterned:
            quality = efficiency(
                np.stack(self._estimated(links, mean_w, [1.0] * len(links)))[:, None]
            )
        average = np.array([link.average for link in links])
        shares = setup.mac.shares(on_air, slot, 1, quality, average)
        share, power = shares.band[:, 0], shares.power[:, 0]
        active = shares.active[:, 0]
        if self.interference_graph is not None:
            now_w = self._emitted(links, np.where(active, power, 0.0).tolist())
        density = [
            float(p / b) / link.attempt.noise
            for p, b, link in zip(power, share, links, strict=True)
        ]
        estimated = self._estimated(links, mean_w, density)
        for place, link in enumerate(links):
            link.slot, link.share, link.power = slot, float(share[place]), float(power[place])
            if shares.average is not None:
                link.average = float(shares.average[place, 0])
            link.sinr = self._sinr(link, now_w, density[place])
            self._send(link, estimated[place], bool(active[place]))
        for link in sorted(links, key=lambda link: link.attempt.serial):
            instant_ns = min(link.due_ns, (slot + 1) * self.slot_ns)
            self.env.at(instant_ns, partial(self._on_slot_end, link, slot))

    def finalize(self, attempt: Attempt, now_ns: int) -> None:
        """Write the outcome of an attempt that ends now, and remove it."""
        link = self._take_off(attempt, now_ns)
        attempt.count(link.counts, self.slot_ns)

    # Slots.

    def _send(self, link: _Link, estimated: Floats, active: bool) -> None:
        """Let the modem process the present slot of a link, and predict the end of the attempt."""
        setup, attempt = self.setup, link.attempt
        draws = uniforms(setup.error_key, attempt.source, attempt.target, [[link.slot]])
        outcome = setup.modem.scan(
            link.state,
            Slots(
                estimated[None, None],
                link.sinr[None, None],
                np.array([[link.share]]),
                np.array([[active]]),
                draws,
            ),
        )
        link.bits, link.kind = int(outcome.bits[0, 0]), int(outcome.kind[0, 0])
        self._predict_end(link)

    def commit(self, link: _Link) -> None:
        """Add the past slot of a link to its attempt."""
        attempt = link.attempt
        link.slot = -1
        link.counts[link.kind] += 1
        if link.kind == IDLE:
            return
        if link.bits and self.setup.trace:
            instant_ns = (self._slot + 1) * self.slot_ns
            attempt.progress.append((np.array([instant_ns]), np.array([link.bits])))
        attempt.acked_bits += link.bits
        slot_s = self.slot_ns / NS_PER_S
        possible = kernels.slots.efficiency(link.sinr, 1.0) * (
            self.setup.world.bandwidth_hz * slot_s
        )
        attempt.snr_sum = float(attempt.snr_sum + mean_of_bands(link.sinr))
        attempt.capacity_bits = float(attempt.capacity_bits + possible * link.share)
        attempt.airtime_s = float(attempt.airtime_s + link.power * slot_s)

    # Quality.

    def _emitted(self, links: list[_Link], power: list[float]) -> dict[tuple[int, int], float]:
        """Return the power [W] that each node emits in each group."""
        total: dict[tuple[int, int], float] = {}
        transmissions = set()
        for link, share in zip(links, power, strict=True):
            if link.transmission.serial in transmissions:
                continue
            transmissions.add(link.transmission.serial)
            emitter = (link.attempt.source, link.group)
            full_w = float(self.setup.world.tx_power_w[link.attempt.source])
            total[emitter] = total.get(emitter, 0.0) + share * full_w
        return total

    def _interference(
        self, link: _Link, emitted: dict[tuple[int, int], float], slot: int
    ) -> Floats:
        """Return the interference (B,) at a link's receiver [W]."""
        total = np.zeros(self.setup.world.channel.subbands)
        if self.interference_graph is None:
            return total
        target, now_ns = link.attempt.target, self._slot * self.slot_ns
        audible = set(self.interference_graph.audible([target], now_ns)[0].tolist())
        carriers = {
            (other.attempt.source, other.group): other.carrier for other in self._links.values()
        }
        for (node, group), power_w in sorted(emitted.items()):
            if node not in audible or node == link.attempt.source or group == link.group:
                continue
            if carriers[node, group] == link.carrier:
                total = total + power_w * self._gain(node, target, slot)
        return total

    def _sinr(self, link: _Link, emitted: dict[tuple[int, int], float], density: float) -> Floats:
        """Return the SINR (B,) in the present slot."""
        world, attempt = self.setup.world, link.attempt
        noise_w = self._noise_w(attempt.target, self._slot)
        signal_w = world.tx_power_w[attempt.source] * self._gain(
            attempt.source, attempt.target, self._slot
        )
        return sinr(
            signal_w, np.array(density), noise_w, self._interference(link, emitted, self._slot)
        )

    def _estimated(
        self, links: list[_Link], emitted: dict[tuple[int, int], float], density: list[float]
    ) -> list[Floats]:
        """Return the SINR (B,) estimated by each transmitter."""
        setup = self.setup
        world, delay = setup.world, setup.csi_delay_slots
        result = []
        for link, spread in zip(links, density, strict=True):
            attempt = link.attempt
            noise_w = self._noise_w(attempt.target, max(self._slot - delay, 0))
            interference_w = self._interference(link, emitted, max(self._slot - delay, 0))
            signal_w = world.tx_power_w[attempt.source] * predict(self._known_gains(attempt))
            result.append(sinr(signal_w, np.array(spread), noise_w, interference_w))
        for transmission in {
            link.transmission for link in links if len(link.transmission.attempts) > 1
        }:
            members = [
                place for place, link in enumerate(links) if link.transmission is transmission
            ]
            agreed = multicast_quality(
                np.stack([result[place] for place in members]), transmission.quantile
            )
            for place in members:
                result[place] = agreed
        return result
