"""Formulas of the mean path loss and of the line-of-sight probability.

Sources: 3GPP TR 38.901, Tables 7.4.1-1 (path loss) and 7.4.2-1 (line-of-sight probability),
scenario UMi - Street Canyon; Friis, "A note on a simple transmission formula", Proc. IRE 34, 1946.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from wnsim.units import SPEED_OF_LIGHT_MPS, Floats

MIN_DISTANCE_M = 1.0
# TR 38.901 writes the break point with this rounded speed of light.
_SPEED_OF_LIGHT_38901_MPS = 3.0e8
_ENVIRONMENT_HEIGHT_M = 1.0


def distance_m(d2d_m: ArrayLike, h_tx_m: ArrayLike, h_rx_m: ArrayLike) -> Floats:
    """Return the distance between two antennas, at least 1 m.

    Parameters
    ----------
    d2d_m : (...,) ground distance [m]
    h_tx_m, h_rx_m : (...,) antenna heights [m]

    Returns
    -------
    (...,) distance [m]; every model here is for the far field, so shorter ones count as 1 m
    """
    height_m = np.asarray(h_tx_m, dtype=np.float64) - np.asarray(h_rx_m, dtype=np.float64)
    return np.maximum(np.hypot(np.asarray(d2d_m, dtype=np.float64), height_m), MIN_DISTANCE_M)


def free_space_db(d3d_m: ArrayLike, frequency_hz: float) -> Floats:
    """Return the free-space path loss 20 lg(4 pi d f / c) of isotropic antennas [dB]."""
    turns = np.asarray(d3d_m, dtype=np.float64) * (frequency_hz / SPEED_OF_LIGHT_MPS)
    return np.asarray(20.0 * np.log10(4.0 * np.pi * turns))


def umi_los_db(
    d2d_m: ArrayLike, h_tx_m: ArrayLike, h_rx_m: ArrayLike, frequency_hz: float
) -> Floats:
    """Return the UMi - Street Canyon path loss in line of sight, Table 7.4.1-1.

    Parameters
    ----------
    d2d_m : (...,) ground distance [m]
    h_tx_m, h_rx_m : (...,) antenna heights [m], above the effective environment height of 1 m
    frequency_hz : carrier frequency [Hz]

    Returns
    -------
    (...,) path loss PL1 up to the break point, PL2 beyond it [dB]

    Raises
    ------
    ValueError
        if an antenna is not above 1 m, where the break point distance is not defined
    """
    low_m = np.minimum(np.asarray(h_tx_m, dtype=np.float64), np.asarray(h_rx_m, dtype=np.float64))
    if np.any(low_m <= _ENVIRONMENT_HEIGHT_M):
        raise ValueError(
            "antenna height must be above the effective environment height of "
            f"{_ENVIRONMENT_HEIGHT_M:g} m in UMi, got {float(np.min(low_m)):g}"
        )
    high_m = np.maximum(np.asarray(h_tx_m, dtype=np.float64), np.asarray(h_rx_m, dtype=np.float64))
    d3d_m = distance_m(d2d_m, h_tx_m, h_rx_m)
    break_m = (
        (4.0 * frequency_hz / _SPEED_OF_LIGHT_38901_MPS)
        * (high_m - _ENVIRONMENT_HEIGHT_M)
        * (low_m - _ENVIRONMENT_HEIGHT_M)
    )
    frequency_db = 20.0 * np.log10(frequency_hz / 1e9)
    near_db = 32.4 + 21.0 * np.log10(d3d_m) + frequency_db
    far_db = (
        32.4
        + 40.0 * np.log10(d3d_m)
        + frequency_db
        - 9.5 * np.log10(break_m**2 + (high_m - low_m) ** 2)
    )
    return np.asarray(np.where(np.asarray(d2d_m) <= break_m, near_db, far_db))


def umi_nlos_db(
    d2d_m: ArrayLike, h_tx_m: ArrayLike, h_rx_m: ArrayLike, frequency_hz: float
) -> Floats:
    """Return the UMi - Street Canyon path loss without line of sight, Table 7.4.1-1.

    Parameters, errors and result are those of `umi_los_db`; the user terminal of the table is
    the lower end of the link.
    """
    low_m = np.minimum(np.asarray(h_tx_m, dtype=np.float64), np.asarray(h_rx_m, dtype=np.float64))
    blocked_db = (
        22.4
        + 35.3 * np.log10(distance_m(d2d_m, h_tx_m, h_rx_m))
        + 21.3 * np.log10(frequency_hz / 1e9)
        - 0.3 * (low_m - 1.5)
    )
    return np.asarray(np.maximum(umi_los_db(d2d_m, h_tx_m, h_rx_m, frequency_hz), blocked_db))


def umi_los_probability(d2d_m: ArrayLike) -> Floats:
    """Return the probability of line of sight in UMi - Street Canyon, Table 7.4.2-1."""
    # At 18 m and below the table says 1, which the formula gives at 18 m.
    d2d_m = np.maximum(np.asarray(d2d_m, dtype=np.float64), 18.0)
    return 18.0 / d2d_m + np.exp(-d2d_m / 36.0) * (1.0 - 18.0 / d2d_m)
