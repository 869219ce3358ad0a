"""Reader of ns-2 movements: initial positions, and commands to move from an instant on.

A command overrides the one before, wherever the device is by then; a speed of 0 stops it. The order
of the lines does not matter. Devices are present from 0 s on for ever. Other lines and heights are
ignored.

Sources: The ns Manual, "Mobile Networking in ns" (set X_, set Y_, and setdest x y speed).
"""

from __future__ import annotations

import math
import re
from array import array
from collections.abc import Iterator

import numpy as np

from wnsim.core.units import Floats
from wnsim.mobility.trace_files import samples as bounds
from wnsim.mobility.trace_files.content import lines
from wnsim.mobility.trace_files.samples import LARGEST, Samples

_PLACE = re.compile(r"\s*\$node_\((\d{1,9})\)\s+set\s+([XY])_\s+(\S+)\s*")
_MOVE = re.compile(
    r'\s*\$ns_\s+at\s+(\S+)\s+"\s*\$node_\((\d{1,9})\)\s+setdest\s+(\S+)\s+(\S+)\s+([^\s"]+)\s*"\s*'
)
_ABOUT_MOTION = re.compile(r"\bsetdest\b|\b[XY]_")


def read_ns2(samples: Samples, content: Iterator[bytes]) -> None:
    """Read movements; devices are named by number."""
    samples.complete = samples.lasting = True
    places: dict[str, dict[str, float]] = {}
    # Commands: instant, line, x, y, speed.
    moves: dict[str, array[float]] = {}
    count = 0
    for line, text in enumerate(lines(samples, content), start=1):
        if text.lstrip().startswith("#"):
            continue
        if place := _PLACE.fullmatch(text):
            axes = places.setdefault(place[1], {})
            axes[place[2]] = samples.number(place[3], f"{place[2]}_", line)
        elif move := _MOVE.fullmatch(text):
            time_s, x_m, y_m, speed_mps = (
                samples.number(move[group], what, line)
                for group, what in ((1, "time"), (3, "x"), (4, "y"), (5, "speed"))
            )
            if time_s < 0.0 or speed_mps < 0.0:
                raise samples.error("time and speed must be at least 0", line)
            places.setdefault(move[2], {})
            track = moves.setdefault(move[2], array("d"))
            track.extend((time_s, line, x_m, y_m, speed_mps))
        elif _ABOUT_MOTION.search(text):
            raise samples.error(
                "a line about motion must be $node_(n) set X_ (or Y_) and a number, or "
                f'$ns_ at t "$node_(n) setdest x y speed", got {text[:60]!r}',
                line,
            )
        else:
            continue
        count += 1
        if count > bounds.MAX_SAMPLES:
            raise samples.error(
                f"a trace may have at most {bounds.MAX_SAMPLES} places and moves, got more", line
            )
        if len(places) > bounds.MAX_DEVICES:
            raise samples.error(
                f"a trace may have at most {bounds.MAX_DEVICES} devices, got more", line
            )
    for name, axes in places.items():
        for axis in "XY":
            if axis not in axes:
                raise samples.error(f"node {name} must have a place, has no {axis}_")
        commands = np.array(moves.get(name, ())).reshape(-1, 5)
        for time_s, x_m, y_m, line in _walk(samples, axes["X"], axes["Y"], commands):
            samples.add_at(name, time_s, x_m, y_m, line)


def _walk(
    samples: Samples, x_m: float, y_m: float, commands: Floats
) -> Iterator[tuple[float, float, float, int]]:
    """Yield the instants [s] and positions [m] at which a device starts, stops or turns."""
    # Last start, stop or turn of the device, and end of its move.
    here = there = (0.0, x_m, y_m, 1)
    yield here
    for row in commands[np.argsort(commands[:, 0], kind="stable")]:
        time_s, number, to_x_m, to_y_m, speed_mps = row.tolist()
        line = int(number)
        if there[0] <= time_s:
            if there[0] > here[0]:
                yield there
            here = there
            x_m, y_m = here[1:3]
        else:
            share = (time_s - here[0]) / (there[0] - here[0])
            x_m = here[1] + share * (there[1] - here[1])
            y_m = here[2] + share * (there[2] - here[2])
        if time_s > here[0]:
            here = (time_s, x_m, y_m, line)
            yield here
        there = here
        length_m = math.dist((x_m, y_m), (to_x_m, to_y_m))
        if speed_mps > 0.0:
            if length_m > speed_mps * LARGEST:
                raise samples.error(
                    f"speed must be 0 or reach the destination, got {speed_mps:g}", line
                )
            there = (time_s + length_m / speed_mps, to_x_m, to_y_m, line)
    if there[0] > here[0]:
        yield there
