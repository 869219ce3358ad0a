"""Fault parameters: crashes, link outages, jamming, station failures, stragglers.

A fault lasts from its start up to, but excluding, its end. Overlapping faults combine: a device is
absent and a link is out while any fault says so, jamming powers add up, and straggler factors
multiply.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from wnsim.core.params import parameters

Instant = Annotated[float, Field(ge=0, le=1e9)]
Node = Annotated[int, Field(ge=0, le=100_000)]
Some = Annotated[tuple[Node, ...], Field(min_length=1)]
Place = tuple[
    Annotated[float, Field(ge=-1e7, le=1e7)],
    Annotated[float, Field(ge=-1e7, le=1e7)],
]


def check_interval(from_s: float, until_s: float | None) -> None:
    """Raise ValueError for an interval that ends before it starts."""
    if until_s is not None and not from_s < until_s:
        raise ValueError(f"until_s must be later than from_s, {from_s:g}, got {until_s:g}")


@parameters
class Crash:
    """Devices that stop working, and possibly recover.

    Whatever a device sends, receives or computes when it crashes is lost, and so are received
    updates that it has not aggregated; it takes part again after its recovery.

    Parameters
    ----------
    devices : crashing devices
    from_s, until_s : crash and recovery [s]; None: no recovery
    memory : whether devices have `kept` their adapters from before the interrupted computation, or
        `lost` them and restart from the initial adapter
    """

    devices: Some
    from_s: Instant
    until_s: Instant | None = None
    memory: Literal["kept", "lost"] = "kept"

    def __post_init__(self) -> None:
        check_interval(self.from_s, self.until_s)


@parameters
class LinkOutage:
    """Links whose gain is zero.

    The gain is zero in every coherence block that starts in the interval, for the signal and as
    interference. Mean gains, by which some medium accesses sense the carrier or avoid interference,
    are not affected. Replayed rates and latencies pause during an outage.

    Parameters
    ----------
    links : pairs of nodes, in both directions; base stations are numbered after the devices
    devices : nodes all of whose links are affected; all links if neither is given
    from_s, until_s : start and end [s]; None: no end
    transfers : whether transfers `wait`, within their lifetime, or `fail` at once with the reason
        `link-outage`, to be resumed afterwards with `transport.on_link_failure: resume`
    """

    links: tuple[tuple[Node, Node], ...] = ()
    devices: tuple[Node, ...] = ()
    from_s: Instant = 0.0
    until_s: Instant | None = None
    transfers: Literal["wait", "fail"] = "wait"

    def __post_init__(self) -> None:
        check_interval(self.from_s, self.until_s)
        for source, target in self.links:
            if source == target:
                raise ValueError(f"links must be of two different nodes, got {source} twice")


@parameters
class Jamming:
    """Area with raised receiver noise.

    A receiver that is in the area at the start of a coherence block is jammed in that block;
    transmitters learn of it with their delayed channel knowledge.

    Parameters
    ----------
    center_m, radius_m : disc [m]
    rectangle_m : two opposite corners of a rectangle, in place of the disc [m]
    noise_db : rise of the receivers' noise [dB]
    power_dbm : or jamming power at a receiver, over the whole band [dBm]
    from_s, until_s : start and end [s]; None: no end
    """

    center_m: Place | None = None
    radius_m: Annotated[float, Field(gt=0, le=1e7)] | None = None
    rectangle_m: tuple[Place, Place] | None = None
    noise_db: Annotated[float, Field(ge=0, le=200)] | None = None
    power_dbm: Annotated[float, Field(ge=-200, le=100)] | None = None
    from_s: Instant = 0.0
    until_s: Instant | None = None

    def __post_init__(self) -> None:
        check_interval(self.from_s, self.until_s)
        disc = self.center_m is not None and self.radius_m is not None
        half = (self.center_m is None) != (self.radius_m is None)
        if half or disc == (self.rectangle_m is not None):
            raise ValueError(
                "jamming needs one area: center_m with radius_m, or rectangle_m, got "
                + ("neither or half of one" if self.rectangle_m is None else "both")
            )
        if (self.noise_db is None) == (self.power_dbm is None):
            got = "neither" if self.noise_db is None else "both"
            raise ValueError(f"jamming needs one of noise_db and power_dbm, got {got}")


@parameters
class StationFailure:
    """Base stations that fail.

    Transfers through a failing station are lost with the reason `station-failure`; with
    `transport.on_link_failure: resume` they are sent again from their source through the best
    working station. Devices are served by working stations only.

    Parameters
    ----------
    stations : numbers of the stations, from 0; each sector is one
    from_s, until_s : failure and recovery [s]; None: no recovery
    """

    stations: Some
    from_s: Instant
    until_s: Instant | None = None

    def __post_init__(self) -> None:
        check_interval(self.from_s, self.until_s)


@parameters
class Straggler:
    """Devices that compute slowly for some time.

    Parameters
    ----------
    devices : slow devices
    factor : factor on the duration of computations
    from_s, until_s : start and end [s]; None: no end
    """

    devices: Some
    factor: Annotated[float, Field(ge=1, le=1e6)]
    from_s: Instant = 0.0
    until_s: Instant | None = None

    def __post_init__(self) -> None:
        check_interval(self.from_s, self.until_s)
