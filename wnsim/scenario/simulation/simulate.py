"""Simulation of one run: builds its world, network and learning, runs them, writes its tables."""

from __future__ import annotations

import math
import time
import traceback
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fl.engine import jobs
from wnsim.air import coherent_block_ns
from wnsim.channel.replay_lines import MAX_SAMPLES
from wnsim.core.clock import Clock
from wnsim.core.invariants import InvariantError
from wnsim.core.transfer import DELIVERED, LATE_REASON, SIDE_KINDS
from wnsim.core.units import to_ns
from wnsim.core.version import RESULTS
from wnsim.faults import Row
from wnsim.mobility import first_presence_s
from wnsim.network import AirOptions, Backhaul, Network
from wnsim.scenario.errors import DivergedError, ScenarioError
from wnsim.scenario.progress import Progress, Watcher
from wnsim.scenario.signals import check_ended
from wnsim.scenario.simulation.build import build_world, measured_links
from wnsim.scenario.simulation.identity import fingerprint, inputs, plugin_sources
from wnsim.scenario.simulation.learning import Learner, StoreConfig
from wnsim.scenario.simulation.processes import Processes, Tell, start
from wnsim.scenario.simulation.tables import export_adapters, run_tables
from wnsim.scenario.spec.faults import fault_rows, idle_outages
from wnsim.scenario.spec.plan import Run
from wnsim.scenario.spec.schema import Scenario
from wnsim.storage import records
from wnsim.storage.record_book import RecordBook
from wnsim.world import World

if TYPE_CHECKING:
    from fl.adapters import Adapter
    from fl.engine.ranks import Ranks
    from fl.engine.store import Store
    from wnsim.channel.recording import GainRecord

# File of the gains that a run used.
RECORD = "channel.csv.gz"
# Share of messages that must arrive for a run to end without a note.
_FEW = 0.01


