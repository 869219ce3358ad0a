"""Movie of a run: devices on a map, messages on the air, and accuracy over time."""

from __future__ import annotations

import itertools
import shutil
import tempfile
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.animation import AbstractMovieWriter, FFMpegWriter, PillowWriter
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from wnsim.figures.maps import (
    MOST_DRAWN,
    draw_links,
    draw_nodes,
    joined_groups,
    map_handles,
    on_map,
)
from wnsim.figures.style import COLORS, STYLE, legend_above
from wnsim.figures.tracks import Tracks, groups_at, read_members, read_tracks
from wnsim.metrics import read_table, table_file
from wnsim.storage import records

SUFFIXES = (".mp4", ".gif")
_SIZE_IN, _DPI = (7.2, 3.6), 120
_PER_S = 12
"""Frames per second of the movie."""


def draw_movie(folder: Path, path: Path, length_s: float = 15.0) -> None:
    """Draw the movie of a run: a frame for each part of its time.

    A frame shows the messages that were on the air at any time of its part, from source to
    destination, as `maps.network_map` does, and the accuracy up to its end.

    Parameters
    ----------
    folder : folder of a complete run
    path : file to write: `.mp4`, which needs the program ffmpeg, or `.gif`
    length_s : length of the movie [s]

    Raises
    ------
    ValueError
        if the file has another suffix, ffmpeg is missing, or the run has no positions
    """
    if path.suffix not in SUFFIXES:
        raise ValueError(f"{path}: a movie must be a file {' or '.join(SUFFIXES)}")
    if path.suffix == ".mp4" and shutil.which("ffmpeg") is None:
        raise ValueError(f"{path}: needs the program ffmpeg, and {path.stem}.gif does without")
    tracks = read_tracks(folder)
    if tracks is None or not len(tracks.times_s):
        raise ValueError(f"{folder}: has no positions to show")
    with (
        mpl.rc_context({**mpl.rcParamsDefault, **STYLE}),
        tempfile.TemporaryDirectory() as temporary,
    ):
        made = Path(temporary) / f"movie{path.suffix}"
        _write(folder, tracks, made, max(2, round(length_s * _PER_S)))
        records.write(path, made.read_bytes())


def _write(folder: Path, tracks: Tracks, path: Path, frames: int) -> None:
    """Write the frames of a movie."""
    messages, members = on_map(folder, tracks), read_members(folder)
    until_s = float(tracks.times_s[-1])
    edges_s = np.linspace(0.0, until_s, frames + 1)
    groups = sorted(
        set().union(*(joined_groups(groups_at(members, each)) for each in set(members["time_s"])))
    )
    curve = _accuracy(folder)
    figure = Figure(figsize=_SIZE_IN)
    plan, *beside = figure.subplots(1, 1 if curve is None else 2, squeeze=False)[0]
    legend_above(figure, map_handles(tracks, groups))
    # Video formats have an even number of rows; the legend has changed it.
    figure.set_size_inches(_SIZE_IN[0], 2 * round(figure.get_figheight() * _DPI / 2) / _DPI)
    # The layout stays as it is in the first frame.
    _draw_map(plan, tracks, messages, members, groups, 0.0, until_s)
    for axes in beside:
        _draw_curve(axes, curve, until_s, until_s)
    figure.get_layout_engine().execute(figure)  # type: ignore[union-attr]
    figure.set_layout_engine("none")
    writer = _writer(path)
    with writer.saving(figure, str(path), _DPI):
        for begin_s, end_s in itertools.pairwise(edges_s):
            _draw_map(plan, tracks, messages, members, groups, begin_s, end_s)
            for axes in beside:
                _draw_curve(axes, curve, end_s, until_s)
            writer.grab_frame()


def _writer(path: Path) -> AbstractMovieWriter:
    """Return the writer of a file; equal frames make equal files."""
    if path.suffix == ".gif":
        return PillowWriter(fps=_PER_S)
    exact = ["-fflags", "+bitexact", "-flags:v", "+bitexact", "-threads", "1"]
    return FFMpegWriter(fps=_PER_S, codec="libx264", extra_args=["-pix_fmt", "yuv420p", *exact])


def _draw_map(
    axes: Axes,
    tracks: Tracks,
    messages: pd.DataFrame,
    members: pd.DataFrame,
    groups: list[int],
    begin_s: float,
    end_s: float,
) -> None:
    """Draw nodes at the end of a part of the time, and the messages of the part."""
    axes.cla()
    shown = messages
    if len(messages):
        shown = messages[(messages["started_s"] < end_s) & (messages["ended_s"] > begin_s)]
    step = max(1, -(-len(shown) // MOST_DRAWN))
    if len(shown):
        draw_links(axes, tracks, shown[::step], end_s)
    draw_nodes(axes, tracks, groups_at(members, end_s), groups, end_s)
    low_x, high_x, low_y, high_y = tracks.extent_m
    margin_m = 0.04 * max(high_x - low_x, high_y - low_y, 1.0)
    drawn = f", 1 in {step} drawn" if step > 1 else ""
    count = f"{len(shown)} message{'s' * (len(shown) != 1)}{drawn}"
    axes.set(
        xlabel="x [m]", ylabel="y [m]", title=f"{end_s:#.4g} s, {count}",
        xlim=(low_x - margin_m, high_x + margin_m), ylim=(low_y - margin_m, high_y + margin_m),
    )  # fmt: skip
    axes.set_aspect("equal")


def _draw_curve(axes: Axes, curve: pd.DataFrame | None, now_s: float, until_s: float) -> None:
    """Draw the accuracy up to an instant."""
    if curve is None:
        return
    axes.cla()
    past = curve[curve["time_s"] <= now_s]
    axes.plot(past["time_s"], past["accuracy"], color=COLORS[0], marker="o", markersize=3)
    axes.axvline(now_s, color="0.6", linewidth=0.6)
    axes.set(
        xlabel="Simulated time [s]", ylabel="Accuracy, all tasks", ylim=(0.0, 1.02),
        xlim=(0.0, 1.02 * until_s or 1.0),
    )  # fmt: skip


def _accuracy(folder: Path) -> pd.DataFrame | None:
    """Return time and mean accuracy of each evaluation; None if nothing is learned."""
    if table_file(folder / "evaluations.csv") is None:
        return None
    rows = read_table(folder / "evaluations.csv", ["round", "time_s", "accuracy"])
    return rows.groupby("round")[["time_s", "accuracy"]].mean()
