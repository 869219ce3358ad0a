"""Inverse of the rate model: power and SNR required for a rate.

Sources: arXiv 2602.20492, Eq. (25), which solves Eq. (8), the delay at the Shannon rate, for the
power; here the rate is that of the modem, with its gap, maximum rate and losses.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from wnsim.core.units import Floats, db_to_linear
from wnsim.phy.modem import Modem, mean_of_bands

# Bisection steps, enough for the last bit of a logarithm.
_HALVINGS = 64
# Search interval [dB].
_LEAST_DB, _MOST_DB = -60.0, 100.0


def required_share(
    modem: Modem, known: Floats, bits: float | Floats, time_s: float | Floats, band: float | Floats
) -> Floats:
    """Return the fraction of its power that a transmitter needs to send bits in a given time.

    Parameters
    ----------
    modem : physical layer on the whole band
    known : (..., B) SNR at full power on the whole band, assumed constant
    bits, time_s : (...,) message size [bit] and available time [s]
    band : (...,) fraction of the band used

    Returns
    -------
    (...,) fraction of the power, above 1 if it does not suffice, infinite if no power does
    """
    # On a part of the band, the same power meets less noise.
    return modem.factor(known, np.asarray(bits) / time_s, np.asarray(band)) * band


def factor_to(efficiency_bps_hz: Floats, known: Floats) -> Floats:
    """Return the factor on SNRs (..., B) for a mean efficiency (...,) [bit/s/Hz].

    Infinite where the SNR is zero.
    """
    nats = np.log(2.0) * efficiency_bps_hz
    with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
        snr, best = np.expm1(nats), known.max(axis=-1)
        if known.shape[-1] == 1:
            return np.where(best > 0.0, snr / best, np.inf)
        # By concavity at least that of a flat channel, at most that of the best subband.
        low = np.log(snr / mean_of_bands(known))
        high = np.log(np.expm1(nats * known.shape[-1]) / best)
        reachable = np.isfinite(high) & np.isfinite(low)
        low, high = np.where(reachable, low, 0.0), np.where(reachable, high, 0.0)
        for _ in range(_HALVINGS):
            middle = 0.5 * (low + high)
            enough = mean_of_bands(np.log1p(known * np.exp(middle)[..., None])) >= nats
            low, high = np.where(enough, low, middle), np.where(enough, middle, high)
        return np.where(reachable, np.exp(high), np.inf)


def snr_for(rate_of: Callable[[Floats], Floats], rate_bps: Floats) -> Floats:
    """Return the least SNR (...,) at which an increasing rate is reached, infinite if none is.

    Parameters
    ----------
    rate_of : returns the rate at SNRs (...,) [bit/s]
    rate_bps : (...,) rate to reach [bit/s]
    """
    low, high = np.full(rate_bps.shape, _LEAST_DB), np.full(rate_bps.shape, _MOST_DB)
    reachable = rate_of(db_to_linear(high)) >= rate_bps
    for _ in range(_HALVINGS):
        middle = 0.5 * (low + high)
        enough = rate_of(db_to_linear(middle)) >= rate_bps
        low, high = np.where(enough, low, middle), np.where(enough, middle, high)
    return np.where(reachable, db_to_linear(high), np.inf)
