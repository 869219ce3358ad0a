"""Thousands of malformed files, each a run or one clear sentence; run by hand.

    python tests/benchmarks/hostile.py [--checks 10000] [--runs 300] [--traces 2000]
                                       [--folders 300] [--seed 1]

In one process: scenarios through --check, others through the complete command to figures and
report, traces through their readers, and folders with tasks or a model through the complete
command. Stops at the first that ends otherwise, is too slow, or writes outside its folder, and
keeps its input. Prints counts and bounds.
"""

from __future__ import annotations

import argparse
import collections
import os
import random
import resource
import shutil
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).parent.parent))

from mutations import (
    LIMIT_S,
    inside,
    outcome,
    spoil_model,
    spoil_tasks,
    spoiled,
    spoiled_trace,
)
from test_hostile import SMALL, WITH_FOLDERS, write_tasks
from trace_writers import WRITERS, made_tracks

from fl.models.language_model import TINY
from wnsim.mobility import Trace
from wnsim.scenario.spec.bundled import shipped

MEMORY_GIB = 4.0
"""Everything in one process, that is."""
OURS = ("s.yaml", "trace", "whole", "tasks", "model", "results", "folders")
"""What is written by this script, and the folders of results."""
LEARNING = """
name: learning
devices: {count: 2}
fl:
  tasks: [reverse, total]
  method: {model: so-lora, rank: 2, density: 0.5, calibration_prompts: 4, calibration_batches: 1}
  topology: {model: full}
  inference: {}
  rounds: 1
  local_steps: 1
  batch_size: 2
  train_examples: 8
  test_examples: 2
  max_length: 32
"""


def checks(count: int, draws: random.Random) -> None:
    """Send spoiled scenarios through --check."""
    texts = [SMALL, LEARNING, *(path.read_text("utf-8") for path in shipped().values())]
    codes: collections.Counter[int] = collections.Counter()
    slowest_s = 0.0
    for number in range(count):
        Path("s.yaml").write_bytes(spoiled(draws.choice(texts), draws))
        code, _, took_s = outcome(["s.yaml", "--check"])
        codes[code] += 1
        slowest_s = max(slowest_s, took_s)
        progress("checks", number, count)
    print(
        f"{count} through --check: {codes[0]} fine, {codes[2]} refused; slowest {slowest_s:.1f} s"
    )


def runs(count: int, draws: random.Random) -> None:
    """Send spoiled scenarios through the complete command."""
    codes: collections.Counter[int] = collections.Counter()
    slowest_s = 0.0
    for number in range(count):
        Path("s.yaml").write_bytes(spoiled(draws.choice([SMALL, LEARNING]), draws))
        code, _, took_s = outcome(["s.yaml", "--out", f"results/{number}"], limit_s=15 * LIMIT_S)
        codes[code] += 1
        slowest_s = max(slowest_s, took_s)
        progress("runs", number, count)
    print(
        f"{count} complete commands: {codes[0]} ran, {codes[2]} refused; slowest {slowest_s:.1f} s"
    )


def traces(count: int, draws: random.Random) -> None:
    """Send spoiled traces of all formats through their readers."""
    whole = {name: write(made_tracks()).encode() for name, write in WRITERS.items()}
    ends: collections.Counter[str] = collections.Counter()
    slowest_s = 0.0
    for number in range(count):
        name = draws.choice(list(whole))
        path = Path("trace")
        heights = "drop" if "heights" in name else "none"
        path.write_bytes(spoiled_trace(whole[name], draws))
        began_s = time.monotonic()
        try:
            Trace(file=str(path.resolve()), heights=heights).motion(3, (100.0, 100.0), number)
            ends["read"] += 1
        except ValueError:
            ends["refused"] += 1
        slowest_s = max(slowest_s, time.monotonic() - began_s)
        progress("traces", number, count)
    print(
        f"{count} traces: {ends['read']} read, {ends['refused']} refused; slowest {slowest_s:.1f} s"
    )


def folders(count: int, draws: random.Random) -> None:
    """Send scenarios with spoiled folders of tasks and models through the complete command."""
    write_tasks(Path("whole/tasks"))
    shutil.copytree(TINY, "whole/model")
    Path("s.yaml").write_text(WITH_FOLDERS)
    codes: collections.Counter[int] = collections.Counter()
    slowest_s = 0.0
    for number in range(count):
        for name, spoil in (("tasks", spoil_tasks), ("model", spoil_model)):
            shutil.rmtree(name, ignore_errors=True)
            shutil.copytree(f"whole/{name}", name)
            if number % 2 == (name == "model"):
                spoil(Path(name), draws)
        out = f"folders/{number}"
        code, _, took_s = outcome(["s.yaml", "--out", out], limit_s=15 * LIMIT_S)
        codes[code] += 1
        slowest_s = max(slowest_s, took_s)
        progress("folders", number, count)
    print(f"{count} folders: {codes[0]} ran, {codes[2]} refused; slowest {slowest_s:.1f} s")


def progress(what: str, number: int, count: int) -> None:
    """Report the progress of a long study."""
    if number % 500 == 499 and number + 1 < count:
        print(f"{what}: {number + 1} of {count}", file=sys.stderr)


def main() -> None:
    """Run all studies in a folder with others beside it that must not be touched."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checks", type=int, default=10_000)
    parser.add_argument("--runs", type=int, default=300)
    parser.add_argument("--traces", type=int, default=2000)
    parser.add_argument("--folders", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    draws = random.Random(options.seed)  # noqa: S311
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        (root / "outside").mkdir()
        (root / "outside" / "canary").write_text("alive")
        work = root / "a" / "work"
        work.mkdir(parents=True)
        os.chdir(work)
        checks(options.checks, draws)
        traces(options.traces, draws)
        runs(options.runs, draws)
        folders(options.folders, draws)
        ours = [work / name for name in OURS]
        stray = {each for each in inside(root) if not any(map(each.is_relative_to, ours))}
        if stray != {root / "outside" / "canary"}:
            sys.exit(f"written outside of the folders of results: {stray}")
        os.chdir("/")
    memory_gib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    if memory_gib > MEMORY_GIB:
        sys.exit(f"took {memory_gib:.2f} GiB of memory, more than {MEMORY_GIB:g}")
    print(f"no traceback, nothing written elsewhere; most memory {memory_gib:.2f} GiB")


if __name__ == "__main__":
    main()
