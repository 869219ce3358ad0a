"""The radio channel between devices: a pure function of seed, link and time.

Every value depends on the seed, the two ends of the link and the instant, never on what was asked
before, on the window it is asked in or on which other links are asked for. Links are reciprocal.
Noise and transmit power are not the channel's business.
"""

from __future__ import annotations

import numpy as np

from wnsim.channel.fading import FADING, Fading, NoFading, Rayleigh
from wnsim.channel.large_scale import LargeScale, Position
from wnsim.channel.links import ordered
from wnsim.channel.path_loss import (
    PATH_LOSS,
    FreeSpace,
    LogDistance,
    PathLoss,
    UmiStreetCanyon,
)
from wnsim.channel.plane_waves import Complexes
from wnsim.channel.shadowing import Shadowing
from wnsim.units import Floats, Ints, db_to_linear, linear_to_db

__all__ = [
    "FADING",
    "PATH_LOSS",
    "Channel",
    "Fading",
    "FreeSpace",
    "LogDistance",
    "NoFading",
    "PathLoss",
    "Rayleigh",
    "Shadowing",
    "UmiStreetCanyon",
]

# Blocks in a chunk of `gain_blocks` at most; a power of two.
_CHUNK_BLOCKS = 64


class Channel:
    """The channel between all pairs of devices.

    Parameters
    ----------
    path_loss, shadowing, fading : models of the propagation scenario
    frequency_hz : carrier frequency [Hz]
    heights_m : (N,) antenna heights of the devices [m]
    position : positions (n, T, 2) [m] of devices (n,) at instants (T,) [s]
    max_speed_mps : upper bound of any device's speed [m/s]
    seed : seed of the scenario

    Attributes
    ----------
    large_scale : path loss, line of sight and shadow fading

    Raises
    ------
    ValueError
        if the carrier frequency is not positive or the maximum speed negative; and by every
        method, if a link joins a device with itself
    """

    def __init__(
        self,
        path_loss: PathLoss,
        shadowing: Shadowing,
        fading: Fading,
        frequency_hz: float,
        heights_m: Floats,
        position: Position,
        max_speed_mps: float,
        seed: int,
    ) -> None:
        if not frequency_hz > 0.0:
            raise ValueError(f"frequency_hz must be positive, got {frequency_hz}")
        if not 0.0 <= max_speed_mps < float("inf"):
            raise ValueError(
                f"max_speed_mps must be finite and at least 0 m/s, got {max_speed_mps}"
            )
        self._position = position
        self.large_scale = LargeScale(
            path_loss,
            shadowing,
            frequency_hz,
            np.asarray(heights_m, dtype=np.float64),
            position,
            max_speed_mps,
            seed,
        )
        self._fading = fading.process(frequency_hz, seed)

    def large_scale_db(self, source: Ints, target: Ints, t_s: Floats) -> Floats:
        """Return the gain of path loss and shadow fading alone.

        Parameters
        ----------
        source, target : (L,) ends of the links
        t_s : (T,) instants [s]

        Returns
        -------
        (L, T) gain [dB], usually negative
        """
        return self.large_scale.gain_db(source, target, t_s)

    def response(self, source: Ints, target: Ints, t_s: Floats) -> Complexes:
        """Return the channel's complex amplitude.

        Parameters
        ----------
        source, target : (L,) ends of the links
        t_s : (T,) instants [s]

        Returns
        -------
        (L, T) amplitudes; their squared modulus is the power gain
        """
        t_s = np.asarray(t_s, dtype=np.float64)
        amplitude = np.sqrt(db_to_linear(self.large_scale.gain_db(source, target, t_s)))
        if self._fading is None:
            return amplitude.astype(np.complex128)
        x_source, x_target = self._ends(source, target, t_s)
        return amplitude * self._fading.response(source, target, x_source, x_target, t_s)

    def gain_db(self, source: Ints, target: Ints, t_s: Floats) -> Floats:
        """Return the power gain of path loss, shadow fading and small-scale fading.

        Parameters
        ----------
        source, target : (L,) ends of the links
        t_s : (T,) instants [s]

        Returns
        -------
        (L, T) gain [dB]
        """
        t_s = np.asarray(t_s, dtype=np.float64)
        gain_db = self.large_scale.gain_db(source, target, t_s)
        if self._fading is None:
            return gain_db
        x_source, x_target = self._ends(source, target, t_s)
        return gain_db + linear_to_db(
            _power(self._fading.response(source, target, x_source, x_target, t_s))
        )

    def gain_blocks(
        self, source: Ints, target: Ints, first_block: int, n_blocks: int, block_ns: int
    ) -> Floats:
        """Return the power gain in consecutive blocks of time; the fast way.

        The blocks are grouped into chunks at fixed instants, no longer than `large_scale.step_s`,
        within which devices move along straight lines: the same as `gain_db` but where a device
        turns, which is rounded off by at most its speed times the duration of a chunk.

        Parameters
        ----------
        source, target : (L,) ends of the links
        first_block : number k of the first block; block k is at k times `block_ns`
        n_blocks : K, how many blocks
        block_ns : duration of a block [ns]

        Returns
        -------
        (L, K) power gain, linear
        """
        if block_ns <= 0:
            raise ValueError(f"block_ns must be positive, got {block_ns}")
        block_s = block_ns * 1e-9
        t_s = np.arange(first_block, first_block + n_blocks, dtype=np.float64) * block_s
        gain = db_to_linear(self.large_scale.gain_db(source, target, t_s))
        if self._fading is None or n_blocks <= 0:
            return gain
        size = _CHUNK_BLOCKS
        while size > 1 and size * block_ns > self.large_scale.step_s * 1e9:
            size //= 2
        first_chunk = first_block // size
        last_chunk = (first_block + n_blocks - 1) // size
        chunk_s = size * block_s
        edges_s = np.arange(first_chunk, last_chunk + 2, dtype=np.float64) * chunk_s
        x_source, x_target = self._ends(source, target, edges_s)
        amplitude = self._fading.response_grid(
            source, target, x_source, x_target, first_chunk, chunk_s, size
        )
        skip = first_block - first_chunk * size
        gain *= _power(amplitude[:, skip : skip + n_blocks])
        return gain

    def _ends(self, source: Ints, target: Ints, t_s: Floats) -> tuple[Floats, Floats]:
        """Return the positions (L, T, 2) [m] of the links' two ends."""
        ordered(source, target)
        ends = np.concatenate([source, target])
        devices, place = np.unique(ends, return_inverse=True)
        positions_m = self._position(devices, t_s)[place]
        return positions_m[: len(source)], positions_m[len(source) :]


def _power(amplitude: Complexes) -> Floats:
    """Return the squared modulus."""
    return amplitude.real**2 + amplitude.imag**2
