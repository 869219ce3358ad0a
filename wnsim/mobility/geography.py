"""Longitude and latitude on the WGS 84 ellipsoid to meters in a plane.

The projection is azimuthal and, to second order, equidistant: places are seen from above their
middle, in the tangent plane of the ellipsoid there, and moved outwards to undo the foreshortening.
Distances along the ground are right to 2e-5 within 50 km of the middle, and 2e-3 within 500 km.

Sources: NGA.STND.0036, WGS 84 (semi-major axis, flattening); Snyder, "Map projections: a working
manual", USGS Professional Paper 1395, 1987 (azimuthal projections).
"""

from __future__ import annotations

import numpy as np

from wnsim.core.units import Floats

_SEMI_MAJOR_M = 6_378_137.0
_FLATTENING = 1.0 / 298.257223563
_ECCENTRICITY_2 = _FLATTENING * (2.0 - _FLATTENING)
FARTHEST_M = 500e3


def plane_m(places_deg: Floats) -> Floats:
    """Return places in a plane about their middle, the lowest x (east) and y (north) being 0.

    Parameters
    ----------
    places_deg : (n, 2) longitude, -180 to 360, and latitude [degrees]

    Returns
    -------
    (n, 2) places [m]

    Raises
    ------
    ValueError
        if a longitude or latitude is none, or a place is more than 500 km from the middle
    """
    lon_deg, lat_deg = np.asarray(places_deg, dtype=np.float64).T
    for name, values, low, high in (
        ("longitudes", lon_deg, -180.0, 360.0),
        ("latitudes", lat_deg, -90.0, 90.0),
    ):
        wrong = ~((values >= low) & (values <= high))
        if np.any(wrong):
            raise ValueError(f"{name} must be from {low:g} to {high:g}, got {values[wrong][0]:g}")
    # Longitudes near the first, so that a trace may cross the date line.
    lon_deg = (lon_deg - lon_deg[0] + 180.0) % 360.0 - 180.0 + lon_deg[0]
    middle_deg = [(np.min(values) + np.max(values)) / 2.0 for values in (lon_deg, lat_deg)]
    lon, lat = np.radians(lon_deg), np.radians(lat_deg)
    lon_0, lat_0 = np.radians(middle_deg)
    offset_m = _centred_m(lon - lon_0, lat) - _centred_m(np.zeros(1), np.array([lat_0]))
    east_m = offset_m[:, 1]
    north_m = -np.sin(lat_0) * offset_m[:, 0] + np.cos(lat_0) * offset_m[:, 2]
    # The mean radius of curvature at the middle.
    bend = 1.0 - _ECCENTRICITY_2 * np.sin(lat_0) ** 2
    radius_m = _SEMI_MAJOR_M * np.sqrt(1.0 - _ECCENTRICITY_2) / bend
    if np.any(np.linalg.norm(offset_m, axis=-1) > FARTHEST_M):
        raise ValueError(f"places must lie within {FARTHEST_M / 1e3:g} km of their middle")
    seen = np.hypot(east_m, north_m) / radius_m
    stretch = np.ones_like(seen)
    np.divide(np.arcsin(seen), seen, out=stretch, where=seen > 1e-9)
    places_m = np.stack([east_m, north_m], axis=-1) * stretch[:, None]
    return np.asarray(places_m - places_m.min(axis=0))


def _centred_m(lon: Floats, lat: Floats) -> Floats:
    """Return Earth-centred coordinates (n, 3) [m] of places (n,) [rad] on the ellipsoid."""
    radius_m = _SEMI_MAJOR_M / np.sqrt(1.0 - _ECCENTRICITY_2 * np.sin(lat) ** 2)
    across_m = radius_m * np.cos(lat)
    return np.stack(
        [
            across_m * np.cos(lon),
            across_m * np.sin(lon),
            radius_m * (1.0 - _ECCENTRICITY_2) * np.sin(lat),
        ],
        axis=-1,
    )
