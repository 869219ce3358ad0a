"""Figure style: sizes, fonts, line styles, hatches, legends and file formats.

Figures are one column (3.5 in) or two columns (7.16 in) wide, in 8 pt serif TrueType fonts. Lines
differ in dashes and markers and areas in hatches, so that figures are readable in grey. Colors:
Okabe and Ito, "Color universal design", 2008.
"""

from __future__ import annotations

import io
import re
import unicodedata
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib import rc_context
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.ticker import FuncFormatter, NullFormatter

from wnsim.core.figure_options import FORMATS
from wnsim.figures.options import NOTE
from wnsim.storage import records

COLUMN_IN = (3.5, 2.4)
PICTURES: dict[str, dict[str, Any]] = {
    ".pdf": {"metadata": {"CreationDate": None}},
    ".svg": {"metadata": {"Date": None}},
    ".png": {"dpi": 300},
}
"""Formats of a figure, with matplotlib's options for each."""
SUFFIXES = (*PICTURES, ".csv")
PAGE_WIDTH_IN = 7.16
STYLE: dict[Any, Any] = {
    "font.family": "serif",
    "font.serif": ["Times New Roman", "Times", "Nimbus Roman", "STIX Two Text", "STIXGeneral"],
    "mathtext.fontset": "stix",
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.labelsize": 8,
    "legend.fontsize": 7,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "axes.linewidth": 0.6,
    "lines.linewidth": 1.2,
    "lines.markersize": 3.5,
    "hatch.linewidth": 0.5,
    "legend.frameon": False,
    "axes.grid": True,
    "grid.linewidth": 0.4,
    "grid.color": "0.88",
    "axes.axisbelow": True,
    "pdf.fonttype": 42,
    "ps.fonttype": 42,
    # Text remains text; element names are reproducible.
    "svg.fonttype": "none",
    "svg.hashsalt": "wnsim",
    "savefig.bbox": None,
    "figure.constrained_layout.use": True,
    # Labels are shown verbatim, dollar signs included.
    "text.parse_math": False,
}
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
DASHES: tuple[Any, ...] = ("-", (0, (4, 1.5)), (0, (1, 1)), (0, (4, 1, 1, 1)), (0, (6, 2)))
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
# Tints of the colors on which a black hatch is visible.
FILLS = ("#FFFFFF", "#9CC9E3", "#F5C04D", "#BFE3D6", "#E8A878", "#DDB3CC", "#8C8C8C")
HATCHES = ("", "////", "....", r"\\\\", "xxxx", "----", "++++")
DOTTED: Any = (0, (1, 1.2))

# Layout of a legend: letters of 7 pt in a row of 3.5 in, and height of a row.
_LETTERS_PER_ROW, _HANDLE_LETTERS, _LONGEST_LABEL, _ROW_IN = 72, 7, 60, 0.14
_LETTERS_OF_TICK = 20
# Where the name of a row may be broken: not inside numbers.
_BREAK = re.compile(r"(?<=[\s,_=-])|(?<=\.)(?=\D)")
_PREFIXES = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"), (1.0, ""))


