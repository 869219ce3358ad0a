"""Small-scale fading as a sum of plane waves, with the phases taken from the ends' positions.

The wave m of a link leaves one end in the direction u_m and reaches the other from v_m:
h(t) = M^(-1/2) sum_m exp j(2 pi/lambda (u_m . x_a(t) + v_m . x_b(t)) + phi_m + 2 pi nu_m t).
Positions, not speeds, make the phase, so that it is continuous when a device turns or stops, and
a device that comes back meets the channel that it left, but for the residual Doppler shifts nu_m
of a world that never stands quite still.

Sources: Clarke, "A statistical theory of mobile-radio reception", BSTJ 47, 1968 (one end moving:
autocorrelation J0); Akki and Haber, "A statistical model of mobile-to-mobile land communication
channel", IEEE Trans. Veh. Technol. 35, 1986 (both moving: J0 J0).
"""

from __future__ import annotations

import math
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from wnsim import streams
from wnsim.channel.links import LinkRows
from wnsim.units import SPEED_OF_LIGHT_MPS, Floats, Ints

Complexes = NDArray[np.complex128]

# Waves times instants worked on at once; what fits a core's cache.
_SLAB = 1 << 16
# Links whose waves are kept; beyond, all are forgotten and drawn again when asked for.
_MAX_LINKS = 1 << 15
# One draw of each kind for each wave of each link.
_DRAWS = ("angle low", "angle high", "angle residual", "order high", "order residual", "phase")


