"""The code blocks of the documentation and of the README, executed.

The blocks of a page run in order, in a folder with the files of docs/examples. Python is run.
YAML must be a scenario, or sections that belong in one; a block that begins with a file's name in
a comment is written to that file. In a console block a command with an output below it is run and
must print that output, `...` matching anything; a command without output is only parsed.
"""

from __future__ import annotations

import contextlib
import doctest
import io
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from ruamel.yaml import YAML
from sybil import Example, Sybil
from sybil.example import SybilFailure
from sybil.parsers.myst import CodeBlockParser, PythonCodeBlockParser

from wnsim.scenario import __main__, contracts, options, verbs
from wnsim.scenario.errors import ScenarioError
from wnsim.scenario.spec.plan import plan
from wnsim.scenario.spec.validation import allow

ROOT = Path(__file__).parent.parent
PAGES = [
    *sorted(path for path in ROOT.glob("docs/**/*.md") if "_" not in path.parent.name),
    ROOT / "README.md",
]
FILE = re.compile(r"# ([\w-]+\.yaml)\b")
OWN = re.compile(r"model: '?(\w+):\w")
LOOKS = ("ls", "head", "cat")
TOOLS = ("dask", "make", "pip", "python")


def scenario(example: Example) -> str | None:
    """Check a block of YAML: a scenario, or sections that belong in one."""
    text = str(example.parsed)
    keys = YAML(typ="safe").load(text)
    if not {"fl", "traffic"} & set(keys) and "variants" not in keys:
        text += "\ntraffic: {size_bytes: 1000}\n"
    if "name" not in keys:
        text += "\nname: part\n"
    name = FILE.match(text)
    file = Path(name[1] if name else "block.yaml")
    file.write_text(text, "utf-8")
    try:
        plan(str(file), [], allow(sorted(set(OWN.findall(text)))))
    except ScenarioError as error:
        return str(error)
    return None


def console(example: Example) -> str | None:
    """Run the commands that have an output below them, and parse the others."""
    for part in re.split(r"^\$ ", str(example.parsed), flags=re.MULTILINE)[1:]:
        command, _, wanted = re.sub(r"\\\n\s*", "", part).partition("\n")
        words = shlex.split(command, comments=True)
        got = _answer(words, run=bool(wanted.strip()))
        flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
        if wanted.strip() and not doctest.OutputChecker().check_output(wanted, got, flags):
            return f"{command}\nshould print\n{wanted}\nbut prints\n{got}"
    return None


def _answer(words: list[str], *, run: bool) -> str:
    """Return the output of a command, if it is to be run."""
    ours = words[1:] if words[0] == "wnsim" else None
    if words[:3] == ["python", "-m", "wnsim.scenario"]:
        ours = words[3:]
    elif words[0] in ("torchrun", "srun") and "wnsim.scenario" in words:
        ours = words[words.index("wnsim.scenario") + 1 :]
    if ours is not None:
        verb, given = verbs.split(ours)
        if verbs.is_own(verb):
            verbs.parser_of(verb).parse_args(given)
        else:
            options.parser().parse_args([*verbs.options_of(verb), *given])
    elif words[0] not in (*LOOKS, *TOOLS):
        raise ValueError(f"must be a command that is known, got {words[0]}")
    if not run:
        return ""
    if words[0] in LOOKS:
        return subprocess.run(words, capture_output=True, text=True, check=True).stdout
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
        if words[:3] == ["python", "-m", "wnsim.scenario.contracts"]:
            contracts.main(words[3:])
        elif ours is not None:
            __main__.main(ours)
        else:
            raise ValueError(f"only commands of wnsim are run, got {' '.join(words)}")
    return out.getvalue()


SYBIL = Sybil(
    parsers=[
        PythonCodeBlockParser(),
        CodeBlockParser("yaml", scenario),
        CodeBlockParser("console", console),
    ]
)


@pytest.mark.usefixtures("svg_only")
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_blocks_of_a_page(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(ROOT / "docs" / "examples", tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("mine", "parts", "compressor"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    for example in SYBIL.parse(page).examples():
        example.evaluate()


@pytest.mark.parametrize(
    ("language", "text", "failure"),
    [
        ("python", "assert False", AssertionError),
        ("yaml", "radio: {bandwith_hz: 1}", SybilFailure),
        ("console", "$ python -m wnsim.scenario --chekc urban.yaml", SystemExit),
        ("console", "$ wnsim nowhere.yaml\nresults are in results/nowhere", SybilFailure),
        ("console", "$ wnsmi urban.yaml", ValueError),
        ("console", "$ wnsim extend results/urban --runds 40", SystemExit),
    ],
)
def test_a_block_that_is_not_so_is_found(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    language: str,
    text: str,
    failure: type[BaseException],
) -> None:
    monkeypatch.chdir(tmp_path)
    page = tmp_path / "page.md"
    page.write_text(f"```{language}\n{text}\n```\n", "utf-8")
    (example,) = SYBIL.parse(page).examples()
    with pytest.raises(failure):
        example.evaluate()
