"""The comparison of methods: grids that grow, corrections, fronts, and runs that are missing."""

from __future__ import annotations

import math
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from scipy import stats

from comparison import page, study, tuning
from comparison.entries import (
    DEVELOPMENT,
    HERE,
    LADDER,
    OURS,
    Condition,
    Entry,
    Field,
    Unit,
    conditions,
    entries,
    fields,
)
from comparison.ranking import front, holm, p_value
from comparison.rows import Rows, by_task, diverged, row, tasks_of_field
from wnsim.scenario import load
from wnsim.scenario.errors import ScenarioError

LEARNING = {"target_accuracies": [0.5]}
FIELD = Field("small", Path("field-small.yaml"), {"seed": 5, "repeat": 3, "fl": LEARNING}, "")
LARGER = replace(FIELD, data={**FIELD.data, "repeat": 5})


def entry(name: str, *rates: float) -> Entry:
    return Entry(name, "--", "", False, {"model": "lora"}, rates, {"small": {}})


def add(rows: Rows, unit: Unit, accuracies: dict[int, float], sent: float = 1e9) -> None:
    """Add the rows of finished runs."""
    for seed, accuracy in accuracies.items():
        metrics = {
            "accuracy_all_tasks": accuracy, "accuracy_own_task": 1.0 - accuracy,
            "accuracy_worst_task": accuracy / 2, "offered_bytes": sent, "uplink_bytes": 0.0,
            "simulated_s": 100.0, "energy_total_j": 5000.0, "reached_0.5": float(accuracy >= 0.5),
            "time_to_0.5_s": 40.0, "bytes_to_0.5": sent / 2, "energy_to_0.5_j": 2000.0,
        }  # fmt: skip
        rows.add([row(unit, metrics, {"seed": seed, "wall_s": 1.0, "commit": "abc"})])


def tune(
    rows: Rows, of: Entry, by_rate: dict[float, float], sent: float = 1e9, field: Field = FIELD
) -> None:
    for rate, accuracy in by_rate.items():
        unit = Unit(field, of, rate, tuning=True)
        add(rows, unit, dict.fromkeys(field.development, accuracy), sent)


def test_a_grid_grows_at_its_ends_until_the_best_is_inside(tmp_path: Path) -> None:
    rows, lora = Rows(tmp_path / "small.csv"), entry("lora", 2e-3, 5e-3)
    assert [unit.learning_rate for unit in tuning.units(FIELD, lora, rows)] == [2e-3, 5e-3]
    with pytest.raises(LookupError):
        tuning.chosen(FIELD, lora, rows)
    tune(rows, lora, {2e-3: 0.4, 5e-3: 0.6})
    assert [unit.learning_rate for unit in tuning.units(FIELD, lora, rows)] == [1e-2]
    tune(rows, lora, {1e-2: 0.5})
    assert tuning.units(FIELD, lora, rows) == []
    assert tuning.chosen(FIELD, lora, rows) == (5e-3, False)
    # Another method grows downwards, and another file of the same rows goes on.
    slow = entry("slow", 2e-3, 5e-3)
    tune(rows, slow, {2e-3: 0.6, 5e-3: 0.6})
    again = Rows(tmp_path / "small.csv")
    assert [unit.learning_rate for unit in tuning.units(FIELD, slow, again)] == [1e-3]
    assert tuning.chosen(FIELD, lora, again) == (5e-3, False)


def test_a_grid_stops_growing_and_says_so(tmp_path: Path) -> None:
    rows, lora = Rows(tmp_path / "small.csv"), entry("lora", 1e-3)
    number = 0
    while found := tuning.units(FIELD, lora, rows):
        tune(rows, lora, {unit.learning_rate: 0.1 + unit.learning_rate for unit in found})
        number += len(found)
    assert number == 5
    assert tuning.chosen(FIELD, lora, rows) == (2e-2, True)


def test_diverged_runs_count_as_nothing_and_silent_methods_by_own_tasks(tmp_path: Path) -> None:
    rows, lora = Rows(tmp_path / "small.csv"), entry("lora", 1e-3, 2e-3, 5e-3)
    tune(rows, lora, {1e-3: 0.3, 2e-3: 0.4}, field=LARGER)
    unit = Unit(LARGER, lora, 5e-3, tuning=True)
    add(rows, unit, {DEVELOPMENT[0]: 0.75})
    rows.add([diverged(unit, DEVELOPMENT[1])])
    assert tuning.chosen(LARGER, lora, rows) == (2e-3, False)
    local = entry("local", 1e-3, 2e-3, 5e-3)
    tune(rows, local, {1e-3: 0.3, 2e-3: 0.1, 5e-3: 0.2}, sent=0.0)
    assert tuning.chosen(FIELD, local, rows)[0] == 2e-3


