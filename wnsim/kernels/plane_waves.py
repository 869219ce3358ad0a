"""Kernel of fading on a grid of instants; see `wnsim.channel.plane_waves` for the equation.

Within a chunk of samples each wave's phase is linear in time. From its value at the edges of the
chunk, its amplitudes in the first samples follow by doubling their number, and all others by
advancing that many samples at once. They agree with the cosines and sines of the phases to 1e-11.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from wnsim.kernels.compiling import compiled

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from wnsim.core.units import Floats, Ints

# Samples that are advanced together, and the logarithm of their number.
_LANES, _DOUBLINGS = 16, 4
# Taylor series of sine and cosine, up to a quarter of a turn accurate to 1e-13.
_S3, _S5, _S7, _S9 = -1.0 / 6.0, 1.0 / 120.0, -1.0 / 5040.0, 1.0 / 362880.0
_S11, _S13, _S15 = -1.0 / 39916800.0, 1.0 / 6227020800.0, -1.0 / 1307674368000.0
_S17, _S19 = 1.0 / 355687428096000.0, -1.0 / 121645100408832000.0
_C2, _C4, _C6, _C8 = -1.0 / 2.0, 1.0 / 24.0, -1.0 / 720.0, 1.0 / 40320.0
_C10, _C12, _C14 = -1.0 / 3628800.0, 1.0 / 479001600.0, -1.0 / 87178291200.0
_C16, _C18 = 1.0 / 20922789888000.0, -1.0 / 6402373705728000.0


@compiled
def response_grid(
    table: NDArray[np.uint16],
    coefficients: NDArray[np.complex64],
    rows: Ints,
    cosine: Floats,
    per_m: float,
    residual_hz: float,
    x_low_m: Floats,
    x_high_m: Floats,
    edges_s: Floats,
    samples: int,
) -> NDArray[np.complex128]:
    """Return the amplitudes of links on a grid of instants.

    Parameters
    ----------
    table : (R, 4, M) directions of M waves at both ends and of the residual motion, and phases, as
        fractions of a turn, of which `cosine` holds the cosines
    coefficients : (R, B, M) coefficients of the waves in B subbands; (R, 1, 0): the phases of the
        table instead
    rows : (L,) rows of the links
    per_m, residual_hz : waves per meter, and largest residual Doppler shift
    x_low_m, x_high_m : (L, C + 1, 2) positions of the ends at the edges of C chunks
    edges_s : (C + 1,) instants of the edges
    samples : S, per chunk

    Returns
    -------
    (L, C S, B) amplitudes of mean power M
    """
    waves, bands = table.shape[2], coefficients.shape[1]
    chunks, flat = edges_s.size - 1, coefficients.shape[2] == 0
    values = np.empty((rows.size, chunks * samples, bands), dtype=np.complex128)
    vectors, turn, step = np.empty((6, waves)), np.empty(waves), np.empty(waves)
    start_re, start_im = np.empty(waves), np.empty(waves)
    # Rotations over 1, 2, 4, ... samples.
    leap_re = np.empty((_DOUBLINGS + 1, waves))
    leap_im = np.empty((_DOUBLINGS + 1, waves))
    padded = -(-samples // _LANES) * _LANES
    real, imaginary = np.empty(padded), np.empty(padded)
    power_re, power_im = np.empty(_LANES), np.empty(_LANES)
    for link in range(rows.size):
        row = rows[link]
        _fill_vectors(table[row], cosine, per_m, residual_hz, flat, vectors)
        _fill_turns(vectors, x_low_m[link, 0], x_high_m[link, 0], edges_s[0], turn)
        for chunk in range(chunks):
            _fill_cosines_and_sines(turn, start_re, start_im)
            for wave in range(waves):
                step[wave] = turn[wave]
            edge = chunk + 1
            _fill_turns(vectors, x_low_m[link, edge], x_high_m[link, edge], edges_s[edge], turn)
            for wave in range(waves):
                step[wave] = (turn[wave] - step[wave]) / samples
            _fill_cosines_and_sines(step, leap_re[0], leap_im[0])
            for doubling in range(_DOUBLINGS):
                for wave in range(waves):
                    re, im = leap_re[doubling, wave], leap_im[doubling, wave]
                    leap_re[doubling + 1, wave] = re * re - im * im
                    leap_im[doubling + 1, wave] = 2.0 * re * im
            begin = chunk * samples
            for band in range(bands):
                real[:], imaginary[:] = 0.0, 0.0
                for wave in range(waves):
                    re, im = start_re[wave], start_im[wave]
                    if not flat:
                        c = coefficients[row, band, wave]
                        re, im = re * c.real - im * c.imag, re * c.imag + im * c.real
                    _fill_powers(leap_re, leap_im, wave, re, im, power_re, power_im)
                    _add_wave(
                        power_re,
                        power_im,
                        leap_re[_DOUBLINGS, wave],
                        leap_im[_DOUBLINGS, wave],
                        real,
                        imaginary,
                    )
                for sample in range(samples):
                    values[link, begin + sample, band] = complex(real[sample], imaginary[sample])
    return values


@compiled
def _fill_vectors(
    table: NDArray[np.uint16],
    cosine: Floats,
    per_m: float,
    residual_hz: float,
    flat: bool,
    vectors: Floats,
) -> None:
    """Fill in the wave vectors at both ends [turn/m], the Doppler shift [Hz], the phase [turn]."""
    circle = cosine.size
    for wave in range(table.shape[1]):
        for end in range(2):
            angle = np.int64(table[end, wave])
            # cos(a - 90 degrees) = sin(a).
            vectors[2 * end, wave] = per_m * cosine[angle]
            vectors[2 * end + 1, wave] = per_m * cosine[(angle - circle // 4) % circle]
        vectors[4, wave] = residual_hz * cosine[table[2, wave]]
        vectors[5, wave] = table[3, wave] / circle if flat else 0.0


@compiled
def _fill_turns(vectors: Floats, low_m: Floats, high_m: Floats, t_s: float, turn: Floats) -> None:
    """Fill in the phases of the waves with the ends at two positions [turn]."""
    low_x, low_y, high_x, high_y = low_m[0], low_m[1], high_m[0], high_m[1]
    for wave in range(turn.size):
        turn[wave] = (
            low_x * vectors[0, wave]
            + low_y * vectors[1, wave]
            + high_x * vectors[2, wave]
            + high_y * vectors[3, wave]
            + t_s * vectors[4, wave]
            + vectors[5, wave]
        )


@compiled
def _fill_cosines_and_sines(turn: Floats, cosine: Floats, sine: Floats) -> None:
    """Fill in cosine and sine of angles in turns."""
    for wave in range(turn.size):
        # Half of the angle, at most a quarter of a turn.
        x = (turn[wave] - math.floor(turn[wave] + 0.5)) * math.pi
        y = x * x
        odd = _S11 + y * (_S13 + y * (_S15 + y * (_S17 + y * _S19)))
        odd = 1.0 + y * (_S3 + y * (_S5 + y * (_S7 + y * (_S9 + y * odd))))
        even = _C10 + y * (_C12 + y * (_C14 + y * (_C16 + y * _C18)))
        even = 1.0 + y * (_C2 + y * (_C4 + y * (_C6 + y * (_C8 + y * even))))
        half_sine, half_cosine = x * odd, even
        cosine[wave] = 1.0 - 2.0 * half_sine * half_sine
        sine[wave] = 2.0 * half_sine * half_cosine


@compiled
def _fill_powers(
    leap_re: Floats,
    leap_im: Floats,
    wave: int,
    re: float,
    im: float,
    power_re: Floats,
    power_im: Floats,
) -> None:
    """Fill in a wave's amplitude in the first samples, doubling their number."""
    power_re[0], power_im[0] = re, im
    for doubling in range(_DOUBLINGS):
        count = 1 << doubling
        by_re, by_im = leap_re[doubling, wave], leap_im[doubling, wave]
        for lane in range(count):
            re, im = power_re[lane], power_im[lane]
            power_re[count + lane] = re * by_re - im * by_im
            power_im[count + lane] = re * by_im + im * by_re


@compiled
def _add_wave(
    power_re: Floats,
    power_im: Floats,
    leap_re: float,
    leap_im: float,
    real: Floats,
    imaginary: Floats,
) -> None:
    """Add a wave to the samples of a chunk, some at a time."""
    for begin in range(0, real.size, _LANES):
        some_re, some_im = real[begin : begin + _LANES], imaginary[begin : begin + _LANES]
        for lane in range(_LANES):
            re, im = power_re[lane], power_im[lane]
            some_re[lane] += re
            some_im[lane] += im
            power_re[lane] = re * leap_re - im * leap_im
            power_im[lane] = re * leap_im + im * leap_re
