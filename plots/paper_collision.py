"""How many entries of B collide: python plots/paper_collision.py results/paper-collision.

One row per variant and density, from clusters.csv in the end: number and size of the clusters, and
the share of entries that two or more devices of a cluster have active, in percent: by Eq. 19 of
arXiv 2602.20492, which takes masks for independent, and as the masks are; and of the entries that
anybody has active. Means over clusters by their size, with 95 % intervals over repetitions.
Adapters without masks, such as those of lora, collide in all of their entries.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from results import by_seed, cell, folders, runs, show

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
    heads = ["masks", "density", "clusters", "largest", "Eq. 19", "measured", "of used"]
    show(heads, rows, named[0] / "tables" / "collision")


def _last(folder: Path) -> pd.DataFrame:
    """Return the clusters at the end of a run."""
    table = pd.read_csv(folder / "clusters.csv")
    return table[table["round"] == table["round"].max()]


def _rate(folder: Path, column: str) -> float:
    """Return the mean over the entries of all clusters, each weighed by its devices."""
    table = _last(folder)
    return float((table[column] * table["devices"]).sum() / table["devices"].sum())


if __name__ == "__main__":
    main()