class PlaneWaves:
    """The sums of plane waves of all links; see the module for the equation.

    Parameters
    ----------
    waves : number of plane waves of each link
    residual_speed_mps : speed of the surroundings [m/s]
    frequency_hz : carrier frequency [Hz]
    seed : seed of the scenario
    """

    # Wave vectors of the two ends [rad/m], phase [rad], residual Doppler [rad/s].
    _COLUMNS: ClassVar[int] = 6

    def __init__(
        self, waves: int, residual_speed_mps: float, frequency_hz: float, seed: int
    ) -> None:
        self._waves = waves
        self._residual_mps = residual_speed_mps
        self._wave_number = 2.0 * math.pi * frequency_hz / SPEED_OF_LIGHT_MPS
        self._keys = {name: streams.key(seed, "fading", n) for n, name in enumerate(_DRAWS)}
        self._rows = LinkRows(_MAX_LINKS)
        self._table = np.empty((0, self._COLUMNS, waves))

    def response(
        self, source: Ints, target: Ints, x_source_m: Floats, x_target_m: Floats, t_s: Floats
    ) -> Complexes:
        """Return the channel's amplitude at any instants; see `fading.Process`."""
        waves, x_low, x_high = self._links(source, target, x_source_m, x_target_m)
        t_s = np.asarray(t_s, dtype=np.float64)
        values = np.empty((waves.shape[0], t_s.size), dtype=np.complex128)
        step = max(1, _SLAB // max(1, self._waves * waves.shape[0]))
        for start in range(0, t_s.size, step):
            window = slice(start, start + step)
            phase = _phase(waves, x_low[:, window], x_high[:, window], t_s[window])
            values[:, window].real = np.cos(phase).sum(axis=-1)
            values[:, window].imag = np.sin(phase).sum(axis=-1)
        return values / math.sqrt(self._waves)

    def response_grid(
        self,
        source: Ints,
        target: Ints,
        x_source_m: Floats,
        x_target_m: Floats,
        first_chunk: int,
        chunk_s: float,
        samples_per_chunk: int,
    ) -> Complexes:
        """Return the amplitudes on a grid of instants; see `fading.Process`.

        Along a chord each wave's phase is linear in time, so its amplitude at sample a B + b of a
        chunk is the product of a coarse and a fine power of one rotation, and the sum over the
        waves a matrix product [coarse, waves] x [waves, fine] for each chunk.
        """
        waves, x_low, x_high = self._links(source, target, x_source_m, x_target_m)
        links, chunks = waves.shape[0], x_low.shape[1] - 1
        fine = _divisor(samples_per_chunk)
        coarse = samples_per_chunk // fine
        edges_s = (first_chunk + np.arange(chunks + 1)) * chunk_s
        values = np.empty((links, chunks, coarse, fine), dtype=np.complex128)
        step = max(1, _SLAB // (self._waves * (coarse + fine) * max(1, links)))
        for start in range(0, chunks, step):
            window = slice(start, start + step)
            edges = slice(start, start + step + 1)
            phase = _phase(waves, x_low[:, edges], x_high[:, edges], edges_s[edges])
            rotation = _turn((phase[:, 1:] - phase[:, :-1]) / samples_per_chunk)
            left = _powers(rotation, fine)
            leap = left[..., -1, :] * rotation
            right = _powers(leap, coarse) * _turn(phase[:, :-1])[..., None, :]
            values[:, window] = right @ left.swapaxes(-1, -2)
        values /= math.sqrt(self._waves)
        return values.reshape(links, -1)

    def _links(
        self, source: Ints, target: Ints, x_source_m: Floats, x_target_m: Floats
    ) -> tuple[Floats, Floats, Floats]:
        """Return the links' waves (L, 6, M) and the positions of their lower and higher ends."""
        source, target = np.asarray(source, dtype=np.int64), np.asarray(target, dtype=np.int64)
        low, high = np.minimum(source, target), np.maximum(source, target)
        swap = (source > target)[:, None, None]
        x_low = np.where(swap, x_target_m, x_source_m)
        x_high = np.where(swap, x_source_m, x_target_m)
        rows, known = self._rows(low, high)
        if len(self._rows) > known:
            if len(self._rows) > self._table.shape[0]:
                room = np.empty((len(self._rows), *self._table.shape[1:]))
                self._table = np.concatenate([self._table, room])
            new, place = np.unique(rows, return_index=True)
            place = place[new >= known]
            self._table[known : len(self._rows)] = self._draw(low[place], high[place])
        return self._table[rows], x_low, x_high

    def _draw(self, low: Ints, high: Ints) -> Floats:
        """Return the waves of some links, (L, 6, M), from draws addressed by link and wave.

        The directions at each end are stratified over the circle, which brings a single link's
        autocorrelation close to the ensemble's, and matched between the ends in random order.
        """
        wave = np.arange(self._waves)
        draws = {
            name: streams.uniforms(key, low[:, None], high[:, None], wave)
            for name, key in self._keys.items()
        }
        low_angle = (wave + draws["angle low"]) / self._waves
        high_angle = (np.argsort(draws["order high"]) + draws["angle high"]) / self._waves
        residual = (np.argsort(draws["order residual"]) + draws["angle residual"]) / self._waves
        turns = 2.0 * math.pi * np.stack([low_angle, high_angle, residual, draws["phase"]], axis=1)
        table = np.empty((low.size, self._COLUMNS, self._waves))
        table[:, 0:4:2] = self._wave_number * np.cos(turns[:, :2])
        table[:, 1:4:2] = self._wave_number * np.sin(turns[:, :2])
        table[:, 4] = turns[:, 3]
        table[:, 5] = self._wave_number * self._residual_mps * np.cos(turns[:, 2])
        return table


def _phase(waves: Floats, x_low_m: Floats, x_high_m: Floats, t_s: Floats) -> Floats:
    """Return the phase of each wave, (L, T, M), for positions (L, T, 2) at instants (T,)."""
    low_x, low_y, high_x, high_y, offset, residual = waves[:, None].swapaxes(0, 2)[:, 0, :, None]
    phase: Floats = (
        x_low_m[..., :1] * low_x
        + x_low_m[..., 1:] * low_y
        + x_high_m[..., :1] * high_x
        + x_high_m[..., 1:] * high_y
        + offset
        + t_s[:, None] * residual
    )
    return phase


def _turn(phase: Floats) -> Complexes:
    """Return exp(j phase); cheaper than the complex exponential."""
    value = np.empty(phase.shape, dtype=np.complex128)
    value.real = np.cos(phase)
    value.imag = np.sin(phase)
    return value


def _powers(rotation: Complexes, count: int) -> Complexes:
    """Return the powers 0 to count - 1 of (..., M) rotations, as (..., count, M)."""
    powers = np.empty((*rotation.shape[:-1], count, rotation.shape[-1]), dtype=np.complex128)
    powers[..., 0, :] = 1.0
    for n in range(1, count):
        np.multiply(powers[..., n - 1, :], rotation, out=powers[..., n, :])
    return powers


def _divisor(number: int) -> int:
    """Return the largest divisor of a number up to its square root."""
    return next(d for d in range(math.isqrt(number), 0, -1) if number % d == 0)