def test_fields_with_few_seeds_are_tuned_on_one_and_may_have_their_own_grids(
    tmp_path: Path,
) -> None:
    assert (len(FIELD.development), len(LARGER.development)) == (1, 2)
    assert set(LARGER.development) <= set(DEVELOPMENT)
    own = replace(entry("own", 1e-3), grids={"small": (1e-2, 2e-2)})
    rows = Rows(tmp_path / "small.csv")
    assert [unit.learning_rate for unit in tuning.units(FIELD, own, rows)] == [1e-2, 2e-2]
    other = replace(FIELD, name="other")
    assert own.grid(other) == (1e-3,)


def test_accuracies_by_task_and_rule(tmp_path: Path) -> None:
    """Law: means over devices, over those that train on the task, and before the first round."""
    evaluations = pd.DataFrame(
        {
            "round": [0, 0, 2, 2, 2, 2], "task": ["a", "b", "a", "b", "a", "b"],
            "own_task": [True, False, True, False, False, True], "majority_accuracy": 0.5,
            "accuracy": [0.1, 0.2, 0.6, 0.4, 0.8, 1.0],
            "accuracy_sum": [0.3, 0.2, 0.5, 0.7, 0.9, 0.1],
        }
    )  # fmt: skip
    unit = Unit(FIELD, entry("lora", 1e-3), 1e-3, tuning=False)
    kept = tasks_of_field(FIELD, tmp_path)
    kept.add(by_task(unit, 5, evaluations))
    a, b = tasks_of_field(FIELD, tmp_path).of(unit).to_dict("records")
    assert (a["task"], b["task"]) == ("a", "b")
    assert (a["accuracy"], b["accuracy"]) == pytest.approx((0.7, 0.7))
    assert (a["own_accuracy"], b["own_accuracy"]) == pytest.approx((0.6, 1.0))
    assert (a["untrained_accuracy"], b["untrained_accuracy"]) == pytest.approx((0.1, 0.2))
    assert (a["accuracy_sum"], b["own_accuracy_sum"]) == pytest.approx((0.7, 0.1))
    assert math.isnan(a["accuracy_harness"])
    assert a["majority_accuracy"] == 0.5


def test_a_field_of_real_text_asks_for_its_folder(tmp_path: Path) -> None:
    data = {**FIELD.data, "fl": {**LEARNING, "tasks": {"folder": "tasks"}}}
    field, rows = replace(FIELD, data=data), Rows(tmp_path / "small.csv")
    with pytest.raises(ScenarioError, match=r"field-small\.yaml: .* --tasks FOLDER"):
        study.complete(field, [], rows, rows, tmp_path, jobs=1, only_tune=False)


def test_what_changes_the_runs_changes_their_key() -> None:
    lora = entry("lora", 1e-3)
    unit = Unit(FIELD, lora, 1e-3, tuning=True)
    other_field = replace(FIELD, data={**FIELD.data, "fl": {"rounds": 3}})
    others = [
        replace(unit, tuning=False), replace(unit, learning_rate=2e-3),
        replace(unit, field=other_field), replace(unit, entry=replace(lora, method={"rank": 4})),
        replace(unit, entry=replace(lora, fields={"small": {"rounds": 2}})),
    ]  # fmt: skip
    assert len({each.key() for each in (unit, *others)}) == len(others) + 1
    more_seeds = replace(FIELD, data={**FIELD.data, "repeat": 9})
    assert replace(unit, field=more_seeds).key() == unit.key()
    assert set(DEVELOPMENT).isdisjoint(FIELD.seeds)


def test_missing_runs_are_those_of_the_report_once_a_rate_is_chosen(tmp_path: Path) -> None:
    rows, lora = Rows(tmp_path / "small.csv"), entry("lora", 1e-3, 2e-3, 5e-3)
    tune(rows, lora, {1e-3: 0.3, 2e-3: 0.5, 5e-3: 0.4})
    (unit, _), *others = study.missing(FIELD, lora, rows)
    assert [each for each, _ in others] == [unit, unit]
    assert (unit.learning_rate, unit.tuning) == (2e-3, False)
    assert study.missing(FIELD, lora, rows, only_tune=True) == []
    add(rows, unit, {5: 0.5, 6: 0.5})
    assert study.missing(FIELD, lora, rows) == [(unit, 7)]
    add(rows, unit, {7: 0.5})
    assert study.missing(FIELD, lora, rows) == []


