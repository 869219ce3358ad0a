"""Outdoor-to-indoor (O2I) penetration loss of indoor devices.

Scope: a constant loss per indoor device, drawn once from the seed: external wall, indoor distance
and a normal deviation. If both ends of a link are indoors, both losses add up, as for different
buildings. Line of sight and distance are those of the outdoor formulas at the device's position;
floors and inner walls are not modelled.

Sources: 3GPP TR 38.901, clause 7.4.3, Tables 7.4.3-1 (materials) and 7.4.3-2 (low-loss and
high-loss model).
"""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from wnsim.core import streams
from wnsim.core.params import parameters
from wnsim.core.units import Floats, db_to_linear, linear_to_db

# Loss of a material [dB] as offset and slope over the carrier frequency in gigahertz.
_GLASS = (2.0, 0.2)
_COATED_GLASS = (23.0, 0.3)
_CONCRETE = (5.0, 4.0)
# Fraction of glass in the wall, the glass, and the standard deviation [dB].
_WALLS = {"low": (0.3, _GLASS, 4.4), "high": (0.7, _COATED_GLASS, 6.5)}
_DB_PER_INDOOR_M = 0.5
_OBLIQUE_DB = 5.0


@parameters
class Penetration:
    """Outdoor-to-indoor loss of TR 38.901.

    Parameters
    ----------
    model : `low` for walls with 30 % of plain glass, `high` for 70 % of infrared-reflecting glass,
        the rest of concrete
    max_indoor_m : the indoor distance is the smaller of two distances, each uniform from 0 to this
        [m]; 25 in the urban and 10 in the rural scenario
    """

    model: Literal["low", "high"] = "low"
    max_indoor_m: Annotated[float, Field(ge=0.0, le=1000.0)] = 25.0

    @property
    def sigma_db(self) -> float:
        """Standard deviation of the loss around its mean [dB]."""
        return _WALLS[self.model][2]

    def wall_db(self, frequency_hz: float) -> float:
        """Return the loss of the external wall [dB] at a carrier frequency [Hz]."""
        glass, (offset_db, slope_db), _ = _WALLS[self.model]
        glass_db = offset_db + slope_db * frequency_hz / 1e9
        concrete_db = _CONCRETE[0] + _CONCRETE[1] * frequency_hz / 1e9
        through = glass * db_to_linear(-glass_db) + (1.0 - glass) * db_to_linear(-concrete_db)
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
        inside_db = _DB_PER_INDOOR_M * self.max_indoor_m * way
        loss_db = self.wall_db(frequency_hz) + inside_db + self.sigma_db * deviation
        return np.asarray(np.where(indoor, loss_db, 0.0))
