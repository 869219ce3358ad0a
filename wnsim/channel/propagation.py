"""Antenna distances and textbook formulas of the mean path loss.

Sources: Friis, "A note on a simple transmission formula", Proc. IRE 34, 1946; Rappaport, "Wireless
Communications", 2nd ed., 2002, section 4.6 (two-ray ground reflection).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from wnsim.core.units import SPEED_OF_LIGHT_MPS, Floats

MIN_DISTANCE_M = 1.0


def distance_m(d2d_m: ArrayLike, h_tx_m: ArrayLike, h_rx_m: ArrayLike) -> Floats:
    """Return the distance between two antennas, at least 1 m.

    Parameters
    ----------
    d2d_m : (...,) ground distance [m]
    h_tx_m, h_rx_m : (...,) antenna heights [m]

    Returns
    -------
    (...,) distance [m]; all models are for the far field, so shorter distances count as 1 m
    """
    height_m = np.asarray(h_tx_m, dtype=np.float64) - np.asarray(h_rx_m, dtype=np.float64)
    return np.maximum(np.hypot(np.asarray(d2d_m, dtype=np.float64), height_m), MIN_DISTANCE_M)


def heights_by_role_m(
    heights_m: tuple[Floats, Floats], stations: tuple[NDArray[np.bool_], NDArray[np.bool_]]
) -> tuple[Floats, Floats]:
    """Return the antenna heights of base station and terminal of links.

    Parameters
    ----------
    heights_m : (...,) antenna heights of both ends [m]
    stations : (...,) whether each end is a base station

    Returns
    -------
    h_bs_m, h_ut_m : (...,) heights [m]; of two ends with the same role the higher one counts as the
        base station
    """
    one_m, other_m = heights_m
    first = np.where(stations[0] == stations[1], one_m >= other_m, stations[0])
    return np.where(first, one_m, other_m), np.where(first, other_m, one_m)


def free_space_db(d3d_m: ArrayLike, frequency_hz: float) -> Floats:
    """Return the free-space path loss 20 lg(4 pi d f / c) of isotropic antennas [dB]."""
    turns = np.asarray(d3d_m, dtype=np.float64) * (frequency_hz / SPEED_OF_LIGHT_MPS)
    return np.asarray(20.0 * np.log10(4.0 * np.pi * turns))


def two_ray_db(
    d3d_m: ArrayLike, h_tx_m: ArrayLike, h_rx_m: ArrayLike, frequency_hz: float
) -> Floats:
    """Return the path loss over flat, perfectly reflecting ground.

    Parameters
    ----------
    d3d_m : (...,) distance of the antennas [m]
    h_tx_m, h_rx_m : (...,) antenna heights [m], positive
    frequency_hz : carrier frequency [Hz]

    Returns
    -------
    (...,) path loss [dB]: free space up to the crossover distance 4 pi h_tx h_rx / lambda, from
    there on 40 lg d - 20 lg(h_tx h_rx); the interference of the two rays before is left out
    """
    d3d_m = np.asarray(d3d_m, dtype=np.float64)
    heights_m2 = np.asarray(h_tx_m, dtype=np.float64) * np.asarray(h_rx_m, dtype=np.float64)
    crossover_m = 4.0 * np.pi * heights_m2 * (frequency_hz / SPEED_OF_LIGHT_MPS)
    far_db = 40.0 * np.log10(d3d_m) - 20.0 * np.log10(heights_m2)
    return np.where(d3d_m <= crossover_m, free_space_db(d3d_m, frequency_hz), far_db)


def slopes_db(
    d3d_m: ArrayLike,
    frequency_hz: float,
    reference_m: float,
    exponents: Sequence[float],
    breaks_m: Sequence[float],
) -> Floats:
    """Return free space up to a reference distance, and power laws between breakpoints beyond.

    Parameters
    ----------
    d3d_m : (...,) distance of the antennas [m]
    frequency_hz : carrier frequency [Hz]
    reference_m : reference distance [m]
    exponents : path-loss exponent up to each breakpoint, and beyond the last one
    breaks_m : breakpoint distances, ascending, beyond the reference distance [m]
    """
    d3d_m = np.asarray(d3d_m, dtype=np.float64)
    near_m = np.minimum(d3d_m, breaks_m[0])
    loss_db = free_space_db(near_m, frequency_hz) + power_law_db(near_m, reference_m, exponents[0])
    for begin_m, end_m, exponent in zip(
        breaks_m, (*breaks_m[1:], np.inf), exponents[1:], strict=True
    ):
        loss_db = loss_db + 10.0 * exponent * np.log10(np.clip(d3d_m, begin_m, end_m) / begin_m)
    return np.asarray(loss_db)


def power_law_db(d3d_m: ArrayLike, reference_m: float, exponent: float) -> Floats:
    """Return the excess of a power law over free space beyond a reference distance [dB]."""
    d3d_m = np.asarray(d3d_m, dtype=np.float64)
    excess_db = 10.0 * (exponent - 2.0) * np.log10(d3d_m / reference_m)
    return np.where(d3d_m > reference_m, excess_db, 0.0)
