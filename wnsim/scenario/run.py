"""The one room that knows everything: builds a scenario's world, runs it, writes its results."""

from __future__ import annotations

import io
import json
import math
import shutil
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import simpy
from ruamel.yaml import YAML

from wnsim import records
from wnsim.air import coherent_block_ns
from wnsim.channel import Channel
from wnsim.network import Network
from wnsim.scenario.errors import ScenarioError
from wnsim.scenario.schema import SCENARIO, Scenario
from wnsim.scenario.sweep import Run
from wnsim.units import dbm_to_w, to_ns, to_s
from wnsim.world import World

if TYPE_CHECKING:
    from fl.session import Session
    from fl.tasks import Task
    from fl.trainer import Trainer

_SUMMARY_COLUMNS = ("run", "variant", "seed", "metric", "value")
_EVALUATION_COLUMNS = ("round", "time_s", "device", "task", "own", "accuracy")
_ROUND_COLUMNS = (
    "round", "device", "start_s", "trained_s", "end_s", "neighbors", "heard", "sent_bytes", "loss",
)  # fmt: skip
_DEVICE_COLUMNS = (
    "device", "flops_per_s", "task", "examples", "messages", "delivered", "sent_bytes",
    "received_bytes",
)  # fmt: skip


@dataclass(frozen=True)
class Progress:
    """How far a run has come.

    Parameters
    ----------
    run : its folder's name
    round, rounds : last finished round, and how many there are
    time_s : simulated time [s]
    accuracy : mean over devices and tasks, None if it was not measured now
    """

    run: str
    round: int
    rounds: int
    time_s: float
    accuracy: float | None


Watch = Callable[[Progress], None]


class _Clock(simpy.Environment):
    """An environment in whole nanoseconds that counts its events."""

    def __init__(self) -> None:
        super().__init__(initial_time=0)
        self.events = 0

    def step(self) -> None:
        self.events += 1
        super().step()


def resolved(scenario: Scenario) -> str:
    """Return a scenario as YAML, every default written out: it runs again as it is."""
    data = SCENARIO.dump_python(scenario, mode="json", exclude_none=True)
    yaml = YAML()
    yaml.default_flow_style = None
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
        count = len(motion.names)
        channel = Channel(
            scenario.channel.path_loss,
            scenario.channel.shadowing,
            scenario.channel.fading,
            radio.frequency_hz,
            np.full(count, devices.height_m),
            motion.position_m,
            motion.max_speed_mps,
            scenario.seed,
        )
    except ValueError as error:
        raise ScenarioError(str(error)) from error
    return World(
        motion=motion,
        channel=channel,
        phy=radio.phy,
        tx_power_w=np.full(count, float(dbm_to_w(devices.tx_power_dbm))),
        noise_figure_db=np.full(count, devices.noise_figure_db),
        flops_per_s=scenario.compute.rates(count, scenario.seed),
        bandwidth_hz=radio.bandwidth_hz,
    )


def notes(scenario: Scenario) -> list[str]:
    """Return what a user should know about a scenario before believing its numbers."""
    height = scenario.devices.height_m
    found = scenario.channel.path_loss.notes(height, height, scenario.radio.frequency_hz)
    if scenario.fl is not None and not isinstance(scenario.fl.payload, str):
        payload = scenario.fl.payload
        found.append(
            f"sizes and operations are emulated ({payload.emulate}, {payload.batch} sequences of "
            f"{payload.length} tokens a step); what is learned is {scenario.fl.model}"
        )
    return found


def load_tasks(scenario: Scenario) -> list[Task]:
    """Return the tasks of a scenario that learns.

    Raises
    ------
    ScenarioError
        if there is no such task, or its files cannot be used
    """
    from fl.config import Folder, Hub
    from fl.tasks import from_folder, from_hub, generate

    learning = scenario.fl
    if learning is None:
        return []
    train, test = learning.train_examples, learning.test_examples
    try:
        if isinstance(learning.tasks, Folder):
            return from_folder(learning.tasks.folder, train, test)
        if isinstance(learning.tasks, Hub):
            return [from_hub(name, train, test) for name in learning.tasks.hub]
        return [generate(name, train, test, scenario.seed) for name in learning.tasks]
    except ValueError as error:
        raise ScenarioError(f"fl.tasks: {error}") from error


