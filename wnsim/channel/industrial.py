"""Path loss of TR 38.901 in factories.

Sources: 3GPP TR 38.901 V19.4.0, Tables 7.2-4 (clutter), 7.4.1-1 (path loss, standard deviation of
shadow fading), 7.4.2-1 (line-of-sight probability), 7.5-6 (decorrelation distance of shadow fading)
and 7.6.3.1-2 (decorrelation distance of the line-of-sight state).
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

import numpy as np
from numpy.typing import ArrayLike
from pydantic import Field

from wnsim.channel.cellular import Cellular, frequency_db, spread
from wnsim.core.params import parameters
from wnsim.core.units import Floats

# Constant, slope over the decades of distance, and deviation [dB] of NLOS.
_NLOS: dict[str, tuple[float, float, float]] = {
    "sl": (33.0, 25.5, 5.7),
    "dl": (18.6, 35.7, 7.2),
    "sh": (32.4, 23.0, 5.9),
    "dh": (33.63, 21.9, 4.0),
    # Always LOS.
    "hh": (33.63, 21.9, 4.0),
}
_LOS_SIGMA_DB = 4.3


@parameters
class Inf(Cellular):
    """Indoor factory of TR 38.901.

    Parameters
    ----------
    variant : `sl` and `dl`: sparse and dense clutter, base stations below it; `sh` and `dh`: sparse
        and dense clutter, base stations above it; `hh`: both ends above the clutter, always LOS
    clutter_m : typical size of a piece of clutter [m]; none: 10 in sparse, 2 in dense clutter
    clutter_density : share of the floor that clutter covers; none: 0.2 in sparse, 0.6 in dense
        clutter
    clutter_height_m : effective height of the clutter [m]; it counts with base stations above it
    """

    title: ClassVar[str] = "InF"
    range_m: ClassVar[tuple[float, float]] = (1.0, 600.0)
    correlations_m: ClassVar[tuple[float, float]] = (10.0, 10.0)
    model: Literal["inf"] = "inf"
    variant: Literal["sl", "dl", "sh", "dh", "hh"] = "sl"
    clutter_m: Annotated[float, Field(gt=0.0, le=100.0)] | None = None
    clutter_density: Annotated[float, Field(gt=0.0, lt=1.0)] | None = None
    clutter_height_m: Annotated[float, Field(gt=0.0, le=10.0)] = 2.0

    @property
    def site_m(self) -> tuple[float, float]:  # type: ignore[override]
        """Heights of base stations [m]: below or above the clutter."""
        if self.variant in ("sl", "dl"):
            return 0.0, self.clutter_height_m
        return self.clutter_height_m, 25.0

    @property
    def terminal_m(self) -> tuple[float, float]:  # type: ignore[override]
        """Heights of terminals [m]: below the clutter, with `hh` above it."""
        if self.variant == "hh":
            return self.clutter_height_m, 25.0
        return 0.0, self.clutter_height_m

    @property
    def sigmas_db(self) -> tuple[float, float]:  # type: ignore[override]
        """Standard deviations of shadow fading [dB], NLOS and LOS."""
        return _NLOS[self.variant][2], _LOS_SIGMA_DB

    @property
    def los_correlation_m(self) -> float:  # type: ignore[override]
        """Decorrelation distance of the line-of-sight state [m]: half of the clutter's size."""
        return self._clutter_m / 2.0

    def los_db(self, d2d_m: Floats, d3d_m: Floats, h_bs_m: Floats, h_ut_m: Floats,
                 frequency_hz: float) -> Floats:  # fmt: skip
        """Return the LOS path loss [dB]."""
        return np.asarray(31.84 + 21.5 * np.log10(d3d_m) + 0.95 * frequency_db(frequency_hz))

    def nlos_db(self, d3d_m: Floats, h_bs_m: Floats, h_ut_m: Floats,
                   frequency_hz: float) -> Floats:  # fmt: skip
        """Return the NLOS path loss [dB]; with `dl` at least that of `sl`."""
        variants = ("dl", "sl") if self.variant == "dl" else (self.variant,)
        constants = [_NLOS[variant] for variant in variants]
        losses_db = [at_1_m + slope * np.log10(d3d_m) for at_1_m, slope, _ in constants]
        return np.asarray(np.max(losses_db, axis=0) + frequency_db(frequency_hz))

    def los_probability(self, d2d_m: ArrayLike, h_bs_m: ArrayLike, h_ut_m: ArrayLike) -> Floats:
        """Return the LOS probability."""
        d2d_m = np.asarray(d2d_m, dtype=np.float64)
        if self.variant == "hh":
            return spread(np.ones(d2d_m.shape), h_bs_m, h_ut_m)
        density = self.clutter_density
        if density is None:
            density = 0.2 if self.variant in ("sl", "sh") else 0.6
        scale_m = np.asarray(-self._clutter_m / np.log1p(-density))
        if self.variant in ("sh", "dh"):
            # The part of the ray below the top of the clutter.
            above_m = np.maximum(np.asarray(h_bs_m, np.float64) - np.asarray(h_ut_m), 1e-3)
            clutter_m = np.maximum(self.clutter_height_m - np.asarray(h_ut_m, np.float64), 0.0)
            return spread(np.exp(-d2d_m * np.minimum(clutter_m / above_m, 1.0) / scale_m),
                          h_bs_m, h_ut_m)  # fmt: skip
        return spread(np.exp(-d2d_m / scale_m), h_bs_m, h_ut_m)

    @property
    def _clutter_m(self) -> float:
        """Typical size of a piece of clutter [m]."""
        if self.clutter_m is not None:
            return self.clutter_m
        return 10.0 if self.variant in ("sl", "sh") else 2.0
