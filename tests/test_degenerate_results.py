"""Everything made after a run, from metrics to the report, of tables with little in them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import commands
import numpy as np
import pandas as pd
import pytest

from wnsim.scenario.spec.plan import plan
from wnsim.scenario.summary.summarize import summarize
from wnsim.storage import records

SCENARIO = """\
name: small
repeat: 2
area_m: [200, 200]
devices: {count: 4}
energy: {battery_j: 1e6}
mobility: {model: random-waypoint}
background: [{rate_bps: 1e4, size_bytes: 1000}]
fl:
  rounds: 2
  local_steps: 1
  batch_size: 4
  train_examples: 8
  test_examples: 2
  target_accuracies: [0.01, 1.0]
  deadline_s: 5
  topology: {model: nearest, degree: 2}
variants:
  - {label: lora, fl: {method: {model: lora, rank: 2}}}
  - {label: so-lora, fl: {method: {model: so-lora, rank: 2, density: 0.5, calibration_prompts: 4}}}
"""
NETWORK = """\
name: small
repeat: 2
area_m: [200, 200]
devices: {count: 4}
mobility: {model: random-waypoint}
traffic: {size_bytes: 10000, rounds: 2, neighbors: 2}
variants: [{label: a}, {label: b, radio: {bandwidth_hz: 10e6}}]
"""


@pytest.fixture(scope="module", params=[SCENARIO, NETWORK], ids=["learning", "network"])
def results(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("degenerate")
    (folder / "small.yaml").write_text(request.param)
    done = commands.wnsim("small.yaml", "--no-figures", "--out", "results", cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder


# Columns that say what a row is about; in a run's tables they fit together.
PLACES = {"device", "source", "target", "round", "time_s", "cluster"}


def nothing(table: pd.DataFrame) -> pd.DataFrame:
    return table[:0]


def one_row(table: pd.DataFrame) -> pd.DataFrame:
    return table if "tx_j" in table or "offered_bytes" in table else table[:1]


def one_device(table: pd.DataFrame) -> pd.DataFrame:
    name = "source" if "source" in table else "device"
    return table[table[name].astype(str) == "0"] if name in table else table


def all_lost(table: pd.DataFrame) -> pd.DataFrame:
    if "reason" in table:
        return table.assign(delivered=False, reason="departed", acked_bytes=0, started_s=np.nan)
    return table.assign(delivered=0) if "delivered" in table else table


def all_equal(table: pd.DataFrame) -> pd.DataFrame:
    numbers = table.select_dtypes("number").drop(columns=PLACES, errors="ignore")
    return table.assign(**{name: numbers[name].iloc[0] for name in numbers if len(table)})


def all_nan(table: pd.DataFrame) -> pd.DataFrame:
    return table.assign(**dict.fromkeys({*table.select_dtypes("floating")} - PLACES, np.nan))


@pytest.mark.parametrize(
    ("less", "one_run"),
    [
        (nothing, False),
        (nothing, True),
        (one_row, True),
        (one_device, False),
        (all_lost, False),
        (all_equal, False),
        (all_nan, True),
    ],
)
@pytest.mark.usefixtures("svg_only")
def test_results_are_summarized_whatever_is_in_their_tables(
    results: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    less: Callable[[pd.DataFrame], pd.DataFrame],
    one_run: bool,
) -> None:
    shutil.copytree(results, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    for number, path in enumerate(sorted(Path("results").glob("*/manifest.json"))):
        if one_run and number:
            continue
        manifest = json.loads(path.read_text())
        for name in manifest["sha256"]:
            if name.endswith(".csv") and name != "targets.csv":
                table = path.parent / name
                less(pd.read_csv(table)).to_csv(table, index=False, lineterminator="\n")
                manifest["sha256"][name] = records.digest(table.read_bytes())
        path.write_text(json.dumps(manifest))
    # A figure that cannot be drawn is a warning, hence an error here.
    summarize(plan("small.yaml"), Path("results"))
    assert (Path("results") / "report.html").stat().st_size > 10_000
    summary = pd.read_csv("results/summary.csv")
    assert summary["run"].nunique() == 4
    if less is all_lost and not one_run:
        assert set(summary.loc[summary["metric"] == "delivery_ratio", "value"]) == {0.0}
