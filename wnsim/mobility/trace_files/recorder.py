"""Points of a recorder of satellite positions, with times as dates."""

from __future__ import annotations

import math
from datetime import datetime

from wnsim.mobility.trace_files.samples import BadRowError, Samples

# Points with the same time that a recorder can have.
_MOST_AT_ONCE = 1000


class Recorder:
    """Points of one device, in order of time; see `Samples`.

    Recorders that write whole seconds, but more than one point a second, write equal times; such
    points are spread evenly over the time until the next one, at most a second.

    Parameters
    ----------
    samples : receives the points
    name : name of the device
    """

    def __init__(self, samples: Samples, name: str) -> None:
        self._samples = samples
        self._name = name
        # Points with one time: longitude, latitude, height, line.
        self._group: list[tuple[float, float, float, int]] = []
        self._time_s = self._ended_s = -math.inf
        self._whole = False

    def point(
        self, when: datetime, lon: float, lat: float, line: int, z_m: float = math.nan
    ) -> None:
        """Add a point.

        Parameters
        ----------
        when : date and time; UTC without an offset
        lon, lat : longitude and latitude [degrees]
        line : line of the file
        z_m : height [m], NaN if unknown

        Raises
        ------
        BadRowError
            if the position is out of range
        """
        self.point_at(self._samples.elapsed_s(when), lon, lat, line, z_m, not when.microsecond)

    def point_at(
        self,
        time_s: float,
        lon: float,
        lat: float,
        line: int,
        z_m: float = math.nan,
        whole: bool = True,
    ) -> None:
        """Add a point at an instant [s], which may be that of a whole second; see `point`."""
        self._samples.place_deg(lon, lat, line)
        # A segment may begin with the point that ended the one before.
        if time_s == self._ended_s:
            return
        if time_s != self._time_s or len(self._group) == _MOST_AT_ONCE:
            self._flush(time_s)
            self._time_s, self._whole = time_s, whole
        elif (lon, lat) == self._group[-1][:2]:
            return
        self._group.append((lon, lat, z_m, line))

    def end(self) -> None:
        """End a segment, after which the device is absent until the next point."""
        self._flush(math.inf)
        self._samples.end_segment(self._name)
        self._ended_s, self._time_s = self._time_s, -math.inf

    def _flush(self, next_s: float) -> None:
        """Pass on the points with the current time."""
        group, self._group = self._group, []
        share_s = 0.0
        if self._whole and group:
            share_s = min(max(next_s - self._time_s, 0.0), 1.0) / len(group)
        for number, (lon, lat, z_m, line) in enumerate(group):
            time_s = self._time_s + number * share_s
            try:
                self._samples.add_at(self._name, time_s, lon, lat, line, z_m=z_m)
            except BadRowError as problem:
                self._samples.skip(problem)
