"""Outdoor-to-indoor (O2I) penetration loss of devices in buildings or in cars.

Scope: a constant loss per indoor device, drawn once from the seed: external wall, indoor distance
and a normal deviation. If both ends of a link are indoors, both losses add up, as for different
buildings. Line of sight and distance are those of the outdoor formulas at the device's position;
floors and inner walls are not modelled.

Sources: 3GPP TR 38.901 V16.1.0 and V19.4.0, clause 7.4.3, Tables 7.4.3-1 (materials) and 7.4.3-2
(low-loss, high-loss and low-loss A model), eq. 7.4-4 (cars).
"""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from wnsim.core import streams
from wnsim.core.params import parameters
from wnsim.core.units import Floats, db_to_linear, linear_to_db

# Loss of a material [dB] as offset and slope over the carrier frequency in gigahertz; that of
# infrared-reflecting glass by release.
_GLASS = (2.0, 0.2)
_COATED_GLASS = {16: (23.0, 0.3), 19: (25.4, 0.11)}
_CONCRETE = (5.0, 4.0)
_PLYWOOD = (1.03, 0.17)
# Standard deviation of the loss, and mean loss of a car's body [dB].
_SIGMA_DB = {"low": 4.4, "low-a": 4.4, "high": 6.5, "car": 5.0, "car-metallized": 5.0}
_CAR_DB = {"car": 9.0, "car-metallized": 20.0}
_DB_PER_INDOOR_M = 0.5
_OBLIQUE_DB = 5.0


@parameters
class Penetration:
    """Outdoor-to-indoor loss of TR 38.901.

    Parameters
    ----------
    model : `low` for walls with 30 % of plain glass, the rest of concrete; `low-a` for 30 % of
        plain glass, the rest of plywood, in release 19 only; `high` for 70 % of infrared-reflecting
        glass, the rest of concrete; `car` and `car-metallized` for devices in cars, the latter
        with metallized windows
    release : release of the standard, 16 or 19; they differ in infrared-reflecting glass
    max_indoor_m : the indoor distance is the smaller of two distances, each uniform from 0 to this
        [m]; 25 in the urban and 10 in the rural scenario; not for cars
    """

    model: Literal["low", "low-a", "high", "car", "car-metallized"] = "low"
    release: Literal[16, 19] = 19
    max_indoor_m: Annotated[float, Field(ge=0.0, le=1000.0)] = 25.0

    @property
    def sigma_db(self) -> float:
        """Standard deviation of the loss around its mean [dB]."""
        return _SIGMA_DB[self.model]

    @property
    def building(self) -> bool:
        """Whether devices are in buildings, not in cars."""
        return self.model not in _CAR_DB

    def __post_init__(self) -> None:
        if self.model == "low-a" and self.release < 19:
            raise ValueError("model low-a needs release 19, got release 16")

    def wall_db(self, frequency_hz: float) -> float:
        """Return the loss of the external wall, or of the car's body, at a carrier [Hz], in dB."""
        if self.model in _CAR_DB:
            return _CAR_DB[self.model]
        glass, share = _GLASS, 0.3
        if self.model == "high":
            glass, share = _COATED_GLASS[self.release], 0.7
        rest = _PLYWOOD if self.model == "low-a" else _CONCRETE
        glass_db, rest_db = (offset + slope * frequency_hz / 1e9 for offset, slope in (glass, rest))
        through = share * db_to_linear(-glass_db) + (1.0 - share) * db_to_linear(-rest_db)
        return float(_OBLIQUE_DB - linear_to_db(through))

    def loss_db(self, indoor: NDArray[np.bool_], frequency_hz: float, seed: int) -> Floats:
        """Return the loss of each device.

        Parameters
        ----------
        indoor : (N,) whether a device is indoors
        frequency_hz : carrier frequency [Hz]
        seed : seed of the scenario

        Returns
        -------
        (N,) loss [dB], 0 outdoors; independent of which other devices are indoors
        """
        count = indoor.size
        way = streams.generator(seed, "indoor distance").random((count, 2)).min(axis=1)
        deviation = streams.generator(seed, "penetration").standard_normal(count)
        inside_db = _DB_PER_INDOOR_M * self.max_indoor_m * way if self.building else 0.0
        loss_db = self.wall_db(frequency_hz) + inside_db + self.sigma_db * deviation
        return np.asarray(np.where(indoor, loss_db, 0.0))
