"""The report of a results folder: its content, its size, and escaping."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from results_writers import write_report, write_run, write_table

from wnsim.figures.tracks import read_tracks
from wnsim.report import MOST_BYTES
from wnsim.report.__main__ import main
from wnsim.report.drawings import inline
from wnsim.report.packing import AWAY
from wnsim.report.replay import MOST_MESSAGES, replay

EVIL = "<script>alert(1)</script>"
EVILS = (
    EVIL,
    "</script><!--<script>",
    "a & b \"quoted' ]]>",
    "line\u2028and\u2029paragraph",
    "${x}",
)


class Page(HTMLParser):
    """A parsed page: its elements and their texts."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[str, list[str]] = {}
        self._within: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in ("meta", "link", "input"):
            self._within.append(tag)
            self.texts.setdefault(tag, []).append("")

    def handle_endtag(self, tag: str) -> None:
        assert self._within.pop() == tag

    def handle_data(self, data: str) -> None:
        if self._within:
            self.texts[self._within[-1]][-1] += data

    def data(self) -> list[dict[str, Any]]:
        """Return the data of the replay."""
        return [json.loads(text) for text in self.texts["script"][:-1]]


def unpacked(text: str, kind: str) -> np.ndarray[Any, Any]:
    return np.frombuffer(base64.b64decode(text), dtype=f"<{kind}")


@pytest.mark.parametrize("evil", EVILS)
def test_whatever_a_scenario_says_stays_text(tmp_path: Path, evil: str) -> None:
    run = write_run(
        tmp_path, evil, scenario=evil, description=evil, task=evil, devices=[evil, "1", "2"]
    )
    page = Page(write_report(tmp_path, [run]))
    assert page.texts["h1"] == [evil]
    assert page.texts["title"] == [f"{evil} \N{EN DASH} wnsim"]
    assert page.texts["option"] == [f"{evil}, seed 1"]
    assert [tag for tag, _ in page.elements].count("script") == 2
    (data,) = page.data()
    assert data["devices"] == [evil, "1", "2"]
    assert data["tasks"][0] == evil


def test_nothing_runs_but_the_script_of_the_page(tmp_path: Path) -> None:
    run = write_run(tmp_path, EVIL, task=EVIL)
    page = Page(write_report(tmp_path, [run], draws=True))
    for tag, attributes in page.elements:
        assert not [name for name in attributes if name.startswith("on") or name == "style"], tag
        assert tag not in ("iframe", "object", "embed", "base", "form", "img", "foreignobject")
        for name in ("src", "href", "xlink:href"):
            assert (attributes.get(name) or "#").startswith(("#", "data:")), tag
    policy = next(a["content"] for t, a in page.elements if t == "meta" and "http-equiv" in a)
    for tag in ("script", "style"):
        digest = hashlib.sha256(page.texts[tag][-1].encode()).digest()
        assert f"{tag}-src 'sha256-{base64.b64encode(digest).decode()}'" in str(policy)
    assert str(policy).startswith("default-src 'none'; ")
    assert "unsafe" not in str(policy)


def test_fifty_devices_and_a_thousand_seconds_fit(tmp_path: Path) -> None:
    names = [f"device-{n}" for n in range(50)]
    runs = [
        write_run(
            tmp_path, label, seed, devices=names, until_s=1000.0, instants=1000, messages=20_000,
            rounds=100,
        )
        for label in ("a", "b")
        for seed in (1, 2, 3)
    ]  # fmt: skip
    # Figures that fit, and one that does not.
    (tmp_path / "figures").mkdir()
    for name, texts in (("latency", 10_000), ("map", 10), ("energy", 10_000)):
        many = f"<text>{'x' * 100}</text>" * texts
        (tmp_path / "figures" / f"{name}.svg").write_text(SVG.format("", many))
    text = write_report(tmp_path, runs)
    assert "Too large for this page, but in the folder figures: energy." in text
    assert "Devices and messages at three instants" in text
    assert len(text.encode()) < MOST_BYTES == 5_000_000
    page = Page(text)
    # The first seeds go before the second ones.
    shown = page.texts["option"]
    assert shown[:2] == ["a, seed 1", "b, seed 1"]
    left = 6 - len(shown)
    assert left > 0
    assert f"{left} more run" in text
    (accuracy, *_) = page.data()
    assert len(unpacked(accuracy["places"], "u2")) == 2 * 50 * 1000


def test_too_many_messages_are_thinned_and_that_is_said(tmp_path: Path) -> None:
    run = write_run(tmp_path, messages=3 * MOST_MESSAGES)
    text = write_report(tmp_path, [run])
    (data,) = Page(text).data()
    messages = data["messages"]
    started = unpacked(messages["started"], "f4")
    assert len(started) == MOST_MESSAGES
    table = pd.read_csv(tmp_path / run / "transfers.csv")
    assert started == pytest.approx(table["started_s"][::3], abs=1e-4)
    (note,) = data["notes"]
    assert note.startswith("Of 60,000 messages on the air every third is drawn; ")
    assert unpacked(messages["arrivedBy"], "u4")[-1] == table["delivered"].sum()
    assert unpacked(messages["missedBy"], "u4")[-1] == (~table["delivered"]).sum()


