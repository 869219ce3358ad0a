"""Network map: devices, clusters and messages at three instants."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import count, islice, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from wnsim.figures.lines import Line
from wnsim.figures.style import COLORS, PAGE_WIDTH_IN, legend_above, line_style, short
from wnsim.figures.tracks import Floats, Tracks, groups_at, read_members, read_tracks
from wnsim.metrics import read_transfers
from wnsim.metrics.delivery import counted

_PANELS = 3
_COLUMNS = ("kind", "source", "target", "started_s", "ended_s", "delivered")
# Aspect ratio above which the panels are stacked vertically.
_WIDE = 2.5
_LEAST_HEIGHT_IN, _FRAME_IN = 0.5, 0.95
_MOST_NAMED, _MOST_SINGLE = 6, 100
# Messages drawn at one instant.
MOST_DRAWN = 2_000
_ARRIVES: dict[str, Any] = {"color": "0.45", "linestyle": "-", "linewidth": 0.7}
_MISSED: dict[str, Any] = {"color": COLORS[1], "linestyle": (0, (3, 1.5)), "linewidth": 0.9}
_ALONE: dict[str, Any] = {"marker": "o", "color": "0.6"}


def network_map(figure: Figure, lines: Sequence[Line]) -> pd.DataFrame | None:
    """Plot the first run with messages, at the busiest instant of each third.

    A message is drawn from its source to its destination even if it passes base stations; the
    server behind them is drawn at the first one. Of more than 2,000 messages at an instant every
    n-th is drawn, and the title says so.
    """
    found = next(
        (
            (line, folder, tracks, transfers)
            for line in lines
            for folder in line.folders[:1]
            if (tracks := read_tracks(folder)) is not None
            and len(transfers := on_map(folder, tracks))
        ),
        None,
    )
    if found is None:
        return None
    line, folder, tracks, transfers = found
    members = read_members(folder)
    low_x, high_x, low_y, high_y = tracks.extent_m
    margin_m = 0.04 * max(high_x - low_x, high_y - low_y, 1.0)
    ratio = (high_x - low_x + 2 * margin_m) / (high_y - low_y + 2 * margin_m)
    stacked = ratio > _WIDE
    shape = (_PANELS, 1) if stacked else (1, _PANELS)
    panels = figure.subplots(*shape, sharex=True, sharey=True, squeeze=False).ravel()
    instants_s = _instants_s(transfers, float(tracks.times_s[-1]))
    member_of = {time_s: groups_at(members, time_s) for time_s in instants_s}
    groups = sorted(set().union(*(joined_groups(each) for each in member_of.values())))
    numbers = []
    for axes, time_s in zip(panels, instants_s, strict=True):
        on_air = transfers[(transfers["started_s"] <= time_s) & (time_s < transfers["ended_s"])]
        step = max(1, -(-len(on_air) // MOST_DRAWN))
        numbers += [draw_links(axes, tracks, on_air[::step], time_s)]
        numbers += [draw_nodes(axes, tracks, member_of[time_s], groups, time_s)]
        drawn = f", 1 in {step} drawn" if step > 1 else ""
        axes.set_title(f"{time_s:.2f} s, {len(on_air)} messages{drawn}")
        axes.set_aspect("equal")
        axes.set_xlim(low_x - margin_m, high_x + margin_m)
        axes.set_ylim(low_y - margin_m, high_y + margin_m)
        axes.label_outer()
    panels[0].set_ylabel("y [m]")
    for axes in panels[-1:] if stacked else panels:
        axes.set_xlabel("x [m]")
    for axes in panels[1:] if stacked else []:
        axes.set_ylabel("y [m]")
    width_in = PAGE_WIDTH_IN if stacked else PAGE_WIDTH_IN / _PANELS
    height_in = max(_LEAST_HEIGHT_IN, (width_in - 0.3) / ratio)
    figure.set_size_inches(
        PAGE_WIDTH_IN, _FRAME_IN + (_PANELS * (height_in + 0.25) if stacked else height_in)
    )
    legend_above(figure, map_handles(tracks, groups))
    figure.supxlabel(short(f"{line.name}: {folder.name}"), fontsize=6, color="0.35")
    return pd.concat(numbers).sort_values(["time_s", "what"], kind="stable")


def on_map(folder: Path, tracks: Tracks) -> pd.DataFrame:
    """Return the messages that were on the air between two positions on the map."""
    transfers = read_transfers(folder, _COLUMNS)
    if not set(_COLUMNS) <= set(transfers):
        return pd.DataFrame()
    known = {*tracks.names, *tracks.stations, *(["server"] if tracks.stations else [])}
    transfers = counted(transfers)
    return transfers[
        transfers["started_s"].notna()
        & (transfers["ended_s"] > transfers["started_s"])
        & transfers["source"].isin(known)
        & transfers["target"].isin(known)
    ]


def _instants_s(transfers: pd.DataFrame, until_s: float) -> list[float]:
    """Return the busiest instant of each part of the run, or the middle of the part."""
    times_s = np.concatenate([transfers["started_s"], transfers["ended_s"]])
    changes = np.repeat([1, -1], len(transfers))
    # At the same instant, messages end before others start.
    order = np.lexsort((changes, times_s))
    times_s, busy = times_s[order], np.cumsum(changes[order])[:-1]
    ends_s = np.linspace(0.0, until_s, _PANELS + 1)
    instants_s = []
    for part_s in pairwise(ends_s):
        first_s, last_s = times_s[:-1].clip(*part_s), times_s[1:].clip(*part_s)
        inside = np.where(last_s > first_s, busy, 0)
        best = int(inside.argmax())
        between_s = (first_s[best], last_s[best]) if inside[best] > 0 else part_s
        instants_s.append(float(np.mean(between_s)))
    return instants_s


def draw_links(axes: Axes, tracks: Tracks, on_air: pd.DataFrame, time_s: float) -> pd.DataFrame:
    """Plot the messages on the air and return them."""
    places = _places(tracks, time_s)
    ends = [
        np.array([places[name] for name in on_air[end]]).reshape(-1, 2)
        for end in ("source", "target")
    ]
    arrives = on_air["delivered"].to_numpy(dtype=bool)
    thin = 1.0 if len(on_air) <= _MOST_SINGLE else 0.5
    for zorder, which, style in ((1, arrives, _ARRIVES), (2, ~arrives, _MISSED)):
        segments = np.stack([end[which] for end in ends], axis=1)
        axes.add_collection(
            LineCollection(
                list(segments), colors=style["color"], linestyles=[style["linestyle"]],
                linewidths=thin * style["linewidth"], alpha=0.8, zorder=zorder,
            )
        )  # fmt: skip
    return pd.DataFrame(
        {
            "time_s": time_s,
            "what": "message",
            "name": on_air["source"].to_numpy(),
            "x_m": ends[0][:, 0],
            "y_m": ends[0][:, 1],
            "to": on_air["target"].to_numpy(),
            "to_x_m": ends[1][:, 0],
            "to_y_m": ends[1][:, 1],
            "delivered": arrives,
        }
    )


def draw_nodes(
    axes: Axes,
    tracks: Tracks,
    member_of: dict[str, int],
    groups: Sequence[int],
    time_s: float,
) -> pd.DataFrame:
    """Plot devices and base stations and return them."""
    place_m = tracks.at(time_s)
    joined = joined_groups(member_of)
    there = ~np.isnan(place_m[:, 0])
    size = 3.5 if len(tracks.names) <= _MOST_SINGLE else 1.5
    group_of = [
        group if (group := member_of.get(name)) in joined else None for name in tracks.names
    ]
    for group in [None, *groups]:
        shown = place_m[there & np.array([each == group for each in group_of])]
        axes.plot(
            *shown.T, linestyle="none", markersize=size, markeredgecolor="white",
            markeredgewidth=0.3, zorder=3, **_marker(group, groups),
        )  # fmt: skip
    axes.plot(*tracks.station_m.T, **_station_style())
    devices = pd.DataFrame(
        {
            "time_s": time_s,
            "what": "device",
            "name": tracks.names,
            "x_m": place_m[:, 0],
            "y_m": place_m[:, 1],
            "cluster": [member_of.get(name) for name in tracks.names],
        }
    )
    stations = pd.DataFrame(
        {
            "time_s": time_s,
            "what": "base station",
            "name": tracks.stations,
            "x_m": tracks.station_m[:, 0],
            "y_m": tracks.station_m[:, 1],
        }
    )
    parts = [each for each in (devices[there], stations) if len(each)]
    # Nothing at all if no device is present at this instant.
    return pd.concat(parts) if parts else devices[there]


def _places(tracks: Tracks, time_s: float) -> dict[str, Floats]:
    """Return the position of each node; the server is at the first station."""
    places = dict(zip(tracks.names, tracks.at(time_s), strict=True))
    places |= dict(zip(tracks.stations, tracks.station_m, strict=True))
    if tracks.stations:
        places["server"] = tracks.station_m[0]
    return places


def joined_groups(member_of: dict[str, int]) -> set[int]:
    """Return the clusters with more than one member."""
    return {group for group, members in Counter(member_of.values()).items() if members > 1}


def _marker(group: int | None, groups: Sequence[int]) -> dict[str, Any]:
    """Return marker and color of a cluster's devices; None: devices without a cluster."""
    if group is None:
        return _ALONE if groups else {"marker": "o", "color": COLORS[0]}
    # The second color is reserved for late and lost messages.
    styles = filter(lambda style: style["color"] != _MISSED["color"], map(line_style, count()))
    style = next(islice(styles, groups.index(group), None))
    return {"marker": style["marker"], "color": style["color"]}


