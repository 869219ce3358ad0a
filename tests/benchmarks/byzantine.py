"""Accuracy of robust aggregation when two devices of ten are Byzantine.

Ten devices with equal shares of one task exchange their updates with all others, in synchronous
rounds on a channel that loses nothing. Two of them (20 %) send their updates with the opposite sign
and `--scale` times as large, or replaced by Gaussian noise of `--noise` times their size. The
accuracy is the mean of all ten after the last round (Byzantine devices learn and merge like the
others), 0 where training diverged, which the run reports; shares are of the accuracy of the same
seed without attack, with Student-t intervals over seeds.

    python tests/benchmarks/byzantine.py
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
import csv
import tempfile
from pathlib import Path

import numpy as np

from wnsim.core.statistics import mean
from wnsim.scenario.__main__ import main as run_scenario

BYZANTINE = (4, 9)
RULES = {
    "mean": "null",
    "median": "{model: median}",
    "trimmed mean": "{model: trimmed-mean, trim: 0.2}",
    "clipped": "{model: norm-clip, factor: 1}",
}
SCENARIO = """\
name: byzantine
seed: {seed}
repeat: {seeds}
area_m: [100, 100]
devices: {{count: 10}}
mobility: {{model: static}}
channel: {{path_loss: {{model: free-space}}, shadowing: {{sigma_db: 0}}, fading: {{model: none}}}}
mac: {{model: ideal}}
fl:
  tasks: [{task}]
  partition: {{model: iid}}
  train_examples: 640
  test_examples: 48
  topology: {{model: full}}
  rounds: {rounds}
  local_steps: 8
  evaluate_every: 1000
variants:
"""


def variants(scales: dict[str, float]) -> dict[str, str]:
    """Return the variants of the study by label, as sections of a scenario."""
    found = {"clean": "{}"}
    for attack, scale in scales.items():
        attackers = f"[{{devices: {list(BYZANTINE)}, attack: {attack}, scale: {scale:g}}}]"
        for rule, robust in RULES.items():
            found[f"{attack} {rule}"] = (
                f"fl: {{robust: {robust}}}, faults: {{byzantine: {attackers}}}"
            )
    return found


def accuracy(folder: Path) -> float:
    """Return the mean accuracy of all devices after the last round; 0 if training diverged."""
    if not (folder / "manifest.json").exists():
        return 0.0
    with (folder / "evaluations.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    last = max(int(row["round"]) for row in rows)
    return float(np.mean([float(row["accuracy"]) for row in rows if int(row["round"]) == last]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--scale", type=float, default=3.0)
    parser.add_argument("--noise", type=float, default=30.0)
    parser.add_argument("--task", default="home")
    options = parser.parse_args()
    text = SCENARIO.format(
        seed=options.seed, seeds=options.seeds, rounds=options.rounds, task=options.task
    )
    labels = variants({"sign-flip": options.scale, "noise": options.noise})
    for label, keys in labels.items():
        inside = f", {keys}" if keys != "{}" else ""
        text += f"  - {{label: {label}{inside}}}\n"
    with tempfile.TemporaryDirectory() as name:
        path, out = Path(name) / "byzantine.yaml", Path(name) / "results"
        path.write_text(text)
        run_scenario([str(path), "--out", str(out)])
        seeds = range(options.seed, options.seed + options.seeds)
        found = {
            label: np.array(
                [accuracy(out / f"{label.replace(' ', '-')},seed={seed}") for seed in seeds]
            )
            for label in labels
        }
    print(f"{'':24}{'accuracy':>10}{'+-':>8}{'of clean':>10}{'+-':>8}")
    for label, values in found.items():
        share = values / found["clean"]
        line = f"{label:24}"
        for each in (mean(values), mean(share)):
            line += f"{each.mean:10.3f}{each.half:8.3f}"
        print(line)


if __name__ == "__main__":
    main()
