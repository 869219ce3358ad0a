"""Protocols: synchronization of the devices."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from wnsim.core.params import parameters

from .base import Share


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

    Parameters
    ----------
    share : share of the present devices that are sampled in each round, at least one device
    """

    model: Literal["server"] = "server"
    share: Share = 1.0
