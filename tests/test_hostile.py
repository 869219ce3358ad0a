"""Malformed input: each spoiled file gives a run or one clear sentence, and no other effect.

The counts here are small; tests/benchmarks/hostile.py runs thousands.
"""

from __future__ import annotations

import gzip
import json
import random
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from mutations import inside, outcome, spoil_model, spoil_tasks, spoiled, spoiled_trace
from trace_writers import WRITERS, made_tracks

from fl.models.language_model import TINY
from wnsim.mobility import Trace
from wnsim.scenario.spec.bundled import shipped

SMALL = """
name: small
seed: 1
area_m: [200, 200]
devices: {count: 3, tx_power_dbm: 23, noise_figure_db: 9, height_m: 1.5}
mobility: {model: random-waypoint, speed_mps: [1, 3], pause_s: 0}
channel: {path_loss: {model: umi}, shadowing: {}, fading: {model: rayleigh}}
radio: {frequency_hz: 3.5e9, bandwidth_hz: 20e6, phy: {model: shannon}}
mac: {model: ofdma}
transport: {packet_bytes: 1500}
traffic: {size_bytes: 9999, neighbors: 1, rounds: 1, lifetime_s: 5}
variants:
  - {label: a, mac: {model: tdma}}
  - {label: b, engine: packet}
sweep: {devices.count: [2, 3]}
repeat: 1
"""


