"""Sampled trajectories: rows of `positions.csv`, bounded in number.

Motion is a function of time and is sampled after the run, at equidistant instants. Positions
between two instants are interpolated linearly, so that one instant for each half meter of the
fastest device's path suffices; at most 1000 instants and, except for the first and the last one,
100,000 rows are taken: a thousand devices have a hundred instants. In a sequence of instants
without changes only the first and the last one are kept.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from wnsim.core.units import Floats

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from wnsim.channel.heights import Heights
    from wnsim.mobility import Motion

MOST_INSTANTS = 1000
MOST_ROWS = 100_000
# Smallest number of instants, as far as rows allow: static devices may appear and leave.
_LEAST_INSTANTS = 100
_STEP_M = 0.5


@dataclass(frozen=True, slots=True)
class PositionRow:
    """Position of a device at an instant: a row of `positions.csv`.

    A device without a row at an instant is absent. A base station has one row, at 0 s.

    Parameters
    ----------
    time_s : the instant, to the nanosecond [s]
    device : number of the device, or of the base station after all devices; none: no device present
    x_m, y_m : to the millimetre; NaN if no device is present [m]
    height_m : likewise the antenna height, where those of devices differ; otherwise NaN [m]
    """

    time_s: float
    device: int | None
    x_m: float
    y_m: float
    height_m: float = math.nan


def position_rows(
    motion: Motion,
    stations_m: Floats,
    until_s: float,
    heights: Heights | None = None,
    station_height_m: float = math.nan,
) -> list[PositionRow]:
    """Return the positions of devices and base stations from 0 s on, by time and then by device.

    Parameters
    ----------
    motion : motion of the devices
    stations_m : (stations, 2) positions of the base stations [m]
    until_s : end of the simulation [s]
    heights : antenna heights of the devices; none: equal heights
    station_height_m : antenna height of the base stations [m]
    """
    count = len(motion.names)
    devices = np.arange(count)
    instants_s = _instants_s(count, motion.max_speed_mps, until_s)
    places_m = motion.position_m(devices, instants_s)
    fixed_m = stations_m
    if heights is not None and not heights.level():
        places_m = heights.in_space_m(places_m, devices, instants_s)
        fixed_m = np.column_stack([stations_m, np.full(len(stations_m), station_height_m)])
    # [instants, devices, 2 or 3] and [instants, devices]
    positions_m = np.moveaxis(places_m, 0, 1).round(3)
    present = motion.present(devices, instants_s).T
    kept = _changing(positions_m, present)
    rows: list[PositionRow] = []
    for time_s, at_m, here in zip(
        instants_s[kept].tolist(), positions_m[kept].tolist(), present[kept], strict=True
    ):
        found = np.flatnonzero(here).tolist()
        rows += [PositionRow(time_s, device, *at_m[device]) for device in found]
        if not found:
            rows.append(PositionRow(time_s, None, math.nan, math.nan))
        if time_s == 0.0:
            stations = enumerate(fixed_m.round(3).tolist(), start=count)
            rows += [PositionRow(0.0, number, *at_m) for number, at_m in stations]
    return rows


def _instants_s(count: int, max_speed_mps: float, until_s: float) -> Floats:
    """Return the sampling instants, (instants,) [s]."""
    if until_s <= 0.0:
        return np.zeros(1)
    wanted = min(max_speed_mps * until_s / _STEP_M, float(MOST_INSTANTS))
    number = min(max(math.ceil(wanted), _LEAST_INSTANTS), MOST_ROWS // count)
    return np.linspace(0.0, until_s, max(number, 2)).round(9)


def _changing(positions_m: Floats, present: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return (instants,) which instants differ from the one before or the one after."""
    seen_m = np.where(present[..., None], positions_m, 0.0)
    unchanged = (seen_m[1:] == seen_m[:-1]).all(axis=(1, 2)) & (present[1:] == present[:-1]).all(
        axis=1
    )
    inside = np.concatenate([[False], unchanged]) & np.concatenate([unchanged, [False]])
    return np.asarray(~inside)
