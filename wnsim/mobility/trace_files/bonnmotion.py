"""Reader of BonnMotion movements: one line per device with its waypoints t x y.

A device moves straight from waypoint to waypoint and stays at the last one. With heights a waypoint
is t x y z; the file does not state which, so that `heights` has to be given. A device that never
moves is at its place from 0 s on; other numbers in lines of their own are no movement.

Sources: BonnMotion manual, "Native format".
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import pairwise

from wnsim.mobility.trace_files.content import lines
from wnsim.mobility.trace_files.samples import BadRowError, Samples

_LONGEST_LINE = 1 << 25
_FLAT, _SOLID = 3, 4


def read_bonnmotion(samples: Samples, content: Iterator[bytes], *, heights: bool = False) -> None:
    """Read movements; devices are named by number, from 0.

    Parameters
    ----------
    samples : receives the samples
    content : the file in pieces
    heights : whether a waypoint has a height
    """
    samples.complete = samples.lasting = True
    size = _SOLID if heights else _FLAT
    device = 0
    for line, text in enumerate(lines(samples, content, _LONGEST_LINE), start=1):
        words = text.split()
        if not words or words[0].startswith("#"):
            continue
        try:
            values = _values(samples, words, size, line)
            for first in range(0, len(values), size):
                time_s, x_m, y_m, *rest = values[first : first + size]
                z_m = rest[0] if rest else math.nan
                samples.add_at(str(device), time_s, x_m, y_m, line, z_m=z_m)
        except BadRowError as problem:
            samples.skip(problem)
        device += 1


def _values(samples: Samples, words: list[str], size: int, line: int) -> list[float]:
    """Return the numbers of a line, which must be waypoints."""
    if len(words) % size:
        hint = ""
        if size == _FLAT and _are_waypoints(words, _SOLID):
            hint = ", or 4 with the option heights: drop, above-ground or above-lowest"
        raise samples.bad_row(
            f"a line must have {size} values for each waypoint{hint}, got {len(words)}", line
        )
    values = [samples.number(word, "txyz"[n % size], line) for n, word in enumerate(words)]
    if len(values) == size and values[0] != 0.0:
        raise samples.bad_row(
            "a device without motion must have its only waypoint at 0 s, got "
            f"{values[0]:g} s; is this a file of BonnMotion?",
            line,
        )
    return values


def _are_waypoints(words: list[str], size: int) -> bool:
    """Return whether a line is at least two waypoints of a size, in order of time from 0 s on."""
    try:
        times_s = [float(word) for word in words[::size]]
    except ValueError:
        return False
    if len(words) % size or len(times_s) < 2 or not times_s[0] >= 0.0:
        return False
    return all(one < other for one, other in pairwise(times_s))