@pytest.fixture
def sandbox(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a working folder, with others beside it that must not be touched."""
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "canary").write_text("alive")
    work = tmp_path / "a" / "work"
    work.mkdir(parents=True)
    monkeypatch.chdir(work)
    return work


@pytest.mark.parametrize("part", range(4))
def test_spoiled_scenarios_are_checked_or_refused(sandbox: Path, part: int) -> None:
    draws = random.Random(part)  # noqa: S311
    texts = [SMALL, *(path.read_text("utf-8") for path in shipped().values())]
    codes = []
    for _ in range(30):
        (sandbox / "s.yaml").write_bytes(spoiled(draws.choice(texts), draws))
        codes.append(outcome(["s.yaml", "--check"])[0])
    # Both outcomes occur, so that neither test is empty.
    assert set(codes) == {0, 2}
    assert inside(sandbox.parent.parent) == {
        sandbox / "s.yaml", sandbox.parent.parent / "outside" / "canary"
    }  # fmt: skip


@pytest.mark.parametrize("text", ["\u2028", "\n", "\x1b[31m", "\x85", "x" * 5000])
@pytest.mark.parametrize("place", ["mac: {json}", "mac: {{model: {json}}}", "{json}: 1"])
def test_a_complaint_is_one_line_whatever_it_is_about(sandbox: Path, place: str, text: str) -> None:
    rest = SMALL.replace("mac: {model: ofdma}\n", "")
    (sandbox / "s.yaml").write_text(f"{rest}{place.format(json=json.dumps(text))}\n")
    code, errors, _ = outcome(["s.yaml", "--check"])
    assert code == 2
    (line,) = errors.splitlines()
    assert line.isprintable()
    assert len(line) < 1100


def test_spoiled_scenarios_run_or_are_refused(sandbox: Path) -> None:
    draws = random.Random(5)  # noqa: S311
    before = inside(sandbox.parent.parent)
    codes = []
    for number in range(16):
        (sandbox / "s.yaml").write_bytes(spoiled(SMALL, draws))
        codes.append(outcome(["s.yaml", "--out", f"results/{number}"])[0])
    assert set(codes) == {0, 2}
    after = inside(sandbox.parent.parent) - before
    assert all(path.is_relative_to(sandbox) for path in after)


WITH_FOLDERS = """
name: folders
devices: {count: 2}
fl:
  model: model
  tasks: {folder: tasks}
  method: {model: lora, rank: 2}
  topology: {model: full}
  rounds: 1
  local_steps: 1
  batch_size: 2
  train_examples: 4
  test_examples: 2
  max_length: 32
"""


def write_tasks(folder: Path) -> None:
    """Write two small tasks, one of which has choices."""
    for name, choices in (("sums", {}), ("parity", {"choices": ["even", "odd"]})):
        (folder / name).mkdir(parents=True)
        for part, numbers in (("train", range(8)), ("test", range(8, 12))):
            rows = [
                {"prompt": f"{name} of {number}", "answer": ["even", "odd"][number % 2], **choices}
                for number in numbers
            ]
            text = "".join(json.dumps(row) + "\n" for row in rows)
            (folder / name / f"{part}.jsonl").write_text(text)


@pytest.mark.parametrize("kind", ["tasks", "model"])
def test_spoiled_folders_are_learned_from_or_refused(sandbox: Path, kind: str) -> None:
    draws = random.Random(kind)  # noqa: S311
    (sandbox / "s.yaml").write_text(WITH_FOLDERS)
    write_tasks(sandbox / "tasks")
    shutil.copytree(TINY, sandbox / "model")
    shutil.copytree(sandbox / kind, sandbox / "whole")
    before = inside(sandbox.parent.parent)
    codes = []
    for number in range(5):
        shutil.rmtree(sandbox / kind)
        shutil.copytree(sandbox / "whole", sandbox / kind)
        {"tasks": spoil_tasks, "model": spoil_model}[kind](sandbox / kind, draws)
        code, errors, _ = outcome(["s.yaml", "--out", f"results/{number}"], limit_s=60.0)
        codes.append(code)
        assert code == 0 or re.search(r"\bfl(\.\w+)*: ", errors.splitlines()[-1]), errors
    assert set(codes) == {0, 2}
    after = inside(sandbox.parent.parent) - before
    assert all(path.is_relative_to(sandbox) for path in after)


@pytest.mark.parametrize("name", WRITERS)
def test_spoiled_traces_are_read_or_refused(sandbox: Path, name: str) -> None:
    draws = random.Random(name)  # noqa: S311
    whole = WRITERS[name](made_tracks()).encode()
    options: dict[str, Any] = {"heights": "drop"} if "heights" in name else {}
    read = refused = 0
    for number in range(80):
        path = sandbox / "trace"
        path.write_bytes(spoiled_trace(whole, draws))
        try:
            Trace(file=str(path), **options).motion(3, (100.0, 100.0), number)
            read += 1
        except ValueError as error:
            assert str(path) in str(error) or "devices" in str(error)  # noqa: PT017
            refused += 1
    assert read > 0
    assert refused > 0


@pytest.mark.parametrize(
    "text", ["? {? {a: 1} : 2}\n: 3\n", "{{a: 1}: 2}: 3\n", "? [? {a: 1}]\n: 1\n"]
)
def test_keys_that_are_mappings_are_refused(sandbox: Path, text: str) -> None:
    (sandbox / "s.yaml").write_text(SMALL + text)
    code, errors, _ = outcome(["s.yaml", "--check"])
    assert code == 2
    assert errors.startswith("s.yaml")
    assert outcome(["s.yaml", "--check", "--set", f"seed={text}"])[0] == 2


def test_bombs_are_refused_within_bounds(sandbox: Path) -> None:
    """Exponential aliases, deep nesting and a large file: one sentence each, at once."""
    levels = "".join(
        f"x{n}: &x{n} [{', '.join([f'*x{n - 1}'] * 10)}]\n" if n else "x0: &x0 [1]\n"
        for n in range(12)
    )
    (sandbox / "s.yaml").write_text(levels + SMALL)
    assert "at most 100000 values" in outcome(["s.yaml", "--check"])[1]
    (sandbox / "s.yaml").write_text("name: " + "[" * 100_000)
    assert outcome(["s.yaml", "--check"])[0] == 2
    with (sandbox / "s.yaml").open("wb") as file:
        file.truncate(100_000_000)
    assert "at most 1000000 bytes" in outcome(["s.yaml", "--check"])[1]
    (sandbox / "s.yaml").write_text(SMALL.replace("small", "../../outside/canary"))
    assert outcome(["s.yaml"])[0] == 0
    assert (sandbox.parent.parent / "outside" / "canary").read_text() == "alive"
    # A gigabyte of zeros in a megabyte.
    packed = gzip.compress(bytes(1_000_000))
    (sandbox / "t.csv.gz").write_bytes(b"".join([packed] * 1000))
    with pytest.raises(ValueError, match=r"t\.csv\.gz"):
        Trace(file=str(sandbox / "t.csv.gz")).motion(3, (100.0, 100.0), 1)
