"""Figures from a results folder alone: the plotted numbers, all kinds of labels, missing data."""

from __future__ import annotations

import json
import re
from pathlib import Path

import matplotlib as mpl
import pandas as pd
import pytest
from matplotlib.figure import Figure

from wnsim.core.transfer import LOST_REASONS
from wnsim.figures import FIGURES, PAGE_WIDTH_IN, STYLE, FigureOptions, draw, read_lines
from wnsim.metrics.delivery import on_air

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
        "\n".join(["round,time_s,device,task,own_task,accuracy", *rows]) + "\n"
    )
    (folder / "transfers.csv").write_text(TRANSFERS + transfers)
    return folder.name


@pytest.mark.usefixtures("svg_only")
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


@pytest.mark.usefixtures("svg_only")
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
    """pytest turns warnings into errors: collapsed layouts and missing glyphs are found."""
    rows = "1,0,1,10,True,2.0\n1,1,0,10,True,5.0\n"
    runs = [make_run(tmp_path, label, 1, [0.0, 0.5], rows) for label in labels]
    for path in draw(tmp_path, runs):
        pdf = path.read_bytes()
        (box,) = re.findall(rb"/MediaBox \[ ?([\d. ]+)\]", pdf)
        assert [float(number) for number in box.split()][:3] == [0, 0, 252]
        assert b"/Type3" not in pdf


@pytest.mark.usefixtures("svg_only")
def test_runs_without_messages_have_no_latency_figure(tmp_path: Path) -> None:
    drawn = draw(tmp_path, [make_run(tmp_path, "local", 1, [0.0, 0.5])])
    assert [path.stem for path in drawn] == ["accuracy", "accuracy-rounds", "tasks"]


PARTS_S = ("compute", "queue", "channel_access", "airtime", "retransmission", "backhaul", "waiting")
PARTS_BYTES = ("payload", "cluster_exchange", "control", "header", "retransmitted")
PARTS_J = ("tx", "rx", "idle", "compute")
METRICS = [
    *(f"round_{part}_s" for part in PARTS_S),
    *(f"{part}_bytes" for part in PARTS_BYTES),
    *(f"energy_{part}_j" for part in PARTS_J),
    "goodput_bps",
]
SHARES = {f"lost_{reason}_ratio": 0.0 for reason in LOST_REASONS} | {
    "delivery_ratio": 0.5,
    "late_ratio": 0.25,
    "loss_ratio": 0.25,
    "lost_departed_ratio": 0.15,
    "lost_battery_ratio": 0.1,
    **{
        f"lost_{reason}_ratio": 0.0
        for reason in LOST_REASONS
        if reason not in ("departed", "battery")
    },
    "messages": 263.0,
    "reached_0.5": 1.0,
    "time_to_0.5_s": 4.0,
    "targets_observed_s": 20.0,
}
MESSAGES = pd.DataFrame(
    {
        "round": [1, 1, 2, 2, 2],
        "source": ["a", "b", "c", "a", "b"],
        "target": ["b", "c", "server", "c", "a"],
        "started_s": [1.0, 2.0, 11.0, 15.0, 15.0],
        "kind": ["update", "cluster-exchange", "update", "control", "background"],
        "ended_s": [5.0, 10.0, 15.0, 19.0, 19.5],
        "size_bytes": [100, 100, 100, 10, 9000],
        "header_bytes": [10, 10, 10, 1, 90],
        "air_bytes": [110, 110, 110, 11, 9900],
        "carried_bytes": [110.0, 0.0, 55.0, 11.0, 9900.0],
        "blocks": [4, 3, 2, 1, 90],
        "failed_blocks": [2, 3, 1, 0, 0],
        "delivered": [True, False, False, True, True],
        "latency_s": [1.0, None, None, 2.0, 1.0],
    }
)


