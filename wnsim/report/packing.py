"""Compact encoding of numbers in a page: little-endian arrays in base64."""

from __future__ import annotations

import base64
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

AWAY = 65535
"""Code for a coordinate of an absent device."""


def packed(values: npt.ArrayLike, kind: str) -> str:
    """Return numbers in base64, row by row.

    Parameters
    ----------
    values : numbers to encode
    kind : NumPy type code: `f4`, `u1`, `u2` or `u4`
    """
    return base64.b64encode(np.ascontiguousarray(values, dtype=f"<{kind}").tobytes()).decode()


def packed_places(place_m: npt.NDArray[np.float64], box_m: Sequence[float]) -> str:
    """Return positions as two numbers of 0 to 65534 parts of a box; NaN becomes `AWAY`.

    Parameters
    ----------
    place_m : (..., 2) x and y [m]
    box_m : least and largest x, least and largest y [m]
    """
    low_m, high_m = np.array(box_m[::2]), np.array(box_m[1::2])
    parts = np.round((place_m - low_m) / (high_m - low_m) * (AWAY - 1))
    return packed(np.where(np.isnan(parts), AWAY, parts), "u2")


def thinned(count: int, most: int) -> tuple[slice, int]:
    """Return the rows to keep of a table that may be too long, and the step between them.

    Parameters
    ----------
    count : number of rows
    most : maximum number of rows
    """
    step = max(1, -(-count // most))
    return slice(None, None, step), step
