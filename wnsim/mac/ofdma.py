"""Orthogonal frequency division among receivers: nobody interferes with anybody.

Sources: arXiv 2602.20492, Eq. (8): the band of a device is split equally over its receivers.
Equal power per receiver is our reading where the paper leaves the split to an optimizer; power
per hertz, and with it the SNR, is then the same as with one receiver on the whole band.

Scope: subchannels are perfectly orthogonal, there is no guard band, no signalling and no
leakage between bands.
"""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np

from wnsim.mac.scheduled import OnAir, Rules, Shares, constant
from wnsim.params import parameters
from wnsim.units import Floats


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
    scheme: ClassVar[str] = "scheduled"
    shared: bool = False

    def rules(self) -> Rules:
        """Return the constraints."""
        return Rules(half_duplex=True) if self.shared else Rules(batch=True)

    def group(self, source: int, target: int, devices: int) -> int:
        """Return the transmitter itself, or the one group of a shared band."""
        return 0 if self.shared else source

    def carrier(self, source: int, target: int, devices: int) -> int:
        """Return 0."""
        return 0

    def duty(self, flows: OnAir) -> Floats:
        """Return the share of its transmitter's power that each flow uses."""
        return self.shares(flows, 0, 1, np.empty((0, 0)), np.empty(0)).power[:, 0]

    def shares(
        self, flows: OnAir, first_slot: int, slots: int, quality: Floats, average: Floats
    ) -> Shares:
        """Return the share of the band and of the transmitter's power of each flow."""
        if not self.shared:
            return constant(1.0 / flows.batch)
        _, first, place = np.unique(flows.stream, return_index=True, return_inverse=True)
        sender = flows.source[first]
        senders, which, count = np.unique(sender, return_inverse=True, return_counts=True)
        power = (1.0 / count[which])[place]
        shares = constant(power)
        return Shares(shares.band / max(senders.size, 1), shares.power, shares.active)