def make_full_run(results: Path, label: str, seed: int, tasks: int = 1, factor: float = 1) -> str:
    """Write a complete run of three evaluations with all its tables, and its metrics."""
    run = make_run(results, label, seed, [0.0])
    rows = [
        (number, 10.0 * number, 0, f"task {task}", task == 0, min(1.0, 0.3 * number + 0.02 * seed))
        for number in range(3)
        for task in range(tasks)
    ]
    columns = ["round", "time_s", "device", "task", "own_task", "accuracy"]
    pd.DataFrame(rows, columns=columns).to_csv(results / run / "evaluations.csv", index=False)
    messages = MESSAGES.assign(carried_bytes=factor * MESSAGES["carried_bytes"])
    messages.to_csv(results / run / "transfers.csv", index=False)
    pd.DataFrame(
        {
            "round": [1, 1, 2],
            "devices": [1, 3, 4],
            "expected_collision_rate": [0.0, 0.4, 0.2],
            "collision_rate": [0.1, 0.5, None],
        }
    ).to_csv(results / run / "clusters.csv", index=False)
    make_ways(results / run)
    summary = results / "summary.csv"
    values = {name: float(n + seed) for n, name in enumerate(METRICS)} | SHARES
    measured = pd.DataFrame({"run": run, "metric": list(values), "value": list(values.values())})
    measured.to_csv(summary, mode="a", header=not summary.is_file(), index=False)
    return run


def make_ways(folder: Path) -> None:
    """Write tables of three devices, one of which comes late, and a base station, over 20 s."""
    (folder / "devices.csv").write_text("device\na\nb\nc\n")
    (folder / "positions.csv").write_text(
        "time_s,device,x_m,y_m\n0.0,a,0,0\n0.0,b,100,0\n0.0,station-0,50,50\n"
        "10.0,a,10,20\n10.0,b,100,0\n10.0,c,0,80\n20.0,a,10,40\n20.0,b,100,0\n20.0,c,0,80\n"
    )
    (folder / "members.csv").write_text(
        "round,time_s,cluster,device\n1,0.0,0,a\n1,0.0,0,b\n2,10.0,0,a\n2,10.0,0,c\n2,10.0,1,b\n"
    )


def plotted(results: Path, name: str) -> pd.DataFrame:
    return pd.read_csv(results / "figures" / f"{name}.csv")


@pytest.mark.parametrize(("variants", "seeds"), [(1, 5), (3, 1), (9, 1), (9, 5)])
def test_all_figures_are_of_the_right_width(tmp_path: Path, variants: int, seeds: int) -> None:
    tasks = 7 if variants == 3 else 2
    names = ["lora", "W" * 60, "so-lora, fl.method.learning_rate=0.001", "_a $5 \\foo"]
    names += [f"variant number {n}" for n in range(5)]
    runs = [
        make_full_run(tmp_path, label, seed, tasks)
        for label in names[:variants]
        for seed in range(seeds)
    ]
    drawn = draw(tmp_path, runs)
    assert [path.stem for path in drawn] == [name for name in FIGURES if name != "swept"]
    for path in drawn:
        pdf = path.read_bytes()
        (box,) = re.findall(rb"/MediaBox \[ ?([\d. ]+)\]", pdf)
        wide = path.stem == "map" or (path.stem == "tasks" and tasks > 6)
        width = pytest.approx(72 * PAGE_WIDTH_IN) if wide else 252
        assert [float(number) for number in box.split()][:3] == [0, 0, width]
        assert b"/Type3" not in pdf
        assert path.with_suffix(".png").is_file()
        assert path.with_suffix(".svg").read_text("utf-8").startswith("<?xml")


