"""Path loss without obstacles: free space, flat ground, and power laws of the distance.

Shadow fading is 0 dB unless the scenario gives `sigma_db`.

Sources: as `propagation`; Feuerstein et al., "Path loss, delay spread, and outage models as
functions of antenna height for microcellular system design", IEEE Trans. Veh. Technol. 43, 1994
(two slopes); three slopes as in ns-3's ThreeLogDistancePropagationLossModel.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

import numpy as np
from numpy.typing import ArrayLike
from pydantic import Field

from wnsim.channel.mean_loss import AlwaysLineOfSight
from wnsim.channel.propagation import (
    MIN_DISTANCE_M,
    distance_m,
    free_space_db,
    power_law_db,
    slopes_db,
    two_ray_db,
)
from wnsim.core.params import parameters
from wnsim.core.units import Floats


@parameters
class FreeSpace(AlwaysLineOfSight):
    """Free-space path loss between isotropic antennas; always LOS, without shadow fading."""

    title: ClassVar[str] = "free space"
    model: Literal["free-space"] = "free-space"

    def loss_db(
        self,
        d2d_m: ArrayLike,
        h_bs_m: ArrayLike,
        h_ut_m: ArrayLike,
        frequency_hz: float,
        los: bool,
    ) -> Floats:
        """Return the path loss [dB], equal in both line-of-sight states."""
        return free_space_db(distance_m(d2d_m, h_bs_m, h_ut_m), frequency_hz)


@parameters
class TwoRay(AlwaysLineOfSight):
    """Two-ray ground reflection: free space nearby, the fourth power of the distance beyond."""

    title: ClassVar[str] = "two-ray ground"
    model: Literal["two-ray"] = "two-ray"

    def loss_db(
        self,
        d2d_m: ArrayLike,
        h_bs_m: ArrayLike,
        h_ut_m: ArrayLike,
        frequency_hz: float,
        los: bool,
    ) -> Floats:
        """Return the path loss [dB], equal in both line-of-sight states."""
        lowest_m = float(min(np.min(h_bs_m), np.min(h_ut_m)))
        if not lowest_m > 0.0:
            raise ValueError(f"antenna height must be positive over ground, got {lowest_m:g}")
        return two_ray_db(distance_m(d2d_m, h_bs_m, h_ut_m), h_bs_m, h_ut_m, frequency_hz)


@parameters
class LogDistance(AlwaysLineOfSight):
    """Free space up to a reference distance, and a power law of the distance beyond.

    Parameters
    ----------
    exponent : path-loss exponent beyond the reference distance; 2 is free space
    reference_m : reference distance [m], at least 1
    """

    title: ClassVar[str] = "log-distance"
    model: Literal["log-distance"] = "log-distance"
    exponent: Annotated[float, Field(le=20.0)] = 3.0
    reference_m: float = 1.0

    def __post_init__(self) -> None:
        if not self.exponent > 0.0:
            raise ValueError(f"exponent must be positive, got {self.exponent}")
        if not self.reference_m >= MIN_DISTANCE_M:
            raise ValueError(
                f"reference_m must be at least {MIN_DISTANCE_M:g} m, got {self.reference_m}"
            )

    def loss_db(
        self,
        d2d_m: ArrayLike,
        h_bs_m: ArrayLike,
        h_ut_m: ArrayLike,
        frequency_hz: float,
        los: bool,
    ) -> Floats:
        """Return the path loss [dB], equal in both line-of-sight states."""
        d3d_m = distance_m(d2d_m, h_bs_m, h_ut_m)
        return free_space_db(d3d_m, frequency_hz) + power_law_db(
            d3d_m, self.reference_m, self.exponent
        )


@parameters
class DualSlope(AlwaysLineOfSight):
    """Free space up to a reference distance, one power law up to a breakpoint, another beyond.

    Parameters
    ----------
    near_exponent : path-loss exponent from the reference distance to the breakpoint
    far_exponent : path-loss exponent beyond the breakpoint
    reference_m : reference distance [m], at least 1
    break_m : breakpoint distance [m], beyond the reference distance
    """

    title: ClassVar[str] = "dual-slope"
    model: Literal["dual-slope"] = "dual-slope"
    near_exponent: Annotated[float, Field(gt=0.0, le=20.0)] = 2.0
    far_exponent: Annotated[float, Field(gt=0.0, le=20.0)] = 4.0
    reference_m: Annotated[float, Field(ge=1.0)] = 1.0
    break_m: float = 100.0

    def __post_init__(self) -> None:
        if not self.break_m > self.reference_m:
            raise ValueError(
                f"break_m must be above reference_m, {self.reference_m:g} m, got {self.break_m:g}"
            )

    def loss_db(
        self,
        d2d_m: ArrayLike,
        h_bs_m: ArrayLike,
        h_ut_m: ArrayLike,
        frequency_hz: float,
        los: bool,
    ) -> Floats:
        """Return the path loss [dB], equal in both line-of-sight states."""
        d3d_m = distance_m(d2d_m, h_bs_m, h_ut_m)
        exponents = (self.near_exponent, self.far_exponent)
        return slopes_db(d3d_m, frequency_hz, self.reference_m, exponents, (self.break_m,))


@parameters
class ThreeSlope(AlwaysLineOfSight):
    """Free space up to a reference distance, and power laws with two breakpoints beyond.

    Parameters
    ----------
    near_exponent, middle_exponent, far_exponent : path-loss exponents from the reference distance
        to the first breakpoint, between the breakpoints, and beyond the second one
    reference_m : reference distance [m], at least 1
    break_m : first and second breakpoint distance [m], in this order, beyond the reference distance
    """

    title: ClassVar[str] = "three-slope"
    model: Literal["three-slope"] = "three-slope"
    near_exponent: Annotated[float, Field(gt=0.0, le=20.0)] = 1.9
    middle_exponent: Annotated[float, Field(gt=0.0, le=20.0)] = 3.8
    far_exponent: Annotated[float, Field(gt=0.0, le=20.0)] = 3.8
    reference_m: Annotated[float, Field(ge=1.0)] = 1.0
    break_m: tuple[float, float] = (200.0, 500.0)

    def __post_init__(self) -> None:
        if not self.reference_m < self.break_m[0] < self.break_m[1]:
            raise ValueError(
                f"break_m must be two distances above reference_m, {self.reference_m:g} m, the "
                f"nearer one first, got {list(self.break_m)}"
            )

    def loss_db(
        self,
        d2d_m: ArrayLike,
        h_bs_m: ArrayLike,
        h_ut_m: ArrayLike,
        frequency_hz: float,
        los: bool,
    ) -> Floats:
        """Return the path loss [dB], equal in both line-of-sight states."""
        d3d_m = distance_m(d2d_m, h_bs_m, h_ut_m)
        exponents = (self.near_exponent, self.middle_exponent, self.far_exponent)
        return slopes_db(d3d_m, frequency_hz, self.reference_m, exponents, self.break_m)
