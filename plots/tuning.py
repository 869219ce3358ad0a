"""Choice of the learning rate of each variant: python plots/tuning.py results/fair-tuning.

Reads a sweep of `fl.method.learning_rate` evaluated on validation examples, with seeds that no
reported run uses. Chooses the rate with the highest mean accuracy on all tasks, or on the devices'
own tasks without communication; of equal ones the lowest. A rate at an end of the grid is marked,
so that the grid can be extended.
"""

from __future__ import annotations

from results import cell, folders, measured, show, summary

RATE = "fl.method.learning_rate"


def main() -> None:
    """Print accuracies by variant and rate, and the chosen rate."""
    named = folders(str(__doc__))
    table = summary(named)
    rates = sorted(table[RATE].unique())
    rows = []
    for variant, runs in table.groupby("variant", sort=False):
        alone = not runs["offered_bytes"].any()
        metric = "accuracy_own_task" if alone else "accuracy_all_tasks"
        means = runs.groupby(RATE)[metric].mean()
        best = float(means.idxmax())
        mark = " (end of the grid)" if best in (means.index.min(), means.index.max()) else ""
        cells = [cell(measured(runs[runs[RATE] == rate], metric)) for rate in rates]
        rows.append([str(variant), *cells, f"{best:g}{mark}"])
    show(["variant", *(f"{rate:g}" for rate in rates), "chosen"], rows, named[0] / "tables/tuning")


if __name__ == "__main__":
    main()
