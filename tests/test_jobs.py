"""Runs in separate processes: the same bytes, isolated failures, and clean interruption."""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import commands
import pandas as pd
import pytest
from commands import Command

from wnsim.scenario.errors import Terminated
from wnsim.scenario.progress import Display, Progress
from wnsim.scenario.signals import check_ended, termination_as_exception
from wnsim.storage.locks import FILE, Lock

NET = """\
name: net
repeat: 2
devices: {count: 4}
traffic: {size_bytes: 10000, rounds: 2, neighbors: 2}
variants: [{label: a}, {label: b, radio: {bandwidth_hz: 10e6}}]
figures: {formats: [svg]}
"""
# As long as a test may take to interrupt it.
LONG = NET.replace("rounds: 2", "rounds: 100000")
LEARNING = """\
name: net
devices: {count: 3}
fl:
  tasks: [reverse, total]
  rounds: 1
  local_steps: 1
  batch_size: 4
  train_examples: 8
  test_examples: 4
  topology: {model: ring}
variants:
  - {label: lora, fl: {method: {model: lora, rank: 2}}}
  - {label: ffa-lora, fl: {method: {model: ffa-lora, rank: 2}}}
"""
RUNS = ("a,seed=1", "a,seed=2", "b,seed=1", "b,seed=2")


