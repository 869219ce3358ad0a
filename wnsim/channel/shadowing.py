"""Shadow fading as a random field over the positions of both ends of a link.

A field is a sum of plane cosine waves over the four coordinates of the two ends,
F(a, b) = sqrt(2/M) sum_m cos(k_m . a + l_m . b + phi_m), made reciprocal by adding F(b, a). It is
stateless: equal positions give equal values, in whatever order and however often they are
evaluated. Where antennas differ in height, positions have a third coordinate, in which the waves
continue such that the autocorrelation depends on the distance in space.

Sources: Gudmundson, "Correlation model for shadow fading in mobile radio systems", Electronics
Letters 27, 1991, and 3GPP TR 38.901 eq. 7.4-5 (exponential autocorrelation); Wang, Tameh and Nix,
"Joint shadowing process in urban peer-to-peer radio channels", IEEE Trans. Veh. Technol. 57, 2008
(both ends moving); Cai and Giannakis, "A two-dimensional channel simulation model for shadowing
processes", IEEE Trans. Veh. Technol. 52, 2003 (sum of cosines); Niederreiter, "Random number
generation and quasi-Monte Carlo methods", SIAM, 1992 (additive sequences).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri, stdtrit

from wnsim.channel.heights import length_m
from wnsim.channel.links import members
from wnsim.channel.position_cache import CachedPositions, Table
from wnsim.core import streams
from wnsim.core.params import parameters
from wnsim.core.units import Floats, Ints

_MOST_WAVES = 1 << 16
# Steps of an additive low-discrepancy sequence in four dimensions: powers of the root of
# x^5 = x + 1, the counterpart of the golden ratio.
_SPREAD = 1.1673039782614187 ** -np.arange(1.0, 5.0)
# Waves summed, and numbers of phasors evaluated, in one batch.
_WAVES_AT_ONCE = 256
_PHASORS = 1 << 22
_SLAB = 1 << 16


@parameters
class Shadowing:
    """Shadow fading of all links.

    Parameters
    ----------
    sigma_db : standard deviation [dB]; by default that of the path-loss model and LOS state
    correlation_m : decorrelation distance, where the autocorrelation is 1/e [m]; default likewise
    waves : number of plane waves of each random field, at least 16
    """

    sigma_db: float | None = None
    correlation_m: float | None = None
    waves: int = 256

    def __post_init__(self) -> None:
        if self.sigma_db is not None and not self.sigma_db >= 0.0:
            raise ValueError(f"sigma_db must be at least 0 dB, got {self.sigma_db}")
        if self.correlation_m is not None and not self.correlation_m > 0.0:
            raise ValueError(f"correlation_m must be positive, got {self.correlation_m}")
        if self.waves < 16:
            raise ValueError(f"waves must be at least 16, got {self.waves}")
        if self.waves > _MOST_WAVES:
            raise ValueError(f"waves must be at most {_MOST_WAVES}, got {self.waves}")


@dataclass(frozen=True)
class Kernel:
    """An isotropic autocorrelation in space, in units of the decorrelation distance.

    Parameters
    ----------
    autocorrelation : correlation at a distance
    wave_number : quantile function of the length of a wave vector, whose distribution is the
        plane spectrum of the autocorrelation
    vertical : quantile function of the third component of a wave vector, given its length in the
        plane, of which the spectrum in space is made
    """

    autocorrelation: Callable[[Floats], Floats]
    wave_number: Callable[[Floats], Floats]
    vertical: Callable[[Floats, Floats], Floats]


# The spectrum of exp(-r) in the plane is k (1 + k^2)^(-3/2). In space it is a constant times
# (1 + k^2 + z^2)^(-2): given k, z / sqrt((1 + k^2) / 3) has Student's distribution with 3 degrees.
EXPONENTIAL = Kernel(
    lambda r: np.exp(-r),
    lambda u: np.asarray(np.sqrt(1.0 / (1.0 - u) ** 2 - 1.0)),
    lambda k, u: np.asarray(np.sqrt((1.0 + k**2) / 3.0) * stdtrit(3.0, u)),
)
# The spectrum of exp(-r^2) in the plane is k exp(-k^2 / 4) / 2; each component is Gaussian.
SQUARED_EXPONENTIAL = Kernel(
    lambda r: np.exp(-(r**2)),
    lambda u: np.asarray(2.0 * np.sqrt(-np.log1p(-u))),
    lambda k, u: np.asarray(math.sqrt(2.0) * ndtri(u)),
)


class Field:
    """Reciprocal Gaussian random field of unit variance over pairs of positions.

    Its correlation between the links (a, b) and (a', b') is rho(|a - a'|) rho(|b - b'|) for links
    longer than a few decorrelation distances, rho being the kernel's autocorrelation: exp(-r/d)
    when one end moves by r, exp(-2r/d) when both do.

    Parameters
    ----------
    correlation_m : decorrelation distance d, where the autocorrelation is 1/e [m]
    waves : number of plane waves
    draws : generator of wave vectors and phases
    kernel : shape of the autocorrelation

    Attributes
    ----------
    waves : number of plane waves
    table : phasors of recent positions
    """

    def __init__(
        self,
        correlation_m: float,
        waves: int,
        draws: np.random.Generator,
        kernel: Kernel = EXPONENTIAL,
    ) -> None:
        self.correlation_m = correlation_m
        self._kernel = kernel
        # Evenly spread over lengths and angles of both wave vectors, from a random start, and
        # stratified in each: one realization comes close to the spectrum with few waves.
        points = (draws.random(4)[:, None] + np.outer(_SPREAD, np.arange(waves))) % 1.0
        strata = points.argsort(axis=1).argsort(axis=1)
        points = (strata + draws.random((4, waves))) / waves
        number = kernel.wave_number(points[:2])
        length = number / (2.0 * np.pi * correlation_m)
        angle = 2.0 * np.pi * points[2:]
        # (2 ends, waves), in turns per meter and turns
        self._x = length * np.cos(angle)
        self._y = length * np.sin(angle)
        self._phase = np.stack([np.zeros(waves), draws.random(waves)])
        strata = draws.random((2, waves)).argsort(axis=1)
        height = kernel.vertical(number, (strata + draws.random((2, waves))) / waves)
        self._z = height / (2.0 * np.pi * correlation_m)
        self._scale = math.sqrt(2.0 / waves)
        self.waves = waves
        self.table = Table(waves)

    def __call__(self, a_m: Floats, b_m: Floats) -> Floats:
        """Return the field between positions.

        Parameters
        ----------
        a_m, b_m : (..., 2 or 3) positions of the two ends [m]

        Returns
        -------
        (...,) values, equal to the last bit with a and b exchanged
        """
        a_m, b_m = np.broadcast_arrays(a_m, b_m)
        near_m, far_m = (end_m.reshape(-1, 1, end_m.shape[-1]) for end_m in (a_m, b_m))
        first = np.arange(near_m.shape[0])
        positions_m = np.concatenate([near_m, far_m])
        return self.between(positions_m, first, first + first.size)[:, 0].reshape(a_m.shape[:-1])

    def between(
        self, positions_m: Floats, first: Ints, second: Ints, cached: CachedPositions | None = None
    ) -> Floats:
        """Return the field between pairs of n moving positions, evaluating each position once.

        Parameters
        ----------
        positions_m : (n, T, 2 or 3) positions at T instants [m]
        first, second : (L,) indices of the ends of each link
        cached : cached positions, if phasors are to be kept

        Returns
        -------
        (L, T) values, equal to those of calling the field with the two ends of each link and
        instant
        """
        rows = None if cached is None else cached.rows
        if rows is None:
            used, first, second = members(first, second)
            positions_m = positions_m[used]
            values = self._summed(positions_m, first, second)
        else:
            self.table.fill(rows, positions_m, self._phasors)
            values = _sums(self.table.phasors, rows[first], rows[second])
        apart_m = positions_m[first] - positions_m[second]
        distance = length_m(apart_m)
        # F(a, b) and F(b, a) are correlated where both ends are near each other.
        overlap = self._kernel.autocorrelation(distance / self.correlation_m) ** 2
        return self._scale * values / np.sqrt(2.0 * (1.0 + overlap))

    def _summed(self, positions_m: Floats, first: Ints, second: Ints) -> Floats:
        """Return the sums of cosines (L, T) between positions that are not cached."""
        values = np.zeros((first.size, positions_m.shape[1]))
        step = max(1, _PHASORS // (4 * _WAVES_AT_ONCE * max(1, positions_m.shape[0])))
        for start in range(0, positions_m.shape[1], step):
            window = slice(start, start + step)
            some_m = positions_m[:, window]
            rows = np.arange(some_m[..., 0].size).reshape(some_m.shape[:2])
            for wave in range(0, self.waves, _WAVES_AT_ONCE):
                waves = slice(wave, wave + _WAVES_AT_ONCE)
                phasors = self._phasors(some_m.reshape(-1, some_m.shape[-1]), waves)
                values[:, window] += _sums(phasors, rows[first], rows[second])
        return values

    def _phasors(self, positions_m: Floats, waves: slice = slice(None)) -> NDArray[np.float32]:
        """Return factors (n, 2, 2 waves) of positions (n, 2 or 3); inner products are the sums.

        cos(p + q) = [cos p, -sin p] . [cos q, sin q], p of one end and q of the other.
        """
        x, y, z, phase = (part[:, waves] for part in (self._x, self._y, self._z, self._phase))
        count = x.shape[1]
        phasors = np.empty((positions_m.shape[0], 2, 2 * count), dtype=np.float32)
        step = max(1, _SLAB // (2 * count))
        for top in range(0, positions_m.shape[0], step):
            some = slice(top, top + step)
            turns = positions_m[some, None, 0, None] * x
            turns += positions_m[some, None, 1, None] * y
            if positions_m.shape[1] == 3:
                turns += positions_m[some, None, 2, None] * z
            turns += phase
            # Single precision only after whole turns are removed.
            turns -= np.rint(turns)
            angle = (2.0 * np.pi * turns).astype(np.float32)
            phasors[some, ..., :count] = np.cos(angle)
            phasors[some, ..., count:] = np.sin(angle)
        phasors[:, 0, count:] *= -1.0
        return phasors


def _sums(phasors: NDArray[np.float32], first: Ints, second: Ints) -> Floats:
    """Return the sums of cosines in both directions of links.

    Parameters
    ----------
    phasors : (n, 2, 2 waves) phasors of positions
    first, second : (L, T) indices of the links' ends
    """
    sums = np.empty(first.shape)
    links = max(1, _SLAB // max(1, first.shape[1] * phasors[:1].size))
    for top in range(0, first.shape[0], links):
        some = slice(top, top + links)
        one, other = phasors[first[some]], phasors[second[some]]
        # A dot product for each link adds the waves in one fixed order, so that its value does
        # not depend on which others are requested with it.
        sums[some] = np.vecdot(one[:, :, 0], other[:, :, 1])
        sums[some] += np.vecdot(other[:, :, 0], one[:, :, 1])
    return sums


def shadow_field(correlation_m: float, waves: int, seed: int, los: bool, kind: int = 0) -> Field:
    """Return the shadow-fading field of one line-of-sight state of one kind of link."""
    draws = streams.generator(seed, "shadowing", int(los), kind)
    return Field(correlation_m, waves, draws)
