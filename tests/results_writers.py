"""Hand-written results folders, for tests of figures, report and summary."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from wnsim import figures, report
from wnsim.storage import records

MANIFEST = {
    "complete": True,
    "swept": {},
    "fingerprint": "0" * 64,
    "config_hash": "0" * 64,
    "sizes": "actual",
    "wall_s": 12.5,
    "events": 1234,
    "versions": {"python": "3.11.0", "wnsim": "0.1.0"},
    "commit": None,
    "machine": {"system": "Linux", "processor": "a processor"},
}
METRICS = {"accuracy_all_tasks": 0.5, "on_air_bytes": 2e9, "goodput_bps": 3e6}


def write_table(path: Path, columns: str, rows: Iterable[Sequence[Any]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns.split())
        writer.writerows(rows)


def write_run(
    results: Path,
    label: str = "lora",
    seed: int = 1,
    *,
    scenario: str = "made",
    description: str = "",
    devices: Sequence[str] = ("0", "1", "2"),
    task: str = "reverse",
    until_s: float = 100.0,
    instants: int = 101,
    messages: int = 200,
    rounds: int = 10,
) -> str:
    """Write a complete run in which devices walk from left to right; return its folder's name.

    Device n walks on the line y = 10 n, 1 m each second; messages go round, every third is missed.
    """
    number = len(list(results.glob("run-*")))
    folder = results / f"run-{number:03}"
    folder.mkdir(parents=True)
    count = len(devices)
    facts = {"scenario": scenario, "description": description, "variant": label, "seed": seed}
    facts["simulated_s"] = until_s
    text = f"name: {json.dumps(scenario)}\n"
    (folder / "scenario.yaml").write_text(text, "utf-8")
    facts["sha256"] = {"scenario.yaml": records.digest(text.encode())}
    (folder / "manifest.json").write_text(json.dumps(MANIFEST | facts), "utf-8")
    times_s = np.linspace(0.0, until_s, instants).round(9).tolist()
    write_table(
        folder / "positions.csv",
        "time_s device x_m y_m",
        [[t, name, t, 10.0 * n] for t in times_s for n, name in enumerate(devices)],
    )
    write_table(
        folder / "devices.csv",
        "device task messages delivered",
        [[name, task, 10 + n, 5 + n] for n, name in enumerate(devices)],
    )
    starts_s = np.linspace(0.0, 0.95 * until_s, messages)
    write_table(
        folder / "transfers.csv",
        "round kind source target size_bytes sent_s started_s ended_s delivered latency_s",
        [
            [1, "update", devices[n % count], devices[(n + 1) % count], 1_500_000, s, s,
             s + 0.04 * until_s, n % 3 != 2, 0.04 * until_s]
            for n, s in enumerate(starts_s.tolist())
        ],
    )  # fmt: skip
    length_s = until_s / rounds
    write_table(
        folder / "rounds.csv",
        "round device start_s trained_s end_s",
        [
            [r + 1, name, r * length_s, (r + 0.5) * length_s, (r + 1) * length_s]
            for r in range(rounds)
            for name in devices
        ],
    )
    write_table(
        folder / "evaluations.csv",
        "round time_s device task own_task accuracy",
        [
            [r, r * length_s, name, task, True, round(r / rounds, 4)]
            for r in range(rounds + 1)
            for name in devices
        ],
    )
    write_table(
        folder / "members.csv",
        "round time_s cluster device",
        [[1, 0.0, 0 if n < 2 else n, name] for n, name in enumerate(devices)],
    )
    summary = results / "summary.csv"
    with summary.open("a", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        if file.tell() == 0:
            writer.writerow(["run", "variant", "seed", "metric", "value"])
        writer.writerows(
            [folder.name, label, seed, metric, value * (1 + 0.1 * seed)]
            for metric, value in METRICS.items()
        )
    return folder.name


def write_report(results: Path, runs: Sequence[str], *, draws: bool = False) -> str:
    """Write the report, with figures if asked for; return it."""
    if draws:
        figures.draw(results, runs)
    return report.write(results, runs).read_text("utf-8")
