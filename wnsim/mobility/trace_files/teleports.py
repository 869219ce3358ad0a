"""Teleports of SUMO's vehicles, which no motion explains."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from wnsim.core.units import Floats
from wnsim.mobility.motion import Bools
from wnsim.mobility.trace_files.tracks import Track, Tracks

# A move is a teleport if it is longer than the device's highest stated speed allows by this factor
# and distance [m], or without stated speeds faster than any vehicle on the ground [m/s].
_FACTOR = 1.5
_MARGIN_M = 10.0
_FASTEST_MPS = 150.0
# Share of moves from which on the stated speeds are not those of the motion.
_TOO_MANY = 0.1
_NAMED = 3


def without_teleports(tracks: Tracks, max_gap_s: float) -> Tracks:
    """Return tracks whose devices are absent during teleports, and a note about them.

    Parameters
    ----------
    tracks : tracks with positions in meters
    max_gap_s : longest time between two samples that is no absence [s]
    """
    steps = {name: track.steps(max_gap_s) for name, track in tracks.by_name.items()}
    far = {
        name: _too_far(steps[name][0], track.top_speed_mps)
        for name, track in tracks.by_name.items()
    }
    if sum(map(np.sum, far.values())) > _TOO_MANY * sum(map(np.size, far.values())):
        far = {name: _too_far(moves, None) for name, (moves, _) in steps.items()}
    found: list[str] = []
    by_name: dict[str, Track] = {}
    for name, track in tracks.by_name.items():
        jumps = steps[name][1][far[name]]
        by_name[name] = replace(track, breaks=np.union1d(track.breaks, jumps).astype(np.int64))
        found += [f"{name!r} before {track.samples[place, 0]:g} s" for place in jumps.tolist()]
    if not found:
        return tracks
    named = ", ".join(found[:_NAMED]) + (", ..." if len(found) > _NAMED else "")
    times = (
        "1 teleport is an absence" if len(found) == 1 else f"{len(found)} teleports are absences"
    )
    return tracks.only(by_name).noting(f"{times}: {named}")


def _too_far(moves: Floats, top_speed_mps: float | None) -> Bools:
    """Return (n,) whether moves (n, 3) of duration [s] and displacement [m] are teleports."""
    most_m = _FASTEST_MPS * moves[:, 0]
    if top_speed_mps is not None:
        most_m = _FACTOR * top_speed_mps * moves[:, 0] + _MARGIN_M
    too_far: Bools = np.hypot(moves[:, 1], moves[:, 2]) > most_m
    return too_far
