"""Page docs/methods-compared.md: tables, the fronts and the claims of each field."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from wnsim.core.statistics import Difference, mean, paired_difference

from . import fronts, study, tuning
from .entries import DEVELOPMENT, HERE, OURS, REFERENCE, Entry, Field
from .ranking import front, holm, p_value
from .rows import Rows, of_field, tasks_of_field

_MISSING = "--"
_SIGNIFICANT = 0.05


@dataclass(frozen=True)
class Line:
    """A method's reported runs in a field.

    Parameters
    ----------
    entry : the method
    runs : its rows, by seed
    learning_rate, at_end : chosen rate, and whether it is at an end of the grid
    difference : to the reference in points of accuracy on all tasks, paired by seed
    p : of the paired t-test, adjusted by Holm's procedure; NaN for the reference
    """

    entry: Entry
    runs: pd.DataFrame
    learning_rate: float
    at_end: bool
    difference: Difference
    p: float

    def mean(self, column: str) -> float:
        """Return the mean of a column over seeds."""
        return float(self.runs[column].mean())

    def on(self, seeds: Iterable[int]) -> Line:
        """Return the same with the runs of some seeds alone."""
        return replace(self, runs=self.runs.loc[list(seeds)])

    def relative(self, reference: Line, column: str) -> str:
        """Return the ratio of the means of a column over the seeds that both have."""
        ours, theirs = _paired(self, reference)
        return _ratio(ours.mean(column), theirs.mean(column))

    @property
    def accuracies(self) -> pd.Series:
        """Accuracy on all tasks by seed [%]; 0 for a run that diverged."""
        return _points(self.runs)

    @property
    def significant(self) -> bool:
        """Whether the difference to the reference is significant."""
        return self.p < _SIGNIFICANT

    @property
    def competes(self) -> bool:
        """Whether it may be on a front: it sends something, and is no upper bound."""
        return not self.entry.bound and self.mean("offered_bytes") > 0


def write(
    fields: Iterable[Field],
    conditions: Sequence[Field],
    entries: Sequence[Entry],
    folder: Path,
    docs: Path,
) -> None:
    """Write the page and its figures.

    Parameters
    ----------
    fields, conditions, entries : of the comparison
    folder : of the comparison, with the tables of finished runs
    docs : folder of the pages
    """
    introduction = (HERE / "introduction.md").read_text("utf-8")
    parts = [introduction.format(seeds=" and ".join(map(str, DEVELOPMENT)), reference=REFERENCE)]
    for field in fields:
        rows = of_field(field, folder)
        defined = [entry for entry in entries if entry.runs_in(field)]
        lines = reported(field, defined, rows)
        if not any(line.entry.name == REFERENCE for line in lines):
            continue
        picture = docs / "pictures" / f"methods-{field.name}.png"
        fronts.draw([line.on(field.seeds) for line in lines], picture)
        title = field.name.replace("-", " ").capitalize()
        parts += [
            f"## {title}\n", f"{field.description}\n", _about(field, lines, len(defined)),
            _table(field, lines), *_by_task(lines, tasks_of_field(field, folder)),
            f"![Accuracy over bytes and seconds](pictures/{picture.name})\n", _claims(lines),
            *_places_of_ours(lines),
        ]  # fmt: skip
        for condition in conditions:
            if condition.tuned.name == field.name:
                parts += _under(condition, lines, rows)
    (docs / "methods-compared.md").write_text("\n".join(parts), "utf-8")


def reported(field: Field, entries: Sequence[Entry], rows: Rows) -> list[Line]:
    """Return the methods of a field whose reported runs are complete, best first."""
    found = []
    for entry in entries:
        if tuning.units(field, entry, rows):
            continue
        unit = study.report(field, entry, rows)
        runs = rows.of(unit).set_index("seed")
        if not set(field.seeds) <= set(runs.index):
            continue
        # All further seeds or none: how many count does not depend on what they show.
        seeds = unit.seeds if set(unit.seeds) <= set(runs.index) else field.seeds
        found.append((entry, runs.loc[list(seeds)], tuning.chosen(field, entry, rows)))
    accuracies = {entry.name: _points(runs).to_dict() for entry, runs, _ in found}
    baseline = accuracies.get(REFERENCE, {})
    names = [entry.name for entry, _, _ in found if entry.name != REFERENCE]
    adjusted = holm([p_value(accuracies[name], baseline) for name in names])
    p = dict(zip(names, adjusted, strict=True))
    lines = [
        Line(
            entry, runs, *chosen, paired_difference(accuracies[entry.name], baseline),
            p.get(entry.name, math.nan),
        )
        for entry, runs, chosen in found
    ]  # fmt: skip
    return sorted(lines, key=lambda line: -line.accuracies.mean())


def _points(runs: pd.DataFrame, tasks: str = "all_tasks") -> pd.Series:
    """Return an accuracy by seed in percent; 0 for a run that diverged."""
    return 100.0 * runs[f"accuracy_{tasks}"].fillna(0.0)


def _about(field: Field, lines: Sequence[Line], defined: int) -> str:
    more = [
        f"{len(line.runs)} of {line.entry.name}"
        for line in lines
        if len(line.runs) > len(field.seeds)
    ]
    commits = sorted({str(x)[:12] for line in lines for x in line.runs["commit"].dropna()})
    return (
        f"`comparison/{field.path.name}`; {len(field.seeds)} seeds from {field.seeds[0]} on"
        f"{''.join(f', {each}' for each in more)}; "
        f"target {100 * field.target:g} %; {len(lines)} of {defined} methods have all their runs. "
        f"Commits: {', '.join(commits) or _MISSING}.\n"
    )


def _table(field: Field, lines: Sequence[Line]) -> str:
    reference = next(line for line in lines if line.entry.name == REFERENCE)
    served = reference.mean("uplink_bytes") > 0
    traffic = ["uplink_bytes", "downlink_bytes"] if served else ["offered_bytes"]
    heads = ["method", "rate", "all tasks", "worst task", f"vs {REFERENCE}"]
    heads += ["bytes up", "bytes down"] if served else ["bytes"]
    heads += ["s", "kJ", "reached", "to target: bytes", "s", "kJ", "front"]
    on = {name: _front(field, lines, name) for name in ("offered_bytes", "simulated_s")}
    rows = []
    for place, line in enumerate(lines):
        runs = line.runs
        rate = f"{line.learning_rate:g}" + (" (end of the grid)" if line.at_end else "")
        cells = [line.entry.name + (" (bound)" if line.entry.bound else ""), rate]
        cells += [_cell(line.accuracies), _cell(_points(runs, "worst_task"))]
        cells.append(_MISSING if line is reference else _difference(line))
        cells += [line.relative(reference, each) for each in traffic]
        cells += [_cell(runs["simulated_s"], 0), _cell(runs["energy_total_j"] / 1e3)]
        cells += _until_target(line, reference)
        marks = ("B", "offered_bytes"), ("s", "simulated_s")
        cells.append(", ".join(mark for mark, cost in marks if on[cost][place]))
        rows.append(cells)
    return _markdown(heads, rows)


def _markdown(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table."""
    text = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    return "\n".join([*text, *("| " + " | ".join(row) + " |" for row in rows)]) + "\n"


