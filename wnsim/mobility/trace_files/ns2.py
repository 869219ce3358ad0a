"""Reader of ns-2 movements: initial positions, and commands to move from an instant on.

A command overrides the one before, wherever the device is by then; a speed of 0 stops it. A command
may also set a coordinate, which places the device anew and stops it; heights change so alone. The
order of the lines does not matter. Devices are present from 0 s on for ever. Other lines are
ignored.

Sources: The ns Manual, "Mobile Networking in ns" (set X_, set Y_, set Z_, and setdest x y speed);
ns-3 documentation, Ns2MobilityHelper (set X_ at an instant, commands without quotation marks).
"""

from __future__ import annotations

import math
import re
from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field

from wnsim.mobility.trace_files import samples as bounds
from wnsim.mobility.trace_files.content import lines
from wnsim.mobility.trace_files.samples import LARGEST, BadRowError, Samples

_NODE = r"\$(?:node_?|mobile_?|n)\((\d{1,9})\)"
_END = r"\s*;?\s*(?:#.*)?"
_PLACE = re.compile(rf"\s*{_NODE}\s+set\s+([XYZ])_\s+(\S+?){_END}")
_PLACE_AT = re.compile(
    rf'\s*\$ns_?\s+at\s+(\S+)\s+"?\s*{_NODE}\s+set\s+([XYZ])_\s+([^\s";]+)\s*"?{_END}'
)
_MOVE = re.compile(
    rf'\s*\$ns_?\s+at\s+(\S+)\s+"?\s*{_NODE}\s+setdest\s+(\S+)\s+(\S+)\s+([^\s";]+)\s*"?{_END}'
)
# Values of a command: instant, line, x, y, z, speed.
_WIDTH = 6
_AXES = "XYZ"
_ABOUT_MOTION = re.compile(r"\bsetdest\b|\bset\s+[XYZ]_")


@dataclass
class _Node:
    """Commands of one node.

    Parameters
    ----------
    places : initial coordinates by axis
    commands : instant, line, x, y, z, speed each; NaN for an axis that is not set, and for the
        speed of a command that sets a coordinate
    """

    places: dict[str, float] = field(default_factory=dict)
    commands: array[float] = field(default_factory=lambda: array("d"))


def read_ns2(samples: Samples, content: Iterator[bytes]) -> None:
    """Read movements; devices are named by number."""
    samples.complete = samples.lasting = True
    nodes: dict[str, _Node] = {}
    count = 0
    for line, text in enumerate(lines(samples, content), start=1):
        if text.lstrip().startswith("#"):
            continue
        try:
            count += _command(samples, nodes, text, line)
        except BadRowError as problem:
            samples.skip(problem)
        if count > bounds.MAX_SAMPLES:
            raise samples.error(
                f"a trace may have at most {bounds.MAX_SAMPLES} places and moves, got more", line
            )
        if len(nodes) > bounds.MAX_DEVICES:
            raise samples.error(
                f"a trace may have at most {bounds.MAX_DEVICES} devices, got more", line
            )
    for name, node in nodes.items():
        commands = _ordered(node)
        try:
            start = _start(samples, name, node, commands)
            for time_s, x_m, y_m, z_m, line, jumps in _walk(samples, start, commands):
                samples.add_at(name, time_s, x_m, y_m, line, z_m=z_m, jumps=jumps)
        except BadRowError as problem:
            samples.skip(problem)


def _command(samples: Samples, nodes: dict[str, _Node], text: str, line: int) -> bool:
    """Store the command of a line, if it is about motion; return whether it is."""
    if place := _PLACE.fullmatch(text):
        value = samples.number(place[3], f"{place[2]}_", line)
        nodes.setdefault(place[1], _Node()).places[place[2]] = value
    elif place := _PLACE_AT.fullmatch(text):
        time_s = samples.number(place[1], "time", line)
        value = samples.number(place[4], f"{place[3]}_", line)
        _check(samples, time_s, 0.0, line)
        axes = [value if axis == place[3] else math.nan for axis in _AXES]
        commands = nodes.setdefault(place[2], _Node()).commands
        commands.extend((time_s, line, *axes, math.nan))
    elif move := _MOVE.fullmatch(text):
        time_s, x_m, y_m, speed_mps = (
            samples.number(move[group], what, line)
            for group, what in ((1, "time"), (3, "x"), (4, "y"), (5, "speed"))
        )
        _check(samples, time_s, speed_mps, line)
        commands = nodes.setdefault(move[2], _Node()).commands
        commands.extend((time_s, line, x_m, y_m, math.nan, speed_mps))
    elif _ABOUT_MOTION.search(text.partition("#")[0]):
        raise samples.bad_row(
            "a line about motion must be $node_(n) set X_ (or Y_) and a number, or "
            f'$ns_ at t "$node_(n) setdest x y speed", got {text[:60]!r}',
            line,
        )
    else:
        return False
    return True


