"""Figures from a folder of results alone: the numbers plotted, all kinds of labels, no data."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pandas as pd
import pytest

from wnsim.figures import draw

TRANSFERS = "round,source,target,size_bytes,delivered,latency_s\n"


def make_run(
    results: Path, label: str, seed: int, accuracies: list[float], transfers: str = ""
) -> str:
    """Write a complete run by hand; accuracies are those of rounds 0, 1, ..."""
    folder = results / f"run{len(list(results.glob('run*')))}"
    folder.mkdir(parents=True)
    manifest = {"scenario": "s", "variant": label, "swept": {}, "seed": seed, "sizes": "actual"}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    rows = [f"{n},{10.0 * n},0,t,True,{a}" for n, a in enumerate(accuracies)]
    (folder / "evaluations.csv").write_text(
        "\n".join(["round,time_s,device,task,own,accuracy", *rows]) + "\n"
    )
    (folder / "transfers.csv").write_text(TRANSFERS + transfers)
    return folder.name


def test_band_is_student_s_interval_of_the_runs_that_came_so_far(tmp_path: Path) -> None:
    runs = [
        make_run(tmp_path, "a", seed, accuracies)
        for seed, accuracies in enumerate([[0.1, 0.2, 0.9], [0.1, 0.4], [0.1, 0.6]])
    ]
    draw(tmp_path, runs)
    plotted = pd.read_csv(tmp_path / "figures" / "accuracy.csv")
    curve = plotted[plotted["tasks"] == "all"].set_index("round")
    assert curve["accuracy"].tolist() == pytest.approx([0.1, 0.4, 0.9])
    # Deviation 0.2 of three values, and the 97.5 % quantile of Student's t with 2 degrees: 4.303.
    half = 4.302653 * 0.2 / 3**0.5
    assert curve.loc[1, "low"] == pytest.approx(0.4 - half, abs=1e-6)
    assert curve.loc[1, "high"] == pytest.approx(0.4 + half, abs=1e-6)
    assert curve.loc[0, "low"] == pytest.approx(0.1)
    assert pd.isna(curve.loc[2, "low"])


def test_latency_counts_what_never_arrives(tmp_path: Path) -> None:
    rows = "1,0,1,10,True,2.0\n1,1,0,10,False,5.0\n1,0,1,10,True,1.0\n1,1,0,10,True,3.0\n"
    draw(tmp_path, [make_run(tmp_path, "a", 1, [0.0], rows)])
    plotted = pd.read_csv(tmp_path / "figures" / "latency.csv")
    assert plotted["latency_s"].tolist() == [1.0, 2.0, 3.0]
    assert plotted["share_of_messages"].tolist() == [0.25, 0.5, 0.75]


@pytest.mark.parametrize(
    "labels",
    [
        ["$\\foo$", "cost $5 and $6", "_a", "<script>"],
        ["a very long label that says in many words what was changed in this variant"] * 1,
        [f"variant number {n}" for n in range(9)],
        ["x"],
    ],
)
def test_any_label_makes_a_figure_of_the_right_width(tmp_path: Path, labels: list[str]) -> None:
    """pytest turns every warning into an error: of layouts that collapse, of missing letters."""
    rows = "1,0,1,10,True,2.0\n1,1,0,10,True,5.0\n"
    runs = [make_run(tmp_path, label, 1, [0.0, 0.5], rows) for label in labels]
    for path in draw(tmp_path, runs):
        pdf = path.read_bytes()
        (box,) = re.findall(rb"/MediaBox \[ ?([\d. ]+)\]", pdf)
        assert [float(number) for number in box.split()][:3] == [0, 0, 252]
        assert b"/Type3" not in pdf


def test_runs_without_messages_have_no_latency_figure(tmp_path: Path) -> None:
    drawn = draw(tmp_path, [make_run(tmp_path, "local", 1, [0.0, 0.5])])
    assert [path.name for path in drawn] == ["accuracy.pdf"]
