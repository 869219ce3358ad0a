"""Collision rates: python plots/paper_collision.py results/paper-collision.

One row per variant and density, from the last evaluation of clusters.csv: number and size of the
clusters, and the percentage of entries of B that are active in two or more devices of a cluster: by
Eq. 19 of arXiv 2602.20492, which assumes independent masks, and measured; and the same among the
entries active in any device. Means over clusters weighted by size, with 95 % intervals over
repetitions. Adapters without masks, such as those of lora, collide in all entries.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from results import by_seed, cell, folders, runs, show

from wnsim.metrics import read_table

DENSITY = "fl.method.density"
COLUMNS = ("expected_collision_rate", "collision_rate", "collision_rate_active")


def main() -> None:
    """Print the table."""
    named = folders(str(__doc__))
    rows = []
    for (variant, density), line in runs(named).groupby(["variant", DENSITY], sort=False):
        count = by_seed(line, lambda run: float(len(_last(run.folder))))
        size = by_seed(line, lambda run: float(_last(run.folder)["devices"].max()))
        rates = [
            cell(by_seed(line, lambda run, column=column: _rate(run.folder, column)), 2)
            for column in COLUMNS
        ]
        rows.append([str(variant), f"{density:g}", cell(count, 1, 1.0), cell(size, 1, 1.0), *rates])
    heads = ["masks", "density", "clusters", "largest", "Eq. 19", "measured", "of active"]
    show(heads, rows, named[0] / "tables" / "collision")


def _last(folder: Path) -> pd.DataFrame:
    """Return the clusters of the last evaluation of a run."""
    table = read_table(folder / "clusters.csv")
    return table[table["round"] == table["round"].max()]


def _rate(folder: Path, column: str) -> float:
    """Return the mean over clusters, weighted by their devices."""
    table = _last(folder)
    return float((table[column] * table["devices"]).sum() / table["devices"].sum())


if __name__ == "__main__":
    main()
