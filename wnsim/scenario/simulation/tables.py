"""Tables and adapters that a run leaves behind."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from wnsim.core.invariants import check_totals
from wnsim.scenario.user_code import TRACEBACK
from wnsim.storage import records
from wnsim.storage.parquet import SUFFIX
from wnsim.storage.records import Table
from wnsim.world.positions import position_rows

if TYPE_CHECKING:
    from fl.adapters import Adapter
    from fl.session import Session
    from fl.trainer import Trainer
    from wnsim.core.transfer import Transfer
    from wnsim.faults import Row
    from wnsim.network import Network
    from wnsim.network.energy_ledger import EnergyLedger
    from wnsim.world import World

TABLES = (
    "transfers.csv", "packets.csv", "devices.csv", "energy.csv", "rounds.csv", "evaluations.csv",
    "classes.csv", "clusters.csv", "members.csv", "positions.csv", "targets.csv", "faults.csv",
    "drifts.csv", "forgetting.csv", "queries.csv",
)  # fmt: skip
_MAX_NAME = 120
_EVALUATION_COLUMNS = (
    "round", "time_s", "device", "task", "present", "own_task", "examples", "accuracy",
    "accuracy_before_aggregation", "routing_accuracy", "expert_usage_entropy", "majority_accuracy",
    "accuracy_mean", "accuracy_sum", "accuracy_per_byte", "accuracy_harness",
    "accuracy_harness_norm",
)  # fmt: skip
_CLASS_COLUMNS = (
    "round", "time_s", "device", "class_number", "train_examples", "test_examples", "accuracy",
)  # fmt: skip
_CLUSTER_COLUMNS = (
    "round", "time_s", "cluster", "devices", "expected_collision_rate", "collision_rate",
    "collision_rate_active", "sign_conflict_rate", "consensus_error", "spectral_gap",
)  # fmt: skip
_ROUND_COLUMNS = (
    "round", "device", "start_s", "trained_s", "end_s", "neighbors", "updates_received",
    "offered_bytes", "staleness", "age_s", "loss", "epsilon",
)  # fmt: skip
_MEMBER_COLUMNS = ("round", "time_s", "cluster", "device")
_DRIFT_COLUMNS = ("round", "time_s", "device", "task", "overlap", "renewed")
_FORGETTING_COLUMNS = (
    "round", "time_s", "device", "leaver", "task", "accuracy_before", "accuracy_after",
    "sent_bytes",
)  # fmt: skip
_QUERY_COLUMNS = (
    "round", "time_s", "device", "helper", "task", "answered", "latency_s", "query_bytes",
    "answer_bytes", "accuracy", "accuracy_alone",
)  # fmt: skip
_POSITION_COLUMNS = ("time_s", "device", "x_m", "y_m")
# Column of positions.csv if the antenna heights of devices differ.
_HEIGHT_COLUMN = "height_m"
_FAULT_COLUMNS = ("time_s", "kind", "location", "description", "until_s")
# Columns of devices.csv; devices are named as in the trace, or numbered.
DEVICE_COLUMNS = {
    "device": "its name",
    "flops_per_s": "its peak rate [FLOP/s]",
    "task": "what it trains on, at the end; several tasks are joined by +",
    "examples": "how many examples it trains on, at the start",
    "messages": "how many messages it sent, each receiver of a broadcast counted",
    "delivered": "how many of them arrived in time",
    "offered_bytes": "sizes of all its messages [byte]",
    "acked_bytes": "what of them had arrived when they ended, packet headers included [byte]",
    "received_bytes": "sizes of the messages that it received whole and in time [byte]",
    "tx_time_s": "sending, in seconds at full power [s]",
    "rx_time_s": "receiving [s]",
    "stored_bytes": "size of the adapters that it holds at the end, its own and others' [byte]",
    "a_cosine": "mean |cos| between rows of its frozen A and those of all others' A; empty if "
    "devices share one A",
    "a_block_norm": "largest ||A_i A_j^T||_2 of a layer between its frozen A and another's; empty "
    "likewise",
}
# Columns of devices.csv and energy.csv that need a section `energy`.
ENERGY_COLUMNS = {
    "energy_tx_j": "energy spent sending [J]",
    "energy_rx_j": "energy spent receiving [J]",
    "energy_idle_j": "energy spent waiting in between [J]",
    "energy_compute_j": "energy spent computing [J]",
}


def run_tables(
    network: Network,
    world: World,
    ledger: EnergyLedger | None,
    trainer: Trainer | None,
    session: Session | None,
    faults: Sequence[Row] = (),
) -> dict[str, Table]:
    """Return a run's tables by file name."""
    columns = (*DEVICE_COLUMNS, *(ENERGY_COLUMNS if ledger is not None else ()))
    names = world.names
    found = {
        "transfers.csv": records.transfer_table(network.transfers, names),
        "devices.csv": Table(columns, _device_rows(network, world, ledger, trainer, session)),
        "positions.csv": _position_table(world, network.now_s),
    }
    if ledger is not None:
        found["energy.csv"] = Table(
            ("time_s", "device", *ENERGY_COLUMNS), _energy_rows(ledger, names)
        )
    if network.packets:
        found["packets.csv"] = records.packet_table(network.packets, names)
    if world.faults is not None:
        found["faults.csv"] = _table(faults, _FAULT_COLUMNS, names)
    if session is not None:
        found["rounds.csv"] = _table(session.rounds, _ROUND_COLUMNS, names)
        found["evaluations.csv"] = _table(session.evaluations, _EVALUATION_COLUMNS, names)
        if session.classes:
            found["classes.csv"] = _table(session.classes, _CLASS_COLUMNS, names)
        if session.groups:
            found["clusters.csv"] = _table(session.groups, _CLUSTER_COLUMNS, names)
        if session.memberships:
            found["members.csv"] = _table(session.memberships, _MEMBER_COLUMNS, names)
        if session.drifts:
            found["drifts.csv"] = _table(session.drifts, _DRIFT_COLUMNS, names)
        if session.forgettings:
            found["forgetting.csv"] = _table(session.forgettings, _FORGETTING_COLUMNS, names)
        if session.queries:
            found["queries.csv"] = _table(session.queries, _QUERY_COLUMNS, names)
        targets = session.learning.target_accuracies
        if targets:
            crossing = session.learning.target_crossing
            rows = [[each, crossing] for each in targets]
            found["targets.csv"] = Table(("accuracy", "crossing"), rows)
    return found


