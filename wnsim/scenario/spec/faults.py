"""Section `faults` of a scenario: faults of the network, the devices and the updates."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from fl.config import Byzantine, Corruption, UpdateFaults
from wnsim.core.params import parameters
from wnsim.faults import (
    Churn,
    Crash,
    Jamming,
    LinkOutage,
    Row,
    StationFailure,
    Straggler,
    Timeline,
    by_time,
    concerns,
)

if TYPE_CHECKING:
    from fl.session import Session
    from wnsim.core.transfer import Transfer


@parameters
class Faults:
    """Faults injected into the simulation; each is a row of `faults.csv`.

    Parameters
    ----------
    crashes : devices that fail for some time
    churn : devices that leave and return
    link_outages : links whose gain is zero for some time
    jamming : areas with raised receiver noise
    station_failures : base stations that fail for some time
    stragglers : devices that compute slowly for some time
    byzantine : devices that send malicious updates or train on flipped labels
    corruption : undetected bit errors in updates
    """

    crashes: tuple[Crash, ...] = ()
    churn: Churn | None = None
    link_outages: tuple[LinkOutage, ...] = ()
    jamming: tuple[Jamming, ...] = ()
    station_failures: tuple[StationFailure, ...] = ()
    stragglers: tuple[Straggler, ...] = ()
    byzantine: tuple[Byzantine, ...] = ()
    corruption: Corruption | None = None

    def check(self, devices: int, stations: int) -> None:
        """Check that the devices and stations named by faults exist.

        Parameters
        ----------
        devices, stations : number of devices and of base stations

        Raises
        ------
        ValueError
            if a fault names one that does not exist
        """
        named = {
            "crashes": [node for each in self.crashes for node in each.devices],
            "churn": [] if self.churn is None else list(self.churn.devices),
            "stragglers": [node for each in self.stragglers for node in each.devices],
            "byzantine": [node for each in self.byzantine for node in each.devices],
        }
        for name, nodes in named.items():
            check_numbers(f"faults.{name}: devices", nodes, devices)
        linked = [node for each in self.link_outages for pair in each.links for node in pair]
        linked += [node for each in self.link_outages for node in each.devices]
        check_numbers("faults.link_outages: nodes", linked, devices + stations)
        failing = [node for each in self.station_failures for node in each.stations]
        if failing and not stations:
            raise ValueError(
                "faults.station_failures is for scenarios with base_stations, got none"
            )
        check_numbers("faults.station_failures: stations", failing, stations)
        attacked = [node for each in self.byzantine for node in each.devices]
        if len(set(attacked)) < len(attacked):
            raise ValueError("faults.byzantine: a device must be named once, got one twice")

    def update_faults(self) -> UpdateFaults:
        """Return the faults of updates and labels."""
        return UpdateFaults(self.byzantine, self.corruption)

    def timeline(self, names: list[str], devices: int, seed: int) -> Timeline:
        """Return the timeline of the faults that affect the network and the devices.

        Parameters
        ----------
        names : names of all nodes, devices first
        devices : number of devices
        seed : seed of the scenario

        Raises
        ------
        ValueError
            if a file cannot be used
        """
        return Timeline(
            names,
            devices,
            seed,
            crashes=self.crashes,
            churn=self.churn,
            link_outages=self.link_outages,
            jamming=self.jamming,
            station_failures=self.station_failures,
            stragglers=self.stragglers,
        )


def check_numbers(what: str, numbers: Sequence[int], count: int) -> None:
    """Raise ValueError unless all numbers are below a count."""
    for number in numbers:
        if number >= count:
            raise ValueError(f"{what} must be 0 to {count - 1}, got {number}")


def idle_outages(
    outages: Sequence[LinkOutage],
    transfers: Iterable[Transfer],
    end_s: float,
    stations: range,
) -> list[str]:
    """Return a note for each link outage that no message can have met.

    Parameters
    ----------
    outages : link outages of the scenario
    transfers : all messages of its run that have ended, each over direct links; iterated again for
        each outage
    end_s : end of the run [s]
    stations : numbers of the base stations, over any of which a message may have gone
    """
    found = []
    for number, outage in enumerate(outages):
        why = ""
        if outage.from_s > end_s:
            why = f"it begins at {outage.from_s:g} s, after the end of the run at {end_s:g} s"
        elif not any(_meets(each, outage, stations) for each in transfers):
            why = "no message was under way on its links while it lasted"
        if why:
            found.append(f"faults.link_outages, number {number + 1} has had no effect: {why}")
    return found


def _meets(transfer: Transfer, outage: LinkOutage, stations: range) -> bool:
    """Return whether a message may have been under way on a link during its outage."""
    ended = outage.until_s is not None and transfer.sent_s >= outage.until_s
    if ended or transfer.ended_s <= outage.from_s:
        return False
    source, target = transfer.message.source, transfer.message.target
    links = [(end, station) for end in (source, target) for station in stations]
    ends = np.array(links or [(source, target)])
    return bool(concerns(outage, ends[:, 0], ends[:, 1]).any())


def fault_rows(
    section: Faults, world: Timeline, end_s: float, names: Sequence[str], session: Session | None
) -> list[Row]:
    """Return the rows of `faults.csv` of a run in order of time.

    Parameters
    ----------
    section : faults of the scenario
    world : timeline of the faults of network and devices
    end_s : end of the run [s]
    names : names of all nodes
    session : learning session, if any
    """
    rows = world.rows(end_s)
    if session is not None:
        rows += [
            Row(
                corruption.time_s,
                "corruption",
                f"{names[corruption.source]} to {names[corruption.target]}",
                "discarded, not finite" if corruption.rejected else "decoded",
                corruption.time_s,
            )
            for corruption in session.corruptions
        ]
        attacks = {device: each for each in section.byzantine for device in each.devices}
        begun: dict[int, float] = {}
        for row in session.rounds if attacks else ():
            if row.device in attacks and row.round >= attacks[row.device].from_round:
                begun[row.device] = min(row.start_s, begun.get(row.device, math.inf))
        for device, start_s in begun.items():
            attack = attacks[device]
            kind = attack.attack
            label = kind if kind == "label-flip" else f"{kind} {attack.scale:g}"
            rows.append(Row(start_s, "byzantine", names[device], label, math.nan))
    return by_time(rows)
