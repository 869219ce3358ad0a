"""Construction of a scenario's world and tasks."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from wnsim.channel import (
    Carrier,
    Channel,
    Geometry,
    Isotropic,
    NonTerrestrial,
    Propagation,
    RayTraced,
    ReplayTable,
)
from wnsim.channel.heights import Heights
from wnsim.contacts.plan_file import replay_table
from wnsim.core.streams import generator
from wnsim.core.units import Floats, Ints, dbm_to_w
from wnsim.faults import Interrupted
from wnsim.mobility.orbits import Ground
from wnsim.phy import NrMcs
from wnsim.scenario.errors import ScenarioError
from wnsim.scenario.simulation.shortages import warn_of_shortages
from wnsim.scenario.spec.channel_models import StatisticalChannel
from wnsim.scenario.spec.propagation_delay import check_feedback
from wnsim.scenario.spec.schema import Scenario
from wnsim.scenario.spec.traced_links import links_devices
from wnsim.world import World, positions_m
from wnsim.world.antenna_heights import heights_m
from wnsim.world.sky import Sky

if TYPE_CHECKING:
    from fl.tasks import Task
    from fl.tasks.arrays import ArrayTask
    from wnsim.channel.channel import Dark
    from wnsim.contacts.plan import GivenPlan
    from wnsim.faults import Timeline
    from wnsim.mobility import Motion
    from wnsim.world.satellites import Satellites


def build_world(scenario: Scenario) -> World:
    """Build the devices of a scenario with their mobility, channel and radios.

    Raises
    ------
    ScenarioError
        if a trace cannot be used, or the models do not fit together
    """
    devices, radio = scenario.devices, scenario.radio
    try:
        motion = scenario.mobility.motion(
            devices.count, scenario.area_m, scenario.seed_of("mobility")
        )
    except ValueError as error:
        raise ScenarioError(f"mobility: {error}") from error
    faults, inner, stations = None, motion, scenario.base_stations
    stations_m = np.empty((0, 2)) if stations is None else stations.sites_m(scenario.area_m)
    given = scenario.contact_plan
    try:
        plan = None if given is None else given.plan(motion.names, len(stations_m))
        measured = measured_links(scenario, motion.names, plan)
    except ValueError as error:
        section = "channel" if given is None else "contact_plan"
        raise ScenarioError(f"{section}: {error}") from error
    if measured is not None and given is None:
        _check_measured(scenario, measured)
    if scenario.faults is not None:
        names = [*motion.names, *(f"station-{number}" for number in range(len(stations_m)))]
        try:
            faults = scenario.faults.timeline(names, len(motion.names), scenario.seed_of("channel"))
        except ValueError as error:
            raise ScenarioError(f"faults: {error}") from error
        if measured is not None and faults.jams and measured.times_messages:
            raise ScenarioError(
                "faults: jamming raises the noise of receivers, but replayed rates and latencies "
                "have no noise"
            )
        if faults.away:
            motion = Interrupted(motion, faults.away)
    count = len(motion.names)
    antennas = [devices.antenna] * count + ([] if stations is None else stations.antennas())
    draws = [
        generator(scenario.seed_of("channel"), "indoor", device).random() for device in range(count)
    ]
    heights = antenna_heights(scenario, inner)
    station_m = np.full(len(stations_m), 0.0 if stations is None else stations.height_m)
    fixed = heights.joined(station_m)

    def ground_m(nodes: Ints, t_s: Floats) -> Floats:
        return positions_m(inner, stations_m, nodes, t_s)

    sky = None
    if scenario.satellites is not None:
        sky = _sky(scenario, scenario.satellites, ground_m, fixed)
        antennas += [Isotropic(gain_dbi=scenario.satellites.antenna_gain_dbi)] * sky.count
        fixed = fixed.joined(np.zeros(sky.count))
    outside = [1.0] * (len(antennas) - count)
    subbands = scenario.channel.subbands
    try:
        channel = Channel(
            _propagation(scenario, count, stations_m, measured),
            Carrier(radio.frequency_hz, bandwidth_hz=radio.bandwidth_hz, subbands=subbands),
            Geometry(
                fixed,
                ground_m if sky is None else sky.with_satellites(ground_m),
                motion.max_speed_mps,
                stations=np.arange(len(antennas)) >= count,
                antennas=antennas,
                indoor=np.array(draws + outside) < devices.indoor_share,
                sky=sky,
            ),
            scenario.seed_of("channel"),
            dark=_dark(faults, sky),
            record=scenario.record_channel,
        )
        phy = radio.phy
        if isinstance(phy, NrMcs):
            phy = phy.on_carrier(radio.frequency_hz)
        phy.modem(radio.bandwidth_hz, subbands, 1_000_000)
    except ValueError as error:
        raise ScenarioError(f"channel: {error}") from error
    counts = count, len(stations_m), 0 if sky is None else sky.count
    return World(
        motion=motion,
        channel=channel,
        phy=phy,
        tx_power_w=dbm_to_w(_nodes(scenario, counts, "tx_power_dbm")),
        noise_figure_db=_nodes(scenario, counts, "noise_figure_db"),
        flops_per_s=scenario.compute.rates(count, scenario.seed_of("mobility")),
        bandwidth_hz=radio.bandwidth_hz,
        stations_m=stations_m,
        faults=faults,
        heights=heights,
        station_height_m=math.nan if stations is None else stations.height_m,
        propagation_delay=scenario.channel.propagation_delay or plan is not None,
        sky=sky,
        plan=plan,
    )


def _check_measured(scenario: Scenario, measured: ReplayTable) -> None:
    """Check that a scenario needs no gains if rates or latencies were measured.

    Raises
    ------
    ScenarioError
        if it does
    """
    if not measured.times_messages:
        return
    hops = scenario.transport.max_hops
    if hops > 1:
        raise ScenarioError(
            "transport.max_hops needs the mean gains of links, and channel.replay has rates or "
            f"latencies, got {hops}"
        )
    for name, given in (
        ("channel.propagation_delay", scenario.channel.propagation_delay),
        ("record_channel", scenario.record_channel),
    ):
        if given:
            raise ScenarioError(
                f"{name} is for simulated gains, and channel.replay has rates or latencies"
            )


def _propagation(
    scenario: Scenario, count: int, stations_m: Floats, measured: ReplayTable | None
) -> Propagation:
    """Return the models of a channel, or its traced links.

    Parameters
    ----------
    scenario : the scenario
    count : number of its devices
    stations_m : (stations, 2) positions of its base stations [m]
    measured : measured links; none: there are none

    Raises
    ------
    ValueError
        if a file of traced links cannot be used
    """
    traced, models = None, scenario.channel
    if isinstance(models, RayTraced):
        traced = models.links(
            count,
            stations_m,
            frequency_hz=scenario.radio.frequency_hz,
            between_devices=links_devices(scenario),
        )
        # Of all models but those of gains, the defaults hold.
        models = StatisticalChannel()
    return Propagation(
        models.path_loss,
        models.shadowing,
        models.fading,
        station_path_loss=models.station_path_loss,
        satellite_path_loss=models.satellite_path_loss or NonTerrestrial(),
        penetration=models.penetration,
        oxygen_loss=models.oxygen_loss,
        replay=measured,
        traced=traced,
    )


def _sky(
    scenario: Scenario,
    satellites: Satellites,
    ground_m: Callable[[Ints, Floats], Floats],
    heights: Heights,
) -> Sky:
    """Return the satellites of a scenario above its ground nodes.

    Raises
    ------
    ScenarioError
        if their elements cannot be used, or the physical layer is too fast for their distance
    """
    try:
        constellation = satellites.orbit.constellation()
    except ValueError as error:
        raise ScenarioError(f"satellites.orbit: {error}") from error
    width_m, height_m = scenario.area_m
    sky = Sky(
        constellation,
        Ground(satellites.latitude_deg, satellites.longitude_deg, (width_m / 2.0, height_m / 2.0)),
        ground_m,
        heights,
        heights.lowest_m.size,
        satellites.min_elevation_deg,
    )
    if scenario.channel.propagation_delay:
        try:
            check_feedback(scenario.radio.phy, sky.longest_m())
        except ValueError as error:
            raise ScenarioError(str(error)) from error
    return sky


def _dark(faults: Timeline | None, sky: Sky | None) -> Dark | None:
    """Return when links let nothing through: in outages, and without their satellite in sight."""
    outages = faults.dark if faults is not None and faults.has_link_outages else None
    if sky is None or outages is None:
        return outages if sky is None else sky.dark
    return lambda source, target, at_ns: (
        outages(source, target, at_ns) | sky.dark(source, target, at_ns)
    )


def antenna_heights(scenario: Scenario, motion: Motion) -> Heights:
    """Return the antenna heights of a scenario's devices.

    Parameters
    ----------
    scenario : the scenario
    motion : motion of its devices, which may have heights

    Raises
    ------
    ScenarioError
        if there are not as many heights as devices
    """
    try:
        least_m = heights_m(
            scenario.devices.height_m, len(motion.names), scenario.seed_of("mobility")
        )
    except ValueError as error:
        raise ScenarioError(f"devices: {error}") from error
    bounds_m = getattr(motion, "height_bounds_m", None)
    if bounds_m is None:
        return Heights.constant(least_m)
    rising: Any = motion
    low_m, high_m = (np.maximum(bound_m, least_m) for bound_m in bounds_m)
    return Heights(
        low_m,
        high_m,
        lambda nodes, t_s: np.maximum(rising.height_m(nodes, t_s), least_m[nodes][:, None]),
    )


def measured_links(
    scenario: Scenario, names: Sequence[str], plan: GivenPlan | None = None
) -> ReplayTable | None:
    """Return the measured links of a scenario, or those of a contact plan; None without both.

    Parameters
    ----------
    scenario : the scenario
    names : names of its devices
    plan : its contact plan, if it has been read

    Raises
    ------
    ValueError
        if a file cannot be read or is malformed
    """
    replay, sites = scenario.replay, scenario.base_stations
    stations = 0 if sites is None else len(sites.sites_m(scenario.area_m))
    if scenario.contact_plan is not None:
        return replay_table(plan or scenario.contact_plan.plan(names, stations))
    return None if replay is None else replay.links(names, stations)


def _nodes(scenario: Scenario, counts: Sequence[int], name: str) -> Floats:
    """Return a value for all devices, then for all base stations and satellites."""
    kinds = scenario.devices, scenario.base_stations, scenario.satellites
    return np.concatenate([
        np.full(count, 0.0 if kind is None else getattr(kind, name), dtype=np.float64)
        for kind, count in zip(kinds, counts, strict=True)
    ])  # fmt: skip


def check_tasks(scenario: Scenario) -> None:
    """Raise ScenarioError if `load_tasks` would; built-in tasks are not generated for it."""
    from fl.config import Arrays
    from fl.tasks import source_of
    from fl.tasks.arrays import check_arrays

    learning = scenario.fl
    names = None if learning is None else learning.tasks
    if isinstance(names, Arrays):
        try:
            check_arrays(names)
        except ValueError as error:
            raise ScenarioError(f"fl.tasks: {error}") from error
        return
    if learning is None or not isinstance(names, tuple) or any(":" in name for name in names):
        load_tasks(scenario)
        return
    test = learning.test_examples * (1 + (learning.evaluate_on == "validation"))
    try:
        for name in names:
            source_of(name, learning.train_examples, test)
    except ValueError as error:
        raise ScenarioError(f"fl.tasks: {error}") from error


def load_tasks(scenario: Scenario) -> list[Task] | list[ArrayTask]:
    """Return the tasks of a scenario with a section `fl`.

    Raises
    ------
    ScenarioError
        if a task does not exist, or its files cannot be used
    """
    from fl.config import Arrays, Folder, Hub
    from fl.tasks import from_folder, from_hub, generate, validation
    from fl.tasks.arrays import load_arrays

    learning = scenario.fl
    if learning is None:
        return []
    train, test = learning.train_examples, learning.test_examples
    validates = learning.evaluate_on == "validation"
    named = isinstance(learning.tasks, tuple)
    # Validation examples are drawn in addition to the test examples.
    more_train = train + test if validates and not named else train
    more_test = 2 * test if validates and named else test
    try:
        if isinstance(learning.tasks, Arrays):
            arrays = load_arrays(learning.tasks, more_train, test, scenario.seed_of("data"))
            found = [arrays.validation(train) if validates else arrays]
            warn_of_shortages(found, train, test)
            return found
        if isinstance(learning.tasks, Folder):
            source = learning.tasks
            seed = scenario.seed_of("data") if source.draw == "seed" else None
            tasks = from_folder(source.folder, more_train, test, source.subfolders, seed)
        elif isinstance(learning.tasks, Hub):
            hub = learning.tasks
            seed = scenario.seed_of("data") if hub.draw == "seed" else None
            tasks = [
                from_hub(
                    name, hub.prompt, hub.answer, hub.choices, hub.config, hub.train_split,
                    hub.test_split, more_train, test, seed,
                )
                for name in hub.hub
            ]  # fmt: skip
        else:
            tasks = [
                generate(name, train, more_test, scenario.seed_of("data"))
                for name in learning.tasks
            ]
        if validates:
            tasks = [validation(task, train, endless=named) for task in tasks]
        warn_of_shortages(tasks, train, test)
        return tasks
    except ValueError as error:
        raise ScenarioError(f"fl.tasks: {error}") from error
