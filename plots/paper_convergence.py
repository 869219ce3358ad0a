"""Convergence of each method: python plots/paper_convergence.py results/paper-convergence.

One row per method: accuracy on all tasks at the end, and for each of `fl.target_accuracies` the
number of runs that reached it, and the simulated time and bytes of those runs, with 95 % intervals
over repetitions. If not all runs reached a target, the means are biased low. Also draws accuracy
over rounds, time and bytes, in the folder `figures`.
"""

from __future__ import annotations

import pandas as pd
from results import cell, folders, measured, names, show, summary

from wnsim.figures import draw

_REACHED = "reached_"


def main() -> None:
    """Print the table, and draw the curves."""
    named = folders(str(__doc__))
    table = summary(named)
    targets = [name.removeprefix(_REACHED) for name in table if name.startswith(_REACHED)]
    rows = []
    for variant, line in table.groupby("variant", sort=False):
        row = [str(variant), cell(measured(line, "accuracy_all_tasks"))]
        for target in targets:
            reached = line[line[f"{_REACHED}{target}"] > 0]
            row.append(f"{len(reached)} of {len(line)}")
            row.append(cell(_known(reached, f"time_to_{target}_s"), 0, 1.0))
            row.append(cell(_known(reached, f"bytes_to_{target}"), 2, 1e-9))
        rows.append(row)
    heads = ["method", "all tasks [%]"]
    for target in targets:
        share = f"{float(target):.0%}"
        heads += [f"reach {share}", f"{share} [s]", f"{share} [GB]"]
    show(heads, rows, named[0] / "tables" / "convergence")
    for folder in named:
        for path in draw(folder, names(folder)):
            if path.stem.startswith("accuracy"):
                print(path)


def _known(line: pd.DataFrame, metric: str) -> dict[int, float]:
    """Return a metric by seed; empty if no run has it."""
    return measured(line, metric) if metric in line else {}


if __name__ == "__main__":
    main()
