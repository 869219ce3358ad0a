"""Compiled kernels: the loops over small arrays in which a simulation spends its time.

Each kernel is one module with plain scalar loops, compiled by Numba at its first call and cached on
disk. Without compilation (`NUMBA_DISABLE_JIT=1`) it is ordinary Python with the same result. Tests
hold each against another source: `harq` against whole arrays, `wnsim.phy.nr_arrays`; `plane_waves`
against the sum at each instant, `PlaneWaves.response`; `philox` against its authors' known answers;
`csma` against the engine of single events, `wnsim.air.csma.packet`; the others against whole arrays
in the tests.

The modules are imported at their first use as attributes of this package, so that what simulates
nothing does not import Numba.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from wnsim.kernels import (
        csma,
        gains,
        harq,
        interference,
        link_geometry,
        link_states,
        link_table,
        path_loss,
        philox,
        plane_waves,
        random_fields,
        sidelink,
        slots,
        traced_paths,
    )

__all__ = [
    "csma",
    "gains",
    "harq",
    "interference",
    "link_geometry",
    "link_states",
    "link_table",
    "path_loss",
    "philox",
    "plane_waves",
    "random_fields",
    "sidelink",
    "slots",
    "traced_paths",
]


def __getattr__(name: str) -> Any:
    """Import a module of kernels."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return importlib.import_module(f"{__name__}.{name}")
