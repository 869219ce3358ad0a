"""Propagation paths between traced points, as files hold them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wnsim.core.units import Floats

Singles = NDArray[np.float32]

# Most paths of a file, absent ones included, and most of its points.
MAX_PATHS = 20_000_000
MAX_POINTS = 2_000_000
# Largest coordinate [m] and delay [s], and least gain [dB]; a passive link has none above 0 dB.
_FARTHEST_M, _LONGEST_S, _LEAST_DB = 1e7, 1e-2, -1000.0


@dataclass(frozen=True)
class TracedPaths:
    """Paths from T transmitters to R receivers, at most P from one to the other.

    Parameters
    ----------
    file : path of the file, for messages
    frequency_hz : carrier frequency [Hz]
    tx_m, rx_m : (T, 3) and (R, 3) positions [m]
    gain_db : (T, R, P) power gain of each path, antennas included [dB]; NaN: there is none
    phase_deg : (T, R, P) phase at the receiver, that of the carrier over the path included
        [degrees]; none: unknown, as in a map of gains, so that powers are added
    delay_s : (T, R, P) delay [s]; none: unknown, so that all subbands are equal
    arrival_deg, departure_deg : (T, R, P, 2) azimuth from the x axis and zenith angle of the
        directions from the receiver, and from the transmitter, into which the path leads
        [degrees]; none: unknown, so that a displacement does not change phases
    interactions : (T, R, P) numbers of sequences of interactions, equal for paths that may be one
        at neighboring receivers; none: any may

    Raises
    ------
    ValueError
        if shapes, values or sizes are not as they must be
    """

    file: str
    frequency_hz: float
    tx_m: Floats
    rx_m: Floats
    gain_db: Singles
    phase_deg: Singles | None = None
    delay_s: Floats | None = None
    arrival_deg: Singles | None = None
    departure_deg: Singles | None = None
    interactions: NDArray[np.int64] | None = None

    def __post_init__(self) -> None:
        if not 1e6 <= self.frequency_hz <= 1e12:
            raise self.error(f"frequency_hz must be from 1e6 to 1e12, got {self.frequency_hz:g}")
        for name in ("tx_m", "rx_m"):
            self._check_points(name, getattr(self, name))
        shape = (len(self.tx_m), len(self.rx_m))
        if self.gain_db.ndim != 3 or self.gain_db.shape[:2] != shape:
            raise self.error(
                f"gain_db must have the shape (T, R, P) with T = {shape[0]} transmitters and "
                f"R = {shape[1]} receivers, got {self.gain_db.shape}"
            )
        if self.gain_db.size > MAX_PATHS:
            raise self.error(f"there may be at most {MAX_PATHS} paths, got {self.gain_db.size}")
        there = ~np.isnan(self.gain_db)
        if not there.any():
            raise self.error("gain_db must have at least one path, and all of it is NaN")
        _check_values(self, "gain_db", self.gain_db, there, (_LEAST_DB, 0.0))
        for name, last, span in (
            ("phase_deg", (), (-1e9, 1e9)),
            ("delay_s", (), (0.0, _LONGEST_S)),
            ("arrival_deg", (2,), (-720.0, 720.0)),
            ("departure_deg", (2,), (-720.0, 720.0)),
            ("interactions", (), (-(2.0**62), 2.0**62)),
        ):
            values = getattr(self, name)
            if values is None:
                continue
            if values.shape != self.gain_db.shape + last:
                raise self.error(
                    f"{name} must have the shape {self.gain_db.shape + last}, got {values.shape}"
                )
            _check_values(self, name, values, there, span)
        if self.delay_s is not None and self.phase_deg is None:
            raise self.error("delay_s needs phase_deg: paths of unknown phase have no response")

    def _check_points(self, name: str, points_m: Floats) -> None:
        if points_m.ndim != 2 or points_m.shape[1] != 3 or not len(points_m):
            raise self.error(f"{name} must have the shape (number, 3), got {points_m.shape}")
        if len(points_m) > MAX_POINTS:
            raise self.error(f"{name} may have at most {MAX_POINTS} points, got {len(points_m)}")
        far = ~(np.abs(points_m) <= _FARTHEST_M)
        if far.any():
            raise self.error(
                f"{name} must be from {-_FARTHEST_M:g} to {_FARTHEST_M:g} m, "
                f"got {float(points_m[far][0]):g}"
            )

    def error(self, what: str) -> ValueError:
        """Return an error of the file."""
        return ValueError(f"{self.file}: {what}")

    @property
    def coverage(self) -> float:
        """Fraction of the receivers with a path from any transmitter."""
        return float((~np.isnan(self.gain_db).all(axis=(0, 2))).mean())

    @property
    def summary(self) -> str:
        """What the file has, in words."""
        low_m, high_m = self.rx_m.min(axis=0), self.rx_m.max(axis=0)
        return (
            f"{len(self.tx_m)} transmitter{'s' * (len(self.tx_m) > 1)} and {len(self.rx_m)} "
            f"receiver{'s' * (len(self.rx_m) > 1)} from ({low_m[0]:g}, {low_m[1]:g}) to "
            f"({high_m[0]:g}, {high_m[1]:g}) m, {self.coverage:.0%} of them with paths, at "
            f"{self.frequency_hz / 1e9:g} GHz"
        )


def _check_values(
    paths: TracedPaths,
    name: str,
    values: NDArray[Any],
    there: NDArray[np.bool_],
    span: tuple[float, float],
) -> None:
    """Raise ValueError for a value of a path that is out of bounds, or not a number."""
    found = values[there]
    # A comparison with NaN is false.
    bad = ~((found >= span[0]) & (found <= span[1]))
    if bad.any():
        first = float(found[bad].flat[0])
        raise paths.error(
            f"{name} of a path must be from {span[0]:g} to {span[1]:g}, got {first:g}"
        )