@pytest.mark.usefixtures("svg_only")
def test_sums_have_the_interval_and_parts_the_means(tmp_path: Path) -> None:
    draw(tmp_path, [make_full_run(tmp_path, "a", seed) for seed in range(1, 4)])
    energy = plotted(tmp_path, "energy").set_index("part")
    first = METRICS.index("energy_tx_j")
    # Seeds 1, 2 and 3 are added to each part, so that its mean is 2 more.
    assert energy.loc[["transmission", "reception", "idle", "computation"], "mean"].tolist() == [
        first + n + 2 for n in range(4)
    ]
    # Sums of four parts differ by 4 from seed to seed.
    half = 4.302653 * 4 / 3**0.5
    assert energy.loc["sum", "mean"] == 4 * first + 6 + 8
    assert energy.loc["sum", "low"] == pytest.approx(4 * first + 14 - half, abs=1e-5)
    assert energy.loc["sum", "high"] == pytest.approx(4 * first + 14 + half, abs=1e-5)
    goodput = plotted(tmp_path, "goodput").set_index("metric")
    assert goodput.loc["goodput_bps", "mean"] == METRICS.index("goodput_bps") + 2


@pytest.mark.usefixtures("svg_only")
def test_bytes_are_those_on_the_air_by_each_evaluation(tmp_path: Path) -> None:
    draw(tmp_path, [make_full_run(tmp_path, "a", 1), make_full_run(tmp_path, "b", 1, factor=1000)])
    curves = plotted(tmp_path, "accuracy-bytes")
    curve = curves[(curves["line"] == "a") & (curves["tasks"] == "all")]
    # Arrived: 176 bytes in 4 blocks, which is also the size of blocks of the message without any.
    assert curve["on_air_bytes"].tolist() == [0.0, 220 + 3 * 44.0, 220 + 3 * 44.0 + 110 + 11]
    ours = MESSAGES[MESSAGES["kind"] != "background"]
    assert curve["on_air_bytes"].iloc[-1] == pytest.approx(on_air(ours)["on_air_bytes"])


@pytest.mark.usefixtures("svg_only")
def test_adapters_without_masks_have_no_figure_of_collisions(tmp_path: Path) -> None:
    run = make_full_run(tmp_path, "a", 1)
    path = tmp_path / run / "clusters.csv"
    for rate, drawn in ((1.0, False), (0.9, True)):
        columns = ["expected_collision_rate", "collision_rate"]
        pd.read_csv(path).assign(**dict.fromkeys(columns, rate)).to_csv(path, index=False)
        draw(tmp_path, [run], FigureOptions(only=("collisions",), formats=("svg",)))
        assert (tmp_path / "figures" / "collisions.svg").is_file() == drawn


def test_collisions_are_weighted_by_devices(tmp_path: Path) -> None:
    draw(tmp_path, [make_full_run(tmp_path, "a", 1)])
    shares = plotted(tmp_path, "collisions").set_index(["kind", "round"])["share"]
    assert shares["actual"].to_dict() == pytest.approx({1: 0.4})
    assert shares["expected"].to_dict() == pytest.approx({1: 0.3, 2: 0.2})


@pytest.mark.usefixtures("svg_only")
def test_tasks_are_those_of_the_last_evaluation(tmp_path: Path) -> None:
    draw(tmp_path, [make_full_run(tmp_path, "a", 1, tasks=12)])
    cells = plotted(tmp_path, "tasks")
    assert cells["task"].tolist() == [f"task {n}" for n in range(12)]
    assert cells["accuracy"].tolist() == pytest.approx([0.62] * 12)


def map_of(results: Path, run: str) -> pd.DataFrame | None:
    """Draw the map alone; return its numbers."""
    with mpl.rc_context(STYLE):
        figure = Figure()
        numbers = FIGURES["map"](figure, read_lines(results, [run]))
        if numbers is not None:
            figure.savefig(results / "map.pdf")
    return numbers


