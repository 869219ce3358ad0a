"""The one room that knows everything: builds a scenario's world, runs it, writes its results."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from wnsim import records
from wnsim.air import coherent_block_ns
from wnsim.clock import Clock
from wnsim.network import Network
from wnsim.scenario import results
from wnsim.scenario.build import build_world, load_tasks, resolved
from wnsim.scenario.errors import ScenarioError
from wnsim.scenario.sweep import Run
from wnsim.units import to_ns, to_s
from wnsim.world import World

if TYPE_CHECKING:
    from fl.session import Session
    from fl.trainer import Trainer


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
    records.write(out / "summary.csv", results.summary(runs, out))

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
    env = Clock()
    block_s = scenario.radio.block_s
    block_ns = (
        coherent_block_ns(scenario.radio.frequency_hz, world.motion.max_speed_mps)
        if block_s is None
        else to_ns(block_s)
    )
    network = Network(env, world, scenario.mac, block_ns, scenario.radio.csi_delay_s, scenario.seed)
    session: Session | None = None
    trainer: Trainer | None = None
    if scenario.fl is not None:
        trainer, session = _learning(run, world, network, watch)
        try:
            env.run(until=session.done)
        # Training that diverges gives numbers that cannot be sent.
        except ValueError as error:
            raise ScenarioError(f"{run.folder}: {error}") from error
    elif scenario.traffic is not None:
        watch(Progress(run.folder, 0, scenario.traffic.rounds, 0.0, None))
        env.run(until=env.process(scenario.traffic.process(network)))
        watch(
            Progress(
                run.folder, scenario.traffic.rounds, scenario.traffic.rounds, to_s(env.now_ns), None
            )
        )

    tables = results.tables(network, world, trainer, session)
    if folder.is_dir():
        results.clear(folder, tables)
    text = resolved(scenario)
    records.write(folder / "scenario.yaml", text.encode())
    for name, data in tables.items():
        records.write(folder / name, data)
    if session is not None and trainer is not None:
        results.export_adapters(folder / "adapters", world.motion.names, trainer, session, scenario)
    payload = scenario.fl.payload if scenario.fl is not None else "actual"
    facts = {
        "scenario": scenario.name,
        "variant": scenario.label,
        "seed": scenario.seed,
        "swept": run.swept,
        "sizes": "actual" if isinstance(payload, str) else payload.emulate,
        "wall_s": time.perf_counter() - began,
        "simulated_s": to_s(env.now_ns),
        "events": env.events,
    }
    records.write_manifest(folder, text, tables, facts)


def _learning(run: Run, world: World, network: Network, watch: Watch) -> tuple[Trainer, Session]:
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