def run_one(
    run: Run,
    folder: Path,
    watcher: Watcher,
    store_config: StoreConfig,
    ranks: Ranks | None = None,
    form: str = "csv",
) -> None:
    """Simulate one run and write its results beside its resolved scenario.

    Parameters
    ----------
    run : run to simulate
    folder : folder of the run, which holds no complete run
    watcher : receives the progress
    store_config : training cache
    ranks : processes that share the training; None: this process alone
    form : format of the tables, `csv` or `parquet`

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
    # Only the first process writes files.
    network = network_of(scenario, world, folder if first else None)
    try:
        store = None
        if first and scenario.fl is not None:
            # Two runs may differ only in how their swept values are written.
            store = store_config.store(records.digest(f"{own} {run.folder}".encode())[:32])

        def tell(number: int, rounds: int, accuracy: float | None) -> None:
            check_ended()
            if first:
                events, wall_s = network.env.events, time.perf_counter() - began
                watcher.watch(
                    Progress(run.folder, number, rounds, network.now_s, accuracy, events, wall_s)
                )

        done, adapters = _simulate(scenario, world, network, tell, store, ranks)
        if first:
            digests, facts = _write(scenario, folder, world, network, done, adapters, form)
            ending = _ending_notes(scenario, world, network)
            if scenario.record_channel and RECORD not in digests:
                ending.append(
                    f"{RECORD} is not written: a table has at most {MAX_SAMPLES} gains, and the "
                    "simulation used more"
                )
            for note in ending:
                watcher.say(f"note: {run.folder}: {note}")
            facts |= {
                "results": RESULTS,
                "notes": ending,
                "fingerprint": own,
                "config_hash": fingerprint(scenario, used, seed=False),
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


def _simulate(
    scenario: Scenario,
    world: World,
    network: Network,
    tell: Tell,
    store: Store | None,
    ranks: Ranks | None,
) -> tuple[Processes, list[Adapter | None]]:
    """Run a simulation to its end; return its processes, and the adapter of each device.

    Parameters
    ----------
    scenario, world, network : scenario, its world and its network
    tell : receives each finished round
    store : training cache
    ranks : processes that share the training
    """
    done = start(scenario, world, network, tell, Learner(store, ranks))
    try:
        done.run_until(done.over)
        network.close()
        done.check_energy()
        return done, [] if done.session is None else done.session.adapters
    # Diverged training yields values that cannot be encoded; a violated invariant is an error
    # in the program, but concerns this run only.
    except (ValueError, InvariantError) as error:
        if _in_user_code(error, scenario):
            raise
        kind = DivergedError if isinstance(error, jobs.DivergedError) else ScenarioError
        raise kind(str(error)) from error


def _write(
    scenario: Scenario,
    folder: Path,
    world: World,
    network: Network,
    done: Processes,
    adapters: Sequence[Adapter | None],
    form: str,
) -> tuple[dict[str, str], dict[str, Any]]:
    """Write tables and adapters; return digests by file, and entries of the manifest."""
    trainer, session = done.trainer, done.session
    # What the tables ask for is not what the simulation used.
    record = world.channel.end_record()
    faults: list[Row] = []
    if scenario.faults is not None and world.faults is not None:
        faults = fault_rows(scenario.faults, world.faults, network.now_s, world.names, session)
    try:
        tables = run_tables(network, world, done.ledger, trainer, session, faults)
    except InvariantError as error:
        raise ScenarioError(str(error)) from error
    paths = {name: (folder / name).with_suffix(f".{form}") for name in tables}
    digests = {
        paths[name].name: records.write_table(paths[name], table) for name, table in tables.items()
    }
    digests["scenario.yaml"] = records.file_digest(folder / "scenario.yaml")
    if record is not None:
        digests |= _write_record(folder, world, record, network.now_s)
    payload = "actual"
    if scenario.fl is not None and trainer is not None:
        from fl.models.language_model import model_source

        base_model = model_source(scenario.fl.model)
        digests |= export_adapters(folder, world, trainer, adapters, base_model)
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
        "min_events": 2 * len(network.transfers),
        "shannon_efficiency": carried / shannon if shannon else None,
        "rounds": max((row.round for row in session.rounds), default=0) if session else None,
        "tasks_computed": trainer.executor.computed if trainer else None,
        "tasks_from_store": trainer.executor.found if trainer else None,
    }


def _write_record(folder: Path, world: World, record: GainRecord, until_s: float) -> dict[str, str]:
    """Write the gains that a run used; return the digest by file, none if they are too many."""
    try:
        lines = record.lines(world.channel, world.names, until_s)
        return {RECORD: records.write_compressed(folder / RECORD, lines)}
    except OverflowError:
        return {}


def _ending_notes(scenario: Scenario, world: World, network: Network) -> list[str]:
    """Return what a user should know about a run that has ended."""
    outages = () if scenario.faults is None else scenario.faults.link_outages
    found: list[str] = []
    # Which links a relayed message has taken is not recorded.
    if outages and scenario.transport.max_hops == 1 and scenario.contact_plan is None:
        stations = range(world.count, len(world.names))
        found = idle_outages(outages, network.transfers, network.now_s, stations)
    return found + _delivery_notes(world, network)


def _delivery_notes(world: World, network: Network) -> list[str]:
    """Return a note if hardly any message was delivered."""
    if math.isinf(first_presence_s(world.motion, network.now_s)):
        return [f"no device was present from 0 s to the end of the run at {network.now_s:g} s"]
    endings = Counter(
        transfer.reason or DELIVERED
        for transfer in network.transfers
        if transfer.message.kind not in SIDE_KINDS
    )
    count, delivered = endings.total(), endings.pop(DELIVERED, 0)
    if not count or delivered >= _FEW * count:
        return []
    late = endings.pop(LATE_REASON, 0)
    note = f"{delivered} of {count} messages were delivered, {late} were late, "
    note += f"{endings.total()} lost"
    if endings:
        note += f", mostly for: {endings.most_common(1)[0][0]}"
    return [note]


def _in_user_code(error: Exception, scenario: Scenario) -> bool:
    """Return whether an error comes from a user-defined model, whose author needs the traceback."""
    own = {str(path) for path in plugin_sources(scenario)}
    return any(frame.filename in own for frame in traceback.extract_tb(error.__traceback__))


def network_of(scenario: Scenario, world: World, folder: Path | None = None) -> Network:
    """Return the network of a scenario in its world, at time zero.

    Parameters
    ----------
    scenario : scenario to simulate
    world : its devices and channel
    folder : folder on whose disk records are kept; None: the system's temporary folder

    Raises
    ------
    ScenarioError
        if medium access and radio do not fit together
    """
    radio = scenario.radio
    if radio.block_s is None:
        block_ns = coherent_block_ns(radio.frequency_hz, world.motion.max_speed_mps)
    else:
        block_ns = to_ns(radio.block_s)
    stations = scenario.base_stations
    backhaul = None
    if stations is not None:
        backhaul = Backhaul(
            stations.backhaul_bps,
            stations.backhaul_delay_s,
            stations.backhaul_shared,
            stations.backhaul_queue_bytes,
        )
    try:
        network = Network(
            Clock(),
            world,
            scenario.mac,
            AirOptions(
                block_ns,
                radio.csi_delay_s,
                engine=scenario.engine,
                prediction=radio.csi_prediction,
                replay=measured_links(scenario, world.motion.names, world.plan),
            ),
            scenario.seed_of("channel"),
            transport=scenario.transport,
            backhaul=backhaul,
            records=RecordBook(folder),
        )
    except ValueError as error:
        raise ScenarioError(f"mac: {error}") from error
    if scenario.probes is not None:
        scenario.probes.start(network, world.count, scenario.seed_of("channel"))
    return network
