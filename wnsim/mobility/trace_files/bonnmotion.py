"""Reader of BonnMotion movements: one line per device with its waypoints t x y.

A device moves straight from waypoint to waypoint and stays at the last one. With heights a waypoint
is t x y z; the file does not state which, so that `heights` has to be given.

Sources: BonnMotion manual, "Native format".
"""

from __future__ import annotations

from collections.abc import Iterator

from wnsim.mobility.trace_files.content import lines
from wnsim.mobility.trace_files.samples import Samples

_LONGEST_LINE = 1 << 25


def read_bonnmotion(samples: Samples, content: Iterator[bytes], *, heights: bool = False) -> None:
    """Read movements; devices are named by number, from 0.

    Parameters
    ----------
    samples : receives the samples
    content : the file in pieces
    heights : whether a waypoint has a height, which is dropped
    """
    samples.complete = samples.lasting = True
    size = 4 if heights else 3
    device = 0
    for line, text in enumerate(lines(samples, content, _LONGEST_LINE), start=1):
        words = text.split()
        if not words or words[0].startswith("#"):
            continue
        if len(words) % size:
            hint = "" if heights or len(words) % 4 else ", or 4 with the option heights: drop"
            raise samples.error(
                f"a line must have {size} values for each waypoint{hint}, got {len(words)}", line
            )
        for first in range(0, len(words), size):
            time_s, x_m, y_m = (
                samples.number(word, what, line)
                for word, what in zip(words[first : first + 3], ("t", "x", "y"), strict=True)
            )
            samples.add_at(str(device), time_s, x_m, y_m, line)
        device += 1
