"""Small-scale fading as a sum of plane waves, with the phases taken from the ends' positions.

The wave m of a link leaves one end in the direction u_m and reaches the other from v_m:
h(t) = M^(-1/2) sum_m c_m exp j(2 pi/lambda (u_m . x_a(t) + v_m . x_b(t)) + 2 pi nu_m t).
Positions, not speeds, make the phase, so that it is continuous when a device turns or stops, and
a device that returns meets the channel that it left, except for the residual Doppler shifts nu_m
of a world that never stands quite still. The coefficient c_m is a random phase, or where paths
have delays, a sum over them that differs between the parts of the band.

Sources: Clarke, "A statistical theory of mobile-radio reception", BSTJ 47, 1968 (one end moving:
autocorrelation J0); Akki and Haber, "A statistical model of mobile-to-mobile land communication
channel", IEEE Trans. Veh. Technol. 35, 1986 (both moving: J0 J0).
"""

from __future__ import annotations

import math
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from wnsim import kernels
from wnsim.channel.delays import Delays
from wnsim.channel.links import LinkRows, grown
from wnsim.core import streams
from wnsim.core.units import SPEED_OF_LIGHT_MPS, Floats, Ints
from wnsim.kernels.layout import plain

Complexes = NDArray[np.complex128]

# Waves times instants in one batch, which fit a core's cache.
_SLAB = 1 << 16
# Links whose waves are drawn in one batch.
_DRAWN_LINKS = 256
# Links whose waves are kept, and bytes for them; beyond, all are dropped and drawn again.
_MAX_LINKS = 1 << 18
_MAX_BYTES = 128 << 20
# Directions and phases are kept as fractions of a turn.
_TURN = 1 << 16
_COSINE = np.cos(2.0 * np.pi / _TURN * np.arange(_TURN))
_QUARTER = _TURN // 4