def test_holm_by_hand() -> None:
    """Law: the k-th smallest of n is multiplied by n - k + 1, and none falls below one before."""
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.7]) == [1.0, 1.0]
    found = holm([0.01, math.nan])
    assert found[0] == 0.01
    assert math.isnan(found[1])


def test_p_values_are_those_of_the_paired_test() -> None:
    ours, theirs = {1: 0.9, 2: 0.8, 3: 0.95}, {1: 0.7, 2: 0.75, 3: 0.8, 4: 0.1}
    differences = [0.2, 0.05, 0.15]
    assert p_value(ours, theirs) == pytest.approx(stats.ttest_1samp(differences, 0.0).pvalue)
    assert p_value(ours, ours) == 1.0
    assert math.isnan(p_value({1: 0.5}, theirs))


def test_a_front_by_hand() -> None:
    costs, gains = [1.0, 2.0, 2.0, 3.0, 0.5], [0.5, 0.9, 0.9, 0.8, 0.1]
    assert front(costs, gains) == [True, True, True, False, True]


def test_the_page_has_differences_targets_and_fronts(tmp_path: Path) -> None:
    """Law: 10 points ahead on each seed, within rounding; half the bytes; nobody beats a front."""
    rows = Rows(tmp_path / "results" / "small.csv")
    known = [entry("lora", 1e-3, 2e-3, 5e-3), entry("better", 1e-3, 2e-3, 5e-3)]
    for of, gain, sent in zip(known, (0.0, 0.1), (1e9, 5e8), strict=True):
        tune(rows, of, {1e-3: 0.3, 2e-3: 0.5, 5e-3: 0.4})
        seeds = {5: 0.5 + gain, 6: 0.4 + 1.01 * gain, 7: 0.6 + 0.99 * gain}
        add(rows, Unit(FIELD, of, 2e-3, tuning=False), seeds, sent)
    bound = replace(entry("oracle", 1e-3, 2e-3, 5e-3), bound=True)
    tune(rows, bound, {1e-3: 0.3, 2e-3: 0.5, 5e-3: 0.4})
    add(rows, Unit(FIELD, bound, 2e-3, tuning=False), {5: 0.9, 6: 0.9, 7: 0.9}, 1e8)
    best, second, last = page.reported(FIELD, [*known, bound], rows)
    assert [line.entry.name for line in (best, second, last)] == ["oracle", "better", "lora"]
    assert second.difference.mean == pytest.approx(10.0)
    assert second.significant
    page.write([FIELD], [], [*known, bound], tmp_path, tmp_path / "docs")
    text = (tmp_path / "docs" / "methods-compared.md").read_text()
    (line,) = (line for line in text.splitlines() if line.startswith("| better"))
    cells = [cell.strip() for cell in line.strip("|").split("|")]
    assert cells[1:3] == ["0.002", "60.0 ± 24.6"]
    assert cells[4:6] == ["+10.0 ± 0.2 *", "0.5"]
    assert cells[8:10] == ["all", "--"]  # lora does not reach it on each seed
    assert cells[-1] == "B, s"
    assert "| oracle (bound) |" in text
    assert (tmp_path / "docs" / "pictures" / "methods-small.png").stat().st_size > 10_000
    assert "most frequent answer" not in text
    # With real text there is a table by task: here 40 % by the mean rule and 30 % by the sum.
    unit = Unit(FIELD, known[0], 2e-3, tuning=False)
    accuracies = {"accuracy": 0.4, "accuracy_mean": 0.4, "accuracy_sum": 0.3}
    of_tasks = pd.DataFrame(
        [
            {"round": number, "task": "a", "own_task": True, "majority_accuracy": 0.25}
            | {name: value * (number > 0) for name, value in accuracies.items()}
            for number in (0, 3)
        ]
    )
    kept = tasks_of_field(FIELD, tmp_path)
    for seed in FIELD.seeds:
        kept.add(by_task(unit, seed, of_tasks))
    page.write([FIELD], [], known, tmp_path, tmp_path / "docs")
    lines = (tmp_path / "docs" / "methods-compared.md").read_text().splitlines()
    assert "| method | a, mean | a, summed |" in lines
    assert "| most frequent answer | 25.0 ± 0.0 | 25.0 ± 0.0 |" in lines
    assert "| untrained | 0.0 ± 0.0 | 0.0 ± 0.0 |" in lines
    assert "| lora | 40.0 ± 0.0 | 30.0 ± 0.0 |" in lines


