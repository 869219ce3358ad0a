"""Interface of mobility models."""

from __future__ import annotations

import math
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from wnsim.core.units import Floats, Ints

Bools = NDArray[np.bool_]


class Motion(Protocol):
    """Positions and presence of devices: pure functions of seed, device and time.

    Attributes
    ----------
    names : one name per device
    max_speed_mps : upper bound of all devices' speed [m/s]

    Notes
    -----
    A motion in which devices rise and sink also has `height_bounds_m`, the lowest and the highest
    height of each device over time, (N,) and (N,) [m], and `height_m(devices, t_s)`, their heights
    (n, T) above the ground at instants [m]. Antennas are there, and at least at `devices.height_m`.
    """

    names: tuple[str, ...]
    max_speed_mps: float

    def position_m(self, devices: Ints, t_s: Floats) -> Floats:
        """Return positions (n, T, 2) [m] of devices (n,) at instants (T,) [s].

        Before 0 s the position is that at 0 s; while a device is absent, it is arbitrary but
        finite.
        """
        ...

    def present(self, devices: Ints, t_s: Floats) -> Bools:
        """Return (n, T) whether devices (n,) are present at instants (T,) [s]."""
        ...

    def next_change_s(self, t_s: float) -> float:
        """Return the first instant after t at which a device appears or vanishes, or inf [s]."""
        ...

    def presence_end_s(self, device: int, t_s: float) -> float:
        """Return when a device that is present at t vanishes, or inf [s]."""
        ...


class Mobility(Protocol):
    """Interface of the parameters of a mobility model."""

    def motion(self, count: int, area_m: tuple[float, float], seed: int) -> Motion:
        """Return the motion of devices.

        Parameters
        ----------
        count : number of devices
        area_m : width and height of the area, which starts at (0, 0) [m]
        seed : seed of the scenario
        """
        ...


def first_presence_s(motion: Motion, until_s: float = math.inf) -> float:
    """Return the first instant from 0 s on at which a device is present [s].

    Parameters
    ----------
    motion : motion of the devices
    until_s : last instant that counts [s]

    Returns
    -------
    the instant; infinite if no device is present until then
    """
    devices, t_s = np.arange(len(motion.names)), 0.0
    while t_s <= until_s and not math.isinf(t_s):
        if np.any(motion.present(devices, np.array([t_s]))):
            return t_s
        t_s = motion.next_change_s(t_s)
    return math.inf


class AlwaysPresent:
    """Part of a motion whose devices are always present."""

    def present(self, devices: Ints, t_s: Floats) -> Bools:
        """Return (n, T) true."""
        return np.ones((np.size(devices), np.size(t_s)), dtype=np.bool_)

    def next_change_s(self, t_s: float) -> float:
        """Return inf."""
        return float("inf")

    def presence_end_s(self, device: int, t_s: float) -> float:
        """Return inf."""
        return float("inf")


def always_present(motion: Motion) -> bool:
    """Return whether it is known without a request that no device of a motion is ever absent."""
    kind: Any = type(motion)
    return all(
        getattr(kind, name, None) is getattr(AlwaysPresent, name)
        for name in ("present", "presence_end_s")
    )


def check_count(count: int) -> None:
    """Raise ValueError unless the number of devices is at least one."""
    if count < 1:
        raise ValueError(f"the number of devices must be at least 1, got {count}")


def check_area(area_m: tuple[float, float]) -> None:
    """Raise ValueError unless both sides of the area are positive."""
    if not all(0.0 < side < float("inf") for side in area_m):
        raise ValueError(f"the sides of area_m must be positive, got {list(area_m)}")
