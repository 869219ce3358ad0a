"""Checks of a scenario before it runs, and notes on the validity of its numbers."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from wnsim.channel import NonTerrestrial, RayTraced
from wnsim.channel.heights import Heights
from wnsim.core.plugins import plugin_names
from wnsim.mobility import first_presence_s
from wnsim.mobility.traces import TraceMotion
from wnsim.scenario.errors import Made, ScenarioError, collected, together
from wnsim.scenario.simulation.build import (
    antenna_heights,
    build_world,
    check_tasks,
    measured_links,
)
from wnsim.scenario.spec.plan import Run
from wnsim.scenario.spec.schema import SCENARIO, Scenario
from wnsim.scenario.spec.without_effect import without_effect

if TYPE_CHECKING:
    from fl.config import Learning
    from wnsim.channel import PathLoss
    from wnsim.world import World

# Narrowest band [Hz] and largest power [dBm] without a note.
_LEAST_BAND_HZ, _MOST_POWER_DBM = 1e3, 60.0
_USUAL_RANK, _USUAL_LENGTH = 64, 128
"""Largest rank and length of rows [token] that fit the bundled model for certain."""


def notes(scenario: Scenario) -> list[str]:
    """Return notes that a user should read before trusting the numbers of a scenario."""
    count, learning = scenario.devices.count, scenario.fl
    motion = scenario.mobility.motion(count, scenario.area_m, scenario.seed_of("mobility"))
    found = [
        note
        for path_loss, pairs_m in _heights_of_links(scenario, antenna_heights(scenario, motion))[:1]
        for ends_m in pairs_m
        for note in path_loss.notes(*ends_m, scenario.radio.frequency_hz)
    ]
    found = list(dict.fromkeys(found)) + _implausible(scenario)
    if isinstance(motion, TraceMotion):
        found += motion.notes
        first_s = first_presence_s(motion)
        if first_s > 0.0:
            found.append(
                f"no device is present before {first_s:g} s; mobility.start sets which instant of "
                "the trace is 0 s"
            )
    if isinstance(scenario.channel, RayTraced):
        found += _on_coverage(scenario, scenario.channel)
    if scenario.replay is not None:
        measured = measured_links(scenario, motion.names)
        found += () if measured is None else measured.notes
    degree = 0
    if learning is not None and learning.protocol.model in ("synchronous", "asynchronous"):
        degree = getattr(learning.topology, "degree", 0)
    degree = scenario.traffic.neighbors if scenario.traffic is not None else degree
    if degree >= count:
        found.append(f"{count} devices have at most {count - 1} neighbors each, not {degree}")
    if learning is not None and isinstance(learning.tasks, tuple) and len(learning.tasks) > count:
        found.append(
            f"{len(learning.tasks)} tasks are more than {count} devices: no device trains some of "
            "them, but they count in the accuracy on all tasks"
        )
    if learning is not None and getattr(learning.tasks, "draw", None) == "first":
        found.append(
            "tasks.draw is first: each seed trains and tests on the same examples, so that "
            "intervals over seeds leave out how results depend on the data"
        )
    if learning is not None and learning.privacy is not None:
        found += _uncovered(learning)
    topology = None if learning is None else learning.topology
    if getattr(topology, "model", "") == "random" and 0 < degree < 2 < count:
        found.append(f"random graphs of degree {degree} are never connected")
    found += _without_effect(scenario)
    if scenario.fl is not None and not isinstance(scenario.fl.payload, str):
        payload = scenario.fl.payload
        found.append(
            f"sizes and operations are emulated ({payload.emulate}, {payload.batch} sequences of "
            f"{payload.length} tokens a step); the trained model is {scenario.fl.model}"
        )
    return found


def _without_effect(scenario: Scenario) -> list[str]:
    """Return a note for each key that has a value of its own, and no effect in a scenario.

    Methods without messages are baselines beside others, whose keys they share.
    """
    if scenario.fl is None:
        return []
    usual = type(scenario.fl)()
    return [
        f"{key} has no effect with {section} {model}"
        for key, section, model in without_effect(SCENARIO.dump_python(scenario, mode="json"))
        for name in [key.removeprefix("fl.")]
        if section != "fl.method" and getattr(scenario.fl, name) != getattr(usual, name)
    ]


def _uncovered(learning: Learning) -> list[str]:
    """Return a note on what devices send that `fl.privacy` does not cover."""
    sent = []
    method = learning.method
    # Densities of layers follow from prompts unless they are uniform.
    drawn = method.model == "so-lora" and (
        method.mask in ("random", "common") and method.allocation == "uniform"
    )
    if method.model in ("lori-s", "so-lora") and not drawn:
        sent.append("masks")
    if method.model == "ecolora":
        sent.append("shares of entries by the loss")
    if learning.inference is not None or learning.topology.model == "similarity":
        sent.append("prompt centroids")
    if not sent:
        return []
    return [f"epsilon does not cover {' and '.join(sent)}, which follow from the examples"]


def _heights_of_links(
    scenario: Scenario, heights: Heights
) -> list[tuple[PathLoss, list[tuple[float, float]]]]:
    """Return the path-loss models of the links, with the extreme heights of their ends [m].

    Parameters
    ----------
    scenario : the scenario
    heights : antenna heights of its devices

    Returns
    -------
    each model with pairs of heights of base station and terminal: first that of links of base
    stations, if there are any, then that between devices, the higher one of which comes first;
    that of satellites alone, whose heights do not matter; nothing with given contacts or traced
    links
    """
    low_m, high_m = float(heights.lowest_m.min()), float(heights.highest_m.max())
    models, sites = scenario.channel, scenario.base_stations
    if scenario.contact_plan is not None or isinstance(models, RayTraced):
        return []
    if scenario.satellites is not None:
        return [(models.satellite_path_loss or NonTerrestrial(), [(high_m, low_m)])]
    found = [(models.path_loss, _distinct((high_m, low_m), (high_m, high_m), (low_m, low_m)))]
    if sites is not None:
        path_loss = models.station_path_loss or models.path_loss
        found.insert(0, (path_loss, _distinct((sites.height_m, low_m), (sites.height_m, high_m))))
    return found


def _on_coverage(scenario: Scenario, channel: RayTraced) -> list[str]:
    """Return notes on the file of traced links, and on an area beyond its receivers."""
    paths, corner_m = channel.paths(), channel.corner_m()
    found = []
    if paths.coverage < 1.0:
        found.append(f"channel.file has {paths.summary}: devices at the others are out of coverage")
    low_m = paths.rx_m[:, :2].min(axis=0) - corner_m
    high_m = paths.rx_m[:, :2].max(axis=0) - corner_m
    if (low_m > 1.0).any() or (np.array(scenario.area_m) > high_m + 1.0).any():
        found.append(
            f"the receivers of channel.file are from ({low_m[0]:g}, {low_m[1]:g}) to "
            f"({high_m[0]:g}, {high_m[1]:g}) m of the area of {scenario.area_m[0]:g} by "
            f"{scenario.area_m[1]:g} m: devices outside are out of coverage"
        )
    return found


def _distinct(*pairs_m: tuple[float, float]) -> list[tuple[float, float]]:
    """Return pairs in order, each one once."""
    return list(dict.fromkeys(pairs_m))


def _implausible(scenario: Scenario) -> list[str]:
    """Return a note for each value that is possible, but hardly meant."""
    found = []
    if scenario.radio.bandwidth_hz < _LEAST_BAND_HZ:
        found.append(
            f"radio.bandwidth_hz is {scenario.radio.bandwidth_hz:g} Hz, less than any radio of "
            "this kind has; 20 MHz is written 20e6"
        )
    for section, power_dbm in (
        ("devices", scenario.devices.tx_power_dbm),
        ("base_stations", getattr(scenario.base_stations, "tx_power_dbm", 0.0)),
    ):
        if power_dbm > _MOST_POWER_DBM:
            found.append(
                f"{section}.tx_power_dbm is {power_dbm:g} dBm, or {10 ** (power_dbm / 10 - 3):g} W"
            )
    return found


def contact_lines(scenario: Scenario, range_m: float, until_s: float) -> list[str]:
    """Return the contact statistics of a scenario's devices as lines of text.

    Parameters
    ----------
    scenario : scenario to analyse
    range_m : distance within which two devices are in contact [m]
    until_s : time span of the analysis [s]

    Raises
    ------
    ScenarioError
        if the mobility cannot be built, or the range or the time span is invalid
    """
    from wnsim.contacts import contacts, lines, summary

    world = build_world(scenario)
    try:
        return lines(summary(contacts(world.motion, range_m, until_s, heights=world.heights)))
    except ValueError as error:
        raise ScenarioError(f"contacts: {error}") from error


def check(runs: Sequence[Run], shown: str, *, trains: bool = False) -> None:
    """Check what can be checked without training.

    Parameters
    ----------
    runs : runs of one scenario file
    shown : the file as the user named it
    trains : whether everything is built that a run trains with, its model above all; torch is
        imported only then, and not for the bundled model in usual settings

    Raises
    ------
    ScenarioError
        if a file that a scenario names is missing or unusable, or models do not fit together
    """
    seen = set()
    errors: list[ScenarioError] = []
    for run in runs:
        key = json.dumps(SCENARIO.dump_python(run.scenario, mode="json") | {"seed": 0})
        if key not in seen:
            seen.add(key)
            before = len(errors)
            world = collected(errors, None, _named, shown, _checked_world, run.scenario)
            for part in (check_tasks, _check_model):
                collected(errors, None, _named, shown, part, run.scenario)
            if trains and world is not None and len(errors) == before:
                collected(errors, None, _named, shown, _check_learning, run.scenario, world)
    if errors:
        raise together(errors)


def _named(shown: str, part: Callable[..., Made], *arguments: Any) -> Made:
    """Return what a part of the check returns; its errors name the scenario."""
    try:
        return part(*arguments)
    except ValueError as error:
        raise ScenarioError(f"{shown}: {error}") from error


def _checked_world(scenario: Scenario) -> World:
    """Return the world of a scenario, which fails if its models do not fit together."""
    world = build_world(scenario)
    if world.count > 1:
        # Some models check only on a link whether they fit the devices.
        _check_heights(scenario, world)
        own = list(plugin_names(SCENARIO.dump_python(scenario, mode="json")))
        if own or scenario.replay is not None:
            world.channel.large_scale_db(np.array([0]), np.array([1]), np.zeros(1))
    return world


def _check_learning(scenario: Scenario, world: World) -> None:
    """Build what a run trains with, unless it is known to fit."""
    learning = scenario.fl
    # A trace may have other devices than the scenario says.
    usual = world.count == scenario.devices.count
    if learning is not None and not (usual and _is_usual(learning)):
        _build_learning(scenario, world)


def _check_heights(scenario: Scenario, world: World) -> None:
    """Raise ValueError if an antenna is too low for a path-loss model."""
    if world.heights is not None and scenario.replay is None:
        for path_loss, pairs_m in _heights_of_links(scenario, world.heights):
            for ends_m in pairs_m:
                for los in (True, False):
                    path_loss.loss_db(100.0, *ends_m, scenario.radio.frequency_hz, los)
                    path_loss.shadow_db(100.0, *ends_m, scenario.radio.frequency_hz, los)


def _check_model(scenario: Scenario) -> None:
    """Raise ScenarioError if the files of a model or of an initial adapter do not exist."""
    from fl.config import names_a_folder
    from fl.models.gguf_files import gguf_file

    name = "tiny" if scenario.fl is None else scenario.fl.model
    try:
        packed = gguf_file(name)
    except ValueError as error:
        raise ScenarioError(f"fl.model: {error}") from error
    if packed is None and names_a_folder(name) and not Path(name).is_dir():
        raise ScenarioError(f"fl.model: no such folder: {name!r}")
    start = None if scenario.fl is None else scenario.fl.initial_adapter
    if start is not None and not Path(start).is_dir():
        raise ScenarioError(f"fl.initial_adapter: no such folder: {start!r}")


def _is_usual(learning: Learning) -> bool:
    """Return whether learning is known to fit: a bundled model in settings that suit it."""
    # Whether user-defined ones fit is known when they are built.
    own = (
        learning.method, learning.topology, learning.partition, learning.optimizer,
        learning.protocol, learning.robust, learning.compressor, learning.objective,
    )  # fmt: skip
    return (
        (_suits_tiny(learning) or _suits_networks(learning))
        and not any(":" in each.model for each in own if each is not None)
        and learning.initial_adapter is None
        and not learning.target_modules
        and learning.max_length <= _USUAL_LENGTH
        and learning.trainer.device != "cuda"
        and learning.trainer.quantization == "none"
    )


def _suits_tiny(learning: Learning) -> bool:
    """Return whether the model is the bundled language model, with built-in tasks."""
    from fl.config.networks import is_full

    return (
        learning.model == "tiny"
        and isinstance(learning.tasks, tuple)
        and not any(":" in name for name in learning.tasks)
        and (is_full(learning.method) or getattr(learning.method, "rank", 0) <= _USUAL_RANK)
    )


def _suits_networks(learning: Learning) -> bool:
    """Return whether the model is a bundled network, trained as a whole on the digits."""
    from fl.config import Arrays
    from fl.config.networks import NETWORKS, is_full
    from fl.config.tasks import DIGITS

    tasks = learning.tasks
    return (
        learning.model in NETWORKS
        and isinstance(tasks, Arrays)
        and tasks.arrays == DIGITS
        and is_full(learning.method)
        # Whether all classes have a shard depends on the number of devices.
        and learning.partition.model != "shards"
    )


def _build_learning(scenario: Scenario, world: World) -> None:
    """Build what a run trains with.

    Raises
    ------
    ScenarioError
        if a run would be refused
    """
    from wnsim.scenario.simulation.learning import Learner
    from wnsim.scenario.simulation.simulate import network_of

    network = network_of(scenario, world)
    try:
        Learner().learn(scenario, network, world.compute_time_s, world.count, lambda *_: None)
    finally:
        network.records.discard()
