"""Kernel of fading on a grid of instants; see `wnsim.channel.plane_waves` for the equation.

Within a chunk of samples each wave's phase is linear in time. Phases are computed in double
precision and reduced to one turn before their cosines and sines are taken in single precision, for
the first samples of a chunk; the others follow by advancing that many samples at once. Amplitudes
agree with `PlaneWaves.response` to a few 1e-7 of their root mean square.
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

# Directions and phases are fractions of a turn, as numbers of sixteen bits.
_TURN, _FRACTION, _SIXTEEN = np.uint64(1 << 16), np.uint64((1 << 16) - 1), np.uint64(16)
_NEPERS_PER_DB = math.log(10.0) / 10.0
# Samples that are advanced together.
_LANES = 16
# Taylor series of sine and cosine, up to a quarter of a turn accurate to single precision.
_ZERO, _ONE, _TWO = np.float32(0.0), np.float32(1.0), np.float32(2.0)
_PI = np.float32(math.pi)
_S3, _S5, _S7 = np.float32(-1.0 / 6.0), np.float32(1.0 / 120.0), np.float32(-1.0 / 5040.0)
_S9, _S11 = np.float32(1.0 / 362880.0), np.float32(-1.0 / 39916800.0)
_C2, _C4, _C6 = np.float32(-1.0 / 2.0), np.float32(1.0 / 24.0), np.float32(-1.0 / 720.0)
_C8, _C10 = np.float32(1.0 / 40320.0), np.float32(-1.0 / 3628800.0)
_C12 = np.float32(1.0 / 479001600.0)


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
    (L, C S, B) amplitudes of mean power 1
    """
    waves, bands = table.shape[2], coefficients.shape[1]
    chunks, flat = edges_s.size - 1, coefficients.shape[2] == 0
    values = np.empty((rows.size, chunks * samples, bands), dtype=np.complex128)
    scale = np.float32(1.0 / math.sqrt(waves))
    vectors = np.empty((6, waves))
    turn, end, change = np.empty(waves), np.empty(waves), np.empty(waves)
    # Each wave in the first samples, and its rotation over that many.
    nothing, share, leap_share = (
        np.zeros(waves), np.arange(_LANES) / samples, np.full(1, _LANES / samples),
    )  # fmt: skip
    first, leap = np.empty(waves * _LANES, np.float32), np.empty(waves, np.float32)
    first_re, first_im, leap_re, leap_im = (
        np.empty_like(first), np.empty_like(first), np.empty_like(leap), np.empty_like(leap),
    )  # fmt: skip
    lanes_re, lanes_im = np.empty_like(first), np.empty_like(first)
    sums = np.empty(2 * _LANES, np.float32)
    padded = -(-samples // _LANES) * _LANES
    real, imaginary = np.empty(padded, np.float32), np.empty(padded, np.float32)
    for link in range(rows.size):
        row = rows[link]
        _fill_vectors(table[row], cosine, per_m, residual_hz, flat, vectors)
        _fill_turns(vectors, x_low_m[link, 0], x_high_m[link, 0], edges_s[0], end)
        for chunk in range(chunks):
            turn, end = end, turn
            edge = chunk + 1
            _fill_turns(vectors, x_low_m[link, edge], x_high_m[link, edge], edges_s[edge], end)
            for wave in range(waves):
                change[wave] = end[wave] - turn[wave]
            _fill_fractions(turn, change, share, first)
            _fill_phasors(first, first_re, first_im)
            _fill_fractions(nothing, change, leap_share, leap)
            _fill_phasors(leap, leap_re, leap_im)
            begin = chunk * samples
            for band in range(bands):
                if flat:
                    _sum(first_re, first_im, leap_re, leap_im, sums, real, imaginary)
                else:
                    _scale(first_re, first_im, coefficients[row, band], lanes_re, lanes_im)
                    _sum(lanes_re, lanes_im, leap_re, leap_im, sums, real, imaginary)
                for sample in range(samples):
                    values[link, begin + sample, band] = complex(
                        scale * real[sample], scale * imaginary[sample]
                    )
    return values


@compiled
def power_grid(
    table: NDArray[np.uint16],
    coefficients: NDArray[np.complex64],
    rows: Ints,
    cosine: Floats,
    per_m: float,
    residual_hz: float,
    low: Ints,
    high: Ints,
    places_m: Floats,
    edges_s: Floats,
    samples: int,
    skip: int,
    gain_db: Floats,
) -> Floats:
    """Return gains times the squared amplitudes of links on a grid of instants.

    Parameters
    ----------
    table, coefficients, rows, cosine, per_m, residual_hz, edges_s, samples : see `response_grid`
    low, high : (L,) ends of the links
    places_m : (N, C + 1, 2) positions of nodes at the edges of C chunks
    skip : instants of the grid before the first one
    gain_db : (L, T) gains [dB]

    Returns
    -------
    (L, T, B) power gain, linear
    """
    bands = coefficients.shape[1]
    result = np.empty((rows.size, gain_db.shape[1], bands))
    for link in range(rows.size):
        amplitude = response_grid(
            table, coefficients, rows[link : link + 1], cosine, per_m, residual_hz,
            places_m[low[link] : low[link] + 1], places_m[high[link] : high[link] + 1],
            edges_s, samples,
        )  # fmt: skip
        for instant in range(gain_db.shape[1]):
            gain = math.exp(_NEPERS_PER_DB * gain_db[link, instant])
            for band in range(bands):
                value = amplitude[0, skip + instant, band]
                power = value.real * value.real + value.imag * value.imag
                result[link, instant, band] = gain * power
    return result


@compiled
def add_direct(
    values: NDArray[np.complex128],
    apart_m: Floats,
    samples: int,
    per_m: float,
    amplitude: float,
    rest: float,
) -> None:
    """Add a direct wave to scattered ones; see `wnsim.channel.processes.Direct`.

    Parameters
    ----------
    values : (L, C S, B) amplitudes of the scattered waves, and of both as the result
    apart_m : (L, C + 1, 2) difference of the ends' positions at the edges of C chunks
    samples : S, per chunk
    per_m : waves per meter
    amplitude, rest : of the direct wave, and factor of the scattered ones
    """
    turn = np.empty(samples, np.float32)
    cosine, sine = np.empty_like(turn), np.empty_like(turn)
    for link in range(values.shape[0]):
        for chunk in range(apart_m.shape[1] - 1):
            x_m, y_m = apart_m[link, chunk, 0], apart_m[link, chunk, 1]
            change_x_m = apart_m[link, chunk + 1, 0] - x_m
            change_y_m = apart_m[link, chunk + 1, 1] - y_m
            for sample in range(samples):
                share = sample / samples
                away_x_m, away_y_m = x_m + share * change_x_m, y_m + share * change_y_m
                angle = per_m * math.sqrt(away_x_m * away_x_m + away_y_m * away_y_m)
                turn[sample] = np.float32(angle - np.floor(angle + 0.5))
            _fill_phasors(turn, cosine, sine)
            for sample in range(samples):
                direct = complex(amplitude * cosine[sample], -amplitude * sine[sample])
                for band in range(values.shape[2]):
                    place = chunk * samples + sample
                    values[link, place, band] = rest * values[link, place, band] + direct


@compiled
def fill_table(words: NDArray[np.uint64], table: NDArray[np.uint16]) -> Ints:
    """Fill in the waves of links, and return a random order of them.

    Parameters
    ----------
    words : (4, K, M) random words of 32 bits: four fractions of a turn in the first two, a random
        order in each of the others
    table : (K, 4, M) result, see `response_grid`; directions are stratified over the circle

    Returns
    -------
    (K, M) order
    """
    waves = table.shape[2]
    count = np.uint64(waves)
    orders = np.empty((words.shape[1], waves), dtype=np.int64)
    for link in range(words.shape[1]):
        high = np.argsort(words[2, link], kind="mergesort")
        residual = np.argsort(words[3, link], kind="mergesort")
        for wave in range(waves):
            one, other = words[0, link, wave], words[1, link, wave]
            start = np.uint64(wave) * _TURN
            table[link, 0, wave] = (start + (one >> _SIXTEEN)) // count
            start = np.uint64(high[wave]) * _TURN
            table[link, 1, wave] = (start + (one & _FRACTION)) // count
            start = np.uint64(residual[wave]) * _TURN
            table[link, 2, wave] = (start + (other >> _SIXTEEN)) // count
            table[link, 3, wave] = other & _FRACTION
            orders[link, wave] = high[residual[wave]]
    return orders


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
def _fill_fractions(turn: Floats, change: Floats, share: Floats, fraction: Singles) -> None:
    """Fill in phases after shares (S,) of a change, wave by wave, less whole turns [turn]."""
    shares = share.size
    for wave in range(turn.size):
        some = fraction[wave * shares : (wave + 1) * shares]
        begin, by = turn[wave], change[wave]
        for place in range(shares):
            angle = begin + share[place] * by
            some[place] = np.float32(angle - np.floor(angle + 0.5))


@compiled
def _fill_phasors(turn: Singles, cosine: Singles, sine: Singles) -> None:
    """Fill in cosine and sine of angles in turns, from minus to plus one half."""
    for place in range(turn.size):
        # Half of the angle.
        x = turn[place] * _PI
        y = x * x
        odd = _ONE + y * (_S3 + y * (_S5 + y * (_S7 + y * (_S9 + y * _S11))))
        even = _ONE + y * (_C2 + y * (_C4 + y * (_C6 + y * (_C8 + y * (_C10 + y * _C12)))))
        half_sine = x * odd
        cosine[place] = _ONE - _TWO * half_sine * half_sine
        sine[place] = _TWO * half_sine * even


@compiled
def _scale(
    first_re: Singles,
    first_im: Singles,
    coefficients: NDArray[np.complex64],
    lanes_re: Singles,
    lanes_im: Singles,
) -> None:
    """Fill in the first samples of waves, times their coefficients."""
    for wave in range(coefficients.size):
        re, im = coefficients[wave].real, coefficients[wave].imag
        for place in range(wave * _LANES, (wave + 1) * _LANES):
            lanes_re[place] = first_re[place] * re - first_im[place] * im
            lanes_im[place] = first_re[place] * im + first_im[place] * re


@compiled
def _sum(
    lanes_re: Singles,
    lanes_im: Singles,
    leap_re: Singles,
    leap_im: Singles,
    sums: Singles,
    real: Singles,
    imaginary: Singles,
) -> None:
    """Fill in the sums of all waves, some samples at a time; the waves advance with them."""
    for begin in range(0, real.size, _LANES):
        sums[:] = _ZERO
        for wave in range(leap_re.size):
            by_re, by_im, at = leap_re[wave], leap_im[wave], wave * _LANES
            for lane in range(_LANES):
                re, im = lanes_re[at + lane], lanes_im[at + lane]
                sums[lane] += re
                sums[_LANES + lane] += im
                lanes_re[at + lane] = re * by_re - im * by_im
                lanes_im[at + lane] = re * by_im + im * by_re
        for lane in range(_LANES):
            real[begin + lane], imaginary[begin + lane] = sums[lane], sums[_LANES + lane]
