"""Traced points around a position: the nearest one, or the four of a cell of their grid."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from wnsim.core.units import Floats, Ints

if TYPE_CHECKING:
    from scipy.spatial import cKDTree

# Rounding of coordinates within which points are in one row or column of a grid [m].
_ROUNDING_M = 1e-3


class Points:
    """Traced points in the plane.

    Parameters
    ----------
    places_m : (R, 2) positions, no two of them equal [m]
    reach_m : distance beyond which a position has no nearest point [m]; none: the largest distance
        of a point from its nearest other one, or 1 m of a single point

    Raises
    ------
    ValueError
        if two points are at one position
    """

    def __init__(self, places_m: Floats, reach_m: float | None = None) -> None:
        self.places_m = places_m
        self._reach_m = reach_m
        ordered_m = places_m[np.lexsort(places_m.T)]
        same = (ordered_m[1:] == ordered_m[:-1]).all(axis=1)
        if same.any():
            x_m, y_m = ordered_m[1:][same][0].tolist()
            raise ValueError(
                f"traced points must differ in x or y, and two of them are at ({x_m:g}, {y_m:g}) m"
            )

    @cached_property
    def reach_m(self) -> float:
        """Distance beyond which a position has no nearest point [m]."""
        if self._reach_m is not None:
            return self._reach_m
        if len(self.places_m) == 1:
            return 1.0
        apart_m, _ = self._tree.query(self.places_m, k=2)
        return float(apart_m[:, 1].max())

    def nearest(self, places_m: Floats) -> Ints:
        """Return the nearest point (...,) of positions (..., 2) [m], or -1 if there is none."""
        apart_m, point = self._tree.query(places_m)
        return np.where(apart_m <= self.reach_m, point, -1).astype(np.int64)

    @cached_property
    def _tree(self) -> cKDTree:
        from scipy.spatial import cKDTree

        return cKDTree(self.places_m)


class Cells:
    """Cells between points that are on a rectangular grid, some of which may be missing.

    Parameters
    ----------
    places_m : (R, 2) positions [m]

    Raises
    ------
    ValueError
        if the points are not on a rectangular grid
    """

    def __init__(self, places_m: Floats) -> None:
        self._x_m, column = _levels(places_m[:, 0])
        self._y_m, row = _levels(places_m[:, 1])
        size = self._x_m.size * self._y_m.size
        if size > 4 * len(places_m):
            raise ValueError(
                "interpolation linear needs receivers on a rectangular grid, and "
                f"{len(places_m)} receivers have {self._x_m.size} values of x and "
                f"{self._y_m.size} of y"
            )
        # The point at each column and row; the last ones are repeated past the grid's end.
        self._point = np.full((self._x_m.size + 1, self._y_m.size + 1), -1, dtype=np.int64)
        self._point[column, row] = np.arange(len(places_m))
        self._point[-1], self._point[:, -1] = self._point[-2], self._point[:, -2]

    def around(self, places_m: Floats) -> tuple[Ints, Floats]:
        """Return the points of the cells of positions.

        Parameters
        ----------
        places_m : (..., 2) positions, within the grid or next to it [m]

        Returns
        -------
        corners : (..., 4) points at the lower left, lower right, upper left and upper right; -1:
            there is none
        weights : (..., 4) their weights, whose sum is 1
        """
        column, right = _between(self._x_m, places_m[..., 0])
        row, upper = _between(self._y_m, places_m[..., 1])
        corners = np.stack(
            [self._point[column + dx, row + dy] for dy in (0, 1) for dx in (0, 1)], axis=-1
        )
        weights = np.stack(
            [(right if dx else 1.0 - right) * (upper if dy else 1.0 - upper)
             for dy in (0, 1) for dx in (0, 1)], axis=-1,
        )  # fmt: skip
        return corners, weights


def _levels(values_m: Floats) -> tuple[Floats, Ints]:
    """Return the distinct coordinates, ascending, and the index of each value among them."""
    levels_m = np.unique(values_m)
    first = np.concatenate([[True], np.diff(levels_m) > _ROUNDING_M])
    levels_m = levels_m[first]
    return levels_m, np.searchsorted(levels_m, values_m, side="right") - 1


def _between(levels_m: Floats, values_m: Floats) -> tuple[Ints, Floats]:
    """Return the last level up to each value, and the fraction of the step from there on."""
    if levels_m.size == 1:
        return np.zeros(values_m.shape, dtype=np.int64), np.zeros(values_m.shape)
    place = np.clip(np.searchsorted(levels_m, values_m, side="right") - 1, 0, levels_m.size - 2)
    fraction = (values_m - levels_m[place]) / (levels_m[place + 1] - levels_m[place])
    return place, np.clip(fraction, 0.0, 1.0)
