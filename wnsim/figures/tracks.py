"""Tracks of devices and their cluster memberships, read from a run folder."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from wnsim.metrics import read_table, table_file

Floats = npt.NDArray[np.float64]
# No device moves by this share of the area between two instants.
_JUMP = 1 / 3
# If a base station is ten times as far from the middle of the devices as this many sides of their
# box, such as a ground station of satellites, far ones are drawn at this distance.
_FAR = 1.2


@dataclass(frozen=True)
class Tracks:
    """Positions of a run's nodes over time.

    Parameters
    ----------
    names : names of the devices
    times_s : (instants,) ascending instants [s]
    place_m : (instants, devices, 2) positions, NaN for an absent device [m]
    stations : names of the base stations
    station_m : (stations, 2) positions of the base stations, far ones drawn nearer [m]
    to_scale : whether no base station is drawn nearer
    """

    names: list[str]
    times_s: Floats
    place_m: Floats
    stations: list[str]
    station_m: Floats
    to_scale: bool = True

    def at(self, time_s: float) -> Floats:
        """Return the positions of the devices, (devices, 2), NaN for an absent device [m].

        Positions are interpolated linearly between instants. A device that is present at one of the
        two instants only, or wraps around the area, keeps its earlier position.
        """
        after = int(np.searchsorted(self.times_s, time_s, side="right"))
        before = max(after - 1, 0)
        after = min(after, len(self.times_s) - 1)
        first, last = self.place_m[before], self.place_m[after]
        span_s = self.times_s[after] - self.times_s[before]
        share = float(np.clip((time_s - self.times_s[before]) / span_s, 0, 1)) if span_s else 0.0
        moved = first + share * (last - first)
        low_x, high_x, low_y, high_y = self.extent_m
        far_m = _JUMP * max(high_x - low_x, high_y - low_y)
        jumps = (np.abs(last - first) > far_m).any(axis=1, keepdims=True)
        return np.asarray(np.where(np.isnan(last) | jumps, first, moved))

    @cached_property
    def extent_m(self) -> tuple[float, float, float, float]:
        """Return the least and largest x, and the least and largest y [m]."""
        every = np.concatenate([self.place_m.reshape(-1, 2), self.station_m])
        every = every[~np.isnan(every[:, 0])]
        if not len(every):
            return 0.0, 1.0, 0.0, 1.0
        (low_x, low_y), (high_x, high_y) = every.min(axis=0), every.max(axis=0)
        return float(low_x), float(high_x), float(low_y), float(high_y)


def read_tracks(folder: Path) -> Tracks | None:
    """Return the tracks of a run; None if the run has no such table.

    Parameters
    ----------
    folder : run folder
    """
    if table_file(folder / "positions.csv") is None:
        return None
    rows = read_table(folder / "positions.csv").dropna(subset=["time_s"])
    names = read_table(folder / "devices.csv")["device"].tolist()
    times_s = np.unique(rows["time_s"].to_numpy(dtype=np.float64))
    place_m = np.full((len(times_s), len(names), 2), np.nan)
    mine = rows[rows["device"].isin(set(names))]
    number = mine["device"].map({name: n for n, name in enumerate(names)}).to_numpy(dtype=np.intp)
    instant = np.searchsorted(times_s, mine["time_s"].to_numpy())
    place_m[instant, number] = mine[["x_m", "y_m"]].to_numpy()
    others = rows[rows["device"].notna() & ~rows["device"].isin(set(names))]
    station_m = others[["x_m", "y_m"]].to_numpy(dtype=np.float64)
    drawn_m = _drawn_m(station_m, place_m)
    return Tracks(names, times_s, place_m, others["device"].tolist(), drawn_m, drawn_m is station_m)


def _drawn_m(station_m: Floats, place_m: Floats) -> Floats:
    """Return where base stations (stations, 2) are drawn: those given if none is far away [m]."""
    places_m = place_m[~np.isnan(place_m[..., 0])]
    if not len(places_m):
        return station_m
    low_m, high_m = places_m.min(axis=0), places_m.max(axis=0)
    offset_m = station_m - (low_m + high_m) / 2.0
    apart_m = np.hypot(*offset_m.T)
    most_m = _FAR * max(float((high_m - low_m).max()), 1.0)
    if not (apart_m > 10.0 * most_m).any():
        return station_m
    share = np.minimum(most_m / np.maximum(apart_m, most_m), 1.0)
    return np.asarray((low_m + high_m) / 2.0 + offset_m * share[:, None])


def read_members(folder: Path) -> pd.DataFrame:
    """Return the cluster memberships over time; empty if clusters were not recorded.

    Parameters
    ----------
    folder : run folder
    """
    if table_file(folder / "members.csv"):
        return read_table(folder / "members.csv")
    return pd.DataFrame({"round": [], "time_s": [], "cluster": [], "device": []})


def groups_at(members: pd.DataFrame, time_s: float) -> dict[str, int]:
    """Return the cluster of each device that has one at an instant.

    Parameters
    ----------
    members : see `read_members`
    time_s : instant [s]
    """
    begun = members[members["time_s"] <= time_s]
    now = begun[begun["round"] == begun["round"].max()]
    return dict(zip(now["device"], now["cluster"].astype(int), strict=True))
