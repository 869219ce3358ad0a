"""Allocation of an uplink's band and power among the devices that transmit.

A device of SNR g, on the whole band at full power, has the SNR g p / b on a share b of the band
with a share p of its power. An allocation knows the mean SNRs, the bits that are left and the time
until their deadlines.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from wnsim.core.params import parameters
from wnsim.core.units import Floats, Ints, db_to_linear
from wnsim.phy.shannon import ShannonModem

if TYPE_CHECKING:
    from wnsim.phy import Modem

# Steps of a bisection; smallest share of the band.
_HALVINGS = 100
_LEAST_BAND = 1e-9
# Relative errors of sums of shares.
_ROUNDING = 1e-9
# Shortest interval of allocations by deadline [s].
_SHORTEST_S = 0.01
# Refinements, and intervals in each, of shares and of times.
_BANDS, _TIMES = (6, 64), (8, 16)
_Interval = Annotated[float, Field(ge=1e-3, le=1e6)]


class Demand(NamedTuple):
    """What the devices of an uplink have to send.

    Parameters
    ----------
    bits : (n,) bits that are left [bit]
    left_s : (n,) time until their deadlines [s]
    snr : (n,) mean SNR at full power on the whole band, linear
    limit : (n,) largest share of its power that each device may use
    tx_power_w : (n,) full power of each device [W]
    size_bits : (n,) size of the messages on the air [bit]
    weight : (n,) weights of the messages: of an update its weight in an average, else 1
    device : (n,) number of each device
    """

    bits: Floats
    left_s: Floats
    snr: Floats
    limit: Floats
    tx_power_w: Floats
    size_bits: Floats
    weight: Floats
    device: Ints


class Allotment(NamedTuple):
    """What the devices of an uplink are allotted.

    Parameters
    ----------
    band : (n,) shares of the band, of sum 1 at most
    power : (n,) share of its power that each device uses
    noise : (n,) noise and interference in its part of the band over the noise, linear; none: 1
    """

    band: Floats
    power: Floats
    noise: Floats | None = None


class Allocation(Protocol):
    """Interface of allocations."""

    def valid_s(self, demand: Demand) -> float:
        """Return for how long shares hold at most if no transmission starts or ends [s]."""

    def shares(self, modem: Modem, demand: Demand) -> Allotment:
        """Return what each device is allotted; a pair of band and power will do."""


def checked(name: str, demand: Demand, shares: Any) -> Allotment:
    """Return what a user-defined allocation allots.

    Parameters
    ----------
    name : its name
    demand : what it was computed for
    shares : what it returned

    Raises
    ------
    ValueError
        if they are no shares of the band, of sum 1 at most, exceed the limits of power, or the
        noise is below that of the receiver
    """
    if not (isinstance(shares, tuple) and len(shares) in (2, 3)):
        raise ValueError(
            f"{name}: shares must return a pair of arrays, the shares of band and power, and at "
            f"most the noise as a third one, got {type(shares).__name__}"
        )
    found = Allotment(*shares)
    for title, share in zip(("band", "power", "noise"), shares, strict=False):
        if title == "noise" and share is None:
            continue
        if not (isinstance(share, np.ndarray) and share.shape == demand.bits.shape):
            shape = getattr(share, "shape", type(share).__name__)
            raise ValueError(
                f"{name}: shares must return the {title} of each device as an array of shape "
                f"{demand.bits.shape}, got {shape}"
            )
        if title == "noise":
            if not ((share >= 1.0) & (share < np.inf)).all():
                raise ValueError(f"{name}: noise must be at least 1, got {share.tolist()}")
        elif not ((share > 0.0) & (share <= 1.0)).all():
            raise ValueError(
                f"{name}: shares of the {title} must be above 0 and at most 1, got {share.tolist()}"
            )
    if found.band.sum() > 1.0 + _ROUNDING:
        raise ValueError(f"{name}: shares of the band must have sum 1, got {found.band.sum():g}")
    if (found.power > demand.limit * (1.0 + _ROUNDING)).any():
        raise ValueError(
            f"{name}: shares of the power must be within the limits {demand.limit.tolist()}, "
            f"got {found.power.tolist()}"
        )
    return found


@parameters
class EqualShares:
    """Equal parts of the band, and full power."""

    model: Literal["equal"] = "equal"

    def valid_s(self, demand: Demand) -> float:
        """Return infinity; see `Allocation`."""
        return math.inf

    def shares(self, modem: Modem, demand: Demand) -> Allotment:
        """Return equal shares of the band; see `Allocation`."""
        return Allotment(np.full(demand.bits.size, 1.0 / demand.bits.size), demand.limit)


@parameters
class MinMax:
    """Parts of the band with which all transmissions end together, at full power.

    The end of the last one is then earliest: a transmission that ended before it could give band
    to it. Found by bisection, also as the inner problem of methods that prune updates by channel.

    Scope: the channel is taken to stay at its mean, without interference of other stations. Where
    shadowing changes while a message is sent, as for walking devices with little power, equal parts
    can end earlier, since no one waits for the worst channel.

    Parameters
    ----------
    every_s : longest time between two allocations [s]
    """

    model: Literal["min-max"] = "min-max"
    every_s: _Interval = 1.0

    def valid_s(self, demand: Demand) -> float:
        """Return the interval; see `Allocation`."""
        return self.every_s

    def shares(self, modem: Modem, demand: Demand) -> Allotment:
        """Return the shares; see `Allocation`."""
        return Allotment(together(modem, demand), demand.limit)


@parameters
class LeastEnergy:
    """Parts of band and power with which all meet their deadlines at the least radiated energy.

    If they cannot, the transmissions end together, at full power.

    Sources: Tran, Bao, Zomaya, Nguyen and Hong, "Federated learning over wireless networks:
    optimization model design and analysis", IEEE INFOCOM 2019; Yang, Chen, Saad, Hong and
    Shikh-Bahaei, "Energy efficient federated learning over wireless communication networks", IEEE
    Trans. Wireless Commun. 20(3), 2021: the band by Lambert's W function and a bisection of the
    multiplier. Ours: the deadline is that of each message.

    Scope: for physical layer shannon; the channel is taken to stay at its mean, without
    interference of other stations. Circuits count as little as in the papers.

    Parameters
    ----------
    every_s : longest time between two allocations, which also are a quarter of the time that is
        left apart, so that errors of the plan are made up for [s]
    margin_db : margin added to the power for fading and lost blocks [dB]
    reserve_s : time before its deadline at which a transmission should end, for the way behind the
        station [s]
    """

    model: Literal["least-energy"] = "least-energy"
    every_s: _Interval = 1.0
    margin_db: Annotated[float, Field(ge=0, le=100)] = 0.0
    reserve_s: Annotated[float, Field(ge=0, le=1e6)] = 0.1

    def valid_s(self, demand: Demand) -> float:
        """Return the interval, or a quarter of the time until the first deadline."""
        left_s = float(demand.left_s.min()) - self.reserve_s
        return min(self.every_s, max(0.25 * left_s, _SHORTEST_S))

    def shares(self, modem: Modem, demand: Demand) -> Allotment:
        """Return the shares; see `Allocation`."""
        left_s = np.maximum(demand.left_s - self.reserve_s, 1e-9)
        demand = demand._replace(left_s=left_s)
        rate_bps = demand.bits / left_s
        least = band_for(modem, demand.snr * demand.limit, rate_bps)
        if not least.sum() < 1.0:
            return Allotment(together(modem, demand), demand.limit)
        band = least_energy_band(modem, demand, rate_bps, least)
        power = modem.factor(demand.snr[:, None], rate_bps, band) * band
        return Allotment(band, np.minimum(power * db_to_linear(self.margin_db), demand.limit))


def rate_on(modem: Modem, snr: Floats, band: Floats) -> Floats:
    """Return the rates (...,) on shares of the band (...,) at full-band SNRs (...,) [bit/s].

    In proportion to the share, at the SNR there: without the rounding of transport blocks, for
    each size of which a physical layer would have to make a table.
    """
    return np.asarray(band * modem.rate_bps(snr / band, np.ones(np.shape(band))))


def band_for(modem: Modem, snr: Floats, rate_bps: Floats) -> Floats:
    """Return the least shares of the band (..., n) that give rates, 1 where the whole does not.

    Parameters
    ----------
    modem : physical layer on the whole band
    snr : (n,) SNR on the whole band, with the power that is used
    rate_bps : (..., n) rates to reach [bit/s]
    """

    def enough(points: Floats) -> NDArray[np.bool_]:
        band = np.exp(points)
        return np.asarray(rate_on(modem, snr[:, None], band) >= rate_bps[..., None])

    low = np.full(rate_bps.shape, np.log(_LEAST_BAND))
    return np.asarray(np.exp(_first(enough, low, np.zeros(rate_bps.shape), _BANDS)))


def together(modem: Modem, demand: Demand) -> Floats:
    """Return the shares of the band (n,) with which transmissions end together, at full power.

    A device that an equal part of the band gives no rate gets that part.
    """
    snr, equal = demand.snr * demand.limit, 1.0 / demand.bits.size
    band = np.full(snr.size, equal)
    rate_bps = rate_on(modem, snr, band)
    served = rate_bps > 0.0
    if not served.any():
        return band
    snr, bits, whole = snr[served], demand.bits[served], np.ones(int(served.sum()))
    available = equal * whole.size
    # No one is faster than alone; nor is the last one slower than with equal parts.
    alone_bps = np.maximum(rate_on(modem, snr, whole), rate_bps[served])

    def enough(points: Floats) -> NDArray[np.bool_]:
        needed = band_for(modem, snr, bits / np.exp(points)[..., None])
        return np.asarray(needed.sum(axis=-1) <= available)

    low, high = (np.log((bits / each).max()) for each in (alone_bps, rate_bps[served]))
    found = band_for(modem, snr, bits / np.exp(_first(enough, low, high, _TIMES)))
    band[served] = found * (available / found.sum())
    return band


def _first(
    enough: Callable[[Floats], NDArray[np.bool_]], low: Floats, high: Floats, steps: tuple[int, int]
) -> Floats:
    """Return the least values (...,) between bounds that are enough, the upper one if none is.

    Parameters
    ----------
    enough : returns for values (..., K) whether they are enough
    low, high : (...,) bounds
    steps : number of refinements, and of intervals in each: few calls, since some physical layers
        take long for each of them
    """
    grid = np.linspace(0.0, 1.0, steps[1] + 1)
    for _ in range(steps[0]):
        points = low[..., None] + (high - low)[..., None] * grid
        points[..., -1] = high
        reached = enough(points)
        reached[..., -1] = True
        first = reached.argmax(axis=-1)[..., None]
        high = np.take_along_axis(points, first, axis=-1)[..., 0]
        low = np.take_along_axis(points, np.maximum(first - 1, 0), axis=-1)[..., 0]
    return high


def least_energy_band(modem: Modem, demand: Demand, rate_bps: Floats, least: Floats) -> Floats:
    """Return the shares of the band (n,), of sum 1, with the least energy for given rates.

    The energy of a device is e (b / g) (exp(c / b) - 1), convex in b, e being its energy at full
    power, g its SNR over the gap, and c = rate ln 2 / bandwidth. With x = c / b, its marginal value
    is (e / g) (1 + (x - 1) exp(x)), equal to a multiplier m for all shares above the least: x = 1 +
    W((m g / e - 1) / exp(1)).

    Parameters
    ----------
    modem : physical layer on the whole band, of model shannon
    demand : SNRs, times and powers
    rate_bps : (n,) rates [bit/s]
    least : (n,) least shares, of sum below 1
    """
    from scipy.special import lambertw

    if not isinstance(modem, ShannonModem):
        raise ValueError("allocation least-energy needs a radio.phy of model shannon")
    need = rate_bps * np.log(2.0) / modem.goodput_hz
    scale = demand.snr / (modem.gap * demand.left_s * demand.tx_power_w)

    def bands(multiplier: float) -> Floats:
        x = 1.0 + lambertw((multiplier * scale - 1.0) / np.e).real
        with np.errstate(divide="ignore"):
            return np.asarray(np.maximum(least, need / x))

    low = high = float(1.0 / scale.max())
    while bands(high).sum() > 1.0:
        high *= 4.0
    while bands(low).sum() < 1.0:
        low /= 4.0
    for _ in range(_HALVINGS):
        middle = float(np.sqrt(low * high))
        low, high = (middle, high) if bands(middle).sum() > 1.0 else (low, middle)
    return bands(high)
