"""Memory of long runs: bounded, and the same after any number of rounds or messages.

    python tests/benchmarks/memory.py [--devices 200] [--rounds 100] [--method lora]
    python tests/benchmarks/memory.py --messages 10000 100000 1000000 [--tables parquet]

The first command runs a scenario in a separate process and reads its resident memory once a round;
it prints the largest in the second and in the last fifth of the rounds, the peak (bar: 4 GiB), and
the growth per message in between, which should be zero: records are on disk.

With `--messages` a network without learning sends that many messages, once for each number. Printed
are the peak memory of the whole command, of the run, its tables, metrics, figures and report (bar:
1 GiB more for a million messages than for ten thousand), and the size of the report (bar: 5 MB).
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from wnsim.report import MOST_BYTES

LEARNING = """
name: memory
area_m: [1000, 1000]
devices: {{count: {devices}}}
fl:
  tasks: [reverse, total, home, topic]
  method: {{model: {method}, rank: 8}}
  topology: {{model: nearest, degree: 4}}
  rounds: {rounds}
  local_steps: 1
  batch_size: 1
  train_examples: 256
  test_examples: 2
  evaluate_every: {rounds}
  max_length: 32
"""
# Two hundred messages a round, which do not wait for each other.
NETWORK = """
name: memory
area_m: [300, 300]
devices: {{count: 50}}
mobility: {{model: static}}
channel: {{fading: {{model: none}}}}
mac: {{model: ideal}}
traffic: {{size_bytes: 1000, neighbors: 4, rounds: {rounds}, lifetime_s: 10}}
"""
A_ROUND = 200
# Runs a command and prints the largest memory that it had [KiB], as the system counted it.
MEASURE = """
import resource, subprocess, sys
subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""


def rss_mib(process: int) -> float:
    """Return the resident memory of a process [MiB]."""
    lines = Path(f"/proc/{process}/status").read_text("utf-8").splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS"))


def main() -> None:
    """Run the study."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--devices", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=100, help="at least 5 (default: 100)")
    parser.add_argument("--method", default="lora")
    parser.add_argument("--messages", type=int, nargs="+", help="numbers of messages")
    parser.add_argument("--tables", choices=("csv", "parquet"), default="csv")
    options = parser.parse_args()
    if options.rounds < 5:
        parser.error(f"--rounds must be at least 5, got {options.rounds}")
    if options.messages is None:
        over_rounds(options)
        return
    for messages in options.messages:
        over_messages(messages, options.tables)


def over_messages(messages: int, form: str) -> None:
    """Print the peak memory of a run with that many messages and of all that is made from it."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "memory.yaml"
        path.write_text(NETWORK.format(rounds=max(1, messages // A_ROUND)))
        command = [sys.executable, "-m", "wnsim.scenario", str(path), "--out", f"{folder}/out"]
        began = time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-c", MEASURE, *command, "--tables", form],
            capture_output=True, text=True, check=True, env=os.environ | {"OMP_NUM_THREADS": "1"},
        )  # fmt: skip
        took_s = time.perf_counter() - began
        report = (Path(folder) / "out" / "report.html").stat().st_size
        (table,) = Path(folder).glob(f"out/*/transfers.{form}")
        print(
            f"{messages} messages: peak {int(done.stdout) / 1024:.0f} MiB, report "
            f"{report / 1e6:.1f} MB (bar: {MOST_BYTES / 1e6:.0f}), transfers.{form} "
            f"{table.stat().st_size / 1e6:.1f} MB, {took_s:.0f} s",
            flush=True,
        )


def over_rounds(options: argparse.Namespace) -> None:
    """Print the memory of a run with learning early and late in it."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "memory.yaml"
        path.write_text(LEARNING.format(**vars(options)))
        command = [sys.executable, "-m", "wnsim.scenario", str(path), "--progress", "json"]
        child = subprocess.Popen(
            [*command, "--out", f"{folder}/out"],
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
        )  # fmt: skip
        seen: dict[int, float] = {}
        for line in child.stderr or ():
            progress = json.loads(line).get("progress") if line.startswith("{") else None
            if progress:
                seen[progress["round"]] = rss_mib(child.pid)
        code = child.wait()
        tables = Path(folder).glob("out/*/transfers.csv")
        messages = sum(len(path.read_bytes().splitlines()) - 1 for path in tables)
    if code != 0 or not seen:
        sys.exit(f"the run ended with exit code {code}")
    fifth = max(1, options.rounds // 5)
    early = max(mib for number, mib in seen.items() if fifth < number <= 2 * fifth)
    late = max(mib for number, mib in seen.items() if number > options.rounds - fifth)
    between = messages * (1 - 2 * fifth / options.rounds)
    per_message = (late - early) * 2**20 / between
    print(
        f"{options.devices} devices, {options.rounds} rounds, {options.method}: "
        f"{early:.0f} MiB in the second fifth of the rounds, {late:.0f} MiB in the last, "
        f"peak {max(seen.values()):.0f} MiB (bar: 4096); {per_message:.0f} bytes more for each of "
        f"the {between:.0f} messages in between"
    )


if __name__ == "__main__":
    main()
