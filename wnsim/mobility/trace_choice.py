"""Choice of what a run uses of a trace: from which instant on, and which devices."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime

import numpy as np

from wnsim.core.units import Floats
from wnsim.mobility.trace_files.tracks import Tracks

# Seconds from which on times are taken for Unix times, if a date is asked for; in 1973.
_UNIX_S = 1e8
_NAMED = 10


def window_start_s(start: float | str, tracks: Tracks) -> float:
    """Return the instant of a trace at which a run starts [s].

    Parameters
    ----------
    start : "auto", "first", seconds, or a date in ISO 8601
    tracks : content of the trace

    Raises
    ------
    ValueError
        if it is none of these, or a date and the trace has none
    """
    first_s = tracks.first_s
    if start == "first" or (start == "auto" and tracks.wall_clock):
        return first_s
    if start == "auto":
        return 0.0
    if not isinstance(start, str):
        return first_s + start if tracks.wall_clock else start
    try:
        when = datetime.fromisoformat(start)
    except ValueError:
        raise ValueError(
            f"start must be auto, first, seconds or a date in ISO 8601, got {start[:40]!r}"
        ) from None
    when = when if when.tzinfo is not None else when.replace(tzinfo=UTC)
    if tracks.origin is not None:
        return (when - tracks.origin).total_seconds()
    if first_s >= _UNIX_S:
        return when.timestamp()
    raise ValueError(f"start must be seconds or first, since the trace has no dates, got {start!r}")


def clipped(spans_s: Floats, end_s: float) -> Floats:
    """Return the parts of intervals (n, 2) from 0 s to an instant [s]."""
    inside = (spans_s[:, 1] >= 0.0) & (spans_s[:, 0] <= end_s)
    return np.clip(spans_s[inside], 0.0, end_s)


def chosen(
    tracks: Tracks,
    count: int,
    max_gap_s: float,
    end_s: float,
    *,
    ids: Sequence[str | int] | None = None,
    present_at: float | None = None,
    longest: bool = False,
) -> list[str]:
    """Return the names of the devices that a run uses.

    Parameters
    ----------
    tracks : content of the trace, with the start of the run at 0 s
    count : number of devices
    max_gap_s : longest time between two samples that is no absence [s]
    end_s : end of the part of the trace that is used [s]
    ids : names of the devices; None: those in order of appearance in the file
    present_at : instant at which devices must be present [s]
    longest : whether to take the devices that are longest present, in order of appearance

    Raises
    ------
    ValueError
        if there are not as many devices, or one that is named does not exist
    """
    if ids is not None:
        return _named([str(name) for name in ids], count, tracks)
    spans_s = {
        name: clipped(track.spans_s(max_gap_s, lasting=tracks.lasting), end_s)
        for name, track in tracks.by_name.items()
    }
    names = [name for name, spans in spans_s.items() if spans.size]
    condition = "" if math.isinf(end_s) else f" until {end_s:g} s"
    if present_at is not None:
        condition = f" at {present_at:g} s"
        names = [
            name
            for name in names
            if np.any((spans_s[name][:, 0] <= present_at) & (present_at <= spans_s[name][:, 1]))
        ]
    if count > len(names):
        raise ValueError(
            "the trace must have at least as many devices as the scenario, "
            f"got {len(names)} for {count}{condition}"
        )
    if longest:
        durations_s = {name: float(np.diff(spans_s[name]).sum()) for name in names}
        best = set(sorted(names, key=lambda name: -durations_s[name])[:count])
        return [name for name in names if name in best]
    return names[:count]


def _named(names: list[str], count: int, tracks: Tracks) -> list[str]:
    """Return names of devices, if they exist and are as many as needed."""
    if len(names) != count or len(set(names)) < len(names):
        raise ValueError(
            "ids must name each device of the scenario once, "
            f"got {len(set(names))} names for {count} devices"
        )
    for name in names:
        if name not in tracks.by_name:
            known = ", ".join(list(tracks.by_name)[:_NAMED])
            more = ", ..." if len(tracks.by_name) > _NAMED else ""
            raise ValueError(f"ids must be devices of the trace ({known}{more}), got {name[:40]!r}")
    return names