def test_map_shows_where_everybody_is_when_most_is_on_the_air(tmp_path: Path) -> None:
    rows = map_of(tmp_path, make_full_run(tmp_path, "a", 1))
    # In the first third of 20 s two messages overlap from 2 to 5 s; in the second, from 6.7 s on,
    # there is one until 10 s; in the last, from 13.3 s on, that to the server until 15 s: what is
    # background or control does not count.
    assert sorted(rows["time_s"].unique()) == pytest.approx([3.5, 25 / 3, 85 / 6])
    first = rows[rows["time_s"] == 3.5].set_index(["what", "name"])
    assert first.loc[("device", "a"), ["x_m", "y_m"]].tolist() == [3.5, 7.0]
    assert first.loc[("base station", "station-0"), ["x_m", "y_m"]].tolist() == [50, 50]
    # It comes at 10 s.
    assert ("device", "c") not in first.index
    messages = rows[rows["what"] == "message"]
    assert messages.groupby("time_s")["name"].agg("".join).tolist() == ["ab", "b", "c"]
    assert messages["delivered"].tolist() == [True, False, False, False]
    # The server is where the first station is.
    assert messages.iloc[-1][["to", "to_x_m", "to_y_m"]].tolist() == ["server", 50, 50]
    last = rows[rows["time_s"] > 10].set_index("name")
    assert last.loc["a", "cluster"] == 0


def test_a_map_can_be_flat_crowded_and_without_messages(tmp_path: Path) -> None:
    run = make_full_run(tmp_path, "a", 1)
    ways = [f"{t},{n},{10 * n},{n % 2}" for t in (0.0, 20.0) for n in range(150)]
    (tmp_path / run / "positions.csv").write_text("\n".join(["time_s,device,x_m,y_m", *ways]))
    names = "\n".join(map(str, range(150)))
    (tmp_path / run / "devices.csv").write_text(f"device\n{names}\n")
    members = [f"1,0.0,{n // 15},{n}" for n in range(150)]
    (tmp_path / run / "members.csv").write_text(
        "\n".join(["round,time_s,cluster,device", *members]) + "\n"
    )
    assert map_of(tmp_path, run) is None
    pd.DataFrame(
        {"kind": "update", "source": ["0", "7"], "target": ["1", "140"], "started_s": [1.0, 2.0],
         "ended_s": [3.0, 4.0], "latency_s": [3.0, 4.0], "delivered": [True, False]}
    ).to_csv(tmp_path / run / "transfers.csv", index=False)  # fmt: skip
    assert len(map_of(tmp_path, run)) == 3 * 150 + 2


@pytest.mark.usefixtures("svg_only")
def test_outcomes_add_up_and_a_single_run_has_wilson_s_interval(tmp_path: Path) -> None:
    """Newcombe, Statistics in Medicine 17, 1998, table I: 81 of 263, Wilson 0.2553 to 0.3662."""
    run = make_full_run(tmp_path, "a", 1)
    table = pd.read_csv(tmp_path / "summary.csv").set_index("metric")
    table.loc[["delivery_ratio", "late_ratio"], "value"] = [81 / 263, 0.75 - 81 / 263]
    table.reset_index().to_csv(tmp_path / "summary.csv", index=False)
    draw(tmp_path, [run])
    drawn = plotted(tmp_path, "outcomes").set_index("part")
    assert list(drawn.index) == ["delivered", "late", "lost: departed", "lost: battery"]
    assert drawn["share"].sum() == pytest.approx(1.0)
    assert drawn.loc["delivered", ["low", "high"]].tolist() == pytest.approx(
        [0.2553, 0.3662], abs=5e-5
    )


@pytest.mark.usefixtures("svg_only")
def test_runs_without_the_threshold_of_others_have_outcomes_too(tmp_path: Path) -> None:
    runs = [make_full_run(tmp_path, label, 1) for label in ("digital", "over the air")]
    table = pd.read_csv(tmp_path / "summary.csv")
    only = table["metric"] == "lost_below-threshold_ratio"
    digital = table["run"] == runs[0]
    table.loc[only, "value"] = 0.05
    table.loc[(table["metric"] == "delivery_ratio") & ~digital, "value"] = 0.45
    table[~(only & digital)].to_csv(tmp_path / "summary.csv", index=False)
    draw(tmp_path, runs)
    drawn = plotted(tmp_path, "outcomes").set_index(["line", "part"])["share"]
    assert drawn["digital", "lost: below threshold"] == 0.0
    assert drawn["over the air", "lost: below threshold"] == 0.05
    assert drawn.groupby("line").sum().tolist() == pytest.approx([1.0, 1.0])


