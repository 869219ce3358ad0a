"""How long a piece of computation takes on a device.

Scope: a constant sustained rate per device (peak rate times utilization); memory, heat and
contention with other programs on the device are left out.
"""

from __future__ import annotations

import numpy as np
from pydantic import Field

from wnsim.params import parameters
from wnsim.streams import generator
from wnsim.units import Floats

_SLOWEST = 1e3


@parameters
class Compute:
    """Sustained computing speed of the devices.

    Parameters
    ----------
    flops_per_s : peak rate of every device, or the bounds of a uniform law [FLOP/s]
    utilization : share of the peak rate that training sustains, above 0 and at most 1
    """

    flops_per_s: float | tuple[float, float] = 1e12
    utilization: float = Field(default=0.3, gt=0, le=1)

    def __post_init__(self) -> None:
        low, high = self._bounds()
        if not _SLOWEST <= low <= high:
            raise ValueError(
                f"flops_per_s must be at least {_SLOWEST:g}, lower bound first, "
                f"got {self.flops_per_s}"
            )

    def _bounds(self) -> tuple[float, float]:
        if isinstance(self.flops_per_s, tuple):
            return self.flops_per_s
        return self.flops_per_s, self.flops_per_s

    def rates(self, count: int, seed: int) -> Floats:
        """Return the sustained rate of each device, (count,) [FLOP/s]."""
        low, high = self._bounds()
        draws = [generator(seed, "compute", device).random() for device in range(count)]
        return self.utilization * (low + (high - low) * np.array(draws))
