"""Devices that stay where they are, at given places or at random ones."""

from __future__ import annotations

from typing import Literal

import numpy as np

from wnsim import streams
from wnsim.mobility.motion import AlwaysPresent, Motion, check_area, check_count
from wnsim.params import parameters
from wnsim.units import Floats, Ints


@parameters
class Static:
    """Devices at rest.

    Parameters
    ----------
    layout : uniform, at random over the area, or given, at `positions_m`
    positions_m : x and y of each device [m], for the layout given
    """

    model: Literal["static"] = "static"
    layout: Literal["uniform", "given"] = "uniform"
    positions_m: tuple[tuple[float, float], ...] = ()

    def __post_init__(self) -> None:
        if self.layout == "uniform" and self.positions_m:
            raise ValueError(
                "positions_m must be left out unless layout is given, got layout uniform"
            )

    def motion(self, count: int, area_m: tuple[float, float], seed: int) -> Motion:
        """Return devices at rest; a device's place does not depend on how many others there are.

        Raises
        ------
        ValueError
            if the positions are not as many as the devices, or lie outside the area
        """
        check_count(count)
        check_area(area_m)
        if self.layout == "uniform":
            draws = [streams.generator(seed, "mobility", n).random(2) for n in range(count)]
            return StaticMotion(np.array(draws) * np.array(area_m))
        if len(self.positions_m) != count:
            raise ValueError(
                f"positions_m must have one place for each of the {count} devices, "
                f"got {len(self.positions_m)}"
            )
        for x_m, y_m in self.positions_m:
            if not (0.0 <= x_m <= area_m[0] and 0.0 <= y_m <= area_m[1]):
                raise ValueError(
                    f"positions_m must lie in the area of {area_m[0]:g} m x {area_m[1]:g} m, "
                    f"got [{x_m:g}, {y_m:g}]"
                )
        return StaticMotion(np.array(self.positions_m))


class StaticMotion(AlwaysPresent):
    """Devices at rest at (N, 2) places [m]."""

    def __init__(self, places_m: Floats) -> None:
        self.names = tuple(str(n) for n in range(places_m.shape[0]))
        self.max_speed_mps = 0.0
        self._places_m = places_m

    def position_m(self, devices: Ints, t_s: Floats) -> Floats:
        """Return positions (n, T, 2) [m], the same at all instants."""
        return np.repeat(self._places_m[devices][:, None], np.size(t_s), axis=1)
