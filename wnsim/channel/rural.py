"""Rural and suburban path loss of TR 38.901.

Sources: 3GPP TR 38.901 V19.4.0, Tables 7.4.1-1 (path loss, standard deviation of shadow fading),
7.4.2-1 (line-of-sight probability), 7.5-6 (decorrelation distance of shadow fading) and 7.6.3.1-2
(decorrelation distance of the line-of-sight state).
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

import numpy as np
from numpy.typing import ArrayLike
from pydantic import Field

from wnsim.channel.cellular import ROUNDED_SPEED_OF_LIGHT_MPS, Cellular, frequency_db, spread
from wnsim.channel.mean_loss import IndoorShadow
from wnsim.core.params import parameters
from wnsim.core.units import Floats

# Typical distance between obstacles in SMa [m].
_CLUTTER_M = 30.0


@parameters
class Rma(Cellular):
    """Rural macro cell of TR 38.901.

    Parameters
    ----------
    building_m : average building height [m], 5 to 50
    street_m : average street width [m], 5 to 50
    """

    title: ClassVar[str] = "RMa"
    site_m: ClassVar[tuple[float, float]] = (10.0, 150.0)
    terminal_m: ClassVar[tuple[float, float]] = (1.0, 10.0)
    carrier_hz: ClassVar[tuple[float, float]] = (0.5e9, 30e9)
    range_m: ClassVar[tuple[float, float]] = (10.0, 10_000.0)
    los_correlation_m: ClassVar[float] = 60.0
    sigmas_db: ClassVar[tuple[float, float]] = (8.0, 4.0)
    correlations_m: ClassVar[tuple[float, float]] = (120.0, 37.0)
    indoor_shadow: ClassVar[IndoorShadow | None] = IndoorShadow(8.0, 120.0)
    model: Literal["rma"] = "rma"
    building_m: Annotated[float, Field(ge=5.0, le=50.0)] = 5.0
    street_m: Annotated[float, Field(ge=5.0, le=50.0)] = 20.0

    def los_db(self, d2d_m: Floats, d3d_m: Floats, h_bs_m: Floats, h_ut_m: Floats,
                 frequency_hz: float) -> Floats:  # fmt: skip
        """Return PL1 up to the breakpoint and PL2 beyond [dB]."""
        break_m = self._break_m(h_bs_m, h_ut_m, frequency_hz)
        far_m = np.maximum(d3d_m / break_m, 1.0)
        beyond = d2d_m > break_m
        near_db = self._near_db(np.where(beyond, break_m, d3d_m), frequency_hz)
        return near_db + np.where(beyond, 40.0 * np.log10(far_m), 0.0)

    def nlos_db(self, d3d_m: Floats, h_bs_m: Floats, h_ut_m: Floats,
                   frequency_hz: float) -> Floats:  # fmt: skip
        """Return the NLOS path loss [dB]."""
        site = np.log10(h_bs_m)
        return np.asarray(
            161.04
            - 7.1 * np.log10(self.street_m)
            + 7.5 * np.log10(self.building_m)
            - (24.37 - 3.7 * (self.building_m / h_bs_m) ** 2) * site
            + (43.42 - 3.1 * site) * (np.log10(d3d_m) - 3.0)
            + frequency_db(frequency_hz)
            - (3.2 * np.log10(11.75 * h_ut_m) ** 2 - 4.97)
        )

    def los_probability(self, d2d_m: ArrayLike, h_bs_m: ArrayLike, h_ut_m: ArrayLike) -> Floats:
        """Return the LOS probability, which does not depend on the heights."""
        beyond_m = np.maximum(np.asarray(d2d_m, dtype=np.float64) - 10.0, 0.0)
        return spread(np.exp(-beyond_m / 1000.0), h_bs_m, h_ut_m)

    def shadow_db(
        self,
        d2d_m: ArrayLike,
        h_bs_m: ArrayLike,
        h_ut_m: ArrayLike,
        frequency_hz: float,
        los: bool,
    ) -> Floats:
        """Return the standard deviation of shadow fading [dB], larger beyond the breakpoint."""
        if not los:
            return np.asarray(self.sigmas_db[los])
        break_m = self._break_m(np.asarray(h_bs_m), np.asarray(h_ut_m), frequency_hz)
        return np.where(np.asarray(d2d_m) <= break_m, self.sigmas_db[los], 6.0)

    def _break_m(self, h_bs_m: Floats, h_ut_m: Floats, frequency_hz: float) -> Floats:
        """Return the breakpoint distance [m]."""
        lowest_m = min(float(np.min(h_bs_m)), float(np.min(h_ut_m)))
        if lowest_m <= 0.0:
            raise ValueError(f"antenna height must be positive in RMa, got {lowest_m:g}")
        return 2.0 * np.pi * h_bs_m * h_ut_m * (frequency_hz / ROUNDED_SPEED_OF_LIGHT_MPS)

    def _near_db(self, d3d_m: Floats, frequency_hz: float) -> Floats:
        """Return PL1 [dB]."""
        roofs = self.building_m**1.72
        return np.asarray(
            20.0 * np.log10(40.0 * np.pi * d3d_m * (frequency_hz / 1e9) / 3.0)
            + min(0.03 * roofs, 10.0) * np.log10(d3d_m)
            - min(0.044 * roofs, 14.77)
            + 0.002 * np.log10(self.building_m) * d3d_m
        )


@parameters
class Sma(Rma):
    """Suburban macro cell of TR 38.901, which is in its release 19 only.

    The formulas are those of the rural cell; the line-of-sight probability is that of a ray through
    commercial and residential buildings and vegetation.

    Parameters
    ----------
    building_m : average building height [m], 5 to 50
    street_m : average street width [m], 5 to 50
    vegetation : `none`, `sparse` or `dense`: trees on 0, 10 or 20 % of the ground
    """

    title: ClassVar[str] = "SMa"
    site_m: ClassVar[tuple[float, float]] = (25.0, 35.0)
    terminal_m: ClassVar[tuple[float, float]] = (1.0, 14.0)
    range_m: ClassVar[tuple[float, float]] = (10.0, 5000.0)
    los_correlation_m: ClassVar[float] = 50.0
    correlations_m: ClassVar[tuple[float, float]] = (50.0, 40.0)
    indoor_shadow: ClassVar[IndoorShadow | None] = IndoorShadow(8.0, 50.0)
    model: Literal["sma"] = "sma"  # type: ignore[assignment]
    building_m: Annotated[float, Field(ge=5.0, le=50.0)] = 10.0
    street_m: Annotated[float, Field(ge=5.0, le=50.0)] = 10.0
    vegetation: Literal["none", "sparse", "dense"] = "sparse"

    def los_probability(self, d2d_m: ArrayLike, h_bs_m: ArrayLike, h_ut_m: ArrayLike) -> Floats:
        """Return the LOS probability."""
        d2d_m = np.asarray(d2d_m, dtype=np.float64)
        h_ut_m = np.asarray(h_ut_m, dtype=np.float64)
        rise_m = np.maximum(np.asarray(h_bs_m, dtype=np.float64) - h_ut_m, 1.0)
        trees = {"none": 0.0, "sparse": 0.1, "dense": 0.2}[self.vegetation]
        # Height and share of the ground of commercial and residential buildings and of trees.
        per_m = np.zeros(np.broadcast_shapes(rise_m.shape, h_ut_m.shape))
        for height_m, share in ((20.0, 0.02), (8.0, 0.18), (15.0, trees)):
            obstructed = np.maximum(height_m - h_ut_m, 0.0) / rise_m
            per_m = per_m - np.log1p(-share) / _CLUTTER_M * obstructed
        return spread(np.where(d2d_m <= 10.0, 1.0, np.exp(-d2d_m * per_m)), h_bs_m, h_ut_m)