def _position_table(world: World, until_s: float) -> Table:
    """Return the positions, with heights where those of devices differ."""
    level = world.heights is None or world.heights.level()
    columns = _POSITION_COLUMNS if level else (*_POSITION_COLUMNS, _HEIGHT_COLUMN)
    rows = position_rows(
        world.motion, world.stations_m, until_s, world.heights, world.station_height_m
    )
    names = world.names
    values = (
        [
            row.time_s,
            "" if row.device is None else names[row.device],
            row.x_m,
            row.y_m,
            *(() if level else (row.height_m,)),
        ]
        for row in rows
    )
    return Table(columns, values)


def _table(rows: Iterable[Any], columns: Sequence[str], names: Sequence[str]) -> Table:
    named = (
        [
            names[getattr(row, column)] if column in ("device", "leaver") else getattr(row, column)
            for column in columns
        ]
        for row in rows
    )
    return Table(columns, named)


@dataclass
class _Sums:
    """Counts of a device's messages and of their bytes."""

    messages: int = 0
    delivered: int = 0
    offered_bytes: int = 0
    acked_bytes: int = 0
    received_bytes: int = 0

    def sent(self, transfer: Transfer) -> None:
        self.messages += 1
        self.delivered += transfer.delivered
        self.offered_bytes += transfer.message.size_bytes
        self.acked_bytes += transfer.acked_bytes

    def received(self, transfer: Transfer) -> None:
        self.received_bytes += transfer.message.size_bytes * transfer.delivered


