"""Path loss, line of sight and shadow fading of links, on a common grid of instants.

These change over metres, not over wavelengths, so they are evaluated at the multiples of one step
of time and interpolated linearly in decibels. The grid does not depend on what is asked for, so
neither does the value at an instant.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from wnsim.channel.links import LinkRows, ordered
from wnsim.channel.path_loss import PathLoss
from wnsim.channel.shadowing import LineOfSight, Shadowing, shadow_field
from wnsim.units import Floats, Ints

Position = Callable[[Ints, Floats], Floats]

MIN_STEP_MS = 50
MAX_STEP_MS = 1000
# A link's most recent grid values are kept in a ring, for as many links as fit the table.
_RING = 128
_MAX_LINKS = 1 << 14


class LargeScale:
    """The slowly varying gain of all links, a pure function of seed, link and time.

    Parameters
    ----------
    path_loss, shadowing : models of the propagation scenario
    frequency_hz : carrier frequency [Hz]
    heights_m : (N,) antenna heights of the devices [m]
    position : positions (n, T, 2) [m] of devices (n,) at instants (T,) [s]
    max_speed_mps : upper bound of any device's speed [m/s]
    seed : seed of the scenario

    Attributes
    ----------
    step_s : step of the grid of instants [s]: the time in which two devices at top speed change
        their places by a tenth of the shortest decorrelation distance, in whole milliseconds
        from 50 ms to 1 s
    """

    def __init__(
        self,
        path_loss: PathLoss,
        shadowing: Shadowing,
        frequency_hz: float,
        heights_m: Floats,
        position: Position,
        max_speed_mps: float,
        seed: int,
    ) -> None:
        self._path_loss = path_loss
        self._frequency_hz = frequency_hz
        self._heights_m = heights_m
        self._position = position
        self._line_of_sight = LineOfSight(path_loss.los_correlation_m, shadowing.waves, seed)
        self._sigma_db = {}
        self._field = {}
        for los in (True, False):
            sigma_db, correlation_m = path_loss.shadow(los)
            if shadowing.sigma_db is not None:
                sigma_db = shadowing.sigma_db
            if shadowing.correlation_m is not None:
                correlation_m = shadowing.correlation_m
            self._sigma_db[los] = sigma_db
            self._field[los] = shadow_field(correlation_m, shadowing.waves, seed, los)
        shortest_m = min(field.correlation_m for field in self._field.values())
        step_ms = math.inf
        if max_speed_mps > 0.0:
            step_ms = 1000.0 * shortest_m / 10.0 / (2.0 * max_speed_mps)
        self._step_ms = int(min(max(step_ms, MIN_STEP_MS), MAX_STEP_MS))
        self.step_s = self._step_ms / 1000.0
        self._rows = LinkRows(_MAX_LINKS)
        self._ring = np.empty((0, _RING))
        self._stamp = np.empty((0, _RING), dtype=np.int64)

    def gain_db(self, source: Ints, target: Ints, t_s: Floats) -> Floats:
        """Return the gain of path loss and shadow fading.

        Parameters
        ----------
        source, target : (L,) ends of the links; both directions have the same gain
        t_s : (T,) instants [s]

        Returns
        -------
        (L, T) gain [dB], usually negative
        """
        low, high = ordered(source, target)
        steps = np.asarray(t_s, dtype=np.float64) * 1000.0 / self._step_ms
        before = np.floor(steps)
        fraction = steps - before
        left = before.astype(np.int64)
        grid, place = np.unique(np.concatenate([left, left + 1]), return_inverse=True)
        values = self._on_grid(low, high, grid)
        start = values[:, place[: left.size]]
        return start + (values[:, place[left.size :]] - start) * fraction

    def line_of_sight(self, source: Ints, target: Ints, t_s: Floats) -> Floats:
        """Return the weight of the line-of-sight state, 0 to 1, for links (L,) at instants (T,)."""
        low, high = ordered(source, target)
        return self._state(low, high, np.asarray(t_s, dtype=np.float64))[0]

    def _on_grid(self, low: Ints, high: Ints, grid: Ints) -> Floats:
        """Return the gain (L, G) [dB] at sorted multiples (G,) of the step, from the rings."""
        if grid.size == 0 or grid[-1] - grid[0] >= _RING or low.size > _MAX_LINKS:
            return self._evaluate(low, high, grid)
        rows, known = self._rows(low, high)
        if len(self._rows) > self._ring.shape[0]:
            room = (len(self._rows), _RING)
            self._ring = np.concatenate([self._ring, np.empty(room)])
            self._stamp = np.concatenate([self._stamp, np.empty(room, dtype=np.int64)])
        self._stamp[known : len(self._rows)] = np.iinfo(np.int64).min
        slot = grid % _RING
        stale = self._stamp[rows[:, None], slot] != grid
        links, instants = stale.any(axis=1), stale.any(axis=0)
        if links.any():
            where = np.ix_(rows[links], slot[instants])
            self._ring[where] = self._evaluate(low[links], high[links], grid[instants])
            self._stamp[where] = grid[instants]
        return self._ring[rows[:, None], slot]

    def _evaluate(self, low: Ints, high: Ints, grid: Ints) -> Floats:
        """Return the gain (L, G) [dB] at multiples (G,) of the step."""
        # Both directions of a link are often asked for at once.
        link, place = np.unique(low << 32 | high, return_inverse=True)
        low, high = link >> 32, link & 0xFFFFFFFF
        weight, d2d_m, places_m, first, second = self._state(
            low, high, grid.astype(np.float64) * self.step_s
        )
        gain_db = np.zeros(weight.shape)
        for los, share in ((True, weight), (False, 1.0 - weight)):
            links = share.any(axis=1)
            if not links.any():
                continue
            state_db = -self._path_loss.loss_db(
                d2d_m[links],
                self._heights_m[low[links]][:, None],
                self._heights_m[high[links]][:, None],
                self._frequency_hz,
                los,
            )
            if self._sigma_db[los] > 0.0:
                field = self._field[los].between(places_m, first[links], second[links])
                state_db += self._sigma_db[los] * field
            gain_db[links] += share[links] * state_db
        return gain_db[place]

    def _state(
        self, low: Ints, high: Ints, t_s: Floats
    ) -> tuple[Floats, Floats, Floats, Ints, Ints]:
        """Return line-of-sight weight and ground distance (L, T), and where the devices are."""
        devices, place = np.unique(np.concatenate([low, high]), return_inverse=True)
        first, second = place[: low.size], place[low.size :]
        places_m = self._position(devices, t_s)
        d2d_m = np.hypot(*np.moveaxis(places_m[first] - places_m[second], -1, 0))
        probability = self._path_loss.los_probability(
            d2d_m, self._heights_m[low][:, None], self._heights_m[high][:, None]
        )
        weight = self._line_of_sight.state(probability, places_m, first, second)
        return weight, d2d_m, places_m, first, second
