"""Vehicle blockage: additional loss of links behind a vehicle (NLOSv).

The blocking vehicle is a car or, with some probability, a truck. Two random fields over the
positions of both ends determine its type and the loss, so that both are reciprocal and reproducible
in space; TR 37.885 draws them once per link instead.

Source: 3GPP TR 37.885, clause 6.2.1 (vehicle blockage, and the heights of its vehicle types).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from wnsim.channel.propagation import distance_m
from wnsim.core.units import Floats

CAR_HEIGHT_M = 1.6
TRUCK_HEIGHT_M = 3.0


@dataclass(frozen=True)
class VehicleBlockage:
    """Loss behind a vehicle.

    Parameters
    ----------
    truck_share : fraction of blocking vehicles that are trucks, 0 to 1
    correlation_m : decorrelation distance of the loss [m]
    """

    truck_share: float
    correlation_m: float

    def loss_db(
        self,
        normal: ArrayLike,
        d2d_m: ArrayLike,
        h_tx_m: ArrayLike,
        h_rx_m: ArrayLike,
        blocker_m: float,
    ) -> Floats:
        """Return the loss behind a vehicle.

        Parameters
        ----------
        normal : (...,) standard normal variable
        d2d_m : (...,) ground distance [m]
        h_tx_m, h_rx_m : (...,) antenna heights [m]
        blocker_m : height of the vehicle [m]

        Returns
        -------
        (...,) loss [dB], at least 0; 0 if both antennas are above the vehicle
        """
        h_tx_m, h_rx_m = np.asarray(h_tx_m, dtype=np.float64), np.asarray(h_rx_m, dtype=np.float64)
        both_below = np.maximum(h_tx_m, h_rx_m) < blocker_m
        both_above = np.minimum(h_tx_m, h_rx_m) > blocker_m
        far_db = np.maximum(0.0, 15.0 * np.log10(distance_m(d2d_m, h_tx_m, h_rx_m)) - 41.0)
        mean_db = np.where(both_below, 9.0, 5.0) + far_db
        sigma_db = np.where(both_below, 4.5, 4.0)
        loss_db = np.maximum(0.0, mean_db + sigma_db * np.asarray(normal))
        return np.where(both_above, 0.0, loss_db)
