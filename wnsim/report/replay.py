"""Replay data of a run: compact tables from which a map with a clock is drawn.

Sizes are bounded so that any run fits a page: positions are those of `positions.csv` (at most
100,000); of more than 20,000 messages or device rounds every n-th is kept; likewise of evaluations
and cluster changes beyond 100,000 times devices. `notes` states what was thinned. Times are 32-bit
floats, positions 16-bit fractions of the area.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from wnsim.figures.tracks import Tracks, groups_at, read_members, read_tracks
from wnsim.metrics import read_table, read_transfers, table_file
from wnsim.metrics.delivery import counted, counts
from wnsim.report.packing import packed, packed_places, thinned

MOST_MESSAGES = 20_000
MOST_ROUNDS = 20_000
MOST_CELLS = 100_000
_COLUMNS = ("kind", "source", "target", "started_s", "ended_s", "delivered", "size_bytes")
_INSTANTS_OF_COUNTS = 500
_MARGIN = 0.05
_NO_GROUP = 65535
_LONGEST_NAME = 60


def replay(folder: Path) -> dict[str, Any] | None:
    """Return the replay data of a run; None if it has no positions.

    Parameters
    ----------
    folder : folder of a complete run
    """
    tracks = read_tracks(folder)
    if tracks is None or not len(tracks.times_s):
        return None
    notes: list[str] = []
    box_m = _box_m(tracks)
    until_s = float(tracks.times_s[-1])
    devices = read_table(folder / "devices.csv")
    return {
        "until": until_s,
        "devices": [_short(name) for name in tracks.names],
        "tasks": [_short(str(task)) for task in _column(devices, "task", "")],
        "sent": [int(count) for count in _column(devices, "messages", 0)],
        "delivered": [int(count) for count in _column(devices, "delivered", 0)],
        "stations": [_short(name) for name in tracks.stations],
        "box": list(box_m),
        "times": packed(tracks.times_s, "f4"),
        "places": packed_places(tracks.place_m, box_m),
        "stationPlaces": packed_places(tracks.station_m, box_m),
        "messages": _messages(folder, tracks, until_s, notes),
        "rounds": _rounds(folder, tracks, notes),
        "members": _members(folder, tracks, notes),
        "accuracy": _accuracy(folder, tracks, notes),
        "notes": notes,
    }


def _box_m(tracks: Tracks) -> tuple[float, float, float, float]:
    """Return the part of the plane to show: all positions and a margin [m]."""
    low_x, high_x, low_y, high_y = tracks.extent_m
    margin = _MARGIN * max(high_x - low_x, high_y - low_y, 1.0)
    return low_x - margin, high_x + margin, low_y - margin, high_y + margin


def _messages(
    folder: Path, tracks: Tracks, until_s: float, notes: list[str]
) -> dict[str, Any] | None:
    """Return source, destination, start and end of messages, and the number ended over time."""
    transfers = read_transfers(folder, _COLUMNS)
    if not set(_COLUMNS) - {"kind"} <= set(transfers):
        return None
    nodes = {name: n for n, name in enumerate([*tracks.names, *tracks.stations, "server"])}
    if tracks.stations:
        notes.append(
            "Messages through base stations are drawn from source to target, and the server where "
            "the first station is."
        )
    if not tracks.to_scale:
        notes.append("Base stations that are far away are drawn nearer, in their direction.")
    if "kind" not in transfers:
        transfers["kind"] = "update"
    ours = counted(transfers)
    known = transfers["source"].isin(nodes) & transfers["target"].isin(nodes)
    shown = transfers[known & transfers["started_s"].notna()].sort_values(
        ["started_s", "ended_s"], kind="stable"
    )
    every, step = thinned(len(shown), MOST_MESSAGES)
    if step > 1:
        notes.append(
            f"Of {len(shown):,} messages on the air every {_ordinal(step)} is drawn; those that "
            "arrived or were missed are all counted."
        )
    shown = shown[every].astype(dict.fromkeys(("kind", "source", "target"), object))
    kinds = list(dict.fromkeys(shown["kind"]))
    instants_s = np.linspace(0.0, until_s, _INSTANTS_OF_COUNTS)
    ended = {
        name: np.searchsorted(np.sort(ours.loc[of, "ended_s"]), instants_s, side="right")
        for name, of in (("arrived", ours["delivered"]), ("missed", ~ours["delivered"]))
    }
    return {
        "kinds": [_short(kind) for kind in kinds],
        "step": step,
        "quiet": [int(not each) for each in counts(pd.Series(kinds))],
        "kind": packed(shown["kind"].map(kinds.index).to_numpy(), "u1"),
        "source": packed(shown["source"].map(nodes).to_numpy(), "u2"),
        "target": packed(shown["target"].map(nodes).to_numpy(), "u2"),
        "started": packed(shown["started_s"].to_numpy(), "f4"),
        "ended": packed(shown["ended_s"].to_numpy(), "f4"),
        "delivered": packed(shown["delivered"].to_numpy(), "u1"),
        "size": packed(shown["size_bytes"].to_numpy(), "f4"),
        "arrivedBy": packed(ended["arrived"], "u4"),
        "missedBy": packed(ended["missed"], "u4"),
    }


def _rounds(folder: Path, tracks: Tracks, notes: list[str]) -> dict[str, Any] | None:
    """Return the training intervals of each device by start."""
    if table_file(folder / "rounds.csv") is None:
        return None
    rows = read_table(folder / "rounds.csv").sort_values("start_s", kind="stable")
    every, step = thinned(len(rows), MOST_ROUNDS)
    if step > 1:
        notes.append(f"Of {len(rows):,} rounds of devices every {_ordinal(step)} is shown.")
    rows = rows[every]
    numbers = {name: n for n, name in enumerate(tracks.names)}
    return {
        "number": packed(rows["round"].to_numpy(), "u4"),
        "device": packed(rows["device"].map(numbers).to_numpy(), "u2"),
        "start": packed(rows["start_s"].to_numpy(), "f4"),
        "trained": packed(rows["trained_s"].to_numpy(), "f4"),
        "end": packed(rows["end_s"].to_numpy(), "f4"),
    }


def _members(folder: Path, tracks: Tracks, notes: list[str]) -> dict[str, Any] | None:
    """Return the cluster of each device over time, without clusters of one device."""
    members = read_members(folder)
    begins_s = sorted(set(members["time_s"]))
    every, step = thinned(len(begins_s), _most_rows(tracks))
    if step > 1:
        notes.append(f"Of {len(begins_s):,} changes of groups every {_ordinal(step)} is shown.")
        begins_s = begins_s[every]
    rows = []
    for begin_s in begins_s:
        group_of = groups_at(members, begin_s)
        counts = pd.Series(list(group_of.values())).value_counts()
        rows.append(
            [
                group if counts.get(group := group_of.get(name, -1), 0) > 1 else _NO_GROUP
                for name in tracks.names
            ]
        )
    if not any(group != _NO_GROUP for row in rows for group in row):
        return None
    groups = sorted({group for row in rows for group in row if group != _NO_GROUP})
    return {
        "groups": groups,
        "times": packed(begins_s, "f4"),
        "of": packed(
            [[_NO_GROUP if g == _NO_GROUP else groups.index(g) for g in row] for row in rows], "u2"
        ),
    }


def _accuracy(folder: Path, tracks: Tracks, notes: list[str]) -> dict[str, Any] | None:
    """Return the mean accuracy over time: on all tasks, on own tasks, and by device."""
    if table_file(folder / "evaluations.csv") is None:
        return None
    rows = read_table(folder / "evaluations.csv")
    numbers = sorted(rows["round"].unique())
    every, step = thinned(len(numbers), _most_rows(tracks))
    if step > 1:
        notes.append(f"Of {len(numbers):,} evaluations every {_ordinal(step)} is shown.")
        rows = rows[rows["round"].isin(numbers[every])]
    by_round = rows.groupby("round")
    own = rows[rows["own_task"]].groupby("round")["accuracy"].mean()
    each = rows.pivot_table(index="round", columns="device", values="accuracy")
    return {
        "times": packed(by_round["time_s"].first().to_numpy(), "f4"),
        "rounds": packed(by_round["time_s"].first().index.to_numpy(), "u4"),
        "all": packed(by_round["accuracy"].mean().to_numpy(), "f4"),
        "own": packed(own.reindex(by_round["accuracy"].mean().index).to_numpy(), "f4"),
        "each": packed(
            (each.reindex(columns=tracks.names).fillna(0.0) * 10_000).round().to_numpy(), "u2"
        ),
    }


def _most_rows(tracks: Tracks) -> int:
    """Return the maximum number of instants of a table with one value per device."""
    return max(2, MOST_CELLS // len(tracks.names))


def _column(table: pd.DataFrame, name: str, missing: Any) -> list[Any]:
    if name not in table:
        return [missing] * len(table)
    return [missing if pd.isna(value) else value for value in table[name]]


def _short(name: str) -> str:
    return name if len(name) <= _LONGEST_NAME else name[: _LONGEST_NAME - 3] + "..."


def _ordinal(number: int) -> str:
    return {2: "second", 3: "third"}.get(number, f"{number}th")
