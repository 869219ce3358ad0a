"""LaTeX tables in the style of the package booktabs.

Sources: S. Fear, "Publication quality tables in LaTeX" (manual of booktabs).
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from wnsim.core.statistics import Interval

_ESCAPES = {
    "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "\\": r"\textbackslash{}",
    "<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}",
    # After the end of a row, these two would be read as its options.
    "[": "{[}", "*": "{*}",
}  # fmt: skip
MISSING = "--"


def escape(text: str) -> str:
    """Return a text as LaTeX source that typesets it verbatim."""
    # A cell must not contain line breaks or other control characters.
    plain = "".join(" " if unicodedata.category(c).startswith("C") else c for c in text)
    # Two hyphens would become a dash.
    return "".join(_ESCAPES.get(c, c) for c in plain).replace("--", "-{}-{}")


def plus_minus(found: Interval, decimals: int, size: float = 1.0) -> str:
    """Return a mean and its interval as LaTeX source.

    The interval is its half-width, or its ends in brackets if the mean is not in its middle.

    Parameters
    ----------
    found : mean, NaN if there are no values, and interval, NaN if there is none
    decimals : decimal places of all
    size : unit that they are divided by
    """
    if math.isnan(found.mean):
        return MISSING
    mean, low, high = (
        f"{value / size:.{decimals}f}" for value in (found.mean, found.low, found.high)
    )
    if math.isnan(found.half):
        return f"${mean}$"
    if not found.is_centered:
        return rf"${mean}\ [{low}, {high}]$"
    return rf"${mean} \pm {found.half / size:.{decimals}f}$"


def latex(columns: Sequence[str], rows: Iterable[Sequence[str]], align: str) -> str:
    r"""Return a table as LaTeX source, from `\begin{tabular}` to its end.

    Parameters
    ----------
    columns : headings as LaTeX source; see `escape`
    rows : cells of each row as LaTeX source
    align : one letter per column: l, c or r

    Raises
    ------
    ValueError
        if the number of letters or of cells in a row differs from the number of columns
    """
    if len(align) != len(columns) or set(align) - set("lcr"):
        raise ValueError(
            f"align must be a letter l, c or r for each of {len(columns)} columns, got {align!r}"
        )
    lines = [rf"\begin{{tabular}}{{{align}}}", r"\toprule", _row(columns), r"\midrule"]
    for number, row in enumerate(rows, 1):
        if len(row) != len(columns):
            raise ValueError(f"row {number} must have {len(columns)} cells, got {len(row)}")
        lines.append(_row(row))
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", ""])


def _row(cells: Sequence[str]) -> str:
    return " & ".join(cells) + r" \\"
