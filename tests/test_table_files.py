"""Tables are read by columns and in batches, from CSV or Parquet, with the same result."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pandas.testing import assert_frame_equal
from results_writers import write_run, write_table

from wnsim import Results, figures, load, report, run
from wnsim.metrics import columns_of, read_table, read_transfers, tables
from wnsim.scenario.__main__ import main
from wnsim.storage import parquet, records

needs_pyarrow = pytest.mark.skipif(
    importlib.util.find_spec("pyarrow") is None, reason="pyarrow is not installed"
)
SMALL = ["--set=traffic.rounds=1", "--set=devices.count=4", "--set=traffic.size_bytes=20000"]


def test_batches_make_the_same_columns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [
        [n, "aabbacb"[n], str(n % 3), "server", n % 2 == 0, reason, n / 7 if n % 2 == 0 else ""]
        for n, reason in enumerate(["", "", "x", "", "", "y", ""])
    ]
    columns = "round kind source target delivered reason latency_s"
    write_table(tmp_path / "transfers.csv", columns, rows)
    whole = read_table(tmp_path / "transfers.csv")
    monkeypatch.setattr(tables, "_ROWS", 2)
    wanted = ["latency_s", "reason", "kind", "delivered", "source", "absent"]
    found = read_transfers(tmp_path, wanted)
    assert list(found) == wanted[:-1]
    assert found["source"].tolist() == ["0", "1", "2", "0", "1", "2", "0"]
    for name in found:
        assert_frame_equal(found[[name]].astype(object), whole[[name]].astype(object))
    assert columns_of(tmp_path / "transfers.csv") == columns.split()
    assert columns_of(tmp_path / "rounds.csv") == []


def test_columns_of_a_table_without_rows(tmp_path: Path) -> None:
    write_table(tmp_path / "transfers.csv", "kind delivered latency_s", [])
    assert read_transfers(tmp_path, ["delivered", "kind"]).shape == (0, 2)


def test_many_messages_take_little_memory(tmp_path: Path) -> None:
    names = [str(n) for n in range(50)]
    write_run(tmp_path, devices=names, messages=30_000, instants=2, rounds=1)
    columns = ("kind", "source", "target", "size_bytes", "ended_s", "delivered", "latency_s")
    found = read_transfers(tmp_path / "run-000", columns)
    # Three numbers of 8 bytes, and four columns of one byte a row.
    assert found.memory_usage(deep=True).sum() < 30 * len(found)


def test_a_long_distribution_is_plotted_at_some_of_its_messages(tmp_path: Path) -> None:
    messages = 12_345
    name = write_run(tmp_path, messages=messages)
    latency_s = np.random.default_rng(1).exponential(size=messages).round(9)
    path = tmp_path / name / "transfers.csv"
    table = pd.read_csv(path).assign(latency_s=latency_s)
    table.to_csv(path, index=False)
    figures.draw(tmp_path, [name])
    plotted = pd.read_csv(tmp_path / "figures" / "latency.csv")
    assert len(plotted) == 5_000
    delivered = np.sort(latency_s[table["delivered"]])
    at = plotted["latency_s"].to_numpy()
    exact = np.searchsorted(delivered, at, side="right") / messages
    assert plotted["share_of_messages"].to_numpy() == pytest.approx(exact, abs=1e-9)
    assert at[0] == delivered[0]
    assert at[-1] == delivered[-1]
    # Just before the next point, where the step function lags most.
    lag = np.searchsorted(delivered, at[1:], side="left") / messages - exact[:-1]
    assert 0 < lag.max() < 0.0003


def test_a_crowded_map_shows_some_of_the_messages(tmp_path: Path) -> None:
    # Each message is on the air for 4 % of the run, so that 4 % of all are at each instant.
    name = write_run(tmp_path, messages=120_000, instants=5, rounds=1)
    figures.draw(tmp_path, [name])
    plotted = pd.read_csv(tmp_path / "figures" / "map.csv")
    counts = plotted[plotted["what"] == "message"].groupby("time_s").size()
    assert ((counts > 1000) & (counts <= 2000)).all()
    assert "messages, 1 in " in (tmp_path / "figures" / "map.svg").read_text()
    assert report.write(tmp_path, [name]).stat().st_size < report.MOST_BYTES


def test_parquet_without_pyarrow_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    arguments = ["network.yaml", *SMALL, "--out", str(tmp_path / "out"), "--tables", "parquet"]
    assert main(arguments) == 2
    said = "--tables parquet: Parquet needs the package pyarrow: pip install 'wnsim[parquet]'"
    assert capsys.readouterr().err.strip().endswith(said)
    (tmp_path / "devices.parquet").write_bytes(b"")
    with pytest.raises(ValueError, match=r"devices.parquet: Parquet needs the package pyarrow"):
        read_table(tmp_path / "devices.csv")


def assert_equal(found: pd.DataFrame, expected: pd.DataFrame) -> None:
    """Check that tables are equal, whatever stands for a missing text."""
    assert_frame_equal(*(each.where(each.notna(), np.nan) for each in (found, expected)))


@needs_pyarrow
def test_parquet_has_the_values_and_types_of_csv(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parquet, "_ROWS", 2)
    columns = ("device", "task", "count", "gap", "share", "late", "here", "text", "mixed", "never")
    nan = float("nan")
    rows = [
        ["0", "", 1, 1, 0.1, True, True, "a,b", 1, ""],
        ["1", "", 2, "", nan, "", False, "", 2, ""],
        ["10", "", 3, 3, 1e-9, False, True, 'c"d', 3, ""],
        ["2", "", 4, 4, 12345.678901234, True, True, "NA", "x", ""],
        ["3", "", 5, 5, 2.0, True, False, "é", 5, ""],
    ]
    for table in (rows, rows[:0]):
        records.write_table(tmp_path / "a.csv", records.Table(columns, table))
        sha256 = records.write_table(tmp_path / "b.parquet", records.Table(columns, table))
        assert sha256 == records.file_digest(tmp_path / "b.parquet")
        expected, found = read_table(tmp_path / "a.csv"), read_table(tmp_path / "b.csv")
        plain = (each.astype(object).where(each.notna(), "") for each in (found, expected))
        assert_frame_equal(*plain, check_exact=True)
        if table:
            typed = [name for name in columns if name not in ("late", "mixed")]
            assert_equal(found[typed], expected[typed])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.csv", "b.parquet"]


@needs_pyarrow
def test_results_in_parquet_are_those_in_csv(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    outs = {form: tmp_path / form for form in ("csv", "parquet")}
    for form, out in outs.items():
        assert main(["network.yaml", *SMALL, "--out", str(out), "--tables", form]) == 0
    first, second = outs.values()
    ours = {path.relative_to(second) for path in second.rglob("*") if path.is_file()}
    for path in ours:
        if path.name not in (".lock", "manifest.json") and path.suffix != ".parquet":
            assert (second / path).read_bytes() == (first / path).read_bytes(), path
    named = [path for path in ours if path.suffix == ".parquet"]
    assert {path.name for path in named} == {
        "transfers.parquet", "devices.parquet", "positions.parquet"
    }  # fmt: skip
    for path in named:
        as_csv = path.with_suffix(".csv")
        assert_equal(read_table(second / as_csv), read_table(first / as_csv))
        name = path.stem
        assert_equal(Results(second).table(name), Results(first).table(name))
    two = ["latency_s", "source"]
    expected = Results(first).table("transfers", two)
    assert_equal(Results(second).table("transfers", two), expected)

    # Complete in either format; a run that is not starts again in a cleared folder.
    capsys.readouterr()
    assert main(["network.yaml", *SMALL, "--out", str(second)]) == 0
    assert capsys.readouterr().out.count("complete already") == 2
    manifest = (second / named[0]).with_name("manifest.json")
    manifest.unlink()
    assert main(["network.yaml", *SMALL, "--out", str(second)]) == 0
    assert capsys.readouterr().out.count("complete already") == 1
    written = json.loads(manifest.read_text())["sha256"]
    assert {Path(name).suffix for name in written} == {".csv", ".yaml"}
    assert not list(manifest.parent.glob("*.parquet"))
    assert (second / "summary.csv").read_bytes() == (first / "summary.csv").read_bytes()


@needs_pyarrow
def test_parquet_from_python_and_in_processes_of_their_own(tmp_path: Path) -> None:
    plan = load("network.yaml", settings={"traffic.rounds": 1, "devices.count": 4})
    results = run(plan, tmp_path / "out", jobs=2, figures=False, tables="parquet")
    assert len(list((tmp_path / "out").glob("*/transfers.parquet"))) == 2
    assert results.transfers["variant"].nunique() == 2
