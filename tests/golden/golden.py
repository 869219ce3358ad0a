"""Golden digests: shortened scenarios whose tables must not change by accident.

`digests.json` holds two digests of each table: one of all columns, which holds on a processor and
with libraries like those it was made with, and one of the columns without decimals, which holds
everywhere. `renames.json` maps today's names of tables, columns and values to those of the digests,
so that a renaming is a line there and nothing else. The number of events of each run is kept too:
it may fall, and grows only on purpose.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import re
import sys
from importlib import metadata
from pathlib import Path, PurePosixPath
from typing import Any

from wnsim.scenario import load, run

HERE = Path(__file__).parent
DIGESTS = HERE / "digests.json"
RENAMES = HERE / "renames.json"
SCENARIOS: dict[str, dict[str, Any]] = {
    "urban": {
        "devices.count": 6,
        "fl.tasks": ["reverse", "total", "home"],
        "fl.rounds": 2,
        "fl.local_steps": 2,
        "fl.test_examples": 4,
        "fl.evaluate_every": 1,
        "fl.deadline_s": 5,
    },
    "async": {
        "devices.count": 5,
        "fl.tasks": ["reverse", "total"],
        "fl.rounds": 3,
        "fl.local_steps": 2,
        "fl.test_examples": 4,
    },
    "digits": {
        "variants": [{"label": "FedAvg"}],
        "devices.count": 5,
        "fl.rounds": 2,
        "fl.local_steps": 2,
        "fl.train_examples": 200,
        "fl.test_examples": 20,
    },
    "highway": {"devices.count": 10, "traffic.rounds": 1, "traffic.size_bytes": 300_000},
    "indoor": {"devices.count": 6, "traffic.rounds": 1, "traffic.size_bytes": 60_000},
}
_PACKAGES = ("numpy", "scipy", "numba", "torch", "transformers")
_DECIMAL = re.compile(r"-?(\d+\.\d*|\d*\.\d+|\d+)([eE][-+]?\d+)?|-?inf|nan")
_INTEGER = re.compile(r"-?\d+")


def tables(scenario: str, out: Path) -> tuple[dict[str, bytes], dict[str, str], dict[str, int]]:
    """Run a shortened scenario.

    Returns
    -------
    its tables by path, what their last bits depend on, and the number of events of each run
    """
    results = run(load(f"{scenario}.yaml", settings=SCENARIOS[scenario]), out)
    found = {
        path.relative_to(out).as_posix(): path.read_bytes()
        for path in sorted(out.rglob("*.csv"))
        if "figures" not in path.parts
    }
    manifest = next(iter(results.manifests.values()))
    versions = {name: metadata.version(name) for name in _PACKAGES}
    events = {name: each["events"] for name, each in results.manifests.items()}
    machine = {"processor": manifest["machine"]["processor"], "instructions": instructions()}
    return found, versions | machine, events


def instructions() -> str:
    """Return a digest of the instructions of the processor, which a virtual machine may restrict.

    Processors of one generation that differ in them compute other last bits.
    """
    lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines() if sys.platform == "linux" else []
    flags = next((line for line in lines if line.startswith(("flags", "Features"))), "")
    return hashlib.sha256(" ".join(sorted(flags.split())).encode()).hexdigest()[:12]


def digest(path: str, data: bytes, renames: dict[str, Any]) -> dict[str, str]:
    """Return the digests of a table under the names that it had when the digests were made."""
    table = PurePosixPath(path).name
    columns, values = renames["columns"].get(table, {}), renames["values"].get(table, {})
    header, *rows = csv.reader(io.StringIO(data.decode(), newline=""))
    header = [columns.get(name, name) for name in header]
    translated = [
        [values.get(name, {}).get(cell, cell) for name, cell in zip(header, row, strict=True)]
        for row in rows
    ]
    discrete = [
        place
        for place in range(len(header))
        if not any(_is_decimal(row[place]) for row in translated)
    ]
    kept = [[row[place] for place in discrete] for row in [header, *translated]]
    return {"all": _sha256([header, *translated]), "discrete": _sha256(kept)}


def of_scenario(scenario: str, out: Path) -> dict[str, Any]:
    """Return a scenario's digests, what those of all columns depend on, and events."""
    found, made_with, events = tables(scenario, out)
    renames = json.loads(RENAMES.read_text("utf-8"))
    former = {}
    for path, data in found.items():
        name = PurePosixPath(path)
        name = name.with_name(renames["tables"].get(name.name, name.name))
        former[name.as_posix()] = digest(name.as_posix(), data, renames)
    return {"made_with": made_with, "events": events, "tables": former}


def _is_decimal(cell: str) -> bool:
    return _DECIMAL.fullmatch(cell) is not None and _INTEGER.fullmatch(cell) is None


def _sha256(rows: list[list[str]]) -> str:
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows(rows)
    return hashlib.sha256(text.getvalue().encode()).hexdigest()
