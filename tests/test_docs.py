"""The documentation: it builds without warnings, and its examples match the program.

The code blocks of its pages are separate tests, see test_pages.py.
"""

from __future__ import annotations

import json
import os
import re
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import commands
import pytest

from wnsim.scenario.spec.schema import PLAN_KEYS, json_schema

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
EXAMPLES = DOCS / "examples"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the freshly built pages."""
    folder = tmp_path_factory.mktemp("docs")
    ignored = shutil.ignore_patterns("_build", "_generated", "keys", "__pycache__")
    shutil.copytree(DOCS, folder / "docs", ignore=ignored)
    # Pages link to tests.
    (folder / "tests").symlink_to(ROOT / "tests")
    done = subprocess.run(
        [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-n", "-q", "-b", "html",
         folder / "docs", folder / "html"],
        env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return folder / "html"


def test_pages_link_to_what_is_there(site: Path) -> None:
    pages = {page: page.read_text("utf-8") for page in site.rglob("*.html")}
    places = {name: set(re.findall(r'\bid="([^"]+)"', text)) for name, text in pages.items()}
    links = 0
    for name, text in pages.items():
        for link in re.findall(r'(?:href|src)="([^":?]*)"', text):
            page, _, place = link.partition("#")
            links += 1
            target = (name.parent / page).resolve() if page else name
            if target in places:
                assert not place or place in places[target], f"{name}: {link}"
            else:
                assert target.is_file(), f"{name}: {link}"
    assert links > 100


def test_every_key_is_explained(site: Path) -> None:
    pages = [site / "keys.html", *sorted(site.glob("keys/*.html"))]
    assert len(pages) > 10
    text = "\n".join(page.read_text("utf-8") for page in pages)
    schema = json_schema()
    for title, each in [("file", schema), *schema["$defs"].items()]:
        for key in each.get("properties", {}):
            if "const" not in each["properties"][key]:
                assert re.search(rf">{re.escape(key)}</span>", text), f"{title}: {key}"
    assert set(PLAN_KEYS) <= set(schema["properties"])
    # A cell without a word would be a key without a docstring.
    assert "<td></td>" not in re.sub(r"<p></p>|\s", "", text)


def test_what_wnsim_claims_in_comparisons_is_tested() -> None:
    """Each *yes* links to a test that exists, by its file and its name."""
    claimed = 0
    for line in (DOCS / "comparison.md").read_text("utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        links = re.findall(r"\]\((\S*tests/\S+)([^)]*)\)", line)
        for link, title in links:
            module, name = (DOCS / link).resolve(), title.strip(' "')
            assert module.parent == ROOT / "tests", line
            assert re.search(rf"^def {name}\(", module.read_text("utf-8"), re.MULTILINE), link
        if line.startswith("|") and len(cells) > 4 and cells[1].startswith("yes"):
            claimed += 1
            assert links, line
    assert claimed > 15


def test_readme_links_to_what_is_there() -> None:
    text = (ROOT / "README.md").read_text("utf-8")
    files = re.findall(r"\]\(([^):#]+)[^):]*\)|src=\"([^\"]+)\"", text)
    assert len(files) > 5
    for link, picture in files:
        assert (ROOT / (link or picture)).exists(), link or picture


@pytest.mark.parametrize(
    ("module", "names"),
    [
        ("mine.py", "path loss, mobility, medium access, method, topology, client selection, task"),
        (
            "parts.py",
            "protocol, partition, optimizer, robust rule, compressor, allocation, metric, figure",
        ),
    ],
)
def test_each_example_model_is_short(module: str, names: str) -> None:
    text = (EXAMPLES / module).read_text("utf-8")
    pieces = re.findall(r"# begin: (.+)\n(.*?)# end: \1\n", text, flags=re.DOTALL)
    assert [name for name, _ in pieces] == ["imports", *names.split(", ")]
    for name, piece in pieces:
        assert len([line for line in piece.splitlines() if line.strip()]) < 30, name
    # Every public member of the module is on the page.
    outside = re.sub(r"# begin: (.+)\n(.*?)# end: \1\n", "", text, flags=re.DOTALL)
    assert re.fullmatch(r'""".*?"""\s*', outside, flags=re.DOTALL)


def test_models_of_ones_own_run_alike_in_both_engines(tmp_path: Path) -> None:
    for name in ("mine.py", "mine.yaml"):
        shutil.copy(EXAMPLES / name, tmp_path)
    for out, more in (("fast", ()), ("slow", ("--set", "engine=packet", "--only", "seed=1"))):
        done = commands.wnsim(
            "mine.yaml", "--no-figures", "--plugin", "mine", "--out", out, *more, cwd=tmp_path
        )
        assert done.returncode == 0, done.stderr
    fast, slow = tmp_path / "fast" / "seed=1", tmp_path / "slow" / "seed=1"
    tables = sorted(path.name for path in fast.glob("*.csv"))
    assert "transfers.csv" in tables
    for name in tables:
        assert (fast / name).read_bytes() == (slow / name).read_bytes(), name
    assert len((fast / "transfers.csv").read_text("utf-8").splitlines()) > 2
    manifest = json.loads((fast / "manifest.json").read_text("utf-8"))
    page = (DOCS / "results.md").read_text("utf-8").partition("## The manifest")[2]
    documented = [name for cell in re.findall(r"^\| (`.+?`) \|", page, re.MULTILINE) for name in
            re.findall(r"`(\w+)`", cell)]  # fmt: skip
    assert sorted(documented) == sorted(manifest)


def test_the_example_of_exploring_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPLBACKEND", "agg")
    runpy.run_path(str(EXAMPLES / "explore.py"))
    assert "one shared band" in capsys.readouterr().out
    assert (tmp_path / "latency.png").stat().st_size > 1000
