"""End-to-end runs of the command line: tables, figures and adapters, reproducible to the byte."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from commands import Command, wnsim, wnsim_started_anew

from wnsim.metrics import definition

SCENARIO = """\
name: whole
seed: 1
area_m: [200, 200]
devices: {count: 4}
compute: {flops_per_s: [1e9, 4e9]}
energy: {}
fl:
  rounds: 2
  local_steps: 2
  batch_size: 4
  train_examples: 16
  test_examples: 4
  evaluate_every: 1
  evaluate_before_aggregation: true
  target_accuracies: [0.75, 1.0]
  deadline_s: 5
  topology: {model: nearest, degree: 2}
variants:
  - {label: local, fl: {method: {model: local, rank: 4}}}
  - {label: lora, fl: {method: {model: lora, rank: 4}}}
  - {label: so-lora, fl: {method: {model: so-lora, rank: 4, density: 0.3, calibration_prompts: 8}}}
"""
TABLES = ("transfers.csv", "rounds.csv", "evaluations.csv", "devices.csv", "positions.csv")


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole")
    (folder / "whole.yaml").write_text(SCENARIO)
    done = wnsim("whole.yaml", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert "so-lora,seed=1 (3/3): round 2/2" in done.stderr
    return folder / "results" / "whole"


def test_a_run_leaves_its_tables_manifest_and_scenario(results: Path) -> None:
    for label in ("local", "lora", "so-lora"):
        run = results / f"{label},seed=1"
        manifest = json.loads((run / "manifest.json").read_text())
        assert manifest["complete"] is True
        assert manifest["events"] > 0
        for table in TABLES:
            digest = hashlib.sha256((run / table).read_bytes()).hexdigest()
            assert manifest["sha256"][table] == digest
        evaluations = pd.read_csv(run / "evaluations.csv")
        assert len(evaluations) == 3 * 4 * evaluations["task"].nunique()
        assert list(results.glob("**/.*tmp")) == []
    transfers = pd.read_csv(results / "lora,seed=1" / "transfers.csv")
    devices = pd.read_csv(results / "lora,seed=1" / "devices.csv")
    assert devices["offered_bytes"].sum() == transfers["size_bytes"].sum()
    assert devices["delivered"].sum() == transfers["delivered"].sum()
    energy = pd.read_csv(results / "lora,seed=1" / "energy.csv")
    spent = [name for name in energy if name.startswith("energy_")]
    at_end = energy[energy["time_s"] == energy["time_s"].max()].reset_index()
    assert at_end[spent].equals(devices[spent])
    assert energy.groupby("device")["energy_compute_j"].diff().dropna().ge(0).all()
    rounds = pd.read_csv(results / "lora,seed=1" / "rounds.csv")
    assert rounds["offered_bytes"].sum() == transfers["size_bytes"].sum()


def test_a_report_tells_of_all_runs(results: Path) -> None:
    text = (results / "report.html").read_text("utf-8")
    assert "<h1>whole</h1>" in text
    for label in ("local", "lora", "so-lora"):
        assert f">{label}, seed 1</option>" in text
    # Figures are in it, as they are in their folder.
    assert text.count('role="img" aria-label=') >= 8
    assert 'id="replay-2"' in text


def test_members_are_those_of_the_groups(results: Path) -> None:
    for label in ("lora", "so-lora"):
        members = pd.read_csv(results / f"{label},seed=1" / "members.csv")
        groups = pd.read_csv(results / f"{label},seed=1" / "clusters.csv")
        for row in groups[groups["round"] > 0].itertuples():
            since = members.loc[members["round"] <= row.round, "round"].max()
            inside = members[(members["round"] == since) & (members["cluster"] == row.cluster)]
            assert len(inside) == row.devices
            assert inside["device"].min() == row.cluster
            assert (inside["time_s"] <= row.time_s).all()
    assert not (results / "local,seed=1" / "members.csv").exists()


def test_the_same_scenario_gives_the_same_bytes_and_another_seed_others(
    results: Path, tmp_path: Path
) -> None:
    (tmp_path / "whole.yaml").write_text(SCENARIO)
    variants = (
        "[{label: so-lora, fl: {method: {model: so-lora, rank: 4, density: 0.3, "
        "calibration_prompts: 8}}}]"
    )
    settings = ["--set", f"variants={variants}"]
    command = ("whole.yaml", "--no-figures", *settings)
    wnsim_started_anew(*command, "--out", "again", cwd=tmp_path, PYTHONHASHSEED="7")
    done = wnsim(*command, "--out", "other", "--set", "seed=2", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    for table in TABLES:
        first = (results / "so-lora,seed=1" / table).read_bytes()
        assert (tmp_path / "again" / "so-lora,seed=1" / table).read_bytes() == first
        if table != "devices.csv":
            assert (tmp_path / "other" / "so-lora,seed=2" / table).read_bytes() != first


def test_a_resolved_scenario_runs_again_to_the_same_bytes(results: Path, tmp_path: Path) -> None:
    source = results / "lora,seed=1" / "scenario.yaml"
    done = wnsim(str(source), "--out", "again", "--no-figures", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    for table in TABLES:
        again = tmp_path / "again" / "lora,seed=1" / table
        assert again.read_bytes() == (source.parent / table).read_bytes()


def test_a_run_that_is_killed_goes_on_where_it_was(tmp_path: Path) -> None:
    """It repeats at most the chunk in flight, and ends in the bytes of an undisturbed run."""
    text = SCENARIO.replace("  rounds: 2\n", "  rounds: 6\n").partition("variants:")[0]
    text += "  method: {model: so-lora, rank: 4, calibration_prompts: 8}\n"
    text += "  trainer: {micro_batch_tokens: 1}\n"
    (tmp_path / "whole.yaml").write_text(text)
    command = ("whole.yaml", "--no-figures")
    store = tmp_path / "results" / "whole" / "store"
    for number in (7, 19):
        with Command(command, tmp_path) as process:
            while process.poll() is None and len(list(store.glob("??/*.json"))) < number:
                time.sleep(0.02)
            process.kill()
        assert not (tmp_path / "results" / "whole" / "seed=1" / "manifest.json").exists()
    # Every training job is a separate chunk here.
    stored = sum("loss" in path.read_text() for path in store.glob("??/*.json"))
    assert wnsim(*command, cwd=tmp_path).returncode == 0
    assert wnsim(*command, "--out", "fresh", cwd=tmp_path).returncode == 0
    runs = [tmp_path / "results" / "whole" / "seed=1", tmp_path / "fresh" / "seed=1"]
    resumed, fresh = (json.loads((run / "manifest.json").read_text()) for run in runs)
    assert resumed["sha256"] == fresh["sha256"]
    assert fresh["tasks_computed"]["training"] == 24
    assert resumed["tasks_from_store"]["training"] == stored >= 8
    assert resumed["tasks_computed"]["training"] == 24 - stored
    for path in sorted((runs[1] / "adapters").glob("*/*")):
        assert path.read_bytes() == (runs[0] / path.relative_to(runs[1])).read_bytes()


def test_an_altered_table_or_adapter_is_named_and_made_again(results: Path, tmp_path: Path) -> None:
    (tmp_path / "whole.yaml").write_text(SCENARIO)
    copied = tmp_path / "results" / "whole"
    shutil.copytree(results, copied)
    table = copied / "local,seed=1" / "evaluations.csv"
    table.write_bytes(table.read_bytes().replace(b"0", b"1", 1))
    adapter = sorted((copied / "lora,seed=1" / "adapters").glob("*/*.safetensors"))[0]
    adapter.write_bytes(adapter.read_bytes()[:-8])
    done = wnsim("whole.yaml", cwd=tmp_path)
    assert done.returncode == 0
    for path in (table, adapter):
        assert f"{path.relative_to(tmp_path)}: was altered or cut short" in done.stderr
        assert path.read_bytes() == (results / path.relative_to(copied)).read_bytes()
    assert done.stdout.count("complete already") == 1
    assert (copied / "summary.csv").read_bytes() == (results / "summary.csv").read_bytes()


def test_complete_runs_are_skipped_and_others_of_the_same_name_refused(results: Path) -> None:
    root = results.parent.parent
    before = (results / "lora,seed=1" / "manifest.json").read_bytes()
    done = wnsim("whole.yaml", cwd=root)
    assert done.returncode == 0
    assert done.stdout.count("complete already") == 3
    assert (results / "lora,seed=1" / "manifest.json").read_bytes() == before
    done = wnsim("whole.yaml", "--set", "fl.rounds=1", cwd=root)
    assert done.returncode == 2
    assert "holds the results of another scenario" in done.stderr
    assert (results / "lora,seed=1" / "manifest.json").read_bytes() == before


def test_figures_are_fit_to_print(results: Path) -> None:
    for name in ("latency", "accuracy"):
        pdf = (results / "figures" / f"{name}.pdf").read_bytes()
        assert b"/Type3" not in pdf
        assert b"/FontFile2" in pdf
        (box,) = re.findall(rb"/MediaBox \[ ?([\d. ]+)\]", pdf)
        assert [float(number) for number in box.split()] == [0, 0, 3.5 * 72, pytest.approx(172.8)]
        assert (results / "figures" / f"{name}.png").stat().st_size > 10_000
    plotted = pd.read_csv(results / "figures" / "accuracy.csv")
    evaluations = pd.read_csv(results / "lora,seed=1" / "evaluations.csv")
    last = evaluations[evaluations["round"] == 2]["accuracy"].mean()
    line = plotted[(plotted["line"] == "lora") & (plotted["tasks"] == "all")]
    assert line["accuracy"].iloc[-1] == pytest.approx(last)


def test_without_figures_tables_and_report_are_left(tmp_path: Path) -> None:
    (tmp_path / "net.yaml").write_text(
        "name: net\ndevices: {count: 3}\ntraffic: {size_bytes: 1000, rounds: 1, neighbors: 1}\n"
    )
    assert wnsim("net.yaml", cwd=tmp_path).returncode == 0
    results = tmp_path / "results" / "net"
    (results / "figures" / "mine.png").write_text("mine")
    with_figures = (results / "report.html").stat().st_size
    assert len(list((results / "figures").glob("*.pdf"))) > 2
    # Those of an earlier state go, files of others stay.
    assert wnsim("net.yaml", "--no-figures", cwd=tmp_path).returncode == 0
    assert [path.name for path in (results / "figures").iterdir()] == ["mine.png"]
    assert (results / "summary.tex").is_file()
    assert 10_000 < (results / "report.html").stat().st_size < with_figures


def test_an_unusable_folder_is_found_out_before_anything_is_computed(tmp_path: Path) -> None:
    (tmp_path / "net.yaml").write_text(
        "name: net\ndevices: {count: 6}\ntraffic: {size_bytes: 1000, rounds: 1}\n"
    )
    (tmp_path / "blocker").write_text("mine")
    done = wnsim("net.yaml", "--out", "blocker", cwd=tmp_path)
    assert done.returncode == 2
    assert "blocker" in done.stderr
    assert "round" not in done.stderr
    assert (tmp_path / "blocker").read_text() == "mine"


def test_inputs_that_changed_are_noticed_and_other_seeds_are_kept(tmp_path: Path) -> None:
    trace = "t_s,id,x_m,y_m\n0,a/b,0,0\n0,a-b,50,0\n100,a/b,0,0\n100,a-b,50,0\n"
    (tmp_path / "trace.csv").write_text(trace)
    (tmp_path / "net.yaml").write_text(
        "name: net\ndevices: {count: 2}\n"
        "mobility: {model: trace, file: trace.csv, max_gap_s: 200}\n"
        "traffic: {size_bytes: 1000, rounds: 1}\nvariants: [{label: $x_1}, {label: _b}]\n"
    )
    assert wnsim("net.yaml", "--no-figures", cwd=tmp_path).returncode == 0
    done = wnsim("net.yaml", "--no-figures", "--set", "seed=7", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    summary = pd.read_csv(tmp_path / "results" / "net" / "summary.csv")
    assert set(summary["seed"]) == {1, 7}
    done = wnsim(
        "net.yaml", "--no-figures", "--set", "seed=8", "--set", "traffic.rounds=2", cwd=tmp_path
    )
    assert done.returncode == 2
    assert "another scenario of this name" in done.stderr
    moved = tmp_path / "elsewhere"
    shutil.copytree(tmp_path, moved)
    done = wnsim("net.yaml", "--no-figures", cwd=moved)
    assert done.stdout.count("complete already") == 2, done.stderr
    (tmp_path / "trace.csv").write_text(trace.replace("50", "60"))
    done = wnsim("net.yaml", "--no-figures", cwd=tmp_path)
    assert done.returncode == 2
    assert "files that have changed" in done.stderr


def test_devices_of_similar_names_have_folders_of_their_own() -> None:
    from wnsim.scenario.simulation.tables import _device_folder

    names = ["a/b", "a-b", "a%2Fb", "..", "x" * 300, "x" * 301, "d\u00e9j\u00e0"]
    folders = {_device_folder(name) for name in names}
    assert len(folders) == len(names)
    assert all("/" not in folder and len(folder) < 200 for folder in folders)


def test_adapters_load_in_peft(results: Path) -> None:
    from peft import PeftModel

    from fl.models.language_model import load

    folder = results / "so-lora,seed=1" / "adapters" / "device-0"
    model, _ = load("tiny")
    peft = PeftModel.from_pretrained(model, folder)
    assert any("lora_B" in name and bool(p.any()) for name, p in peft.named_parameters())


def test_an_exported_adapter_is_a_start(results: Path, tmp_path: Path) -> None:
    """Law: the final adapter of a device of one run is the initial adapter of another run."""
    source = results / "local,seed=1" / "adapters" / "device-0"
    shutil.copytree(source, tmp_path / "mine")
    text = SCENARIO.partition("variants:")[0]
    text += "  method: {model: local, rank: 4}\n  initial_adapter: mine\n"
    (tmp_path / "whole.yaml").write_text(text)
    done = wnsim("whole.yaml", "--no-figures", "--set", "fl.rounds=1", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    first = pd.read_csv(results / "local,seed=1" / "evaluations.csv")
    second = pd.read_csv(tmp_path / "results" / "whole" / "seed=1" / "evaluations.csv")
    ended = first[(first["round"] == 2) & (first["device"] == 0)]["accuracy"].tolist()
    for _, begun in second[second["round"] == 0].groupby("device"):
        assert begun["accuracy"].tolist() == ended
    for setting, sentence in (
        ("fl.method.rank=8", "initial_adapter must be an adapter of rank 8"),
        ("fl.method.alpha=1", "initial_adapter must be an adapter of scale 0.25"),
        ("fl.initial_adapter=nowhere", "fl.initial_adapter: no such folder"),
    ):
        done = wnsim("whole.yaml", "--set", setting, "--out", "other", cwd=tmp_path)
        assert (done.returncode, "Traceback" in done.stderr) == (2, False)
        assert sentence in done.stderr


@pytest.mark.parametrize("size", ["0", "-1", "nan", "inf", "much"])
def test_a_store_must_have_a_size(tmp_path: Path, size: str) -> None:
    (tmp_path / "whole.yaml").write_text(SCENARIO)
    done = wnsim("whole.yaml", "--store-gib", size, cwd=tmp_path)
    assert (done.returncode, "Traceback" in done.stderr) == (2, False)
    assert "--store-gib" in done.stderr


def test_a_store_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "whole.yaml").write_text(SCENARIO)
    (tmp_path / "taken").write_text("")
    done = wnsim("whole.yaml", "--store", "taken", cwd=tmp_path)
    assert (done.returncode, "Traceback" in done.stderr) == (2, False)
    assert "taken" in done.stderr


def test_summary_has_the_metrics_of_every_run(results: Path) -> None:
    summary = pd.read_csv(results / "summary.csv")
    lora = summary[summary["variant"] == "lora"].set_index("metric")["value"]
    so_lora = summary[summary["variant"] == "so-lora"].set_index("metric")["value"]
    assert lora["messages"] == so_lora["messages"] > 0
    assert so_lora["offered_bytes"] < lora["offered_bytes"]
    assert 0 <= lora["accuracy_all_tasks"] <= 1
    for metric in summary["metric"]:
        assert definition(metric)
    kinds = ("payload", "cluster_exchange", "control", "header", "retransmitted")
    spans = (
        "compute",
        "queue",
        "channel_access",
        "airtime",
        "retransmission",
        "backhaul",
        "waiting",
    )
    local = summary[summary["variant"] == "local"].set_index("metric")["value"]
    assert local["task_interference"] == local["on_air_bytes"] == local["reached_1"] == 0
    assert np.isnan(local["time_to_0.75_s"])
    for run in (lora, so_lora):
        on_air = sum(run[f"{kind}_bytes"] for kind in kinds)
        assert on_air == pytest.approx(run["on_air_bytes"])
        assert on_air - run["retransmitted_bytes"] == pytest.approx(run["acked_bytes"])
        whole_s = sum(run[f"round_{span}_s"] for span in spans)
        assert whole_s == pytest.approx(run["round_latency_mean_s"])


def test_own_tasks_and_vehicles_from_a_trace(tmp_path: Path) -> None:
    """A folder of tasks, emulated sizes, devices that come and go: up to the figures."""
    for task, pairs in {"colors": ("sky", "blue"), "sums": ("1 + 1", "2")}.items():
        (tmp_path / "tasks" / task).mkdir(parents=True)
        for split in ("train", "test"):
            rows = [
                json.dumps({"prompt": f"{split} {i} {pairs[0]}", "answer": pairs[1]})
                for i in range(8)
            ]
            (tmp_path / "tasks" / task / f"{split}.jsonl").write_text("\n".join(rows) + "\n")
    steps = []
    for second in range(40):
        there = [("a", 10 + 5 * second), ("b", 30 + 5 * second)] if second < 30 else [("a", 160)]
        if second >= 5:
            there.append(("c", 60))
        vehicles = "".join(f'<vehicle id="{v}" x="{x}" y="0" speed="5"/>' for v, x in there)
        steps.append(f'<timestep time="{second}.00">{vehicles}</timestep>')
    (tmp_path / "trace.xml").write_text(f"<fcd-export>{''.join(steps)}</fcd-export>")
    (tmp_path / "road.yaml").write_text(
        """\
