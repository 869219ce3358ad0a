"""Vehicle-to-vehicle path loss of TR 37.885.

A link along a street is LOS or NLOSv (behind a vehicle). Without a street map it is unknown which
links go around a corner, so the formulas of TR 37.885 give NLOS (behind a building) no probability;
those of Boban et al. do.

Sources: 3GPP TR 37.885, Tables 6.2-1 (probability of line of sight) and 6.2.1-1 (path loss and
shadow fading), clause 6.2.1 (vehicle blockage); Boban, Gong and Xu, "Modeling the evolution of
line-of-sight blockage for V2V channels", VTC-Fall 2016 (three states, medium density).
"""

from __future__ import annotations

import math
from typing import Annotated, ClassVar, Literal

import numpy as np
from numpy.typing import ArrayLike
from pydantic import Field

from wnsim.channel.blockage import VehicleBlockage
from wnsim.channel.mean_loss import IndoorShadow
from wnsim.channel.propagation import distance_m
from wnsim.core.params import parameters
from wnsim.core.units import Floats

# Where the measurements behind the quadratic formulas of Boban et al. end.
_BOBAN_HIGHWAY_M = 500.0


class Vehicular:
    """Common part of the two scenarios of TR 37.885."""

    # TR 37.885 states the formulas without limits.
    range_m: ClassVar[tuple[float, float]] = (0.0, math.inf)
    # Decorrelation distance of the LOS state; TR 37.885 gives none, this is that of UMi.
    los_correlation_m: ClassVar[float] = 50.0
    truck_share: float
    indoor_shadow: ClassVar[IndoorShadow | None] = None

    @property
    def blockage(self) -> VehicleBlockage:
        """Loss of blocking vehicles on NLOSv links."""
        return VehicleBlockage(self.truck_share, self.shadow_correlation_m(False))

    def los_db(self, d3d_m: Floats, frequency_hz: float) -> Floats:
        """Return the LOS path loss [dB], also that of NLOSv without the blockage."""
        raise NotImplementedError

    def loss_db(
        self,
        d2d_m: ArrayLike,
        h_bs_m: ArrayLike,
        h_ut_m: ArrayLike,
        frequency_hz: float,
        los: bool,
    ) -> Floats:
        """Return the path loss without vehicle blockage [dB]; `los` False means NLOS."""
        d3d_m = distance_m(d2d_m, h_bs_m, h_ut_m)
        if los:
            return self.los_db(d3d_m, frequency_hz)
        return np.asarray(36.85 + 30.0 * np.log10(d3d_m) + 18.9 * np.log10(frequency_hz / 1e9))

    def shadow_db(
        self,
        d2d_m: ArrayLike,
        h_bs_m: ArrayLike,
        h_ut_m: ArrayLike,
        frequency_hz: float,
        los: bool,
    ) -> Floats:
        """Return the standard deviation of shadow fading [dB]."""
        return np.asarray(3.0 if los else 4.0)

    def shadow_correlation_m(self, los: bool) -> float:
        """Return the decorrelation distance of shadow fading [m]."""
        return 10.0 if los else 13.0

    def notes(self, h_bs_m: float, h_ut_m: float, frequency_hz: float) -> list[str]:
        """Return an empty list: the formulas have no limits on heights and carriers."""
        return []


