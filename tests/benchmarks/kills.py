"""Runs that are killed at random instants and resumed by the same command; run by hand.

    python tests/benchmarks/kills.py [--times 30] [--seed 1] [synchronous asynchronous swept]

Each scenario is run undisturbed; then again and again: killed with SIGKILL at an instant drawn
uniformly over its duration, and started once more. All tables and adapters must end with the same
bytes. Processes are forked from one that has everything imported, so that the instants fall on
what a run does, not on what Python does before it.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import random
import shutil
import signal
import statistics
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import wnsim.scenario.execution.execute
import wnsim.scenario.summary.summarize  # noqa: F401
from wnsim.scenario.__main__ import main as command_line

_BASE = """
devices: {count: 4}
fl:
  tasks: [reverse, total]
  rounds: 4
  local_steps: 3
  batch_size: 4
  train_examples: 16
  test_examples: 4
  evaluate_every: 2
"""
SCENARIOS = {
    "synchronous": f"name: synchronous{_BASE}  method: {{model: so-lora, rank: 4, density: 0.3}}\n"
    "  topology: {model: agglomerative}\n  cluster_exchange: {every: 2}\n  inference: {}\n",
    "asynchronous": f"name: asynchronous{_BASE}  protocol: {{model: asynchronous}}\n"
    "  topology: {model: ring}\n",
    "swept": f"name: swept{_BASE}  topology: {{model: ring}}\n  method: {{model: lora}}\n"
    "repeat: 2\nsweep: {fl.method.rank: [2, 4]}\n",
}


def start(folder: Path) -> int:
    """Start the command in a separate process; return its id."""
    child = os.fork()
    if child == 0:
        nothing = os.open(os.devnull, os.O_RDWR)
        for stream in (0, 1, 2):
            os.dup2(nothing, stream)
        code = command_line([str(folder / "s.yaml"), "--out", str(folder / "out")])
        os._exit(code)
    return child


def ended(child: int) -> int:
    """Wait for a process; return its exit code, negative for a signal."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def digests(folder: Path) -> dict[str, str]:
    """Return the digests of a run's tables and adapters."""
    kinds = {".csv", ".safetensors", ".json", ".yaml"}
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.suffix in kinds and path.name != "manifest.json" and "store" not in path.parts
    }


def study(name: str, times: int, draws: random.Random, root: Path) -> int:
    """Kill and resume one scenario; return how often it ended otherwise."""
    text = SCENARIOS[name]
    folder = root / name
    folder.mkdir()
    (folder / "s.yaml").write_text(text)
    took_s = []
    for _ in range(2):
        shutil.rmtree(folder / "out", ignore_errors=True)
        began_s = time.monotonic()
        if ended(start(folder)) != 0:
            sys.exit(f"{name}: the undisturbed run failed")
        took_s.append(time.monotonic() - began_s)
    expected = digests(folder / "out")
    wrong = early = 0
    for _ in range(times):
        shutil.rmtree(folder / "out")
        child = start(folder)
        time.sleep(draws.uniform(0.0, min(took_s)))
        os.kill(child, signal.SIGKILL)
        early += ended(child) == -signal.SIGKILL
        code = ended(start(folder))
        if code != 0 or digests(folder / "out") != expected:
            wrong += 1
            print(f"{name}: exit code {code}, differs: {differing(folder, expected)}")
    print(
        f"{name}: {times - wrong} of {times} end with the same {len(expected)} files to the byte; "
        f"{early} were killed before they were over, of {statistics.mean(took_s):.1f} s"
    )
    return wrong


def differing(folder: Path, expected: dict[str, str]) -> list[str]:
    """Return the files that differ from the undisturbed run's."""
    found = digests(folder / "out")
    return sorted(path for path in expected | found if expected.get(path) != found.get(path))


def main() -> None:
    """Run the named studies, or all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("scenarios", nargs="*", choices=[*SCENARIOS, []])
    parser.add_argument("--times", type=int, default=30)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    draws = random.Random(options.seed)  # noqa: S311
    with tempfile.TemporaryDirectory() as root:
        wrong = [
            study(name, options.times, draws, Path(root)) for name in options.scenarios or SCENARIOS
        ]
    sys.exit(1 if any(wrong) else 0)


if __name__ == "__main__":
    main()
