"""Runs that are killed, or run out of disk space, and end in the same bytes when resumed."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from commands import Command, wnsim

from wnsim.scenario.__main__ import main
from wnsim.storage import records

_BASE = """
devices: {count: 3}
fl:
  tasks: [reverse]
  topology: {model: ring}
  method: {model: lora, rank: 4}
  rounds: 5
  local_steps: 2
  batch_size: 4
  train_examples: 16
  test_examples: 4
  trainer: {micro_batch_tokens: 1}
"""
SCENARIOS = {
    "asynchronous": f"name: r{_BASE}  protocol: {{model: asynchronous}}\n",
    "swept": f"name: r{_BASE}sweep: {{fl.method.rank: [2, 4]}}\n",
}
COMMAND = ("r.yaml", "--no-figures", "--out")
NO_ROOM = """
import resource, runpy, sys
# The largest file that may be written; some of the store's are larger.
resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, 40_000))
sys.argv = ["wnsim.scenario", "r.yaml", "--no-figures", "--out", "out"]
runpy.run_module("wnsim.scenario", run_name="__main__")
"""


def tables(folder: Path) -> dict[str, bytes]:
    """Return the tables of a run."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.suffix in {".csv", ".safetensors", ".yaml"} and "store" not in path.parts
    }


def kill_amid(folder: Path, name: str) -> None:
    """Start a scenario and kill it in the middle of its training."""
    (folder / "r.yaml").write_text(SCENARIOS[name])
    with Command((*COMMAND, "out"), folder) as process:
        while process.poll() is None and len(list(folder.glob("out/store/??/*.json"))) < 5:
            time.sleep(0.02)
        process.kill()
    assert process.returncode == -signal.SIGKILL


def ends_as_another(folder: Path) -> bool:
    """Return whether a resumed run ends like an undisturbed one."""
    for out in ("out", "fresh"):
        done = wnsim(*COMMAND, out, cwd=folder)
        assert done.returncode == 0, done.stderr
    fresh = tables(folder / "fresh")
    return len(fresh) > 8 and tables(folder / "out") == fresh


def test_a_sweep_that_is_killed_ends_as_another(tmp_path: Path) -> None:
    kill_amid(tmp_path, "swept")
    assert ends_as_another(tmp_path)


def test_a_run_that_is_killed_and_then_finds_no_room_ends_as_another(tmp_path: Path) -> None:
    kill_amid(tmp_path, "asynchronous")
    done = subprocess.run(
        [sys.executable, "-c", NO_ROOM], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert re.match(r"out/.*: File too large$", done.stderr.splitlines()[-1])
    assert list(tmp_path.glob("out/**/.*.tmp")) == []
    assert ends_as_another(tmp_path)


def test_a_file_that_cannot_be_written_is_named_and_leaves_nothing(tmp_path: Path) -> None:
    target = tmp_path / "table.csv"
    target.mkdir()
    with pytest.raises(IsADirectoryError, match=str(target)):
        records.write(target, b"rows")
    assert list(tmp_path.iterdir()) == [target]
    with pytest.raises(OSError, match="/proc/"):
        records.write(Path("/proc/none/table.csv"), b"rows")


def test_a_folder_that_may_not_be_made_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Not even root can make folders in /sys."""
    (tmp_path / "r.yaml").write_text("name: r\ntraffic: {size_bytes: 9, neighbors: 1, rounds: 1}\n")
    assert main([str(tmp_path / "r.yaml"), "--out", "/sys/wnsim"]) == 2
    output = capsys.readouterr().err.splitlines()[-1]
    assert re.match(r"/sys/wnsim\S*: .*(permitted|denied|[Rr]ead-only)", output)
