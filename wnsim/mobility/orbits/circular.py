"""Circular orbits around a spherical gravity field, singly or as a Walker constellation.

A satellite moves at the constant rate sqrt(mu / a^3) in a plane that is fixed among the stars,
below which the Earth turns. The longitude of the first ascending node is that over the turning
Earth at 0 s.

Scope: no oblateness (J2, which turns the planes of low orbits by up to some degrees a day), drag or
maneuvers; for a date and given satellites, two-line elements have them.

Sources: Walker, "Satellite constellations", Journal of the British Interplanetary Society 37, 1984
(delta patterns i: t/p/f); Montenbruck and Gill, "Satellite orbits", 2000, section 2.2;
NGA.STND.0036 (gravitational constant and rotation of the Earth).
"""

from __future__ import annotations

import math
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from wnsim.core.params import parameters
from wnsim.core.units import Floats, Ints
from wnsim.mobility.orbits.constellation import EARTH_ROTATION_RAD_PER_S, EQUATOR_M

_GRAVITY_M3_PER_S2 = 3.986004418e14
_MOST = 10_000

Degrees = Annotated[float, Field(ge=-360, le=360)]


@parameters
class Circular:
    """Circular orbits of one altitude and inclination.

    Several planes are spread evenly in longitude, and the satellites of a plane evenly along it: a
    Walker constellation of planes times per_plane satellites.

    Parameters
    ----------
    altitude_m : height above the equator's radius of 6378.137 km [m]
    inclination_deg : angle of the planes to the equator [degrees]; above 90 against the rotation
        of the Earth
    planes, per_plane : number of planes, and of satellites in each
    phasing : F of a Walker constellation: satellites of a plane are ahead of those of the plane
        before by F times 360 degrees over the number of all satellites
    node_deg : longitude at 0 s of the ascending node of the first plane [degrees]
    node_spread_deg : angle over which the ascending nodes of the planes are spread [degrees]: 360
        for a Walker delta, 180 for a Walker star
    phase_deg : angle of the first satellite from its ascending node at 0 s [degrees]
    """

    model: Literal["circular"] = "circular"
    altitude_m: Annotated[float, Field(ge=1e5, le=1e9)] = 600e3
    inclination_deg: Annotated[float, Field(ge=0, le=180)] = 97.8
    planes: Annotated[int, Field(ge=1, le=1000)] = 1
    per_plane: Annotated[int, Field(ge=1, le=1000)] = 1
    phasing: Annotated[int, Field(ge=0, le=1000)] = 0
    node_deg: Degrees = 0.0
    node_spread_deg: Annotated[float, Field(ge=0, le=360)] = 360.0
    phase_deg: Degrees = 0.0

    def __post_init__(self) -> None:
        if self.planes * self.per_plane > _MOST:
            raise ValueError(
                f"planes times per_plane must be at most {_MOST} satellites, got "
                f"{self.planes * self.per_plane}"
            )
        if self.phasing >= self.planes:
            raise ValueError(f"phasing must be below planes, {self.planes}, got {self.phasing}")

    def constellation(self) -> CircularOrbits:
        """Return the satellites, plane by plane."""
        return CircularOrbits(self)


class CircularOrbits:
    """Satellites on circular orbits; see `Constellation`.

    Parameters
    ----------
    orbit : parameters
    """

    def __init__(self, orbit: Circular) -> None:
        count = orbit.planes * orbit.per_plane
        self.names = tuple(f"satellite-{number}" for number in range(count))
        self.highest_m = EQUATOR_M + orbit.altitude_m
        self._inclination = math.radians(orbit.inclination_deg)
        plane, place = np.divmod(np.arange(count), orbit.per_plane)
        self._node = np.radians(orbit.node_deg + orbit.node_spread_deg * plane / orbit.planes)
        self._phase = np.radians(
            orbit.phase_deg + 360.0 * (place / orbit.per_plane + orbit.phasing * plane / count)
        )
        self._rate = math.sqrt(_GRAVITY_M3_PER_S2 / self.highest_m**3)

    def position_m(self, satellites: Ints, t_s: Floats) -> Floats:
        """Return Earth-fixed positions (n, T, 3) [m] of satellites (n,) at instants (T,) [s]."""
        t_s = np.asarray(t_s, dtype=np.float64)
        along = self._phase[satellites][:, None] + self._rate * t_s
        node = self._node[satellites][:, None] - EARTH_ROTATION_RAD_PER_S * t_s
        across = np.sin(along) * math.cos(self._inclination)
        return self.highest_m * np.stack(
            [
                np.cos(along) * np.cos(node) - across * np.sin(node),
                np.cos(along) * np.sin(node) + across * np.cos(node),
                np.sin(along) * math.sin(self._inclination),
            ],
            axis=-1,
        )