name: road
devices: {count: 3}
mobility: {model: trace, file: trace.xml}
compute: {flops_per_s: 1e13}
fl:
  tasks: {folder: tasks}
  payload: {emulate: qwen2.5-0.5b, batch: 1, length: 32}
  method: {model: lora, rank: 4}
  topology: {model: nearest, degree: 2}
  rounds: 3
  local_steps: 1
  batch_size: 2
  evaluate_every: 1
  deadline_s: 3
"""
    )
    done = wnsim("road.yaml", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    results = tmp_path / "results" / "road"
    transfers = pd.read_csv(results / "seed=1" / "transfers.csv")
    assert set(transfers["source"]) <= {"a", "b", "c"}
    assert len(transfers) > 0
    assert (results / "figures" / "accuracy.pdf").is_file()
    assert set(pd.read_csv(results / "seed=1" / "evaluations.csv")["task"]) == {"colors", "sums"}


def test_a_scenario_without_learning_runs_the_network_alone(tmp_path: Path) -> None:
    (tmp_path / "net.yaml").write_text(
        "name: net\ndevices: {count: 6}\ntraffic: {size_bytes: 100000, rounds: 2, neighbors: 2}\n"
    )
    done = wnsim("net.yaml", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    transfers = pd.read_csv(tmp_path / "results" / "net" / "seed=1" / "transfers.csv")
    assert len(transfers) == 2 * 6 * 2
    assert (tmp_path / "results" / "net" / "figures" / "latency.pdf").is_file()
    assert not (tmp_path / "results" / "net" / "figures" / "accuracy.pdf").exists()


@pytest.mark.parametrize(
    ("name", "less"),
    [
        ("highway.yaml", ["devices.count=8", "traffic.rounds=1", "traffic.size_bytes=200000"]),
        ("indoor.yaml", ["devices.count=5", "traffic.rounds=1", "traffic.size_bytes=50000"]),
        ("cell.yaml", ["devices.count=5", "traffic.rounds=1", "traffic.size_bytes=100000"]),
    ],
)
def test_shipped_networks_run_to_figures(tmp_path: Path, name: str, less: list[str]) -> None:
    """All variants of a shipped scenario, made small, end in rows that add up."""
    done = wnsim(name, *(part for value in less for part in ("--set", value)), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    results = tmp_path / "results" / name.removesuffix(".yaml")
    assert (results / "figures" / "latency.pdf").is_file()
    folders = [path.parent for path in results.glob("*/manifest.json")]
    assert len(folders) >= 2
    for folder in folders:
        transfers = pd.read_csv(folder / "transfers.csv")
        rounds = transfers[transfers["kind"] == "round"]
        assert len(rounds) > 0
        assert rounds["delivered"].any()
        parts = ["queue_s", "channel_access_s", "airtime_s", "retransmission_s", "backhaul_s"]
        assert np.allclose(transfers[parts].sum(axis=1), transfers["latency_s"], atol=1e-6)
        whole = transfers[transfers["delivered"]]
        assert (whole["acked_bytes"] == whole["air_bytes"]).all()
        manifest = json.loads((folder / "manifest.json").read_text())
        assert 0 < manifest["shannon_efficiency"] < 1
        assert manifest["events"] >= manifest["min_events"]


def test_contacts_of_a_scenario_are_printed(tmp_path: Path) -> None:
    done = wnsim("highway.yaml", "--until", "60", cwd=tmp_path)
    assert done.returncode == 2
    assert "--until is the time span of --contacts" in done.stderr
    done = wnsim("highway.yaml", "--contacts", "100", "--until", "60", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "24 devices within 100 m" in done.stdout
    assert not (tmp_path / "results").exists()
