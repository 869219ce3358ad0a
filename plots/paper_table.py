"""The paper's accuracy tables: python plots/paper_table.py results/paper-table1.

One row per method: accuracy in percent on each task and on all of them, mean over devices, with
95 % intervals over repetitions, and the paired difference to lora; size of an update and of all
messages relative to lora; and the values reported in the paper (arXiv 2602.20492, Tables I and II)
for Qwen2.5-1.5B and 7B. Below them, the model without training and the best constant answers. If
all tasks have choices, the accuracy on all tasks by their summed likelihoods stands beside that by
the scenario's rule. Without communication (`topology: isolated`) a device is tested on its own
task, as in Table II; otherwise on all tasks, as in Table I. The paper's tasks and models differ
from ours: comparable are the order and the differences of methods.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import NamedTuple

import pandas as pd
from results import (
    by_seed,
    cell,
    difference,
    first_evaluation,
    folders,
    last_evaluation,
    runs,
    show,
)

from wnsim.metrics import read_transfers
from wnsim.scenario.summary.latex import MISSING

BASELINE = "lora"


class Reported(NamedTuple):
    """Reported values: average accuracies in percent for two models, and transmitted fraction."""

    small: float
    large: float
    transmitted: float = math.nan


# Table I: tasks of all devices; transmitted parameters relative to the 1.5B model.
TABLE_1 = {
    "full-ft": Reported(76.95, 86.55, 1.0),
    "lora": Reported(68.03, 83.19, 0.0201),
    "lori-d": Reported(75.17, 84.36, 0.0105),
    "hard-moe": Reported(80.93, 90.62, 1.0),
    "so-lora one cluster": Reported(76.44, 85.96, 0.0027),
    "so-lora": Reported(78.00, 87.39, 0.0027),
}
# Table II: own task of each device.
TABLE_2 = {
    "full-ft": Reported(80.93, 90.62),
    "lora": Reported(76.53, 86.71),
    "lori-d": Reported(77.69, 87.41),
    "so-lora": Reported(79.37, 88.93),
}


def main() -> None:
    """Print the table."""
    named = folders(str(__doc__))
    found = runs(named)
    alone = not any(_updates(folder)["size_bytes"].sum() for folder in found["folder"])
    reported = TABLE_2 if alone else TABLE_1
    lines = dict(list(found.groupby("variant", sort=False)))
    if BASELINE not in lines:
        raise SystemExit(f"{named[0]}: has no variant {BASELINE!r} to compare with")
    tasks = list(last_evaluation(found["folder"].iloc[0])["task"].unique())
    base = by_seed(lines[BASELINE], lambda run: _accuracy(run.folder, None, own=alone))
    summed = _has_choices(found["folder"].iloc[0])
    base_message = _message_bytes(lines[BASELINE])
    base_total = _total_bytes(lines[BASELINE])
    rows = []
    for variant, line in lines.items():
        row = [str(variant), *(_cell(line, task, own=alone) for task in [*tasks, None])]
        overall = by_seed(line, lambda run: _accuracy(run.folder, None, own=alone))
        row.append(MISSING if variant == BASELINE else difference(overall, base))
        if summed:
            row.append(_cell(line, None, own=alone, column="accuracy_sum"))
        if not alone:
            row.append(_share(_message_bytes(line), base_message))
            row.append(_share(_total_bytes(line), base_total))
        paper = reported.get(str(variant))
        row += [f"{paper.small:.2f}", f"{paper.large:.2f}"] if paper else [MISSING, MISSING]
        if not alone:
            sent = paper.transmitted / reported[BASELINE].transmitted if paper else math.nan
            row.append(MISSING if math.isnan(sent) else f"{sent:.3g}")
        rows.append(row)
    rest = [MISSING] * (len(rows[0]) - len(tasks) - 2)
    for name, column, first in (
        ("without training", "accuracy", True),
        ("best constant answer", "majority_accuracy", False),
    ):
        one = lines[BASELINE]
        cells = [_cell(one, task, own=alone, column=column, first=first) for task in [*tasks, None]]
        rows.append([name, *cells, *rest])
    columns = ["method", *tasks, "all", f"vs {BASELINE}"]
    columns += ["all, summed"] if summed else []
    columns += [] if alone else ["payload", "on air"]
    columns += ["paper 1.5B", "paper 7B"]
    columns += [] if alone else ["paper sent"]
    show(columns, rows, named[0] / "tables" / ("table2" if alone else "table1"))


def _has_choices(folder: Path) -> bool:
    """Return whether all tasks of a run have choices, whose likelihoods are summed."""
    table = last_evaluation(folder)
    return "accuracy_sum" in table and bool(table["accuracy_sum"].notna().all())


def _cell(
    line: pd.DataFrame, task: str | None, *, own: bool, column: str = "accuracy",
    first: bool = False,
) -> str:  # fmt: skip
    return cell(
        by_seed(line, lambda run: _accuracy(run.folder, task, own=own, column=column, first=first))
    )


def _accuracy(
    folder: Path, task: str | None, *, own: bool, column: str = "accuracy", first: bool = False
) -> float:
    """Return the mean of a column of a run's evaluations, of the last one or the first one."""
    table = first_evaluation(folder) if first else last_evaluation(folder)
    if column not in table:
        return math.nan
    if own:
        table = table[table["own_task"]]
    if task is not None:
        return float(table.loc[table["task"] == task, column].mean())
    # Tasks have equal weights, regardless of their number of devices.
    return float(table.groupby("task")[column].mean().mean())


def _updates(folder: Path) -> pd.DataFrame:
    table = read_transfers(folder, ("kind", "size_bytes"))
    return table[table["kind"] == "update"]


def _message_bytes(line: pd.DataFrame) -> float:
    """Return the mean size of an update over the whole run [byte]."""
    return float(pd.concat([_updates(folder) for folder in line["folder"]])["size_bytes"].mean())


def _total_bytes(line: pd.DataFrame) -> float:
    """Return the total size of all messages of a run, mean over runs [byte]."""
    sums = [read_transfers(folder, ["size_bytes"])["size_bytes"].sum() for folder in line["folder"]]
    return float(sum(sums)) / len(sums)


def _share(value: float, base: float) -> str:
    return MISSING if math.isnan(value) else f"{value / base:.3g}"


if __name__ == "__main__":
    main()
