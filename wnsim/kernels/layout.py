"""Memory layout of the arrays that kernels take."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

_Number = TypeVar("_Number", bound=np.generic)


def plain(values: NDArray[_Number]) -> NDArray[_Number]:
    """Return an array, or a copy, that is contiguous and may be written to.

    Kernels are compiled once for each kind of memory layout; with one layout, once.
    """
    flags = values.flags
    if flags.c_contiguous and flags.writeable:
        return values
    return np.require(values, requirements=["C", "W"])
