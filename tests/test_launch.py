"""Runs as jobs: by submitit's local executor, and by a Slurm imitated by three scripts."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import commands
import pytest

from wnsim.scenario.__main__ import main
from wnsim.scenario.execution.cluster_jobs import Launcher
from wnsim.scenario.progress import Display

needs_submitit = pytest.mark.skipif(
    find_spec("submitit") is None,
    reason='submitit is not installed: pip install "wnsim[slurm]"',
)
NET = """\
name: net
devices: {count: 4}
traffic: {size_bytes: 10000, rounds: 2, neighbors: 2}
variants: [{label: a}, {label: b}]
sweep: {devices.count: [3, 4]}
figures: {formats: [svg]}
"""
RUNS = [f"{label},devices.count={count},seed=1" for label in "ab" for count in (3, 4)]


@pytest.fixture
def net(tmp_path: Path) -> Path:
    (tmp_path / "net.yaml").write_text(NET)
    return tmp_path


@pytest.fixture
def slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put an sbatch that records its input, and an srun, on the path."""
    folder = tmp_path / "bin"
    folder.mkdir()
    script = f'#!/bin/sh\ncat "$1" > {tmp_path}/sbatch.sh\necho Submitted batch job 12\n'
    for name, text in {"sbatch": script, "srun": "#!/bin/sh\nexit 1\n"}.items():
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    return tmp_path / "sbatch.sh"


def wnsim(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return commands.wnsim("net.yaml", *arguments, cwd=folder, timeout=120.0)


@needs_submitit
def test_local_jobs_are_waited_for_and_gathered(net: Path) -> None:
    results = net / "results" / "net"
    (results / RUNS[2] / "transfers.csv").mkdir(parents=True)
    # A folder that an earlier run has used.
    (results / RUNS[2] / ".lock").write_text('{"process": 1}')
    done = wnsim(net, "--launcher", "local", "--jobs", "2", "--launcher-option", "timeout_min=5")
    assert done.returncode == 2, done.stderr
    assert "1 run failed:" in done.stderr
    assert f"{RUNS[2]}: " in done.stderr.splitlines()[-1]
    assert "transfers.csv: Is a directory" in done.stderr.splitlines()[-1]
    assert len(list(results.glob("*/manifest.json"))) == 3
    assert (results / "summary.tex").is_file()
    (results / RUNS[2] / "transfers.csv").rmdir()
    done = wnsim(net, "--launcher", "local")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("complete already") == 3


@needs_submitit
def test_slurm_gets_one_array_whose_jobs_may_be_requeued(net: Path, slurm: Path) -> None:
    options = ["--launcher-option", "slurm_partition=gpu", "--launcher-option", "timeout_min=90"]
    assert wnsim(net, "--only", RUNS[0]).returncode == 0
    done = wnsim(net, "--launcher", "slurm", *options)
    assert done.returncode == 0, done.stderr
    assert [f"{run}: job 12_{number}" for number, run in enumerate(RUNS[1:])] == [
        line for line in done.stdout.splitlines() if ": job " in line
    ]
    results = net / "results" / "net"
    assert not (results / "summary.csv").exists()
    script = slurm.read_text()
    for line in ("--array=0-2%3", "--partition=gpu", "--time=90", "--job-name=net"):
        assert f"#SBATCH {line}\n" in script
    for number in (0, 1, 1, 2):
        # As srun does on a node; the second job comes twice.
        ended = subprocess.run(
            [sys.executable, "-m", "submitit.core._submit", str(results / "slurm")],
            cwd="/", capture_output=True, text=True, check=False, timeout=120,
            env=os.environ | {
                "SUBMITIT_EXECUTOR": "slurm", "SLURM_JOB_ID": str(13 + number),
                "SLURM_ARRAY_JOB_ID": "12", "SLURM_ARRAY_TASK_ID": str(number),
                "SLURM_PROCID": "0", "SLURM_LOCALID": "0", "SLURM_NTASKS": "1",
                "SLURM_STEP_NODELIST": "localhost", "SLURM_STEP_ID": "0",
            },
        )  # fmt: skip
        assert ended.returncode == 0, ended.stderr
        assert json.loads((results / RUNS[number + 1] / "manifest.json").read_text())["complete"]
    # Nothing is left to submit.
    done = wnsim(net, "--launcher", "slurm")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("complete already") == 4
    assert (results / "summary.csv").is_file()


@needs_submitit
def test_what_a_cluster_refuses_is_said(net: Path, slurm: Path) -> None:
    for option, words in (
        ("nonsense=1", "--launcher-option: Parameter 'nonsense' need to be prefixed"),
        ("slurm_queue=gpu", "--launcher-option: Unknown argument 'queue' for executor 'slurm'"),
        ("timeout_min=long", 'Parameter "timeout_min" expected type'),
        ("timeout_min", "--launcher-option timeout_min: an option is key=value"),
    ):
        done = wnsim(net, "--launcher", "slurm", "--launcher-option", option)
        assert done.returncode == 2
        assert words in done.stderr.splitlines()[-1]
    (slurm.parent / "bin" / "sbatch").write_text("#!/bin/sh\necho no such account >&2\nexit 1\n")
    done = wnsim(net, "--launcher", "slurm")
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1] == "--launcher: the jobs were rejected: no such account"
    (slurm.parent / "bin" / "srun").unlink()
    done = wnsim(net, "--launcher", "slurm")
    assert done.returncode == 2
    assert "--launcher slurm: the command srun must be on" in done.stderr


def test_without_submitit_its_package_is_named(
    net: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "submitit", None)
    assert main([str(net / "net.yaml"), "--out", str(net / "out"), "--launcher", "slurm"]) == 2
    assert 'pip install "wnsim[slurm]"' in capsys.readouterr().err


@needs_submitit
def test_a_job_that_dies_is_a_run_that_failed(tmp_path: Path) -> None:
    launcher = Launcher("local", tmp_path / "local", "dies", [])
    code = "import os, sys; print('so far', file=sys.stderr, flush=True); os.kill(os.getpid(), 9)"
    with Display(sys.stderr) as display:
        display.expect(["run"])
        failures = launcher.finish({"run": [sys.executable, "-c", code]}, 1, display)
    assert "so far" in failures["run"]
