"""Kernels of traced paths; see `wnsim.channel.ray_tracing` for the equation.

Sums go over the paths in their order, so that a value does not depend on what is asked with it.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from wnsim.kernels.compiling import compiled

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from wnsim.core.units import Floats, Ints

_TURN = 2.0 * math.pi
_SPEED_OF_LIGHT_MPS = 299_792_458.0


@compiled
def point_response(
    power: Floats,
    phase: Floats,
    delay_s: Floats,
    departure: Floats,
    arrival: Floats,
    tx: Ints,
    rx: Ints,
    moved_tx_m: Floats,
    moved_rx_m: Floats,
    per_m: float,
    offsets_hz: Floats,
) -> NDArray[np.complex128]:
    """Return the amplitudes of links next to traced points.

    Parameters
    ----------
    power : (T, R, P) power gain of each path; zero: there is none
    phase : (T, R, P) phase at the receiver [turns]
    delay_s : (T, R, P) delay [s]
    departure, arrival : (T, R, P, 2) horizontal part of the directions into which a path leads
    tx, rx : (L, t) transmitter and receiver of each link and instant; -1: there is none
    moved_tx_m, moved_rx_m : (L, t, 2) displacements of the ends from them [m]
    per_m : waves per meter
    offsets_hz : (B,) frequencies from the carrier [Hz]

    Returns
    -------
    (L, t, B) amplitudes
    """
    links, instants = tx.shape
    result = np.zeros((links, instants, offsets_hz.size), dtype=np.complex128)
    for link in range(links):
        for instant in range(instants):
            one, other = tx[link, instant], rx[link, instant]
            if one < 0 or other < 0:
                continue
            for path in range(power.shape[2]):
                gain = power[one, other, path]
                if gain == 0.0:
                    continue
                shorter_m = (
                    moved_tx_m[link, instant, 0] * departure[one, other, path, 0]
                    + moved_tx_m[link, instant, 1] * departure[one, other, path, 1]
                    + moved_rx_m[link, instant, 0] * arrival[one, other, path, 0]
                    + moved_rx_m[link, instant, 1] * arrival[one, other, path, 1]
                )
                amplitude = math.sqrt(gain)
                carrier = phase[one, other, path] + shorter_m * per_m
                late_s = delay_s[one, other, path] - shorter_m / _SPEED_OF_LIGHT_MPS
                for band in range(offsets_hz.size):
                    turns = carrier - offsets_hz[band] * late_s
                    angle = _TURN * (turns - math.floor(turns))
                    result[link, instant, band] += complex(
                        amplitude * math.cos(angle), amplitude * math.sin(angle)
                    )
    return result


@compiled
def cell_response(
    table: Floats,
    begin: Ints,
    rows: Ints,
    weights: Floats,
    places_m: Floats,
    per_m: float,
    offsets_hz: Floats,
) -> NDArray[np.complex128]:
    """Return the amplitudes of links between four receivers.

    A path has the mean amplitude of the four, zero where it is absent, and the mean direction of
    the phase of those that have it. Its length is a mean too. The mean of the lengths is too long
    by as much as the mean of the plane waves that continue from the four is too short, up to terms
    of the third order, so that half of the displacement counts.

    Parameters
    ----------
    table : (K, 6, 4) of each path at four corners: amplitude; length [m] and half of the horizontal
        direction of arrival u, the length with u . x / 2 of the corner x added; and cosine and sine
        of the phase without that of the length
    begin : (rows + 1,) first path of each row
    rows : (L, t) row of each link and instant; -1: there is none
    weights : (L, t, 4) weights of the corners
    places_m : (L, t, 2) positions [m]
    per_m : waves per meter
    offsets_hz : (B,) frequencies from the carrier [Hz]

    Returns
    -------
    (L, t, B) amplitudes
    """
    links, instants = rows.shape
    result = np.zeros((links, instants, offsets_hz.size), dtype=np.complex128)
    for link in range(links):
        for instant in range(instants):
            row = rows[link, instant]
            if row < 0:
                continue
            x_m, y_m = places_m[link, instant, 0], places_m[link, instant, 1]
            for path in range(begin[row], begin[row + 1]):
                amplitude = present = length_m = cosine = sine = 0.0
                for corner in range(4):
                    weight = weights[link, instant, corner]
                    own = table[path, 0, corner]
                    if own > 0.0:
                        amplitude += weight * own
                        present += weight
                        length_m += weight * (
                            table[path, 1, corner]
                            - x_m * table[path, 2, corner]
                            - y_m * table[path, 3, corner]
                        )
                        cosine += weight * own * table[path, 4, corner]
                        sine += weight * own * table[path, 5, corner]
                size = math.hypot(cosine, sine)
                if amplitude == 0.0 or size == 0.0:
                    continue
                length_m /= present
                real, imaginary = amplitude * cosine / size, amplitude * sine / size
                for band in range(offsets_hz.size):
                    turns = length_m * (per_m + offsets_hz[band] / _SPEED_OF_LIGHT_MPS)
                    angle = -_TURN * (turns - math.floor(turns))
                    along, across = math.cos(angle), math.sin(angle)
                    result[link, instant, band] += complex(
                        real * along - imaginary * across, real * across + imaginary * along
                    )
    return result


@compiled
def cell_power(table: Floats, begin: Ints, rows: Ints, weights: Floats) -> Floats:
    """Return the sum (L, t) of the powers of interpolated paths; see `cell_response`."""
    links, instants = rows.shape
    result = np.zeros((links, instants))
    for link in range(links):
        for instant in range(instants):
            row = rows[link, instant]
            if row < 0:
                continue
            for path in range(begin[row], begin[row + 1]):
                amplitude = 0.0
                for corner in range(4):
                    amplitude += weights[link, instant, corner] * table[path, 0, corner]
                result[link, instant] += amplitude * amplitude
    return result
