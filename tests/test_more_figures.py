"""Figures that are drawn on request: failures, directions, energy, and the rounds of a device."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from wnsim.core.figure_options import MORE_NAMES, FigureOptions
from wnsim.core.transfer import LOST_REASONS
from wnsim.figures import draw, read_lines
from wnsim.metrics.value_names import value_names

COLUMNS = (
    "round,kind,source,target,size_bytes,delivered,sent_s,ended_s,latency_s,queue_s,"
    "channel_access_s,airtime_s,backhaul_s"
)
# Device 0 receives the average for 3 s (1 s queued), computes for 2 s, and sends for 4 s (1 s
# queued, 1 s channel access, 0.5 s backhaul); the round ends 1 s later.
TRANSFERS = [
    "1,update,server,0,100,True,10,13,3,1,0,1.5,0.5",
    "1,update,0,server,200,True,15,19,4,1,1,1.5,0.5",
    "1,update,server,1,100,False,10,14,,1,0,3,0",
    "1,update,1,server,200,True,12,13,1,0,0,1,0",
    "1,background,0,1,900,True,10,11,1,0,0,1,0",
]
ROUNDS = ["1,0,10,15,20", "1,1,10,12,13"]
ENERGY = ["10,0,1,2,0,0", "10,1,0,1,0,0", "20,0,2,4,1,0", "20,1,0,2,0,3"]


def make_run(results: Path, label: str, seed: int, scale: float = 1.0, **swept: Any) -> str:
    """Write a run by hand; energies are multiplied by a scale."""
    folder = results / f"run{len(list(results.glob('run*')))}"
    folder.mkdir(parents=True)
    manifest = {"scenario": "s", "variant": label, "swept": swept, "seed": seed, "sizes": "actual"}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    (folder / "transfers.csv").write_text("\n".join([COLUMNS, *TRANSFERS]) + "\n")
    names = ["round,device,start_s,trained_s,end_s", *ROUNDS]
    (folder / "rounds.csv").write_text("\n".join(names) + "\n")
    heads = "energy_tx_j,energy_rx_j,energy_idle_j,energy_compute_j"
    table = pd.DataFrame(
        [[float(each) for each in row.split(",")] for row in ENERGY],
        columns=["time_s", "device", *heads.split(",")],
    )
    table[heads.split(",")] *= scale
    table.to_csv(folder / "energy.csv", index=False)
    last = table[table["time_s"] == 20.0].drop(columns="time_s")
    last.to_csv(folder / "devices.csv", index=False)
    return folder.name


def drawn(results: Path, runs: list[str], name: str, **options: Any) -> pd.DataFrame:
    """Draw a figure and return its numbers."""
    (path,) = draw(results, runs, FigureOptions(only=(name,), formats=("svg",), **options))
    return pd.read_csv(path.with_suffix(".csv"))


def test_a_round_is_divided_into_what_a_device_does(tmp_path: Path) -> None:
    numbers = drawn(tmp_path, [make_run(tmp_path, "a", 1)], "timeline", device="0")
    parts = [(row.part, row.begin_s, row.end_s) for row in numbers.itertuples()]
    assert parts == [
        # The backhaul comes before the queue of the downlink.
        ("queueing", 0.0, 1.5), ("on air", 1.5, 3.0),
        ("computing", 3.0, 5.0),
        ("queueing", 5.0, 7.0), ("on air", 7.0, 8.5), ("waiting", 8.5, 10.0),
    ]  # fmt: skip
    # By default the first device; a message that is late is no average to start from.
    other = drawn(tmp_path, ["run0"], "timeline", device="1")
    assert other["part"].tolist() == ["computing", "on air"]
    assert other["end_s"].tolist() == [2.0, 3.0]
    assert drawn(tmp_path, ["run0"], "timeline")["device"].unique().tolist() == [0]
    assert draw(tmp_path, ["run0"], FigureOptions(only=("timeline",), device="nobody")) == []


def test_directions_are_apart(tmp_path: Path) -> None:
    runs = [make_run(tmp_path, "a", 1)]
    offered = drawn(tmp_path, runs, "bytes-directions").set_index("direction")["bytes"]
    # Background traffic does not count.
    assert offered.to_dict() == {"uplink": 400.0, "downlink": 200.0}
    latency = drawn(tmp_path, runs, "latency-directions")
    by_direction = dict(list(latency.groupby("direction")))
    assert by_direction["uplink"]["latency_s"].tolist() == [1.0, 4.0]
    assert by_direction["uplink"]["share"].tolist() == [0.5, 1.0]
    # Half of the messages do not arrive in time.
    assert by_direction["downlink"]["latency_s"].tolist() == [3.0]
    assert by_direction["downlink"]["share"].tolist() == [0.5]


def test_without_stations_there_are_no_directions(tmp_path: Path) -> None:
    run = make_run(tmp_path, "a", 1)
    path = tmp_path / run / "transfers.csv"
    path.write_text(path.read_text().replace("server", "2"))
    names = ("bytes-directions", "latency-directions")
    assert draw(tmp_path, [run], FigureOptions(only=names, formats=("svg",))) == []


def test_energy_of_devices_and_over_time(tmp_path: Path) -> None:
    runs = [make_run(tmp_path, "a", 1), make_run(tmp_path, "a", 2, scale=3.0)]
    devices = drawn(tmp_path, runs, "energy-devices")
    assert devices["energy_j"].tolist() == [5.0, 7.0, 15.0, 21.0]
    assert devices["share"].tolist() == [0.25, 0.5, 0.75, 1.0]
    time = drawn(tmp_path, runs, "energy-time")
    assert time["time_s"].tolist() == [0.0, 10.0, 20.0]
    assert time["energy_j"].tolist() == [0.0, 8.0, 24.0]
    # Deviation 12 sqrt(2) of two values, and the 97.5 % quantile of t with one degree: 12.706.
    assert time["high"].iloc[-1] == pytest.approx(24.0 + 12.7062 * 12.0, abs=1e-2)


def test_failures_by_reason_leave_out_what_was_delivered(tmp_path: Path) -> None:
    run = make_run(tmp_path, "a", 1)
    shares = {f"lost_{reason}_ratio": 0.0 for reason in LOST_REASONS}
    shares |= {"delivery_ratio": 0.9, "late_ratio": 0.07, "lost_departed_ratio": 0.03}
    rows = [f"{run},{name},{value}" for name, value in {**shares, "messages": 100}.items()]
    (tmp_path / "summary.csv").write_text("\n".join(["run,metric,value", *rows]) + "\n")
    numbers = drawn(tmp_path, [run], "failures").set_index("reason")["share"]
    assert numbers.to_dict() == {"late": 0.07, "departed": 0.03}


@pytest.mark.parametrize("label", ["$\\foo$", "a very long label in many words " * 4, "<x>"])
def test_all_have_the_right_width_and_fonts(tmp_path: Path, label: str) -> None:
    """pytest turns warnings into errors: collapsed layouts and missing glyphs are found."""
    run = make_run(tmp_path, label, 1)
    names = tuple(name for name in MORE_NAMES if name != "failures")
    paths = draw(tmp_path, [run], FigureOptions(only=names, formats=("pdf",)))
    assert [path.stem for path in paths] == list(names)
    for path in paths:
        assert b"/Type3" not in path.read_bytes()


def test_lists_and_sections_have_short_names(tmp_path: Path) -> None:
    values: list[Any] = [
        {"model": "lora", "rank": 8}, {"model": "lora", "rank": 16}, [200, 300], [[1, 2], [3]],
        [[1, 2], [4]], {"model": "nr", "table": [1]}, {"model": "nr", "table": [2]}, None, 0.5,
    ]  # fmt: skip
    names = list(value_names(values).values())
    assert names == [
        "lora (rank 8)", "lora (rank 16)", "200/300", "#4", "#5", "nr #6", "nr #7", "none", "0.5"
    ]  # fmt: skip
    key = "fl.method"
    runs = [make_run(tmp_path, "v", 1, **{key: value}) for value in values[:2]]
    assert [line.name for line in read_lines(tmp_path, runs)] == [
        "v, fl.method=lora (rank 8)", "v, fl.method=lora (rank 16)"
    ]  # fmt: skip
    options = FigureOptions(names={"fl.method=lora (rank 8)": "small", "fl.method": "method"})
    assert [line.name for line in read_lines(tmp_path, runs, options)] == [
        "v, small", "v, method=lora (rank 16)"
    ]  # fmt: skip
