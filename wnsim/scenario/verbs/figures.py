"""`wnsim figures FOLDER`: the standard figures of a results folder, as a paper needs them."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from wnsim.scenario.errors import ScenarioError

_FORMATS = ("pdf", "svg", "png")
_WIDTHS_IN = (1.0, 20.0)


def parser() -> argparse.ArgumentParser:
    """Return the parser of the words after the verb."""
    made = argparse.ArgumentParser(
        prog="wnsim figures",
        description="Draw the standard figures of a results folder again; run nothing.",
    )
    made.add_argument("results", type=Path, help="folder of a scenario's results")
    made.add_argument(
        "--only", action="append", default=[], metavar="FIGURE", help="figure to draw, such as "
        "latency (repeatable; default: all)",
    )  # fmt: skip
    made.add_argument(
        "--width", type=float, metavar="INCHES", help="width of figures of one column (default: "
        "3.5; a page of two columns has 7.16)",
    )  # fmt: skip
    made.add_argument("--no-band", action="store_true", help="leave out intervals behind lines")
    made.add_argument("--no-note", action="store_true", help="leave out remarks on message sizes")
    made.add_argument(
        "--format", action="append", default=[], choices=_FORMATS, help="file format (repeatable; "
        "default: all)",
    )  # fmt: skip
    made.add_argument(
        "--name", action="append", default=[], metavar="NAME=SHOWN", help="text to show in place "
        "of a variant, a swept key, or a swept value, written key=value (repeatable)",
    )  # fmt: skip
    return made


def main(arguments: Sequence[str]) -> int:
    """Draw figures; print their paths; return 0.

    Raises
    ------
    ScenarioError
        if there is no complete run, an option is invalid, or nothing can be drawn
    """
    options = parser().parse_args(arguments)

    from wnsim.figures import FIGURES, Options, draw
    from wnsim.report.__main__ import complete_runs

    for name in options.only:
        if name not in FIGURES:
            raise ScenarioError(f"--only {name}: no figure; known: {', '.join(FIGURES)}")
    low_in, high_in = _WIDTHS_IN
    if options.width is not None and not low_in <= options.width <= high_in:
        raise ScenarioError(
            f"--width must be from {low_in:g} to {high_in:g} inches, got {options.width:g}"
        )
    names = {}
    for text in options.name:
        # A swept value has an equals sign of its own.
        name, equals, shown = text.rpartition("=")
        if not (equals and name and shown):
            raise ScenarioError(f"--name {text}: must be NAME=SHOWN")
        names[name] = shown
    wanted = Options(
        only=tuple(options.only), width_in=options.width, bands=not options.no_band,
        notes=not options.no_note, formats=tuple(options.format or _FORMATS), names=names,
    )  # fmt: skip
    try:
        paths = draw(options.results, complete_runs(options.results), wanted)
    except ValueError as error:
        raise ScenarioError(str(error)) from error
    if not paths:
        raise ScenarioError(f"{options.results}: nothing to draw of {', '.join(options.only)}")
    for path in paths:
        print(path)
    return 0
