"""Runs as tasks of Dask: the same bytes, also if a worker is killed during its run."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from wnsim.scenario.__main__ import main
from wnsim.storage.locks import FILE, Lock, await_release

needs_dask = pytest.mark.skipif(
    find_spec("distributed") is None,
    reason='distributed is not installed: pip install "wnsim[dask]"',
)
# Two runs of some seconds.
NET = """\
name: net
repeat: 2
devices: {count: 4}
traffic: {size_bytes: 10000, rounds: 200, neighbors: 2}
"""
SCHEDULER = """\
import sys
from distributed import LocalCluster

if __name__ == "__main__":
    with LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=None) as cluster:
        print(cluster.scheduler_address, flush=True)
        sys.stdin.read()
"""


@pytest.fixture
def net(tmp_path: Path) -> Path:
    (tmp_path / "net.yaml").write_text(NET)
    return tmp_path


@contextlib.contextmanager
def started(folder: Path, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Start a command; end it, and with it all that it has started, if it has not ended then."""
    words = [sys.executable, "-m", "wnsim.scenario", "net.yaml", *arguments]
    with subprocess.Popen(
        words, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process
        finally:
            process.terminate()


def tables(out: Path) -> dict[str, bytes]:
    """Return all tables of a results folder by path."""
    return {str(path.relative_to(out)): path.read_bytes() for path in out.rglob("*.csv")}


def holder(out: Path, besides: int = 0) -> tuple[Path, int]:
    """Wait until a process computes a run; return the run's folder, and the process."""
    until = time.monotonic() + 120
    while time.monotonic() < until:
        for path in out.glob("*/scenario.yaml"):
            with contextlib.suppress(OSError, ValueError):
                process = json.loads((path.parent / FILE).read_text())["process"]
                if process != besides and not (path.parent / "manifest.json").exists():
                    return path.parent, process
        time.sleep(0.02)
    raise AssertionError("no run has begun")


def parent(process: int) -> int:
    return int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[1])


@needs_dask
@pytest.mark.skipif(sys.platform != "linux", reason="processes are looked up in /proc")
def test_another_worker_does_the_run_of_one_that_is_killed(net: Path) -> None:
    assert main([str(net / "net.yaml"), "--out", str(net / "one")]) == 0
    with started(net, "--out", "two", "--launcher", "dask", "--jobs", "2") as process:
        folder, run = holder(net / "two")
        worker = parent(run)
        assert parent(worker) == process.pid
        os.kill(worker, signal.SIGKILL)
        output, said = process.communicate(timeout=240)
    assert process.returncode == 0, said
    assert output.strip() == "results are in two"
    assert said.count(": complete\n") == 2
    assert json.loads((folder / FILE).read_text())["process"] != run
    assert tables(net / "one") == tables(net / "two")
    assert {"summary.csv", "seed=2/transfers.csv"} <= set(tables(net / "two"))


@needs_dask
def test_a_scheduler_is_named_by_option_or_by_configuration(
    net: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = net / "out" / "seed=2"
    (broken / "transfers.csv").mkdir(parents=True)
    for folder in (broken, broken.parent):
        (folder / FILE).write_text('{"process": 1}')
    short = ["--set=traffic.rounds=1", "--out=out", "--launcher=dask"]
    (net / "scheduler.py").write_text(SCHEDULER)
    with subprocess.Popen(
        [sys.executable, "scheduler.py"], cwd=net, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
    ) as scheduler:  # fmt: skip
        try:
            assert scheduler.stdout is not None
            address = scheduler.stdout.readline().strip()
            with started(net, *short, "--launcher-option", f"address={address}") as process:
                _, said = process.communicate(timeout=120)
            assert process.returncode == 2
            assert f"dask: 1 workers of {address}\n" in said
            assert "1 run failed:\n" in said
            last = said.splitlines()[-1]
            assert last.startswith("seed=2: ")
            assert "transfers.csv: Is a directory" in last
            assert "(log: " in last
            (broken / "transfers.csv").rmdir()
            monkeypatch.setenv("DASK_SCHEDULER_ADDRESS", address)
            with started(net, *short) as process:
                output, said = process.communicate(timeout=120)
            assert process.returncode == 0, said
            assert output.count("complete already") == 1
            assert f"dask: 1 workers of {address}\n" in said
        finally:
            scheduler.terminate()
    monkeypatch.setenv("DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT", "1s")
    with started(net, *short, "--set=seed=7") as process:
        _, said = process.communicate(timeout=120)
    assert process.returncode == 2
    assert said.splitlines()[-1].startswith(f"--launcher dask: there is no scheduler at {address}")
    wrong = ["--launcher-option", "scheduler=tcp://localhost:1"]
    assert main([str(net / "net.yaml"), "--out", str(net / "other"), *short[2:], *wrong]) == 2
    said = capsys.readouterr().err.splitlines()[-1]
    assert said == "--launcher-option scheduler: unknown; known: address"


def test_without_distributed_its_package_is_named(
    net: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    assert main([str(net / "net.yaml"), "--out", str(net / "out"), "--launcher", "dask"]) == 2
    assert 'pip install "wnsim[dask]"' in capsys.readouterr().err


def test_the_lock_of_a_lost_run_is_awaited(tmp_path: Path) -> None:
    began_s = time.monotonic()
    await_release(tmp_path / "missing", 60.0)
    with Lock(tmp_path / "run"):
        await_release(tmp_path / "run", 0.3)
    assert 0.3 <= time.monotonic() - began_s < 30.0
    await_release(tmp_path / "run", 60.0)
    assert time.monotonic() - began_s < 30.0
