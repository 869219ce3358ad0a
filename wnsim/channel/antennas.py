"""Antenna patterns: gain of each end of a link in the direction of the other end.

Scope: power gain only, one port, vertical polarization; the pattern multiplies the whole channel in
the direction of the straight line between the ends, not each path separately.

Sources: 3GPP TR 38.901, Table 7.3-1 (radiation power pattern of a single antenna element).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal, Protocol

import numpy as np
from pydantic import Field

from wnsim.core.params import parameters
from wnsim.core.units import Floats, Ints


class Antenna(Protocol):
    """Interface of an antenna; antennas must be hashable, and equal if their parameters are."""

    @property
    def peak_dbi(self) -> float:
        """Largest gain in any direction [dBi]."""
        ...

    def pattern_dbi(self, azimuth_deg: Floats, elevation_deg: Floats) -> Floats:
        """Return the gain by direction.

        Parameters
        ----------
        azimuth_deg : (...,) direction in the plane, from the x axis towards the y axis [degrees]
        elevation_deg : (...,) angle above the horizon, -90 to 90 [degrees]

        Returns
        -------
        (...,) gain [dBi]
        """
        ...


@parameters
class Isotropic:
    """Isotropic antenna.

    Parameters
    ----------
    gain_dbi : gain in every direction [dBi]
    """

    model: Literal["isotropic"] = "isotropic"
    gain_dbi: Annotated[float, Field(ge=-100.0, le=100.0)] = 0.0

    @property
    def peak_dbi(self) -> float:
        """Gain in every direction [dBi]."""
        return self.gain_dbi

    def pattern_dbi(self, azimuth_deg: Floats, elevation_deg: Floats) -> Floats:
        """Return the gain [dBi], equal in all directions."""
        return np.full(np.broadcast_shapes(azimuth_deg.shape, elevation_deg.shape), self.gain_dbi)


@parameters
class Sector:
    """Sector antenna of TR 38.901: parabolic patterns in decibels over azimuth and elevation.

    The tilt shifts the vertical pattern, as an electrical tilt does; the coordinate rotation of a
    mechanical tilt is not modelled.

    Parameters
    ----------
    boresight_deg : direction of the main lobe, from the x axis towards the y axis [degrees]
    gain_dbi : gain in the main lobe [dBi]
    beamwidth_deg : 3 dB beamwidth, horizontal and vertical [degrees]
    front_to_back_db : largest attenuation, in each plane and in total [dB]
    downtilt_deg : angle of the main lobe below the horizon [degrees]
    """

    model: Literal["sector"] = "sector"
    boresight_deg: Annotated[float, Field(ge=-360.0, le=360.0)] = 0.0
    gain_dbi: Annotated[float, Field(ge=-100.0, le=100.0)] = 8.0
    beamwidth_deg: Annotated[float, Field(gt=0.0, le=360.0)] = 65.0
    front_to_back_db: Annotated[float, Field(ge=0.0, le=200.0)] = 30.0
    downtilt_deg: Annotated[float, Field(ge=-90.0, le=90.0)] = 0.0

    @property
    def peak_dbi(self) -> float:
        """Gain in the main lobe [dBi]."""
        return self.gain_dbi

    def pattern_dbi(self, azimuth_deg: Floats, elevation_deg: Floats) -> Floats:
        """Return the gain by direction [dBi]; see `Antenna`."""
        turn_deg = (azimuth_deg - self.boresight_deg + 180.0) % 360.0 - 180.0
        rise_deg = elevation_deg + self.downtilt_deg
        floor_db = self.front_to_back_db
        loss_db = np.minimum(12.0 * (turn_deg / self.beamwidth_deg) ** 2, floor_db) + np.minimum(
            12.0 * (rise_deg / self.beamwidth_deg) ** 2, floor_db
        )
        return np.asarray(self.gain_dbi - np.minimum(loss_db, floor_db))


ANTENNAS: dict[str, type[Antenna]] = {"isotropic": Isotropic, "sector": Sector}


class Mounted:
    """Antennas of all nodes.

    Parameters
    ----------
    antennas : one antenna per node; None: isotropic antennas of 0 dBi
    count : N, number of nodes

    Attributes
    ----------
    peak_dbi : (N,) largest gain in any direction [dBi]
    directive : whether any antenna is directional

    Raises
    ------
    ValueError
        if the number of antennas differs from the number of nodes
    """

    def __init__(self, antennas: Sequence[Antenna] | None, count: int) -> None:
        if antennas is None:
            antennas = [Isotropic()] * count
        if len(antennas) != count:
            raise ValueError(f"antennas must be one for each of {count}, got {len(antennas)}")
        self.peak_dbi = np.array([antenna.peak_dbi for antenna in antennas], dtype=np.float64)
        kinds = {antenna: None for antenna in antennas if not isinstance(antenna, Isotropic)}
        self._directive = dict(enumerate(kinds))
        self.directive = bool(kinds)
        number = {antenna: n for n, antenna in self._directive.items()}
        self._kind = np.array([number.get(antenna, -1) for antenna in antennas], dtype=np.int64)

    def gain_db(self, devices: Ints, towards_m: Floats, rise_m: Floats) -> Floats:
        """Return the gain of nodes towards the other ends of their links.

        Parameters
        ----------
        devices : (L,) nodes
        towards_m : (L, T, 2) horizontal vector from the node to the other end [m]
        rise_m : (L, 1 or T) height of the other end above the node [m]

        Returns
        -------
        (L, T) gain [dBi]; straight up and down count as azimuth 0
        """
        gain_db = np.repeat(self.peak_dbi[devices][:, None], towards_m.shape[1], axis=1)
        if not self._directive:
            return gain_db
        kinds = self._kind[devices]
        for kind in np.unique(kinds[kinds >= 0]).tolist():
            links = kinds == kind
            east_m, north_m = np.moveaxis(towards_m[links], -1, 0)
            azimuth_deg = np.degrees(np.arctan2(north_m, east_m))
            elevation_deg = np.degrees(np.arctan2(rise_m[links], np.hypot(east_m, north_m)))
            gain_db[links] = self._directive[kind].pattern_dbi(azimuth_deg, elevation_deg)
        return gain_db
