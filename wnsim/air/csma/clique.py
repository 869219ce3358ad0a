"""Contention where everybody hears everybody: when rounds without events are possible.

That is when all nodes lock on to all others' frames, can read them, and fall idle together; then
`contest` goes from one exchange to the next.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from wnsim.air.csma.clique_rounds import MOST_NODES, Contest
from wnsim.air.csma.collision_outcome import Clash
from wnsim.air.csma.radio import ACK_BITS
from wnsim.air.csma.sender import Sender
from wnsim.phy.wifi import DIFS_NS, SIFS_NS

if TYPE_CHECKING:
    from wnsim.air.csma.windowed import Windowed


class Rounds:
    """Rounds of contention of an engine.

    Parameters
    ----------
    engine : whose state they begin with, and leave behind
    """

    def __init__(self, engine: Windowed) -> None:
        self._engine = engine
        self._clash = Clash(engine)
        self._epoch = -1
        self._weakest: float | None = None
        self._loud = self._flat = False

    def run(self, bound_ns: float) -> None:
        """Go through rounds that end before an instant [ns], if there are any."""
        engine = self._engine
        nodes = len(engine.slots)
        if nodes > MOST_NODES or True not in engine.contends:
            return
        free = list(map(max, engine.busy_ns, engine.eifs_ns))
        idle_ns = free[0]
        if free.count(idle_ns) < nodes or not self._clique(idle_ns):
            return
        senders = {}
        for node in range(nodes):
            if engine.contends[node]:
                sender = self._sender(node, idle_ns)
                if sender is None or engine.asked_ns[node] > idle_ns + DIFS_NS:
                    return
                senders[node] = sender
        ends_ns = engine.radio.epoch_end_ns(idle_ns), engine.paths.end_ns
        contest = Contest(engine, self._clash, senders, self._loud, self._flat)
        contest.go(idle_ns, min(bound_ns, *ends_ns))

    def _clique(self, now_ns: int) -> bool:
        """Return whether every node locks on to every other one's frames."""
        radio = self._engine.radio
        epoch = radio.epoch(now_ns)
        if epoch != self._epoch:
            self._epoch = epoch
            self._weakest, self._loud, self._flat = None, False, False
            self._clash.forget()
            nodes = range(len(self._engine.slots))
            if all(len(radio.alone(node, now_ns)) == len(nodes) - 1 for node in nodes):
                heard = [radio.heard_w(node, now_ns) for node in nodes]
                power = np.concatenate([list(each.values()) for each in heard])
                noise = np.array(radio.noise_w)[np.concatenate([list(each) for each in heard])]
                self._weakest = float((power / noise).min())
                low, high = float(power.min()), float(power.max())
                self._loud = low >= radio.energy_w
                self._flat = self._loud and not any(radio.locks(node, high, low) for node in nodes)
        return self._weakest is not None

    def _sender(self, node: int, now_ns: int) -> Sender | None:
        """Return what a contending station sends; none: something else than full packets."""
        engine, radio = self._engine, self._engine.radio
        service = engine.queues[node][0]
        if service.several:
            return None
        flow = service.flows[0]
        payload = engine.setup.packet_bits
        data = radio.scheme(node, (flow.target,), service.stream.quantile, now_ns)
        ack = radio.phy.control(data)
        bits = radio.air_bits(payload)
        needed = max(data.threshold(bits, 0.5), ack.threshold(ACK_BITS, 0.5))
        if self._weakest is None or self._weakest < needed:
            return None
        data_ns = data.duration_ns(bits)
        least, _ = engine.paths.span(node, flow.target, now_ns)
        there = radio.tx_w[node] * least / radio.noise_w[flow.target]
        back = radio.tx_w[flow.target] * least / radio.noise_w[node]
        return Sender(
            service=service,
            flow=flow,
            target=flow.target,
            left=(service.missing_bits(flow) - 1) // payload,
            bits=bits,
            data=data,
            ack=ack,
            data_ns=data_ns,
            exchange_ns=data_ns + SIFS_NS + ack.duration_ns(ACK_BITS),
            steady=there >= data.threshold(bits, 0.0) and back >= ack.threshold(ACK_BITS, 0.0),
            again=service.tries > 0 or service.reached,
        )
