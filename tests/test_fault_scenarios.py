"""The section `faults` of a scenario: rejected values, and the table of faults."""

from __future__ import annotations

import csv
import hashlib
import json
import re
from pathlib import Path

import pytest

from wnsim.scenario.__main__ import main
from wnsim.scenario.spec.bundled import shipped

SMALL = """\
name: small
devices: {count: 4}
area_m: [100, 100]
mobility: {model: static}
traffic: {size_bytes: 1000, neighbors: 1, rounds: 2}
faults:
"""
LEARNS = SMALL.replace("traffic: {size_bytes: 1000, neighbors: 1, rounds: 2}", "fl: {rounds: 1}")
STATION = "base_stations: {}\nmac: {model: cell}\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (SMALL + "  crashes: [{devices: [4], from_s: 1}]\n", r"crashes: devices must be 0 to 3"),
        (
            SMALL + "  crashes:\n    - {devices: [0], from_s: 2, until_s: 1}\n",
            r"s.yaml:8: faults.crashes.*: until_s must be later than from_s, 2, got 1",
        ),
        (SMALL + "  crashs: []\n", r"s.yaml:7: faults.crashs: unknown key; did you mean 'crashes'"),
        (
            SMALL + "  station_failures: [{stations: [0], from_s: 1}]\n",
            r"for scenarios with base_stations",
        ),
        (
            STATION + SMALL + "  station_failures: [{stations: [1], from_s: 1}]\n",
            r"faults.station_failures: stations must be 0 to 0, got 1",
        ),
        (
            SMALL + "  link_outages: [{links: [[0, 9]]}]\n",
            r"link_outages: nodes must be 0 to 3, got 9",
        ),
        (SMALL + "  byzantine: [{devices: [1]}]\n", r"byzantine and corruption, need a section fl"),
        (
            LEARNS + "  byzantine: [{devices: [1]}, {devices: [1], attack: noise}]\n",
            r"a device must be named once",
        ),
        (
            "mac: {model: csma}\nradio: {phy: {model: wifi}}\n" + SMALL
            + "  jamming: [{center_m: [0, 0], radius_m: 9, noise_db: 3}]\n",
            r"faults.jamming is not for mac csma: its stations would sense a jammer",
        ),
        (SMALL + "  churn: {file: nowhere.csv}\n", r"nowhere.csv"),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused_in_a_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, message: str
) -> None:
    path = tmp_path / "s.yaml"
    path.write_text(text)
    assert main(["--check", str(path)]) == 2
    output = capsys.readouterr().err
    assert re.search(message, output), output
    assert "Traceback" not in output


def test_each_fault_is_a_row_with_a_digest(tmp_path: Path) -> None:
    """End to end: all faults up to the end of the run are in the table, with a digest."""
    (tmp_path / "churn.csv").write_text("t_s,id,event\n0.5,3,leave\n0.75,3,join\n")
    path = tmp_path / "s.yaml"
    path.write_text(
        SMALL
        + "  crashes: [{devices: [1], from_s: 0.25, until_s: 1.5, memory: lost}]\n"
        + "  churn: {file: churn.csv}\n"
        + "  link_outages: [{links: [[0, 2]], from_s: 1}, {from_s: 100}]\n"
    )
    assert main([str(path), "--out", str(tmp_path / "out")]) == 0
    run = tmp_path / "out" / "seed=1"
    with (run / "faults.csv").open(newline="") as file:
        rows = [list(row.values()) for row in csv.DictReader(file)]
    assert rows == [
        ["0.25", "crash", "1", "memory lost", "1.5"],
        ["0.5", "churn", "3", "departed", "0.75"],
        ["1.0", "link-outage", "0 - 2", "transfers wait", ""],
    ]
    manifest = json.loads((run / "manifest.json").read_text())
    found = hashlib.sha256((run / "faults.csv").read_bytes()).hexdigest()
    assert manifest["sha256"]["faults.csv"] == found
    assert str(tmp_path / "churn.csv") in manifest["inputs"]


