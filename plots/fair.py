"""Verdicts of the controlled comparison: python plots/fair.py results/fair [results/urban].

Prints, for fair.yaml, the mean accuracy on all tasks and the bytes of each variant relative to
lora's on the same seeds, and a verdict on each acceptance criterion: 5 points more than lora, and
than lora with the gate; at most a tenth of the bytes; more than local training with one exchange
(one-shot); no less than lori-s at equal density. A criterion holds, or fails, only if its paired
95 % interval says so. With a results folder of urban.yaml, also prints the simulated time in which
so-lora-plus reaches the best accuracy of lora.
"""

from __future__ import annotations

import math
from pathlib import Path

import pandas as pd
from results import cell, difference, folders, measured, runs, show, summary

from wnsim.core.statistics import mean, paired_difference
from wnsim.metrics import read_table
from wnsim.scenario.summary.latex import MISSING

PLUS, BASELINE = "so-lora-plus", "lora"
# Methods that so-lora-plus should outperform, and by how many points.
CLAUSES = {"lora": 5.0, "lora gate": 5.0, "one-shot": 0.0, "lori-s gate": 0.0}
MOST_BYTES, MOST_TIME, WINDOW = 0.1, 0.2, 3


def main() -> None:
    """Print the table and the verdicts."""
    named = folders(str(__doc__))
    lines = dict(list(summary(named[:1]).groupby("variant", sort=False)))
    accuracy, own, sent = (
        {name: measured(line, metric) for name, line in lines.items()}
        for metric in ("accuracy_all_tasks", "accuracy_own_task", "offered_bytes")
    )
    ratios = {
        name: mean(by[seed] / sent[BASELINE][seed] for seed in by.keys() & sent[BASELINE].keys())
        for name, by in sent.items()
    }
    rows = [
        [
            str(name),
            str(len(lines[name])),
            cell(accuracy[name]),
            cell(own[name]),
            MISSING if name == PLUS else difference(accuracy[PLUS], accuracy[name]),
            f"{ratios[name].mean:.3f}",
        ]
        for name in lines
    ]
    columns = ["method", "runs", "all tasks", "own task", f"{PLUS} minus it", "bytes"]
    show(columns, rows, named[0] / "tables" / "fair")
    for name, least in CLAUSES.items():
        if name in accuracy:
            found = paired_difference(accuracy[PLUS], accuracy[name])
            print(_verdict(f"{PLUS} - {name}", found.low * 100, found.high * 100, least=least))
    share = ratios[PLUS]
    print(_verdict(f"bytes of {PLUS} / {BASELINE}", share.low, share.high, most=MOST_BYTES))
    for folder in named[1:]:
        _times(folder)


def _verdict(
    what: str, low: float, high: float, *, least: float = -math.inf, most: float = math.inf
) -> str:
    """Return whether the value of an interval is at least, or at most, a bound, as text."""
    asked = f"at most {most:g}" if math.isinf(least) else f"at least {least:g}"
    known = "holds" if low >= least and high <= most else "is not decided"
    if high < least or low > most:
        known = "fails"
    return f"{what}: in [{low:.3g}, {high:.3g}], {asked} is asked for: {known}"


def _times(folder: Path) -> None:
    """Print when so-lora-plus reaches the best accuracy of lora, by seed."""
    lines = dict(list(runs([folder]).groupby("variant", sort=False)))
    shares = []
    for seed, run in lines[BASELINE].set_index("seed")["folder"].items():
        other = lines[PLUS].set_index("seed")["folder"].get(seed)
        if other is None:
            continue
        slow, fast = _curve(run), _curve(other)
        best = slow["accuracy"].max()
        reached = [curve.loc[curve["accuracy"] >= best, "time_s"].min() for curve in (slow, fast)]
        never = math.isnan(reached[1])
        shares.append(math.inf if never else reached[1] / reached[0])
        shown = "never" if never else f"{reached[1]:.0f} s, {shares[-1]:.2f} of it"
        print(
            f"seed {seed}: lora is best, {best:.3f}, at {reached[0]:.0f} s; {PLUS} there: {shown}"
        )
    count = sum(share <= MOST_TIME for share in shares)
    print(f"within {MOST_TIME:g} of the time: {count} of {len(shares)} seeds")


def _curve(folder: Path) -> pd.DataFrame:
    """Return the mean accuracy over time, averaged over the last three evaluations."""
    table = read_table(folder / "evaluations.csv")
    curve = table.groupby("round")[["time_s", "accuracy"]].mean()
    return curve.assign(accuracy=curve["accuracy"].rolling(WINDOW, min_periods=1).mean())


if __name__ == "__main__":
    main()
