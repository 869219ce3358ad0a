"""Interface of path-loss models, and the common part of models without obstacles."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Protocol

import numpy as np
from numpy.typing import ArrayLike

from wnsim.channel.blockage import VehicleBlockage
from wnsim.core.units import Floats


@dataclass(frozen=True)
class IndoorShadow:
    """Shadow fading of links with an indoor end.

    Parameters
    ----------
    sigma_db : standard deviation [dB]
    correlation_m : decorrelation distance [m]
    """

    sigma_db: float
    correlation_m: float


class PathLoss(Protocol):
    """Interface of a path-loss model.

    The first height is that of the base station, the second one that of the terminal. On a link
    between two devices, or between two base stations, the higher antenna counts as the base
    station, so that both directions have the same loss. Heights and distances broadcast.

    A model may have a method `terms(d2d_m, h_bs_m, h_ut_m, frequency_hz)` that returns the LOS
    probability and the loss, LOS and NLOS [dB], of links (L, T) with heights (L, T or 1), all at
    once; it is used in place of the others where there is no vehicle blockage, unless a subclass
    overrides one of these.
    """

    @property
    def title(self) -> str:
        """Name of the model in messages."""

    @property
    def range_m(self) -> tuple[float, float]:
        """Smallest and largest ground distance that the model is valid for [m]."""

    @property
    def los_correlation_m(self) -> float:
        """Decorrelation distance of the line-of-sight state [m]."""

    @property
    def indoor_shadow(self) -> IndoorShadow | None:
        """Shadow fading of links with an indoor end; None if it is that of other links."""

    @property
    def blockage(self) -> VehicleBlockage | None:
        """Loss of blocking vehicles; None if vehicles do not block links."""

    def loss_db(
        self,
        d2d_m: ArrayLike,
        h_bs_m: ArrayLike,
        h_ut_m: ArrayLike,
        frequency_hz: float,
        los: bool,
    ) -> Floats:
        """Return the mean path loss [dB], LOS or NLOS."""

    def los_probability(self, d2d_m: ArrayLike, h_bs_m: ArrayLike, h_ut_m: ArrayLike) -> Floats:
        """Return the LOS probability."""

    def los_or_nlosv_probability(
        self, d2d_m: ArrayLike, h_bs_m: ArrayLike, h_ut_m: ArrayLike
    ) -> Floats:
        """Return the probability of LOS or NLOSv: no building, but perhaps a vehicle in between.

        Only used with `blockage`.
        """

    def shadow_db(
        self,
        d2d_m: ArrayLike,
        h_bs_m: ArrayLike,
        h_ut_m: ArrayLike,
        frequency_hz: float,
        los: bool,
    ) -> Floats:
        """Return the standard deviation of shadow fading [dB]."""

    def shadow_correlation_m(self, los: bool) -> float:
        """Return the decorrelation distance of shadow fading [m]."""

    def notes(self, h_bs_m: float, h_ut_m: float, frequency_hz: float) -> list[str]:
        """Return a note for each way in which heights or carrier leave the validity range."""


class BuildingsOnly:
    """Part of a path-loss model whose links are obstructed by buildings, not by vehicles."""

    blockage: ClassVar[VehicleBlockage | None] = None
    indoor_shadow: ClassVar[IndoorShadow | None] = None

    def los_probability(self, d2d_m: ArrayLike, h_bs_m: ArrayLike, h_ut_m: ArrayLike) -> Floats:
        """Return the LOS probability."""
        raise NotImplementedError

    def los_or_nlosv_probability(
        self, d2d_m: ArrayLike, h_bs_m: ArrayLike, h_ut_m: ArrayLike
    ) -> Floats:
        """Return the LOS probability: there are no vehicles."""
        return self.los_probability(d2d_m, h_bs_m, h_ut_m)


class AlwaysLineOfSight(BuildingsOnly):
    """Part of a path-loss model without obstacles: always LOS."""

    # Only used if the scenario requests shadow fading, for which these models give no scale:
    # the order of the urban measurement of Gudmundson (1991).
    los_correlation_m: ClassVar[float] = 10.0
    range_m: ClassVar[tuple[float, float]] = (0.0, math.inf)

    def los_probability(self, d2d_m: ArrayLike, h_bs_m: ArrayLike, h_ut_m: ArrayLike) -> Floats:
        """Return ones."""
        return np.ones(np.broadcast_shapes(np.shape(d2d_m), np.shape(h_bs_m), np.shape(h_ut_m)))

    def shadow_db(
        self,
        d2d_m: ArrayLike,
        h_bs_m: ArrayLike,
        h_ut_m: ArrayLike,
        frequency_hz: float,
        los: bool,
    ) -> Floats:
        """Return 0 dB, the standard deviation of shadow fading."""
        return np.zeros(())

    def shadow_correlation_m(self, los: bool) -> float:
        """Return the decorrelation distance of shadow fading [m]."""
        return self.los_correlation_m

    def notes(self, h_bs_m: float, h_ut_m: float, frequency_hz: float) -> list[str]:
        """Return an empty list: the formula's parameters are the user's."""
        return []
