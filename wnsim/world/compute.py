"""Computing speed of devices.

Scope: a constant sustained rate per device (peak rate times utilization); memory, temperature and
other programs on the device are not modeled.

Sources of the presets: vendors' data sheets where they state a rate of floating-point operations
(NVIDIA A100, H100, GeForce RTX 4090; Apple M2); otherwise cores x operations per cycle x clock from
the data sheet (NVIDIA Jetson Orin Nano and AGX Orin: CUDA cores x 2; Raspberry Pi 5: four
Cortex-A76 with two 128-bit multiply-adds); for a phone's neural unit half of the vendor's 8-bit
rate (Apple A17 Pro).
"""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from wnsim.core.params import parameters
from wnsim.core.streams import generator
from wnsim.core.units import Floats

_SLOWEST = 1e3

# Peak rate [FLOP/s] by device, with its data type and processor.
PRESETS: dict[str, float] = {
    "raspberry-pi-5": 4 * 16 * 2.4e9,  # FP32 on the processor
    "jetson-orin-nano": 1024 * 2 * 0.625e9,  # FP32 on the GPU, 8 GB module
    "jetson-agx-orin": 2048 * 2 * 1.3e9,  # FP32 on the GPU, 64 GB module
    "phone-a17-pro": 35e12 / 2,  # neural unit, half of its 8-bit rate
    "laptop-m2": 3.6e12,  # FP32 on the GPU
    "rtx-4090": 165.2e12,  # FP16 tensor cores with FP32 accumulation, dense
    "a100": 312e12,  # BF16 tensor cores, dense
    "h100": 989.4e12,  # BF16 tensor cores, dense, SXM module
}

Preset = Literal[
    "raspberry-pi-5",
    "jetson-orin-nano",
    "jetson-agx-orin",
    "phone-a17-pro",
    "laptop-m2",
    "rtx-4090",
    "a100",
    "h100",
]


@parameters
class Compute:
    """Sustained computing speed of the devices.

    Parameters
    ----------
    flops_per_s : peak rate of every device, or the bounds of a distribution [FLOP/s]
    distribution : distribution between the bounds, `uniform` or `log-uniform`
    presets : real devices instead of `flops_per_s`, assigned to the devices cyclically
    utilization : share of the peak rate that training sustains, above 0 and at most 1
    """

    flops_per_s: float | tuple[float, float] = 1e12
    distribution: Literal["uniform", "log-uniform"] = "uniform"
    presets: tuple[Preset, ...] = ()
    utilization: Annotated[float, Field(gt=0, le=1)] = 0.3

    def __post_init__(self) -> None:
        low, high = self._bounds()
        if not _SLOWEST <= low <= high < float("inf"):
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
        if self.presets:
            peaks = [PRESETS[self.presets[n % len(self.presets)]] for n in range(count)]
            return self.utilization * np.array(peaks)
        low, high = self._bounds()
        draws = np.array([generator(seed, "compute", device).random() for device in range(count)])
        if self.distribution == "log-uniform":
            return np.asarray(self.utilization * low * (high / low) ** draws)
        return np.asarray(self.utilization * (low + (high - low) * draws))
