"""Base stations: positions, antennas and backhaul."""

from __future__ import annotations

import math
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from wnsim.channel import Antenna, Isotropic, Sector
from wnsim.core.params import parameters
from wnsim.core.units import Floats

_FIRST_BORESIGHT_DEG = 30.0

Position = tuple[
    Annotated[float, Field(ge=-1e7, le=1e7)],
    Annotated[float, Field(ge=-1e7, le=1e7)],
]


@parameters
class BaseStations:
    """Sites with one or several sectors; each sector is a station with its own band.

    Parameters
    ----------
    count : number of sites, placed on a grid over the area
    positions_m : x and y of each site [m], instead of the grid
    height_m : antenna height above ground [m]
    tx_power_dbm : total transmit power of a sector [dBm]
    noise_figure_db : noise figure of the receivers [dB]
    sectors : sectors per site: one omnidirectional antenna, or three sectors of 120 degrees
    antenna_gain_dbi : gain in the main lobe [dBi]
    downtilt_deg : angle of the main lobe below the horizon, with three sectors [degrees]
    backhaul_bps : rate of each message between two stations, or of each station's link to the
        backhaul if it is shared [bit/s]; none: infinite
    backhaul_delay_s : propagation delay between two stations [s]
    backhaul_shared : whether messages follow each other on one link per station and direction;
        otherwise they do not affect each other
    backhaul_queue_bytes : size of the queue of a shared link, for each direction; a message that
        does not fit is lost [byte]; none: unlimited
    """

    count: Annotated[int, Field(ge=1, le=1000)] = 1
    positions_m: tuple[Position, ...] = ()
    height_m: Annotated[float, Field(gt=0, le=1e4)] = 10.0
    tx_power_dbm: Annotated[float, Field(ge=-100, le=100)] = 36.0
    noise_figure_db: Annotated[float, Field(ge=0, le=50)] = 5.0
    sectors: Literal[1, 3] = 1
    antenna_gain_dbi: Annotated[float, Field(ge=-50, le=50)] = 8.0
    downtilt_deg: Annotated[float, Field(ge=-90, le=90)] = 0.0
    backhaul_bps: Annotated[float, Field(gt=0)] | None = None
    backhaul_delay_s: Annotated[float, Field(ge=0, le=1e6)] = 0.0
    backhaul_shared: bool = False
    backhaul_queue_bytes: Annotated[int, Field(ge=1)] | None = None

    def __post_init__(self) -> None:
        if self.backhaul_shared and self.backhaul_bps is None:
            raise ValueError(
                "backhaul_shared needs backhaul_bps, the rate that is shared, got none"
            )
        if self.backhaul_queue_bytes is not None and not self.backhaul_shared:
            raise ValueError(
                "backhaul_queue_bytes is for backhaul_shared, without which no message waits, got "
                f"{self.backhaul_queue_bytes}"
            )

    def sites_m(self, area_m: tuple[float, float]) -> Floats:
        """Return the positions of the stations, sector by sector, (count * sectors, 2) [m]."""
        places = np.array(self.positions_m, dtype=np.float64).reshape(-1, 2)
        if not self.positions_m:
            columns = math.ceil(math.sqrt(self.count * area_m[0] / area_m[1]))
            rows = math.ceil(self.count / columns)
            number = np.arange(self.count)
            x, y = number % columns, number // columns
            places = np.stack(
                [(x + 0.5) / columns * area_m[0], (y + 0.5) / rows * area_m[1]], axis=-1
            )
        return np.repeat(places, self.sectors, axis=0)

    def antennas(self) -> list[Antenna]:
        """Return the antenna of each station, site by site."""
        sites = len(self.positions_m) or self.count
        if self.sectors == 1:
            return [Isotropic(gain_dbi=self.antenna_gain_dbi)] * sites
        each: list[Antenna] = [
            Sector(
                boresight_deg=_FIRST_BORESIGHT_DEG + 120.0 * sector,
                gain_dbi=self.antenna_gain_dbi,
                downtilt_deg=self.downtilt_deg,
            )
            for sector in range(3)
        ]
        return each * sites
