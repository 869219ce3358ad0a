"""Who waits for whom."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from wnsim.core.params import parameters

from .base import Share


@parameters
class Synchronous:
    """Rounds: everybody begins when the last device has finished the round before."""

    model: Literal["synchronous"] = "synchronous"


@parameters
class Asynchronous:
    """Gossip without a barrier: each device trains, tells, merges what is there, and goes on.

    All devices together make as many local rounds as in synchronous rounds, the fast ones more of
    them than the slow ones.

    Parameters
    ----------
    staleness_exponent : an update counts (1 + s) to the power of minus this, s being the local
        rounds that its receiver has finished since it was made; 0: all count alike
    """

    model: Literal["asynchronous"] = "asynchronous"
    staleness_exponent: Annotated[float, Field(ge=0, le=100)] = 0.5


@parameters
class Server:
    """Federated averaging: a server behind the base stations sends, devices train and answer.

    Parameters
    ----------
    share : of the devices that are there, how many take part in a round, drawn anew each time; at
        least one
    """

    model: Literal["server"] = "server"
    share: Share = 1.0