def test_outages_without_effect_get_a_note(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Devices send to base stations only, so that a link between two of them is never used."""
    path = tmp_path / "s.yaml"
    outages = "[{links: [[0, 1]]}, {links: [[0, 4]]}, {from_s: 1e6}, {devices: [2], until_s: 1e-6}]"
    path.write_text(f"{SMALL}  link_outages: {outages}\n{STATION}")
    assert main([str(path), "--out", str(tmp_path / "out"), "--no-figures"]) == 0
    said = capsys.readouterr().err
    notes = [line for line in said.splitlines() if "link_outages" in line]
    assert len(notes) == 2
    assert "number 1 has had no effect: no message was under way on its links" in notes[0]
    assert "number 3 has had no effect: it begins at 1e+06 s, after the end" in notes[1]
    manifest = json.loads((tmp_path / "out" / "seed=1" / "manifest.json").read_text())
    assert sum("link_outages" in note for note in manifest["notes"]) == 2


LEARNING = """\
name: learning
devices: {count: 4}
area_m: [100, 100]
mobility: {model: static}
compute: {flops_per_s: 1e12}
fl:
  tasks: [home]
  method: {model: lora, rank: 2}
  topology: {model: full}
  rounds: 2
  local_steps: 2
  batch_size: 2
  train_examples: 16
  test_examples: 2
"""
WRONG = """\
faults:
  stragglers: [{devices: [0], factor: 3}]
  byzantine: [{devices: [1], attack: sign-flip, scale: 3}, {devices: [2], attack: label-flip}]
  corruption: {probability: 1.0}
"""


def test_what_devices_do_wrong_is_in_the_tables(tmp_path: Path) -> None:
    """End to end: a straggler trains three times as long; Byzantine and damaged updates have
    rows."""
    tables = {}
    for name, text in (("right", LEARNING), ("wrong", LEARNING + WRONG)):
        (tmp_path / "s.yaml").write_text(text)
        assert main([str(tmp_path / "s.yaml"), "--out", str(tmp_path / name)]) == 0
        run = tmp_path / name / "seed=1"
        for table in run.glob("*.csv"):
            with table.open(newline="") as file:
                tables[name, table.stem] = list(csv.DictReader(file))
    took = {
        name: [float(row["trained_s"]) - float(row["start_s"]) for row in tables[name, "rounds"]]
        for name in ("right", "wrong")
    }
    for row, right, wrong in zip(
        tables["wrong", "rounds"], took["right"], took["wrong"], strict=True
    ):
        factor = 3.0 if row["device"] == "0" else 1.0
        assert wrong == pytest.approx(factor * right, rel=1e-6)
    rows = tables["wrong", "faults"]
    output = [(row["location"], row["description"]) for row in rows if row["kind"] == "byzantine"]
    assert output == [("1", "sign-flip 3"), ("2", "label-flip")]
    assert [row["location"] for row in rows if row["kind"] == "straggler"] == ["0"]
    # Every update that arrives is damaged, separately at each receiver.
    arrived = [row for row in tables["wrong", "transfers"] if row["delivered"] == "True"]
    damaged = sorted(row["location"] for row in rows if row["kind"] == "corruption")
    assert damaged == sorted(f"{row['source']} to {row['target']}" for row in arrived)
    # One of the two Byzantine devices trains on wrong labels, and so learns something else.
    losses = [
        {row["device"]: row["loss"] for row in tables[name, "rounds"] if row["round"] == "1"}
        for name in ("right", "wrong")
    ]
    assert {each for each in losses[0] if losses[0][each] != losses[1][each]} == {"2"}


def test_faults_of_measured_links(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """End to end: blackouts suspend measured links; jamming is rejected, as they have no noise."""
    links = ["t_s,source,target,latency_s", "0,0,1,0.5", "0,0,2,0.5", "0,0,3,0.5", "0,1,2,0.5"]
    (tmp_path / "links.csv").write_text("\n".join([*links, "0,1,3,0.5", "0,2,3,0.5", ""]))
    path = tmp_path / "s.yaml"
    text = f"channel: {{replay: {{file: {tmp_path / 'links.csv'}}}}}\n" + SMALL
    path.write_text(text + "  link_outages: [{devices: [0], from_s: 0.25, until_s: 0.75}]\n")
    assert main([str(path), "--out", str(tmp_path / "out")]) == 0
    with (tmp_path / "out" / "seed=1" / "transfers.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["round"] == "1"]
    took = {(row["source"], row["target"]): float(row["latency_s"]) for row in rows}
    assert len(took) == 4
    assert took == {link: pytest.approx(1.0 if "0" in link else 0.5) for link in took}
    path.write_text(text + "  jamming: [{center_m: [0, 0], radius_m: 9, noise_db: 3}]\n")
    assert main([str(path), "--out", str(tmp_path / "out")]) == 2
    assert "faults: jamming raises the noise of receivers" in capsys.readouterr().err


def test_without_the_section_there_is_no_table(tmp_path: Path) -> None:
    path = tmp_path / "s.yaml"
    path.write_text(SMALL.replace("faults:\n", ""))
    assert main([str(path), "--out", str(tmp_path / "out")]) == 0
    assert not (tmp_path / "out" / "seed=1" / "faults.csv").exists()


def test_the_scenario_on_board_is_sound() -> None:
    assert "faults.yaml" in shipped()
    assert main(["--check", "faults.yaml"]) == 0
