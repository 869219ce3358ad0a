"""Kernel of the urban path loss of TR 38.901; see `wnsim.channel.urban` for its source."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from wnsim.kernels.compiling import compiled

if TYPE_CHECKING:
    from wnsim.core.units import Floats


@compiled
def urban(
    d2d_m: Floats,
    h_bs_m: Floats,
    h_ut_m: Floats,
    per_m: float,
    los: tuple[float, float, float, float],
    nlos: tuple[float, float, float, float],
    street_m: float,
    above_street: bool,
) -> tuple[Floats, Floats, Floats, float]:
    """Return LOS probability and path loss in both states, with the operations of the models.

    Parameters
    ----------
    d2d_m : (L, T) ground distances [m]
    h_bs_m, h_ut_m : (L, T or 1) antenna heights of base station and terminal [m]
    per_m : breakpoint distance over the product of both heights above 1 m [1/m]
    los : path loss at 1 m, decibels per decade before the breakpoint, decibels per decade of the
        squared breakpoint distance, and the carrier's part [dB]
    nlos : path loss at 1 m, decibels per decade, the carrier's part, and decibels per meter of the
        terminal's height [dB]
    street_m : distance over which the LOS probability decays [m]
    above_street : whether terminals above 13 m have a larger LOS probability

    Returns
    -------
    (L, T) LOS probability, and path loss, LOS and NLOS [dB]; and the lowest height [m]
    """
    probability, los_db, nlos_db = (
        np.empty(d2d_m.shape), np.empty(d2d_m.shape), np.empty(d2d_m.shape),
    )  # fmt: skip
    lowest_m = math.inf
    for link in range(d2d_m.shape[0]):
        for instant in range(d2d_m.shape[1]):
            h_bs = h_bs_m[link, instant if h_bs_m.shape[1] > 1 else 0]
            h_ut = h_ut_m[link, instant if h_ut_m.shape[1] > 1 else 0]
            lowest_m = min(lowest_m, h_bs, h_ut)
            away_m, rise_m = d2d_m[link, instant], h_bs - h_ut
            lg = math.log10(max(math.hypot(away_m, rise_m), 1.0))
            break_m = per_m * (h_bs - 1.0) * (h_ut - 1.0)
            slope_db = los[1] * lg
            if away_m > break_m:
                slope_db = 40.0 * lg - los[2] * math.log10(break_m * break_m + rise_m * rise_m)
            los_db[link, instant] = los[0] + slope_db + los[3]
            out_db = nlos[0] + nlos[1] * lg + nlos[2] - nlos[3] * (h_ut - 1.5)
            nlos_db[link, instant] = max(los_db[link, instant], out_db)
            # At 18 m and below it is 1.
            far_m = max(away_m, 18.0)
            clear = 18.0 / far_m + math.exp(-far_m / street_m) * (1.0 - 18.0 / far_m)
            if above_street and h_ut > 13.0:
                height = (min(h_ut - 13.0, 10.0) / 10.0) ** 1.5
                above = 1.25 * height * math.pow(far_m / 100.0, 3.0) * math.exp(-far_m / 150.0)
                clear = clear * (1.0 + above)
            probability[link, instant] = min(clear, 1.0) if far_m > 18.0 else 1.0
    return probability, los_db, nlos_db, lowest_m
