"""Measured links in place of a model: gains, rates or latencies over time, from a table.

Before a link's first sample and after its last the nearest one holds. A pair of devices with
samples in one direction only has the same values in the other.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Literal

import numpy as np

from wnsim.channel.links import ordered
from wnsim.channel.replay_file import read
from wnsim.params import parameters
from wnsim.units import Floats, Ints

Interpolation = Literal["hold", "linear"]


@parameters
class Replay:
    """A file of measured links.

    Parameters
    ----------
    file : path of a CSV file, plain or compressed with gzip
    interpolate : `hold` for the value of the last sample, `linear` for a line from one sample to
        the next, in decibels for gains
    """

    file: str
    interpolate: Interpolation = "hold"

    def links(self, names: Sequence[str]) -> ReplayTable:
        """Return the measured links between devices.

        Parameters
        ----------
        names : names of the devices, in the order of their numbers

        Raises
        ------
        ValueError
            if the file cannot be read, or anything in it is not as it should be
        """
        return ReplayTable(*read(self.file, names), self.interpolate)


class ReplayTable:
    """Measured links over time.

    Parameters
    ----------
    columns : names of the measured values
    samples : (S, 1 + columns) instants [s], in increasing order, and values, by source and target
    interpolate : what holds between two samples
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
        """Whether latencies were measured, which then count in place of rates."""
        return "latency_s" in self._columns

    def gain_db(self, source: Ints, target: Ints, t_s: Floats) -> Floats:
        """Return the measured gain.

        Parameters
        ----------
        source, target : (L,) ends of the links
        t_s : (T,) instants [s]

        Returns
        -------
        (L, T) gain [dB], minus infinity for links that were not measured

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
        """Return the measured rate (L, T) [bit/s], 0 for links not measured; none if no rates."""
        return self._values("rate_bps", source, target, t_s, 0.0)

    def latency_s(self, source: Ints, target: Ints, t_s: Floats) -> Floats | None:
        """Return the measured latency (L, T) [s], infinite if not measured; none if no column."""
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
        bits: int,
        dark_s: Sequence[tuple[float, float]] = (),
    ) -> float:
        """Return when a message that is sent now arrives.

        Parameters
        ----------
        source, target : ends of the link
        now_s : when it is sent [s]
        bits : its size, which counts where rates were measured and no latencies
        dark_s : since when and until when nothing goes through, in the order of beginning [s]

        Returns
        -------
        the instant by the latency that holds now, or at which the integral of the rate reaches
        the size; neither goes on while the link is dark; infinite if it never arrives [s]
        """
        ends = np.array([source]), np.array([target])
        latency_s = self.latency_s(*ends, np.array([now_s]))
        if latency_s is not None:
            return _after(now_s, float(latency_s[0, 0]), dark_s)
        missing = float(bits)
        for begin_s, end_s, begin_bps, end_bps in self._pieces(source, target, now_s, dark_s):
            if math.isinf(end_s):
                return begin_s + missing / begin_bps if begin_bps > 0 else math.inf
            length_s = end_s - begin_s
            carried = 0.5 * (begin_bps + end_bps) * length_s
            if carried >= missing:
                # begin x + slope x^2 / 2 = missing, in the form that bears a slope of zero.
                slope = (end_bps - begin_bps) / length_s
                root = math.sqrt(max(begin_bps**2 + 2.0 * slope * missing, 0.0))
                return begin_s + 2.0 * missing / (begin_bps + root)
            missing -= carried
        return math.inf

    def carried_bits(
        self,
        source: int,
        target: int,
        now_s: float,
        until_s: float,
        dark_s: Sequence[tuple[float, float]] = (),
    ) -> float:
        """Return what a link carries from one instant to another [bit]; 0 if no rates are known.

        Parameters
        ----------
        source, target : ends of the link
        now_s, until_s : the instants [s]
        dark_s : since when and until when nothing goes through, in the order of beginning [s]
        """
        total = 0.0
        if not self.has_latency:
            for begin_s, end_s, begin_bps, end_bps in self._pieces(source, target, now_s, dark_s):
                length_s = min(end_s, until_s) - begin_s
                if length_s <= 0.0:
                    break
                slope = 0.0 if math.isinf(end_s) else (end_bps - begin_bps) / (end_s - begin_s)
                total += (begin_bps + 0.5 * slope * length_s) * length_s
        return total

    def _pieces(
        self, source: int, target: int, now_s: float, dark_s: Sequence[tuple[float, float]]
    ) -> Iterator[tuple[float, float, float, float]]:
        """Yield stretches of time from now on, and the rates of a link at both their ends.

        None, if the link was not measured; the last one does not end.
        """
        track = self._samples.get((source, target))
        if track is None:
            return
        edges_s = [edge for span in dark_s for edge in span if now_s < edge < math.inf]
        times_s = np.unique([now_s, *track[track[:, 0] > now_s, 0], *edges_s])
        ends = np.array([source]), np.array([target])
        rate = self._values("rate_bps", *ends, times_s, 0.0)
        rate_bps = [0.0] * times_s.size if rate is None else rate[0].tolist()
        for begin_s, end_s, begin_bps, next_bps in zip(
            times_s.tolist(),
            [*times_s[1:].tolist(), math.inf],
            rate_bps,
            [*rate_bps[1:], rate_bps[-1]],
            strict=True,
        ):
            if any(since_s <= begin_s < until_s for since_s, until_s in dark_s):
                yield begin_s, end_s, 0.0, 0.0
            else:
                end_bps = begin_bps if self._interpolate == "hold" else next_bps
                yield begin_s, end_s, begin_bps, end_bps

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


def _after(now_s: float, wait_s: float, dark_s: Sequence[tuple[float, float]]) -> float:
    """Return when a while from now on has passed that stands still in the dark [s]."""
    for since_s, until_s in dark_s:
        if now_s + wait_s <= since_s:
            break
        if until_s > now_s:
            wait_s -= max(since_s - now_s, 0.0)
            now_s = until_s
    return now_s + wait_s
