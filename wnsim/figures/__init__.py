"""Standard figures of a scenario, drawn from its results folder alone.

Each module covers one group of figures. A figure whose table or columns are missing is skipped. A
CSV file beside each figure holds the plotted numbers.
"""

from __future__ import annotations

import functools
import traceback
import warnings
from collections.abc import Callable, Collection, Sequence
from pathlib import Path

import matplotlib as mpl
import pandas as pd
from matplotlib.figure import Figure

from wnsim.core.figure_options import USUAL, FigureOptions, names_of
from wnsim.core.plugins import resolve
from wnsim.figures import (
    clusters,
    delivery,
    directions,
    energy_use,
    learning,
    maps,
    outcomes,
    stacks,
    swept,
    targets,
    timeline,
)
from wnsim.figures.contact_times import draw_contacts
from wnsim.figures.lines import Line, read_lines
from wnsim.figures.options import apply
from wnsim.figures.style import (
    COLUMN_IN,
    PAGE_WIDTH_IN,
    STYLE,
    SUFFIXES,
    legend_above,
    line_style,
    save,
)

__all__ = [
    "COLUMN_IN",
    "FIGURES",
    "MORE",
    "PAGE_WIDTH_IN",
    "STYLE",
    "FigureOptions",
    "Line",
    "draw",
    "draw_contacts",
    "legend_above",
    "line_style",
    "read_lines",
    "remove",
    "save",
]

Plot = Callable[[Figure, Sequence[Line]], pd.DataFrame | None]

FIGURES: dict[str, Plot] = {
    "swept": swept.metrics_over_values,
    "latency": delivery.latency,
    "goodput": delivery.goodput,
    "outcomes": outcomes.outcomes,
    "accuracy": learning.accuracy,
    "accuracy-bytes": learning.accuracy_bytes,
    "accuracy-rounds": learning.accuracy_rounds,
    "tasks": learning.tasks,
    "targets": targets.targets,
    "round-split": stacks.round_split,
    "bytes": stacks.sent_bytes,
    "energy": stacks.energy,
    "collisions": clusters.collisions,
    "map": maps.network_map,
}
"""Figures by name: each draws lines and returns the numbers plotted, None if there are none."""
MORE: dict[str, Plot] = {
    "failures": outcomes.failures,
    "latency-directions": directions.latency_directions,
    "bytes-directions": directions.bytes_directions,
    "energy-devices": energy_use.energy_devices,
    "energy-time": energy_use.energy_time,
    "timeline": timeline.timeline,
}
"""Figures that are drawn if they are asked for."""


def draw(results: Path, runs: Sequence[str], options: FigureOptions = USUAL) -> list[Path]:
    """Draw the standard figures of a scenario into the folder `figures` of its results.

    Parameters
    ----------
    results : results folder of a scenario
    runs : names of the run folders in the order of the legend
    options : which figures, and how

    Returns
    -------
    path of each figure, in the first of its formats

    Warns
    -----
    UserWarning
        for each figure that cannot be drawn; the others are drawn nevertheless; and for each name
        to replace that no line has
    """
    lines = read_lines(results, runs, options)
    known = [name for line in lines for name in names_of(line.variant, line.swept, line.shown)]
    for name in options.names:
        if name not in known:
            has = ", ".join(dict.fromkeys(known)) or "none"
            warnings.warn(
                f"figures show no variant, swept key or swept value {name!r} to rename; they have "
                f"{has}",
                stacklevel=2,
            )
    drawn = []
    with mpl.rc_context({**mpl.rcParamsDefault, **STYLE}):
        for name in options.wanted:
            # User-defined figures are module:name, and a file name has no colon.
            plot = resolve(name) if ":" in name else (FIGURES | MORE)[name]
            if name == "timeline":
                plot = functools.partial(timeline.timeline, device=options.device)
            stem = results / "figures" / name.replace(":", "-")
            path = _drawn(plot, lines, stem, options)
            if path is not None:
                drawn.append(path)
    return drawn


def _drawn(plot: Plot, lines: Sequence[Line], stem: Path, options: FigureOptions) -> Path | None:
    """Draw a figure; return its path, None if it has no numbers or cannot be drawn."""
    try:
        width_in, height_in = COLUMN_IN
        figure = Figure(figsize=(options.width_in or width_in, height_in))
        numbers = plot(figure, lines)
        if not isinstance(numbers, pd.DataFrame | None):
            kind = type(numbers).__name__
            raise TypeError(f"it must return a data frame of the numbers shown, got {kind}")
        if numbers is not None:
            apply(options, figure)
            return save(figure, numbers, stem, options.formats)
    except OSError:
        raise
    # Runs take hours: no error in a picture may hide their numbers.
    except Exception as error:
        why = f"{type(error).__name__}: {error}{_place(error)}"
        warnings.warn(f"figure {stem.name}: cannot be drawn: {why}", stacklevel=3)
    _remove(stem)
    return None


def _place(error: Exception) -> str:
    """Return the last place of an error outside of this package, as of a user-defined figure."""
    frames = traceback.extract_tb(error.__traceback__)[1:]
    if not frames or Path(frames[0].filename).parent == Path(__file__).parent:
        return ""
    own = [frame for frame in frames if frame.filename == frames[0].filename]
    return f" ({Path(own[-1].filename).name}:{own[-1].lineno})"


def remove(results: Path, keep: Collection[str] = ()) -> None:
    """Remove the built-in figures of a results folder, which show an earlier state of it.

    Parameters
    ----------
    results : results folder of a scenario
    keep : names of those that do not
    """
    for name in {*FIGURES, *MORE}.difference(keep):
        _remove(results / "figures" / name)


def _remove(stem: Path) -> None:
    """Remove a figure; one of an earlier state of the results would be taken for this one's."""
    for suffix in SUFFIXES:
        stem.with_suffix(suffix).unlink(missing_ok=True)
