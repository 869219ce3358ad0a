"""Large-scale gain on a time grid: path loss, line of sight, shadow fading, antennas, O2I loss.

These vary over meters, not wavelengths, so they are evaluated at multiples of a time step and
interpolated linearly in decibels. The grid does not depend on the requests, so neither does the
value at an instant.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wnsim import kernels
from wnsim.channel.heights import lifted_m
from wnsim.channel.links import LinkRows, grown, members, ordered
from wnsim.channel.nodes import Nodes
from wnsim.channel.propagation import heights_by_role_m
from wnsim.channel.propagation_scene import Geometry, Scene
from wnsim.channel.satellite_links import SatelliteLinks
from wnsim.core.units import Floats, Ints
from wnsim.kernels.layout import plain

Position = Callable[[Ints, Floats], Floats]

MIN_STEP_MS = 50
MAX_STEP_MS = 1000
# A link's recent grid values are kept in a ring buffer, for as many links as fit the table.
_RING = 16
_MAX_LINKS = 1 << 18
# This many links at a single instant are evaluated once and not kept.
_CROWD = 1 << 12
# So few are not worth searching for duplicates.
_FEW = 64
# Links times instants evaluated in one batch.
_SLAB = 1 << 18
_NEVER = np.iinfo(np.int64).min


@dataclass(frozen=True)
class Instants:
    """Instants with their neighbors on the grid.

    Parameters
    ----------
    grid : (G,) sorted multiples of the step
    left, right : (T,) indices in the grid of the points before and after each instant
    fraction : (T,) fraction of the step from left to right
    """

    grid: Ints
    left: Ints
    right: Ints
    fraction: Floats


class LargeScale:
    """Slowly varying gain of all links: a pure function of seed, link and time.

    Parameters
    ----------
    scene, station_scene : path loss and shadow fading of links between two devices, and of links
        with at least one base station
    nodes : heights, roles, antennas and O2I losses of all nodes
    position : positions (n, T, 2) [m] of nodes (n,) at instants (T,) [s]
    max_speed_mps : upper bound of all nodes' speed [m/s]
    absorption_db_per_m : loss of the air on top of the path loss [dB/m]
    satellites : links with satellites; none: there are none

    Attributes
    ----------
    step_s : step of the time grid [s]: the time in which two devices at top speed move by a tenth
        of the shortest decorrelation distance, in whole milliseconds from 50 ms to 1 s
    """

    def __init__(
        self,
        scene: Scene,
        station_scene: Scene,
        nodes: Nodes,
        position: Position,
        max_speed_mps: float,
        absorption_db_per_m: float = 0.0,
        satellites: SatelliteLinks | None = None,
    ) -> None:
        self._satellites = satellites
        self._absorption_db_per_m = absorption_db_per_m
        self._scene, self._station_scene = scene, station_scene
        self._nodes = nodes
        self._any_station = bool(nodes.stations.any())
        self._any_indoor = bool(nodes.indoor.any())
        self._level = nodes.heights.level(~nodes.stations)
        self._datum_m = float(nodes.heights.lowest_m.min(where=~nodes.stations, initial=np.inf))
        self._position = position
        shortest_m = min(scene.correlation_m, station_scene.correlation_m)
        if satellites is not None:
            shortest_m = min(shortest_m, satellites.correlation_m)
        step_ms = math.inf
        if max_speed_mps > 0.0:
            step_ms = 1000.0 * shortest_m / 10.0 / (2.0 * max_speed_mps)
        self._step_ms = int(min(max(step_ms, MIN_STEP_MS), MAX_STEP_MS))
        self.step_s = self._step_ms / 1000.0
        self._rows = LinkRows(_MAX_LINKS)
        self._ring = np.empty((0, _RING))
        self._stamp = np.empty((0, _RING), dtype=np.int64)

    def gain_db(self, source: Ints, target: Ints, t_s: Floats) -> Floats:
        """Return the gain of path loss, shadow fading, antennas and O2I losses.

        Parameters
        ----------
        source, target : (L,) ends of the links; both directions have the same gain
        t_s : (T,) instants [s]

        Returns
        -------
        (L, T) gain [dB], usually negative
        """
        return self.interpolated(source, target, self.instants(t_s))

    def instants(self, t_s: Floats) -> Instants:
        """Return instants (T,) [s] with their neighbors on the grid."""
        t_s = plain(np.asarray(t_s, dtype=np.float64))
        if (t_s[1:] >= t_s[:-1]).all():
            return Instants(*kernels.gains.neighbors(t_s, self._step_ms))
        ascending, place = np.unique(t_s, return_inverse=True)
        at = self.instants(ascending)
        return Instants(at.grid, at.left[place], at.right[place], at.fraction[place])

    def interpolated(self, source: Ints, target: Ints, at: Instants) -> Floats:
        """Return the gain (L, T) [dB] at instants that are requested repeatedly; see `gain_db`."""
        low, high = ordered(source, target)
        values_db = self._on_grid(low, high, at.grid)
        return kernels.gains.interpolate_db(values_db, at.left, at.right, at.fraction)

    def line_of_sight(self, source: Ints, target: Ints, t_s: Floats) -> Floats:
        """Return the soft LOS state, 0 to 1, of links (L,) at instants (T,)."""
        low, high = ordered(source, target)
        at = self._geometry(low, high, np.asarray(t_s, dtype=np.float64))
        weight = np.empty(at.d2d_m.shape)
        for scene, links in self._scenes(low, high):
            weight[links] = scene.states(at.of(links))[0]
        return weight

    def _on_grid(self, low: Ints, high: Ints, grid: Ints) -> Floats:
        """Return the gain (L, G) [dB] at sorted grid multiples (G,), from the ring buffers."""
        glance = grid.size == 1 and low.size > _CROWD
        if glance or not grid.size or grid[-1] - grid[0] >= _RING or low.size > _MAX_LINKS:
            return self._evaluated(low, high, grid)
        rows, new = self._rows(low, high)
        self._ring = grown(self._ring, len(self._rows))
        self._stamp = grown(self._stamp, len(self._rows))
        self._stamp[len(self._rows) - new.size : len(self._rows)] = _NEVER
        links, instants = kernels.gains.stale(self._stamp, rows, grid)
        if links.size:
            values_db = self._evaluated(low[links], high[links], grid[instants])
            kernels.gains.keep(self._ring, self._stamp, rows[links], grid[instants], values_db)
        return kernels.gains.kept(self._ring, rows, grid)

    def _evaluated(self, low: Ints, high: Ints, grid: Ints) -> Floats:
        """Return the gain (L, G) [dB] at grid multiples (G,), a few instants at a time."""
        place: Ints | slice = slice(None)
        if low.size > _FEW:
            # Both directions of a link are often requested together.
            link, place = np.unique(low << 32 | high, return_inverse=True)
            low, high = link >> 32, link & 0xFFFFFFFF
        gain_db = np.empty((low.size, grid.size))
        step = max(1, _SLAB // max(1, low.size))
        for start in range(0, grid.size, step):
            window = slice(start, start + step)
            gain_db[:, window] = self._evaluate(low, high, grid[window])
        return gain_db if isinstance(place, slice) else gain_db[place]

    def _evaluate(self, low: Ints, high: Ints, grid: Ints) -> Floats:
        """Return the gain (L, G) [dB] at grid multiples (G,)."""
        if self._satellites is None:
            return self._on_ground(low, high, grid)
        over = self._satellites.among(high)
        gain_db, t_s = np.empty((low.size, grid.size)), grid.astype(np.float64) * self.step_s
        if over.any():
            places_m = self._position(low[over], t_s)
            gain_db[over] = self._satellites.gain_db(low[over], high[over], places_m, t_s)
        if not over.all():
            gain_db[~over] = self._on_ground(low[~over], high[~over], grid)
        return gain_db

    def _on_ground(self, low: Ints, high: Ints, grid: Ints) -> Floats:
        """Return the gain (L, G) [dB] of links on the ground at grid multiples (G,)."""
        at = self._geometry(low, high, grid.astype(np.float64) * self.step_s)
        antennas, penetration_db = self._nodes.antennas, self._nodes.penetration_db
        if antennas.directive:
            towards_m = (at.positions_m[at.second] - at.positions_m[at.first])[..., :2]
            rise_m = at.h_high_m - at.h_low_m
            antenna_db = antennas.gain_db(low, towards_m, rise_m) + antennas.gain_db(
                high, -towards_m, -rise_m
            )
        else:
            antenna_db = (antennas.peak_dbi[low] + antennas.peak_dbi[high])[:, None]
        gain_db = antenna_db - (penetration_db[low] + penetration_db[high])[:, None]
        if not self._any_station:
            gain_db = gain_db + self._scene.gain_db(at)
        else:
            gain_db = np.repeat(gain_db, at.d2d_m.shape[1] // gain_db.shape[1], axis=1)
            for scene, links in self._scenes(low, high):
                gain_db[links] += scene.gain_db(at.of(links))
        if self._absorption_db_per_m > 0.0:
            apart_m = np.hypot(at.d2d_m, at.h_high_m - at.h_low_m)
            gain_db -= self._absorption_db_per_m * apart_m
        return gain_db

    def _scenes(self, low: Ints, high: Ints) -> list[tuple[Scene, NDArray[np.bool_]]]:
        """Return the scenes and the links of each."""
        if not self._any_station:
            return [(self._scene, np.ones(low.size, dtype=np.bool_))]
        station = self._nodes.stations[low] | self._nodes.stations[high]
        scenes = ((self._station_scene, station), (self._scene, ~station))
        return [(scene, links) for scene, links in scenes if links.any()]

    def _geometry(self, low: Ints, high: Ints, t_s: Floats) -> Geometry:
        """Return the geometry of the ends of links."""
        nodes, first, second = members(low, high)
        positions_m = plain(self._position(nodes, t_s))
        d2d_m, nearest_m, farthest_m = kernels.link_geometry.distances(positions_m, first, second)
        heights_m = self._nodes.heights.at_m(nodes, t_s)
        stations = self._nodes.stations[:, None]
        ends_m = heights_m[first], heights_m[second]
        if self._any_station:
            roles_m = heights_by_role_m(ends_m, (stations[low], stations[high]))
        else:
            roles_m = np.maximum(*ends_m), np.minimum(*ends_m)
        if not self._level:
            # Heights over the lowest device, so that the links of devices there do not depend on
            # the height of others; stations, which do not move, count as one with it.
            rise_m = np.where(stations[nodes], 0.0, heights_m - self._datum_m)
            positions_m = lifted_m(positions_m, rise_m)
        indoor = np.zeros(low.size, dtype=np.bool_)
        if self._any_indoor:
            indoor = self._nodes.indoor[low] | self._nodes.indoor[high]
        return Geometry(
            low, high, positions_m, first, second, *ends_m, *roles_m, d2d_m, t_s, indoor,
            (nearest_m, farthest_m),
        )  # fmt: skip
