"""Protocols: synchronization of the devices."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from wnsim.core.params import parameters

from ..plugins import Family
from .base import Count, Share
from .selection import (
    AgeOfUpdate,
    AllClients,
    BatteryAware,
    BestChannel,
    DeadlineGreedy,
    ExpectedLoss,
    ImportanceChannel,
    ProportionalFair,
    RandomClients,
    RoundRobin,
)

Selection = Annotated[
    AllClients
    | RandomClients
    | RoundRobin
    | AgeOfUpdate
    | BestChannel
    | ProportionalFair
    | DeadlineGreedy
    | ExpectedLoss
    | ImportanceChannel
    | BatteryAware,
    Family("client selection", ("reports", "selector")),
]


@parameters
class Synchronous:
    """Rounds with a barrier: all devices start when the last one has finished the round before."""

    model: Literal["synchronous"] = "synchronous"


@parameters
class Asynchronous:
    """Gossip without a barrier: each device trains, sends, aggregates received updates, continues.

    All devices together make as many local rounds as in the synchronous protocol, fast devices more
    than slow ones.

    Parameters
    ----------
    staleness_exponent : a in the weight factor (1 + s)^-a of an update, s being the aggregations of
        its receiver since it was made; 0: no discount
    """

    model: Literal["asynchronous"] = "asynchronous"
    staleness_exponent: Annotated[float, Field(ge=0, le=100)] = 0.5


@parameters
class Server:
    """Federated averaging with a server behind the base stations.

    With over-selection more clients take part than are counted: a round ends with the arrival of
    the last counted update, and later ones are discarded (Bonawitz et al., "Towards federated
    learning at scale", MLSys 2019). Clients whose work is not over are not selected again.

    Parameters
    ----------
    share : share of the present devices whose updates are counted in each round, at least one
        device
    selection : which devices take part in a round
    over_selection : clients that take part for each one that is counted, rounded up
    report_deadline_s : lifetime of a device's report to the server, for selections that need
        reports; devices whose report is late are not selected [s]
    """

    model: Literal["server"] = "server"
    share: Share = 1.0
    selection: Selection = Field(default_factory=RandomClients)
    over_selection: Annotated[float, Field(ge=1, le=100)] = 1.0
    report_deadline_s: Annotated[float, Field(gt=0, le=1e9)] = 1.0

    def __post_init__(self) -> None:
        if isinstance(self.selection, AllClients):
            if self.share < 1.0:
                raise ValueError(f"selection all takes all devices, got share {self.share:g}")
            if self.over_selection > 1.0:
                raise ValueError(
                    "over_selection needs devices that are not selected, and selection all leaves "
                    f"none, got {self.over_selection:g}"
                )
        elif isinstance(self.selection, DeadlineGreedy) and self.over_selection > 1.0:
            raise ValueError(
                "selection deadline-greedy takes as many devices as meet its deadline, "
                f"got over_selection {self.over_selection:g}"
            )


@parameters
class Hierarchical:
    """Averages at the base stations, and averages of these in the cloud behind them.

    Parameters
    ----------
    edge_every : rounds between two averages at the stations, kappa_1
    cloud_every : averages at the stations between two averages in the cloud, kappa_2
    """

    model: Literal["hierarchical"] = "hierarchical"
    edge_every: Count = 1
    cloud_every: Count = 2