def _station_style() -> dict[str, Any]:
    return {
        "linestyle": "none", "marker": "^", "markersize": 6, "color": "black",
        "markeredgecolor": "white", "markeredgewidth": 0.4, "zorder": 4,
    }  # fmt: skip


def map_handles(tracks: Tracks, groups: Sequence[int]) -> list[Line2D]:
    """Return the legend entries."""
    point: dict[str, Any] = {"linestyle": "none", "markersize": 3.5}
    handles = []
    if not groups:
        handles.append(Line2D([], [], label="device", marker="o", color=COLORS[0], **point))
    elif len(groups) <= _MOST_NAMED:
        handles += [
            Line2D([], [], label=f"cluster {group}", **point, **_marker(group, groups))
            for group in groups
        ]
    else:
        handles.append(
            Line2D(
                [], [], label="devices, one marker per cluster", marker="o", color="0.3", **point
            )
        )
    if groups:
        handles.append(Line2D([], [], label="no cluster", **point, **_ALONE))
    if tracks.stations:
        label = "base station" if tracks.to_scale else "base station (direction only)"
        handles.append(Line2D([], [], label=label, **_station_style()))
    handles.append(Line2D([], [], label="delivered message", **_ARRIVES))
    handles.append(Line2D([], [], label="late or lost message", **_MISSED))
    return handles
