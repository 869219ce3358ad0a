"""Path-loss models as parameters of a scenario, with their line-of-sight and shadowing statistics.

Sources: 3GPP TR 38.901, Tables 7.4.1-1 (standard deviation of shadow fading), 7.5-6 (its
decorrelation distance) and 7.6.3.1-2 (decorrelation distance of the line-of-sight state), scenario
UMi - Street Canyon; Gudmundson, "Correlation model for shadow fading in mobile radio systems",
Electronics Letters 27, 1991.
"""

from __future__ import annotations

from typing import ClassVar, Literal, Protocol

import numpy as np
from numpy.typing import ArrayLike

from wnsim.channel.propagation import (
    MIN_DISTANCE_M,
    distance_m,
    free_space_db,
    umi_los_db,
    umi_los_probability,
    umi_nlos_db,
)
from wnsim.params import parameters
from wnsim.units import Floats

_UMI_SITE_HEIGHT_M = 10.0
_UMI_HEIGHTS_M = (1.5, 22.5)
_UMI_FREQUENCIES_HZ = (0.5e9, 100e9)


class PathLoss(Protocol):
    """What the channel asks of a path-loss model; antenna heights and distances broadcast.

    A model is symmetric in its two ends. `loss_db` is the mean path loss [dB] in one
    line-of-sight state, `los_probability` the probability of line of sight, `shadow` the standard
    deviation [dB] and the decorrelation distance [m] of shadow fading, `los_correlation_m` the
    decorrelation distance of the line-of-sight state, and `notes` one sentence for each way in
    which a use leaves the range for which the model was made.
    """

    @property
    def los_correlation_m(self) -> float: ...

    def loss_db(
        self,
        d2d_m: ArrayLike,
        h_tx_m: ArrayLike,
        h_rx_m: ArrayLike,
        frequency_hz: float,
        los: bool,
    ) -> Floats: ...

    def los_probability(self, d2d_m: ArrayLike, h_tx_m: ArrayLike, h_rx_m: ArrayLike) -> Floats: ...

    def shadow(self, los: bool) -> tuple[float, float]: ...

    def notes(self, h_tx_m: float, h_rx_m: float, frequency_hz: float) -> list[str]: ...


class AlwaysInSight:
    """The part of a path-loss model that says nothing of obstacles."""

    # Only used where the scenario asks for shadow fading, for which these models give no scale:
    # the order of the urban measurement of Gudmundson (1991).
    los_correlation_m: ClassVar[float] = 10.0

    def los_probability(self, d2d_m: ArrayLike, h_tx_m: ArrayLike, h_rx_m: ArrayLike) -> Floats:
        """Return ones."""
        return np.ones(np.broadcast_shapes(np.shape(d2d_m), np.shape(h_tx_m), np.shape(h_rx_m)))

    def shadow(self, los: bool) -> tuple[float, float]:
        """Return the deviation of shadow fading [dB], 0, and its decorrelation distance [m]."""
        return 0.0, self.los_correlation_m


@parameters
class FreeSpace(AlwaysInSight):
    """Free space between isotropic antennas; always in line of sight, without shadow fading."""

    model: Literal["free-space"] = "free-space"

    def loss_db(
        self,
        d2d_m: ArrayLike,
        h_tx_m: ArrayLike,
        h_rx_m: ArrayLike,
        frequency_hz: float,
        los: bool,
    ) -> Floats:
        """Return the path loss [dB], the same in either line-of-sight state."""
        return free_space_db(distance_m(d2d_m, h_tx_m, h_rx_m), frequency_hz)

    def notes(self, h_tx_m: float, h_rx_m: float, frequency_hz: float) -> list[str]:
        """Return nothing: the formula holds wherever there is free space."""
        return []


