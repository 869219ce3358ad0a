"""Unit conversions: decibels, watts, thermal noise and integer time; the only place for them.

Sources: Boltzmann constant and speed of light from SI (CODATA 2018); noise figure reference
temperature 290 K from IEEE.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

SPEED_OF_LIGHT_MPS = 299_792_458.0
BOLTZMANN_J_PER_K = 1.380649e-23
REFERENCE_TEMPERATURE_K = 290.0
NS_PER_S = 1_000_000_000
# Longest duration that fits a signed 64-bit number of nanoseconds, with room for sums.
LONGEST_S = 9e9
# Never: an instant that no simulation reaches, 292 years.
FAR_NS = 2**63 - 1

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def db_to_linear(value_db: ArrayLike) -> Floats:
    """Return the power ratio of a value in decibels."""
    return np.asarray(10.0 ** (np.asarray(value_db, dtype=np.float64) / 10.0))


def linear_to_db(ratio: ArrayLike) -> Floats:
    """Return a power ratio in decibels; zero gives minus infinity."""
    with np.errstate(divide="ignore"):
        return np.asarray(10.0 * np.log10(np.asarray(ratio, dtype=np.float64)))


def dbm_to_w(power_dbm: ArrayLike) -> Floats:
    """Return a power in watts."""
    return np.asarray(db_to_linear(power_dbm) * 1e-3)


def w_to_dbm(power_w: ArrayLike) -> Floats:
    """Return a power in dBm."""
    return linear_to_db(np.asarray(power_w, dtype=np.float64) * 1e3)


def thermal_noise_w(bandwidth_hz: ArrayLike, noise_figure_db: ArrayLike = 0.0) -> Floats:
    """Return the noise power of a receiver, k T0 B F.

    Parameters
    ----------
    bandwidth_hz : (...,) bandwidth [Hz]
    noise_figure_db : (...,) noise figure of the receiver [dB]

    Returns
    -------
    (...,) noise power [W]; -173.98 dBm per hertz for a noise figure of 0 dB
    """
    density = BOLTZMANN_J_PER_K * REFERENCE_TEMPERATURE_K
    return np.asarray(
        density * np.asarray(bandwidth_hz, dtype=np.float64) * db_to_linear(noise_figure_db)
    )


def to_ns(seconds: float) -> int:
    """Return a duration in whole nanoseconds, the unit of the simulated clock.

    Raises
    ------
    ValueError
        if the duration is negative or longer than 285 years
    """
    if not 0.0 <= seconds < LONGEST_S:
        raise ValueError(f"a duration must be from 0 to {LONGEST_S:g} s, got {seconds}")
    return round(seconds * NS_PER_S)


def to_s(nanoseconds: int) -> float:
    """Return an instant or a duration in seconds."""
    return nanoseconds / NS_PER_S