def test_any_run_is_small_enough(tmp_path: Path) -> None:
    names = [f"a device with a name so long that it is cut {n:020}" for n in range(1000)]
    run = write_run(tmp_path, devices=names, instants=100, messages=30_000, rounds=200)
    rows = [[r, r * 0.1, (n + r) % 7, name] for r in range(300) for n, name in enumerate(names)]
    write_table(tmp_path / run / "members.csv", "round time_s cluster device", rows)
    data = replay(tmp_path / run)
    assert data is not None
    assert len(json.dumps(data)) < 2_500_000
    assert [note.split(" every ")[0] for note in data["notes"]] == [
        "Of 30,000 messages on the air",
        "Of 200,000 rounds of devices",
        "Of 300 changes of groups",
        "Of 201 evaluations",
    ]


def test_a_replay_has_the_places_times_and_groups_of_the_tables(tmp_path: Path) -> None:
    run = write_run(tmp_path, devices=["a", "b", "c", "d"])
    folder = tmp_path / run
    rows = pd.read_csv(folder / "positions.csv", dtype={"device": str})
    # One device is away for a while, at some instant all are, and there is a base station.
    rows = rows[~((rows["device"] == "b") & rows["time_s"].between(20, 30))]
    rows = rows[rows["time_s"] != 50.0]
    extra = pd.DataFrame(
        {
            "time_s": [0.0, 50.0],
            "device": ["station-0", ""],
            "x_m": [-5.0, None],
            "y_m": [7.0, None],
        }
    )
    rows = pd.concat([rows, extra]).sort_values("time_s", kind="stable")
    rows.to_csv(folder / "positions.csv", index=False)
    data = replay(folder)
    assert data is not None
    assert data["stations"] == ["station-0"]
    left, right, low, high = data["box"]
    parts = unpacked(data["places"], "u2").reshape(101, 4, 2).astype(float)
    away = parts == AWAY
    parts[away] = np.nan
    x_m = left + parts[..., 0] / (AWAY - 1) * (right - left)
    y_m = low + parts[..., 1] / (AWAY - 1) * (high - low)
    assert np.argwhere(away[..., 0]).tolist() == [
        *([t, 1] for t in range(20, 31)),
        *([50, n] for n in range(4)),
    ]
    there = ~away[..., 0]
    step_m = (right - left) / (AWAY - 1)
    assert np.abs(x_m - np.arange(101)[:, None])[there].max() <= step_m
    assert np.abs(y_m - 10.0 * np.arange(4))[there].max() <= step_m
    assert unpacked(data["times"], "f4").tolist() == list(range(101))
    assert data["members"]["groups"] == [0]
    # Groups of one are none.
    assert unpacked(data["members"]["of"], "u2").tolist() == [0, 0, AWAY, AWAY]
    each = unpacked(data["accuracy"]["each"], "u2").reshape(11, 4)
    assert each[:, 3].tolist() == [1000 * n for n in range(11)]


def test_between_instants_devices_are_on_the_straight_line(tmp_path: Path) -> None:
    tracks = read_tracks(tmp_path / write_run(tmp_path, instants=11))
    assert tracks is not None
    assert tracks.at(34.0).tolist() == pytest.approx(np.array([[34, 0], [34, 10], [34, 20]]))
    assert tracks.at(1000.0)[:, 0].tolist() == [100.0] * 3
    # A jump from one end to the other counts as leaving and entering.
    tracks.place_m[5, 1, 0] = 0.0
    assert tracks.at(49.0)[:, 0].tolist() == pytest.approx([49, 40, 49])


