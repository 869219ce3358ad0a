"""Gain of links between nodes on the ground and satellites.

A satellite is seen from a ground node at a slant range, an elevation and an azimuth, which take the
place of ground distance and heights. Obstacles are near the ground node: the line-of-sight state
and shadow fading follow from its position and from the direction to the satellite, as if the signal
passed a point 100 m away in this direction, so that they change as a satellite passes by; two
satellites in one direction are obstructed alike. The state changes at once: in the soft states of
TR 38.901 a rest of the direct wave would outweigh a signal below a clutter loss of 30 dB.

Scope: a satellite points its main lobe at each ground node. There are no links between satellites.
The Doppler shift of a satellite is taken as compensated before transmission, as TR 38.821, clause
6.1.1 assumes, so that fading is that of the motion of the ground node.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from wnsim.channel.nodes import Nodes
from wnsim.channel.propagation_scene import Geometry, Scene
from wnsim.core.units import Floats, Ints

# Distance of the obstacles [m], and place of the directions among positions, far from any area [m].
_OBSTACLES_M = 100.0
_DIRECTIONS_M = 1e8
# Gain between two satellites [dB].
_NONE_DB = -1000.0


@dataclass(frozen=True)
class Sight:
    """Direction and distance of satellites as seen from ground nodes.

    Parameters
    ----------
    range_m : (L, T) slant range [m]
    elevation, azimuth : (L, T) above the horizon, and from north over east [rad]
    """

    range_m: Floats
    elevation: Floats
    azimuth: Floats


class Sky(Protocol):
    """Satellites above ground nodes, as functions of time."""

    @property
    def first(self) -> int:
        """Number of the first satellite; smaller ones are nodes on the ground."""
        ...

    def sight(self, ground: Ints, satellites: Ints, t_s: Floats) -> Sight:
        """Return where satellites (L,) are seen from nodes (L,) at instants (T,) [s]."""
        ...


class SatelliteLinks:
    """Large-scale gain of links with a satellite.

    Parameters
    ----------
    sky : satellites
    scene : path loss and shadow fading of their links
    nodes : heights, antennas and O2I losses of all nodes
    """

    def __init__(self, sky: Sky, scene: Scene, nodes: Nodes) -> None:
        self._sky = sky
        self._scene = scene
        self._nodes = nodes
        self.correlation_m = scene.correlation_m

    def among(self, high: Ints) -> NDArray[np.bool_]:
        """Return which links (L,), by their end of the higher number, have a satellite."""
        return high >= self._sky.first

    def gain_db(self, low: Ints, high: Ints, places_m: Floats, t_s: Floats) -> Floats:
        """Return the gain of path loss, shadow fading, antennas and O2I losses.

        Parameters
        ----------
        low, high : (L,) ends of the links, the satellite second
        places_m : (L, T, 2) positions of the first ends [m]
        t_s : (T,) instants [s]

        Returns
        -------
        (L, T) gain [dB]
        """
        gain_db = np.full((low.size, t_s.size), _NONE_DB)
        ground = low < self._sky.first
        low, high, places_m = low[ground], high[ground], places_m[ground]
        if low.size:
            sight = self._sky.sight(low, high, t_s)
            gain_db[ground] = self._scene.gain_db(self._geometry(low, high, places_m, t_s, sight))
            gain_db[ground] += self._antennas_db(low, high, sight)
            gain_db[ground] -= self._nodes.penetration_db[low][:, None]
        return gain_db

    def _geometry(
        self, low: Ints, high: Ints, places_m: Floats, t_s: Floats, sight: Sight
    ) -> Geometry:
        """Return the geometry of links in the horizontal planes of their ground nodes."""
        d2d_m = sight.range_m * np.cos(sight.elevation)
        h_ut_m = np.broadcast_to(self._nodes.heights.at_m(low, t_s), d2d_m.shape)
        h_bs_m = h_ut_m + sight.range_m * np.sin(np.maximum(sight.elevation, 0.0))
        towards_m = _OBSTACLES_M * _horizontal(sight) + _DIRECTIONS_M
        links = np.arange(low.size)
        return Geometry(
            low, high, np.concatenate([places_m, towards_m]), links, links + low.size,
            h_ut_m, h_bs_m, h_bs_m, h_ut_m, d2d_m, t_s, self._nodes.indoor[low],
            (float(d2d_m.min()), float(d2d_m.max())),
        )  # fmt: skip

    def _antennas_db(self, low: Ints, high: Ints, sight: Sight) -> Floats:
        """Return the gains (L, T) of both antennas [dB]."""
        antennas = self._nodes.antennas
        ground_db = antennas.peak_dbi[low][:, None]
        if antennas.directive:
            rise_m = sight.range_m * np.sin(sight.elevation)
            ground_db = antennas.gain_db(low, sight.range_m[..., None] * _horizontal(sight), rise_m)
        return np.asarray(ground_db + antennas.peak_dbi[high][:, None])


def _horizontal(sight: Sight) -> Floats:
    """Return the horizontal part (L, T, 2) of the directions, east and north."""
    east, north = np.sin(sight.azimuth), np.cos(sight.azimuth)
    return np.stack([east, north], axis=-1) * np.cos(sight.elevation)[..., None]
