"""Position cache: rows of recent positions, at which random fields are evaluated once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from wnsim.channel.links import grown
from wnsim.core.units import Floats, Ints

Singles = NDArray[np.float32]

# Numbers kept as phasors of the largest field.
_TABLE = 1 << 22
# Fields of more waves are evaluated without a table.
_MOST_WAVES = 256


class Table:
    """Phasors of positions in one field, row by row, evaluated on request.

    Parameters
    ----------
    waves : number of plane waves of the field

    Attributes
    ----------
    waves : number of plane waves of the field
    phasors : (rows, 2, 2 waves) phasors; rows that were not filled are undefined
    """

    def __init__(self, waves: int) -> None:
        self.waves = waves
        self.phasors = np.empty((0, 2, 2 * waves), dtype=np.float32)
        self._known = np.zeros(0, dtype=np.bool_)

    def fill(self, rows: Ints, positions_m: Floats, phasors: Callable[[Floats], Singles]) -> None:
        """Fill the rows (n, T) of positions (n, T, 2 or 3) [m] that are not known yet."""
        count = int(rows.max(initial=-1)) + 1
        if count > self._known.size:
            self.phasors = grown(self.phasors, count)
            more = np.zeros(self.phasors.shape[0] - self._known.size, dtype=np.bool_)
            self._known = np.concatenate([self._known, more])
        new = ~self._known[rows]
        if new.any():
            self.phasors[rows[new]] = phasors(positions_m[new])
            self._known[rows[new]] = True

    def forget(self) -> None:
        """Clear all rows."""
        self._known[:] = False


class PositionCache:
    """Recent positions and their rows in the tables of random fields.

    Parameters
    ----------
    tables : of the fields
    """

    def __init__(self, tables: Sequence[Table]) -> None:
        self._tables = tables
        waves = max(table.waves for table in tables)
        self._most = _TABLE // (4 * waves) if waves <= _MOST_WAVES else 0
        self._row: dict[object, int] = {}

    def rows(self, positions_m: Floats) -> Ints | None:
        """Return the rows (n, T) of positions (n, T, 2 or 3) [m]; None if too many to keep."""
        width = positions_m.shape[-1]
        if positions_m.size > width * self._most:
            return None
        # A position as one value that hashes fast.
        pair = np.complex128 if width == 2 else np.dtype((np.void, 8 * width))
        names = np.ascontiguousarray(positions_m).view(pair).ravel().tolist()
        new = dict.fromkeys(name for name in names if name not in self._row)
        if len(self._row) + len(new) > self._most:
            self._row, new = {}, dict.fromkeys(names)
            for table in self._tables:
                table.forget()
        known = len(self._row)
        self._row.update(zip(new, range(known, known + len(new)), strict=True))
        rows = np.fromiter(map(self._row.__getitem__, names), np.int64, len(names))
        return rows.reshape(positions_m.shape[:2])


class CachedPositions:
    """Positions at which fields are evaluated together.

    Parameters
    ----------
    places : cache that assigns rows
    positions_m : (n, T, 2 or 3) positions [m]
    """

    def __init__(self, places: PositionCache, positions_m: Floats) -> None:
        self._places = places
        self._places_m = positions_m

    @cached_property
    def rows(self) -> Ints | None:
        """Rows (n, T), assigned when a field needs them; None if they are not kept."""
        return self._places.rows(self._places_m)
