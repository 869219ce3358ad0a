"""From a scenario to the things it names: a world, tasks, and what to know before a run."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from ruamel.yaml import YAML

from wnsim.channel import Carrier, Channel, Geometry, Propagation
from wnsim.core.streams import generator
from wnsim.core.units import Floats, dbm_to_w
from wnsim.faults import Interrupted
from wnsim.scenario.errors import ScenarioError
from wnsim.scenario.spec.plan import Run
from wnsim.scenario.spec.schema import SCENARIO, Scenario
from wnsim.storage import records
from wnsim.world import World, positions_m

if TYPE_CHECKING:
    from fl.tasks import Task

_NULL = "tag:yaml.org,2002:null"


def resolved(scenario: Scenario) -> str:
    """Return a scenario as YAML, every default written out: it runs again as it is."""
    data = SCENARIO.dump_python(scenario, mode="json")
    yaml = YAML()
    yaml.representer.add_representer(
        type(None), lambda representer, _: representer.represent_scalar(_NULL, "null")
    )
    yaml.default_flow_style = None
    yaml.width = 4096
    text = io.StringIO()
    yaml.dump(data, text)
    return text.getvalue()


def build_world(scenario: Scenario) -> World:
    """Return the devices of a scenario and the laws that move and connect them.

    Raises
    ------
    ScenarioError
        if a trace cannot be used, or the models do not fit together
    """
    devices, radio = scenario.devices, scenario.radio
    try:
        motion = scenario.mobility.motion(devices.count, scenario.area_m, scenario.seed)
    except ValueError as error:
        raise ScenarioError(f"mobility: {error}") from error
    faults, inner = None, motion
    if scenario.faults is not None:
        sites = scenario.base_stations
        places = 0 if sites is None else len(sites.sites_m(scenario.area_m))
        names = [*motion.names, *(f"station-{number}" for number in range(places))]
        try:
            faults = scenario.faults.timeline(names, len(motion.names), scenario.seed)
        except ValueError as error:
            raise ScenarioError(f"faults: {error}") from error
        replay = scenario.channel.replay
        if replay is not None and faults.jams and replay.links(motion.names).times_messages:
            raise ScenarioError(
                "faults: jamming raises the noise of receivers, and here rates or latencies of "
                "messages are replayed, which know of none"
            )
        if faults.away:
            motion = Interrupted(motion, faults.away)
    count, stations = len(motion.names), scenario.base_stations
    stations_m = np.empty((0, 2)) if stations is None else stations.sites_m(scenario.area_m)
    antennas = [devices.antenna] * count + ([] if stations is None else stations.antennas())
    draws = [generator(scenario.seed, "indoor", device).random() for device in range(count)]
    models = scenario.channel
    try:
        channel = Channel(
            Propagation(
                models.path_loss,
                models.shadowing,
                models.fading,
                station_path_loss=models.station_path_loss,
                penetration=models.penetration,
                replay=None if models.replay is None else models.replay.links(motion.names),
            ),
            Carrier(radio.frequency_hz, bandwidth_hz=radio.bandwidth_hz, subbands=models.subbands),
            Geometry(
                _nodes(scenario, count, "height_m"),
                lambda nodes, t_s: positions_m(inner, stations_m, nodes, t_s),
                motion.max_speed_mps,
                stations=np.arange(count + len(stations_m)) >= count,
                antennas=antennas,
                indoor=np.array(draws + [1.0] * len(stations_m)) < devices.indoor_share,
            ),
            scenario.seed,
            dark=faults.dark if faults is not None and faults.blacks_out else None,
        )
        radio.phy.modem(radio.bandwidth_hz, models.subbands, 1_000_000)
    except ValueError as error:
        raise ScenarioError(f"channel: {error}") from error
    return World(
        motion=motion,
        channel=channel,
        phy=radio.phy,
        tx_power_w=dbm_to_w(_nodes(scenario, count, "tx_power_dbm")),
        noise_figure_db=_nodes(scenario, count, "noise_figure_db"),
        flops_per_s=scenario.compute.rates(count, scenario.seed),
        bandwidth_hz=radio.bandwidth_hz,
        stations_m=stations_m,
        faults=faults,
    )


def _nodes(scenario: Scenario, count: int, name: str) -> Floats:
    """Return a value of all devices, then of all base stations."""
    stations = scenario.base_stations
    values = np.full(count, float(getattr(scenario.devices, name)))
    if stations is None:
        return values
    sites = stations.sites_m(scenario.area_m).shape[0]
    return np.concatenate([values, np.full(sites, float(getattr(stations, name)))])


def inputs(scenario: Scenario) -> dict[str, str]:
    """Return the digests of the files that a scenario names, by path."""
    from fl.config import Folder

    paths: list[Path] = []
    file = getattr(scenario.mobility, "file", None)
    if file is not None:
        paths.append(Path(file))
    churn = None if scenario.faults is None else scenario.faults.churn
    if churn is not None and churn.file is not None:
        paths.append(Path(churn.file))
    if scenario.channel.replay is not None:
        paths.append(Path(scenario.channel.replay.file))
    if scenario.fl is not None:
        if isinstance(scenario.fl.tasks, Folder):
            paths += sorted(Path(scenario.fl.tasks.folder).glob("*/*.jsonl"))
        if scenario.fl.start is not None:
            paths += sorted(Path(scenario.fl.start).glob("adapter_*"))
        model = Path(scenario.fl.model)
        if scenario.fl.model != "tiny" and model.is_dir():
            paths += sorted(path for path in model.iterdir() if path.is_file())
    paths += own_sources(scenario)
    return {str(path): records.file_digest(path) for path in paths}


def own_sources(scenario: Scenario) -> list[Path]:
    """Return the files with the models of a user's own that a scenario uses, sorted."""
    from fl.plugins import own_names, source_of

    sources = map(source_of, own_names(SCENARIO.dump_python(scenario, mode="json")))
    return sorted({path for path in sources if path is not None})


