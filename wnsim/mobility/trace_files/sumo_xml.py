"""Reader of SUMO floating-car data in XML: vehicles and persons at every time step.

Sources: SUMO documentation, "FCDOutput" (elements timestep, vehicle and person; attributes time,
id, x, y; with the option for geographic output, x and y are longitude and latitude).
"""

from __future__ import annotations

from collections.abc import Iterator

from wnsim.mobility.trace_files.safe_xml import attribute, parse
from wnsim.mobility.trace_files.samples import Samples


def read_sumo_xml(samples: Samples, content: Iterator[bytes]) -> None:
    """Read floating-car data."""
    samples.degrees = None
    parse(samples, content, _Steps(samples))


class _Steps:
    """Handler of time steps and their devices."""

    def __init__(self, samples: Samples) -> None:
        self._samples = samples
        self._in_step = False

    def start(self, tag: str, attributes: dict[str, str], line: int) -> None:
        """Store a step's time, or a device's position."""
        samples = self._samples
        if tag == "timestep":
            time = attribute(samples, tag, attributes, "time", line)
            samples.advance(samples.number(time, "time", line), line)
            self._in_step = True
        elif tag in ("vehicle", "person") and self._in_step:
            name = attribute(samples, tag, attributes, "id", line)
            x = samples.number(attribute(samples, tag, attributes, "x", line), "x", line)
            y = samples.number(attribute(samples, tag, attributes, "y", line), "y", line)
            samples.add(name, x, y, line)

    def end(self, tag: str, text: str, line: int) -> None:
        """End a time step."""
        if tag == "timestep":
            self._in_step = False
