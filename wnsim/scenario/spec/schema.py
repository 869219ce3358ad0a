"""Schema of a scenario: every key with its type, bounds and default."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, TypeAdapter

from fl.config import (
    BatteryAware,
    Hierarchical,
    Learning,
    Queries,
    Random,
    Server,
    Split,
    Synchronous,
)
from wnsim import channel, mobility, phy
from wnsim.channel import ANTENNAS, Isotropic, RayTraced, Replay
from wnsim.contacts.plan_file import ContactPlanFile
from wnsim.core.figure_options import FigureOptions
from wnsim.core.params import parameters
from wnsim.mac import MAC, Cell, Csma, Ofdma, OverTheAir, Scheduled
from wnsim.mac.allocation import LeastEnergy
from wnsim.mac.csma import require_match
from wnsim.mac.resource_blocks import ResourceBlocks
from wnsim.mobility import MOBILITY, RandomWaypoint
from wnsim.network.transport import Transport
from wnsim.phy import PHY, Shannon
from wnsim.scenario.spec.channel_models import ChannelChoice, StatisticalChannel
from wnsim.scenario.spec.contacts import check_contacts
from wnsim.scenario.spec.families import family
from wnsim.scenario.spec.faults import Faults, check_numbers
from wnsim.scenario.spec.over_the_air import check_over_the_air
from wnsim.scenario.spec.propagation_delay import check_propagation_delay
from wnsim.scenario.spec.traced_links import check_traced_links
from wnsim.scenario.spec.wifi import check_wifi
from wnsim.workload.background import Background
from wnsim.workload.exchange import Traffic
from wnsim.workload.probes import Probes
from wnsim.world.antenna_heights import Height, RandomHeights, heights_m
from wnsim.world.base_stations import BaseStations
from wnsim.world.compute import Compute
from wnsim.world.energy import Energy
from wnsim.world.satellites import Satellites

Seed = Annotated[int, Field(ge=0, le=2**31 - 1)]
PartOfSeeds = Literal["channel", "mobility", "data", "model", "protocol"]
Side = Annotated[float, Field(ge=1, le=1e7)]


if TYPE_CHECKING:
    from wnsim.channel import Antenna
    from wnsim.mac import Mac
    from wnsim.mobility import Mobility
    from wnsim.phy import Phy
else:
    Antenna = family(ANTENNAS, "antenna", channel.Antenna)
    Mac = family(MAC, "medium access", Scheduled)
    Mobility = family(MOBILITY, "mobility model", mobility.Mobility)
    Phy = family(PHY, "physical layer", phy.Phy)


@parameters
class Devices:
    """Devices and their radios.

    Parameters
    ----------
    count : number of devices
    tx_power_dbm : total transmit power [dBm]
    noise_figure_db : receiver noise figure [dB]
    height_m : antenna height above ground of all devices, a list with that of each device, or a
        distribution [m]; heights of a trace, with `mobility.heights`, are at least these
    antenna : antenna of each device
    indoor_share : fraction of the devices that are indoors, with the loss of `channel.penetration`
    """

    count: Annotated[int, Field(ge=1, le=10_000)] = 20
    tx_power_dbm: Annotated[float, Field(ge=-100, le=100)] = 23.0
    noise_figure_db: Annotated[float, Field(ge=0, le=50)] = 9.0
    height_m: Height | tuple[Height, ...] | RandomHeights = 1.5
    antenna: Antenna = Field(default_factory=Isotropic)
    indoor_share: Annotated[float, Field(ge=0, le=1)] = 0.0

    def __post_init__(self) -> None:
        if isinstance(self.height_m, tuple):
            heights_m(self.height_m, self.count, 0)


@parameters
class Radio:
    """Carrier, band and physical layer.

    Parameters
    ----------
    frequency_hz, bandwidth_hz : carrier frequency and bandwidth [Hz]
    phy : physical layer: rate and error model
    csi_delay_s : age of the channel state information from which a rate is chosen [s]
    block_s : coherence block, over which the channel is constant [s]; by default a tenth of the
        shortest Doppler period, between 0.5 and 5 ms
    csi_prediction : extrapolation of outdated channel state information: none, or linear or
        quadratic through the values one, two and three delays ago
    """

    frequency_hz: Annotated[float, Field(ge=1e6, le=1e12)] = 3.5e9
    bandwidth_hz: Annotated[float, Field(ge=1, le=1e12)] = 20e6
    phy: Phy = Field(default_factory=Shannon)
    csi_delay_s: Annotated[float, Field(ge=0, le=10)] = 0.0
    block_s: Annotated[float, Field(ge=1e-6, le=1)] | None = None
    csi_prediction: Literal["none", "linear", "quadratic"] = "none"


@parameters
class Seeds:
    """Seeds of parts of the random streams; each is the scenario's seed if not given.

    With all but one fixed, repetitions differ in that part alone, and intervals are over it.

    Parameters
    ----------
    channel : path-loss states, shadow fading, fading, indoor devices, reception errors, faults,
        background traffic and probes
    mobility : movement, antenna heights and computing speeds of the devices
    data : examples, their partition over the devices, numbers of local steps, and order
    model : initial adapters, masks, projections, rounding, attacks and bit errors of updates
    protocol : random graphs, and clients drawn by a server
    """

    channel: Seed | None = None
    mobility: Seed | None = None
    data: Seed | None = None
    model: Seed | None = None
    protocol: Seed | None = None


@parameters
class Scenario:
    """One run, fully resolved.

    Parameters
    ----------
    name : name of the scenario and of its results folder
    label : label of the variant
    seed : seed of all random streams
    seeds : seeds of parts of them, to vary or fix these apart
    area_m : width and height of the area [m]
    devices : number of devices, and their radios
    mobility : mobility model
    channel : statistical models of the channel, or traced links
    radio : carrier, band and physical layer
    mac : medium access
    base_stations : base stations of a cellular medium access, or access points of Wi-Fi
    satellites : satellites that relay messages between nodes on the ground
    contact_plan : contacts of a file, in place of channel and medium access
    transport : packets, queues and link failures
    background : background traffic
    energy : power consumption and batteries
    probes : probe messages by which devices measure links; without them link quality is known
    compute : computing speed of devices
    faults : injected faults
    engine : simulation of the air: `windowed` computes many slots ahead, `packet` processes one
        event per transport block and gives the same results slowly
    record_channel : whether the gains that the simulation used are written to channel.csv.gz, a
        table for `channel.replay`
    fl : federated learning; without it only the network is simulated
    traffic : scheduled exchanges in place of learning
    """

    name: Annotated[str, Field(min_length=1, max_length=100)]
    label: str = ""
    seed: Seed = 1
    seeds: Seeds = Field(default_factory=Seeds)
    area_m: tuple[Side, Side] = (500.0, 500.0)
    devices: Devices = Field(default_factory=Devices)
    mobility: Mobility = Field(default_factory=RandomWaypoint)
    channel: ChannelChoice = Field(default_factory=StatisticalChannel)
    radio: Radio = Field(default_factory=Radio)
    mac: Mac = Field(default_factory=Ofdma)
    base_stations: BaseStations | None = None
    satellites: Satellites | None = None
    contact_plan: ContactPlanFile | None = None
    transport: Transport = Field(default_factory=Transport)
    background: tuple[Background, ...] = ()
    energy: Energy | None = None
    probes: Probes | None = None
    engine: Literal["windowed", "packet"] = "windowed"
    compute: Compute = Field(default_factory=Compute)
    record_channel: bool = False
    fl: Learning | None = None
    traffic: Traffic | None = None
    faults: Faults | None = None

    def __post_init__(self) -> None:
        if not self.name.isprintable():
            raise ValueError(f"name must not hold control characters, got {self.name!r}")
        if self.fl is None and self.traffic is None:
            raise ValueError("there is nothing to simulate: give a section fl, or traffic")
        if self.fl is not None and self.traffic is not None:
            raise ValueError("fl and traffic exclude each other, got both")
        require_match(self.mac, self.radio.phy)
        if self.channel.propagation_delay:
            check_propagation_delay(self)
        if isinstance(self.channel, RayTraced):
            check_traced_links(self)
        if self.record_channel:
            self._check_record()
        if self.faults is not None:
            self._check_faults(self.faults)
        if self.fl is not None and self.fl.queries is not None:
            self._check_queries(self.fl.queries)
        if self.probes is not None and self.base_stations is not None:
            raise ValueError("probes measure devices, not base stations: leave one of both out")
        for background in self.background:
            for sender in background.senders or ():
                if sender >= self.devices.count:
                    raise ValueError(
                        f"background senders must be devices 0 to {self.devices.count - 1}, "
                        f"got {sender}"
                    )
            if background.category is not None and getattr(self.mac, "edca", None) is None:
                raise ValueError(
                    "background category needs the access categories of mac.edca, got "
                    f"{background.category} without"
                )
        by_contacts = self.satellites is not None or self.contact_plan is not None
        if by_contacts or self.transport.routing == "contacts":
            check_contacts(self)
        elif isinstance(self.mac, OverTheAir):
            check_over_the_air(self, self.mac)
        elif isinstance(self.mac, Csma):
            check_wifi(self, self.mac)
        elif isinstance(self.mac, Cell) != (self.base_stations is not None):
            raise ValueError(
                "mac cell and a section base_stations go together, got one without the other"
            )
        if (
            self.fl is not None
            and isinstance(self.fl.protocol, Server | Hierarchical)
            and self.base_stations is None
        ):
            raise ValueError(
                f"fl.protocol {self.fl.protocol.model} needs the sections base_stations and mac, "
                "of model cell, csma or over-the-air"
            )
        hops = 1 if by_contacts else self.transport.max_hops
        if hops > 1 and self.base_stations is not None:
            raise ValueError(
                "transport.max_hops is for relays between devices, and base_stations carry their "
                f"messages, got {hops}"
            )
        if hops > 1 and self.probes is not None:
            raise ValueError(
                "transport.max_hops takes the mean rates of all links as known, and probes measure "
                f"some of them, got {hops}"
            )
        multicast = self.transport.multicast
        if multicast != "paths" and not any(
            each is not None and each.broadcast for each in (self.fl, self.traffic)
        ):
            raise ValueError(
                f"transport.multicast {multicast} is for messages to several receivers, which need "
                "fl.broadcast or traffic.broadcast, got neither"
            )
        allocation = getattr(self.mac, "allocation", None)
        by_energy = "least-energy" if isinstance(allocation, LeastEnergy) else ""
        if isinstance(allocation, ResourceBlocks) and allocation.energy_j is not None:
            by_energy = "resource-blocks with energy_j"
        if by_energy and not isinstance(self.radio.phy, Shannon):
            raise ValueError(
                f"mac.allocation {by_energy} needs a radio.phy of model shannon, got "
                f"{getattr(self.radio.phy, 'model', '')}"
            )
        selection = getattr(None if self.fl is None else self.fl.protocol, "selection", None)
        if isinstance(selection, BatteryAware) and (
            self.energy is None or self.energy.battery_j is None
        ):
            raise ValueError(
                "fl.protocol.selection battery-aware needs energy.battery_j, the energy of a "
                "battery, got none"
            )
        if (
            self.fl is not None
            and isinstance(self.fl.topology, Random)
            and not isinstance(self.fl.protocol, Server | Hierarchical)
        ):
            degree, count = self.fl.topology.degree, self.devices.count
            if degree >= count or degree * count % 2:
                raise ValueError(
                    "fl.topology random (of degree 4 if not given) needs a degree below "
                    f"devices.count and an even product of both, got {degree} and {count}"
                )
        drift = None if self.fl is None else self.fl.drift
        if drift is not None and drift.shift % self.devices.count == 0:
            raise ValueError(
                "fl.drift.shift must not be a multiple of devices.count, or nothing changes, "
                f"got {drift.shift} and {self.devices.count}"
            )

    @property
    def replay(self) -> Replay | None:
        """Measured links in place of the channel's models."""
        return getattr(self.channel, "replay", None)

    def seed_of(self, part: PartOfSeeds) -> int:
        """Return the seed of a part of the random streams."""
        own: int | None = getattr(self.seeds, part)
        return self.seed if own is None else own

    def _check_record(self) -> None:
        """Check that the gains of a scenario can be recorded and replayed."""
        if self.satellites is not None or self.contact_plan is not None:
            raise ValueError(
                "record_channel is not for satellites or a contact_plan, which channel.replay "
                "excludes"
            )
        if isinstance(self.mac, OverTheAir):
            raise ValueError(
                "record_channel is not for mac over-the-air, whose amplitudes are more than gains"
            )

    def _check_queries(self, queries: Queries) -> None:
        """Check that some devices ask, and others train."""
        check_numbers("fl.queries: devices", queries.devices, self.devices.count)
        if len(queries.devices) == self.devices.count:
            raise ValueError("fl.queries: some device must train, and all of them ask")

    def _check_faults(self, faults: Faults) -> None:
        """Check that faults name existing nodes and suit the models."""
        sites = self.base_stations
        stations = 0 if sites is None else len(sites.sites_m(self.area_m))
        faults.check(self.devices.count, stations)
        if faults.jamming and isinstance(self.mac, Csma):
            raise ValueError(
                "faults.jamming is not for mac csma: its stations would sense a jammer as a busy "
                "medium, and carrier sense here knows frames only"
            )
        forgets = faults.churn is not None and faults.churn.forget
        if forgets and not (self.fl is not None and isinstance(self.fl.protocol, Synchronous)):
            raise ValueError("faults.churn.forget needs fl.protocol synchronous, got another one")
        protocol = None if self.fl is None else self.fl.protocol
        if isinstance(protocol, Split) and faults.corruption is not None:
            raise ValueError(
                "faults.corruption is for whole updates, and fl.protocol split sends a part of each"
            )
        if (faults.byzantine or faults.corruption is not None) and self.fl is None:
            raise ValueError("faults of updates, byzantine and corruption, need a section fl")


