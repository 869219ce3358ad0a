"""Verbs that read results folders: extended, tested and compared runs; and contacts as a table."""

from __future__ import annotations

import hashlib
import json
import shutil
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from rocrate.rocrate import ROCrate

from wnsim import load, run
from wnsim.contacts import contacts, gaps
from wnsim.scenario.__main__ import main
from wnsim.scenario.options import command
from wnsim.scenario.simulation.build import build_world

SCENARIO = """\
name: few
seed: 3
area_m: [200, 100]
devices: {count: 4}
mobility: {model: random-waypoint}
mac: {model: ofdma}
fl:
  tasks: [home, topic]
  method: {model: lora, rank: 2}
  topology: {model: ring}
  rounds: 2
  local_steps: 1
  train_examples: 16
  test_examples: 8
  evaluate_every: 1
variants: [{label: one}, {label: two, fl: {method: {rank: 4}}}]
baseline: two
sweep: {fl.batch_size: [2, 4]}
figures: {only: [bytes], names: {one: first}}
"""


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the results of two variants with two swept values."""
    folder = tmp_path_factory.mktemp("few")
    (folder / "few.yaml").write_text(SCENARIO)
    run(load(str(folder / "few.yaml")), folder / "few", figures=False)
    return folder / "few"


def test_an_extended_run_ends_as_a_longer_one(few: Path) -> None:
    """Law: same tables as with more rounds from the start; the first are not trained again."""
    assert main(["extend", str(few), "--rounds", "3", "--no-figures"]) == 0
    longer = few.with_name("longer")
    plan = load(str(few.parent / "few.yaml"), settings={"fl.rounds": 3})
    run(plan, longer, figures=False)
    extended = few.with_name("few-3")
    names = [each.folder for each in plan]
    for name in names:
        for table in ("transfers.csv", "rounds.csv", "evaluations.csv", "scenario.yaml"):
            one, other = extended / name / table, longer / name / table
            assert one.read_bytes() == other.read_bytes()
        manifest = json.loads((extended / name / "manifest.json").read_text())
        assert manifest["tasks_from_store"]["training"] == 4 * 2
        assert manifest["tasks_computed"]["training"] == 4 * 1
        assert manifest["config_hash"] == json.loads(
            (longer / name / "manifest.json").read_text()
        )["config_hash"]  # fmt: skip
    for table in ("summary.csv", "aggregate.csv", "runs.csv", "summary.tex", "presentation.json"):
        assert (extended / table).read_text() == (longer / table).read_text()


def test_processes_of_an_extension_extend_one_run_each() -> None:
    from argparse import Namespace

    options = Namespace(
        verb=("extend", "--rounds=3"), set=[], plugin=[], out="o", store="s", launcher=None,
        tables="csv", store_gib=2.0, scenario="results/few",
    )  # fmt: skip
    words = command(options, "one,seed=3")
    assert words[3:5] == ["extend", "--rounds=3"]
    assert words[-3:] == ["--only=one,seed=3", "--", "results/few"]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["extend", "{few}", "--rounds", "2"], "--rounds must be above those of"),
        (["extend", "{few}", "--rounds", "3", "--only", "x"], "--only x: no run of this scenario"),
        (["extend", "{none}", "--rounds", "3"], "must be a results folder with a complete run"),
        (["extend", "{net}", "--rounds", "3"], "learn nothing"),
        (["evaluate", "{none}"], "must be a results folder with a complete run"),
        (["evaluate", "{net}"], "has learned nothing"),
        (["evaluate", "{few}", "--set", "fl.tasks=[nothing]"], "nothing"),
        (["compare", "{none}"], "must be a results folder with a complete run"),
        (["compare", "{few}", "--metric", "joy"], "--metric joy: no run has it; known: "),
        (["figures", "{none}"], "there is nothing to show"),
        (["figures", "{few}", "--only", "joy"], "--only joy: no figure of this name; known:"),
        (["figures", "{few}", "--width", "0.1"], "--width 0.1: must be greater than or equal to 1"),
        (["figures", "{few}", "--name", "one"], "--name one: must be NAME=SHOWN"),
        (["figures", "{few}", "--only", "collisions"], "nothing to draw of collisions"),
        (["contacts", "network.yaml", "--range", "-1"], "range_m must be positive, got -1.0"),
    ],
)  # fmt: skip
def test_each_error_is_a_sentence(
    words: list[str], sentence: str, few: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    places = {"few": few, "none": tmp_path, "net": few.with_name("net")}
    if not places["net"].exists():
        settings = {"traffic.rounds": 1, "devices.count": 4, "traffic.size_bytes": 1000}
        run(load("network.yaml", settings=settings), places["net"], figures=False)
    assert main([each.format(**places) for each in words]) == 2
    error = capsys.readouterr().err
    assert sentence in error
    assert "Traceback" not in error


def test_saved_adapters_answer_as_at_the_end_of_the_run(few: Path, tmp_path: Path) -> None:
    path = tmp_path / "tests.csv"
    assert main(["evaluate", str(few), "--csv", str(path)]) == 0
    found = pd.read_csv(path).set_index(["run", "device", "task"])["accuracy"]
    assert len(found) == 4 * 4 * 2
    for name in found.index.unique("run"):
        kept = pd.read_csv(few / name / "evaluations.csv")
        last = kept[kept["round"] == 2].set_index(["device", "task"])["accuracy"]
        pd.testing.assert_series_equal(found[name].sort_index(), last.sort_index())


def test_other_tasks_can_be_asked(few: Path, tmp_path: Path) -> None:
    path = tmp_path / "tests.csv"
    words = ["evaluate", str(few), "--csv", str(path), "--only", "one,fl.batch_size=2,seed=3"]
    assert main([*words, "--set", "fl.tasks=[color]", "--set", "fl.test_examples=6"]) == 0
    found = pd.read_csv(path)
    assert set(found["task"]) == {"color"}
    assert set(found["examples"]) == {6}


def test_adapters_that_do_not_fit_are_refused(
    few: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(few, tmp_path / "few")
    weights = next((tmp_path / "few").glob("*/adapters/device-0/adapter_model.safetensors"))
    weights.write_bytes(weights.read_bytes()[:100])
    assert main(["evaluate", str(tmp_path / "few")]) == 2
    assert "not safetensors" in capsys.readouterr().err


def test_folders_are_compared_line_by_line(
    few: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Law: differences are those of equal seeds between equal lines, by pandas."""
    plan = load(str(few.parent / "few.yaml"), settings={"fl.rounds": 1, "seed": 3})
    run(plan, tmp_path / "short", figures=False)
    path = tmp_path / "compared.csv"
    words = ["compare", str(few), str(tmp_path / "short"), "--metric", "offered_bytes"]
    assert main([*words, "--csv", str(path)]) == 0
    found = pd.read_csv(path)
    assert "offered_bytes" in capsys.readouterr().out

    def offered(folder: Path) -> Any:
        summary = pd.read_csv(folder / "summary.csv")
        return summary[summary["metric"] == "offered_bytes"].set_index("run")["value"]

    own, other = offered(few), offered(tmp_path / "short")
    assert found["mean"].tolist() == pytest.approx([*own, *other])
    differences = [*(own - own.iloc[0])[1:], *(other - own)]
    assert found["difference"].tolist()[1:] == pytest.approx(differences)
    assert found["baseline"].iloc[1] == found["line"].iloc[0]
    assert found["baseline"].tolist()[4:] == found["line"].tolist()[:4]


