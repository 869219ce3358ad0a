"""Gains of a scenario's links from the paths between traced points."""

from __future__ import annotations

import math
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from wnsim import kernels
from wnsim.channel.ray_tracing.path_matching import Corner, matched
from wnsim.channel.ray_tracing.paths import TracedPaths
from wnsim.channel.ray_tracing.points import Cells, Points
from wnsim.core.units import SPEED_OF_LIGHT_MPS, Floats, Ints, db_to_linear, linear_to_db
from wnsim.kernels.layout import plain

Complexes = NDArray[np.complex128]


class TracedLinks:
    """Links between devices and base stations, by the traced points next to them.

    A base station is at a transmitter, and a device at the receivers around it. Of two devices, or
    of two stations, the one with the lower number is at the transmitter next to it.

    Parameters
    ----------
    paths : traced paths
    count : number of devices, whose numbers come before those of the base stations
    transmitters : transmitter of each base station
    origin_m : (2,) position in the file of the area's corner (0, 0) [m]
    linear : whether paths are interpolated between four receivers, instead of those of the nearest
    snap_m : distance from all receivers beyond which a device is out of coverage [m]; none: their
        largest distance from the nearest other one

    Raises
    ------
    ValueError
        if receivers are at one position, or are not on a grid that interpolation needs
    """

    def __init__(
        self,
        paths: TracedPaths,
        count: int,
        transmitters: list[int],
        origin_m: Floats,
        *,
        linear: bool = False,
        snap_m: float | None = None,
    ) -> None:
        self.paths = paths
        self._count = count
        self._stations = np.array(transmitters, dtype=np.int64)
        self._origin_m = np.asarray(origin_m, dtype=np.float64)
        self._per_m = paths.frequency_hz / SPEED_OF_LIGHT_MPS
        shape = paths.gain_db.shape
        there = ~np.isnan(paths.gain_db)
        # Absent paths have no amplitude.
        gain = db_to_linear(np.where(there, paths.gain_db, 0.0))
        self._power = np.where(there, gain, 0.0)
        self._coherent = paths.phase_deg is not None
        self._phase = _clean(paths.phase_deg, there, shape) / 360.0
        self._delay_s = _clean(paths.delay_s, there, shape)
        self._sequence = (
            np.zeros(shape, dtype=np.int64) if paths.interactions is None else paths.interactions
        )
        self._arrival = _directions(paths.arrival_deg, there, shape)
        self._departure = _directions(paths.departure_deg, there, shape)
        try:
            self._receivers = Points(paths.rx_m[:, :2], snap_m)
            self._cells = Cells(paths.rx_m[:, :2]) if linear else None
        except ValueError as error:
            raise paths.error(str(error)) from None
        if linear and paths.delay_s is None:
            raise paths.error(
                "interpolation linear needs delay_s, the lengths of paths, and there is none"
            )
        # Interpolated paths of cells, by transmitter and corners; see `_row`.
        self._rows: dict[tuple[int, ...], int] = {}
        self._tables: list[Floats] = []
        self._begin: list[int] = [0]
        self._stacked, self._starts = np.empty((0, 6, 4)), np.zeros(1, dtype=np.int64)

    def traces_both_ends(self) -> bool:
        """Return whether each receiver has a transmitter next to it.

        Raises
        ------
        ValueError
            if two transmitters are at one position
        """
        return bool((self._senders.nearest(self._receivers.places_m) >= 0).all())

    def mean_gain_db(
        self, source: Ints, target: Ints, x_source_m: Floats, x_target_m: Floats
    ) -> Floats:
        """Return the sum of the powers of the paths.

        Parameters
        ----------
        source, target : (L,) ends of the links; both directions have the same gain
        x_source_m, x_target_m : (L, T, 2) positions of the ends in the area [m]

        Returns
        -------
        (L, T) gain [dB], minus infinity without paths
        """
        tx, _, x_rx_m = self._ends(source, target, x_source_m, x_target_m)
        if self._cells is None:
            rx = self._receivers.nearest(x_rx_m)
            power = self._power[tx, rx].sum(axis=-1)
            return linear_to_db(np.where((tx >= 0) & (rx >= 0), power, 0.0))
        rows, weights = self._interpolated(self._cells, tx, x_rx_m)
        power = kernels.traced_paths.cell_power(self._stacked, self._starts, rows, weights)
        return linear_to_db(power)

    def response(
        self,
        source: Ints,
        target: Ints,
        x_source_m: Floats,
        x_target_m: Floats,
        offsets_hz: Floats,
    ) -> Complexes:
        """Return the channel's complex amplitude.

        Parameters
        ----------
        source, target : (L,) ends of the links; both directions are the same channel
        x_source_m, x_target_m : (L, T, 2) positions of the ends in the area [m]
        offsets_hz : (B,) distance of the subbands' centers from the carrier [Hz]

        Returns
        -------
        (L, T, B) amplitudes; without known phases the root of the mean gain
        """
        if not self._coherent:
            gain = db_to_linear(self.mean_gain_db(source, target, x_source_m, x_target_m))
            amplitude = np.sqrt(gain)[..., None].astype(np.complex128)
            return np.repeat(amplitude, offsets_hz.size, axis=-1)
        tx, x_tx_m, x_rx_m = self._ends(source, target, x_source_m, x_target_m)
        if self._cells is not None:
            rows, weights = self._interpolated(self._cells, tx, x_rx_m)
            return kernels.traced_paths.cell_response(
                self._stacked, self._starts, rows, weights, plain(x_rx_m), self._per_m, offsets_hz
            )
        rx = self._receivers.nearest(x_rx_m)
        return kernels.traced_paths.point_response(
            self._power,
            self._phase,
            self._delay_s,
            self._departure,
            self._arrival,
            plain(tx),
            rx,
            plain(x_tx_m - self.paths.tx_m[tx, :2]),
            plain(x_rx_m - self._receivers.places_m[rx]),
            self._per_m,
            offsets_hz,
        )

    def _ends(
        self, source: Ints, target: Ints, x_source_m: Floats, x_target_m: Floats
    ) -> tuple[Ints, Floats, Floats]:
        """Return the transmitters (L, T), -1 for none, and positions of both ends in the file."""
        source, target = np.asarray(source), np.asarray(target)
        own, other = source >= self._count, target >= self._count
        # A station transmits, or of two equals the lower number.
        swap = (other & ~own) | ((own == other) & (source > target))
        first, second = x_source_m, x_target_m
        x_tx_m = np.where(swap[:, None, None], second, first) + self._origin_m
        x_rx_m = np.where(swap[:, None, None], first, second) + self._origin_m
        sender = np.where(swap, target, source)
        tx = np.full(x_tx_m.shape[:2], -1, dtype=np.int64)
        fixed = sender >= self._count
        tx[fixed] = self._stations[sender[fixed] - self._count][:, None]
        if not fixed.all():
            tx[~fixed] = self._senders.nearest(x_tx_m[~fixed])
        return tx, x_tx_m, x_rx_m

    @cached_property
    def _senders(self) -> Points:
        """The transmitters as points next to which a device may be."""
        try:
            return Points(self.paths.tx_m[:, :2], self._receivers.reach_m)
        except ValueError as error:
            raise self.paths.error(str(error)) from None

    def _interpolated(self, cells: Cells, tx: Ints, x_rx_m: Floats) -> tuple[Ints, Floats]:
        """Return the rows (L, T) of interpolated paths, -1 for none, and weights (L, T, 4)."""
        corners, weights = cells.around(x_rx_m)
        inside = (tx >= 0) & (self._receivers.nearest(x_rx_m) >= 0)
        names = np.concatenate([tx[..., None], corners], axis=-1).reshape(-1, 5)
        distinct, place = np.unique(names, axis=0, return_inverse=True)
        rows = np.array(
            [self._row(tx, tuple(corners)) for tx, *corners in distinct.tolist()], dtype=np.int64
        )
        if self._tables:
            self._stacked = np.concatenate([self._stacked, *self._tables])
            self._starts, self._tables = np.array(self._begin, dtype=np.int64), []
        return np.where(inside, rows[place.reshape(tx.shape)], -1), plain(weights)

    def _row(self, tx: int, corners: tuple[int, ...]) -> int:
        """Return the row of the paths from a transmitter to four receivers, -1 for none.

        Path k of row r is entry begin[r] + k of the table; see `wnsim.kernels.traced_paths`.
        """
        row = self._rows.get((tx, *corners))
        if row is None:
            row = self._rows[tx, *corners] = len(self._begin) - 1
            slots = [
                np.flatnonzero(self._power[tx, rx]) if min(tx, rx) >= 0 else np.empty(0, np.int64)
                for rx in corners
            ]
            tracks = matched(
                [
                    Corner(
                        self._receivers.places_m[rx],
                        SPEED_OF_LIGHT_MPS * self._delay_s[tx, rx, slot],
                        self._arrival[tx, rx, slot],
                        self._sequence[tx, rx, slot],
                    )
                    for rx, slot in zip(corners, slots, strict=True)
                ]
            )
            table = np.zeros((len(tracks), 6, 4))
            for corner, (rx, slot) in enumerate(zip(corners, slots, strict=True)):
                known = tracks[:, corner] >= 0
                path = slot[tracks[known, corner]]
                length_m = SPEED_OF_LIGHT_MPS * self._delay_s[tx, rx, path]
                turns = self._phase[tx, rx, path] + (length_m * self._per_m) % 1.0
                table[known, 0, corner] = np.sqrt(self._power[tx, rx, path])
                half = 0.5 * self._arrival[tx, rx, path]
                table[known, 1, corner] = length_m + half @ self._receivers.places_m[rx]
                table[known, 2:4, corner] = half
                table[known, 4, corner] = np.cos(2.0 * math.pi * turns)
                table[known, 5, corner] = np.sin(2.0 * math.pi * turns)
            self._tables.append(table)
            self._begin.append(self._begin[-1] + len(tracks))
        return row


def _clean(
    values: NDArray[np.floating] | None, there: NDArray[np.bool_], shape: tuple[int, ...]
) -> Floats:
    """Return values, zero where there is no path or nothing is known."""
    if values is None:
        return np.zeros(shape)
    return np.where(there, values, 0.0).astype(np.float64)


def _directions(
    angles_deg: NDArray[np.floating] | None, there: NDArray[np.bool_], shape: tuple[int, ...]
) -> Floats:
    """Return the horizontal part (..., 2) of unit vectors from azimuth and zenith angles."""
    if angles_deg is None:
        return np.zeros((*shape, 2))
    azimuth, zenith = np.radians(np.moveaxis(angles_deg.astype(np.float64), -1, 0))
    across = np.sin(zenith)
    found = np.stack([across * np.cos(azimuth), across * np.sin(azimuth)], axis=-1)
    return np.where(there[..., None], found, 0.0)
