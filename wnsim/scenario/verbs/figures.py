"""`wnsim figures FOLDER`: the standard figures of a results folder, as a paper needs them.

The words are the keys of the section `figures` of a scenario file.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from wnsim.core.figure_options import FORMATS, FigureOptions
from wnsim.core.plugins import ALLOWED
from wnsim.scenario.errors import ScenarioError
from wnsim.scenario.options import add_traceback
from wnsim.scenario.spec.explanations import nearest
from wnsim.scenario.spec.schema import described
from wnsim.scenario.spec.validation import allow

_WORDS: dict[str, tuple[str, dict[str, Any]]] = {
    "only": ("--only", {"action": "append", "metavar": "FIGURE"}),
    "more": ("--more", {"action": "append", "metavar": "FIGURE"}),
    "device": ("--device", {"metavar": "NAME"}),
    "width_in": ("--width", {"type": float, "metavar": "INCHES"}),
    "bands": ("--no-band", {"action": "store_false"}),
    "notes": ("--no-note", {"action": "store_false"}),
    "formats": ("--format", {"action": "append", "choices": FORMATS}),
    "names": ("--name", {"action": "append", "metavar": "NAME=SHOWN"}),
}
"""The word of each key, and how it is parsed; one that is absent leaves the default."""


def parser() -> argparse.ArgumentParser:
    """Return the parser of the words after the verb."""
    made = argparse.ArgumentParser(
        prog="wnsim figures",
        description="Draw the standard figures of a results folder again; run nothing.",
        argument_default=argparse.SUPPRESS,
    )
    made.add_argument("results", type=Path, help="folder of a scenario's results")
    meaning = described(FigureOptions)
    for key, (word, how) in _WORDS.items():
        text = meaning[key]
        if word.startswith("--no-"):
            text = f"not {text}"
        if how.get("action") == "append":
            text += " (repeatable)"
        made.add_argument(word, dest=key, help=text.replace("%", "%%"), **how)
    made.add_argument(
        "--plugin", action="append", default=[], metavar="MODULE",
        help="import a trusted module, which has your own figures (repeatable)",
    )  # fmt: skip
    made.add_argument(
        "--movie", type=Path, metavar="FILE",
        help="write the movie of a run in place of figures, .gif, or .mp4 with the program ffmpeg",
    )  # fmt: skip
    made.add_argument("--run", metavar="RUN", help="run of the movie; the first one by default")
    add_traceback(made)
    return made


def main(arguments: Sequence[str]) -> int:
    """Draw figures; print their paths; return 0.

    Raises
    ------
    ScenarioError
        if there is no complete run, an option is invalid, or nothing can be drawn
    """
    given = vars(parser().parse_args(arguments))
    results, plugins = given.pop("results"), allow(given.pop("plugin"))
    given.pop("traceback", None)
    movie, run = given.pop("movie", None), given.pop("run", None)
    if movie is not None:
        if given:
            word = _WORDS[next(iter(given))][0]
            raise ScenarioError(f"{word}: is for figures, and --movie draws none")
        return _draw_movie(results, run, movie)
    if run is not None:
        raise ScenarioError(f"--run {run}: names the run of a movie, and there is no --movie")
    wanted = _options(given, plugins)

    from wnsim.figures import draw
    from wnsim.report.__main__ import complete_runs

    try:
        paths = draw(results, complete_runs(results), wanted)
    except ValueError as error:
        raise ScenarioError(str(error)) from error
    if not paths:
        raise ScenarioError(f"{results}: nothing to draw of {', '.join(wanted.wanted)}")
    for path in paths:
        print(path)
    return 0


def _draw_movie(results: Path, run: str | None, path: Path) -> int:
    """Draw the movie of a run; print its path; return 0."""
    from wnsim.figures.movie import draw_movie
    from wnsim.report.__main__ import complete_runs

    try:
        names = complete_runs(results)
        if run is not None and run not in names:
            raise ScenarioError(f"--run {run}: no complete run of this name{nearest(run, names)}")
        draw_movie(results / (run or names[0]), path)
    except ValueError as error:
        raise ScenarioError(str(error)) from error
    print(path)
    return 0


def _options(given: dict[str, Any], plugins: frozenset[str]) -> FigureOptions:
    """Return the options that words ask for."""
    if "names" in given:
        given["names"] = dict(_named(text) for text in given["names"])
    adapter = TypeAdapter(FigureOptions)
    try:
        found: FigureOptions = adapter.validate_json(json.dumps(given), context={ALLOWED: plugins})
    except ValidationError as error:
        detail = error.errors(include_url=False)[0]
        word = _WORDS[str(detail["loc"][0])][0]
        said = detail["msg"].replace("Input should be", "must be")
        why = str(detail.get("ctx", {}).get("error", said))
        raise ScenarioError(f"{word} {detail['input']}: {why}") from error
    return found


def _named(text: str) -> tuple[str, str]:
    """Return a name, and what is shown in its place."""
    # A swept value has an equals sign of its own.
    name, equals, shown = text.rpartition("=")
    if not (equals and name and shown):
        raise ScenarioError(f"--name {text}: must be NAME=SHOWN")
    return name, shown
