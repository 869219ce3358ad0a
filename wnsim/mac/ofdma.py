"""Orthogonal frequency division among receivers: nobody interferes with anybody.

Sources: arXiv 2602.20492, Eq. (8): the band of a device is split equally over its receivers.
Equal power per receiver is our reading where the paper leaves the split to an optimizer; power
per hertz, and with it the SNR, is then the same as with one receiver on the whole band.

Scope: subchannels are perfectly orthogonal, there is no guard band, no signalling and no
leakage between bands.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from wnsim.params import parameters

if TYPE_CHECKING:
    from wnsim.mac import Flow


@parameters
class Ofdma:
    """Equal split of a band over the receivers of a transmitter.

    With `shared: false` (as in the paper) each transmitter owns an orthogonal band and radios are
    full duplex. The messages that are waiting when the transmitter is idle go on the air
    together, one per receiver, each on an equal part of the band until all of them have ended;
    later messages wait.

    With `shared: true` one band is divided equally among the transmitters on the air at that
    time, then over each one's receivers, and radios are half duplex: a message waits, in order of
    arrival, while its transmitter is receiving or its receiver is transmitting.

    Parameters
    ----------
    shared : whether all transmitters share one band
    """

    model: Literal["ofdma"] = "ofdma"
    shared: bool = False

    @property
    def dynamic(self) -> bool:
        """Whether shares change while a flow is on the air."""
        return self.shared

    def domain(self, source: int) -> int:
        """Return the transmitter itself, or the one domain of a shared band."""
        return 0 if self.shared else source

    def admit(self, waiting: Sequence[Flow], on_air: Sequence[Flow]) -> list[int]:
        """Return the indices of the waiting flows that start now."""
        if on_air and not self.shared:
            return []
        links = {(flow.source, flow.target) for flow in on_air}
        transmitting = {flow.source for flow in on_air}
        receiving = {flow.target for flow in on_air}
        started = []
        for index, flow in enumerate(waiting):
            if (flow.source, flow.target) in links:
                continue
            if self.shared and (flow.source in receiving or flow.target in transmitting):
                continue
            links.add((flow.source, flow.target))
            transmitting.add(flow.source)
            receiving.add(flow.target)
            started.append(index)
        return started

    def shares(self, on_air: Sequence[Flow]) -> tuple[list[float], list[float]]:
        """Return the share of the band and of the transmitter's power of each flow."""
        if not self.shared:
            shares = [1.0 / flow.batch for flow in on_air]
            return shares, shares
        receivers = Counter(flow.source for flow in on_air)
        power = [1.0 / receivers[flow.source] for flow in on_air]
        return [share / len(receivers) for share in power], power