def wnsim(folder: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return commands.wnsim("net.yaml", *arguments, cwd=folder, timeout=120.0, **variables)


def written(results: Path) -> dict[str, bytes]:
    """Return all files except those that depend on the machine or the clock."""
    return {
        str(path.relative_to(results)): path.read_bytes()
        for path in results.glob("**/*")
        if path.is_file()
        and path.name not in (FILE, "manifest.json")
        and path.parts[len(results.parts)] not in ("store", "local")
    }


@pytest.fixture
def net(tmp_path: Path) -> Path:
    (tmp_path / "net.yaml").write_text(NET)
    return tmp_path


def started(folder: Path, *arguments: str) -> Command:
    """Start a scenario that takes long; leaving it as a context ends it."""
    (folder / "net.yaml").write_text(LONG)
    return Command(("net.yaml", *arguments), folder)


def holders(results: Path, runs: int) -> dict[str, int]:
    """Wait until so many runs are being computed; return the processes that do."""
    until = time.monotonic() + 60
    while time.monotonic() < until:
        # A run has begun once its scenario exists, which is written after its lock.
        files = [path.parent / FILE for path in results.glob("*/scenario.yaml")]
        with contextlib.suppress(ValueError):
            found = {path.parent.name: json.loads(path.read_text())["process"] for path in files}
            if len(found) == runs:
                return found
        time.sleep(0.05)
    raise AssertionError("the runs have not begun")


def is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


def is_running(process: int) -> bool:
    """Return whether a process runs; one that has ended may not have been waited for."""
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state not in ("Z", "X")


@pytest.mark.parametrize("text", [NET, LEARNING], ids=["network", "learning"])
def test_two_at_once_write_the_same_bytes_as_one_after_the_other(net: Path, text: str) -> None:
    (net / "net.yaml").write_text(text)
    runs, options = (len(RUNS), []) if text == NET else (2, ["--no-figures"])
    assert wnsim(net, "--out", "one", *options).returncode == 0
    done = wnsim(net, "--out", "two", "--jobs", "2", *options)
    assert done.returncode == 0, done.stderr
    assert f"({runs}/{runs}): round" in done.stderr
    assert "{" not in done.stderr
    one, two = written(net / "one"), written(net / "two")
    assert {"summary.csv", "aggregate.csv", "summary.tex"} <= set(one)
    assert ("figures/latency.csv" in one) == (text == NET)
    assert (text == NET) == all("adapter" not in name for name in one)
    assert one == two
    again = wnsim(net, "--out", "two", "--jobs", "2", *options)
    assert again.stdout.count("complete already") == runs


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_a_run_that_fails_does_not_stop_the_others(net: Path, jobs: str) -> None:
    broken = net / "results" / "net" / "a,seed=2"
    (broken / "transfers.csv").mkdir(parents=True)
    # Folders that earlier runs have used.
    for folder in (broken, broken.parent):
        (folder / ".lock").write_text('{"process": 1}')
    done = wnsim(net, "--jobs", jobs)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    *_, count, last = done.stderr.splitlines()
    assert count == "1 run failed:"
    assert last.startswith("a,seed=2: ")
    assert "transfers.csv" in last
    summary = pd.read_csv(net / "results" / "net" / "summary.csv")
    assert set(summary["run"]) == {*RUNS} - {"a,seed=2"}
    states = pd.read_csv(net / "results" / "net" / "runs.csv", index_col="run")
    assert states["state"].to_dict() == dict.fromkeys(RUNS, "finished") | {"a,seed=2": "failed"}
    assert "transfers.csv" in states.loc["a,seed=2", "error"]
    assert (net / "results" / "net" / "figures" / "latency.svg").is_file()
    shutil.rmtree(broken)
    assert wnsim(net, "--jobs", jobs).returncode == 0


def test_a_run_alone_leaves_the_summary_to_others(net: Path) -> None:
    done = wnsim(net, "--only", "b,seed=1", "--only=a,seed=2")
    assert done.returncode == 0, done.stderr
    results = net / "results" / "net"
    assert {path.parent.name for path in results.glob("*/manifest.json")} == {
        "b,seed=1",
        "a,seed=2",
    }
    assert not (results / "summary.csv").exists()
    assert wnsim(net).stdout.count("complete already") == 2
    assert set(pd.read_csv(results / "summary.csv")["run"]) == {*RUNS}
    done = wnsim(net, "--only", "b,seed=3")
    assert (done.returncode, "did you mean" in done.stderr) == (2, True)


def test_progress_as_json_is_for_programs(net: Path) -> None:
    done = wnsim(net, "--only", "a,seed=1", "--progress", "json")
    messages = [json.loads(line) for line in done.stderr.splitlines()]
    last = messages[-1]["progress"]
    assert (last["run"], last["round"], last["rounds"]) == ("a,seed=1", 2, 2)
    assert last["events"] > 0


def test_a_run_in_use_is_left_alone_and_the_others_are_done(net: Path) -> None:
    results = net / "results" / "net"
    with Lock(results / "a,seed=2"):
        done = wnsim(net, "--only", "a,seed=2")
        assert done.returncode == 2
        assert done.stderr.splitlines()[-1].startswith(
            f"results/net/a,seed=2: is in use by process {os.getpid()} on "
        )
        done = wnsim(net)
        assert done.returncode == 2
        assert f"a,seed=2: results/net/a,seed=2: is in use by process {os.getpid()}" in done.stderr
    assert len(list(results.glob("*/manifest.json"))) == 3
    with Lock(results):
        done = wnsim(net)
        assert done.returncode == 2
        assert f"results/net: is in use by process {os.getpid()}" in done.stderr
        assert wnsim(net, "--only", "a,seed=2").returncode == 0


@pytest.mark.parametrize("jobs", ["1", "2"])
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_end_ends_the_children_and_says_how_to_go_on(
    net: Path, jobs: str, number: signal.Signals, code: int
) -> None:
    with started(net, "--jobs", jobs) as process:
        processes = holders(net / "results" / "net", int(jobs))
        assert (process.pid in processes.values()) == (jobs == "1")
        process.send_signal(number)
        _, said = process.communicate(timeout=30)
    assert process.returncode == code
    assert "Traceback" not in said
    assert said.endswith("stopped; run the same command again for the remaining runs\n")
    assert not any(is_alive(each) for each in processes.values())
    (net / "net.yaml").write_text(NET)
    assert wnsim(net).returncode == 0


@pytest.mark.skipif(sys.platform != "linux", reason="the system ends children on Linux only")
@pytest.mark.parametrize("jobs", ["2", "3"])
def test_children_end_with_a_parent_that_is_killed(net: Path, jobs: str) -> None:
    """A process that is killed can say nothing to its children: the system must."""
    with started(net, "--jobs", jobs) as process:
        children = set(holders(net / "results" / "net", int(jobs)).values())
        assert process.pid not in children
        process.kill()
        process.wait(timeout=30)
        until = time.monotonic() + 30
        while any(is_running(child) for child in children) and time.monotonic() < until:
            time.sleep(0.05)
    assert not any(is_running(child) for child in children)
    assert not list((net / "results" / "net").glob("*/manifest.json"))


@pytest.mark.parametrize(
    ("number", "kind"), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, Terminated)]
)
def test_a_signal_that_a_library_catches_is_not_lost(
    number: signal.Signals, kind: type[BaseException]
) -> None:
    # A shell lets its background processes ignore interrupts.
    before = signal.signal(number, signal.default_int_handler)
    try:
        with termination_as_exception():
            check_ended()
            with contextlib.suppress(BaseException), termination_as_exception():
                signal.raise_signal(number)
            with pytest.raises(kind):
                check_ended()
        check_ended()
    finally:
        signal.signal(number, before)


