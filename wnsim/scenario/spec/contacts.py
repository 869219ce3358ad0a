"""Checks of scenarios whose messages follow a contact plan."""

from __future__ import annotations

from typing import Any

from fl.config import Hierarchical
from wnsim.mac import Ideal, Ofdma, Tdma


def check_contacts(scenario: Any) -> None:
    """Check that a scenario's models know satellites or a contact plan.

    Parameters
    ----------
    scenario : scenario, whose sections have been checked each

    Raises
    ------
    ValueError
        if they do not
    """
    given = [name for name in ("satellites", "contact_plan") if getattr(scenario, name) is not None]
    if len(given) > 1 or scenario.transport.routing != "contacts":
        raise ValueError(
            "satellites and contact_plan exclude each other, and need transport.routing contacts, "
            f"got {' and '.join(given)} with routing {scenario.transport.routing}"
        )
    what = given[0] if given else "transport.routing contacts"
    if not given and scenario.base_stations is not None:
        raise ValueError(
            "transport.routing contacts needs satellites or a contact_plan for base_stations, got "
            "neither"
        )
    if what == "satellites" and not isinstance(scenario.mac, Ideal | Ofdma | Tdma):
        raise ValueError(
            "satellites need a mac without interference or sensing over hundreds of kilometers, of "
            f"model ideal, ofdma or tdma, got {scenario.mac.model}"
        )
    if what == "contact_plan" and scenario.channel.propagation_delay:
        raise ValueError(
            "channel.propagation_delay is not for a contact_plan, which has the delays of its links"
        )
    for name in ("replay", "probes", "jamming"):
        if getattr(scenario.faults if name == "jamming" else scenario, name, None):
            raise ValueError(f"{what} and {name} exclude each other, got both")
    sites = scenario.base_stations
    if sites is not None and sites.sectors > 1:
        raise ValueError(f"base_stations.sectors must be 1 with satellites, got {sites.sectors}")
    learning = scenario.fl
    if learning is not None and isinstance(learning.protocol, Hierarchical):
        raise ValueError(
            "fl.protocol hierarchical averages at the base station that serves a device, and with "
            f"{what} all of them do"
        )
    if any(each is not None and each.broadcast for each in (learning, scenario.traffic)):
        raise ValueError(
            "transport.routing contacts has a route for each receiver: leave out broadcast"
        )