@parameters
class V2vUrban(Vehicular):
    """Vehicles in city streets, TR 37.885.

    Parameters
    ----------
    truck_share : fraction of blocking vehicles that are 3 m high; the others are 1.6 m
    states : probabilities of the link states: `tr37885`, or `boban2016` with buildings
    """

    title: ClassVar[str] = "V2V urban"
    model: Literal["v2v-urban"] = "v2v-urban"
    truck_share: Annotated[float, Field(ge=0.0, le=1.0)] = 0.0
    states: Literal["tr37885", "boban2016"] = "tr37885"

    def los_db(self, d3d_m: Floats, frequency_hz: float) -> Floats:
        """Return the LOS path loss [dB], also that of NLOSv without the blockage."""
        return np.asarray(38.77 + 16.7 * np.log10(d3d_m) + 18.2 * np.log10(frequency_hz / 1e9))

    def los_probability(self, d2d_m: ArrayLike, h_bs_m: ArrayLike, h_ut_m: ArrayLike) -> Floats:
        """Return the LOS probability."""
        d2d_m = _spread(d2d_m, h_bs_m, h_ut_m)
        if self.states == "boban2016":
            return np.minimum(1.0, 0.8548 * np.exp(-0.0064 * d2d_m))
        return np.minimum(1.0, 1.05 * np.exp(-0.0114 * d2d_m))

    def los_or_nlosv_probability(
        self, d2d_m: ArrayLike, h_bs_m: ArrayLike, h_ut_m: ArrayLike
    ) -> Floats:
        """Return the probability of LOS or NLOSv, at most 1."""
        d2d_m = _spread(d2d_m, h_bs_m, h_ut_m)
        if self.states == "tr37885":
            return np.ones(d2d_m.shape)
        near_m = np.maximum(d2d_m, 1e-3)
        vehicle = np.exp(-((np.log(near_m) - 5.2718) ** 2) / 3.4827) / (0.0396 * near_m)
        return np.minimum(1.0, self.los_probability(d2d_m, h_bs_m, h_ut_m) + vehicle)


@parameters
class V2vHighway(Vehicular):
    """Vehicles on a highway, TR 37.885.

    Parameters
    ----------
    truck_share : fraction of blocking vehicles that are 3 m high; the others are 1.6 m
    states : probabilities of the link states: `tr37885`, or `boban2016` with buildings, whose
        formulas are held constant from 500 m on
    """

    title: ClassVar[str] = "V2V highway"
    model: Literal["v2v-highway"] = "v2v-highway"
    truck_share: Annotated[float, Field(ge=0.0, le=1.0)] = 0.0
    states: Literal["tr37885", "boban2016"] = "tr37885"

    def los_db(self, d3d_m: Floats, frequency_hz: float) -> Floats:
        """Return the LOS path loss [dB], also that of NLOSv without the blockage."""
        return np.asarray(32.4 + 20.0 * np.log10(d3d_m) + 20.0 * np.log10(frequency_hz / 1e9))

    def los_probability(self, d2d_m: ArrayLike, h_bs_m: ArrayLike, h_ut_m: ArrayLike) -> Floats:
        """Return the LOS probability."""
        d2d_m = _spread(d2d_m, h_bs_m, h_ut_m)
        if self.states == "boban2016":
            near_m = np.minimum(d2d_m, _BOBAN_HIGHWAY_M)
            return np.clip(1.5e-6 * near_m**2 - 0.0015 * near_m + 1.0, 0.0, 1.0)
        near = 2.1013e-6 * d2d_m**2 - 0.002 * d2d_m + 1.0193
        far = 0.54 - 0.001 * (d2d_m - 475.0)
        return np.clip(np.where(d2d_m <= 475.0, near, far), 0.0, 1.0)

    def los_or_nlosv_probability(
        self, d2d_m: ArrayLike, h_bs_m: ArrayLike, h_ut_m: ArrayLike
    ) -> Floats:
        """Return the probability of LOS or NLOSv."""
        d2d_m = _spread(d2d_m, h_bs_m, h_ut_m)
        if self.states == "tr37885":
            return np.ones(d2d_m.shape)
        near_m = np.minimum(d2d_m, _BOBAN_HIGHWAY_M)
        building = -2.9e-7 * near_m**2 + 0.00059 * near_m + 0.0017
        # The formulas sum to slightly more than 1 within a few meters.
        return np.maximum(1.0 - building, self.los_probability(d2d_m, h_bs_m, h_ut_m))


def _spread(d2d_m: ArrayLike, h_bs_m: ArrayLike, h_ut_m: ArrayLike) -> Floats:
    """Broadcast distances to the shape of the heights."""
    d2d_m = np.asarray(d2d_m, dtype=np.float64)
    return np.broadcast_to(
        d2d_m, np.broadcast_shapes(d2d_m.shape, np.shape(h_bs_m), np.shape(h_ut_m))
    )
