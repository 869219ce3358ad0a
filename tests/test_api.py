"""The Python API: the same runs as on the command line, and tables as data frames."""

from __future__ import annotations

from pathlib import Path

import pytest

from wnsim.scenario import Results, load, run
from wnsim.scenario.__main__ import main
from wnsim.scenario.errors import ScenarioError

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
