"""Where everybody is while a simulation lasts: rows of `positions.csv`, a bounded number of them.

Motion is a function of time, so it is sampled after the run, at instants that are equally far
apart. Between two of them a straight line is drawn, which needs no more than one each half meter
of the fastest device's way; and never more than a thousand, nor more than a hundred thousand rows
in all, but for the first instant and the last: a thousand devices have a hundred instants. Of
instants at which nothing changes the first one and the last one are kept.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from wnsim.core.units import Floats

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from wnsim.mobility import Motion

MOST_INSTANTS = 1000
MOST_ROWS = 100_000
# Devices may come and go that do not move: as many instants there are, as far as rows allow.
_LEAST_INSTANTS = 100
_STEP_M = 0.5


@dataclass(frozen=True, slots=True)
class PositionRow:
    """Where a device is at an instant: a row of `positions.csv`.

    A device without a row at an instant is not there then. A base station has one row, at 0 s, and
    stays.

    Parameters
    ----------
    time_s : the instant, to the nanosecond [s]
    device : number of the device, or of the base station after all devices; none: nobody is there
    x_m, y_m : to the millimetre; NaN if nobody is there [m]
    """

    time_s: float
    device: int | None
    x_m: float
    y_m: float


def position_rows(motion: Motion, stations_m: Floats, until_s: float) -> list[PositionRow]:
    """Return where devices and base stations are from 0 s on, by time and then by device.

    Parameters
    ----------
    motion : of the devices
    stations_m : (stations, 2) places of the base stations [m]
    until_s : end of the simulation [s]
    """
    count = len(motion.names)
    everyone = np.arange(count)
    instants_s = _instants_s(count, motion.max_speed_mps, until_s)
    # [instants, devices, 2] and [instants, devices]
    places_m = np.moveaxis(motion.position_m(everyone, instants_s), 0, 1).round(3)
    there = motion.present(everyone, instants_s).T
    kept = _changing(places_m, there)
    rows: list[PositionRow] = []
    for time_s, at_m, present in zip(
        instants_s[kept].tolist(), places_m[kept].tolist(), there[kept], strict=True
    ):
        found = np.flatnonzero(present).tolist()
        rows += [PositionRow(time_s, device, *at_m[device]) for device in found]
        if not found:
            rows.append(PositionRow(time_s, None, math.nan, math.nan))
        if time_s == 0.0:
            fixed_m = stations_m.round(3).tolist()
            rows += [PositionRow(0.0, count + n, *at_m) for n, at_m in enumerate(fixed_m)]
    return rows


def _instants_s(count: int, max_speed_mps: float, until_s: float) -> Floats:
    """Return at which instants positions are of interest, (instants,) [s]."""
    if until_s <= 0.0:
        return np.zeros(1)
    wanted = min(max_speed_mps * until_s / _STEP_M, float(MOST_INSTANTS))
    number = min(max(math.ceil(wanted), _LEAST_INSTANTS), MOST_ROWS // count)
    return np.linspace(0.0, until_s, max(number, 2)).round(9)


def _changing(places_m: Floats, there: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return (instants,) without those in a row of equal ones that are not at its ends."""
    seen_m = np.where(there[..., None], places_m, 0.0)
    alike = (seen_m[1:] == seen_m[:-1]).all(axis=(1, 2)) & (there[1:] == there[:-1]).all(axis=1)
    inside = np.concatenate([[False], alike]) & np.concatenate([alike, [False]])
    return np.asarray(~inside)