def test_the_page_tells_the_place_of_our_method(tmp_path: Path) -> None:
    """Law: ratios and differences over the seeds that both have, and who is ahead in both."""
    rows = Rows(tmp_path / "results" / "small.csv")
    known = [entry(name, 1e-3, 2e-3, 5e-3) for name in ("lora", OURS[0], "ahead", "costly")]
    known[0] = replace(known[0], repeats={"small": 5})
    gains, sizes = (0.0, 0.1, 0.2, 0.3), (1e9, 4e8, 2e8, 9e8)
    for of, gain, sent in zip(known, gains, sizes, strict=True):
        tune(rows, of, {1e-3: 0.3, 2e-3: 0.5, 5e-3: 0.4})
        unit = Unit(FIELD, of, 2e-3, tuning=False)
        add(rows, unit, dict.fromkeys(FIELD.seeds, 0.5 + gain), sent)
    # Seeds that one of them lacks do not count.
    add(rows, study.report(FIELD, known[0], rows), {8: 0.1, 9: 0.1}, 3e9)
    page.write([FIELD], [], known, tmp_path, tmp_path / "docs")
    text = (tmp_path / "docs" / "methods-compared.md").read_text()
    assert (
        f"**{OURS[0]}**, this project's method, against lora on 3 seeds: +10.0 ± 0.0 points, with "
        "0.400 ± 0.000 of its bytes and 1.000 ± 0.000 of its time. ahead has both fewer bytes and "
        "a higher accuracy."
    ) in text
    (line,) = (line for line in text.splitlines() if line.startswith(f"| {OURS[0]} |"))
    assert [cell.strip() for cell in line.strip("|").split("|")][5] == "0.4"


def test_a_condition_has_rates_of_its_field_and_a_table(tmp_path: Path) -> None:
    """Law: 30 points less on each seed, half of the bytes."""
    weak = Condition(FIELD, ("lora",), {"devices.tx_power_dbm": 3})
    changed = replace(FIELD, name="weak-channel", description="Weaker.", condition=weak)
    changed = replace(changed, data={**FIELD.data, "repeat": 2})
    rows = Rows(tmp_path / "results" / "small.csv")
    lora, other = entry("lora", 1e-3, 2e-3, 5e-3), entry("other", 1e-3, 2e-3, 5e-3)
    assert [each.runs_in(changed) for each in (lora, other)] == [True, False]
    assert all(unit.tuning for unit, _ in study.missing(changed, lora, rows))
    for each in (lora, other):
        tune(rows, each, {1e-3: 0.3, 2e-3: 0.5, 5e-3: 0.4})
        add(rows, study.report(FIELD, each, rows), {5: 0.5, 6: 0.7, 7: 0.6})
    unit = study.report(changed, lora, rows)
    assert study.missing(changed, lora, rows) == [(unit, 5), (unit, 6)]
    assert unit.learning_rate == 2e-3
    assert unit.settings()["devices.tx_power_dbm"] == 3
    page.write([FIELD], [changed], [lora, other], tmp_path, tmp_path / "docs")
    assert "weak channel" not in (tmp_path / "docs" / "methods-compared.md").read_text()
    add(rows, unit, {5: 0.2, 6: 0.4}, 5e8)
    page.write([FIELD], [changed], [lora, other], tmp_path, tmp_path / "docs")
    text = (tmp_path / "docs" / "methods-compared.md").read_text()
    table = text.partition("### Small, weak channel")[2]
    assert "| lora | 30.0 ± 127.1 | 60.0 ± 127.1 | -30.0 ± 0.0 | 15.0" in table
    assert "| 0.5 | 1 |" in table
    assert "| other |" not in table
    # Its runs are in the table of its field, and leave the field's own alone.
    assert len(Rows(rows.path).of(study.report(FIELD, lora, rows))) == 3


def test_rows_survive_their_file(tmp_path: Path) -> None:
    rows, lora = Rows(tmp_path / "small.csv"), entry("lora", 1e-3)
    unit = Unit(FIELD, lora, 1e-3, tuning=True)
    add(rows, unit, {901: 0.1234567, 902: 0.5})
    add(rows, unit, {901: 0.25})
    kept = Rows(tmp_path / "small.csv").of(unit)
    assert kept["accuracy_all_tasks"].tolist() == [0.25, 0.5]
    pd.testing.assert_frame_equal(kept, rows.of(unit), check_dtype=False)