def fingerprint(scenario: Scenario, used: Mapping[str, str], *, seed: bool = True) -> str:
    """Return what tells a scenario from another: its values, and the contents of its files.

    Parameters
    ----------
    scenario : the scenario
    used : digests of the files that it names, by path; where they lie makes no difference
    seed : whether another seed is another scenario
    """
    data = SCENARIO.dump_python(scenario, mode="json")
    if not seed:
        del data["seed"]
    files: tuple[tuple[dict[str, Any] | None, str], ...] = (
        (data["mobility"], "file"),
        (data["fl"], "model"),
        (data["fl"], "start"),
        (data["channel"]["replay"], "file"),
        ((data["faults"] or {}).get("churn"), "file"),
    )
    for section, key in files:
        value = None if section is None else section.get(key)
        if (
            section is not None
            and value is not None
            and any(path.startswith(value) for path in used)
        ):
            del section[key]
    if used and data["fl"] and isinstance(data["fl"]["tasks"], dict):
        data["fl"]["tasks"].pop("folder", None)
    # Of a task's file its folder's name counts too: that is the task's.
    contents = sorted(
        (path.parts[-2:] if path.suffix == ".jsonl" else path.parts[-1:], found)
        for path, found in ((Path(name), found) for name, found in used.items())
    )
    return records.digest(json.dumps([data, contents], sort_keys=True).encode())


def notes(scenario: Scenario) -> list[str]:
    """Return what a user should know about a scenario before believing its numbers."""
    height = scenario.devices.height_m
    found = scenario.channel.path_loss.notes(height, height, scenario.radio.frequency_hz)
    if scenario.base_stations is not None:
        path_loss = scenario.channel.station_path_loss or scenario.channel.path_loss
        site_m = scenario.base_stations.height_m
        found = path_loss.notes(site_m, height, scenario.radio.frequency_hz)
    count, learning = scenario.devices.count, scenario.fl
    degree = getattr(learning.topology, "degree", 0) if learning is not None else 0
    degree = scenario.traffic.neighbors if scenario.traffic is not None else degree
    if degree >= count:
        found.append(f"{count} devices have at most {count - 1} neighbors each, not {degree}")
    if learning is not None and isinstance(learning.tasks, tuple) and len(learning.tasks) > count:
        found.append(
            f"{len(learning.tasks)} tasks are more than {count} devices: some are learned by "
            "nobody, but count in the accuracy on all tasks"
        )
    if scenario.fl is not None and not isinstance(scenario.fl.payload, str):
        payload = scenario.fl.payload
        found.append(
            f"sizes and operations are emulated ({payload.emulate}, {payload.batch} sequences of "
            f"{payload.length} tokens a step); what is learned is {scenario.fl.model}"
        )
    return found


