"""The code blocks of the documentation and of the README are tests: what they show is so.

A page runs in an empty folder with the files of docs/examples. Blocks of Python run one after the
other; a block of YAML that begins with a file's name in a comment is written to that file. Each
must be a scenario, or a part of one. In a block of console a command under which an output stands
is run and must print that, `...` standing for anything; one without is only understood.
"""

from __future__ import annotations

import contextlib
import doctest
import io
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from sybil import Example, Sybil
from sybil.parsers.myst import CodeBlockParser, PythonCodeBlockParser

EXAMPLES = Path(__file__).parent / "docs" / "examples"
FILE = re.compile(r"# ([\w-]+\.yaml)\b")
LOOKS = ("ls", "head", "cat")


def scenario(example: Example) -> str | None:
    """Check a block of YAML: a whole scenario, or sections that go into one."""
    from wnsim.scenario.errors import ScenarioError
    from wnsim.scenario.reading import allow
    from wnsim.scenario.sweep import plan

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
        plan(str(file), [], allow(["mine"] if "mine:" in text else []))
    except ScenarioError as error:
        return str(error)
    return None


def console(example: Example) -> str | None:
    """Run the commands of a block under which outputs stand, and understand the others."""
    for part in re.split(r"^\$ ", str(example.parsed), flags=re.MULTILINE)[1:]:
        command, _, wanted = re.sub(r"\\\n\s*", "", part).partition("\n")
        words = shlex.split(command, comments=True)
        got = _answer(words, run=bool(wanted.strip()))
        flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
        if wanted.strip() and not doctest.OutputChecker().check_output(wanted, got, flags):
            return f"{command}\nshould print\n{wanted}\nbut prints\n{got}"
    return None


def _answer(words: list[str], *, run: bool) -> str:
    """Return what a command prints, if it is to be run."""
    from wnsim.scenario import __main__, contracts, options

    if words[0] in LOOKS:
        return subprocess.run(words, capture_output=True, text=True, check=True).stdout if run else ""
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
        if words[:3] == ["python", "-m", "wnsim.scenario.contracts"]:
            contracts.main(words[3:])
        elif words[:3] == ["python", "-m", "wnsim.scenario"] or words[0] == "wnsim":
            rest = words[1:] if words[0] == "wnsim" else words[3:]
            options.parser().parse_args(rest)
            if run:
                __main__.main(rest)
        elif run or words[0] not in ("make", "pip", "torchrun", "srun", "python"):
            raise ValueError(f"nothing is known of {' '.join(words)}")
    return out.getvalue()


def begin(namespace: dict[str, Any]) -> None:
    """Give a page a folder of its own."""
    namespace["_before"] = Path.cwd(), list(sys.path)
    shutil.copytree(EXAMPLES, folder := Path(tempfile.mkdtemp()), dirs_exist_ok=True)
    os.chdir(folder)


def end(namespace: dict[str, Any]) -> None:
    """Leave nothing behind."""
    folder = Path.cwd()
    before, sys.path[:] = namespace["_before"]
    os.chdir(before)
    sys.modules.pop("mine", None)
    shutil.rmtree(folder)


pytest_collect_file = Sybil(
    parsers=[
        PythonCodeBlockParser(),
        CodeBlockParser("yaml", scenario),
        CodeBlockParser("console", console),
    ],
    patterns=["docs/*.md", "README.md"],
    excludes=["docs/_*"],
    setup=begin,
    teardown=end,
).pytest()
