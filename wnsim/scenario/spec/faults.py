"""The section `faults` of a scenario: those of the world, and those of what is learned."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from fl.config import Byzantine, Corruption, UpdateFaults
from wnsim.core.params import parameters
from wnsim.faults import (
    Blackout,
    Churn,
    Crash,
    Jamming,
    Row,
    StationFailure,
    Straggler,
    Timeline,
    by_time,
)

if TYPE_CHECKING:
    from fl.session import Session


@parameters
class Faults:
    """What goes wrong, when and where; each fault is a row of faults.csv.

    Parameters
    ----------
    crashes : devices that stop working for a while
    churn : devices that leave and come back
    blackouts : links that let nothing through
    jamming : areas in which receivers meet more noise
    stations : base stations that fail
    stragglers : devices that compute slowly
    byzantine : devices that send wrong updates, or learn from wrong labels
    corruption : bit errors in updates that no checksum finds
    """

    crashes: tuple[Crash, ...] = ()
    churn: Churn | None = None
    blackouts: tuple[Blackout, ...] = ()
    jamming: tuple[Jamming, ...] = ()
    stations: tuple[StationFailure, ...] = ()
    stragglers: tuple[Straggler, ...] = ()
    byzantine: tuple[Byzantine, ...] = ()
    corruption: Corruption | None = None

    def check(self, devices: int, stations: int) -> None:
        """Refuse numbers of devices and stations that there are not.

        Parameters
        ----------
        devices, stations : how many there are

        Raises
        ------
        ValueError
            if a fault names another one
        """
        named = {
            "crashes": [node for each in self.crashes for node in each.devices],
            "churn": [] if self.churn is None else list(self.churn.devices),
            "stragglers": [node for each in self.stragglers for node in each.devices],
            "byzantine": [node for each in self.byzantine for node in each.devices],
        }
        for name, nodes in named.items():
            _check_numbers(f"faults.{name}: devices", nodes, devices)
        linked = [node for each in self.blackouts for pair in each.links for node in pair]
        linked += [node for each in self.blackouts for node in each.devices]
        _check_numbers("faults.blackouts: nodes", linked, devices + stations)
        failing = [node for each in self.stations for node in each.stations]
        if failing and not stations:
            raise ValueError("faults.stations is for scenarios with base_stations, got none")
        _check_numbers("faults.stations: stations", failing, stations)
        attacked = [node for each in self.byzantine for node in each.devices]
        if len(set(attacked)) < len(attacked):
            raise ValueError("faults.byzantine: a device must be named once, got one twice")

    def update_faults(self) -> UpdateFaults:
        """Return what is wrong with updates and labels."""
        return UpdateFaults(self.byzantine, self.corruption)

    def timeline(self, names: list[str], devices: int, seed: int) -> Timeline:
        """Return the faults of the world by time.

        Parameters
        ----------
        names : of all nodes, devices first
        devices : number of devices
        seed : of the scenario

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
            blackouts=self.blackouts,
            jamming=self.jamming,
            stations=self.stations,
            stragglers=self.stragglers,
        )


def _check_numbers(what: str, numbers: list[int], count: int) -> None:
    """Refuse a number that nothing has."""
    for number in numbers:
        if number >= count:
            raise ValueError(f"{what} must be 0 to {count - 1}, got {number}")


def fault_rows(
    section: Faults, world: Timeline, end_s: float, names: Sequence[str], session: Session | None
) -> list[Row]:
    """Return all faults of a run, by time.

    Parameters
    ----------
    section : the faults that were asked for
    world : those of the world, by time
    end_s : when the run ended [s]
    names : of all nodes
    session : what was learned; none: nothing was
    """
    rows = world.rows(end_s)
    if session is not None:
        rows += [
            Row(
                damage.time_s,
                "corruption",
                f"{names[damage.source]} to {names[damage.target]}",
                "refused, not finite" if damage.refused else "decoded",
                damage.time_s,
            )
            for damage in session.corruptions
        ]
        lies = {device: each for each in section.byzantine for device in each.devices}
        begun: dict[int, float] = {}
        for row in session.rounds if lies else ():
            if row.device in lies and row.round >= lies[row.device].from_round:
                begun[row.device] = min(row.start_s, begun.get(row.device, math.inf))
        for device, start_s in begun.items():
            lie = lies[device]
            label = "label-flip" if lie.attack == "label-flip" else f"{lie.attack} {lie.scale:g}"
            rows.append(Row(start_s, "byzantine", names[device], label, math.nan))
    return by_time(rows)
