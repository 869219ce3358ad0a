"""Checks of scenarios whose signals take time over distance."""

from __future__ import annotations

import math
from typing import Any

from wnsim.core.units import SPEED_OF_LIGHT_MPS
from wnsim.mac import Csma, OverTheAir
from wnsim.phy import NrMcs

_SLOT_15_KHZ_S = 1e-3


def check_propagation_delay(scenario: Any) -> None:
    """Check that a scenario's models know a propagation delay.

    Parameters
    ----------
    scenario : scenario, whose sections have been checked each

    Raises
    ------
    ValueError
        if they do not
    """
    name = "channel.propagation_delay"
    if isinstance(scenario.mac, Csma):
        raise ValueError(
            f"{name} is not for mac csma, whose stations sense each other within a slot that "
            "contains the propagation already"
        )
    if isinstance(scenario.mac, OverTheAir):
        raise ValueError(f"{name} is not for mac over-the-air, whose values arrive at once")
    check_feedback(scenario.radio.phy, _farthest_m(scenario))


def check_feedback(phy: object, farthest_m: float) -> None:
    """Raise ValueError if a physical layer has feedback before the round trip over a distance."""
    if not isinstance(phy, NrMcs):
        return
    slot_s = _SLOT_15_KHZ_S * 15_000 / phy.subcarrier_hz
    round_trip_s = 2.0 * farthest_m / SPEED_OF_LIGHT_MPS
    least = math.ceil(round_trip_s / slot_s)
    if phy.harq_processes < least:
        raise ValueError(
            f"radio.phy.harq_processes must be at least {least}, the slots of a round trip of "
            f"{round_trip_s * 1e3:.3g} ms over {farthest_m / 1e3:.4g} km, without which feedback "
            f"comes too late, got {phy.harq_processes}"
        )


def _farthest_m(scenario: Any) -> float:
    """Return the longest distance over ground between two nodes of an area [m]."""
    corners_m = [
        (x_m, y_m) for x_m in (0.0, scenario.area_m[0]) for y_m in (0.0, scenario.area_m[1])
    ]
    sites = None if scenario.satellites is not None else scenario.base_stations
    sites_m = [] if sites is None else sites.sites_m(scenario.area_m).tolist()
    return max(math.dist(corner, other) for corner in corners_m for other in corners_m + sites_m)
