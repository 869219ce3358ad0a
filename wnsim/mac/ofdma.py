"""Orthogonal frequency-division multiple access: transmissions without mutual interference.

Sources: arXiv 2602.20492, Eq. (8): the band of a device is split equally over its receivers; and
Eq. (25), the power with which a message just meets its deadline. With equal powers, the default,
power per hertz, and with it the SNR, is the same as with one receiver on the whole band.

Scope: subchannels are perfectly orthogonal; no guard bands, signalling or leakage.
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
    full duplex. Messages that wait when the transmitter becomes idle start together, one per
    receiver, each on an equal part of the band until all of them have ended; later messages wait.

    With `shared: true` one band is divided equally among the active transmitters, then over the
    receivers of each, and radios are half duplex: a message waits, in order of arrival, while its
    transmitter receives or its receiver transmits.

    Parameters
    ----------
    shared : whether all transmitters share one band
    power : power of each receiver's part: `equal`, all of the transmitter's power; or `required`,
        the power with which the message just meets its deadline on the channel as estimated at the
        start of the batch, reduced in proportion if the sum exceeds the transmitter's power
    margin_db : margin added to the required power for fading and lost blocks [dB]
    """

    model: Literal["ofdma"] = "ofdma"
    scheme: ClassVar[str] = "scheduled"
    shared: bool = False
    power: Literal["equal", "required"] = "equal"
    margin_db: float = 0.0

    def __post_init__(self) -> None:
        if self.shared and self.power == "required":
            raise ValueError("power required needs a band per transmitter, got shared: true")
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
        """Return the transmitter, or 0 for a shared band."""
        return 0 if self.shared else source

    def carrier(self, source: int, target: int, devices: int) -> int:
        """Return 0."""
        return 0

    def duty(self, attempts: OnAir) -> Floats:
        """Return the share of its transmitter's power that each attempt uses."""
        return self.shares(attempts, 0, 1, np.empty((0, 0)), np.empty(0)).power[:, 0]

    def shares(
        self, attempts: OnAir, first_slot: int, slots: int, quality: Floats, average: Floats
    ) -> Shares:
        """Return the shares of the band and of the transmitter's power of each attempt."""
        if not self.shared:
            equal = constant(1.0 / attempts.batch)
            if self.power == "equal":
                return equal
            return Shares(equal.band, attempts.power[:, None], equal.active)
        _, first, place = np.unique(attempts.transmission, return_index=True, return_inverse=True)
        sender = attempts.source[first]
        senders, which, count = np.unique(sender, return_inverse=True, return_counts=True)
        power = (1.0 / count[which])[place]
        shares = constant(power)
        return Shares(shares.band / max(senders.size, 1), shares.power, shares.active)
