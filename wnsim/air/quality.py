"""Signal to interference and noise on the air: one formula for all engines, and what is known.

The band of a receiver is taken to be spread over the whole band, so that interference is met in
proportion to the share of the band that is used.
"""

from __future__ import annotations

import math
from typing import Literal

import numpy as np

from wnsim.core.units import SPEED_OF_LIGHT_MPS, Floats

Prediction = Literal["none", "linear", "quadratic"]
# Farther than this factor a prediction does not go from the last value that is known.
_TRUST = 4.0
TERMS = {"none": 1, "linear": 2, "quadratic": 3}


def sinr(signal_w: Floats, density: Floats, noise_w: Floats, interference_w: Floats) -> Floats:
    """Return the ratio of signal to interference and noise.

    Parameters
    ----------
    signal_w : (...,) what the receiver gets of the transmitter's full power [W]
    density : (...,) share of that power over the share of the band that it is spent on
    noise_w, interference_w : (...,) on the whole band [W]
    """
    return np.asarray(signal_w * density / (noise_w + interference_w))


def predict(past: list[Floats]) -> Floats:
    """Return the gain to be expected, from gains that are known.

    Parameters
    ----------
    past : gains (...,) one, two and three delays ago; as many as the prediction has terms

    Returns
    -------
    (...,) the last one; or the value of the line or parabola through them, within a factor of
    four of the last one
    """
    if len(past) == 1:
        return past[0]
    ahead = 2.0 * past[0] - past[1]
    if len(past) == 3:
        ahead = 3.0 * past[0] - 3.0 * past[1] + past[2]
    return np.asarray(np.minimum(np.maximum(ahead, past[0] / _TRUST), past[0] * _TRUST))


def common(known: Floats, quantile: float) -> Floats:
    """Return the quality for which a broadcast's rate is chosen.

    Parameters
    ----------
    known : (R, ...) what is known of each receiver
    quantile : share of the receivers that may be worse

    Returns
    -------
    (...,) the value that this share of the receivers, rounded down, stays below
    """
    place = min(int(quantile * known.shape[0]), known.shape[0] - 1)
    return np.asarray(np.sort(known, axis=0)[place])


def coherent_block_ns(frequency_hz: float, max_speed_mps: float) -> int:
    """Return a block length of a tenth of a Doppler period when two devices meet at full speed.

    Whole tenths of a millisecond, between 0.5 and 5 ms; a channel changes by less than 10 %
    (1 - J0(0.2 pi)) within it.
    """
    doppler_hz = 2.0 * max_speed_mps * frequency_hz / SPEED_OF_LIGHT_MPS
    block_s = 5e-3 if doppler_hz <= 0 else min(max(0.1 / doppler_hz, 0.5e-3), 5e-3)
    tenths_of_ms = math.floor(block_s * 1e4 + 1e-9)
    return tenths_of_ms * 100_000
