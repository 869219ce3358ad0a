"""Over-the-air computation: all senders of a group transmit analog values in the same slots.

A receiver gets the sum of what its senders transmit. So that values arrive with equal amplitudes, a
sender inverts its channel: it transmits with the power `eta / |h|^2` if its gain |h|^2 is above a
threshold, and is silent otherwise. The sum over `sqrt(eta)`, divided by the number n of senders, is
the mean of their values with noise of variance `sigma^2 / (eta n^2)`, sigma^2 being the receiver's
noise. The group needs one symbol for two values, however many senders there are.

Sources: Zhu, Wang and Huang, "Broadband analog aggregation for low-latency federated edge
learning", IEEE Trans. Wireless Commun. 19(1), 2020 (truncated channel inversion); Yang, Jiang, Shi
and Ding, "Federated learning via over-the-air computation", IEEE Trans. Wireless Commun. 19(3),
2020 (alignment to the weakest sender); Cao, Zhu, Xu and Huang, "Optimized power control for
over-the-air computation in fading channels", IEEE Trans. Wireless Commun. 19(11), 2020 (least mean
squared error at limited power).
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from wnsim.core.params import parameters
from wnsim.core.units import Floats, db_to_linear
from wnsim.mac.cell import Cell
from wnsim.mac.ofdma import Ofdma
from wnsim.mac.scheduled import OnAir, Rules, Shares
from wnsim.mac.tdma import Tdma

DigitalAccess = Annotated[Cell | Tdma | Ofdma, Field(discriminator="model")]


@parameters
class OverTheAir:
    """Analog aggregation of updates, beside a digital access for all other messages.

    A group is a server's clients, or the neighbors of a device; groups transmit one after another,
    each on the whole band. Channel and power are constant over a coherence block (`radio.block_s`)
    and a subband, in each of which a device either inverts its channel or is silent. Two real
    values make a complex symbol, and the band carries as many symbols per second as it has hertz.

    Scope: the receiver knows which senders are silent in which block; noise, jammers, fading and
    motion are those of the channel; groups and digital messages do not interfere with each other;
    an outdated channel (`radio.csi_delay_s`) is not predicted. Energy is that of symbols of unit
    power, which values of a smaller spread do not reach.

    Parameters
    ----------
    threshold_db : SNR at full power on the whole band below which a device is silent in a block and
        subband; the threshold on the gain, over noise and power [dB]
    power_control : received power of all senders in a block: that of the `weakest` of them at full
        power; that at the `threshold`, which needs no exchange of gains; or the one of
        `least-error`, at which weak senders use full power and arrive with less
    csi_error : variance of the channel estimate's error, by which a sender inverts and compares
        with the threshold, over the link's mean gain
    phase_error_deg : standard deviation of a sender's phase in a block, from imperfect
        synchronisation [degree]
    overhead : share of the symbols that carry pilots and guard times
    weak_devices : what a device does whose SNR without fading is below the threshold: it sends in
        blocks in which it can (`analog`), or its whole update in the digital access afterwards
        (`digital`)
    digital : medium access of all other messages
    """

    model: Literal["over-the-air"] = "over-the-air"
    scheme: ClassVar[str] = "scheduled"
    threshold_db: Annotated[float, Field(ge=-100, le=100)] = 0.0
    power_control: Literal["weakest", "threshold", "least-error"] = "weakest"
    csi_error: Annotated[float, Field(ge=0, le=10)] = 0.0
    phase_error_deg: Annotated[float, Field(ge=0, le=180)] = 0.0
    overhead: Annotated[float, Field(ge=0, lt=1)] = 0.0
    weak_devices: Literal["analog", "digital"] = "analog"
    digital: DigitalAccess = Field(default_factory=lambda: Cell(scheduler="equal"))

    def __post_init__(self) -> None:
        allocation = getattr(self.digital, "allocation", None)
        if allocation is not None:
            raise ValueError(
                "digital.allocation divides the uplink among devices, and over the air all of them "
                f"use the whole band at once, got {allocation.model}"
            )

    # The digital access.

    def rules(self) -> Rules:
        """Return the constraints of the digital access."""
        return self.digital.rules()

    def group(self, source: int, target: int, devices: int) -> int:
        """Return the group of a digital link."""
        return self.digital.group(source, target, devices)

    def carrier(self, source: int, target: int, devices: int) -> int:
        """Return the carrier of a digital link."""
        return self.digital.carrier(source, target, devices)

    def duty(self, attempts: OnAir) -> Floats:
        """Return the mean share of its transmitter's power that each digital attempt uses."""
        return self.digital.duty(attempts)

    def shares(
        self, attempts: OnAir, first_slot: int, slots: int, quality: Floats, average: Floats
    ) -> Shares:
        """Return the shares of digital attempts."""
        return self.digital.shares(attempts, first_slot, slots, quality, average)

    # The analog one.

    @property
    def threshold(self) -> float:
        """SNR below which a device is silent, linear."""
        return float(db_to_linear(self.threshold_db))

    def received_snr(self, snr: Floats, active: NDArray[np.bool_]) -> Floats:
        """Return eta over the noise, to which the senders of each block align their symbols.

        Parameters
        ----------
        snr : (n, G) SNR of each sender in each block at full power, as it estimates it
        active : (n, G) whether it sends

        Returns
        -------
        (G,) linear; 0 where none sends
        """
        some = active.any(axis=0)
        if self.power_control == "least-error":
            return np.where(some, least_error_snr(np.where(active, snr, np.inf)), 0.0)
        if self.power_control == "threshold":
            return np.where(some, self.threshold, 0.0)
        return np.where(some, np.where(active, snr, np.inf).min(axis=0, initial=np.inf), 0.0)


def least_error_snr(snr: Floats) -> Floats:
    """Return the received SNR with the least mean squared error of the sum, by block.

    With the k weakest senders at full power and the others aligned, the error is least at u =
    1 / sqrt(eta) = sum sqrt(g) / (1 + sum g) over these k; the best of these values of eta is the
    smallest one (Cao et al.).

    Parameters
    ----------
    snr : (n, G) SNR of each sender at full power; infinite for silent ones

    Returns
    -------
    (G,) linear; infinite where all are silent
    """
    order = np.sort(snr, axis=0)
    known = np.isfinite(order)
    g = np.where(known, order, 0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        each = ((1.0 + np.cumsum(g, axis=0)) / np.cumsum(np.sqrt(g), axis=0)) ** 2
    return np.asarray(np.where(known, each, np.inf).min(axis=0, initial=np.inf))


def squared_error(snr: Floats, eta: Floats) -> Floats:
    """Return the mean squared error of the sum of independent values of unit variance, by block.

    Of Cao et al.: sum over senders of (sqrt(p) h / sqrt(eta) - 1)^2, plus sigma^2 / eta.

    Parameters
    ----------
    snr : (n, G) SNR of each sender at full power
    eta : (..., G) received power over the noise to which they align as far as they can

    Returns
    -------
    (..., G)
    """
    amplitude = np.minimum(np.sqrt(snr / eta[..., None, :]), 1.0)
    return np.asarray(((amplitude - 1.0) ** 2).sum(axis=-2) + 1.0 / eta)
