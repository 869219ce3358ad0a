"""Configuration of a channel: carrier, geometry of the nodes, and propagation models."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wnsim.channel.antennas import Antenna
from wnsim.channel.fading import Fading
from wnsim.channel.heights import Heights
from wnsim.channel.large_scale import Position
from wnsim.channel.path_loss import PathLoss
from wnsim.channel.penetration import Penetration
from wnsim.channel.ray_tracing import TracedLinks
from wnsim.channel.replay import ReplayTable
from wnsim.channel.satellite_links import Sky
from wnsim.channel.shadowing import Shadowing
from wnsim.core.units import Floats


@dataclass(frozen=True, slots=True)
class Carrier:
    """Carrier and band.

    Parameters
    ----------
    frequency_hz : carrier frequency [Hz]
    bandwidth_hz : band around the carrier [Hz]
    subbands : B, number of equal parts of the band with separate responses, at their centres; one
        subband has the response at the carrier

    Raises
    ------
    ValueError
        if a parameter is outside its range
    """

    frequency_hz: float
    bandwidth_hz: float = 20e6
    subbands: int = 1

    def __post_init__(self) -> None:
        for name, value_hz in (
            ("frequency_hz", self.frequency_hz),
            ("bandwidth_hz", self.bandwidth_hz),
        ):
            if not 0.0 < value_hz < float("inf"):
                raise ValueError(f"{name} must be positive, got {value_hz}")
        if not self.bandwidth_hz < 2.0 * self.frequency_hz:
            raise ValueError(
                f"bandwidth_hz must be below twice the carrier's {self.frequency_hz:g} Hz, "
                f"got {self.bandwidth_hz:g}"
            )
        if self.subbands < 1:
            raise ValueError(f"subbands must be at least 1, got {self.subbands}")

    @property
    def offsets_hz(self) -> Floats:
        """Distances of the subbands' centers from the carrier, (B,) [Hz]."""
        return ((np.arange(self.subbands) + 0.5) / self.subbands - 0.5) * self.bandwidth_hz


@dataclass(frozen=True, slots=True)
class Geometry:
    """Nodes, which are devices and base stations: positions, heights, antennas and buildings.

    Parameters
    ----------
    heights_m : (N,) constant antenna heights [m], or heights that may change over time
    position : positions (n, T, 2) [m] of nodes (n,) at instants (T,) [s]
    max_speed_mps : upper bound of the speed of any node [m/s]
    stations : (N,) which nodes are base stations; none: no node
    antennas : an antenna for each node; none: isotropic antennas of 0 dBi
    indoor : (N,) which nodes are indoors; none: no node
    sky : satellites, the last nodes; none: there are none

    Raises
    ------
    ValueError
        if the speed is outside its range
    """

    heights_m: Floats | Heights
    position: Position
    max_speed_mps: float
    stations: NDArray[np.bool_] | None = None
    antennas: Sequence[Antenna] | None = None
    indoor: NDArray[np.bool_] | None = None
    sky: Sky | None = None

    def __post_init__(self) -> None:
        if not 0.0 <= self.max_speed_mps < float("inf"):
            raise ValueError(
                f"max_speed_mps must be finite and at least 0 m/s, got {self.max_speed_mps}"
            )


@dataclass(frozen=True, slots=True)
class Propagation:
    """Models of propagation.

    Parameters
    ----------
    path_loss, shadowing, fading : path loss, shadow fading and small-scale fading
    station_path_loss : path loss of links with at least one base station, with independent line of
        sight and shadow fading; none: `path_loss`
    satellite_path_loss : path loss of links with a satellite; none: `path_loss`
    penetration : outdoor-to-indoor loss, at each indoor end of a link; none: no loss
    oxygen_loss : whether oxygen absorbs power around 60 GHz
    replay : measured links; measured gains replace all models, and the gain of pairs that are not
        in the table is zero
    traced : traced links, which replace all models; they and replayed gains exclude each other
    """

    path_loss: PathLoss
    shadowing: Shadowing
    fading: Fading
    station_path_loss: PathLoss | None = None
    satellite_path_loss: PathLoss | None = None
    penetration: Penetration | None = None
    oxygen_loss: bool = True
    replay: ReplayTable | None = None
    traced: TracedLinks | None = None