def line_style(index: int) -> dict[str, Any]:
    """Return color, dashes and marker of the line with an index."""
    return {
        "color": COLORS[index % len(COLORS)],
        "linestyle": DASHES[index % len(DASHES)],
        # Colors repeat after seven lines, with other markers.
        "marker": MARKERS[(index + index // len(COLORS)) % len(MARKERS)],
    }


def area_style(index: int) -> dict[str, Any]:
    """Return fill, hatch and edge of the area with an index."""
    return {
        "facecolor": FILLS[index % len(FILLS)],
        # Fills repeat after seven areas, with other hatches.
        "hatch": HATCHES[(index + index // len(FILLS)) % len(HATCHES)],
        "edgecolor": "black",
        "linewidth": 0.5,
    }


def legend_above(figure: Figure, handles: Sequence[Artist]) -> None:
    """Place the legend above the axes; more rows increase the figure height."""
    entries = [(handle, short(str(handle.get_label()))) for handle in handles]
    width_in, height_in = figure.get_size_inches()
    letters = _LETTERS_PER_ROW * width_in / COLUMN_IN[0]
    most = max(n for n in range(1, len(entries) + 1) if n == 1 or _fits(entries, n, letters))
    rows = -(-len(entries) // most)
    columns = -(-len(entries) // rows)
    figure.legend(
        *zip(*entries, strict=True), loc="outside upper center", ncols=columns,
        columnspacing=1.0, handlelength=2.2, borderaxespad=0.2, borderpad=0.2,
    )  # fmt: skip
    figure.set_size_inches(width_in, height_in + _ROW_IN * (rows - 1))


def _fits(entries: Sequence[tuple[Artist, str]], columns: int, letters: float) -> bool:
    """Return whether a legend with a number of columns fits a width in letters."""
    parts = np.array_split([_letters(label) for _, label in entries], columns)
    return sum(float(part.max()) + _HANDLE_LETTERS for part in parts) <= letters


def _letters(text: str) -> float:
    """Return the width of a text in letters of medium width."""
    widths = {"Lu": 1.4, "So": 2.0, "Lo": 2.0}
    return sum(
        2.0 if letter in "MWmw@%" else widths.get(unicodedata.category(letter), 1.0)
        for letter in text
    )


def _fitting(text: str, letters: float) -> int:
    """Return the number of leading letters that fit a width."""
    return next((n for n in range(len(text), 0, -1) if _letters(text[:n]) <= letters), 1)


def short(label: str) -> str:
    """Return a label shortened for a legend; a leading underscore would hide it."""
    shown = label
    if _letters(label) > _LONGEST_LABEL:
        shown = label[: _fitting(label, _LONGEST_LABEL - 3)] + "..."
    return f" {shown}" if shown.startswith("_") else shown


def in_rows(label: str) -> str:
    """Return a label for an axis of names: as in a legend, broken into rows."""
    rows = [""]
    for part in _BREAK.split(short(label).strip()):
        if _letters((rows[-1] + part).rstrip()) <= _LETTERS_OF_TICK:
            rows[-1] += part
            continue
        rest = part
        while rest:
            n = _fitting(rest, _LETTERS_OF_TICK)
            rows.append(rest[:n])
            rest = rest[n:]
    return "\n".join(row.strip() for row in rows if row.strip()) or " "


def scale(axis: Axis, quantity: str, unit: str, largest: float) -> None:
    """Label an axis and show its values with the unit prefix that suits the largest one."""
    factor, prefix = next(
        ((factor, prefix) for factor, prefix in _PREFIXES if largest >= factor), (1.0, "")
    )
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value / factor:g}"))
    axis.set_label_text(f"{quantity} [{prefix}{unit}]")


def logarithmic(axes: Axes) -> None:
    """Make the abscissa logarithmic, with plain numbers: powers would be shown as their source."""
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())


def say_sizes(axes: Axes, sizes: Iterable[str]) -> None:
    """State beside the axes whether message sizes are actual or emulated."""
    axes.text(
        1.01, 0.5, _sizes(sizes), transform=axes.transAxes, rotation=90, fontsize=6, color="0.35",
        ha="left", va="center", gid=NOTE,
    )  # fmt: skip


def say_sizes_below(figure: Figure, sizes: Iterable[str]) -> None:
    """State at the foot of a low figure whether message sizes are actual or emulated."""
    figure.supxlabel(short(_sizes(sizes)), fontsize=6, color="0.35", gid=NOTE)


def _sizes(sizes: Iterable[str]) -> str:
    return ", ".join(
        "actual sizes" if size == "actual" else f"emulated sizes: {size}"
        for size in sorted(set(sizes))
    )


def printable(text: str) -> str:
    """Return a text with control characters escaped; XML cannot hold them."""
    return "".join(
        each if each.isprintable() or each == "\n" else ascii(each)[1:-1] for each in text
    )


def save(
    figure: Figure,
    numbers: pd.DataFrame,
    stem: Path,
    formats: Collection[str] = FORMATS,
) -> Path:
    """Save a figure and its numbers.

    Parameters
    ----------
    figure, numbers : the figure, and what it shows
    stem : path of the files, without a suffix
    formats : formats of the figure; the numbers are a CSV file

    Returns
    -------
    path of the figure in the first of the formats that it has
    """
    for text in figure.findobj(Text):
        text.set_text(printable(text.get_text()))
    # The layout takes most of the time, and is the same in each format.
    layout = figure.get_layout_engine()
    if layout is not None:
        layout.execute(figure)
    # Even a placeholder would cost a drawing for each format.
    with rc_context({"figure.constrained_layout.use": False}):
        figure.set_layout_engine(None)
    wanted = {suffix: PICTURES[suffix] for suffix in PICTURES if suffix[1:] in formats}
    for suffix, options in wanted.items():
        picture = io.BytesIO()
        figure.savefig(picture, format=suffix[1:], **options)
        records.write(stem.with_suffix(suffix), picture.getvalue())
    table = numbers.round(9).to_csv(index=False, lineterminator="\n")
    records.write(stem.with_suffix(".csv"), table.encode())
    return stem.with_suffix(next(iter(wanted)))
