"""Sweeps: the variants of a scenario, and their comparison."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wnsim.scenario.__main__ import main
from wnsim.scenario.errors import ScenarioError
from wnsim.scenario.spec.plan import only, plan
from wnsim.scenario.spec.schema import json_schema
from wnsim.scenario.summary.comparison import aggregate, lines, table
from wnsim.storage import records

BASE = "name: s\ndevices: {count: 4}\ntraffic: {size_bytes: 1000, rounds: 1}\n"
VARIANTS = "variants: [{label: a}, {label: b, radio: {frequency_hz: 5e9}}]\n"


def write(folder: Path, text: str) -> str:
    path = folder / "s.yaml"
    path.write_text(text)
    return str(path)


def test_zipped_lists_go_together_and_are_crossed_with_all_else(tmp_path: Path) -> None:
    text = BASE + VARIANTS + (
        "repeat: 2\n"
        "sweep: {devices.count: [3, 4]}\n"
        "zip:\n"
        "  - {radio.bandwidth_hz: [10e6, 20e6], devices.tx_power_dbm: [20, 23]}\n"
        "  - {traffic.rounds: [1, 2]}\n"
    )  # fmt: skip
    runs = plan(write(tmp_path, text))
    assert len(runs) == 2 * 2 * 2 * 2 * 2
    seen = {(run.scenario.radio.bandwidth_hz, run.scenario.devices.tx_power_dbm) for run in runs}
    assert seen == {(10e6, 20.0), (20e6, 23.0)}
    assert list(runs[0].swept) == [
        "devices.count", "radio.bandwidth_hz", "devices.tx_power_dbm", "traffic.rounds",
    ]  # fmt: skip
    assert runs[-1].swept == dict(zip(runs[0].swept, [4, 20e6, 23, 2], strict=True))
    assert len({json.dumps(run.swept) for run in runs}) == 8
    assert runs[0].folder == (
        "a,devices.count=3,radio.bandwidth_hz=10000000.0,devices.tx_power_dbm=20,"
        "traffic.rounds=1,seed=1"
    )


def test_one_group_needs_no_list(tmp_path: Path) -> None:
    text = BASE + "zip: {devices.count: [3, 4], traffic.rounds: [1, 2]}\n"
    runs = plan(write(tmp_path, text))
    assert [run.swept for run in runs] == [
        {"devices.count": 3, "traffic.rounds": 1}, {"devices.count": 4, "traffic.rounds": 2},
    ]  # fmt: skip
    with pytest.raises(ScenarioError, match=r"devices.count: is swept by the scenario"):
        plan(write(tmp_path, text), ["devices.count=9"])


BROKEN = {
    "lengths": (
        "zip: {devices.count: [3, 4], traffic.rounds: [1]}\n",
        r"s.yaml:4: zip: .* must be equally long, got devices.count: 2, traffic.rounds: 1",
    ),
    "lengths in a list": (
        "zip:\n  - {devices.count: [3]}\n  - {traffic.rounds: [1], seed: [1, 2]}\n",
        r"s.yaml:6: zip.1.seed: cannot be swept",
    ),
    "twice": (
        "sweep: {devices.count: [3]}\nzip: {devices.count: [4]}\n",
        r"s.yaml:5: devices.count: is swept twice, at .*s.yaml:4 too",
    ),
    "twice in groups": (
        "zip:\n  - {devices.count: [3]}\n  - {devices.count: [4]}\n",
        r"s.yaml:6: devices.count: is swept twice, at .*s.yaml:5 too",
    ),
    "no group": ("zip: 3\n", r"s.yaml:4: zip: must be keys with lists of values, got 3"),
    "an empty group": ("zip: [{}]\n", r"s.yaml:4: zip.0: must be keys with lists of values"),
    "no groups": ("zip: []\n", r"s.yaml:4: zip: must be groups of keys"),
    "no list": ("zip: {devices.count: 3}\n", r"s.yaml:4: zip.devices.count: must be a list"),
    "an unknown key": (
        "zip: {devices.cont: [3]}\n",
        r"s.yaml:4: devices.cont: unknown key; did you mean 'count'\?",
    ),
    "too many": (
        "sweep: {" + ", ".join(f"k{n}: [{', '.join(['1'] * 99)}]" for n in range(9)) + "}\n",
        r"s.yaml: a scenario has at most 100000 runs",
    ),
    "unknown baseline": (
        VARIANTS.replace("label: b", "label: lora") + "baseline: lra\n",
        r"s.yaml:5: baseline: must be the label of a variant, got 'lra'; did you mean 'lora'\?",
    ),
    "baseline without variants": (
        "baseline: lora\n",
        r"s.yaml:4: baseline: must be the label of a variant, got 'lora'; .* no variants",
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_what_is_wrong_is_said_in_one_sentence(
    case: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text, sentence = BROKEN[case]
    path = write(tmp_path, BASE + text)
    assert main(["--check", path]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    with pytest.raises(ScenarioError, match=sentence):
        plan(path)


def test_the_first_variant_is_the_baseline_unless_told(tmp_path: Path) -> None:
    assert {run.baseline for run in plan(write(tmp_path, BASE + VARIANTS))} == {"a"}
    assert {run.baseline for run in plan(write(tmp_path, BASE + VARIANTS + "baseline: b\n"))} == {
        "b"
    }
    (run,) = plan(write(tmp_path, BASE))
    assert run.baseline == ""


def test_the_schema_knows_the_keys_of_a_plan(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    validator = jsonschema.Draft202012Validator(json_schema())
    good = {"name": "a", "baseline": "a", "zip": {"devices.count": [1, 2]}}
    validator.validate(good)
    validator.validate(good | {"zip": [{"devices.count": [1, 2]}]})
    assert list(validator.iter_errors(good | {"zip": [{"devices.count": 1}]}))
    assert list(validator.iter_errors(good | {"baseline": 1}))
    text = BASE + VARIANTS + "baseline: b\nzip: {devices.count: [3, 4]}\n"
    assert main(["--check", write(tmp_path, text)]) == 0
    assert capsys.readouterr().out.count("# run ") == 4


def test_runs_are_chosen_by_name(tmp_path: Path) -> None:
    runs = plan(write(tmp_path, BASE + VARIANTS))
    assert only(runs, []) == runs
    assert only(runs, ["b,seed=1", "b,seed=1"]) == runs[1:]
    with pytest.raises(ScenarioError, match=r"--only b,sed=1: .*did you mean 'b,seed=1'\?"):
        only(runs, ["b,sed=1"])


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(0, 9) | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["devices.count", "traffic.rounds", "x"]), inner)
    ),
    max_leaves=8,
)


@settings(max_examples=100, deadline=None)
@given(key=st.sampled_from(["zip", "baseline", "sweep"]), value=VALUES)
def test_any_plan_has_runs_or_a_reason(
    tmp_path_factory: pytest.TempPathFactory, key: str, value: object
) -> None:
    path = write(tmp_path_factory.mktemp("plan"), BASE + f"{key}: {json.dumps(value)}\n")
    said = path
    try:
        assert plan(path)
    except ScenarioError as error:
        said = str(error)
    assert said.startswith(path)


def made(values: dict[str, list[dict[str, float]]], swept: dict[str, Any]) -> dict[str, Any]:
    """Return manifests and metrics of runs by name: seed 1 is the first of each variant."""
    return {
        f"{variant},{swept},{seed}": ({"variant": variant, "swept": swept, "seed": seed}, metrics)
        for variant, runs in values.items()
        for seed, metrics in enumerate(runs, 1)
    }


def test_variants_are_compared_in_pairs_of_equal_seeds_and_values(tmp_path: Path) -> None:
    low = made({
        "a": [{"accuracy_all_tasks": 0.5, "t": 1}, {"accuracy_all_tasks": 0.7, "t": 3}],
        "b": [{"accuracy_all_tasks": 0.8, "t": 2}, {"accuracy_all_tasks": 0.9, "t": math.nan}],
    }, {"x": 1})  # fmt: skip
    high = made({"b": [{"accuracy_all_tasks": 0.1}]}, {"x": 2})
    runs = low | high
    compared = lines(
        {name: run[0] for name, run in runs.items()}, {name: run[1] for name, run in runs.items()}
    )
    records.write_table(tmp_path / "aggregate.csv", aggregate(compared, "a"))
    with (tmp_path / "aggregate.csv").open(newline="") as file:
        found = list(csv.DictReader(file))
    assert list(found[0]) == [
        "variant", "x", "metric", "n", "mean", "low", "high", "baseline", "pairs", "difference",
        "difference_low", "difference_high",
    ]  # fmt: skip
    by_line = {(row["variant"], row["x"], row["metric"]): row for row in found}
    a, b = by_line["a", "1", "accuracy_all_tasks"], by_line["b", "1", "accuracy_all_tasks"]
    assert (a["n"], a["mean"], a["baseline"], a["pairs"], a["difference"]) == (
        "2",
        "0.6",
        "",
        "",
        "",
    )
    # Student's t with one degree of freedom: 12.7062; deviations 0.1 and 0.05 of each mean.
    assert float(a["high"]) == pytest.approx(0.6 + 12.7062 * 0.1, abs=1e-4)
    assert (b["baseline"], b["pairs"], b["difference"]) == ("a", "2", "0.25")
    assert float(b["difference_low"]) == pytest.approx(0.25 - 12.7062 * 0.05, abs=1e-4)
    censored = by_line["b", "1", "t"]
    assert (censored["n"], censored["pairs"], censored["difference"]) == ("1", "1", "1.0")
    assert censored["difference_low"] == ""
    alone = by_line["b", "2", "accuracy_all_tasks"]
    assert (alone["baseline"], alone["pairs"], alone["difference"]) == ("a", "0", "")
    assert (alone["n"], alone["low"]) == ("1", "")


def test_the_table_for_papers_has_a_row_for_each_line() -> None:
    runs = made({
        "a_1": [
            {"accuracy_all_tasks": 0.8, "offered_bytes": 18_000_000, "latency_median_s": 0.02},
            {"accuracy_all_tasks": 0.82, "offered_bytes": 18_000_000, "latency_median_s": 0.03},
        ],
        "50 %": [
            {"accuracy_all_tasks": 0.9, "offered_bytes": 900_000, "latency_median_s": math.nan},
            {"accuracy_all_tasks": 0.91, "offered_bytes": 900_000, "latency_median_s": math.nan},
        ],
    }, {})  # fmt: skip
    compared = lines(
        {name: run[0] for name, run in runs.items()}, {name: run[1] for name, run in runs.items()}
    )
    planned = {("a_1", "{}"): 2, ("50 %", "{}"): 3}
    source = table(compared, "a_1", planned, "5 planned: 4 finished, 1 diverged")
    assert "% Runs 5 planned: 4 finished, 1 diverged.\n" in source
    assert r"\begin{tabular}{lrrrrr}" in source
    assert (
        r"Variant & Runs & Accuracy, all tasks & Offered [MB] & Median latency [ms] & "
        r"Difference to a\_1 \\" in source
    )
    assert r"a\_1 & 2 & $0.810 \pm 0.127$ & $18.00 \pm 0.00$ & $25.0 \pm 63.5$ & -- \\" in source
    assert (
        r"50 \% & 2 of 3 & $0.905 \pm 0.064$ & $0.90 \pm 0.00$ & -- & $0.095 \pm 0.064$ \\"
        in source
    )
    assert table(compared[:1], "a_1", planned, "").count("Difference to") == 0


def test_unequal_numbers_of_runs_are_beside_the_means() -> None:
    one = {"accuracy_all_tasks": 0.5, "offered_bytes": 1_000_000}
    runs = made({"a": [one, one, one], "b": [one, one | {"accuracy_all_tasks": math.nan}]}, {})
    compared = lines(
        {name: run[0] for name, run in runs.items()}, {name: run[1] for name, run in runs.items()}
    )
    source = table(compared, "a", {}, "")
    assert r"a & 3 & $0.500 \pm 0.000$ ($n = 3$) & $1.00 \pm 0.00$ ($n = 3$)" in source
    assert r"b & 2 & $0.500$ ($n = 1$) & $1.00 \pm 0.00$ ($n = 2$)" in source
