"""Reader of SUMO floating-car data in XML: vehicles, persons and containers at every time step.

Sources: SUMO documentation, "FCDOutput" (elements timestep, vehicle, person and container;
attributes time, id, x, y, z, speed; with the option for geographic output, x and y are longitude
and latitude).
"""

from __future__ import annotations

from collections.abc import Iterator

from wnsim.mobility.trace_files.clock import clock_s
from wnsim.mobility.trace_files.safe_xml import attribute, parse
from wnsim.mobility.trace_files.samples import BadRowError, Samples

_KINDS = ("vehicle", "person", "container")


def read_sumo_xml(samples: Samples, content: Iterator[bytes]) -> None:
    """Read floating-car data."""
    samples.degrees = None
    parse(samples, content, _Steps(samples), root="fcd-export")


class _Steps:
    """Handler of time steps and their devices."""

    def __init__(self, samples: Samples) -> None:
        self._samples = samples
        self._in_step = False

    def start(self, tag: str, attributes: dict[str, str], line: int) -> None:
        """Store a step's time, or a device's position."""
        try:
            if tag == "timestep":
                self._in_step = False
                time = attribute(self._samples, tag, attributes, "time", line)
                self._samples.advance(clock_s(self._samples, time, "time", line), line)
                self._in_step = True
            elif tag in _KINDS and self._in_step:
                self._add(tag, attributes, line)
        except BadRowError as problem:
            self._samples.skip(problem)

    def end(self, tag: str, text: str, line: int) -> None:
        """End a time step."""
        if tag == "timestep":
            self._in_step = False

    def _add(self, tag: str, attributes: dict[str, str], line: int) -> None:
        """Add the position of a device."""
        samples = self._samples
        name, x, y = (attribute(samples, tag, attributes, each, line) for each in ("id", "x", "y"))
        # Vehicles of the mesoscopic model have no lane, and move in hops.
        if tag == "vehicle" and ("lane" in attributes or "edge" not in attributes):
            samples.teleporting = True
        samples.add(
            name,
            samples.number(x, "x", line),
            samples.number(y, "y", line),
            line,
            kind=tag,
            z_m=samples.optional(attributes.get("z")),
            speed_mps=samples.optional(attributes.get("speed")),
        )
