"""The validation page: a table for each section, and the pictures."""

from __future__ import annotations

import math
import platform
from itertools import groupby
from pathlib import Path

import matplotlib as mpl
import numpy as np
import scipy
from matplotlib.figure import Figure

import wnsim
from validation.check import Finding, Picture, Row
from validation.checks import CHECKS
from wnsim.figures import COLUMN_IN, STYLE

_COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_HEAD = """# Validation

Results of this simulator compared with closed forms, standards' tables and other simulators. The
page is written by `make validation` (`python tests/validation`); `tests/test_validation.py` asserts
that every row passes, with the same functions, some of them on smaller samples.

Each row gives the number of values compared, the largest deviation among them, and the tolerance.
A row that fails says so; *info* marks a value without a tolerance. For random values, tolerances
follow from the sample size (three to four standard errors) unless they are round numbers, and the
draws are the same in every run. Numbers of other simulators were computed with the versions named
in the rows; the head of each table in `tests/reference` describes how. If theory and another
simulator disagree, theory decides.
"""


def write(folder: Path) -> None:
    """Run all checks and write validation.md and its pictures into a folder."""
    (folder / "pictures").mkdir(parents=True, exist_ok=True)
    findings = [(check.room, check.run(True)) for check in CHECKS]
    every = [row for _, finding in findings for row in finding.rows]
    judged = [row for row in every if row.tolerance is not None]
    passed = sum(row.passed for row in judged)
    versions = (
        f"wnsim {wnsim.__version__}, Python {platform.python_version()}, NumPy {np.__version__}, "
        f"SciPy {scipy.__version__}"
    )
    parts = [
        _HEAD,
        f"Made with {versions}.",
        f"{passed} of {len(judged)} rows pass; {len(every) - len(judged)} are informational.\n",
    ]
    for room, members in groupby(findings, key=lambda item: item[0]):
        parts.append(_section(room, [finding for _, finding in members], folder))
    (folder / "validation.md").write_text("\n".join(parts), encoding="utf-8")


def _section(room: str, findings: list[Finding], folder: Path) -> str:
    lines = [f"## {room}", "", "| compared | against | values | largest deviation | allowed | |",
             "|---|---|--:|--:|--:|---|"]  # fmt: skip
    lines += [_line(row) for finding in findings for row in finding.rows]
    for finding in findings:
        for picture in finding.pictures:
            _draw(picture, folder / "pictures" / f"{picture.name}.png")
            alt = picture.name.replace("_", " ")
            lines += ["", f"![{alt}](pictures/{picture.name}.png)", "", picture.text]
    return "\n".join([*lines, ""])


def _line(row: Row) -> str:
    verdict = "info" if row.tolerance is None else "pass" if row.passed else "**FAIL**"
    allowed = "" if row.tolerance is None else _number(row.tolerance, row.unit)
    what, against = (text.replace("|", "\\|") for text in (row.what, row.against))
    found = _number(row.deviation, row.unit)
    return f"| {what} | {against} | {row.cases} | {found} | {allowed} | {verdict} |"


def _number(value: float, unit: str) -> str:
    if value == 0.0 or (unit == "mismatches" and value == int(value)):
        text = f"{value:.0f}"
    elif not math.isfinite(value):
        text = str(value)
    else:
        text = f"{value:.1e}" if abs(value) < 1e-3 else f"{value:.3g}"
    return f"{text} {unit}".strip()


def _draw(picture: Picture, file: Path) -> None:
    style = STYLE | {
        "lines.markersize": 3.0,
        "axes.prop_cycle": mpl.cycler(color=_COLORS),
        "text.parse_math": True,
    }
    with mpl.rc_context({**mpl.rcParamsDefault, **style}):
        figure = Figure(figsize=COLUMN_IN)
        picture.draw(figure.add_subplot())
        # Without the software's version in it, the same picture is the same file.
        figure.savefig(file, dpi=250, metadata={"Software": None})
