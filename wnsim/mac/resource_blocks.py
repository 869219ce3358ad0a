"""Resource blocks of an uplink: which device gets which, and with how much power.

Sources: Chen, Yang, Saad, Yin, Poor and Cui, "A joint learning and communications framework for
federated learning over wireless networks", IEEE Trans. Wireless Commun. 20(1), 2021: Theorem 2
(power), and the assignment of devices to blocks (Section III).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from pydantic import Field

from wnsim.core.params import parameters
from wnsim.core.resource_blocks import assignment, block_error
from wnsim.core.units import Floats, db_to_linear
from wnsim.mac.allocation import Allotment, Demand, rate_on

if TYPE_CHECKING:
    from wnsim.phy import Modem

_Rise = Annotated[float, Field(ge=0, le=100)]


@parameters
class ResourceBlocks:
    """Equal blocks of the band, each with its own interference, one for each device that transmits.

    Devices get the blocks with which the expected sum of weights of the messages that arrive is
    largest: a message counts with its weight, for updates the number of training examples, times
    1 - q, q being the expected error rate of its block under Rayleigh fading; with nothing where
    the deadline cannot be met. The assignment is found by the Hungarian algorithm, whenever a
    transmission starts or ends. More transmissions than there are blocks wait.

    Power is full, or the largest with which what is left of a message takes no more than its part
    of `energy_j`: with a = SNR over the gap and u = 1 + a p, p / log2(1 + a p) = c has the solution
    u = -k W(-exp(-1 / k) / k), k = a c / ln 2, W being the lower branch of Lambert's function. It
    is full as well where no power would do.

    Scope: interference of other networks has a constant mean in each block; that of other stations
    of the scenario is spread over the whole band. The error rate serves the assignment alone: in
    the simulation blocks are lost by the physical layer, and sent again.

    Parameters
    ----------
    noise_rise_db : noise and interference of each block over its noise [dB]; the number of entries
        is the number of blocks
    waterfall_db : m in the error rate 1 - exp(-m / SNR) at an SNR without fading [dB]
    energy_j : radiated energy that a message may take [J]; none: any
    """

    model: Literal["resource-blocks"] = "resource-blocks"
    noise_rise_db: Annotated[tuple[_Rise, ...], Field(min_length=1, max_length=275)] = (0.0,) * 4
    waterfall_db: Annotated[float, Field(ge=-50, le=50)] = 0.023
    energy_j: Annotated[float, Field(gt=0, le=1e9)] | None = None

    def valid_s(self, demand: Demand) -> float:
        """Return infinity; see `Allocation`."""
        return math.inf

    @property
    def noise(self) -> Floats:
        """Noise and interference of each block over its noise, (blocks,), linear."""
        return np.asarray(db_to_linear(np.array(self.noise_rise_db)))

    def shares(self, modem: Modem, demand: Demand) -> Allotment:
        """Return the shares and the noise of the block of each device; see `Allocation`."""
        snr, rate_bps, power = self.links(modem, demand)
        error = block_error(float(db_to_linear(self.waterfall_db)), snr)
        in_time = (power > 0.0) & (demand.bits[:, None] <= rate_bps * demand.left_s[:, None])
        block = assignment(np.where(in_time, demand.weight[:, None] * (1.0 - error), 0.0))
        power = np.take_along_axis(power, block[:, None], axis=1)[:, 0]
        band = np.full(block.size, 1.0 / self.noise.size)
        return Allotment(band, np.where(power > 0.0, power, demand.limit), self.noise[block])

    def links(self, modem: Modem, demand: Demand) -> tuple[Floats, Floats, Floats]:
        """Return mean SNR, rate [bit/s] and share of the power on each block, (n, blocks).

        All are 0 where the energy does not suffice.
        """
        blocks, noise = self.noise.size, self.noise
        full = demand.snr[:, None] * blocks / noise
        limit = np.broadcast_to(demand.limit[:, None], full.shape)
        power = limit
        if self.energy_j is not None:
            left_j = self.energy_j * demand.bits / demand.size_bits
            power = np.minimum(_affordable(modem, demand, full, left_j), limit)
        rate_bps = rate_on(modem, full * power / blocks, np.full(full.shape, 1.0 / blocks))
        return full * power, rate_bps, power


def _affordable(modem: Any, demand: Demand, full: Floats, left_j: Floats) -> Floats:
    """Return the shares of the power (n, blocks) with which bits take an energy, 0 for none.

    Parameters
    ----------
    modem, demand : physical layer of model shannon, and what is sent
    full : (n, blocks) SNR on each block at full power
    left_j : (n,) the energy [J]
    """
    from scipy.special import lambertw

    # Share of the power that the energy allows for each bit/s/Hz of a block.
    each = left_j * modem.goodput_hz / (full.shape[1] * demand.tx_power_w * demand.bits)
    slope = full / modem.gap
    k = slope * each[:, None] / np.log(2.0)
    # At and below 1, the least energy of a bit, with power towards 0, is too much.
    enough = k > 1.0
    k = np.where(enough, k, 2.0)
    u = -k * lambertw(-np.exp(-1.0 / k) / k, -1).real
    power = np.where(enough, (u - 1.0) / np.where(enough, slope, 1.0), 0.0)
    most = modem.max_bps_hz
    return power if most is None else np.where(u < 2.0**most, power, enough * each[:, None] * most)
