"""Plausibility of coordinates that a file does not name: meters, or longitude and latitude."""

from __future__ import annotations

import numpy as np

from wnsim.mobility.trace_files.tracks import Tracks

# Fastest motion that is still taken for degrees [degrees/s]; 2 km/s, or 2 cm/s if it were meters.
_FASTEST_DEG_PER_S = 0.02
# Extent in which several resting devices are taken for degrees; half a meter if it were meters.
_CROWD_DEG = 0.5
_WIDEST_DEG = 10.0


def looks_geographic(tracks: Tracks) -> bool:
    """Return whether positions can only be longitudes and latitudes.

    They are in range and within 10 degrees; and all motion is slower than 0.02 units per second,
    or, if nothing moves, several devices are within half a unit.
    """
    places = np.concatenate([track.samples[:, 1:] for track in tracks.by_name.values()])
    low, high = places.min(axis=0), places.max(axis=0)
    if low[0] < -180.0 or high[0] > 180.0 or low[1] < -90.0 or high[1] > 90.0:
        return False
    extent = float(np.max(high - low))
    if extent > _WIDEST_DEG:
        return False
    fastest = 0.0
    for track in tracks.by_name.values():
        moves, _ = track.steps(np.inf)
        speeds = np.hypot(moves[:, 1], moves[:, 2]) / moves[:, 0]
        fastest = max(fastest, float(np.max(speeds, initial=0.0)))
    if fastest > 0.0:
        return fastest < _FASTEST_DEG_PER_S
    return 0.0 < extent < _CROWD_DEG