def test_folders_without_a_summary_are_compared(
    few: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Law: runs computed with `--only`, which writes no summary, have the same metrics."""
    shutil.copytree(few, tmp_path / "few")
    assert main(["compare", str(tmp_path / "few"), "--all"]) == 0
    with_summary = capsys.readouterr().out
    (tmp_path / "few" / "summary.csv").unlink()
    assert main(["compare", str(tmp_path / "few"), "--all"]) == 0
    assert sorted(capsys.readouterr().out.split()) == sorted(with_summary.split())
    table = next((tmp_path / "few").glob("*/transfers.csv"))
    table.write_text(table.read_text() + "x")
    assert main(["compare", str(tmp_path / "few")]) == 2
    assert "transfers.csv: was altered or cut short" in capsys.readouterr().err


@pytest.mark.filterwarnings("default")
def test_names_that_no_line_has_get_a_note(few: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["figures", str(few), "--only", "latency", "--format", "svg"]
    assert main([*words, "--name", "one=First", "--name", "ones=Other"]) == 0
    (note,) = [each for each in capsys.readouterr().err.splitlines() if each.startswith("note")]
    assert note == (
        "note: figures show no variant, swept key or swept value 'ones' to rename; they have "
        "one, fl.batch_size, fl.batch_size=2, fl.batch_size=4, two"
    )


def test_figures_are_drawn_again(few: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["figures", str(few), "--only", "latency", "--format", "svg"]
    assert main([*words, "--name", "one=First", "--name", "fl.batch_size=2=two"]) == 0
    path = few / "figures" / "latency.svg"
    assert capsys.readouterr().out.strip() == str(path)
    assert "First, two" in path.read_text()


def test_contacts_are_written(tmp_path: Path, svg_only: None) -> None:
    words = ["contacts", "urban.yaml", "--range", "60", "--until", "200"]
    assert main([*words, "--out", str(tmp_path)]) == 0
    world = build_world(load("urban.yaml").runs[0].scenario)
    found = contacts(world.motion, 60.0, 200.0, heights=world.heights)
    table = pd.read_csv(tmp_path / "contacts.csv")
    np.testing.assert_allclose(table["begin_s"], found.rows["begin_s"], atol=1e-8)
    np.testing.assert_allclose(table["end_s"], found.rows["end_s"], atol=1e-8)
    names = [str(name) for name in world.motion.names]
    assert table["device_a"].astype(str).tolist() == [names[a] for a in found.rows["a"]]
    drawn = pd.read_csv(tmp_path / "figures" / "contacts.csv")
    whole_s, between_s = gaps(found)
    lasting = drawn[drawn["kind"] == "contact duration"]
    for time_s, longer in zip(lasting["time_s"], lasting["longer"], strict=True):
        assert longer == pytest.approx(np.mean(whole_s > time_s + 1e-7))
    assert len(drawn) == whole_s.size + between_s.size


def test_a_packed_folder_tells_what_each_file_is(few: Path, tmp_path: Path) -> None:
    """Law: the crate names each file of the archive with its digest, and each run's scenario."""
    results = tmp_path / "few"
    shutil.copytree(few, results)
    (results / "store").mkdir(exist_ok=True)
    (results / "store" / "cached").write_text("x")
    (results / "elsewhere").symlink_to(few.parent / "few.yaml")
    first = tmp_path / "first.zip"
    call = ["pack", str(results), "--author", "A. Author", "--license", "CC-BY-4.0", "--out"]
    assert main([*call, str(first)]) == 0
    with zipfile.ZipFile(first) as archive:
        names = set(archive.namelist())
        graph = json.loads(archive.read("ro-crate-metadata.json"))["@graph"]
        digests = {name: hashlib.sha256(archive.read(name)).hexdigest() for name in names}
        assert archive.testzip() is None
    assert not any(name.startswith(("store", "elsewhere")) for name in names)
    entities = {each["@id"]: each for each in graph}
    assert len(entities) == len(graph)
    files = {name for name, each in entities.items() if each["@type"] == "File"}
    assert files == names - {"ro-crate-metadata.json"}
    for name in files - {"README.txt"}:
        assert entities[name]["sha256"] == digests[name]
        assert entities[name]["contentSize"] == str((results / name).stat().st_size)
    referred = {
        part["@id"]
        for each in graph
        for key in ("hasPart", "object", "result", "mentions", "author", "about")
        for part in ([each[key]] if isinstance(each.get(key), dict) else each.get(key, []))
    }
    assert referred <= set(entities)
    runs = {path.parent.name for path in results.glob("*/manifest.json")}
    actions = [each for each in graph if each["@type"] == "CreateAction"]
    assert {each["object"][0]["@id"] for each in actions} == {f"{r}/scenario.yaml" for r in runs}
    crate = ROCrate(str(first))
    assert {each.id for each in crate.get_by_type("File")} == files
    assert crate.root_dataset["license"] == "CC-BY-4.0"
    again = tmp_path / "again.zip"
    assert main([*call, str(again)]) == 0
    assert again.read_bytes() == first.read_bytes()


def test_packing_replaces_and_hides_nothing(
    few: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    results = tmp_path / "few"
    shutil.copytree(few, results)
    there = tmp_path / "few.zip"
    there.write_text("mine")
    assert main(["pack", str(results)]) == 2
    assert "exists already" in capsys.readouterr().err
    assert there.read_text() == "mine"
    table = next(results.glob("*/transfers.csv"))
    table.write_text(table.read_text() + "x")
    assert main(["pack", str(results), "--out", str(tmp_path / "new.zip")]) == 2
    assert "transfers.csv: was altered" in capsys.readouterr().err
    assert not (tmp_path / "new.zip").exists()
    assert main(["pack", str(tmp_path / "none")]) == 2
    assert "no such folder" in capsys.readouterr().err
