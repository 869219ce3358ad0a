"""Heights of a trace above the ground, which is flat here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from wnsim.core.units import Floats
from wnsim.mobility.trace_files.tracks import Tracks

# Largest height above the ground [m], as of `devices.height_m`.
_HIGHEST_M = 1e5
# Heights so far below the ground are hardly errors of a receiver [m].
_DEEP_M = 20.0
_NAMED = 3


def without_heights(tracks: Tracks) -> Tracks:
    """Return tracks without their heights."""
    return tracks.only(
        {name: replace(track, heights_m=None) for name, track in tracks.by_name.items()}
    )


def above_ground(tracks: Tracks, ground_m: float | None) -> Tracks:
    """Return tracks with heights above the ground, at least 0, interpolated where there are none.

    Parameters
    ----------
    tracks : content of a trace, with the heights of the file
    ground_m : height of the ground in the heights of the file [m]; none: the lowest one of all

    Raises
    ------
    ValueError
        if the trace has no heights, or one is too large
    """
    known_m = {
        name: track.heights_m
        for name, track in tracks.by_name.items()
        if track.heights_m is not None
    }
    if not known_m:
        raise ValueError("the trace has no heights: leave out the key heights")
    if ground_m is None:
        ground_m = min(float(np.nanmin(heights_m)) for heights_m in known_m.values())
    by_name = dict(tracks.by_name)
    missing, deepest_m = 0, 0.0
    for name, found_m in known_m.items():
        track = tracks.by_name[name]
        missing += int(np.count_nonzero(np.isnan(found_m)))
        heights_m = _filled(track.samples[:, 0], found_m) - ground_m
        if heights_m.max() > _HIGHEST_M:
            raise ValueError(
                f"a height must be at most {_HIGHEST_M:g} m above the ground, got "
                f"{heights_m.max():g} m of device {name!r}"
            )
        deepest_m = max(deepest_m, -float(heights_m.min()))
        by_name[name] = replace(track, heights_m=np.maximum(heights_m, 0.0))
    notes = []
    if missing:
        notes.append(f"{missing} samples without a height: interpolated in time")
    if deepest_m > _DEEP_M:
        notes.append(
            f"heights of the trace reach {deepest_m:g} m below the ground at {ground_m:g} m, where "
            "devices.height_m holds; ground_m says where the ground is"
        )
    return tracks.only(by_name).noting(*notes)


def check_heights(tracks: Tracks, names: Sequence[str]) -> None:
    """Raise ValueError unless each of some devices has heights."""
    bare = [name for name in names if tracks.by_name[name].heights_m is None]
    if bare:
        named = ", ".join(repr(name) for name in bare[:_NAMED])
        more = ", ..." if len(bare) > _NAMED else ""
        raise ValueError(
            "each device must have heights in the trace, or the key heights be left out, "
            f"got none for {len(bare)} of {len(names)}: {named}{more}"
        )


def _filled(when_s: Floats, heights_m: Floats) -> Floats:
    """Return heights (S,) [m] at instants (S,) [s], those that are NaN interpolated."""
    known = np.isfinite(heights_m)
    return np.interp(when_s, when_s[known], heights_m[known])
