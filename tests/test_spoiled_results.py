"""Each verb over each kind of spoiled results folder: it works, or says one sentence, code 2."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from wnsim import load, run
from wnsim.scenario import verbs
from wnsim.scenario.__main__ import main

SCENARIO = """\
name: few
area_m: [100, 100]
devices: {count: 3}
mobility: {model: static}
mac: {model: ofdma}
fl:
  tasks: [home]
  method: {model: lora, rank: 2}
  topology: {model: full}
  rounds: 1
  local_steps: 1
  train_examples: 8
  test_examples: 4
"""
RUN = "seed=1"
WORDS: dict[str, list[str]] = {
    "cite": [], "compare": [], "evaluate": ["--only=none"], "extend": ["--rounds=1"],
    "figures": ["--only=collisions"], "pack": [], "report": [],
}  # fmt: skip
"""Further words of each verb that reads results folders: it reads them, and computes little."""


def emptied(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.mkdir()


def a_file(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.write_text("a file")


def cut(name: str) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        path = folder / name
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2 + 1])

    return spoil


def written(name: str, data: bytes) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        (folder / name).write_bytes(data)

    return spoil


def a_folder(name: str) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        (folder / name).unlink()
        (folder / name).mkdir()

    return spoil


def without(key: str) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        path = folder / RUN / "manifest.json"
        manifest = json.loads(path.read_text())
        path.write_text(json.dumps({name: each for name, each in manifest.items() if name != key}))

    return spoil


def without_runs(folder: Path) -> None:
    shutil.rmtree(folder / RUN)


TOP = ("summary.csv", "aggregate.csv", "runs.csv")
RAGGED = b"run,metric,value,variant,baseline,state\nx\n"
SPOILED: dict[str, Callable[[Path], None]] = {
    "missing": shutil.rmtree,
    "a file": a_file,
    "empty": emptied,
    "without runs": without_runs,
    **{f"binary {name}": written(name, b"\xff\xfe\x00\x01,\n") for name in TOP},
    "other columns": written("summary.csv", b"a,b\n1,2\n"),
    "ragged rows": written("aggregate.csv", RAGGED),
    "a folder for a table": a_folder("runs.csv"),
    "words for numbers": written("summary.csv", b"run,metric,value\none,offered_bytes,many\n"),
    "cut manifest": cut(f"{RUN}/manifest.json"),
    "a list for a manifest": written(f"{RUN}/manifest.json", b"[1, 2]"),
    "manifest without variant": without("variant"),
    "cut scenario": cut(f"{RUN}/scenario.yaml"),
    "binary scenario": written(f"{RUN}/scenario.yaml", b"\xff\xfe\x00{"),
    "a folder for a scenario": a_folder(f"{RUN}/scenario.yaml"),
    "cut messages": cut(f"{RUN}/transfers.csv"),
    "binary evaluations": written(f"{RUN}/evaluations.csv", b"\xff\xfe\x00{"),
}


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("few")
    (folder / "few.yaml").write_text(SCENARIO)
    run(load(str(folder / "few.yaml")), folder / "few", figures=False)
    shutil.rmtree(folder / "few" / "store")
    # A report of a folder with a figure draws none.
    (folder / "few" / "figures").mkdir()
    (folder / "few" / "figures" / "drawn.svg").write_text("<svg/>")
    return folder / "few"


def test_all_verbs_that_read_results_are_here() -> None:
    assert {*WORDS} == {verb for verb in verbs.names() if verbs.is_own(verb)} - {"contacts"}


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("verb", WORDS)
def test_spoiled_folders_are_read_or_refused_in_a_sentence(
    verb: str, few: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    refused = set()
    for number, (kind, spoil) in enumerate(SPOILED.items()):
        results = tmp_path / str(number) / "few"
        shutil.copytree(few, results)
        spoil(results)
        code = main([verb, str(results), *WORDS[verb]])
        said = capsys.readouterr().err
        assert code in (0, 2), kind
        assert "Traceback" not in said, kind
        assert all(line.isprintable() for line in said.splitlines())
        if code == 2:
            last = [line for line in said.splitlines() if not line.startswith("note: ")]
            assert len(last) == 1, (kind, said)
            # What is said of an option comes after the folder has been read.
            assert "few" in last[0] or last[0].startswith("--"), (kind, said)
            refused.add(kind)
        shutil.rmtree(tmp_path / str(number))
    assert {"missing", "a file", "empty", "without runs"} < refused
    assert {f"binary {name}" for name in TOP} < refused


def test_a_damaged_manifest_is_named(
    few: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(few, tmp_path / "few")
    shutil.copytree(few / RUN, tmp_path / "few" / "seed=2")
    cut(f"{RUN}/manifest.json")(tmp_path / "few")
    with pytest.warns(UserWarning, match=r"few/seed=1/manifest\.json: is damaged"):
        verbs.run("compare", [str(tmp_path / "few"), "--metric", "offered_bytes"])
    assert "offered_bytes" in capsys.readouterr().out


@pytest.mark.parametrize(
    "words",
    [
        ["extend", "{few}", "--rounds", "0"],
        ["extend", "{few}", "--rounds", "9", "--set", "fl.tasks=7"],
        ["extend", "{few}", "--rounds", "9", "--set", "nothing"],
        ["evaluate", "{few}", "--set", "fl.model=nothing/at/all"],
        ["evaluate", "{few}", "--only", "nothing"],
        ["compare", "{few}", "--csv", "{few}/nowhere/file.csv"],
        ["figures", "{few}", "--width", "nan"],
        ["figures", "{few}", "--more", "nothing:at_all"],
        ["pack", "{few}", "--out", "{few}"],
        ["contacts", "nothing.yaml", "--range", "1"],
        ["contacts", "network.yaml", "--range", "nan"],
        ["contacts", "network.yaml", "--range", "10", "--until", "-1"],
        ["contacts", "network.yaml", "--range", "10", "--out", "{few}/summary.csv/x"],
        ["contacts", "network.yaml", "--range", "10", "--plugin", "nothing_at_all"],
    ],
)
def test_unknown_values_are_a_sentence(
    words: list[str], few: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([each.format(few=few) for each in words]) == 2
    said = capsys.readouterr().err
    assert "Traceback" not in said
    assert said.strip()


def test_an_error_in_a_figure_s_module_is_a_sentence(
    few: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "brokenfigures.py").write_text("import nothing_at_all\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "brokenfigures", raising=False)
    words = ["figures", str(few), "--plugin", "brokenfigures", "--more", "brokenfigures:one"]
    assert main(words) == 2
    said = capsys.readouterr().err
    assert "brokenfigures" in said
    assert "Traceback" not in said
