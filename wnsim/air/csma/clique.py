"""Fully connected CSMA network (single collision domain): conditions for rounds without events.

Rounds are possible while all nodes lock on to each other's frames, can decode them, and find the
medium idle from the same instant on, without access categories and with rates that follow from mean
gains; `clique_rounds` then advances from one exchange to the next.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from wnsim.air.csma.clique_rounds import MOST_NODES, CliqueCollisions, CliqueRounds
from wnsim.air.csma.collision_outcome import CollisionModel
from wnsim.air.csma.sender import Sender
from wnsim.air.csma.service import ACK_BITS
from wnsim.phy.wifi import DIFS_NS, SIFS_NS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from wnsim.air.csma.radio import Radio
    from wnsim.air.csma.service import Service
    from wnsim.air.csma.states import StationStates
    from wnsim.air.setup import Setup


class Clique:
    """Contention rounds of a fully connected network.

    Parameters
    ----------
    setup : what the engine is built from
    radio : powers and error probabilities
    queues : transmissions that wait at each node
    states : states of the stations, read before and written after the rounds
    """

    def __init__(
        self,
        setup: Setup,
        radio: Radio,
        queues: Mapping[int, list[Service]],
        states: StationStates,
    ) -> None:
        self._setup, self._radio = setup, radio
        self._queues, self._states = queues, states
        self._model = CollisionModel(radio, states)
        self._interval = -1
        self._weakest: float | None = None
        self._collisions = CliqueCollisions(self._model, all_busy=False, all_lost=False)

    def run(self, bound_ns: float) -> None:
        """Process the rounds that end before an instant [ns], if conditions allow rounds."""
        states = self._states
        nodes = states.nodes
        if nodes > MOST_NODES or states.per_node > 1 or True not in states.contends:
            return
        free = list(map(max, states.busy_ns, states.eifs_ns))
        idle_ns = free[0]
        if free.count(idle_ns) < nodes or not self._fully_connected(idle_ns):
            return
        senders = {}
        for node in range(nodes):
            if states.contends[node]:
                sender = self._sender(node, idle_ns)
                if sender is None or states.asked_ns[node] > idle_ns + DIFS_NS:
                    return
                senders[node] = sender
        ends_ns = self._radio.gain_interval_end_ns(idle_ns), states.gains.end_ns
        rounds = CliqueRounds(self._setup, self._radio, states, senders, self._collisions)
        rounds.run(idle_ns, min(bound_ns, *ends_ns))

    def _fully_connected(self, now_ns: int) -> bool:
        """Return whether every node locks on to the frames of every other node."""
        radio = self._radio
        interval = radio.gain_interval(now_ns)
        if interval != self._interval:
            self._interval = interval
            self._weakest = None
            all_busy = all_lost = False
            self._model.clear()
            nodes = range(self._states.nodes)
            if all(len(radio.locking_nodes(node, now_ns)) == len(nodes) - 1 for node in nodes):
                received = [radio.received_w(node, now_ns) for node in nodes]
                power = np.concatenate([list(each.values()) for each in received])
                noise = np.array(radio.noise_w)[np.concatenate([list(each) for each in received])]
                self._weakest = float((power / noise).min())
                low, high = float(power.min()), float(power.max())
                all_busy = low >= radio.energy_w
                all_lost = all_busy and not any(radio.locks(node, high, low) for node in nodes)
            self._collisions = CliqueCollisions(self._model, all_busy, all_lost)
        return self._weakest is not None

    def _sender(self, node: int, now_ns: int) -> Sender | None:
        """Return the sender state of a contending station; none: rounds cannot represent it."""
        radio = self._radio
        service = self._queues[node][0]
        if service.multicast or len(service.attempts) > 1 or radio.aggregator is not None:
            return None
        if radio.rates is not None:
            return None
        attempt = service.attempts[0]
        payload = self._setup.packet_bits
        data = radio.scheme(node, (attempt.target,), service.transmission.quantile, now_ns)
        ack = radio.phy.control(data)
        bits = radio.air_bits(payload)
        needed = max(data.threshold(bits, 0.5), ack.threshold(ACK_BITS, 0.5))
        if self._weakest is None or self._weakest < needed or radio.protects(bits):
            return None
        data_ns = data.duration_ns(bits)
        least, _ = self._states.gains.bounds(node, attempt.target, now_ns)
        there = radio.tx_w[node] * least / radio.noise_w[attempt.target]
        back = radio.tx_w[attempt.target] * least / radio.noise_w[node]
        return Sender(
            service=service,
            attempt=attempt,
            target=attempt.target,
            remaining=(service.remaining_bits(attempt) - 1) // payload,
            bits=bits,
            data=data,
            ack=ack,
            data_ns=data_ns,
            exchange_ns=data_ns + SIFS_NS + ack.duration_ns(ACK_BITS),
            error_free=there >= data.threshold(bits, 0.0) and back >= ack.threshold(ACK_BITS, 0.0),
            resent=service.tries > 0 or service.reached,
        )
