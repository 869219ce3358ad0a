"""Kernels of the channel's gain: from decibels on a time grid to power gains of instants.

Recent values on the grid are kept in ring buffers: that of grid point g at place g mod the ring's
length, with g as its stamp.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from wnsim.kernels.compiling import compiled

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from wnsim.core.units import Floats, Ints

_NEPERS_PER_DB = math.log(10.0) / 10.0


@compiled
def neighbors(t_s: Floats, step_ms: int) -> tuple[Ints, Ints, Ints, Floats]:
    """Return the grid points around ascending instants.

    Parameters
    ----------
    t_s : (T,) instants, ascending [s]
    step_ms : step of the grid [ms]

    Returns
    -------
    grid : (G,) points before or after an instant, ascending
    left, right : (T,) indices of the points before and after each instant; equal at a point
    fraction : (T,) fraction of the step from left to right
    """
    grid = np.empty(2 * t_s.size, dtype=np.int64)
    left, right = np.empty(t_s.size, dtype=np.int64), np.empty(t_s.size, dtype=np.int64)
    fraction = np.empty(t_s.size)
    count = 0
    for instant in range(t_s.size):
        steps = t_s[instant] * 1000.0 / step_ms
        before = math.floor(steps)
        fraction[instant] = steps - before
        point = np.int64(before)
        if count == 0 or grid[count - 1] < point:
            grid[count] = point
            count += 1
        # The last point is this one, or the one after it.
        left[instant] = right[instant] = count - 1 - (grid[count - 1] - point)
        if fraction[instant] > 0.0:
            if grid[count - 1] == point:
                grid[count] = point + 1
                count += 1
            right[instant] = left[instant] + 1
    return grid[:count], left, right, fraction


@compiled
def stale(stamp: Ints, rows: Ints, grid: Ints) -> tuple[Ints, Ints]:
    """Return the links, and the points, of which any value is not in the ring buffers.

    Parameters
    ----------
    stamp : (R, K) grid points of the values kept
    rows : (L,) rows of the links
    grid : (G,) grid points

    Returns
    -------
    (l,) indices of the links and (g,) of the points
    """
    links, points = np.zeros(rows.size, dtype=np.int64), np.zeros(grid.size, dtype=np.int64)
    for link in range(rows.size):
        for point in range(grid.size):
            if stamp[rows[link], grid[point] % stamp.shape[1]] != grid[point]:
                links[link] = points[point] = 1
    return np.flatnonzero(links), np.flatnonzero(points)


@compiled
def keep(ring: Floats, stamp: Ints, rows: Ints, grid: Ints, values: Floats) -> None:
    """Write values (L, G) of rows (L,) at grid points (G,) to ring buffers; see `stale`."""
    for link in range(rows.size):
        for point in range(grid.size):
            place = grid[point] % stamp.shape[1]
            ring[rows[link], place] = values[link, point]
            stamp[rows[link], place] = grid[point]


@compiled
def kept(ring: Floats, rows: Ints, grid: Ints) -> Floats:
    """Return the values (L, G) of rows (L,) at grid points (G,), which must be kept."""
    values = np.empty((rows.size, grid.size))
    for link in range(rows.size):
        for point in range(grid.size):
            values[link, point] = ring[rows[link], grid[point] % ring.shape[1]]
    return values


@compiled
def interpolate_db(values_db: Floats, left: Ints, right: Ints, fraction: Floats) -> Floats:
    """Return values at instants between the points of a grid, linear in decibels.

    Parameters
    ----------
    values_db : (L, G) values at the points [dB]
    left, right : (T,) points before and after each instant
    fraction : (T,) fraction of the step from left to right

    Returns
    -------
    (L, T) [dB]
    """
    result = np.empty((values_db.shape[0], fraction.size))
    for link in range(values_db.shape[0]):
        for instant in range(fraction.size):
            start = values_db[link, left[instant]]
            change = values_db[link, right[instant]] - start
            result[link, instant] = start + change * fraction[instant]
    return result


@compiled
def power_gains(gain_db: Floats, amplitude: NDArray[np.complex128], skip: int) -> Floats:
    """Return gains times squared amplitudes.

    Parameters
    ----------
    gain_db : (L, T) gain [dB]
    amplitude : (L, at least skip + T, B) complex amplitudes
    skip : how many instants of these come before the first one

    Returns
    -------
    (L, T, B) power gain, linear
    """
    links, instants = gain_db.shape
    bands = amplitude.shape[2]
    result = np.empty((links, instants, bands))
    for link in range(links):
        for instant in range(instants):
            gain = math.exp(_NEPERS_PER_DB * gain_db[link, instant])
            for band in range(bands):
                value = amplitude[link, skip + instant, band]
                power = value.real * value.real + value.imag * value.imag
                result[link, instant, band] = gain * power
    return result
