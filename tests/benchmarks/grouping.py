"""Runs with devices trained together and one after another: equal up to rounding.

    python tests/benchmarks/grouping.py [repetitions]

One batch agrees to 1e-5 (tests); over many rounds rounding grows, as in any training, so runs
are compared by the paired difference of the final accuracies over seeds, with
its 95 % interval of Student's t. CPU seconds of both stand beside it.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import json
import sys
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats

from wnsim.scenario.__main__ import main

SCENARIO = """
name: grouping
repeat: {repeat}
devices: {{count: 8}}
channel: {{path_loss: {{model: log-distance, exponent: 3}}}}
fl:
  tasks: [reverse, total, home, topic]
  topology: {{model: ring}}
  rounds: 10
  test_examples: 32
  evaluate_every: 10
variants:
  - {{label: lora, fl: {{method: {{model: lora}}}}}}
  - {{label: so-lora, fl: {{method: {{model: so-lora}}}}}}
sweep: {{fl.trainer.micro_batch_tokens: [1, 1024]}}
"""


def run(repeat: int) -> None:
    """Run everything and print the differences."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "grouping.yaml").write_text(SCENARIO.format(repeat=repeat))
        assert main([str(folder / "grouping.yaml"), "--out", str(folder / "out")]) == 0
        summary = pd.read_csv(folder / "out" / "summary.csv")
        wall_s = {
            path.parent.name: json.loads(path.read_text())["wall_s"]
            for path in folder.glob("out/*/manifest.json")
        }
    for metric in ("accuracy_all_tasks", "accuracy_own_task"):
        rows = summary[summary["metric"] == metric]
        table = rows.pivot_table(
            index=["variant", "seed"], columns="fl.trainer.micro_batch_tokens", values="value"
        )
        for variant, own in table.groupby("variant"):
            difference = (own[1024] - own[1]).to_numpy()
            half = stats.t.ppf(0.975, repeat - 1) * difference.std(ddof=1) / np.sqrt(repeat)
            print(
                f"{variant}, {metric}: alone {own[1].mean():.3f}, together {own[1024].mean():.3f}, "
                f"difference {difference.mean():+.4f} +- {half:.4f} ({repeat} seeds)"
            )
    alone, together = (
        sum(seconds for run, seconds in wall_s.items() if f"micro_batch_tokens={tokens}" in run)
        for tokens in ("1,", "1024,")
    )
    print(f"wall seconds: {alone:.0f} alone, {together:.0f} together, {alone / together:.2f} times")


if __name__ == "__main__":
    run(int(sys.argv[1]) if len(sys.argv) > 1 else 5)
