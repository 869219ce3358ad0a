"""Geography: distances in the plane against the geodesic on the ellipsoid."""

import numpy as np
import pytest
from numpy.typing import NDArray

from wnsim.mobility.geography import plane_m

# WGS 84.
AXIS_M, FLATTENING = 6_378_137.0, 1 / 298.257223563


def vincenty_m(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    """Return the length of the geodesic between two places, by Vincenty's inverse formula."""
    (lon_1, lat_1), (lon_2, lat_2) = np.radians(one), np.radians(other)
    minor_m = AXIS_M * (1 - FLATTENING)
    u1, u2 = (np.arctan((1 - FLATTENING) * np.tan(lat)) for lat in (lat_1, lat_2))
    lam = lon_2 - lon_1
    for _ in range(50):
        sin_sigma = np.hypot(
            np.cos(u2) * np.sin(lam),
            np.cos(u1) * np.sin(u2) - np.sin(u1) * np.cos(u2) * np.cos(lam),
        )
        cos_sigma = np.sin(u1) * np.sin(u2) + np.cos(u1) * np.cos(u2) * np.cos(lam)
        sigma = np.arctan2(sin_sigma, cos_sigma)
        sin_a = np.cos(u1) * np.cos(u2) * np.sin(lam) / sin_sigma
        cos2_a = 1 - sin_a**2
        cos_2m = cos_sigma - 2 * np.sin(u1) * np.sin(u2) / cos2_a if cos2_a > 1e-12 else 0.0
        c = FLATTENING / 16 * cos2_a * (4 + FLATTENING * (4 - 3 * cos2_a))
        inner = cos_2m + c * cos_sigma * (2 * cos_2m**2 - 1)
        lam = lon_2 - lon_1 + (1 - c) * FLATTENING * sin_a * (sigma + c * sin_sigma * inner)
    square = cos2_a * (AXIS_M**2 - minor_m**2) / minor_m**2
    a = 1 + square / 16384 * (4096 + square * (-768 + square * (320 - 175 * square)))
    b = square / 1024 * (256 + square * (-128 + square * (74 - 47 * square)))
    last = cos_sigma * (2 * cos_2m**2 - 1) - b / 6 * cos_2m * (4 * sin_sigma**2 - 3) * (
        4 * cos_2m**2 - 3
    )
    return float(minor_m * a * (sigma - b * sin_sigma * (cos_2m + b / 4 * last)))


def test_vincenty() -> None:
    # A quarter of the meridian is 10,001,965.729 m; a degree of the equator 111,319.4908 m.
    equator, pole = np.array([0.0, 0.0]), np.array([0.0, 90.0])
    assert vincenty_m(equator, pole) == pytest.approx(10_001_965.729, abs=0.01)
    assert vincenty_m(equator, np.array([1.0, 0.0])) == pytest.approx(111_319.4908, abs=1e-3)


@pytest.mark.parametrize("middle_deg", [(0.0, 0.0), (8.5, 47.4), (179.9, -33.0), (-70.0, 78.0)])
@pytest.mark.parametrize(("extent_m", "error"), [(5e3, 5e-7), (50e3, 2e-5), (450e3, 2e-3)])
def test_projection_keeps_distances(
    middle_deg: tuple[float, float], extent_m: float, error: float
) -> None:
    draws = np.random.default_rng(1)
    places_m = draws.uniform(-extent_m, extent_m, (60, 2)) / np.sqrt(2)
    scale = 111_000.0 * np.array([np.cos(np.radians(middle_deg[1])), 1.0])
    places_deg = np.clip(np.array(middle_deg) + places_m / scale, None, [np.inf, 89.9])
    places_deg[:, 0] = (places_deg[:, 0] + 180.0) % 360.0 - 180.0
    plane = plane_m(places_deg)
    assert np.min(plane, axis=0) == pytest.approx([0.0, 0.0])
    worst = max(
        abs(np.hypot(*(plane[i] - plane[j])) / vincenty_m(places_deg[i], places_deg[j]) - 1.0)
        for i in range(0, 60, 3)
        for j in range(i)
    )
    assert worst < error