def _by_task(lines: Sequence[Line], rows: Rows) -> list[str]:
    """Return a table of the accuracy on each task, by two rules; empty without real text."""
    keys = {line.runs["key"].iloc[0]: line.entry.name for line in lines}
    table = rows.table[rows.table["key"].isin(keys)]
    if table.empty:
        return []
    table = table.assign(method=table["key"].map(keys))
    tasks, points = list(dict.fromkeys(table["task"])), 100.0
    rules = {"mean": "accuracy_mean", "summed": "accuracy_sum"}
    heads = ["method", *(f"{task}, {rule}" for task in tasks for rule in rules)]
    untrained = table.drop_duplicates(["seed", "task"])

    def row(name: str, of: pd.DataFrame, columns: Sequence[str]) -> list[str]:
        by_task = [of[of["task"] == task] for task in tasks]
        return [name, *(_cell(points * each[column]) for each in by_task for column in columns)]

    columns = list(rules.values())
    body = [
        row("most frequent answer", untrained, ["majority_accuracy"] * len(columns)),
        row("untrained", untrained, [f"untrained_{column}" for column in columns]),
    ]
    names = [line.entry.name for line in lines]
    body += [row(name, table[table["method"] == name], columns) for name in names]
    said = (
        "Accuracy on each task over all devices, by the mean log-likelihood per token of a choice, "
        "which decides the table above, and by the sum:\n"
    )
    return [said, _markdown(heads, body)]


def _dominates(line: Line, other: Line) -> bool:
    """Return whether a method has fewer bytes and more accuracy, over the seeds that both have."""
    one, two = _paired(line, other)
    fewer = one.mean("offered_bytes") < two.mean("offered_bytes")
    return bool(fewer and one.accuracies.mean() > two.accuracies.mean())


def _paired(one: Line, two: Line) -> tuple[Line, Line]:
    """Return two methods with the runs of the seeds that both have."""
    seeds = one.runs.index.intersection(two.runs.index)
    return one.on(seeds), two.on(seeds)


def _places_of_ours(lines: Sequence[Line]) -> list[str]:
    """Return what this project's methods reach in a field, of those whose runs are complete."""
    by_name = {line.entry.name: line for line in lines}
    return [_place(by_name[name], lines, by_name[REFERENCE]) for name in OURS if name in by_name]


