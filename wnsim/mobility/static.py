"""Static devices, at given or random positions."""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from wnsim.core.params import parameters
from wnsim.core.units import Floats, Ints
from wnsim.mobility import layouts
from wnsim.mobility.motion import AlwaysPresent, Motion, check_area, check_count


@parameters
class Static:
    """Static devices.

    Parameters
    ----------
    layout : `uniform` over the area (also called `poisson`: a Poisson process given its number of
        points); `thomas` and `matern`, in clusters; `grid`; or `given`, at `positions_m`
    positions_m : x and y of each device [m], for the layout `given`
    min_distance_m : minimum distance of two devices [m], for the layout `uniform` or `poisson`;
        each device in turn takes the first of its random positions that respects it
    clusters : number of clusters, with uniform centers
    spread_m : size of a cluster [m]: standard deviation along each axis (`thomas`) or radius
        (`matern`)
    """

    model: Literal["static"] = "static"
    layout: Literal["uniform", "poisson", "thomas", "matern", "grid", "given"] = "uniform"
    positions_m: tuple[tuple[float, float], ...] = ()
    min_distance_m: Annotated[float, Field(ge=0, le=1e7)] = 0.0
    clusters: Annotated[int, Field(ge=1, le=10_000)] | None = None
    spread_m: Annotated[float, Field(gt=0, le=1e7)] | None = None

    def __post_init__(self) -> None:
        if self.layout != "given" and self.positions_m:
            raise ValueError(
                f"positions_m must be left out unless layout is given, got layout {self.layout}"
            )
        if self.layout not in ("uniform", "poisson") and self.min_distance_m:
            raise ValueError(
                "min_distance_m must be left out unless layout is uniform or poisson, "
                f"got layout {self.layout}"
            )
        in_clusters = self.layout in ("thomas", "matern")
        for name in ("clusters", "spread_m"):
            if not in_clusters and getattr(self, name) is not None:
                raise ValueError(
                    f"{name} must be left out unless layout is thomas or matern, "
                    f"got layout {self.layout}"
                )
            if in_clusters and getattr(self, name) is None:
                raise ValueError(f"the layout {self.layout} must come with {name}, got none")

    def motion(self, count: int, area_m: tuple[float, float], seed: int) -> Motion:
        """Return static devices.

        Except on a grid, a device's position does not depend on the number of devices.

        Raises
        ------
        ValueError
            if the number of positions differs from that of devices, a position lies outside the
            area, or the devices cannot keep their minimum distance
        """
        check_count(count)
        check_area(area_m)
        if self.layout == "given":
            return StaticMotion(self._given(count, area_m))
        if self.layout == "grid":
            return StaticMotion(layouts.grid(count, area_m))
        if self.clusters is not None and self.spread_m is not None:
            disc = self.layout == "matern"
            return StaticMotion(
                layouts.clustered(count, area_m, seed, self.clusters, self.spread_m, disc=disc)
            )
        if self.min_distance_m:
            return StaticMotion(layouts.apart(count, area_m, seed, self.min_distance_m))
        return StaticMotion(layouts.uniform(count, area_m, seed))

    def _given(self, count: int, area_m: tuple[float, float]) -> Floats:
        """Return the given positions (count, 2) [m]."""
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
        return np.array(self.positions_m)


class StaticMotion(AlwaysPresent):
    """Static devices at (N, 2) positions [m]."""

    def __init__(self, places_m: Floats) -> None:
        self.names = tuple(str(n) for n in range(places_m.shape[0]))
        self.max_speed_mps = 0.0
        self._places_m = places_m

    def position_m(self, devices: Ints, t_s: Floats) -> Floats:
        """Return positions (n, T, 2) [m], equal at all instants."""
        return np.repeat(self._places_m[devices][:, None], np.size(t_s), axis=1)
