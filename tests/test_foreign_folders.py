"""Folders of others: refused, and left exactly as they are; links are never followed."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from wnsim.scenario.__main__ import main

SCENARIO = """
name: net
area_m: [100, 100]
devices: {count: 2}
mobility: {model: static}
channel: {path_loss: {model: free-space}}
traffic: {size_bytes: 1000, rounds: 1, neighbors: 1}
"""
RUN = "seed=1"
Shape = Callable[[Path, Path], None]


def written(path: Path, text: str = "theirs") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def linked(path: Path, target: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(target)


def manifest(path: Path, **values: object) -> None:
    written(path / "manifest.json", json.dumps({"complete": True, "sha256": {}, **values}))


# What lies in the folder `out`, given a folder outside of it.
SHAPES: dict[str, Shape] = {
    "a text": lambda out, _: written(out / "notes.txt"),
    "a summary of others": lambda out, _: written(out / "summary.csv"),
    "a report of others": lambda out, _: written(out / "report.html"),
    "figures of others": lambda out, _: written(out / "figures" / "latency.pdf"),
    "a folder named as a run": lambda out, _: written(out / RUN / "transfers.csv"),
    "an adapter of others": lambda out, _: written(out / RUN / "adapters/device-0/a.safetensors"),
    "a store of others": lambda out, _: written(out / "store" / "ab" / "ab12.json"),
    "a hidden file": lambda out, _: written(out / ".env"),
    "a lock file of others": lambda out, _: written(out / ".lock", "1234"),
    "a lock file that is a link": lambda out, away: linked(out / ".lock", away / "precious"),
    "a temporary file of others": lambda out, _: written(out / ".notes.2024.tmp"),
    "a manifest of others": lambda out, _: manifest(out / "theirs", name="app", version="1"),
    "a repository": lambda out, _: written(out / ".git" / "config"),
    "a link to a folder": lambda out, away: linked(out / RUN, away),
}


def state(folder: Path) -> dict[str, str]:
    """Return the digest of each file, and the target of each link."""
    return {
        str(path.relative_to(folder)): str(path.readlink())
        if path.is_symlink()
        else hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_symlink() or path.is_file()
    }


@pytest.fixture
def away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder of others beside the working folder with the scenario."""
    away = tmp_path / "away"
    written(away / "precious")
    written(away / "adapters" / "device-0" / "adapter_config.json")
    written(tmp_path / "net.yaml", SCENARIO)
    monkeypatch.chdir(tmp_path)
    return away


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_a_folder_of_others_is_refused(
    away: Path, shape: Shape, capsys: pytest.CaptureFixture[str]
) -> None:
    out = away.parent / "out"
    shape(out, away)
    before = state(away.parent)
    assert main(["net.yaml", "--out", "out"]) == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if not line.startswith("note")]
    assert line.startswith("out: is not empty and holds no results of wnsim")
    assert state(away.parent) == before


@pytest.mark.parametrize("place", [RUN, f"{RUN}/adapters", "figures"])
def test_links_in_a_folder_of_results_are_not_followed(
    away: Path, place: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["net.yaml", "--out", "out", "--only", "seed=1"]) == 0
    assert main(["net.yaml", "--out", "out"]) == 0
    path = away.parent / "out" / place
    if path.exists():
        path.rename(away.parent / "moved")
    (away.parent / "out" / RUN / "manifest.json").unlink(missing_ok=True)
    path.symlink_to(away)
    before = state(away)
    assert main(["net.yaml", "--out", "out"]) == 2
    assert f"out/{place}: is a link" in capsys.readouterr().err
    assert state(away) == before


def test_files_of_others_in_a_folder_of_results_stay(away: Path) -> None:
    assert main(["net.yaml", "--out", "out"]) == 0
    out = away.parent / "out"
    theirs = [
        out / "notes.txt", out / ".notes.2024.tmp", out / RUN / "plot.py",
        out / "theirs" / "manifest.json", out / RUN / "adapters" / "device-0" / "README.md",
    ]  # fmt: skip
    for path in theirs:
        written(path)
    (out / RUN / "manifest.json").unlink()
    (out / "pipe").mkdir()
    os.mkfifo(out / "pipe" / "manifest.json")
    assert main(["net.yaml", "--out", "out"]) == 0
    assert all(path.read_text() == "theirs" for path in theirs)


def test_results_of_another_version_are_not_mixed(
    away: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["net.yaml", "--out", "out", "--only", RUN]) == 0
    path = away.parent / "out" / RUN / "manifest.json"
    old = json.loads(path.read_text())
    path.write_text(json.dumps(old | {"results": old["results"] - 1}))
    for change in ("repeat=1", "repeat=2"):
        before = state(away.parent / "out" / RUN)
        assert main(["net.yaml", "--out", "out", "--only", RUN, "--set", change]) == 2
        assert "holds results of wnsim 0.1.0, whose numbers may differ" in capsys.readouterr().err
        assert state(away.parent / "out" / RUN) == before


@pytest.mark.parametrize("text", ["", "{", "[]", '{"complete": true}', "\\xff"])
def test_a_damaged_manifest_is_not_replaced_without_a_word(
    away: Path, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["net.yaml", "--out", "out", "--only", RUN]) == 0
    run = away.parent / "out" / RUN
    written(run / "manifest.json", text)
    before = state(run)
    # Of another scenario: refused.  Of the same one: done again.
    assert (
        main(["net.yaml", "--out", "out", "--only", RUN, "--set", "traffic.size_bytes=2000"]) == 2
    )
    assert "manifest.json: is damaged, or not the manifest of a run" in capsys.readouterr().err
    assert state(run) == before
    assert main(["net.yaml", "--out", "out", "--only", RUN]) == 0
    assert json.loads((run / "manifest.json").read_text())["complete"] is True


@pytest.mark.filterwarnings("default::UserWarning")
def test_a_manifest_without_digests_makes_no_table_true(
    away: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["net.yaml", "--out", "out", "--only", RUN]) == 0
    run = away.parent / "out" / RUN
    facts = json.loads((run / "manifest.json").read_text())
    intact = (run / "transfers.csv").read_bytes()
    (run / "transfers.csv").write_text("round\n1\n")
    written(run / "manifest.json", json.dumps(facts | {"sha256": {}}))
    assert main(["net.yaml", "--out", "out", "--only", RUN]) == 0
    assert "manifest.json: was altered or cut short" in capsys.readouterr().err
    assert (run / "transfers.csv").read_bytes() == intact