@pytest.mark.usefixtures("svg_only")
def test_the_target_figure_shows_the_estimate_of_its_number(tmp_path: Path) -> None:
    """Law: of runs at 2 s, 3 s, and one that never is, two thirds and then one third are left."""
    runs = [make_full_run(tmp_path, "a", seed) for seed in range(3)]
    table = pd.read_csv(tmp_path / "summary.csv")
    at = table.index[table["metric"] == "time_to_0.5_s"]
    table.loc[at, "value"] = [2.0, float("nan"), 3.0]
    table.to_csv(tmp_path / "summary.csv", index=False)
    draw(tmp_path, runs)
    drawn = plotted(tmp_path, "targets")
    assert drawn["time_s"].tolist() == [0.0, 2.0, 3.0, 20.0]
    assert drawn["share_of_runs"].tolist() == pytest.approx([0.0, 1 / 3, 2 / 3, 2 / 3])
    assert set(drawn["median_s"]) == {3.0}


SUMMARY = "run,metric,value\n"


def make_swept(
    results: Path, values: list[tuple[str, dict[str, object], list[float]]]
) -> list[str]:
    """Write runs of variants with swept values, and their accuracies by seed."""
    names, summary = [], SUMMARY
    for variant, swept, accuracies in values:
        for seed, accuracy in enumerate(accuracies):
            run = make_run(results, variant, seed, [accuracy])
            path = results / run / "manifest.json"
            path.write_text(json.dumps(json.loads(path.read_text()) | {"swept": swept}))
            summary += f"{run},accuracy_all_tasks,{accuracy}\n{run},simulated_s,{10 + seed}\n"
            names.append(run)
    (results / "summary.csv").write_text(summary)
    return names


@pytest.mark.usefixtures("svg_only")
def test_a_swept_number_is_the_abscissa_with_intervals_of_seeds(tmp_path: Path) -> None:
    """Oracle: of 0.2 and 0.4, mean 30 % and half-width t(1) s / sqrt 2 = 12.706 x 10 %."""
    key, other = "fl.method.density", "fl.rounds"
    runs = make_swept(
        tmp_path,
        [
            ("b", {key: 0.5, other: 4}, [0.2, 0.4]), ("b", {key: 0.01, other: 4}, [0.1, 0.1]),
            ("b", {key: 0.1, other: 8}, [0.6]), ("a", {key: 0.1, other: 4}, [0.5, 0.7]),
        ],
    )  # fmt: skip
    draw(tmp_path, runs)
    plotted = pd.read_csv(tmp_path / "figures" / "swept.csv")
    accuracy = plotted[plotted["metric"] == "accuracy_all_tasks"].set_index(["curve", key])
    assert list(accuracy.index) == [
        ("b, fl.rounds=4", 0.01), ("b, fl.rounds=8", 0.1), ("a, fl.rounds=4", 0.1),
        ("b, fl.rounds=4", 0.5),
    ]  # fmt: skip
    row = accuracy.loc[("b, fl.rounds=4", 0.5)]
    assert (row["n"], row["mean"]) == (2, pytest.approx(30.0))
    assert row["high"] - row["mean"] == pytest.approx(12.7062 * 10.0, rel=1e-4)
    assert pd.isna(accuracy.loc[("b, fl.rounds=8", 0.1), "low"])
    assert set(plotted["metric"]) == {"accuracy_all_tasks", "simulated_s"}


