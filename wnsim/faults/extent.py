"""Which links and which places a fault concerns."""

from __future__ import annotations

import numpy as np

from wnsim.core.units import Floats, Ints
from wnsim.faults.kinds import Jamming, LinkOutage
from wnsim.mobility.motion import Bools


def concerns(blackout: LinkOutage, source: Ints, target: Ints) -> Bools:
    """Return which links (L,) a blackout concerns."""
    if not blackout.links and not blackout.devices:
        return np.ones(source.size, dtype=np.bool_)
    found = np.isin(source, blackout.devices) | np.isin(target, blackout.devices)
    for one, other in blackout.links:
        found |= (source == one) & (target == other) | (source == other) & (target == one)
    return np.asarray(found)


def inside(jamming: Jamming, places_m: Floats) -> Bools:
    """Return which places (..., 2) [m] are in an area."""
    if jamming.rectangle_m is not None:
        corners = np.array(jamming.rectangle_m)
        low, high = corners.min(axis=0), corners.max(axis=0)
        return np.asarray(((places_m >= low) & (places_m <= high)).all(axis=-1))
    apart_m = places_m - np.array(jamming.center_m)
    return np.asarray(np.hypot(apart_m[..., 0], apart_m[..., 1]) <= (jamming.radius_m or 0.0))


def area(jamming: Jamming) -> str:
    """Return an area in words."""
    if jamming.rectangle_m is not None:
        (x0, y0), (x1, y1) = jamming.rectangle_m
        return f"rectangle {x0:g},{y0:g} to {x1:g},{y1:g} m"
    x, y = jamming.center_m or (0.0, 0.0)
    return f"disc {x:g},{y:g} m, {jamming.radius_m or 0.0:g} m"
