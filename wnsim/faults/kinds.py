"""What a scenario may say of faults of devices, links, places and base stations.

All faults last from an instant on, up to but without another one. Where several overlap, a device
is away while any of them keeps it away, a link lets nothing through while any of them says so, the
powers of jammers add up, and the factors of stragglers multiply.
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
    """Refuse an interval that ends before it has begun."""
    if until_s is not None and not from_s < until_s:
        raise ValueError(f"until_s must be later than from_s, {from_s:g}, got {until_s:g}")


@parameters
class Crash:
    """Devices that stop working, and work again later.

    What a device sends, receives or computes when it crashes is lost, and so is what it has heard
    and not merged; it takes part again when it is back.

    Parameters
    ----------
    devices : which
    from_s, until_s : when they crash, and when they are back [s]; none: never
    memory : whether they have `kept` their adapters, as they were before what they were computing,
        or `lost` them, and begin anew
    """

    devices: Some
    from_s: Instant
    until_s: Instant | None = None
    memory: Literal["kept", "lost"] = "kept"

    def __post_init__(self) -> None:
        check_interval(self.from_s, self.until_s)


@parameters
class LinkOutage:
    """Links that let nothing through.

    The gain of such a link is zero in every block of the channel that begins in the interval, for
    what is sent over it and as interference. Who hears whom on average, by which some medium
    accesses sense the carrier or let others wait, is not changed by it. Where rates or latencies
    are replayed, their time stands still in the dark.

    Parameters
    ----------
    links : pairs of nodes, both ways; devices come first, base stations after them
    devices : nodes all of whose links are concerned; all links, if neither is given
    from_s, until_s : since when, and until when [s]; none: for good
    transfers : whether transfers `wait`, as long as their lifetime lets them, or `break` at once
        with the reason `link-outage`, which `transport.on_link_failure: resume` takes up again
        afterwards
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
    """An area in which receivers meet more noise.

    Whoever is in the area at the beginning of a block of the channel meets it in that block;
    transmitters know of it as late as they know the channel.

    Parameters
    ----------
    center_m, radius_m : of a disc [m]
    rectangle_m : two opposite corners of a rectangle, in place of the disc [m]
    noise_db : by how much the receivers' noise is raised [dB]
    power_dbm : or the power that a receiver gets of the jammer, over the whole band [dBm]
    from_s, until_s : since when, and until when [s]; none: for good
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

    What goes through a station when it fails is lost with the reason `station-failure`; with
    `transport.on_link_failure: resume` it is sent again, from its source, through the best of the
    stations that work. A device is served by these only.

    Parameters
    ----------
    stations : numbers of the stations, from 0; each sector is one
    from_s, until_s : when they fail, and when they are back [s]; none: never
    """

    stations: Some
    from_s: Instant
    until_s: Instant | None = None

    def __post_init__(self) -> None:
        check_interval(self.from_s, self.until_s)


@parameters
class Straggler:
    """Devices that compute slowly for a while.

    Parameters
    ----------
    devices : which
    factor : how many times as long everything takes them
    from_s, until_s : since when, and until when [s]; none: for good
    """

    devices: Some
    factor: Annotated[float, Field(ge=1, le=1e6)]
    from_s: Instant = 0.0
    until_s: Instant | None = None

    def __post_init__(self) -> None:
        check_interval(self.from_s, self.until_s)
