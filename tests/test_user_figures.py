"""User-defined metrics and figures, and the section `figures`."""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from wnsim.core.figure_options import FIGURE_NAMES, FORMATS, MORE_NAMES, FigureOptions
from wnsim.figures import FIGURES, MORE
from wnsim.figures.style import PICTURES
from wnsim.scenario.__main__ import main
from wnsim.scenario.errors import ScenarioError
from wnsim.scenario.spec.plan import plan
from wnsim.scenario.verbs import figures as verb

SCENARIO = """
name: small
devices: {count: 3}
mobility: {model: static}
traffic: {size_bytes: 1000, rounds: 1, neighbors: 2}
metrics: ['shown:messages', 'shown:infinite']
figures:
  only: [latency]
  more: ['shown:dots']
  formats: [svg]
"""
MODULE = """
import pandas as pd

def messages(tables):
    '''Number of messages. And more.'''
    assert "transfers" in tables and "rounds" not in tables
    assert set(tables) >= {"transfers", "devices"}
    return len(tables["transfers"])

def infinite(tables): return float("inf")
def words(tables): return "many"
def broken(tables): return tables["rounds"]

def dots(figure, lines):
    numbers = pd.DataFrame({"line": [line.name for line in lines], "n": 1})
    figure.add_subplot().plot(numbers["n"], "o")
    return numbers

def nothing(figure, lines): return None
def wrong(figure, lines): return lines
def failing(figure, lines):
    return deeper(lines)
def deeper(lines):
    return lines.none

constant = 3
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "shown.py").write_text(MODULE)
    (tmp_path / "small.yaml").write_text(SCENARIO)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, "shown", raising=False)
    return tmp_path


def run(*words: str) -> int:
    return main(["small.yaml", "--plugin", "shown", *words])


def test_names_and_formats_are_those_of_the_figures() -> None:
    assert list(FIGURES) == list(FIGURE_NAMES)
    assert list(MORE) == list(MORE_NAMES)
    assert [f".{name}" for name in FORMATS] == list(PICTURES)


def test_the_section_says_what_is_drawn(folder: Path) -> None:
    assert run() == 0
    results = folder / "results" / "small"
    drawn = {path.name for path in (results / "figures").iterdir()}
    assert drawn == {"latency.svg", "latency.csv", "shown-dots.svg", "shown-dots.csv"}
    summary = pd.read_csv(results / "summary.csv").set_index("metric")["value"]
    assert summary["shown:messages"] == 3 * 2
    assert math.isnan(summary["shown:infinite"])
    # It changes no run: with other figures, the complete run is not repeated.
    before = (results / "seed=1" / "manifest.json").read_bytes()
    assert run("--set", "figures.only=[goodput]", "--set", "figures.width_in=7.16") == 0
    assert (results / "seed=1" / "manifest.json").read_bytes() == before
    assert 'width="515.52pt"' in (results / "figures" / "goodput.svg").read_text("utf-8")


@pytest.mark.filterwarnings("always::UserWarning")
def test_what_fails_is_left_out_with_a_note(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = "['shown:messages', 'shown:words', 'shown:broken']"
    drawn = "['shown:failing', 'shown:wrong', 'shown:nothing', 'shown:dots']"
    assert run("--set", f"metrics={names}", "--set", f"figures.only={drawn}") == 0
    said = capsys.readouterr().err
    lines = MODULE.splitlines()
    broken, deep = (
        next(n + 1 for n, line in enumerate(lines) if part in line)
        for part in ("def broken", "lines.none")
    )
    left = "of seed=1 is left out"
    assert f"metric shown:words {left}: it must return a number, got str" in said
    assert f"metric shown:broken {left}: KeyError: 'rounds' (shown.py:{broken})" in said
    assert f"has no attribute 'none' (shown.py:{deep})" in said
    assert "figure shown-wrong: cannot be drawn: TypeError: it must return a data frame" in said
    summary = set(pd.read_csv("results/small/summary.csv")["metric"])
    assert {each for each in summary if ":" in each} == {"shown:messages"}
    drawn_here = sorted(path.name for path in Path("results/small/figures").glob("*.svg"))
    assert drawn_here == ["shown-dots.svg"]


@pytest.mark.parametrize(
    ("setting", "complaint"),
    [
        ("figures={only: [joy]}", "figures.only.0: no figure of this name; known: swept"),
        ("figures={widht_in: 3}", "figures.widht_in: unknown key; did you mean 'width_in'?"),
        ("figures={width_in: 30}", "figures.width_in: must be less than or equal to 20"),
        ("figures={formats: [jpg]}", "figures.formats.0: must be 'pdf', 'svg' or 'png'"),
        ("figures=3", "figures: must be a section with keys"),
        ("figures={more: ['other:plot']}", "'other:plot' is user code, not a built-in"),
        ("metrics=['other:jain']", "metrics.0: 'other:jain' is user code, not a built-in"),
        ("metrics=['shown:constant']", "metrics.0: metric shown:constant must be a function"),
        ("metrics=[jain]", "metrics.0: a user-defined metric is named module:Name, got 'jain'"),
    ],
)
def test_errors_of_the_sections_are_sentences(
    folder: Path, setting: str, complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("--check", "--set", setting) == 2
    assert complaint in capsys.readouterr().err


def test_words_and_section_have_the_same_options() -> None:
    """Each key has a word, and both give the same options."""
    assert set(verb._WORDS) == set(FigureOptions.__dataclass_fields__)
    section = {
        "only": ["latency"], "more": ["map"], "device": "3", "width_in": 5.0, "bands": False,
        "notes": False, "formats": ["png"], "names": {"a=1": "one"},
    }  # fmt: skip
    words = "--only latency --more map --device 3 --width 5 --no-band --no-note --format png"
    given = vars(verb.parser().parse_args(["results", *words.split(), "--name", "a=1=one"]))
    del given["results"], given["plugin"]
    keys: dict[str, Any] = {"name": "x", "traffic": {"size_bytes": 9}, "figures": section}
    (one,) = plan(keys)
    assert verb._options(given, frozenset()) == one.figures
    assert one.figures.wanted == ("latency", "map")
    default = vars(verb.parser().parse_args(["results"]))
    del default["results"], default["plugin"]
    assert verb._options(default, frozenset()) == FigureOptions()


def test_the_verb_draws_a_figure_of_ones_own(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("--no-figures") == 0
    capsys.readouterr()
    words = ["figures", "results/small", "--only", "shown:dots", "--format", "svg"]
    assert main(words) == 2
    assert (
        "is user code, not a built-in; if you trust it: --plugin shown" in capsys.readouterr().err
    )
    assert main([*words, "--plugin", "shown"]) == 0
    assert capsys.readouterr().out.strip() == "results/small/figures/shown-dots.svg"


def test_variants_cannot_have_figures_of_their_own() -> None:
    keys: dict[str, Any] = {"name": "x", "traffic": {"size_bytes": 9}}
    with pytest.raises(ScenarioError, match="a variant cannot change it"):
        plan(keys | {"variants": [{"label": "a", "figures": {}}]})
