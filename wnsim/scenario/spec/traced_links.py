"""Scenarios with traced links: their checks, and what they take from the traced file."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from pydantic import TypeAdapter, ValidationError

from wnsim.channel import RayTraced
from wnsim.mac import Csma


def check_traced_links(scenario: Any) -> None:
    """Check that a scenario's models know traced links.

    Parameters
    ----------
    scenario : scenario with `channel.model` ray-traced, whose sections have been checked each

    Raises
    ------
    ValueError
        if they do not
    """
    name = "channel.model ray-traced"
    if scenario.satellites is not None or scenario.contact_plan is not None:
        raise ValueError(f"{name} is not for satellites or a contact_plan, which it does not reach")
    if scenario.devices.indoor_share > 0.0:
        raise ValueError(
            f"devices.indoor_share is not for {name}, whose file has the losses of walls, "
            f"got {scenario.devices.indoor_share:g}"
        )
    sites = scenario.base_stations
    if sites is not None and sites.sectors > 1:
        raise ValueError(
            f"base_stations.sectors must be 1 with {name}, whose file has the antennas, "
            f"got {sites.sectors}"
        )


def links_devices(scenario: Any) -> bool:
    """Return whether devices send to devices, or sense each other."""
    return scenario.base_stations is None or isinstance(scenario.mac, Csma)


def fill_in(data: dict[str, Any]) -> None:
    """Add what a scenario with traced links takes from their file, unless it has it.

    These are `area_m`, up to the last receivers; `radio.frequency_hz`; and positions and height of
    a section `base_stations`, of which `count` keeps the first transmitters.

    Parameters
    ----------
    data : scenario of plain values, with the absolute path of the file

    Raises
    ------
    ValueError
        if the file cannot be read or is malformed, or has too few transmitters
    """
    section = data.get("channel")
    if not isinstance(section, dict) or section.get("model") != RayTraced.model:
        return
    try:
        channel = TypeAdapter(RayTraced).validate_json(json.dumps(section))
    except ValidationError:
        # The validation of the whole scenario has the message.
        return
    paths, corner_m = channel.paths(), channel.corner_m()
    size_m = paths.rx_m[:, :2].max(axis=0) - corner_m
    if "area_m" not in data and (size_m > 0.0).all():
        data["area_m"] = np.maximum(size_m, 1.0).tolist()
    radio = data.setdefault("radio", {})
    if isinstance(radio, dict):
        radio.setdefault("frequency_hz", paths.frequency_hz)
    sites = data.get("base_stations")
    if not isinstance(sites, dict) or sites.get("positions_m"):
        return
    count = sites.get("count", len(paths.tx_m))
    if not isinstance(count, int) or count < 1:
        return
    if count > len(paths.tx_m):
        raise paths.error(
            f"base_stations.count must be at most {len(paths.tx_m)}, the transmitters of the file, "
            f"got {count}"
        )
    sites["count"] = count
    sites["positions_m"] = (paths.tx_m[:count, :2] - corner_m).tolist()
    heights_m = paths.tx_m[:count, 2]
    if (heights_m == heights_m[0]).all() and heights_m[0] > 0.0:
        sites.setdefault("height_m", float(heights_m[0]))