@pytest.mark.parametrize("name", sorted(entries(fields())))
def test_entries_are_valid_in_all_their_fields(name: str) -> None:
    known = fields()
    method = entries(known)[name]
    for field in method.fields:
        assert set(method.grid(known[field])) <= set(LADDER)
        unit = Unit(known[field], method, method.learning_rates[0], tuning=True)
        settings = unit.settings() | {"repeat": 1}
        if known[field].needs_tasks:  # real text and a real model, which are not at hand here
            settings |= {"fl.tasks": ["home", "topic", "total"], "fl.model": "tiny"}
        plan = load(known[field].path, settings=settings)
        assert [run.scenario.fl.evaluate_on for run in plan if run.scenario.fl] == ["validation"]


@pytest.mark.parametrize("name", sorted(conditions(fields(), entries(fields()))))
def test_conditions_are_valid_for_all_their_methods(name: str) -> None:
    methods = entries(fields())
    changed = conditions(fields(), methods)[name]
    assert changed.condition is not None
    for each in changed.condition.methods:
        assert methods[each].runs_in(changed)
        unit = Unit(changed, methods[each], 1e-3, tuning=False)
        plain = Unit(changed.tuned, methods[each], 1e-3, tuning=False)
        assert unit.key() != plain.key()
        assert len(load(changed.path, settings=unit.settings() | {"repeat": 1})) == 1


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("field: decentralised\n", "needs the keys changes, field, methods, repeat"),
        ("{field: no, repeat: 3, methods: [], changes: {}}\n", "no field 'no'"),
        ("{field: text, repeat: 3, methods: [no], changes: {}}\n", "no method 'no'"),
        (
            "{field: server, repeat: 3, methods: [decaf], changes: {}}\n",
            "decaf is not defined in the field server",
        ),
    ],
)
def test_a_wrong_condition_is_named(text: str, complaint: str, tmp_path: Path) -> None:
    (tmp_path / "condition-odd.yaml").write_text(text)
    with pytest.raises(ScenarioError, match=rf"condition-odd\.yaml: .*{complaint}"):
        conditions(fields(), entries(fields()), tmp_path)


def test_a_wrong_entry_is_named(tmp_path: Path) -> None:
    (tmp_path / "methods").mkdir()
    (tmp_path / "methods" / "odd.yaml").write_text("method: {model: lora}\nrates: [1]\n")
    with pytest.raises(ScenarioError, match=r"methods/odd\.yaml: needs the keys"):
        entries({}, tmp_path)
    whole = (HERE / "methods" / "lora.yaml").read_text()
    (tmp_path / "methods" / "odd.yaml").write_text(whole)
    with pytest.raises(ScenarioError, match="no field 'decentralised'"):
        entries({}, tmp_path)


def test_runs_end_with_the_command_that_is_killed() -> None:
    text = (
        "import os, time\n"
        "from comparison.study import workers\n"
        "with workers(1) as pool:\n"
        "    print(pool.submit(os.getpid).result(), flush=True)\n"
        "    pool.submit(time.sleep, 600).result()\n"
    )
    root = Path(__file__).parent.parent
    command = [sys.executable, "-c", text]
    with subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        worker = int(process.stdout.readline())
        process.kill()
    state = Path(f"/proc/{worker}/stat")
    until = time.monotonic() + 30
    while state.exists() and state.read_text().rpartition(")")[2].split()[0] not in "ZX":
        assert time.monotonic() < until
        time.sleep(0.05)


def test_further_seeds_count_together_or_not_at_all(tmp_path: Path) -> None:
    """How many seeds a method is reported with does not depend on what they show."""
    rows, other = Rows(tmp_path / "small.csv"), entry("other", 2e-3, 5e-3, 1e-2)
    lora = replace(entry("lora", 2e-3, 5e-3, 1e-2), repeats={"small": 6})
    for each in (lora, other):
        tune(rows, each, {2e-3: 0.4, 5e-3: 0.6, 1e-2: 0.5})
        add(rows, study.report(FIELD, each, rows), {5: 0.5, 6: 0.6, 7: 0.7})
    assert [seed for _, seed in study.missing(FIELD, lora, rows)] == [8, 9, 10]
    add(rows, study.report(FIELD, lora, rows), {8: 0.9, 9: 0.9})
    lines = {line.entry.name: line for line in page.reported(FIELD, [lora, other], rows)}
    assert list(lines["lora"].runs.index) == [5, 6, 7]
    add(rows, study.report(FIELD, lora, rows), {10: 0.9})
    lines = {line.entry.name: line for line in page.reported(FIELD, [lora, other], rows)}
    assert list(lines["lora"].runs.index) == [5, 6, 7, 8, 9, 10]
    assert list(lines["other"].runs.index) == [5, 6, 7]
    assert lines["other"].difference.n == 3
    assert study.missing(FIELD, lora, rows) == []
