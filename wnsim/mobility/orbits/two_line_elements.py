"""Orbits of two-line elements, propagated by SGP4.

Scope: the Earth turns by Greenwich mean sidereal time of the given date, UT1 taken as UTC, without
polar motion: no tables of the Earth's rotation are needed. The difference of at most 0.9 s moves a
site by up to 420 m, less than SGP4's own error of kilometers after some days.

Sources: Hoots and Roehrich, "Spacetrack report no. 3", 1980; Vallado, Crawford, Hujsak and Kelso,
"Revisiting spacetrack report #3", AIAA 2006-6753, whose code is the package sgp4; for the mean
sidereal time Vallado, "Fundamentals of astrodynamics and applications", 4th ed., eq. (3-45).
"""

from __future__ import annotations

import math
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

import numpy as np

from wnsim.core.files import opened
from wnsim.core.params import parameters
from wnsim.core.units import Floats, Ints
from wnsim.mobility.orbits.constellation import EQUATOR_M

_LARGEST_BYTES = 2_000_000
_MOST = 10_000
_LINE = 69
_DAY_S = 86_400.0
_JULIAN_2000 = 2_451_545.0


@parameters
class TwoLineElements:
    """Satellites of a file of two-line elements (`pip install "wnsim[satellite]"`).

    Parameters
    ----------
    file : path of the elements, two lines for each satellite, with or without a line with its name
    start : date and time of 0 s, in UTC unless it has an offset, such as 2026-03-01T12:00:00Z
    """

    file: str
    start: datetime
    model: Literal["tle"] = "tle"

    def constellation(self) -> PropagatedOrbits:
        """Return the satellites in the order of the file."""
        return PropagatedOrbits(_read(Path(self.file)), self.start)


class PropagatedOrbits:
    """Satellites propagated by SGP4; see `Constellation`.

    Parameters
    ----------
    elements : name and two lines of each satellite
    start : date and time of 0 s

    Raises
    ------
    ValueError
        if the library is missing, or elements are invalid at the start
    """

    def __init__(self, elements: list[tuple[str, str, str]], start: datetime) -> None:
        try:
            sgp4: Any = import_module("sgp4.api")
        except ImportError as error:
            raise ValueError(
                'two-line elements need sgp4: pip install "wnsim[satellite]"'
            ) from error
        utc = start.replace(tzinfo=UTC) if start.tzinfo is None else start.astimezone(UTC)
        since = utc - datetime(2000, 1, 1, 12, tzinfo=UTC)
        self._day, self._second = float(since.days), since.seconds + since.microseconds * 1e-6
        self.names = tuple(name for name, _, _ in elements)
        self._orbits = [sgp4.Satrec.twoline2rv(*lines) for _, *lines in elements]
        # Apogees; drag only lowers them.
        self.highest_m = 1.01 * EQUATOR_M * max(1.0 + each.alta for each in self._orbits)
        self.position_m(np.arange(len(elements)), np.zeros(1))

    def position_m(self, satellites: Ints, t_s: Floats) -> Floats:
        """Return Earth-fixed positions (n, T, 3) [m] of satellites (n,) at instants (T,) [s].

        Raises
        ------
        ValueError
            if SGP4 fails, as it does for a satellite that has decayed
        """
        t_s = np.asarray(t_s, dtype=np.float64)
        day = np.full(t_s.shape, _JULIAN_2000 + self._day)
        fraction = (self._second + t_s) / _DAY_S
        angle = _sidereal(self._day, fraction)
        found = np.empty((np.size(satellites), t_s.size, 3))
        for row, satellite in enumerate(np.asarray(satellites).tolist()):
            wrong, position_km, _ = self._orbits[satellite].sgp4_array(day, fraction)
            if wrong.any():
                number = int(np.flatnonzero(wrong)[0])
                raise ValueError(
                    f"SGP4 must find each satellite, got error {wrong[number]} for "
                    f"{self.names[satellite]} at {t_s[number]:g} s"
                )
            x, y, z = (position_km * 1e3).T
            found[row] = np.stack(
                [x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle), z],
                axis=-1,
            )
        return found


def _sidereal(day: float, fraction: Floats) -> Floats:
    """Return Greenwich mean sidereal time [rad] at days since 2000-01-01, 12 h, and fractions."""
    century = (day + fraction) / 36_525.0
    seconds = (
        67_310.54841 + (876_600.0 * 3600.0 + 8_640_184.812866) * century
        + 0.093104 * century**2 - 6.2e-6 * century**3
    )  # fmt: skip
    return np.asarray(np.mod(seconds, _DAY_S) * (2.0 * math.pi / _DAY_S))


def _read(path: Path) -> list[tuple[str, str, str]]:
    """Return name and two lines of each satellite of a file.

    Raises
    ------
    ValueError
        if it cannot be read, is too large, or has no elements
    """
    with opened(str(path), lambda what: ValueError(f"{path}: {what}")) as file:
        data = file.read(_LARGEST_BYTES + 1)
    if len(data) > _LARGEST_BYTES:
        raise ValueError(f"{path}: must have at most {_LARGEST_BYTES} bytes")
    lines = [line.rstrip() for line in data.decode("ascii", "replace").splitlines()]
    found: dict[str, tuple[str, str, str]] = {}
    name, first = "", ""
    for number, line in enumerate(lines, start=1):
        if line.startswith("1 ") and len(line) == _LINE:
            first = _checked(path, number, line)
        elif line.startswith("2 ") and len(line) == _LINE and first:
            title = name.removeprefix("0 ") or f"satellite-{first[2:7].strip()}"
            if title in found:
                raise ValueError(f"{path}, line {number}: a second satellite {title!r}")
            found[title] = title, first, _checked(path, number, line)
            name = first = ""
        elif line.strip():
            if first or line.startswith(("1 ", "2 ")):
                raise ValueError(
                    f"{path}, line {number}: must be a line of elements with {_LINE} characters, "
                    f"got {line[:30]!r}"
                )
            name = line.strip()
    if not found or len(found) > _MOST:
        raise ValueError(f"{path}: must have 1 to {_MOST} satellites, got {len(found)}")
    return list(found.values())


def _checked(path: Path, number: int, line: str) -> str:
    """Return a line of elements; its last digit is the sum of all others, a minus counting 1."""
    total = sum(int(each) if each.isdigit() else each == "-" for each in line[:-1]) % 10
    if line[-1] != str(total):
        raise ValueError(
            f"{path}, line {number}: must end with its checksum {total}, got {line[-1]!r}"
        )
    return line
