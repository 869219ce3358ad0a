"""The scripts that make the result tables of the documentation, on folders with known numbers."""

from __future__ import annotations

import csv
import json
import math
import runpy
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from results_writers import MANIFEST, write_run, write_table
from scipy import stats

PLOTS = Path(__file__).parent.parent / "plots"


def write(
    results: Path,
    variant: str,
    seed: int,
    *,
    metrics: Mapping[str, float] | None = None,
    accuracies: Sequence[tuple[int, str, bool, float]] = (),
    updates: Sequence[int] = (),
    controls: Sequence[int] = (),
    swept: Mapping[str, object] | None = None,
    groups: Sequence[tuple[int, float, float, float]] = (),
) -> None:
    """Write a run: devices' accuracies, sizes of messages, metrics, and groups at the end."""
    swept = dict(swept or {})
    name = f"{variant},{'-'.join(map(str, swept.values()))},{seed}"
    folder = results / name
    folder.mkdir(parents=True)
    facts = {"scenario": "made", "variant": variant, "seed": seed, "swept": swept}
    (folder / "manifest.json").write_text(json.dumps(MANIFEST | facts), "utf-8")
    write_table(
        folder / "evaluations.csv",
        "round time_s device task own_task accuracy",
        [(r, r, d, task, own, share * r) for r in (0, 1) for d, task, own, share in accuracies],
    )
    write_table(
        folder / "transfers.csv",
        "kind size_bytes",
        [("update", size) for size in updates] + [("control", size) for size in controls],
    )
    write_table(
        folder / "clusters.csv",
        "round devices expected_collision_rate collision_rate collision_rate_active",
        [(0, 9, 9.0, 9.0, 9.0), *((1, *group) for group in groups)],
    )
    path = results / "summary.csv"
    with path.open("a", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        if file.tell() == 0:
            writer.writerow(["run", "variant", "seed", *swept, "metric", "value"])
        for metric, value in (metrics or {"x": 0.0}).items():
            writer.writerow([name, variant, seed, *swept.values(), metric, value])


def made(
    script: str,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    *others: Path,
) -> tuple[dict[str, list[str]], list[str]]:
    """Run a script; return the rows of its table by their first cell, and what it prints."""
    monkeypatch.setattr(sys, "argv", [script, str(folder), *map(str, others)])
    monkeypatch.syspath_prepend(str(PLOTS))
    runpy.run_path(str(PLOTS / script), run_name="__main__")
    (path,) = (folder / "tables").glob("*.csv")
    assert path.with_suffix(".tex").is_file()
    with path.open(newline="", encoding="utf-8") as file:
        _, *rows = csv.reader(file)
    return {row[0]: row[1:] for row in rows}, capsys.readouterr().out.splitlines()


def half(values: Sequence[float]) -> float:
    """Return half of a 95 % interval of a mean."""
    deviation = math.sqrt(sum((x - sum(values) / len(values)) ** 2 for x in values))
    deviation /= math.sqrt(len(values) - 1)
    return float(stats.t.ppf(0.975, len(values) - 1)) * deviation / math.sqrt(len(values))


def test_fair_compares_seeds_that_both_have(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Accuracies are 0.8 and 0.01 a seed, or 0.9; seed 4 has ten times the bytes of others."""
    sizes = {"lora": 1000.0, "one-shot": 40.0, "lora gate": 1010.0, "so-lora-plus": 50.0}
    accuracy = {"lora": 0.8, "one-shot": 0.8, "lora gate": 0.9, "so-lora-plus": 0.9}
    seeds = {"lora": (1, 2, 3), "one-shot": (1, 2, 3, 4), "so-lora-plus": (1, 2, 3, 4, 5)}
    for variant in ("lora", "lora gate", "one-shot", "so-lora-plus"):
        for seed in seeds.get(variant, (1, 2, 3)):
            share = accuracy[variant] + 0.01 * seed * (accuracy[variant] == 0.8)
            found = {
                "accuracy_all_tasks": share,
                "accuracy_own_task": share,
                "offered_bytes": sizes[variant] * (10.0 if seed == 4 else 1.0),
            }
            write(tmp_path, variant, seed, metrics=found)
    by_method, lines = made("fair.py", tmp_path, monkeypatch, capsys)
    of_lora, of_one = half([0.0, 1.0, 2.0]), half([0.0, 1.0, 2.0, 3.0])
    assert by_method["lora"] == [
        "3", f"82.0 ± {of_lora:.1f}", f"82.0 ± {of_lora:.1f}", f"+8.0 ± {of_lora:.1f}", "1.000",
    ]  # fmt: skip
    assert by_method["one-shot"][0] == "4"
    assert by_method["one-shot"][3:] == [f"+7.5 ± {of_one:.1f}", "0.040"]
    assert by_method["so-lora-plus"] == ["5", "90.0 ± 0.0", "90.0 ± 0.0", "--", "0.050"]
    verdicts = {line.split(": ")[0]: line.split(": ")[-1] for line in lines if "asked" in line}
    assert of_lora < 3
    assert verdicts["so-lora-plus - lora"] == "holds"
    assert verdicts["so-lora-plus - lora gate"] == "fails"
    assert verdicts["so-lora-plus - one-shot"] == "holds"
    assert verdicts["bytes of so-lora-plus / lora"] == "holds"


def test_fair_reports_when_the_best_of_lora_is_reached(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In means of three tests: lora has 0.6 at 30 s, so-lora-plus at 5 s, or never."""
    fair, urban = tmp_path / "fair", tmp_path / "urban"
    curves = {
        ("lora", 1): [(0, 0.0), (10, 0.3), (20, 0.6), (30, 0.9)],
        ("lora", 2): [(0, 0.0), (10, 0.3), (20, 0.6), (30, 0.9)],
        ("lora", 3): [(0, 0.0), (10, 0.3)],
        ("so-lora-plus", 1): [(0, 0.3), (2, 0.6), (5, 0.9), (7, 1.0)],
        ("so-lora-plus", 2): [(0, 0.0), (5, 0.1)],
    }
    for (variant, seed), curve in curves.items():
        for folder in (fair, urban):
            found = dict.fromkeys(("accuracy_all_tasks", "accuracy_own_task"), 0.5)
            write(folder, variant, seed, metrics=found | {"offered_bytes": 1.0})
        write_table(
            urban / f"{variant},,{seed}" / "evaluations.csv",
            "round time_s accuracy",
            [(number, *point) for number, point in enumerate(curve)],
        )
    _, lines = made("fair.py", fair, monkeypatch, capsys, urban)
    assert lines[-3:] == [
        "seed 1: lora is best, 0.600, at 30 s; so-lora-plus there: 5 s, 0.17 of it",
        "seed 2: lora is best, 0.600, at 30 s; so-lora-plus there: never",
        "within 0.2 of the time: 1 of 2 seeds",
    ]


def test_the_rate_of_the_highest_mean_is_chosen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without communication by each device's own task, otherwise by all tasks."""
    own = {0.001: 0.5, 0.002: 0.9, 0.005: 0.7}
    for variant, sent in (("alone", 0.0), ("shared", 9.0)):
        for rate, share in own.items():
            for seed in (1, 2):
                found = {
                    "accuracy_own_task": share,
                    "accuracy_all_tasks": 1.0 - share + 0.01 * seed,
                    "offered_bytes": sent,
                }
                swept = {"fl.method.learning_rate": rate}
                write(tmp_path, variant, seed, metrics=found, swept=swept)
    rows, _ = made("tuning.py", tmp_path, monkeypatch, capsys)
    assert rows["alone"] == ["50.0 ± 0.0", "90.0 ± 0.0", "70.0 ± 0.0", "0.002"]
    assert rows["shared"][-1] == "0.001 (end of the grid)"


@pytest.mark.parametrize("alone", [False, True])
def test_tables_of_the_paper(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    alone: bool,
) -> None:
    """Tasks count alike, though two devices have the first; alone, own tasks are all there are."""
    for variant, shares in (("lora", (0.2, 0.4, 0.8)), ("so-lora", (0.4, 0.6, 0.9))):
        for seed in (1, 2):
            rows = [
                (d, task, True, s) for d, (task, s) in enumerate(zip("aab", shares, strict=True))
            ]
            rows += [(9, "a", False, 0.0), (9, "b", False, 0.0)] if alone else []
            size = 100 if variant == "lora" else 27
            sent = {} if alone else {"updates": [size, size], "controls": [size]}
            write(tmp_path, variant, seed, accuracies=rows, **sent)
    table, _ = made("paper_table.py", tmp_path, monkeypatch, capsys)
    zero = " ± 0.0"
    assert table["lora"][:4] == [f"30.0{zero}", f"80.0{zero}", f"55.0{zero}", "--"]
    assert table["so-lora"][:4] == [f"50.0{zero}", f"90.0{zero}", f"70.0{zero}", f"+15.0{zero}"]
    paper = ["79.37", "88.93"] if alone else ["0.27", "0.27", "78.00", "87.39", "0.134"]
    assert table["so-lora"][4:] == paper
    assert (tmp_path / "tables" / f"table{1 + alone}.csv").is_file()
    # The first evaluation is of no correct answer; the runs know nothing of constant ones.
    assert table["without training"][:4] == [f"0.0{zero}"] * 3 + ["--"]
    assert set(table["best constant answer"]) == {"--"}


def test_summed_likelihoods_stand_beside_the_rule_where_all_tasks_have_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for seed in (1, 2):
        write(tmp_path, "lora", seed, accuracies=[(0, "a", True, 0.5)], updates=[100])
    for path in tmp_path.glob("*/evaluations.csv"):
        head, *rows = path.read_text().splitlines()
        lines = [f"{head},accuracy_sum,majority_accuracy", *(f"{row},0.75,0.25" for row in rows)]
        path.write_text("\n".join(lines) + "\n")
    table, _ = made("paper_table.py", tmp_path, monkeypatch, capsys)
    assert table["lora"][:4] == ["50.0 ± 0.0", "50.0 ± 0.0", "--", "75.0 ± 0.0"]
    assert table["best constant answer"][:2] == ["25.0 ± 0.0"] * 2


def test_collisions_weigh_clusters_by_their_devices(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    groups = [(3, 0.4, 0.2, 0.6), (1, 0.0, 0.0, 0.0)]
    for seed in (1, 2):
        write(tmp_path, "so-lora", seed, swept={"fl.method.density": 0.5}, groups=groups)
    rows, _ = made("paper_collision.py", tmp_path, monkeypatch, capsys)
    zero = " ± 0.00"
    assert rows["so-lora"] == [
        "0.5", "2.0 ± 0.0", "3.0 ± 0.0", f"30.00{zero}", f"15.00{zero}", f"45.00{zero}",
    ]  # fmt: skip


def test_convergence_counts_the_runs_that_came_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for seed, reached in ((1, 1.0), (2, 1.0), (3, 0.0)):
        run = write_run(tmp_path, "lora", seed)
        with (tmp_path / "summary.csv").open("a", encoding="utf-8") as file:
            file.write(f"{run},lora,{seed},reached_0.8,{reached}\n")
            if reached:
                file.write(f"{run},lora,{seed},time_to_0.8_s,{100 * seed}\n")
                file.write(f"{run},lora,{seed},bytes_to_0.8,{seed}e9\n")
    rows, lines = made("paper_convergence.py", tmp_path, monkeypatch, capsys)
    assert rows["lora"][1:] == [
        "2 of 3", f"150 ± {half([100.0, 200.0]):.0f}", f"1.50 ± {half([1.0, 2.0]):.2f}",
    ]  # fmt: skip
    assert str(tmp_path / "figures" / "accuracy-rounds.pdf") in lines
