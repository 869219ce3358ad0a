"""The one room that knows everything: builds a scenario's world, runs it, writes its tables."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wnsim.air import coherent_block_ns
from wnsim.core.clock import Clock
from wnsim.core.invariants import EnergyMonotonicityCheck, InvariantError
from wnsim.core.units import to_ns
from wnsim.faults import Row
from wnsim.network import AirOptions, Backhaul, Network
from wnsim.network.energy_ledger import EnergyLedger
from wnsim.scenario.errors import ScenarioError
from wnsim.scenario.progress import Progress, Watcher
from wnsim.scenario.simulation.build import build_world, fingerprint, inputs, own_sources
from wnsim.scenario.simulation.learning import Keeping, learn
from wnsim.scenario.simulation.tables import export_adapters, run_tables
from wnsim.scenario.spec.faults import fault_rows
from wnsim.scenario.spec.plan import Run
from wnsim.scenario.spec.schema import Scenario
from wnsim.storage import records
from wnsim.storage.record_book import RecordBook
from wnsim.world import World

if TYPE_CHECKING:
    import simpy

    from fl.adapters import Adapter
    from fl.engine.ranks import Ranks
    from fl.engine.store import Store
    from fl.session import Session
    from fl.trainer import Trainer


def run_one(
    run: Run, folder: Path, watcher: Watcher, keeping: Keeping, ranks: Ranks | None = None
) -> None:
    """Simulate one run and write its results beside its scenario, which stands there already.

    Parameters
    ----------
    run : what to simulate
    folder : where its results go; it holds no complete run
    watcher : is told of progress
    keeping : where results of training are kept
    ranks : the processes that share the training; none: this one does it all

    Raises
    ------
    ScenarioError
        if the scenario cannot be run
    """
    began = time.perf_counter()
    scenario = run.scenario
    used = inputs(scenario)
    own = fingerprint(scenario, used)
    first = ranks is None or ranks.rank == 0
    world = build_world(scenario)
    # The first process alone writes files.
    network = network_of(scenario, world, folder if first else None)
    try:
        store = None
        if first and scenario.fl is not None:
            # Two runs may be the same but for how their swept values are written.
            store = keeping.store(records.digest(f"{own} {run.folder}".encode())[:32])

        def tell(number: int, rounds: int, accuracy: float | None) -> None:
            if first:
                events, wall_s = network.env.events, time.perf_counter() - began
                watcher.watch(
                    Progress(run.folder, number, rounds, network.now_s, accuracy, events, wall_s)
                )

        done = _simulate(scenario, world, network, tell, store, ranks)
        if first:
            digests, facts = _write(scenario, folder, done)
            facts |= {
                "fingerprint": own,
                "seedless": fingerprint(scenario, used, seed=False),
                "inputs": used,
                "description": run.description,
                "swept": run.swept,
                "wall_s": time.perf_counter() - began,
                "ranks": 1 if ranks is None else ranks.size,
            }
            records.write_manifest(folder, digests, facts)
            if store is not None:
                store.close()
    finally:
        network.records.discard()


@dataclass
class _Done:
    """A simulation that is over: its world, its radios, and what was spent and learned."""

    world: World
    network: Network
    ledger: EnergyLedger | None
    trainer: Trainer | None
    session: Session | None
    adapters: list[Adapter | None]


def _simulate(
    scenario: Scenario,
    world: World,
    network: Network,
    tell: Callable[[int, int, float | None], None],
    store: Store | None,
    ranks: Ranks | None,
) -> _Done:
    """Run a simulation to its end.

    Parameters
    ----------
    scenario, world, network : what to simulate
    tell : is told of each round that is over: its number, of how many, and the mean accuracy
    store : of what was trained
    ranks : the processes that share the training
    """
    ledger = None
    if scenario.energy is not None:
        ledger = EnergyLedger(scenario.energy, network, world.tx_power_w[: world.count])
    for number, background in enumerate(scenario.background):
        background.start(network, world.count, scenario.seed, number)
    spent = EnergyMonotonicityCheck(world.names)

    def progress(number: int, rounds: int, accuracy: float | None = None) -> None:
        if ledger is not None:
            spent.check(ledger.spent_j(), network.now_s)
        tell(number, rounds, accuracy)

    trainer: Trainer | None = None
    session: Session | None = None
    if scenario.fl is not None:
        rounds = scenario.fl.rounds

        def report(number: int, time_s: float, accuracy: float | None) -> None:
            progress(number, rounds, accuracy)

        def compute_time_s(device: int, flops: float) -> float:
            if ledger is not None:
                ledger.flops[device] += flops
            return world.compute_time_s(device, flops, network.now_s)

        trainer, session = learn(
            scenario, network, compute_time_s, world.count, report, store, ranks
        )
        over: simpy.Event = session.done
    elif scenario.traffic is not None:
        rounds = scenario.traffic.rounds

        def ended(number: int) -> None:
            progress(number, rounds)

        ended(0)
        over = network.env.process(scenario.traffic.process(network, ended))
    else:
        raise ScenarioError("there is nothing to simulate: give a section fl, or traffic")
    try:
        network.env.run(until=over)
        network.close()
        if ledger is not None:
            spent.check(ledger.spent_j(), network.now_s)
        adapters = [] if session is None else session.adapters
    # Training that diverges gives numbers that cannot be sent; a law that is broken is a mistake
    # of ours, but concerns this run only.
    except (ValueError, InvariantError) as error:
        if _in_own_code(error, scenario):
            raise
        raise ScenarioError(str(error)) from error
    return _Done(world, network, ledger, trainer, session, adapters)


def _write(scenario: Scenario, folder: Path, done: _Done) -> tuple[dict[str, str], dict[str, Any]]:
    """Write tables and adapters; return digests by file, and what is to be known of the run."""
    world, network, trainer, session = done.world, done.network, done.trainer, done.session
    faults: list[Row] = []
    if scenario.faults is not None and world.faults is not None:
        faults = fault_rows(scenario.faults, world.faults, network.now_s, world.names, session)
    try:
        tables = run_tables(network, world, done.ledger, trainer, session, faults)
    except InvariantError as error:
        raise ScenarioError(str(error)) from error
    digests = {name: records.write_table(folder / name, table) for name, table in tables.items()}
    digests["scenario.yaml"] = records.file_digest(folder / "scenario.yaml")
    payload = "actual"
    if scenario.fl is not None and trainer is not None:
        from fl.models.language_model import base_of

        base_model = base_of(scenario.fl.model)
        digests |= export_adapters(folder, world, trainer, done.adapters, base_model)
        payload = getattr(scenario.fl.payload, "emulate", payload)
    shannon, carried = 0.0, 0
    for transfer in network.transfers:
        shannon += transfer.capacity_bytes
        carried += transfer.carried_bytes
    return digests, {
        "scenario": scenario.name,
        "variant": scenario.label,
        "seed": scenario.seed,
        "sizes": payload,
        "simulated_s": network.now_s,
        "events": network.env.events,
        "least_events": 2 * len(network.transfers),
        "of_shannon_bound": carried / shannon if shannon else None,
        "rounds": max((row.round for row in session.rounds), default=0) if session else None,
        "jobs_computed": trainer.executor.computed if trainer else None,
        "jobs_from_store": trainer.executor.found if trainer else None,
    }


def _in_own_code(error: Exception, scenario: Scenario) -> bool:
    """Return whether an error comes from a model of a user's own, who must see where."""
    own = {str(path) for path in own_sources(scenario)}
    return any(frame.filename in own for frame in traceback.extract_tb(error.__traceback__))


def network_of(scenario: Scenario, world: World, folder: Path | None = None) -> Network:
    """Return the network of a scenario in its world, at the first instant.

    Parameters
    ----------
    scenario : what to simulate
    world : its devices and channel
    folder : on whose disk there is room for records; none: where the system has temporary files
    """
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
        AirOptions(
            block_ns,
            radio.csi_delay_s,
            engine=scenario.engine,
            prediction=radio.csi_prediction,
            replay=None if replay is None else replay.links(world.motion.names),
        ),
        scenario.seed,
        transport=scenario.transport,
        backhaul=backhaul,
        records=RecordBook(folder),
    )
    if scenario.probes is not None:
        scenario.probes.start(network, world.count, scenario.seed)
    return network
