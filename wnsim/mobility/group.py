"""Reference point group mobility (RPGM): groups that travel together, with members around them.

The reference point of a group moves by random waypoint; each member moves by random waypoint in a
disc that travels with it. Both start in their stationary distribution. Reference points keep the
disc's radius from the borders, so that members stay inside the area.

Sources: Hong, Gerla, Pei, Chiang, "A group mobility model for ad hoc wireless networks", MSWiM
1999 (reference points and members around them; the motion of both is left open there).
"""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from wnsim.core import streams
from wnsim.core.params import parameters
from wnsim.core.units import Floats, Ints
from wnsim.mobility.motion import AlwaysPresent, Motion, check_area, check_count
from wnsim.mobility.paths import Path
from wnsim.mobility.random_waypoint import waypoints
from wnsim.mobility.regions import Disc, Rectangle
from wnsim.mobility.speeds import check_pause, check_speeds


@parameters
class Group:
    """Reference point group mobility: device n belongs to group n modulo the number of groups.

    Parameters
    ----------
    groups : number of groups
    radius_m : largest distance of a member from its group's reference point [m]; the area must be
        wider than twice this
    speed_mps : lowest and highest speed of a reference point [m/s]
    member_speed_mps : lowest and highest speed of a member relative to the reference point [m/s]
    pause_s : pause of a reference point at each of its waypoints [s]
    """

    model: Literal["rpgm"] = "rpgm"
    groups: Annotated[int, Field(ge=1, le=1_000_000)] = 4
    radius_m: Annotated[float, Field(ge=1e-3, le=1e6)] = 50.0
    speed_mps: tuple[float, float] = (1.0, 3.0)
    member_speed_mps: tuple[float, float] = (0.2, 1.0)
    pause_s: float = 0.0

    def __post_init__(self) -> None:
        check_pause(self.pause_s)
        check_speeds(self.speed_mps)
        check_speeds(self.member_speed_mps, "member_speed_mps")

    def motion(self, count: int, area_m: tuple[float, float], seed: int) -> Motion:
        """Return the motion of devices; each is independent of the number of devices.

        Raises
        ------
        ValueError
            if the area is too narrow for a group
        """
        check_count(count)
        check_area(area_m)
        sides_m = (area_m[0] - 2.0 * self.radius_m, area_m[1] - 2.0 * self.radius_m)
        if min(sides_m) <= 0.0:
            raise ValueError(
                f"radius_m must be below half of the sides of the area of {area_m[0]:g} m x "
                f"{area_m[1]:g} m, got {self.radius_m:g}"
            )
        inner = Rectangle(sides_m, corner_m=(self.radius_m, self.radius_m))
        disc = Disc(self.radius_m)
        points = [
            Path(waypoints(inner, self.speed_mps, self.pause_s, draws))
            for draws in (
                streams.generator(seed, "mobility group", n) for n in range(min(self.groups, count))
            )
        ]
        strays = [
            Path(waypoints(disc, self.member_speed_mps, 0.0, draws))
            for draws in (streams.generator(seed, "mobility", n) for n in range(count))
        ]
        return GroupMotion(points, strays, self.speed_mps[1] + self.member_speed_mps[1])


class GroupMotion(AlwaysPresent):
    """Motion of devices relative to the reference points of their groups."""

    def __init__(self, points: list[Path], strays: list[Path], max_speed_mps: float) -> None:
        self.names = tuple(str(n) for n in range(len(strays)))
        self.max_speed_mps = max_speed_mps
        self._points = points
        self._strays = strays

    def position_m(self, devices: Ints, t_s: Floats) -> Floats:
        """Return positions (n, T, 2) [m] of devices (n,) at instants (T,) [s]."""
        t_s = np.asarray(t_s, dtype=np.float64)
        positions_m = np.empty((np.size(devices), t_s.size, 2))
        points_m: dict[int, Floats] = {}
        for row, device in enumerate(np.asarray(devices).tolist()):
            group = device % len(self._points)
            if group not in points_m:
                points_m[group] = self._points[group].position_m(t_s)
            positions_m[row] = points_m[group] + self._strays[device].position_m(t_s)
        return positions_m

    def reference_m(self, devices: Ints, t_s: Floats) -> Floats:
        """Return the positions (n, T, 2) [m] of the reference points of the devices' groups."""
        t_s = np.asarray(t_s, dtype=np.float64)
        groups = [device % len(self._points) for device in np.asarray(devices).tolist()]
        rows = [self._points[group].position_m(t_s) for group in groups]
        return np.array(rows).reshape(-1, t_s.size, 2)
