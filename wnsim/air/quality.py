"""Link quality: SINR, and its estimation from outdated channel state information.

The signal is assumed to be spread over the whole band, so that interference is reduced in
proportion to the share of the band that is used.
"""

from __future__ import annotations

import math
from typing import Literal

import numpy as np

from wnsim.core.units import SPEED_OF_LIGHT_MPS, Floats

Prediction = Literal["none", "linear", "quadratic"]
# Largest factor between a prediction and the latest known value.
_TRUST = 4.0
TERMS = {"none": 1, "linear": 2, "quadratic": 3}


def sinr(signal_w: Floats, density: Floats, noise_w: Floats, interference_w: Floats) -> Floats:
    """Return the signal-to-interference-plus-noise ratio.

    Parameters
    ----------
    signal_w : (...,) received power at the transmitter's full power [W]
    density : (...,) share of that power over the share of the band on which it is spent
    noise_w, interference_w : (...,) on the whole band [W]
    """
    return np.asarray(signal_w * density / (noise_w + interference_w))


def predict(past: list[Floats]) -> Floats:
    """Return the present gain predicted from past gains.

    Parameters
    ----------
    past : gains (...,) one, two and three delays ago; as many as the prediction has terms

    Returns
    -------
    (...,) the latest known gain; or the extrapolation of the line or parabola through the gains,
    limited to a factor of four around the latest one
    """
    if len(past) == 1:
        return past[0]
    ahead = 2.0 * past[0] - past[1]
    if len(past) == 3:
        ahead = 3.0 * past[0] - 3.0 * past[1] + past[2]
    return np.asarray(np.minimum(np.maximum(ahead, past[0] / _TRUST), past[0] * _TRUST))


def multicast_quality(known: Floats, quantile: float) -> Floats:
    """Return the quality for which the rate of a multicast is selected.

    Parameters
    ----------
    known : (R, ...) estimated quality of each receiver
    quantile : share of the receivers whose quality may be worse

    Returns
    -------
    (...,) the quality that this share of the receivers, rounded down, is below
    """
    place = min(int(quantile * known.shape[0]), known.shape[0] - 1)
    return np.asarray(np.sort(known, axis=0)[place])


def coherent_block_ns(frequency_hz: float, max_speed_mps: float) -> int:
    """Return a block length of a tenth of a Doppler period, for two devices meeting at full speed.

    Whole tenths of a millisecond, between 0.5 and 5 ms; the channel changes by less than 10 %
    (1 - J0(0.2 pi)) within a block.
    """
    doppler_hz = 2.0 * max_speed_mps * frequency_hz / SPEED_OF_LIGHT_MPS
    block_s = 5e-3 if doppler_hz <= 0 else min(max(0.1 / doppler_hz, 0.5e-3), 5e-3)
    tenths_of_ms = math.floor(block_s * 1e4 + 1e-9)
    return tenths_of_ms * 100_000
