"""Checks of scenarios whose updates are added over the air."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fl.config import Server, Synchronous
from fl.config.method_checks import check_added
from wnsim.mac import Cell

if TYPE_CHECKING:
    from wnsim.mac import OverTheAir


def check_over_the_air(scenario: Any, access: OverTheAir) -> None:
    """Check that a scenario can add its updates over the air.

    Parameters
    ----------
    scenario : scenario, whose sections have been checked each
    access : its medium access

    Raises
    ------
    ValueError
        if it cannot
    """
    learning, sites, name = scenario.fl, scenario.base_stations, "mac over-the-air"
    if learning is None:
        raise ValueError(f"{name} adds the values of updates, and there is no section fl")
    protocol = learning.protocol
    if not isinstance(protocol, Server | Synchronous):
        raise ValueError(
            f"{name} needs senders that transmit at once: fl.protocol server or synchronous, "
            f"got {protocol.model}"
        )
    if isinstance(protocol, Synchronous) == (sites is not None):
        raise ValueError(
            f"{name} adds updates at a base station for fl.protocol server, and at devices for "
            f"synchronous, got {protocol.model} {'without' if sites is None else 'with'} a section "
            "base_stations"
        )
    digital = access.digital
    if isinstance(digital, Cell) != (sites is not None):
        raise ValueError(
            f"{name} needs digital of model cell with base_stations, and tdma or ofdma without, "
            f"got {digital.model}"
        )
    if sites is not None and len(sites.sites_m(scenario.area_m)) > 1:
        raise ValueError(
            f"{name} adds updates at one base station, got {len(sites.sites_m(scenario.area_m))}"
        )
    _check_network(scenario, name)
    check_added(learning)


def _check_network(scenario: Any, name: str) -> None:
    """Check that nothing else needs the band or the bits of updates."""
    if scenario.transport.max_hops > 1:
        raise ValueError(
            f"{name} reaches its receiver directly, and relays would have to add and amplify, "
            f"got transport.max_hops {scenario.transport.max_hops}"
        )
    if scenario.replay is not None:
        raise ValueError(
            f"{name} needs the amplitudes of all links, which channel.replay does not have"
        )
    if scenario.background:
        raise ValueError(f"{name} fills the whole band, which leaves none for background traffic")
    faults = scenario.faults
    if faults is None:
        return
    if faults.corruption is not None:
        raise ValueError(
            f"{name} sends values, which have no bits that faults.corruption could flip"
        )
    if faults.churn is not None and faults.churn.forget:
        raise ValueError(
            f"{name} does not separate the updates of devices, which faults.churn.forget needs"
        )
