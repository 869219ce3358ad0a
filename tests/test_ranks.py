"""Several processes that share the work: the same state, and a common end."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fl.engine.launcher import first_node, rank_from_environment

ROOT = Path(__file__).parent.parent
SCRIPT = """
import os, sys
from fl.engine.launcher import rank_from_environment
from fl.engine.ranks import join_process_group
with join_process_group(rank_from_environment(os.environ)) as ranks:
    taken = []
    ranks.share(
        list(range(5)),
        lambda item: bytes([item, ranks.rank]) * item,
        lambda item, data: taken.append((item, data)),
    )
    assert taken == [(i, bytes([i, i % 2]) * i) for i in range(5)], taken
    assert ranks.broadcast(b"mine" if ranks.rank == 0 else b"other") == b"mine"
    assert ranks.broadcast(b"") == b""
    assert ranks.all_equal(b"same")
    assert not ranks.all_equal(bytes([ranks.rank]))
    def work(item):
        if item == 1:
            raise ValueError("device 7 diverged")
        return b"x"
    try:
        ranks.share([0, 1], work, lambda item, data: None)
    except ValueError as error:
        assert str(error) == "device 7 diverged", error
        print("all well", ranks.rank)
"""


FEW_RECORDS = """
import runpy
import wnsim.storage.journal
wnsim.storage.journal._HELD = 5
runpy.run_module("wnsim.scenario", run_name="__main__", alter_sys=True)
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def of_torchrun(rank: int, port: int) -> dict[str, str]:
    return {
        "RANK": str(rank), "WORLD_SIZE": "2", "LOCAL_RANK": str(rank),
        "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port),
    }  # fmt: skip


def of_srun(rank: int, port: int) -> dict[str, str]:
    return {
        "SLURM_PROCID": str(rank), "SLURM_NTASKS": "2", "SLURM_LOCALID": str(rank),
        "SLURM_STEP_NODELIST": "localhost", "SLURM_JOB_ID": "7", "SLURM_STEP_ID": "0",
        "MASTER_PORT": str(port),
    }  # fmt: skip


def start(
    arguments: list[str], variables: dict[str, str], folder: Path = ROOT
) -> subprocess.Popen[str]:
    variables = {"PYTHONPATH": str(ROOT), **variables}
    return subprocess.Popen(
        [sys.executable, *arguments], cwd=folder, env=os.environ | variables, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


@pytest.mark.parametrize("launcher", [of_torchrun, of_srun])
def test_ranks_share_results(launcher) -> None:  # type: ignore[no-untyped-def]
    port = free_port()
    both = [start(["-c", SCRIPT], launcher(rank, port)) for rank in range(2)]
    for rank, process in enumerate(both):
        out, err = process.communicate(timeout=120)
        assert process.returncode == 0, err
        assert out.strip() == f"all well {rank}"


def scenario(folder: Path) -> list[str]:
    path = folder / "small.yaml"
    path.write_text(
        "name: small\n"
        "devices: {count: 4}\n"
        "channel: {path_loss: {model: log-distance, exponent: 3}}\n"
        "fl:\n"
        "  tasks: [home, topic]\n"
        "  topology: {model: ring}\n"
        "  method: {model: so-lora, rank: 2, calibration_prompts: 4}\n"
        "  rounds: 4\n"
        "  local_steps: 8\n"
        "  test_examples: 4\n"
        "  evaluate_every: 4\n"
        "  trainer: {micro_batch_tokens: 256}\n"
    )
    return ["-m", "wnsim.scenario", str(path), "--no-figures", "--out"]


def tables(folder: Path) -> dict[str, bytes]:
    found = [*folder.glob("*/*.csv"), *folder.glob("*/adapters/*/*")]
    return {str(path.relative_to(folder)): path.read_bytes() for path in found}


def test_two_ranks_give_what_one_gives_and_end_together(tmp_path: Path) -> None:
    command = scenario(tmp_path)
    alone = start([*command, str(tmp_path / "one")], {})
    _, err = alone.communicate(timeout=200)
    assert alone.returncode == 0, err

    port = free_port()
    both = [start([*command, str(tmp_path / "two")], of_torchrun(r, port)) for r in range(2)]
    # One of them is lost as soon as something was computed.
    deadline = time.monotonic() + 120
    while not list((tmp_path / "two").glob("store/??/*.safetensors")):
        assert time.monotonic() < deadline
        assert both[0].poll() is None
        time.sleep(0.01)
    both[1].kill()
    both[1].communicate()
    _, err = both[0].communicate(timeout=120)
    assert both[0].returncode == 2
    assert "another process of this run has ended" in err
    assert "Traceback" not in err

    # The first one alone has the folder of results, and even few records go to the disk.
    port = free_port()
    both = []
    for rank, folder in enumerate((tmp_path, tmp_path / "elsewhere")):
        folder.mkdir(exist_ok=True)
        few = ["-c", FEW_RECORDS, *command[2:], "two"]
        both.append(start(few, of_torchrun(rank, port), folder))
    for rank, process in enumerate(both):
        out, err = process.communicate(timeout=200)
        assert process.returncode == 0, err
        # The first one alone reports progress.
        assert bool(out) == (rank == 0)
    # Micro-batches and threads are the same, so even the bits of the results are.
    first, second = tables(tmp_path / "one"), tables(tmp_path / "two")
    assert first
    assert first == second
    assert not any((tmp_path / "elsewhere").iterdir())


def test_a_process_without_a_launcher_has_no_rank() -> None:
    assert rank_from_environment({}) is None
    # A batch script of Slurm, before srun.
    assert rank_from_environment({"SLURM_NTASKS": "4", "SLURM_PROCID": "0"}) is None


@pytest.mark.parametrize(
    ("variables", "sentence"),
    [
        ({"RANK": "x", "WORLD_SIZE": "2"}, "malformed"),
        (of_srun(0, 1) | {"SLURM_PROCID": "?"}, "malformed"),
        (
            {key: value for key, value in of_srun(0, 1).items() if key != "SLURM_LOCALID"},
            "must set the variable SLURM_LOCALID",
        ),
    ],
)
def test_broken_variables_are_refused(variables: dict[str, str], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        rank_from_environment(variables)


@pytest.mark.parametrize(
    ("nodes", "first"),
    [("gpu[03-07,9],login", "gpu03"), ("a1", "a1"), ("a1,b2", "a1"), ("n-[1,2]", "n-1")],
)
def test_the_first_node_of_a_list(nodes: str, first: str) -> None:
    assert first_node(nodes) == first


def test_a_list_of_no_nodes_is_refused() -> None:
    with pytest.raises(ValueError, match="must name one"):
        first_node("")