def _place(line: Line, lines: Sequence[Line], reference: Line) -> str:
    """Return what a method reaches against the reference, and which methods outdo it."""
    ours, reference = _paired(line, reference)
    costs = {"bytes": "offered_bytes", "time": "simulated_s"}
    ratios = {name: mean(ours.runs[key] / reference.runs[key]) for name, key in costs.items()}
    said = " and ".join(
        f"{ratio.mean:.3f} ± {ratio.half:.3f} of its {name}" for name, ratio in ratios.items()
    )
    ahead = [each.entry.name for each in lines if each.competes and _dominates(each, ours)]
    found = ours.difference
    return (
        f"**{line.entry.name}**, this project's method, against {REFERENCE} on {len(ours.runs)} "
        f"seeds: {found.mean:+.1f} ± {found.half:.1f} points, with {said}. "
        f"{', '.join(ahead) or 'No method'} {'have' if len(ahead) > 1 else 'has'} both fewer bytes "
        "and a higher accuracy.\n"
    )


def _under(condition: Field, lines: Sequence[Line], rows: Rows) -> list[str]:
    """Return the methods of a field under a condition, best first; empty if none is complete."""
    found = []
    for line in (line for line in lines if line.entry.runs_in(condition)):
        runs = rows.of(study.report(condition, line.entry, rows)).set_index("seed")
        if set(condition.seeds) <= set(runs.index):
            found.append((line, runs.loc[list(condition.seeds)]))
    if not found:
        return []
    found.sort(key=lambda each: -_points(each[1]).mean())
    heads = ["method", "all tasks", "without", "change", "worst task", "arrived", "bytes", "s"]
    table = []
    for line, runs in found:
        before = line.runs.loc[list(condition.seeds)]
        change = paired_difference(_points(runs).to_dict(), _points(before).to_dict())
        ratios = (
            _ratio(runs[column].mean(), before[column].mean())
            for column in ("offered_bytes", "simulated_s")
        )
        table.append([
            line.entry.name, _cell(_points(runs)), _cell(_points(before)),
            f"{change.mean:+.1f} ± {change.half:.1f}", _cell(_points(runs, "worst_task")),
            _cell(100.0 * runs["delivery_ratio"]), *ratios,
        ])  # fmt: skip
    title = condition.name.replace("-", " ")
    about = (
        f"{condition.description} `comparison/condition-{condition.name}.yaml`; "
        f"{len(condition.seeds)} seeds; `change` is paired by seed, bytes and seconds are relative "
        "to the runs without it, and messages that arrived are in percent.\n"
    )
    return [f"### {condition.tuned.name.capitalize()}, {title}\n", about, _markdown(heads, table)]


def _front(field: Field, lines: Sequence[Line], cost: str) -> list[bool]:
    """Return which of all methods are on the front of those that compete, on the same seeds."""
    ours = [line.on(field.seeds) for line in lines if line.competes]
    costs = [line.mean(cost) for line in ours]
    gains = [float(line.accuracies.mean()) for line in ours]
    on = {line.entry.name: is_on for line, is_on in zip(ours, front(costs, gains), strict=True)}
    return [on.get(line.entry.name, False) for line in lines]


def _until_target(line: Line, reference: Line) -> list[str]:
    runs = line.runs
    reached = int(runs["reached"].fillna(0).sum())
    if reached < len(runs):
        return [f"{reached} of {len(runs)}", _MISSING, _MISSING, _MISSING]
    all_reach = bool(reference.runs["reached"].fillna(0).all())
    ratio = line.relative(reference, "bytes_to_target") if all_reach else _MISSING
    return [
        "all", ratio, _cell(runs["seconds_to_target"], 0),
        _cell(runs["joules_to_target"] / 1e3),
    ]  # fmt: skip


def _difference(line: Line) -> str:
    found = line.difference
    return f"{found.mean:+.1f} ± {found.half:.1f}" + (" *" if line.significant else "")


def _cell(values: pd.Series, decimals: int = 1) -> str:
    found = mean(values)
    if math.isnan(found.mean):
        return _MISSING
    return f"{found.mean:.{decimals}f} ± {found.half:.{decimals}f}"


def _ratio(value: float, base: float) -> str:
    return f"{value / base:.3g}" if base > 0 and not math.isnan(value) else _MISSING


def _claims(lines: Sequence[Line]) -> str:
    """Return a list of what each paper claims, and the numbers here."""
    reference = next(line for line in lines if line.entry.name == REFERENCE)
    items = []
    for line in lines:
        if line is reference or not line.entry.claim:
            continue
        kind = "significant" if line.significant else "not significant"
        ratio = line.relative(reference, "offered_bytes")
        items.append(
            f"* **{line.entry.name}** ({line.entry.source}). Claim: {line.entry.claim} Here: "
            f"{line.difference.mean:+.1f} ± {line.difference.half:.1f} points ({kind}), with "
            f"{ratio} of {REFERENCE}'s bytes."
        )
    head = ["What the papers claim, and what holds in this field:\n"] if items else []
    return "\n".join([*head, *items]) + "\n"
