"""Antenna heights of devices, as a scenario gives them."""

from __future__ import annotations

from typing import Annotated

import numpy as np
from pydantic import Field

from wnsim.core.params import parameters
from wnsim.core.streams import generator
from wnsim.core.units import Floats

Height = Annotated[float, Field(gt=0, le=1e5)]


@parameters
class RandomHeights:
    """Heights that are uniform between two bounds, for a share of the devices.

    Parameters
    ----------
    between_m : lowest and highest height [m]
    share : probability of a device to have such a height
    others_m : height of the other devices [m]
    """

    between_m: tuple[Height, Height]
    share: Annotated[float, Field(ge=0, le=1)] = 1.0
    others_m: Height = 1.5

    def __post_init__(self) -> None:
        low_m, high_m = self.between_m
        if low_m > high_m:
            raise ValueError(
                f"between_m must have the lower height first, got {low_m:g}, {high_m:g}"
            )


def heights_m(given: float | tuple[float, ...] | RandomHeights, count: int, seed: int) -> Floats:
    """Return the height of each device, (count,) [m].

    A random height does not depend on the number of devices.

    Parameters
    ----------
    given : one height, a height for each device [m], or their distribution
    count : number of devices
    seed : seed of the scenario

    Raises
    ------
    ValueError
        if there are not as many heights as devices
    """
    if isinstance(given, RandomHeights):
        draws = np.array([generator(seed, "height", n).random(2) for n in range(count)])
        low_m, high_m = given.between_m
        drawn_m = low_m + (high_m - low_m) * draws[:, 0]
        return np.where(draws[:, 1] < given.share, drawn_m, given.others_m)
    if isinstance(given, tuple):
        if len(given) != count:
            raise ValueError(
                f"height_m must be one for all devices, or one for each of {count}, "
                f"got {len(given)}"
            )
        return np.array(given, dtype=np.float64)
    return np.full(count, float(given))