@parameters
class LogDistance(AlwaysInSight):
    """Free space up to a reference distance, from there on a power law of the distance.

    Without an own statement on shadow fading: it is 0 dB unless the scenario gives `sigma_db`.

    Parameters
    ----------
    exponent : path-loss exponent beyond the reference distance; 2 is free space
    reference_m : reference distance [m], at least 1
    """

    model: Literal["log-distance"] = "log-distance"
    exponent: float = 3.0
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
        h_tx_m: ArrayLike,
        h_rx_m: ArrayLike,
        frequency_hz: float,
        los: bool,
    ) -> Floats:
        """Return the path loss [dB], the same in either line-of-sight state."""
        d3d_m = distance_m(d2d_m, h_tx_m, h_rx_m)
        excess_db = 10.0 * (self.exponent - 2.0) * np.log10(d3d_m / self.reference_m)
        return free_space_db(d3d_m, frequency_hz) + np.where(
            d3d_m > self.reference_m, excess_db, 0.0
        )

    def notes(self, h_tx_m: float, h_rx_m: float, frequency_hz: float) -> list[str]:
        """Return nothing: exponent and reference distance are the user's."""
        return []


@parameters
class UmiStreetCanyon:
    """Urban street canyon of TR 38.901, in and out of line of sight.

    The model was made for a base station at 10 m above the street and terminals at 1.5 to 22.5 m.
    Between two devices at street level it is an extrapolation: the formulas are evaluated with
    the higher end as base station, whatever its height, which also makes them reciprocal.
    """

    model: Literal["umi"] = "umi"

    los_correlation_m: ClassVar[float] = 50.0

    def loss_db(
        self,
        d2d_m: ArrayLike,
        h_tx_m: ArrayLike,
        h_rx_m: ArrayLike,
        frequency_hz: float,
        los: bool,
    ) -> Floats:
        """Return the path loss in one line-of-sight state [dB]; antennas must be above 1 m."""
        loss = umi_los_db if los else umi_nlos_db
        return loss(d2d_m, h_tx_m, h_rx_m, frequency_hz)

    def los_probability(self, d2d_m: ArrayLike, h_tx_m: ArrayLike, h_rx_m: ArrayLike) -> Floats:
        """Return the probability of line of sight, which does not depend on the heights."""
        shape = np.broadcast_shapes(np.shape(d2d_m), np.shape(h_tx_m), np.shape(h_rx_m))
        return np.broadcast_to(umi_los_probability(d2d_m), shape)

    def shadow(self, los: bool) -> tuple[float, float]:
        """Return the deviation of shadow fading [dB] and its decorrelation distance [m]."""
        return (4.0, 10.0) if los else (7.82, 13.0)

    def notes(self, h_tx_m: float, h_rx_m: float, frequency_hz: float) -> list[str]:
        """Return a sentence for each way in which a use leaves the range of TR 38.901.

        Parameters
        ----------
        h_tx_m, h_rx_m : antenna heights [m]
        frequency_hz : carrier frequency [Hz]
        """
        low_m, high_m = sorted((h_tx_m, h_rx_m))
        notes = []
        if high_m != _UMI_SITE_HEIGHT_M:
            notes.append(
                f"UMi was made for a base station at {_UMI_SITE_HEIGHT_M:g} m; between antennas "
                f"at {h_tx_m:g} m and {h_rx_m:g} m it is an extrapolation"
            )
        if not _UMI_HEIGHTS_M[0] <= low_m <= _UMI_HEIGHTS_M[1]:
            notes.append(
                f"UMi is for terminals at {_UMI_HEIGHTS_M[0]:g} to {_UMI_HEIGHTS_M[1]:g} m, "
                f"the lower antenna is at {low_m:g} m"
            )
        if not _UMI_FREQUENCIES_HZ[0] <= frequency_hz <= _UMI_FREQUENCIES_HZ[1]:
            notes.append(
                "TR 38.901 is for carriers from 0.5 to 100 GHz, "
                f"the carrier is at {frequency_hz / 1e9:g} GHz"
            )
        return notes


PATH_LOSS: dict[str, type[PathLoss]] = {
    "free-space": FreeSpace,
    "log-distance": LogDistance,
    "umi": UmiStreetCanyon,
}
