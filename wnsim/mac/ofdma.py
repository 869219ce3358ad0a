"""Orthogonal frequency division among receivers: nobody interferes with anybody.

Sources: arXiv 2602.20492, Eq. (8): the band of a device is split equally over its receivers; and
Eq. (25), the power with which a message just meets its deadline. With equal powers, ours, the power
per hertz, and with it the SNR, is the same as with one receiver on the whole band.

Scope: subchannels are perfectly orthogonal, there is no guard band, no signalling and no
leakage between bands.
"""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np

from wnsim.core.params import parameters
from wnsim.core.units import Floats
from wnsim.mac.scheduled import OnAir, Rules, Shares, constant


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
    power : of each receiver's part: `equal`, all of the transmitter's; or `required`, what makes
        the message arrive just in time on the channel as it is known when the batch begins, all in
        proportion where their sum is more than there is
    margin_db : what is added to the required power against fading and lost blocks [dB]
    """

    model: Literal["ofdma"] = "ofdma"
    scheme: ClassVar[str] = "scheduled"
    shared: bool = False
    power: Literal["equal", "required"] = "equal"
    margin_db: float = 0.0

    def __post_init__(self) -> None:
        if self.shared and self.power == "required":
            raise ValueError("power required is for bands of one's own, got shared: true")
        if not 0.0 <= self.margin_db <= 100.0:
            raise ValueError(f"margin_db must be from 0 to 100 dB, got {self.margin_db:g}")
        if self.margin_db and self.power != "required":
            raise ValueError(f"margin_db is for power required, got power {self.power}")

    def rules(self) -> Rules:
        """Return the constraints."""
        if self.shared:
            return Rules(half_duplex=True)
        return Rules(batch=True, margin_db=self.margin_db if self.power == "required" else None)

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
            equal = constant(1.0 / flows.batch)
            if self.power == "equal":
                return equal
            return Shares(equal.band, flows.power[:, None], equal.active)
        _, first, place = np.unique(flows.stream, return_index=True, return_inverse=True)
        sender = flows.source[first]
        senders, which, count = np.unique(sender, return_inverse=True, return_counts=True)
        power = (1.0 / count[which])[place]
        shares = constant(power)
        return Shares(shares.band / max(senders.size, 1), shares.power, shares.active)
