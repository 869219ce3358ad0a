"""Nodes of a plane on the ground in Earth-fixed coordinates.

The plane is an azimuthal equidistant map of the Earth around the middle of the scenario's area: a
node at some distance and azimuth in the plane is at the same distance and azimuth from there on the
ground. Within 100 km it is the tangent plane to 4e-5, and a ground station may be anywhere. Seen
from a node, the horizon is that of the ellipsoid at its own place.

Scope: distances between nodes on the ground are those in the plane. The map is that of a sphere of
mean radius, which on the ellipsoid changes distances by up to 0.5 %.

Sources: Snyder, "Map projections: a working manual", USGS Professional Paper 1395, 1987, eqs.
(20-14) and (20-15); NGA.STND.0036, WGS 84.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from wnsim.core.units import Floats
from wnsim.mobility.orbits.constellation import EQUATOR_M

_MEAN_RADIUS_M = 6_371_008.8
_FLATTENING = 1.0 / 298.257223563
_ECCENTRICITY_2 = _FLATTENING * (2.0 - _FLATTENING)


@dataclass(frozen=True)
class Place:
    """Positions and directions on the ground, Earth-fixed.

    Parameters
    ----------
    position_m : (..., 3) positions [m]
    east, north, up : (..., 3) unit vectors
    """

    position_m: Floats
    east: Floats
    north: Floats
    up: Floats


@dataclass(frozen=True)
class Ground:
    """Plane around a place on the Earth.

    Parameters
    ----------
    latitude_deg, longitude_deg : the place [degrees]
    middle_m : its position in the plane [m]
    """

    latitude_deg: float
    longitude_deg: float
    middle_m: tuple[float, float] = (0.0, 0.0)

    def places(self, positions_m: Floats, heights_m: Floats) -> Place:
        """Return places on and above the ground.

        Parameters
        ----------
        positions_m : (..., 2) positions in the plane [m]
        heights_m : (...) heights above the ground [m]
        """
        x, y = np.moveaxis(np.asarray(positions_m) - np.asarray(self.middle_m), -1, 0)
        distance_m = np.hypot(x, y)
        angle = distance_m / _MEAN_RADIUS_M
        east = np.divide(x, distance_m, out=np.zeros_like(x), where=distance_m > 0.0)
        north = np.divide(y, distance_m, out=np.zeros_like(y), where=distance_m > 0.0)
        lat_0 = np.radians(self.latitude_deg)
        sine = np.cos(angle) * np.sin(lat_0) + north * np.sin(angle) * np.cos(lat_0)
        lat = np.arcsin(np.clip(sine, -1.0, 1.0))
        lon = np.radians(self.longitude_deg) + np.arctan2(
            east * np.sin(angle),
            np.cos(lat_0) * np.cos(angle) - north * np.sin(lat_0) * np.sin(angle),
        )
        return _place(lat, lon, np.broadcast_to(heights_m, lat.shape))


def _place(lat: Floats, lon: Floats, heights_m: Floats) -> Place:
    """Return places at geodetic latitudes and longitudes (...) [rad]."""
    up = np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)], axis=-1)
    east = np.stack([-np.sin(lon), np.cos(lon), np.zeros_like(lon)], axis=-1)
    across_m = EQUATOR_M / np.sqrt(1.0 - _ECCENTRICITY_2 * np.sin(lat) ** 2)
    stretch_m = np.stack(
        [across_m + heights_m, across_m + heights_m,
         across_m * (1.0 - _ECCENTRICITY_2) + heights_m], axis=-1,
    )  # fmt: skip
    return Place(up * stretch_m, east, np.cross(up, east), up)