SCENARIO: TypeAdapter[Scenario] = TypeAdapter(Scenario)

# A line of a Parameters section: names and description.
_PARAMETER = re.compile(r"(\w+(?:, \w+)*) : (.+)")

_LISTS: dict[str, Any] = {
    "type": "object",
    "additionalProperties": {"type": "array", "minItems": 1},
}

# Keys that describe several runs, absent from a resolved scenario.
PLAN_KEYS: dict[str, dict[str, Any]] = {
    "repeat": {
        "description": "number of repetitions, with seeds that follow on the first",
        "type": "integer",
        "minimum": 1,
        "maximum": 10_000,
        "default": 1,
    },
    "variants": {
        "description": "what is compared: a label each, and the keys that differ",
        "type": "array",
        "items": {
            "type": "object",
            "properties": {"label": {"type": "string"}},
            "required": ["label"],
        },
    },
    "sweep": {
        "description": "lists of values by dotted key, such as devices.count; all are crossed",
        **_LISTS,
    },
    "zip": {
        "description": "lists of equal length by dotted key that go together, value by value; or a "
        "list of such groups, which are crossed with each other and with sweep",
        "anyOf": [
            {**_LISTS, "minProperties": 1},
            {"type": "array", "items": {**_LISTS, "minProperties": 1}, "minItems": 1},
        ],
    },
    "baseline": {
        "description": "label of the variant that the others are compared with in pairs of equal "
        "seeds; the first one if not given",
        "type": "string",
    },
    "figures": {
        "description": "which figures are drawn after runs, and how; the same as the words of "
        "wnsim figures",
        "$ref": "#/$defs/FigureOptions",
    },
    "metrics": {
        "description": "user-defined metrics besides the usual ones: functions named module:name, "
        "with --plugin module",
        "type": "array",
        "items": {"type": "string"},
    },
}


def json_schema() -> dict[str, Any]:
    """Return the JSON schema of a scenario file, for completion in editors."""
    schema = SCENARIO.json_schema()
    schema["title"] = "wnsim scenario"
    schema["properties"] |= PLAN_KEYS
    schema["$defs"]["FigureOptions"] = TypeAdapter(FigureOptions).json_schema()
    for node in (schema, *schema["$defs"].values()):
        _describe(node)
    return schema


def described(section: type) -> dict[str, str]:
    """Return the description of each key of a section, from its docstring."""
    node = TypeAdapter(section).json_schema()
    _describe(node)
    return {key: each["description"] for key, each in node["properties"].items()}


def _describe(node: dict[str, Any]) -> None:
    """Copy the descriptions of a class's docstring to its properties."""
    text, _, parameters = node.get("description", "").partition("\n\nParameters\n")
    node["description"] = text
    names: list[str] = []
    for line in parameters.splitlines()[1:]:
        match = _PARAMETER.fullmatch(line)
        if match:
            names = [name for name in match[1].split(", ") if name in node.get("properties", {})]
            for name in names:
                node["properties"][name]["description"] = match[2]
        elif line.startswith("    ") and line.strip():
            for name in names:
                node["properties"][name]["description"] += f" {line.strip()}"
