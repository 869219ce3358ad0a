"""Interface of scheduled medium access: constraints, and shares of band and power by slot."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from wnsim.core.units import Floats, Ints

if TYPE_CHECKING:
    from wnsim.mac.allocation import Allocation


@dataclass(frozen=True, slots=True)
class Rules:
    """Constraints on concurrent transmissions.

    Parameters
    ----------
    half_duplex : whether a radio that transmits cannot receive
    max_transmissions : largest number of concurrent transmissions of a transmitter; none: any
    max_receptions : largest number of concurrent receptions of a receiver; none: any
    batch : whether the transmissions that wait at an idle transmitter start together, and later
        ones wait until all of them have ended
    interferes : whether groups interfere with each other; the links of a group share one band
        without collisions, see `Scheduled.group`
    protection_ratio_db : smallest mean ratio of a receiver's own signal to that of any other
        transmission on the air [dB]; none: any
    patterned : whether shares differ from slot to slot, or depend on the channel quality
    margin_db : margin over the power with which a transmission just meets its deadline on the
        channel as estimated at its start [dB]; none: no power control
    allocation : allocation of the uplink's band and power; none: by the shares alone
    """

    half_duplex: bool = False
    max_transmissions: int | None = None
    max_receptions: int | None = None
    batch: bool = False
    interferes: bool = False
    protection_ratio_db: float | None = None
    patterned: bool = False
    margin_db: float | None = None
    allocation: Allocation | None = None


@dataclass(slots=True)
class OnAir:
    """Attempts on the air, in the order of groups, and in each group in the order of transmissions.

    Parameters
    ----------
    source : (F,) transmitters
    group : (F,) groups, equal ones adjacent
    transmission : (F,) transmissions, equal ones adjacent: a multicast has several attempts
    batch : (F,) number of transmissions of its transmitter that started together with each
    power : (F,) share of its transmitter's power, if it was set at the start or allocated
    band : (F,) share of the band, if it was allocated
    """

    source: Ints
    group: Ints
    transmission: Ints
    batch: Ints
    power: Floats
    band: Floats

    def rank(self) -> tuple[Ints, Ints]:
        """Return the rank (F,) of each transmission in its group, and the size of the group."""
        return _rank(self.group, self.transmission)


@dataclass(slots=True)
class Shares:
    """Shares of the attempts in a number of slots.

    Parameters
    ----------
    band : (F, S) or (F, 1) share of the band in each slot
    power : (F, S) or (F, 1) share of the transmitter's power
    active : (F, S) or (F, 1) whether they may transmit
    average : (F, S) scheduler state of each attempt after each slot, or none
    """

    band: Floats
    power: Floats
    active: NDArray[np.bool_]
    average: Floats | None = None


class Scheduled(Protocol):
    """Parameters of a medium access without contention.

    Attributes
    ----------
    scheme : the kind of engine that simulates it
    """

    scheme: ClassVar[str]

    def rules(self) -> Rules:
        """Return the constraints."""
        ...

    def group(self, source: int, target: int, devices: int) -> int:
        """Return the group of a link; links of a group share one band without collisions.

        Links from one transmitter to the receivers of a multicast have the same group.

        Parameters
        ----------
        source, target : nodes
        devices : number of devices; nodes from this number on are base stations
        """
        ...

    def carrier(self, source: int, target: int, devices: int) -> int:
        """Return the carrier of a link, 0 or 1; there is no interference between carriers."""
        ...

    def duty(self, attempts: OnAir) -> Floats:
        """Return the mean share (F,) of its transmitter's power that each attempt uses."""
        ...

    def shares(
        self, attempts: OnAir, first_slot: int, slots: int, quality: Floats, average: Floats
    ) -> Shares:
        """Return the shares of attempts in consecutive slots.

        Parameters
        ----------
        attempts : attempts on the air
        first_slot, slots : number of the first slot, and number of slots
        quality : (F, S) estimated spectral efficiency on the whole band [bit/s/Hz]; (F, 0) if the
            access is not patterned
        average : (F,) scheduler state before the first slot, 0 for attempts that just started
        """
        ...


def constant(share: Floats) -> Shares:
    """Return the same share (F,) of band and power in all slots."""
    column = share[:, None]
    return Shares(column, column, np.ones(column.shape, dtype=np.bool_))


def _rank(group: Ints, transmission: Ints) -> tuple[Ints, Ints]:
    """Return the rank of each transmission in its group, and the number of transmissions there."""
    count = group.size
    if not count:
        return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
    first_of_group = np.r_[True, group[1:] != group[:-1]]
    first_of_transmission = first_of_group | np.r_[True, transmission[1:] != transmission[:-1]]
    number = np.cumsum(first_of_transmission) - 1
    begin = np.flatnonzero(first_of_group)
    which = np.cumsum(first_of_group) - 1
    rank = number - number[begin][which]
    last = np.r_[begin[1:], count] - 1
    return rank, (rank[last] + 1)[which]
