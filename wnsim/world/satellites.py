"""Satellites of a scenario: orbits, radios, and the place below them."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from wnsim.core.params import parameters
from wnsim.mobility.orbits import Circular, TwoLineElements


@parameters
class Satellites:
    """Satellites that receive, store and forward messages.

    A satellite has links with nodes on the ground, as long as it is above their horizon, and none
    with other satellites. The middle of the area is at a place on the Earth; base stations are
    ground stations, anywhere on it.

    Defaults of the radio are those of TR 38.821, Table 6.1.1.1-1, set 1, at 600 km in S band: 34
    dBW/MHz on 20 MHz and 1.1 dB/K.

    Parameters
    ----------
    orbit : orbits of the satellites
    latitude_deg, longitude_deg : geographic position of the middle of the area [degrees]
    min_elevation_deg : elevation below which there is no link [degrees]
    tx_power_dbm : total transmit power of a satellite [dBm]
    noise_figure_db : noise figure of its receiver [dB]
    antenna_gain_dbi : gain of its antenna, whose main lobe is steered to the other end [dBi]
    """

    orbit: Annotated[Circular | TwoLineElements, Field(discriminator="model")] = Field(
        default_factory=Circular
    )
    latitude_deg: Annotated[float, Field(ge=-90, le=90)] = 0.0
    longitude_deg: Annotated[float, Field(ge=-180, le=180)] = 0.0
    min_elevation_deg: Annotated[float, Field(ge=0, le=89)] = 10.0
    tx_power_dbm: Annotated[float, Field(ge=-100, le=100)] = 47.0
    noise_figure_db: Annotated[float, Field(ge=0, le=50)] = 4.3
    antenna_gain_dbi: Annotated[float, Field(ge=-50, le=80)] = 30.0
