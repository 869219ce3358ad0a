"""Properties of each node: heights, role, antenna and O2I loss."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wnsim.channel.antennas import Antenna, Mounted
from wnsim.channel.heights import Heights
from wnsim.channel.penetration import Penetration
from wnsim.core.units import Floats


@dataclass(frozen=True)
class Nodes:
    """Properties of the nodes, which are devices and base stations.

    Parameters
    ----------
    heights : antenna heights
    stations : (N,) whether a node is a base station
    antennas : antennas of all nodes
    penetration_db : (N,) O2I loss of a node [dB]
    indoor : (N,) whether a node is in a building
    """

    heights: Heights
    stations: NDArray[np.bool_]
    antennas: Mounted
    penetration_db: Floats
    indoor: NDArray[np.bool_]


def checked(
    heights: Heights | Floats,
    stations: NDArray[np.bool_] | None,
    antennas: Sequence[Antenna] | None,
    indoor: NDArray[np.bool_] | None,
    penetration: Penetration | None,
    frequency_hz: float,
    seed: int,
) -> Nodes:
    """Validate the parameters of `Channel` and return the nodes.

    Raises
    ------
    ValueError
        if a height is not finite, or a parameter does not have one value per node
    """
    if not isinstance(heights, Heights):
        heights = Heights.constant(heights)
    count = heights.lowest_m.size
    if not np.all(np.isfinite([heights.lowest_m, heights.highest_m])):
        raise ValueError("heights_m must be finite")
    is_indoor = _flags("indoor", indoor, count)
    penetration_db = np.zeros(count)
    if penetration is not None:
        penetration_db = penetration.loss_db(is_indoor, frequency_hz, seed)
    is_station = _flags("stations", stations, count)
    in_building = is_indoor & (penetration is None or penetration.building)
    return Nodes(heights, is_station, Mounted(antennas, count), penetration_db, in_building)


def _flags(name: str, flags: NDArray[np.bool_] | None, count: int) -> NDArray[np.bool_]:
    """Return a flag per node."""
    if flags is None:
        return np.zeros(count, dtype=bool)
    flags = np.asarray(flags, dtype=bool)
    if flags.shape != (count,):
        raise ValueError(f"{name} must be one for each of {count}, got shape {flags.shape}")
    return flags
