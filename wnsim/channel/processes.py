"""Fading processes derived from Rayleigh fading: a direct wave, or another power distribution.

Sources: Rice, "Statistical properties of a sine wave plus random noise", BSTJ 27, 1948; Nakagami,
"The m-distribution", in Statistical Methods in Radio Wave Propagation, 1960; Nelsen, "An
Introduction to Copulas", 2nd ed., 2006, section 2.9 (transformation between distributions by their
distribution functions).
"""

from __future__ import annotations

import math

import numpy as np

from wnsim import kernels
from wnsim.channel.plane_waves import Complexes, PlaneWaves
from wnsim.core.units import SPEED_OF_LIGHT_MPS, Floats, Ints
from wnsim.kernels.layout import plain

# Natural logarithms of the power between which the mapping is tabulated, and the step. A
# Rayleigh power is below the first with a probability of 1e-16, and of M waves at most M.
_LOG_LEAST, _LOG_MOST, _LOG_STEP = -37.0, 6.5, 1.0 / 256.0


class Direct:
    """Direct wave of constant power plus scattered waves.

    Its phase follows from the ground distance of the ends, so that it is reciprocal and
    reproducible in space, and has the Doppler shift of their radial speed.

    Parameters
    ----------
    scattered : scattered waves, of mean power 1
    share : fraction of the mean power in the direct wave, 0 to 1
    frequency_hz : carrier frequency [Hz]

    Attributes
    ----------
    subbands : B, number of subbands
    """

    def __init__(self, scattered: PlaneWaves, share: float, frequency_hz: float) -> None:
        self._scattered = scattered
        self._amplitude = math.sqrt(share)
        self._rest = math.sqrt(1.0 - share)
        self._wave_number = 2.0 * math.pi * frequency_hz / SPEED_OF_LIGHT_MPS
        self.subbands = scattered.subbands

    def response(
        self, source: Ints, target: Ints, x_source_m: Floats, x_target_m: Floats, t_s: Floats
    ) -> Complexes:
        """Return the channel's amplitude at any instants; see `fading.Process`."""
        values = self._scattered.response(source, target, x_source_m, x_target_m, t_s)
        apart_m = np.asarray(x_source_m) - np.asarray(x_target_m)
        phase = self._wave_number * np.sqrt(apart_m[..., 0] ** 2 + apart_m[..., 1] ** 2)
        direct: Complexes = self._amplitude * np.exp(-1j * phase)
        return self._rest * values + direct[..., None]

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
        """Return the amplitudes on a grid of instants; see `fading.Process`."""
        values = self._scattered.response_grid(
            source, target, x_source_m, x_target_m, first_chunk, chunk_s, samples_per_chunk
        )
        kernels.plane_waves.add_direct(
            values, plain(x_source_m - x_target_m), samples_per_chunk, self._wave_number / math.tau,
            self._amplitude, self._rest,
        )  # fmt: skip
        return values


class GammaPower:
    """Fading with Gamma-distributed power and the phase of Rayleigh fading.

    The Rayleigh power is mapped by the distribution function of one law and the quantile function
    of the other, so that ranks, and thereby the temporal order of fades, are preserved.

    Parameters
    ----------
    rayleigh : Rayleigh fading, of mean power 1
    m : shape of the Gamma distribution
    """

    def __init__(self, rayleigh: PlaneWaves, m: float) -> None:
        from scipy.special import gammainccinv, gammaincinv

        self._rayleigh = rayleigh
        self.subbands = rayleigh.subbands
        log_power = np.arange(_LOG_LEAST, _LOG_MOST, _LOG_STEP)
        power = np.exp(log_power)
        # The smaller of the two tails keeps its digits.
        below = gammaincinv(m, -np.expm1(-power))
        above = gammainccinv(m, np.exp(-power))
        mapped = np.where(power < 1.0, below, above) / m
        # Extrapolate linearly where a double has no digits left.
        sound = np.isfinite(mapped) & (mapped > 0.0)
        mapped = np.interp(log_power, log_power[sound], np.log(mapped[sound]))
        # Half the logarithm of the factor on the power.
        self._table = 0.5 * (mapped - log_power)

    def response(
        self, source: Ints, target: Ints, x_source_m: Floats, x_target_m: Floats, t_s: Floats
    ) -> Complexes:
        """Return the channel's amplitude at any instants; see `fading.Process`."""
        return self._map(self._rayleigh.response(source, target, x_source_m, x_target_m, t_s))

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
        """Return the amplitudes on a grid of instants; see `fading.Process`."""
        return self._map(
            self._rayleigh.response_grid(
                source, target, x_source_m, x_target_m, first_chunk, chunk_s, samples_per_chunk
            )
        )

    def _map(self, values: Complexes) -> Complexes:
        """Map Rayleigh amplitudes to the other power distribution."""
        power = np.maximum(values.real**2 + values.imag**2, np.exp(_LOG_LEAST))
        place = (np.log(power) - _LOG_LEAST) / _LOG_STEP
        left = np.minimum(place.astype(np.int64), self._table.size - 2)
        start = self._table[left]
        values *= np.exp(start + (self._table[left + 1] - start) * (place - left))
        return values