def contact_lines(scenario: Scenario, range_m: float, until_s: float) -> list[str]:
    """Return what is to be said of the contacts of a scenario's devices.

    Parameters
    ----------
    scenario : the scenario
    range_m : two devices that are so near each other are in contact [m]
    until_s : how long to look [s]

    Raises
    ------
    ScenarioError
        if the motion cannot be made, or the range or the time makes no sense
    """
    from wnsim.contacts import contacts, lines, summary

    motion = build_world(scenario).motion
    try:
        return lines(summary(contacts(motion, range_m, until_s)))
    except ValueError as error:
        raise ScenarioError(f"contacts: {error}") from error


def load_tasks(scenario: Scenario) -> list[Task]:
    """Return the tasks of a scenario that learns.

    Raises
    ------
    ScenarioError
        if there is no such task, or its files cannot be used
    """
    from fl.config import Folder, Hub
    from fl.tasks import from_folder, from_hub, generate, validation

    learning = scenario.fl
    if learning is None:
        return []
    train, test = learning.train_examples, learning.test_examples
    validates = learning.evaluate_on == "validation"
    named = isinstance(learning.tasks, tuple)
    # What validation is done by is had on top of what the test would be.
    more_train = train + test if validates and not named else train
    more_test = 2 * test if validates and named else test
    try:
        if isinstance(learning.tasks, Folder):
            tasks = from_folder(learning.tasks.folder, more_train, test)
        elif isinstance(learning.tasks, Hub):
            hub = learning.tasks
            tasks = [
                from_hub(
                    name, hub.prompt, hub.answer, hub.choices, hub.config, hub.train_split,
                    hub.test_split, more_train, test,
                )
                for name in hub.hub
            ]  # fmt: skip
        else:
            tasks = [generate(name, train, more_test, scenario.seed) for name in learning.tasks]
        return [validation(task, train, endless=named) for task in tasks] if validates else tasks
    except ValueError as error:
        raise ScenarioError(f"fl.tasks: {error}") from error


def check(runs: Sequence[Run], shown: str) -> None:
    """Find out what can be known to be wrong without training anything; torch is not imported.

    Parameters
    ----------
    runs : of one scenario file
    shown : the file as the user named it

    Raises
    ------
    ScenarioError
        if a file that a scenario names is missing or cannot be used, or models do not fit
    """
    seen = set()
    for run in runs:
        key = json.dumps(SCENARIO.dump_python(run.scenario, mode="json") | {"seed": 0})
        if key not in seen:
            seen.add(key)
            try:
                world = build_world(run.scenario)
                if world.count > 1:
                    # Some models only find out from a link that they do not fit the devices.
                    world.channel.large_scale_db(np.array([0]), np.array([1]), np.zeros(1))
                load_tasks(run.scenario)
                _check_model(run.scenario)
            except ValueError as error:
                raise ScenarioError(f"{shown}: {error}") from error


def _check_model(scenario: Scenario) -> None:
    """Refuse a model that is named as a folder is, or a start, where there is none."""
    from fl.config import names_a_folder

    name = "tiny" if scenario.fl is None else scenario.fl.model
    if names_a_folder(name) and not Path(name).is_dir():
        raise ScenarioError(f"fl.model: no such folder: {name!r}")
    start = None if scenario.fl is None else scenario.fl.start
    if start is not None and not Path(start).is_dir():
        raise ScenarioError(f"fl.start: no such folder: {start!r}")