def test_the_same_results_give_the_same_page(tmp_path: Path) -> None:
    runs = [write_run(tmp_path, label, seed) for label in ("a", "b") for seed in (1, 2)]
    first = write_report(tmp_path, runs, draws=True)
    (tmp_path / "report.html").unlink()
    # Figures are drawn again too.
    shutil.rmtree(tmp_path / "figures")
    done = subprocess.run(
        [sys.executable, "-m", "wnsim.report", str(tmp_path)],
        capture_output=True, text=True, check=False, env={"PYTHONHASHSEED": "5"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "report.html").read_text("utf-8") == first
    manifest = tmp_path / runs[0] / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"wall_s": 12.5', '"wall_s": 2012.5'))
    assert write_report(tmp_path, runs) == first


def test_numbers_are_means_with_intervals_and_differences(tmp_path: Path) -> None:
    runs = [write_run(tmp_path, "a", seed) for seed in (1, 2, 3)]
    write_table(
        tmp_path / "aggregate.csv",
        "variant metric n mean baseline pairs difference difference_low difference_high",
        [["a", "accuracy_all_tasks", 3, 0.6, "base", 3, 0.125, 0.1, 0.15]],
    )
    page = Page(write_report(tmp_path, runs))
    cells = page.texts["td"][:5]
    # Accuracies of 55, 60 and 65 %: deviation 5, and 4.303 of Student's t with 2 degrees.
    half = 4.302653 * 5 / 3**0.5
    assert cells[1] == f"60.0 ± {half:.1f}"
    assert cells[2].startswith("2.40 ± ")
    assert cells[-1] == "+12.5 ± 2.5"
    assert "Bytes on the air [GB]" in page.texts["th"]
    # One run has no interval.
    single = Page(write_report(tmp_path, runs[1:2]))
    assert single.texts["td"][:2] == ["1", "60.0"]
    assert "Accuracy, all tasks, minus base [points]" in page.texts["th"]


def test_old_and_unfinished_results_are_shown_as_far_as_they_go(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = write_run(tmp_path, "a")
    other = write_run(tmp_path, "b")
    (tmp_path / other / "manifest.json").unlink()
    for name in ("positions.csv", "members.csv"):
        (tmp_path / run / name).unlink()
    (tmp_path / "summary.csv").unlink()
    assert main([str(tmp_path)]) == 0
    assert capsys.readouterr().out == f"{tmp_path / 'report.html'}\n"
    text = (tmp_path / "report.html").read_text("utf-8")
    assert "there is nothing to replay" in text
    assert f"Incomplete, not in this report: {other}" in text
    assert "Accuracy over simulated time" in text


def test_where_there_is_nothing_to_show_that_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(tmp_path / "none")]) == 2
    assert capsys.readouterr().err == f"{tmp_path / 'none'}: no such folder\n"
    assert main([str(tmp_path)]) == 2
    assert "there is nothing to show" in capsys.readouterr().err
    run = write_run(tmp_path)
    write_report(tmp_path, [run])
    (tmp_path / "figures").mkdir()
    (tmp_path / "figures" / "map.svg").write_text("<html></html>")
    assert main([str(tmp_path)]) == 2
    assert capsys.readouterr().err.startswith(f"{tmp_path / 'figures' / 'map.svg'}: a figure must")
    (tmp_path / "figures" / "map.svg").unlink()
    write_table(tmp_path / run / "devices.csv", "name", [["0"]])
    with pytest.warns(UserWarning, match="figure map: cannot be drawn: KeyError: 'device'"):
        assert main([str(tmp_path)]) == 2
    assert capsys.readouterr().err == f"{tmp_path}: a manifest or a table in it lacks 'device'\n"


SVG = (
    '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" {}>{}</svg>'
)


def test_of_a_figure_shapes_and_texts_are_left() -> None:
    svg = SVG.format(
        'width="252pt" viewBox="0 0 252 100" onload="alert(1)"',
        "<style>*{fill:red}</style><script>alert(1)</script><metadata>x</metadata>"
        '<defs><clipPath id="p"><rect width="1" height="1"/></clipPath></defs>'
        '<g clip-path="url(#p)" style="fill: #ff0000; background: url(http://x)" onclick="a()">'
        '<path d="M 0 0&#10;L 1 1" style="stroke: url(http://evil)"/>'
        '<text id="unused" style="font-size: 7px">a &lt;b&gt;</text></g>'
        '<use xlink:href="#p"/><use xlink:href="http://evil"/><foreignObject><p/></foreignObject>'
        '<image href="data:x"/><a href="javascript:alert(1)"><path d="M 1 1"/></a>',
    )
    shown = inline(svg, "f1-", 'a "label"')
    assert re.sub(r"^<svg.*?>", "", shown) == (
        '<defs><clipPath id="f1-p"><rect width="1" height="1"></rect></clipPath></defs>'
        '<g clip-path="url(#f1-p)" fill="#ff0000"><path d="M 0 0 L 1 1"></path>'
        '<text font-size="7px">a &lt;b&gt;</text></g>'
        '<use href="#f1-p"></use><use></use></svg>'
    )
    assert 'aria-label="a &#34;label&#34;"' in shown
    assert "onload" not in shown


@pytest.mark.parametrize(
    "text",
    [
        "no xml",
        "<html></html>",
        '<!DOCTYPE x [<!ENTITY a "aa">]><svg xmlns="http://www.w3.org/2000/svg">&a;</svg>',
    ],
)
def test_what_is_no_figure_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="a figure must be SVG"):
        inline(text, "f", "x")


def test_faults_are_told_and_stay_text(tmp_path: Path) -> None:
    run = write_run(tmp_path)
    assert 'id="faults-head"' not in write_report(tmp_path, [run])
    rows = [[n, "crash", EVIL, "loses its memory", "" if n == 1 else 2.5 + n] for n in range(130)]
    write_table(tmp_path / run / "faults.csv", "time_s kind location description until_s", rows)
    text = write_report(tmp_path, [run])
    cells = Page(text).texts["td"]
    assert cells.count(EVIL) == cells.count("loses its memory") == 100
    assert "the end" in cells
    assert "30 more rows are in its faults.csv" in text
