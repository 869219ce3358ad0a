"""What scheduled medium access decides: who may be on the air together, on which share, when."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from wnsim.core.units import Floats, Ints


@dataclass(frozen=True, slots=True)
class Rules:
    """Constraints on what may be on the air at the same time.

    Parameters
    ----------
    half_duplex : whether a radio that sends cannot receive
    streams : how many streams a transmitter sends at once; none: any number
    receptions : how many flows a receiver receives at once; none: any number
    batch : whether the streams that wait at an idle transmitter start together, and later ones
        wait until all of them have ended
    interferes : whether groups disturb each other; a group is what shares one band without
        collisions, see `Scheduled.group`
    protection_ratio_db : lowest mean ratio of a receiver's own signal to that of any other stream
        on the air [dB]; none: any
    patterned : whether shares differ from slot to slot, or follow the channel's quality
    margin_db : by how much the power of a stream is above that with which it is done just in time
        on the channel as it is known when it starts [dB]; none: power has nothing to do with that
    """

    half_duplex: bool = False
    streams: int | None = None
    receptions: int | None = None
    batch: bool = False
    interferes: bool = False
    protection_ratio_db: float | None = None
    patterned: bool = False
    margin_db: float | None = None


@dataclass(frozen=True, slots=True)
class OnAir:
    """Flows on the air, group by group and in each group in the order of their streams.

    Parameters
    ----------
    source : (F,) transmitters
    group : (F,) groups, equal ones side by side
    stream : (F,) streams, equal ones side by side: one transmission for several receivers
    batch : (F,) with how many streams of its transmitter each one started
    power : (F,) share of its transmitter's power that each one was given then, if it was
    """

    source: Ints
    group: Ints
    stream: Ints
    batch: Ints
    power: Floats

    def rank(self) -> tuple[Ints, Ints]:
        """Return the place (F,) of each stream in its group, and the group's number of streams."""
        return _rank(self.group, self.stream)


@dataclass(frozen=True, slots=True)
class Shares:
    """What the flows get.

    Parameters
    ----------
    band : (F, S) or (F, 1) share of the band in each slot
    power : (F, S) or (F, 1) share of the transmitter's power
    active : (F, S) or (F, 1) whether they may send
    average : (F, S) what the scheduler remembers of each flow after each slot, or none
    """

    band: Floats
    power: Floats
    active: NDArray[np.bool_]
    average: Floats | None = None


class Scheduled(Protocol):
    """Parameters of a medium access without contention.

    Attributes
    ----------
    scheme : the kind of engine that it needs
    """

    scheme: ClassVar[str]

    def rules(self) -> Rules:
        """Return the constraints."""
        ...

    def group(self, source: int, target: int, devices: int) -> int:
        """Return the group of a link: the links that share one band without collisions.

        Links from one transmitter to the receivers of a broadcast have the same group.

        Parameters
        ----------
        source, target : nodes
        devices : how many nodes are devices; those after them are base stations
        """
        ...

    def carrier(self, source: int, target: int, devices: int) -> int:
        """Return the band of a link, 0 or 1; what is on different bands never meets."""
        ...

    def duty(self, flows: OnAir) -> Floats:
        """Return the mean share of its transmitter's power over time that each flow uses, (F,)."""
        ...

    def shares(
        self, flows: OnAir, first_slot: int, slots: int, quality: Floats, average: Floats
    ) -> Shares:
        """Return what the flows get in consecutive slots.

        Parameters
        ----------
        flows : on the air
        first_slot, slots : number of the first slot, and how many
        quality : (F, S) spectral efficiency on the whole band, as it is known [bit/s/Hz]; (F, 0)
            where the access is not patterned
        average : (F,) what was remembered before the first slot, 0 for flows that just started
        """
        ...


def constant(share: Floats) -> Shares:
    """Return the same share (F,) of band and power in all slots."""
    column = share[:, None]
    return Shares(column, column, np.ones(column.shape, dtype=np.bool_))


def _rank(group: Ints, stream: Ints) -> tuple[Ints, Ints]:
    """Return the place of each stream in its group, and how many streams the group has."""
    count = group.size
    if not count:
        return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
    first_of_group = np.r_[True, group[1:] != group[:-1]]
    first_of_stream = first_of_group | np.r_[True, stream[1:] != stream[:-1]]
    number = np.cumsum(first_of_stream) - 1
    begin = np.flatnonzero(first_of_group)
    which = np.cumsum(first_of_group) - 1
    rank = number - number[begin][which]
    last = np.r_[begin[1:], count] - 1
    return rank, (rank[last] + 1)[which]