def _sums(network: Network, names: Sequence[str]) -> list[_Sums]:
    """Return the counts of each node.

    Raises
    ------
    InvariantError
        if they do not add up to those of all messages
    """
    sums = [_Sums() for _ in names]
    for transfer in network.transfers:
        sums[transfer.message.source].sent(transfer)
        sums[transfer.message.target].received(transfer)
    totals = network.totals()
    by_device = {what: [getattr(each, what) for each in sums] for what in totals}
    check_totals(by_device, totals, network.now_s)
    return sums


def _device_rows(
    network: Network,
    world: World,
    ledger: EnergyLedger | None,
    trainer: Trainer | None,
    session: Session | None,
) -> list[list[Any]]:
    names = world.motion.names
    sums = _sums(network, world.names)
    spent = ledger.spent_j() if ledger is not None else {}
    overlaps = trainer.overlaps() if trainer is not None else None
    rows = []
    for device, name in enumerate(names):
        own = [trainer.tasks[task].name for task in trainer.task_of[device]] if trainer else []
        rows.append(
            [
                name,
                float(world.flops_per_s[device]),
                "+".join(own),
                trainer.examples.count(device) if trainer else "",
                *astuple(sums[device]),
                float(network.tx_s[device]),
                float(network.rx_s[device]),
                session.stored_bytes(device) if session is not None else "",
                *(("", "") if overlaps is None else (each[device] for each in overlaps)),
                *(float(joules[device]) for joules in spent.values()),
            ]
        )
    return rows


def _energy_rows(ledger: EnergyLedger, names: Sequence[str]) -> Iterator[list[Any]]:
    """Iterate over the energy that each device has spent by each recorded instant."""
    for time_s, spent_j in ledger.history:
        for device, joules in enumerate(zip(*spent_j.values(), strict=True)):
            yield [time_s, names[device], *map(float, joules)]


def export_adapters(
    folder: Path,
    world: World,
    trainer: Trainer,
    adapters: Sequence[Adapter | None],
    base_model: str,
) -> dict[str, str]:
    """Write the adapter of every trained device; return digests by file.

    Adapters of language models are in PEFT's format; of a network all weights are written.

    Parameters
    ----------
    folder : folder of the run; each device has a folder in `adapters`
    world, trainer : world and trainer of the run
    adapters : adapter of each device; None if it has none
    base_model : name of the base model, from which the adapters can be loaded
    """
    digests = {}
    for name, adapter in zip(world.motion.names, adapters, strict=True):
        if adapter is not None:
            for file, data in trainer.exported(adapter, base_model).items():
                path = f"adapters/{_device_folder(name)}/{file}"
                digests[path] = records.write(folder / path, data)
    return digests


def _device_folder(name: str) -> str:
    """Return the name of a device's folder, unique per device."""
    quoted = quote(name, safe="")
    if len(quoted) > _MAX_NAME:
        quoted = f"{quoted[:_MAX_NAME]}-{records.digest(name.encode())[:12]}"
    return f"device-{quoted}"


def clear(folder: Path) -> None:
    """Remove the files of an unfinished run; other files in the folder are not touched."""
    parquet = [Path(name).with_suffix(SUFFIX).name for name in TABLES]
    for name in (*TABLES, *parquet, "scenario.yaml", records.MANIFEST, records.FAILURE, TRACEBACK):
        (folder / name).unlink(missing_ok=True)
    records.remove_half_written(folder)
    for device in (folder / "adapters").glob("device-*"):
        if device.is_symlink() or not device.is_dir():
            continue
        records.remove_half_written(device)
        for name in ("adapter_config.json", "adapter_model.safetensors", "weights.safetensors"):
            (device / name).unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            device.rmdir()
