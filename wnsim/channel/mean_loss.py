"""What the channel asks of a path-loss model, and what models without obstacles share."""

from __future__ import annotations

import math
from typing import ClassVar, Protocol

import numpy as np
from numpy.typing import ArrayLike

from wnsim.channel.blockage import VehicleBlockage
from wnsim.core.units import Floats


class PathLoss(Protocol):
    """What the channel asks of a path-loss model; antenna heights and distances broadcast.

    A model is symmetric in its two ends. `loss_db` is the mean path loss [dB] in and out of line
    of sight, `los_probability` the probability of line of sight, `clear_probability` that of no
    building in the way, but perhaps a vehicle (only asked for with `blockage`, what vehicles add),
    `shadow_db` the standard deviation [dB] and `shadow_correlation_m` the decorrelation distance
    [m] of shadow fading, `los_correlation_m` that of the line-of-sight state, `range_m` the ground
    distances [m] for which the model was made, `title` its name in sentences, and `notes` one
    sentence for each way in which heights or carrier leave the model's range.
    """

    @property
    def title(self) -> str: ...

    @property
    def range_m(self) -> tuple[float, float]: ...

    @property
    def los_correlation_m(self) -> float: ...

    @property
    def blockage(self) -> VehicleBlockage | None: ...

    def loss_db(
        self,
        d2d_m: ArrayLike,
        h_tx_m: ArrayLike,
        h_rx_m: ArrayLike,
        frequency_hz: float,
        los: bool,
    ) -> Floats: ...

    def los_probability(self, d2d_m: ArrayLike, h_tx_m: ArrayLike, h_rx_m: ArrayLike) -> Floats: ...

    def clear_probability(
        self, d2d_m: ArrayLike, h_tx_m: ArrayLike, h_rx_m: ArrayLike
    ) -> Floats: ...

    def shadow_db(
        self,
        d2d_m: ArrayLike,
        h_tx_m: ArrayLike,
        h_rx_m: ArrayLike,
        frequency_hz: float,
        los: bool,
    ) -> Floats: ...

    def shadow_correlation_m(self, los: bool) -> float: ...

    def notes(self, h_tx_m: float, h_rx_m: float, frequency_hz: float) -> list[str]: ...


class BuildingsOnly:
    """The part of a path-loss model in which buildings obstruct links, but no vehicles."""

    blockage: ClassVar[VehicleBlockage | None] = None

    def los_probability(self, d2d_m: ArrayLike, h_tx_m: ArrayLike, h_rx_m: ArrayLike) -> Floats:
        """Return the probability of line of sight."""
        raise NotImplementedError

    def clear_probability(self, d2d_m: ArrayLike, h_tx_m: ArrayLike, h_rx_m: ArrayLike) -> Floats:
        """Return the probability of no building in the way, which is that of line of sight."""
        return self.los_probability(d2d_m, h_tx_m, h_rx_m)


class AlwaysInSight(BuildingsOnly):
    """The part of a path-loss model that says nothing of obstacles."""

    # Only used where the scenario asks for shadow fading, for which these models give no scale:
    # the order of the urban measurement of Gudmundson (1991).
    los_correlation_m: ClassVar[float] = 10.0
    range_m: ClassVar[tuple[float, float]] = (0.0, math.inf)

    def los_probability(self, d2d_m: ArrayLike, h_tx_m: ArrayLike, h_rx_m: ArrayLike) -> Floats:
        """Return ones."""
        return np.ones(np.broadcast_shapes(np.shape(d2d_m), np.shape(h_tx_m), np.shape(h_rx_m)))

    def shadow_db(
        self,
        d2d_m: ArrayLike,
        h_tx_m: ArrayLike,
        h_rx_m: ArrayLike,
        frequency_hz: float,
        los: bool,
    ) -> Floats:
        """Return a deviation of shadow fading of 0 dB."""
        return np.zeros(())

    def shadow_correlation_m(self, los: bool) -> float:
        """Return the decorrelation distance of shadow fading [m]."""
        return self.los_correlation_m

    def notes(self, h_tx_m: float, h_rx_m: float, frequency_hz: float) -> list[str]:
        """Return nothing: the formula's parameters are the user's."""
        return []
