"""Measured links: gains, rates or latencies over time from a table, in place of a model.

Before a link's first sample and after its last one the nearest sample holds. A pair of devices with
samples in one direction only has the same values in the other.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from wnsim.channel.links import ordered
from wnsim.channel.replay_file import read
from wnsim.core.params import parameters
from wnsim.core.units import Floats, Ints

Interpolation = Literal["hold", "linear"]


@parameters
class Replay:
    """File of measured links.

    Parameters
    ----------
    file : path of a CSV file, plain or compressed with gzip
    interpolate : `hold` for the value of the last sample, `linear` for interpolation between
        samples, in decibels for gains
    """

    file: str
    interpolate: Interpolation = "hold"

    def links(self, names: Sequence[str]) -> ReplayTable:
        """Read the measured links between devices.

        Parameters
        ----------
        names : names of the devices in the order of their numbers

        Raises
        ------
        ValueError
            if the file cannot be read or is malformed
        """
        return ReplayTable(*read(self.file, names), self.interpolate)


class ReplayTable:
    """Measured links over time.

    Parameters
    ----------
    columns : names of the measured quantities
    samples : (S, 1 + columns) instants [s], ascending, and values, by source and target
    interpolate : interpolation between samples
    """

    def __init__(
        self,
        columns: Sequence[str],
        samples: dict[tuple[int, int], Floats],
        interpolate: Interpolation,
    ) -> None:
        self._columns = {name: 1 + n for n, name in enumerate(columns)}
        reverse = {(target, source): track for (source, target), track in samples.items()}
        self._samples = reverse | samples
        self._interpolate = interpolate

    @property
    def has_gain(self) -> bool:
        """Whether gains were measured."""
        return "gain_db" in self._columns

    @property
    def has_latency(self) -> bool:
        """Whether latencies were measured, which then take precedence over rates."""
        return "latency_s" in self._columns

    def gain_db(self, source: Ints, target: Ints, t_s: Floats) -> Floats:
        """Return the measured gain.

        Parameters
        ----------
        source, target : (L,) ends of the links
        t_s : (T,) instants [s]

        Returns
        -------
        (L, T) gain [dB], minus infinity for links without measurements

        Raises
        ------
        ValueError
            if gains were not measured, or a link joins a device with itself
        """
        gain_db = self._values("gain_db", source, target, t_s, -math.inf)
        if gain_db is None:
            raise ValueError("gain_db must be a column of a replayed table, got none")
        return gain_db

    def rate_bps(self, source: Ints, target: Ints, t_s: Floats) -> Floats | None:
        """Return the measured rate (L, T) [bit/s], 0 for unmeasured links, or None."""
        return self._values("rate_bps", source, target, t_s, 0.0)

    def latency_s(self, source: Ints, target: Ints, t_s: Floats) -> Floats | None:
        """Return the measured latency (L, T) [s], infinite for unmeasured links, or None."""
        return self._values("latency_s", source, target, t_s, math.inf)

    @property
    def times_messages(self) -> bool:
        """Whether rates or latencies were measured in place of gains."""
        return not self.has_gain and bool({"rate_bps", "latency_s"} & self._columns.keys())

    def arrival_s(
        self,
        source: int,
        target: int,
        now_s: float,
        bits: Ints,
        dark_s: Sequence[tuple[float, float]] = (),
    ) -> Floats:
        """Return when parts of a message sent now arrive.

        Parameters
        ----------
        source, target : ends of the link
        now_s : instant of sending [s]
        bits : (n,) number of bits up to the end of each part, used with rates
        dark_s : start and end of link outages, by start [s]

        Returns
        -------
        (n,) instants, by the current latency, or when the integral of the rate reaches the bits;
        both pause during outages; infinite if a part never arrives [s]
        """
        ends = np.array([source]), np.array([target])
        latency_s = self.latency_s(*ends, np.array([now_s]))
        if latency_s is not None:
            return np.full(len(bits), _after(now_s, float(latency_s[0, 0]), dark_s))
        pieces = self._pieces(source, target, now_s, dark_s)
        reached = np.cumsum(pieces.bits(math.inf))
        place = np.searchsorted(reached, bits)
        never = place == reached.size
        place[never] = 0
        missing = bits - np.concatenate([[0.0], reached])[place]
        begin_bps, slope = pieces.begin_bps[place], pieces.slope[place]
        # Root of begin x + slope x^2 / 2 = missing, in the form that allows a slope of zero.
        root = np.sqrt(np.maximum(begin_bps**2 + 2.0 * slope * missing, 0.0))
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            arrival_s = pieces.begin_s[place] + 2.0 * missing / (begin_bps + root)
        return np.where(never, math.inf, arrival_s)

    def carried_bits(
        self,
        source: int,
        target: int,
        now_s: float,
        until_s: float,
        dark_s: Sequence[tuple[float, float]] = (),
    ) -> float:
        """Return the bits that a link carries between two instants [bit]; 0 without rates.

        Parameters
        ----------
        source, target : ends of the link
        now_s, until_s : the instants [s]
        dark_s : start and end of link outages, by start [s]
        """
        if self.has_latency:
            return 0.0
        return float(self._pieces(source, target, now_s, dark_s).bits(until_s).sum())

    def _pieces(
        self, source: int, target: int, now_s: float, dark_s: Sequence[tuple[float, float]]
    ) -> _Pieces:
        """Return the rate of a link from an instant on."""
        track = self._samples.get((source, target), np.empty((0, 2)))
        edges_s = [edge for span in dark_s for edge in span if now_s < edge < math.inf]
        begin_s = np.unique([now_s, *track[track[:, 0] > now_s, 0], *edges_s])
        ends = np.array([source]), np.array([target])
        rate = self.rate_bps(*ends, begin_s)
        rate_bps = np.zeros(begin_s.size) if rate is None else rate[0]
        length_s = np.append(np.diff(begin_s), math.inf)
        slope = np.zeros(begin_s.size)
        if self._interpolate == "linear":
            slope[:-1] = np.diff(rate_bps) / length_s[:-1]
        light = np.ones(begin_s.size, dtype=np.bool_)
        for since_s, until_s in dark_s:
            light &= (begin_s < since_s) | (begin_s >= until_s)
        return _Pieces(begin_s, length_s, np.where(light, rate_bps, 0.0), np.where(light, slope, 0))

    def _values(
        self, name: str, source: Ints, target: Ints, t_s: Floats, missing: float
    ) -> Floats | None:
        """Return the values (L, T) of a column."""
        ordered(source, target)
        column = self._columns.get(name)
        if column is None:
            return None
        t_s = np.asarray(t_s, dtype=np.float64)
        values = np.full((len(source), t_s.size), missing)
        ends = zip(np.asarray(source).tolist(), np.asarray(target).tolist(), strict=True)
        for link, pair in enumerate(ends):
            track = self._samples.get(pair)
            if track is not None and self._interpolate == "linear":
                values[link] = np.interp(t_s, track[:, 0], track[:, column])
            elif track is not None:
                last = np.searchsorted(track[:, 0], t_s, side="right") - 1
                values[link] = track[np.maximum(last, 0), column]
        return values


@dataclass(frozen=True, slots=True)
class _Pieces:
    """Piecewise linear rate: start and length [s], rate at the start and slope, each (n,).

    The last piece is unbounded.
    """

    begin_s: Floats
    length_s: Floats
    begin_bps: Floats
    slope: Floats

    def bits(self, until_s: float) -> Floats:
        """Return the bits carried in each piece up to an instant [s]: (n,) [bit]."""
        length_s = np.clip(until_s - self.begin_s, 0.0, self.length_s)
        mean_bps = self.begin_bps + 0.5 * self.slope * np.where(self.slope == 0.0, 0.0, length_s)
        # A rate of zero carries nothing, even in an unbounded piece.
        return mean_bps * np.where(mean_bps == 0.0, 0.0, length_s)


def _after(now_s: float, wait_s: float, dark_s: Sequence[tuple[float, float]]) -> float:
    """Return when a duration from now has passed, not counting outages [s]."""
    for since_s, until_s in dark_s:
        if now_s < since_s and now_s + wait_s <= since_s:
            break
        if until_s > now_s:
            wait_s -= max(since_s - now_s, 0.0)
            now_s = until_s
    return now_s + wait_s
