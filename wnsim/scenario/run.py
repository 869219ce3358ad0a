"""The one room that knows everything: builds a scenario's world, runs it, writes its results."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from wnsim import records
from wnsim.air import coherent_block_ns
from wnsim.clock import Clock
from wnsim.energy import Ledger
from wnsim.network import Backhaul, Network
from wnsim.scenario import results
from wnsim.scenario.build import (
    build_world,
    fingerprint,
    inputs,
    load_tasks,
    resolved,
)
from wnsim.scenario.errors import ScenarioError
from wnsim.scenario.schema import Scenario
from wnsim.scenario.sweep import Run
from wnsim.units import to_ns
from wnsim.world import World

if TYPE_CHECKING:
    import simpy

    from fl.config import Learning
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
    name = runs[0].scenario.name
    there = records.complete_runs(out, name)
    lines = {
        (manifest["variant"], json.dumps(manifest["swept"])): (folder, manifest["seedless"])
        for folder, manifest in there.items()
    }
    todo, skipped = [], []
    for run in runs:
        used = inputs(run.scenario)
        # Runs of one line of the figures differ in their seeds only.
        seedless = fingerprint(run.scenario, used, seed=False)
        line = (run.scenario.label, json.dumps(run.swept))
        folder, other = lines.get(line, (run.folder, seedless))
        if other != seedless:
            raise _other(out / folder)
        manifest = records.read_manifest(out / run.folder)
        if manifest is None:
            todo.append(run)
        elif manifest.get("fingerprint") == fingerprint(run.scenario, used):
            skipped.append(run.folder)
        else:
            raise _other(out / run.folder)
    # A folder that cannot be written is found out before anything is computed.
    for run in todo:
        results.clear(out / run.folder)
        records.write(out / run.folder / "scenario.yaml", resolved(run.scenario).encode())
    for run in todo:
        run_one(run, out / run.folder, watch)
    complete = records.complete_runs(out, name, [run.folder for run in runs])
    records.write(out / "summary.csv", results.summary(out, complete))

    from wnsim import figures

    figures.draw(out, list(complete))
    return skipped


def _other(folder: Path) -> ScenarioError:
    return ScenarioError(
        f"{folder}: holds the results of another scenario of this name, or of files that have "
        "changed; choose another folder with --out, or move it away"
    )


def run_one(run: Run, folder: Path, watch: Watch) -> None:
    """Simulate one run and write its results beside its scenario, which stands there already.

    Parameters
    ----------
    run : what to simulate
    folder : where its results go; it holds no complete run
    watch : told of progress

    Raises
    ------
    ScenarioError
        if the scenario cannot be run
    """
    began = time.perf_counter()
    scenario = run.scenario
    used = inputs(scenario)
    world = build_world(scenario)
    network = _network(scenario, world)
    ledger = None
    if scenario.energy is not None:
        ledger = Ledger(scenario.energy, network, world.tx_power_w[: world.count])
    for number, background in enumerate(scenario.background):
        background.start(network, world.count, scenario.seed, number)
    trainer: Trainer | None = None
    session: Session | None = None
    if scenario.fl is not None:
        trainer, session = _learning(run, scenario.fl, world, network, ledger, watch)
        over: simpy.Event = session.done
    elif scenario.traffic is not None:
        rounds = scenario.traffic.rounds

        def ended(number: int) -> None:
            watch(Progress(run.folder, number, rounds, network.now_s, None))

        ended(0)
        over = network.env.process(scenario.traffic.process(network, ended))
    else:
        raise ScenarioError("there is nothing to simulate: give a section fl, or traffic")
    try:
        network.env.run(until=over)
    # Training that diverges gives numbers that cannot be sent.
    except ValueError as error:
        raise ScenarioError(f"{run.folder}: {error}") from error

    tables = results.tables(network, world, ledger, trainer, session)
    for name, data in tables.items():
        records.write(folder / name, data)
    payload = "actual"
    if scenario.fl is not None and session is not None and trainer is not None:
        from fl.model import base_of

        base_model = base_of(scenario.fl.model)
        results.export_adapters(folder / "adapters", world, trainer, session, base_model)
        payload = getattr(scenario.fl.payload, "emulate", payload)
    shannon = sum(transfer.capacity_bytes for transfer in network.transfers)
    carried = sum(transfer.carried_bytes for transfer in network.transfers)
    facts = {
        "fingerprint": fingerprint(scenario, used),
        "seedless": fingerprint(scenario, used, seed=False),
        "inputs": used,
        "scenario": scenario.name,
        "variant": scenario.label,
        "seed": scenario.seed,
        "swept": run.swept,
        "sizes": payload,
        "wall_s": time.perf_counter() - began,
        "simulated_s": network.now_s,
        "events": network.env.events,
        "least_events": 2 * len(network.transfers),
        "of_shannon_bound": carried / shannon if shannon else None,
        "rounds": max((row.round for row in session.rounds), default=0) if session else None,
    }
    records.write_manifest(folder, tables, facts)


def _network(scenario: Scenario, world: World) -> Network:
    radio = scenario.radio
    if radio.block_s is None:
        block_ns = coherent_block_ns(radio.frequency_hz, world.motion.max_speed_mps)
    else:
        block_ns = to_ns(radio.block_s)
    stations, replay = scenario.base_stations, scenario.channel.replay
    backhaul = None
    if stations is not None:
        backhaul = Backhaul(stations.backhaul_bps, stations.backhaul_delay_s)
    network = Network(
        Clock(),
        world,
        scenario.mac,
        block_ns,
        radio.csi_delay_s,
        scenario.seed,
        transport=scenario.transport,
        engine=scenario.engine,
        prediction=radio.csi_prediction,
        backhaul=backhaul,
        replay=None if replay is None else replay.links(world.motion.names),
    )
    if scenario.probes is not None:
        scenario.probes.start(network, world.count, scenario.seed)
    return network


def _learning(
    run: Run,
    learning: Learning,
    world: World,
    network: Network,
    ledger: Ledger | None,
    watch: Watch,
) -> tuple[Trainer, Session]:
    from fl.model import load
    from fl.session import Session
    from fl.trainer import Trainer

    seed = run.scenario.seed
    tasks = load_tasks(run.scenario)

    def report(number: int, time_s: float, accuracy: float | None) -> None:
        watch(Progress(run.folder, number, learning.rounds, time_s, accuracy))

    def compute_time_s(device: int, flops: float) -> float:
        if ledger is not None:
            ledger.flops[device] += flops
        return world.compute_time_s(device, flops)

    try:
        model, tokenizer = load(learning.model)
        trainer = Trainer(learning, tasks, model, tokenizer, world.count, seed)
        session = Session(network, trainer, learning, compute_time_s, world.count, seed, report)
    except ValueError as error:
        raise ScenarioError(f"fl: {error}") from error
    return trainer, session