def check(runs: Sequence[Run]) -> None:
    """Find out what can be known to be wrong without training anything; torch is not imported.

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
            build_world(run.scenario)
            load_tasks(run.scenario)


def run_all(runs: Sequence[Run], out: Path, watch: Watch) -> list[str]:
    """Run what is not complete yet, and draw the figures of all of it.

    Parameters
    ----------
    runs : the runs of one scenario file
    out : folder of results
    watch : told of progress

    Returns
    -------
    the names of the runs that were complete already

    Raises
    ------
    ScenarioError
        if a folder holds the results of another scenario, or a scenario cannot be run
    """
    todo, skipped = [], []
    for run in runs:
        manifest = records.read_manifest(out / run.folder)
        if manifest is None:
            todo.append(run)
        elif manifest.get("fingerprint") == records.fingerprint(resolved(run.scenario)):
            skipped.append(run.folder)
        else:
            raise ScenarioError(
                f"{out / run.folder}: holds the results of another scenario of this name; "
                "choose another folder with --out, or move it away"
            )
    for run in todo:
        run_one(run, out / run.folder, watch)
    records.write(out / "summary.csv", _summary(runs, out))

    from wnsim import figures

    figures.draw(out, [run.folder for run in runs])
    return skipped


def run_one(run: Run, folder: Path, watch: Watch) -> None:
    """Simulate one run and write its results.

    Parameters
    ----------
    run : what to simulate
    folder : where its results go; results that are not complete are replaced
    watch : told of progress

    Raises
    ------
    ScenarioError
        if the scenario cannot be run
    """
    began = time.perf_counter()
    scenario = run.scenario
    world = build_world(scenario)
    env = _Clock()
    block_s = scenario.radio.block_s
    block_ns = (
        coherent_block_ns(scenario.radio.frequency_hz, world.motion.max_speed_mps)
        if block_s is None
        else to_ns(block_s)
    )
    network = Network(
        env, world, scenario.mac, block_ns, scenario.radio.csi_delay_s, scenario.seed
    )
    session: Session | None = None
    trainer: Trainer | None = None
    if scenario.fl is not None:
        trainer, session = _learning(run, world, network, watch)
        env.run(until=session.done)
    elif scenario.traffic is not None:
        watch(Progress(run.folder, 0, scenario.traffic.rounds, 0.0, None))
        env.run(until=env.process(scenario.traffic.process(network)))
        watch(
            Progress(
                run.folder, scenario.traffic.rounds, scenario.traffic.rounds, to_s(env.now), None
            )
        )

    tables = _tables(network, world, trainer, session)
    if folder.is_dir():
        _clear(folder, tables)
    text = resolved(scenario)
    records.write(folder / "scenario.yaml", text.encode())
    for name, data in tables.items():
        records.write(folder / name, data)
    if session is not None and trainer is not None:
        _export(folder / "adapters", world.motion.names, trainer, session, scenario)
    payload = scenario.fl.payload if scenario.fl is not None else "actual"
    facts = {
        "scenario": scenario.name,
        "variant": scenario.label,
        "seed": scenario.seed,
        "swept": run.swept,
        "sizes": "actual" if isinstance(payload, str) else payload.emulate,
        "wall_s": time.perf_counter() - began,
        "simulated_s": to_s(env.now),
        "events": env.events,
    }
    records.write_manifest(folder, text, tables, facts)


def _learning(
    run: Run, world: World, network: Network, watch: Watch
) -> tuple[Trainer, Session]:
    from fl.model import load
    from fl.session import Session
    from fl.trainer import Trainer

    scenario = run.scenario
    learning = scenario.fl
    if learning is None:
        raise ScenarioError("fl: the section is required to learn anything")
    tasks = load_tasks(scenario)
    try:
        model, tokenizer = load(learning.model)
        trainer = Trainer(learning, tasks, model, tokenizer, world.count, scenario.seed)
        session = Session(
            network,
            trainer,
            learning,
            world.compute_time_s,
            world.count,
            scenario.seed,
            lambda number, time_s, accuracy: watch(
                Progress(run.folder, number, learning.rounds, time_s, accuracy)
            ),
        )
    except ValueError as error:
        raise ScenarioError(f"fl: {error}") from error
    return trainer, session


def _tables(
    network: Network, world: World, trainer: Trainer | None, session: Session | None
) -> dict[str, bytes]:
    names = world.motion.names
    tables = {
        "transfers.csv": records.table(
            records.TRANSFER_COLUMNS, records.transfer_rows(network.transfers, names)
        ),
        "devices.csv": records.table(_DEVICE_COLUMNS, _device_rows(network, world, trainer)),
    }
    if session is not None:
        tables["rounds.csv"] = records.table(_ROUND_COLUMNS, _rows(session.rounds, _ROUND_COLUMNS, names))
        tables["evaluations.csv"] = records.table(
            _EVALUATION_COLUMNS, _rows(session.evaluations, _EVALUATION_COLUMNS, names)
        )
    return tables


def _rows(rows: Iterable[Any], columns: Sequence[str], names: Sequence[str]) -> list[list[Any]]:
    return [
        [names[row.device] if column == "device" else getattr(row, column) for column in columns]
        for row in rows
    ]


def _device_rows(network: Network, world: World, trainer: Trainer | None) -> list[list[Any]]:
    rows = []
    for device, name in enumerate(world.motion.names):
        sent = [t for t in network.transfers if t.message.source == device]
        arrived = [t for t in network.transfers if t.message.target == device and t.delivered]
        rows.append(
            [
                name,
                float(world.flops_per_s[device]),
                trainer.tasks[trainer.task_of[device]].name if trainer else "",
                trainer.examples[device] if trainer else "",
                len(sent),
                sum(t.delivered for t in sent),
                sum(t.message.size_bytes for t in sent),
                sum(t.message.size_bytes for t in arrived),
            ]
        )
    return rows


def _export(
    folder: Path, names: Sequence[str], trainer: Trainer, session: Session, scenario: Scenario
) -> None:
    from fl.peft_format import export, files, folder_name

    if scenario.fl is None:
        return
    for name, adapter in zip(names, session.adapters, strict=True):
        if adapter is not None:
            contents = files(
                adapter, trainer.model.layers, scenario.fl.model, trainer.model.transposed
            )
            export(folder / folder_name(name), contents)


def _clear(folder: Path, tables: Iterable[str]) -> None:
    """Remove what an unfinished run of ours left; nothing else in the folder is touched."""
    for name in (*tables, "scenario.yaml", records.MANIFEST):
        (folder / name).unlink(missing_ok=True)
    if (folder / "adapters").is_dir():
        for device in (folder / "adapters").glob("device-*"):
            shutil.rmtree(device)


def _summary(runs: Sequence[Run], out: Path) -> bytes:
    """Return one row per run and metric, computed from the runs' tables."""
    import pandas as pd

    rows: list[list[Any]] = []
    for run in runs:
        folder = out / run.folder
        manifest = records.read_manifest(folder) or {}
        metrics: dict[str, float] = {"simulated_s": manifest.get("simulated_s", math.nan)}
        transfers = pd.read_csv(folder / "transfers.csv")
        metrics["messages"] = len(transfers)
        metrics["sent_bytes"] = transfers["size_bytes"].sum()
        if len(transfers):
            delivered = transfers[transfers["delivered"]]
            metrics["delivered_share"] = len(delivered) / len(transfers)
            metrics["latency_median_s"] = delivered["latency_s"].median()
            metrics["latency_p95_s"] = delivered["latency_s"].quantile(0.95)
        if (folder / "evaluations.csv").is_file():
            evaluations = pd.read_csv(folder / "evaluations.csv")
            last = evaluations[evaluations["round"] == evaluations["round"].max()]
            metrics["accuracy_all_tasks"] = last["accuracy"].mean()
            metrics["accuracy_own_task"] = last[last["own"]]["accuracy"].mean()
        rows += [
            [run.folder, run.scenario.label, run.scenario.seed, metric, float(value)]
            for metric, value in metrics.items()
        ]
    return records.table(_SUMMARY_COLUMNS, rows)
