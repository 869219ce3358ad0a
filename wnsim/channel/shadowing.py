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
from functools import cached_property

import numpy as np

from wnsim import kernels
from wnsim.core import streams
from wnsim.core.params import parameters
from wnsim.core.units import Floats, Ints
from wnsim.kernels.layout import plain

_MOST_WAVES = 1 << 16
# Steps of an additive low-discrepancy sequence in four dimensions: powers of the root of
# x^5 = x + 1, the counterpart of the golden ratio.
_SPREAD = 1.1673039782614187 ** -np.arange(1.0, 5.0)


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
    power : p of the autocorrelation exp(-r^p) at a distance r
    wave_number : quantile function of the length of a wave vector, whose distribution is the
        plane spectrum of the autocorrelation
    vertical : quantile function of the third component of a wave vector, given its length in the
        plane, of which the spectrum in space is made
    """

    power: int
    wave_number: Callable[[Floats], Floats]
    vertical: Callable[[Floats, Floats], Floats]


def _student(u: Floats) -> Floats:
    """Return the quantiles of Student's distribution with 3 degrees of freedom."""
    from scipy.special import stdtrit

    return np.asarray(stdtrit(3.0, u))


def _gaussian(u: Floats) -> Floats:
    """Return the quantiles of the standard normal distribution."""
    from scipy.special import ndtri

    return np.asarray(ndtri(u))


# The spectrum of exp(-r) in the plane is k (1 + k^2)^(-3/2). In space it is a constant times
# (1 + k^2 + z^2)^(-2): given k, z / sqrt((1 + k^2) / 3) has Student's distribution with 3 degrees.
EXPONENTIAL = Kernel(
    1,
    lambda u: np.asarray(np.sqrt(1.0 / (1.0 - u) ** 2 - 1.0)),
    lambda k, u: np.asarray(np.sqrt((1.0 + k**2) / 3.0) * _student(u)),
)
# The spectrum of exp(-r^2) in the plane is k exp(-k^2 / 4) / 2; each component is Gaussian.
SQUARED_EXPONENTIAL = Kernel(
    2,
    lambda u: np.asarray(2.0 * np.sqrt(-np.log1p(-u))),
    lambda k, u: np.asarray(math.sqrt(2.0) * _gaussian(u)),
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
        phase = np.stack([np.zeros(waves), draws.random(waves)])
        strata = draws.random((2, waves)).argsort(axis=1)
        self._height_draws = number, (strata + draws.random((2, waves))) / waves
        self._plane = length * np.cos(angle), length * np.sin(angle), phase

    @cached_property
    def _waves(self) -> Floats:
        """Return wave vectors [turn/m] and phases [turn]: (2 ends, 4, waves)."""
        x, y, phase = self._plane
        height = self._kernel.vertical(*self._height_draws)
        height /= 2.0 * np.pi * self.correlation_m
        return np.stack([x, y, height, phase], 1)

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

    def between(self, positions_m: Floats, first: Ints, second: Ints) -> Floats:
        """Return the field between pairs of n moving positions, evaluating each position once.

        Parameters
        ----------
        positions_m : (n, T, 2 or 3) positions at T instants [m]
        first, second : (L,) indices of the ends of each link

        Returns
        -------
        (L, T) values, equal to those of calling the field with the two ends of each link and
        instant
        """
        return kernels.random_fields.values(
            self._waves, self.correlation_m, self._kernel.power, plain(positions_m), first, second
        )


def shadow_field(correlation_m: float, waves: int, seed: int, los: bool, kind: int = 0) -> Field:
    """Return the shadow-fading field of one line-of-sight state of one kind of link."""
    draws = streams.generator(seed, "shadowing", int(los), kind)
    return Field(correlation_m, waves, draws)
