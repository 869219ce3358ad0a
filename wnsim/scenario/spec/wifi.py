"""Checks of scenarios on Wi-Fi that concern several sections."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from wnsim.mac import Csma


def check_wifi(scenario: Any, access: Csma) -> None:
    """Check that access points and powers are given where they are needed.

    Parameters
    ----------
    scenario : scenario, whose sections have been checked each
    access : its medium access

    Raises
    ------
    ValueError
        if they are not, or access points have sectors
    """
    sites = scenario.base_stations
    for name, part in (("ofdma", access.ofdma), ("power_save", access.power_save)):
        if part is not None and sites is None:
            raise ValueError(
                f"mac.{name} is for access points and needs a section base_stations, got none"
            )
    if sites is not None and sites.sectors > 1:
        raise ValueError(
            "base_stations.sectors must be 1 with mac csma, whose access points share a channel, "
            f"got {sites.sectors}"
        )
    energy = scenario.energy
    if access.power_save is not None and energy is not None and energy.sleep_w is None:
        raise ValueError(
            "mac.power_save needs energy.sleep_w, the power of a device that dozes, got none"
        )