class PlaneWaves:
    """Sums of plane waves of all links; see the module for the equation.

    Parameters
    ----------
    waves : number of plane waves per link, below 2**15
    residual_speed_mps : speed of the surroundings [m/s]
    frequency_hz : carrier frequency [Hz]
    seed : seed of the scenario
    delays : delays of the paths; None: a flat channel without delays

    Attributes
    ----------
    subbands : B, number of subbands
    """

    # Directions at the two ends and of the residual motion, and phases, as fractions of a turn.
    _COLUMNS: ClassVar[int] = 4

    def __init__(
        self,
        waves: int,
        residual_speed_mps: float,
        frequency_hz: float,
        seed: int,
        delays: Delays | None = None,
    ) -> None:
        self._waves = waves
        self._wave_number = 2.0 * math.pi * frequency_hz / SPEED_OF_LIGHT_MPS
        self._residual_mps = residual_speed_mps
        self._key = streams.key(seed, "fading")
        self._delays = delays
        self.subbands = 1 if delays is None else delays.subbands
        bytes_per_link = 2 * self._COLUMNS * waves
        if delays is not None:
            bytes_per_link += 8 * waves * self.subbands
        self._rows = LinkRows(max(1, min(_MAX_LINKS, _MAX_BYTES // bytes_per_link)))
        self._table = np.empty((0, self._COLUMNS, waves), dtype=np.uint16)
        self._coefficients = np.empty(
            (0, self.subbands, 0 if delays is None else waves), dtype=np.complex64
        )

    def response(
        self, source: Ints, target: Ints, x_source_m: Floats, x_target_m: Floats, t_s: Floats
    ) -> Complexes:
        """Return the channel's amplitude at any instants; see `fading.Process`."""
        rows, x_low, x_high = self._links(source, target, x_source_m, x_target_m)
        t_s = np.asarray(t_s, dtype=np.float64)
        values = np.empty((rows.size, t_s.size, self.subbands), dtype=np.complex128)
        links = max(1, _SLAB // (self._waves * max(1, t_s.size)))
        for top in range(0, rows.size, links):
            some = slice(top, top + links)
            vectors = self._vectors(rows[some])
            step = max(1, _SLAB // (self._waves * vectors.shape[1]))
            for start in range(0, t_s.size, step):
                window = slice(start, start + step)
                turn = _turn(
                    _phase(vectors, x_low[some, window], x_high[some, window], t_s[window])
                )
                if self._delays is None:
                    values[some, window, 0] = turn.sum(axis=-1)
                else:
                    coefficients = self._coefficients[rows[some]].astype(np.complex128)
                    values[some, window] = turn @ coefficients.swapaxes(-1, -2)
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

        Along a chord each wave's phase is linear in time; see `wnsim.kernels.plane_waves`.
        """
        rows, x_low, x_high = self._links(source, target, x_source_m, x_target_m)
        edges_s = np.arange(first_chunk, first_chunk + x_low.shape[1], dtype=np.float64) * chunk_s
        return kernels.plane_waves.response_grid(
            self._table,
            self._coefficients,
            rows,
            _COSINE,
            self._wave_number / (2.0 * math.pi),
            self._residual_mps * self._wave_number / (2.0 * math.pi),
            plain(x_low),
            plain(x_high),
            edges_s,
            samples_per_chunk,
        )

    def power_grid(
        self,
        source: Ints,
        target: Ints,
        places_m: Floats,
        first_chunk: int,
        chunk_s: float,
        samples_per_chunk: int,
        skip: int,
        gain_db: Floats,
    ) -> Floats:
        """Return power gains on a grid of instants, those of `response_grid` in one call.

        Parameters
        ----------
        source, target : (L,) ends of the links
        places_m : (N, C + 1, 2) positions of nodes at the edges of the C batches [m]
        first_chunk, chunk_s, samples_per_chunk : see `fading.Process`
        skip : instants before the first one
        gain_db : (L, T) gain without fading [dB]

        Returns
        -------
        (L, T, B) power gain, linear
        """
        low, high = np.minimum(source, target), np.maximum(source, target)
        rows = self._rows_of(low, high)
        edges_s = np.arange(first_chunk, first_chunk + places_m.shape[1], dtype=np.float64)
        return kernels.plane_waves.power_grid(
            self._table,
            self._coefficients,
            rows,
            _COSINE,
            self._wave_number / (2.0 * math.pi),
            self._residual_mps * self._wave_number / (2.0 * math.pi),
            low,
            high,
            places_m,
            edges_s * chunk_s,
            samples_per_chunk,
            skip,
            gain_db,
        )

    def _rows_of(self, low: Ints, high: Ints) -> Ints:
        """Return the rows of links in the tables, drawing the waves of those that are new."""
        rows, new = self._rows(low, high)
        if new.size:
            self._add(low[new], high[new])
        return rows

    def _links(
        self, source: Ints, target: Ints, x_source_m: Floats, x_target_m: Floats
    ) -> tuple[Ints, Floats, Floats]:
        """Return the links' rows in the tables and the positions of their lower and higher ends."""
        source, target = np.asarray(source, dtype=np.int64), np.asarray(target, dtype=np.int64)
        low, high = np.minimum(source, target), np.maximum(source, target)
        swap = (source > target)[:, None, None]
        x_low = np.where(swap, x_target_m, x_source_m)
        x_high = np.where(swap, x_source_m, x_target_m)
        return self._rows_of(low, high), x_low, x_high

    def _add(self, low: Ints, high: Ints) -> None:
        """Draw the waves of links (K,), which have the last rows of the tables.

        The directions at each end are stratified over the circle, which brings a single link's
        autocorrelation close to the ensemble's, and matched between the ends in random order.
        """
        self._table = grown(self._table, len(self._rows))
        if self._delays is not None:
            self._coefficients = grown(self._coefficients, len(self._rows))
        known = len(self._rows) - low.size
        for top in range(0, low.size, _DRAWN_LINKS):
            some = slice(top, top + _DRAWN_LINKS)
            drawn = slice(known + top, known + top + low[some].size)
            words = streams.words(self._key, low[some], high[some], self._waves)
            order = kernels.plane_waves.fill_table(words, self._table[drawn])
            if self._delays is not None:
                self._coefficients[drawn] = self._delays.coefficients(
                    low[some], high[some], self._table[drawn, 3], order
                )

    def _vectors(self, rows: Ints) -> Floats:
        """Return the wave parameters (6, L, M) of links from which phases are computed.

        They are the wave vectors at the two ends [rad/m], the residual Doppler shift [rad/s] and
        the phase [rad].
        """
        table = self._table[rows]
        vectors = np.empty((6, rows.size, self._waves))
        for end in (0, 1):
            # cos(a - 90 degrees) = sin(a); the difference wraps around at a whole turn.
            vectors[2 * end] = self._wave_number * _COSINE[table[:, end]]
            vectors[2 * end + 1] = self._wave_number * _COSINE[table[:, end] - np.uint16(_QUARTER)]
        vectors[4] = (self._wave_number * self._residual_mps) * _COSINE[table[:, 2]]
        vectors[5] = 0.0 if self._delays is not None else (2.0 * np.pi / _TURN) * table[:, 3]
        return vectors


def _phase(vectors: Floats, x_low_m: Floats, x_high_m: Floats, t_s: Floats) -> Floats:
    """Return the phase of each wave, (L, T, M), for positions (L, T, 2) at instants (T,)."""
    low_x, low_y, high_x, high_y, residual, offset = vectors[:, :, None]
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
    """Return exp(j phase); faster than the complex exponential."""
    value = np.empty(phase.shape, dtype=np.complex128)
    value.real = np.cos(phase)
    value.imag = np.sin(phase)
    return value