def test_what_nohup_has_told_to_be_ignored_stays_so() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with termination_as_exception():
            assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
            with pytest.raises(Terminated) as end:
                signal.raise_signal(signal.SIGTERM)
    finally:
        signal.signal(signal.SIGHUP, before)
    assert end.value.code == 143


def test_a_child_that_is_killed_is_a_run_that_failed(net: Path) -> None:
    with started(net, "--jobs", "2", "--only", "a,seed=1", "--only", "b,seed=1") as process:
        for child in holders(net / "results" / "net", 2).values():
            os.kill(child, signal.SIGKILL)
        _, said = process.communicate(timeout=30)
    assert process.returncode == 2
    assert "2 runs failed:\n" in said
    assert "b,seed=1: was ended by SIGKILL; perhaps memory was short" in said.splitlines()


def test_processes_that_share_runs_share_nothing_else(net: Path) -> None:
    torchrun = {"RANK": "0", "WORLD_SIZE": "2", "LOCAL_RANK": "0"}
    for option in (["--jobs", "2"], ["--launcher", "local"]):
        done = wnsim(net, *option, **torchrun)
        assert done.returncode == 2
        assert "must not be used under torchrun or srun" in done.stderr
    for jobs in ("0", "many"):
        assert wnsim(net, "--jobs", jobs).returncode == 2


def test_what_is_shown_tells_speed_and_time_left() -> None:
    time_s = 0.0
    stream = io.StringIO()
    with Display(stream, lambda: time_s) as display:
        display.expect(["a", "b"])
        for run in ("a", "b"):
            display.watch(Progress(run, 0, 4, 0.0, 0.25, 0, 2.0))
            for number in range(1, 5):
                time_s += 3.0
                display.watch(Progress(run, number, 4, 1.0, None, 1500 * number, 2 + 3.0 * number))
            display.over(run)
    half = "round 2/4, 1.0 s simulated, 375 events/s, about 6 s left"
    assert stream.getvalue().splitlines() == [
        "a (1/2): round 0/4, 0.0 s simulated, accuracy 0.250",
        f"a (1/2): {half}",
        "a (1/2): round 4/4, 1.0 s simulated, 429 events/s",
        "b (2/2): round 0/4, 0.0 s simulated, accuracy 0.250, all runs in about 12 s",
        f"b (2/2): {half}, all runs in about 6 s",
        "b (2/2): round 4/4, 1.0 s simulated, 429 events/s",
    ]


def test_the_accuracy_so_far_is_one_after_training() -> None:
    stream = io.StringIO()
    with Display(stream, lambda: 0.0) as display:
        display.expect(["a"])
        for number, accuracy in enumerate((0.25, None, 0.5, None)):
            display.watch(Progress("a", number, 3, 1.0, accuracy, 0, 2.0 + number))
    assert stream.getvalue().splitlines() == [
        "a (1/1): round 0/3, 1.0 s simulated, accuracy 0.250",
        "a (1/1): round 2/3, 1.0 s simulated, accuracy 0.500, about 1 s left",
        "a (1/1): round 3/3, 1.0 s simulated, accuracy so far 0.500",
    ]