def _check(samples: Samples, time_s: float, speed_mps: float, line: int) -> None:
    """Raise BadRowError unless time and speed are possible."""
    if time_s < 0.0 or speed_mps < 0.0:
        raise samples.bad_row("time and speed must be at least 0", line)


def _ordered(node: _Node) -> list[list[float]]:
    """Return the commands of a node in order of time.

    Coordinates that are set at one instant are one command, ahead of the motion of that instant.
    """
    flat = node.commands.tolist()
    rows = [flat[first : first + _WIDTH] for first in range(0, len(flat), _WIDTH)]
    rows.sort(key=lambda row: (row[0], not math.isnan(row[-1])))
    merged: list[list[float]] = []
    for row in rows:
        last = merged[-1] if merged else None
        placed = math.isnan(row[-1]) and last is not None and math.isnan(last[-1])
        if last is not None and placed and row[0] == last[0]:
            last[2:5] = [_given(*pair) for pair in zip(row[2:5], last[2:5], strict=True)]
        else:
            merged.append(row)
    return merged


def _given(value: float, otherwise: float) -> float:
    """Return a value, or another one if it is NaN."""
    return otherwise if math.isnan(value) else value


def _start(samples: Samples, name: str, node: _Node, commands: list[list[float]]) -> list[float]:
    """Return the initial position of a node, which may be that of its first command.

    A command that sets coordinates at 0 s is consumed. The height is NaN if there is none.
    """
    places = [node.places.get(axis, math.nan) for axis in _AXES]
    if commands and math.isnan(commands[0][-1]):
        first = commands[0][2:5]
        if commands[0][0] == 0.0:
            del commands[0]
            places = [_given(*pair) for pair in zip(first, places, strict=True)]
        places = [_given(*pair) for pair in zip(places, first, strict=True)]
    for axis, value in zip(_AXES, places, strict=True):
        if axis != "Z" and math.isnan(value):
            line = int(commands[0][1]) if commands else 1
            raise samples.bad_row(f"node {name} must have a place, has no {axis}_", line)
    return places


def _walk(
    samples: Samples, start_m: list[float], commands: list[list[float]]
) -> Iterator[tuple[float, float, float, float, int, bool]]:
    """Yield the instants [s] and positions [m] at which a device starts, stops, turns or is placed.

    The last value is the line, and whether the device is placed there.
    """
    # Last start, stop or turn of the device, and end of its move.
    x_m, y_m, z_m = start_m
    here = there = (0.0, x_m, y_m, z_m, 1)
    yield *here, False
    for time_s, number, to_x_m, to_y_m, to_z_m, speed_mps in commands:
        line, placed = int(number), math.isnan(speed_mps)
        if there[0] <= time_s:
            # The end of a move must precede a new place.
            if there[0] > here[0] and not (placed and there[0] == time_s):
                yield *there, False
                here = there
            x_m, y_m = there[1:3]
        else:
            share = (time_s - here[0]) / (there[0] - here[0])
            x_m = here[1] + share * (there[1] - here[1])
            y_m = here[2] + share * (there[2] - here[2])
        if placed:
            before_s = math.nextafter(time_s, -math.inf)
            if before_s > here[0]:
                yield before_s, x_m, y_m, z_m, line, False
            x_m, y_m, z_m = _given(to_x_m, x_m), _given(to_y_m, y_m), _given(to_z_m, z_m)
            here = there = (time_s, x_m, y_m, z_m, line)
            yield *here, True
            continue
        if time_s > here[0]:
            here = (time_s, x_m, y_m, z_m, line)
            yield *here, False
        there = here
        length_m = math.dist((x_m, y_m), (to_x_m, to_y_m))
        if speed_mps > 0.0:
            if length_m > speed_mps * LARGEST:
                raise samples.bad_row(
                    f"speed must be 0 or reach the destination, got {speed_mps:g}", line
                )
            there = (time_s + length_m / speed_mps, to_x_m, to_y_m, z_m, line)
    if there[0] > here[0]:
        yield *there, False
