"""Metrics, and the columns of the tables that they are computed from."""

from __future__ import annotations

import importlib
import inspect
import itertools
from collections.abc import Mapping

from fl.session.records import (
    ClassRow,
    ClusterRow,
    DriftRow,
    EvaluationRow,
    ForgettingRow,
    MemberRow,
    QueryRow,
    RoundRow,
)
from wnsim import metrics
from wnsim.core.transfer import Message, Packet, Transfer
from wnsim.faults import Row
from wnsim.scenario.simulation.tables import DEVICE_COLUMNS, ENERGY_COLUMNS, TABLES
from wnsim.storage import records
from wnsim.world.positions import PositionRow

from .docstrings import escaped, paragraphs, said, sentence, table


def metrics_table() -> str:
    """Return the definitions of all metrics, by the table that they are computed from."""
    modules = ("delivery", "learning", "rounds", "devices", "clusters")
    parts = [table(("metric", "meaning"), [_metric("simulated_s", metrics.DEFINITIONS)])]
    for name in modules:
        module = importlib.import_module(f"wnsim.metrics.{name}")
        title, _, rest = inspect.cleandoc(module.__doc__ or "").partition("\n")
        parts += [f"## {escaped(title.rstrip('.'))}\n", paragraphs(rest.strip())]
        rows = [_metric(metric, module.DEFINITIONS) for metric in module.DEFINITIONS]
        parts.append(table(("metric", "meaning"), rows))
    return "\n".join(parts)


def _metric(name: str, definitions: Mapping[str, str]) -> list[str]:
    return [f"`{name}`", escaped(sentence(definitions[name]))]


def tables() -> str:
    """Return the description of each column of each table."""
    message, transfer = said(Message)[1]["Parameters"], said(Transfer)[1]["Parameters"]
    transfer |= {
        name: said(value)[0]
        for name, value in vars(Transfer).items()
        if isinstance(value, property)
    }
    packet = said(Packet)[1]["Parameters"] | {"packet": said(Packet)[1]["Parameters"]["number"]}
    rows = {
        "transfers.csv": (
            said(Transfer)[0],
            {name: (message | transfer)[name] for name in records.TRANSFER_COLUMNS},
        ),
        "packets.csv": (
            said(Packet)[0],
            {name: (message | packet)[name] for name in records.PACKET_COLUMNS},
        ),
        "devices.csv": (
            "A device: its task, messages, radio time and energy; a row of `devices.csv`.",
            DEVICE_COLUMNS | ENERGY_COLUMNS,
        ),
        "energy.csv": (
            "Energy that a device has spent by the end of each round; needs a section `energy`.",
            {"time_s": "end of the round [s]", "device": "its name", **ENERGY_COLUMNS},
        ),
        "targets.csv": (
            "`fl.target_accuracies`.",
            {"accuracy": "a target accuracy", "crossing": "`fl.target_crossing`"},
        ),
    }
    for name, row in {
        "rounds.csv": RoundRow, "evaluations.csv": EvaluationRow, "classes.csv": ClassRow,
        "clusters.csv": ClusterRow, "members.csv": MemberRow, "positions.csv": PositionRow,
        "faults.csv": Row,
        "drifts.csv": DriftRow,
        "forgetting.csv": ForgettingRow,
        "queries.csv": QueryRow,
    }.items():  # fmt: skip
        rows[name] = (said(row)[0], said(row)[1]["Parameters"])
    if missing := set(TABLES) ^ set(rows):
        raise ValueError(f"each table must be explained, got {', '.join(sorted(missing))} at odds")
    parts = []
    for name in TABLES:
        text, columns = rows[name]
        parts += [f"### {name}\n", paragraphs(text)]
        # Consecutive columns with one description share a row.
        shown = [
            [", ".join(f"`{key}`" for key in alike), escaped(sentence(each))]
            for each, alike in itertools.groupby(columns, columns.__getitem__)
        ]
        parts.append(table(("column", "meaning"), shown))
    return "\n".join(parts)
