"""Checks of scenarios with satellites."""

from __future__ import annotations

from typing import Any

from fl.config import Hierarchical
from wnsim.mac import Ideal, Ofdma, Tdma


def check_satellites(scenario: Any) -> None:
    """Check that a scenario's models know satellites.

    Parameters
    ----------
    scenario : scenario, whose sections have been checked each

    Raises
    ------
    ValueError
        if they do not
    """
    routing = scenario.transport.routing
    if scenario.satellites is None or routing != "contacts":
        raise ValueError(
            "a section satellites and transport.routing contacts go together, got one without the "
            "other"
        )
    if not isinstance(scenario.mac, Ideal | Ofdma | Tdma):
        raise ValueError(
            "satellites need a mac without interference or sensing over hundreds of kilometers, of "
            f"model ideal, ofdma or tdma, got {scenario.mac.model}"
        )
    for name in ("replay", "probes", "jamming"):
        section = scenario.faults if name == "jamming" else scenario
        section = scenario.channel if name == "replay" else section
        if getattr(section, name, None):
            raise ValueError(f"satellites have no {name}: leave one of both out")
    sites = scenario.base_stations
    if sites is not None and sites.sectors > 1:
        raise ValueError(f"base_stations.sectors must be 1 with satellites, got {sites.sectors}")
    learning = scenario.fl
    if learning is not None and isinstance(learning.protocol, Hierarchical):
        raise ValueError(
            "fl.protocol hierarchical averages at the base station that serves a device, and "
            "ground stations of satellites serve all"
        )
    if any(each is not None and each.broadcast for each in (learning, scenario.traffic)):
        raise ValueError(
            "transport.routing contacts has a route for each receiver: leave out broadcast"
        )
