"""The Python API: the same runs as on the command line, and tables as data frames."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from wnsim.scenario import Results, load, run
from wnsim.scenario.__main__ import main
from wnsim.scenario.errors import ScenarioError
from wnsim.scenario.progress import Progress

TEXT = """
name: small
devices: {count: 4}
traffic: {size_bytes: 20000, neighbors: 2, rounds: 2}
repeat: 2
variants:
  - {label: ideal, mac: {model: ideal}}
  - {label: tdma, mac: {model: tdma}}
sweep: {radio.bandwidth_hz: [1.0e+6, 5.0e+6]}
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "small.yaml"
    path.write_text(TEXT)
    return path


def test_python_and_the_command_line_do_the_same(path: Path, tmp_path: Path) -> None:
    wanted = load(path, settings={"traffic.rounds": 3, "devices.count": 5})
    assert len(wanted) == 8
    assert {each.scenario.traffic.rounds for each in wanted} == {3}
    results = run(wanted, tmp_path / "api")
    arguments = [str(path), "--set", "traffic.rounds=3", "--set", "devices.count=5"]
    assert main([*arguments, "--out", str(tmp_path / "shell")]) == 0
    for name in results.manifests:
        table = Path(name) / "transfers.csv"
        assert (tmp_path / "api" / table).read_bytes() == (tmp_path / "shell" / table).read_bytes()
    transfers = results.transfers
    # Two neighbors, three rounds, five devices, in each of eight runs.
    assert transfers.groupby("run").size().to_list() == [30] * 8
    assert list(transfers.columns[:4]) == ["run", "variant", "seed", "radio.bandwidth_hz"]
    assert set(transfers["radio.bandwidth_hz"]) == {1e6, 5e6}
    assert set(results.aggregate["variant"]) == {"ideal", "tdma"}
    # Complete runs are read, not repeated.
    assert run(wanted, tmp_path / "api", jobs=2).transfers.equals(transfers)


def test_what_is_wrong_is_said_in_a_sentence(path: Path, tmp_path: Path) -> None:
    with pytest.raises(ScenarioError, match=r"devices\.number: unknown key"):
        load(path, settings={"devices.number": 3})
    with pytest.raises(ScenarioError, match=r"no summary\.csv, so no complete runs"):
        Results(tmp_path)
    with pytest.raises(ScenarioError, match="jobs must be from 1 to 1024, got -1"):
        run(load(path), tmp_path / "out", jobs=-1)
    results = run(load(path, settings={"repeat": 1}), tmp_path / "out")
    with pytest.raises(ScenarioError, match=r"no run has a table 'rounds'; known: .*transfers"):
        _ = results.rounds


def test_keys_in_python_do_what_the_file_does(tmp_path: Path, monkeypatch: Any) -> None:
    """Law: the same resolved scenario, tables, and sentence about a wrong value, without a line."""
    monkeypatch.chdir(tmp_path)
    keys: dict[str, Any] = {
        "name": "keys", "seed": np.int64(3), "devices": {"count": 3}, "area_m": (50, 50.0),
        "traffic": {"rounds": 1, "size_bytes": 1000},
        "variants": [{"label": "a"}, {"label": "b", "devices": {"count": 2}}],
    }  # fmt: skip
    text = json.dumps(keys, default=int)
    (tmp_path / "file.yaml").write_text(text, "utf-8")
    of_keys, of_file = load(keys), load("file.yaml")
    assert [run.scenario for run in of_keys] == [run.scenario for run in of_file]
    results = run(of_keys, "by-keys", figures=False)
    again = run(of_file, "by-file", figures=False)
    assert results.transfers.equals(again.transfers)
    with pytest.raises(ScenarioError, match=r"scenario: devices\.count: must be"):
        load(keys | {"devices": {"count": -1}})
    with pytest.raises(ScenarioError, match="scenario: name: must be text, a number, a list or"):
        load(keys | {"name": object()})
    with pytest.raises(ScenarioError, match="jobs must be 1 for a scenario given by its keys"):
        run(of_keys, "more", jobs=2)


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_follower_sees_each_run_and_may_end_all(jobs: int, tmp_path: Path) -> None:
    """Law: what is complete when it raises an exception is kept, and the next call completes."""
    small = {"traffic.rounds": 2, "devices.count": 3, "traffic.size_bytes": 1000}
    plan = load("network.yaml", settings=small | {"repeat": 6})
    seen: set[str] = set()

    class EnoughError(Exception):
        pass

    def follow(progress: Progress) -> None:
        seen.add(progress.run)
        # At most two run at a time, so that one is complete when a third one begins.
        if len(seen) == 3:
            raise EnoughError

    with pytest.raises(EnoughError):
        run(plan, tmp_path / "out", jobs=jobs, figures=False, follow=follow)
    complete = [path.parent for path in (tmp_path / "out").glob("*/manifest.json")]
    assert 1 <= len(complete) < len(plan)
    before = {path: (path / "transfers.csv").stat().st_mtime_ns for path in complete}
    results = run(plan, tmp_path / "out", jobs=jobs, figures=False, follow=lambda _: None)
    assert len(results.manifests) == len(plan)
    assert before == {path: (path / "transfers.csv").stat().st_mtime_ns for path in complete}
