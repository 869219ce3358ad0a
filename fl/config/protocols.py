"""Protocols: synchronization of the devices."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from wnsim.core.params import parameters
from wnsim.core.plugins import Family

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

    def counted(self, devices: int) -> int:
        """Return how many updates are averaged in a round, of a number of present devices."""
        return max(1, round(self.share * devices))

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


@parameters
class Split(Server):
    """Split learning: devices hold the first blocks of the model, the server the others.

    In each local step a client sends the activations of its batch at the cut, with the labels, and
    receives their gradients. The server has a part for each client; after a round the clients send
    theirs, the first blocks, and the server averages both. Clients are selected as by protocol
    `server`.

    Sources: Gupta and Raskar, "Distributed learning of deep neural network over multiple agents",
    J. Netw. Comput. Appl. 116, 2018, for clients in turns, which send their part to the next one,
    here by way of the server; Thapa, Arachchige, Camtepe and Sun, "SplitFed: when federated
    learning meets split learning", AAAI 2022, for clients at once (SplitFedV1).

    Scope: activations and gradients count as exact, whatever their width on the air. A client of
    which a message is not delivered takes no further part in the round, and its steps are lost. The
    server computes for all clients at once.

    Parameters
    ----------
    cut : number of the model's blocks on a device, the first ones: decoder blocks of a language
        model, after its embeddings, or members of a network that is an `nn.Sequential`; the server
        has at least the last one
    order : clients of a round at once, in `parallel`; or in turns, `sequential`, each going on
        where the last one ended, without over-selection
    share, selection, over_selection, report_deadline_s : see protocol `server`
    bits : width of a transmitted activation, and of its gradient [bit]
    server_flops_per_s : computing speed of the server for each client [FLOP/s]
    """

    model: Literal["split"] = "split"  # type: ignore[assignment]
    cut: Count = 1
    order: Literal["parallel", "sequential"] = "parallel"
    bits: Literal[32, 16] = 16
    server_flops_per_s: Annotated[float, Field(gt=0, le=1e24)] = 1e14

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.order == "sequential" and self.over_selection > 1.0:
            raise ValueError(
                "over_selection is for clients at once, and order sequential takes them in turns, "
                f"got {self.over_selection:g}"
            )
