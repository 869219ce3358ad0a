"""Speeds of legs: uniform from leg to leg, and as they are found at a random instant.

A leg of given length takes a time inverse to its speed, so at a random instant the density of the
speed is ~ 1/v, and not uniform as it is over the legs.

Sources: Navidi and Camp, "Stationary distributions for the random waypoint mobility model", IEEE
Trans. Mobile Computing 3, 2004.
"""

from __future__ import annotations

import math

# Slower devices are static ones, faster ones leave any area.
SLOWEST_MPS = 1e-3
FASTEST_MPS = 1e4
LONGEST_PAUSE_S = 1e9


def check_speeds(speed_mps: tuple[float, float], name: str = "speed_mps") -> None:
    """Refuse lowest and highest speeds out of order or out of bounds."""
    low_mps, high_mps = speed_mps
    if not low_mps >= SLOWEST_MPS:
        raise ValueError(
            f"the lowest of {name} must be at least {SLOWEST_MPS:g}, as the stationary "
            f"mean speed tends to 0 otherwise, got {low_mps}"
        )
    if not low_mps <= high_mps:
        raise ValueError(f"{name} must be the lowest first, got {[low_mps, high_mps]}")
    if not high_mps <= FASTEST_MPS:
        raise ValueError(f"the highest of {name} must be at most {FASTEST_MPS:g}, got {high_mps}")


def check_pause(pause_s: float) -> None:
    """Refuse a pause that is negative or endless."""
    if not 0.0 <= pause_s <= LONGEST_PAUSE_S:
        raise ValueError(f"pause_s must be from 0 to {LONGEST_PAUSE_S:g} s, got {pause_s}")


def mean_inverse_s_per_m(speed_mps: tuple[float, float]) -> float:
    """Return the mean time per meter of a leg of uniform speed, E[1/v] [s/m]."""
    low_mps, high_mps = speed_mps
    if high_mps == low_mps:
        return 1.0 / low_mps
    return math.log(high_mps / low_mps) / (high_mps - low_mps)


def at_random_instant_mps(speed_mps: tuple[float, float], uniform: float) -> float:
    """Return a speed of density ~ 1/v [m/s] from a draw uniform on [0, 1)."""
    low_mps, high_mps = speed_mps
    return float(low_mps * (high_mps / low_mps) ** uniform)
