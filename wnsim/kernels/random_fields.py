"""Kernel of random fields over pairs of positions; see `wnsim.channel.shadowing` for what they are.

The phases of all waves are computed once for each position, in double precision, and reduced to one
turn before their cosines and sines are taken in single precision, with an error below 3e-7. Each
link adds its waves in one fixed order, so that its value does not depend on which others are
requested with it, and is the same with its ends exchanged.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from wnsim.kernels.compiling import compiled

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from wnsim.core.units import Floats, Ints

    Singles = NDArray[np.float32]

# Waves that are computed for all positions before their sums are taken; a power of two.
_BATCH = 64
# Taylor series of sine and cosine, up to a quarter of a turn accurate to single precision.
_ONE, _TWO, _PI = np.float32(1.0), np.float32(2.0), np.float32(math.pi)
_S3, _S5, _S7 = np.float32(-1.0 / 6.0), np.float32(1.0 / 120.0), np.float32(-1.0 / 5040.0)
_S9, _S11 = np.float32(1.0 / 362880.0), np.float32(-1.0 / 39916800.0)
_C2, _C4, _C6 = np.float32(-1.0 / 2.0), np.float32(1.0 / 24.0), np.float32(-1.0 / 720.0)
_C8, _C10 = np.float32(1.0 / 40320.0), np.float32(-1.0 / 3628800.0)
_C12 = np.float32(1.0 / 479001600.0)


@compiled
def values(
    vectors: Floats,
    correlation_m: float,
    power: int,
    positions_m: Floats,
    first: Ints,
    second: Ints,
) -> Floats:
    """Return the field of unit variance between moving positions.

    Parameters
    ----------
    vectors : (2, 4, M) x, y, z [turn/m] and phase [turn] of M waves, for each end
    correlation_m, power : decorrelation distance d [m], and p of the autocorrelation
        exp(-(r/d)^p)
    positions_m : (n, T, 2 or 3) positions at T instants [m]
    first, second : (L,) indices of the ends of each link

    Returns
    -------
    (L, T) values
    """
    waves, (count, instants, axes) = vectors.shape[2], positions_m.shape
    total = np.zeros((first.size, instants))
    used = np.zeros(count, dtype=np.bool_)
    for link in range(first.size):
        used[first[link]] = used[second[link]] = True
    # Cosine and sine of each position as the first end, and as the second one.
    phasors = np.zeros((count, 4, _BATCH), dtype=np.float32)
    turn, products = np.empty(_BATCH, dtype=np.float32), np.empty(_BATCH, dtype=np.float32)
    for instant in range(instants):
        for begin in range(0, waves, _BATCH):
            batch = min(_BATCH, waves - begin)
            if batch < _BATCH:
                phasors[:, :, batch:] = 0.0
            for node in range(count):
                if used[node]:
                    at_m = positions_m[node, instant]
                    for end in range(2):
                        _fill_turns(vectors[end], at_m, axes, begin, turn[:batch])
                        _fill_phasors(turn[:batch], phasors[node], 2 * end)
            for link in range(first.size):
                one, other = phasors[first[link]], phasors[second[link]]
                total[link, instant] += _product(one, other, products)
        for link in range(first.size):
            one_m, other_m = positions_m[first[link], instant], positions_m[second[link], instant]
            squared_m2 = 0.0
            for axis in range(axes):
                squared_m2 += (one_m[axis] - other_m[axis]) ** 2
            decay = math.sqrt(squared_m2) / correlation_m
            # F(a, b) and F(b, a) are correlated where both ends are near each other.
            overlap = math.exp(-2.0 * decay**power)
            total[link, instant] /= math.sqrt(waves * (1.0 + overlap))
    return total


@compiled
def _fill_turns(vectors: Floats, at_m: Floats, axes: int, begin: int, turn: Singles) -> None:
    """Fill in the phases of waves at a position, less whole turns [turn]."""
    x_m, y_m, z_m = at_m[0], at_m[1], 0.0
    if axes == 3:
        z_m = at_m[2]
    x, y, z, offset = vectors[0, begin:], vectors[1, begin:], vectors[2, begin:], vectors[3, begin:]
    for wave in range(turn.size):
        phase = x_m * x[wave] + y_m * y[wave] + z_m * z[wave] + offset[wave]
        turn[wave] = np.float32(phase - np.floor(phase + 0.5))


@compiled
def _fill_phasors(turn: Singles, phasors: Singles, row: int) -> None:
    """Fill in cosine and sine of angles in turns, from minus to plus one half."""
    for wave in range(turn.size):
        # Half of the angle.
        x = turn[wave] * _PI
        y = x * x
        odd = _ONE + y * (_S3 + y * (_S5 + y * (_S7 + y * (_S9 + y * _S11))))
        even = _ONE + y * (_C2 + y * (_C4 + y * (_C6 + y * (_C8 + y * (_C10 + y * _C12)))))
        sine = x * odd
        phasors[row, wave] = _ONE - _TWO * sine * sine
        phasors[row + 1, wave] = _TWO * sine * even


@compiled
def _product(one: Singles, other: Singles, products: Singles) -> float:
    """Return the sum of cos(p + q) over a batch of waves, in both directions."""
    for wave in range(_BATCH):
        there = one[0, wave] * other[2, wave] - one[1, wave] * other[3, wave]
        back = other[0, wave] * one[2, wave] - other[1, wave] * one[3, wave]
        products[wave] = there + back
    half = _BATCH // 2
    while half > 0:
        for wave in range(half):
            products[wave] += products[half + wave]
        half //= 2
    return float(products[0])
