"""Interface of orbit models."""

from __future__ import annotations

from typing import Protocol

from wnsim.core.units import Floats, Ints

EARTH_ROTATION_RAD_PER_S = 7.292115e-5
EQUATOR_M = 6_378_137.0


class Constellation(Protocol):
    """Positions of satellites: pure functions of time.

    Attributes
    ----------
    names : one name per satellite
    highest_m : upper bound of their distance from the center of the Earth [m]
    """

    names: tuple[str, ...]
    highest_m: float

    def position_m(self, satellites: Ints, t_s: Floats) -> Floats:
        """Return Earth-fixed positions (n, T, 3) [m] of satellites (n,) at instants (T,) [s]."""
        ...


class Orbit(Protocol):
    """Interface of the parameters of an orbit model."""

    def constellation(self) -> Constellation:
        """Return the satellites.

        Raises
        ------
        ValueError
            if a file cannot be used, or a library is missing
        """
        ...
