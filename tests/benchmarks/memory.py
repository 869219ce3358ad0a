"""Memory of a long run of many devices: bounded, and the same after any number of rounds.

    python tests/benchmarks/memory.py [--devices 200] [--rounds 100] [--method lora]

Runs a scenario in a separate process and reads its resident memory once a round; prints the
largest in the second and in the last fifth of the rounds, the peak (bar: 4 GiB), and the
growth per message in between, which should be zero: records are on disk.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

TEXT = """
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
    options = parser.parse_args()
    if options.rounds < 5:
        parser.error(f"--rounds must be at least 5, got {options.rounds}")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "memory.yaml"
        path.write_text(TEXT.format(**vars(options)))
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