@pytest.mark.parametrize(
    "swept",
    [[{}, {}], [{"k": 1}, {"k": 1}], [{"k": [1, 2]}, {"k": [3, 4]}], [{"k": 1}, {"k": "auto"}]],
    ids=str,
)
@pytest.mark.usefixtures("svg_only")
def test_what_is_no_axis_is_not_drawn(tmp_path: Path, swept: list[dict[str, object]]) -> None:
    runs = make_swept(tmp_path, [("a", one, [0.1]) for one in swept])
    draw(tmp_path, runs)
    assert not (tmp_path / "figures" / "swept.csv").exists()


def test_no_panel_is_left_empty(tmp_path: Path) -> None:
    """Law: three metrics have three of four panels, and the fourth is not shown."""
    runs = make_swept(tmp_path, [("a", {"k": value}, [0.1]) for value in (1, 2)])
    with (tmp_path / "summary.csv").open("a") as file:
        file.writelines(f"{run},energy_total_j,5\n" for run in runs)
    figure = Figure()
    FIGURES["swept"](figure, read_lines(tmp_path, runs))
    assert [axes.get_visible() for axes in figure.axes] == [True, True, True, False]
    assert all(axes.lines for axes in figure.axes[:3])


@pytest.mark.usefixtures("svg_only")
def test_swept_names_keep_their_order(tmp_path: Path) -> None:
    names = ["random", "full", "agglomerative"]
    draw(tmp_path, make_swept(tmp_path, [("a", {"fl.topology": name}, [0.1]) for name in names]))
    plotted = pd.read_csv(tmp_path / "figures" / "swept.csv")
    assert list(dict.fromkeys(plotted["fl.topology"])) == names


@pytest.mark.parametrize("tasks", [1, 3])
def test_own_tasks_have_a_curve_where_they_are_not_all(
    tmp_path: Path, tasks: int, svg_only: None
) -> None:
    draw(tmp_path, [make_full_run(tmp_path, "a", 1, tasks=tasks)])
    numbers = pd.read_csv(tmp_path / "figures" / "accuracy.csv")
    assert set(numbers["tasks"]) == ({"all"} if tasks == 1 else {"all", "own"})
    text = (tmp_path / "figures" / "accuracy.svg").read_text()
    assert ("own task only" in text) == (tasks > 1)


def test_options_change_what_a_figure_shows(tmp_path: Path) -> None:
    """Law: numbers and lines stay as they are."""
    runs = [make_full_run(tmp_path, "a", seed, tasks=3) for seed in (1, 2)]
    draw(tmp_path, runs, FigureOptions(only=("accuracy", "latency"), formats=("svg",)))
    folder = tmp_path / "figures"
    assert {path.name for path in folder.iterdir()} == {
        "accuracy.svg", "accuracy.csv", "latency.svg", "latency.csv"
    }  # fmt: skip
    usual, numbers = ((folder / f"accuracy.{kind}").read_text() for kind in ("svg", "csv"))
    assert 'id="band"' in usual
    assert "actual sizes" in usual
    assert 'width="252pt"' in usual
    options = FigureOptions(
        only=("accuracy",), width_in=7.16, bands=False, notes=False, formats=("svg",),
        names={"a": "Method A"},
    )  # fmt: skip
    draw(tmp_path, runs, options)
    wide = (folder / "accuracy.svg").read_text()
    assert 'id="band"' not in wide
    assert "actual sizes" not in wide
    assert 'width="515.52pt"' in wide
    assert ">Method A</text>" in wide
    assert (folder / "accuracy.csv").read_text() == numbers.replace(",a,", ",Method A,")


def test_swept_values_have_names_of_their_own() -> None:
    names = {"fl.method.rank": "rank", "fl.topology.model=ring": "a ring"}
    options = FigureOptions(names=names)
    assert options.named("v", {"fl.method.rank": "4", "fl.topology.model": "ring"}) == (
        "v, rank=4, a ring"
    )
