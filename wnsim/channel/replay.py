"""Measured links: gains, rates or latencies over time from files, in place of a model.

Before a link's first sample the first one holds, and after its last one `Replay.end` decides. A
pair of nodes with samples in one direction only has the same values in the other.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from wnsim.channel.links import ordered
from wnsim.channel.periodic_rate import SLACK, SLACK_BITS, PeriodicRate
from wnsim.channel.replay_file import BAND_GAIN, read
from wnsim.channel.replay_lines import OnBadRow
from wnsim.channel.replay_recordings import Recording
from wnsim.core.params import parameters
from wnsim.core.units import Floats, Ints, db_to_linear, linear_to_db

Interpolation = Literal["hold", "linear"]
End = Literal["auto", "hold", "wrap", "stop"]
Files = str | Annotated[tuple[str, ...], Field(min_length=1)]


@parameters
class Replay:
    """Files of measured links.

    Parameters
    ----------
    file : path of a table of links, plain or compressed with gzip; or of recordings of the downlink
        of each device, in their order
    uplink : paths of recordings of the uplink of each device, if they have files of their own
    format : "table" with the header t_s,source,target and one or more of gain_db, rate_bps and
        latency_s, where source and target are devices, stations (station-0) or the server;
        recordings of rates between a device and the server: "mahimahi", "ucc" (Raca), "lumos5g" (a
        device per run), "nyu-mets", "ghent"; "auto" infers the format from the content
    interpolate : `hold` for the value of the last sample, `linear` for interpolation between
        samples, in decibels for gains
    end : after the last sample `hold` its value, `wrap` to the first sample, or `stop`, so that the
        link carries nothing; `auto` is wrap for mahimahi, and otherwise hold
    on_bad_row : "error" for the first invalid row; "skip" leaves invalid rows out, and notes how
        many and which
    """

    file: Files
    uplink: Files | None = None
    format: Recording = "auto"
    interpolate: Interpolation = "hold"
    end: End = "auto"
    on_bad_row: OnBadRow = "error"

    def links(self, names: Sequence[str], stations: int = 0) -> ReplayTable:
        """Read the measured links between devices, base stations and the server.

        Parameters
        ----------
        names : names of the devices in the order of their numbers
        stations : number of base stations, whose numbers follow, and with any a server

        Raises
        ------
        ValueError
            if a file cannot be read or is malformed
        """
        found = read(
            several(self.file),
            several(self.uplink),
            names,
            stations,
            layout=self.format,
            on_bad_row=self.on_bad_row,
        )
        wraps = {"auto": list(found.wraps), "wrap": list(found.samples)}.get(self.end, [])
        ending = list(found.samples) if self.end == "stop" else wraps
        return ReplayTable(
            found.columns,
            found.samples,
            self.interpolate,
            ends_s={pair: found.ends_s[pair] for pair in ending},
            wraps=wraps,
            notes=found.notes,
        )


class ReplayTable:
    """Measured links over time.

    Parameters
    ----------
    columns : names of the measured quantities
    samples : (S, 1 + columns) instants [s], ascending, and values, by source and target
    interpolate : interpolation between samples
    ends_s : instant at which the measurement of a link ends, by source and target; without it its
        last value holds [s]
    wraps : links whose measurement repeats from its end on, rather than stops
    notes : what a user should know about how the files were read

    Attributes
    ----------
    notes : as above
    """

    def __init__(
        self,
        columns: Sequence[str],
        samples: dict[tuple[int, int], Floats],
        interpolate: Interpolation,
        *,
        ends_s: Mapping[tuple[int, int], float] | None = None,
        wraps: Collection[tuple[int, int]] = (),
        notes: tuple[str, ...] = (),
    ) -> None:
        self._columns = {name: 1 + n for n, name in enumerate(columns)}
        self.notes = notes
        # Of a link that was measured in one direction only, the values hold for both.
        measured = {(target, source): (source, target) for source, target in samples}
        measured |= {pair: pair for pair in samples}
        self._samples = {pair: samples[origin] for pair, origin in measured.items()}
        # Samples of a column alone: columns of gains may have gaps.
        self._tracks: dict[tuple[tuple[int, int], int], Floats] = {}
        bands = sum(name.startswith(BAND_GAIN) for name in columns)
        self._gains = [f"{BAND_GAIN}{band}" for band in range(bands)] or ["gain_db"]
        self._interpolate = interpolate
        ends_s = ends_s or {}
        self._ends_s = {
            pair: ends_s[origin] for pair, origin in measured.items() if origin in ends_s
        }
        self._wraps = {pair for pair, origin in measured.items() if origin in wraps}
        self._periodic: dict[tuple[int, int], PeriodicRate] = {}
        if "rate_bps" in self._columns:
            column = self._columns["rate_bps"]
            self._periodic = {
                pair: PeriodicRate(
                    self._samples[pair][:, [0, column]],
                    self._ends_s[pair],
                    linear=interpolate == "linear",
                )
                for pair in self._wraps
            }

    def measures(self, source: int, target: int) -> bool:
        """Return whether a link was measured, in either direction."""
        return (source, target) in self._samples

    def best(self, device: int, nodes: Sequence[int], now_s: float, *, up: bool) -> int:
        """Return the node with the best measured link to or from a device, the first of equals.

        Parameters
        ----------
        device : the device
        nodes : the nodes
        now_s : the instant [s]
        up : whether the device sends
        """
        others, own = np.array(nodes), np.full(len(nodes), device)
        source, target = (own, others) if up else (others, own)
        at_s = np.array([now_s])
        latency_s = self.latency_s(source, target, at_s)
        if latency_s is not None:
            return int(others[np.argmin(latency_s[:, 0])])
        rate_bps = self.rate_bps(source, target, at_s)
        return int(others[0 if rate_bps is None else np.argmax(rate_bps[:, 0])])

    @property
    def has_gain(self) -> bool:
        """Whether gains were measured."""
        return self._gains[0] in self._columns

    def check_subbands(self, subbands: int) -> None:
        """Raise ValueError if gains were measured in another number of subbands than this one."""
        if len(self._gains) not in (1, subbands):
            raise ValueError(
                f"channel.subbands must be {len(self._gains)}, as many as the columns "
                f"{self._gains[0]} to {self._gains[-1]} of the replayed table, got {subbands}"
            )

    @property
    def has_latency(self) -> bool:
        """Whether latencies were measured, which then take precedence over rates."""
        return "latency_s" in self._columns

    def gain_db(self, source: Ints, target: Ints, t_s: Floats) -> Floats:
        """Return the measured mean gain.

        Parameters
        ----------
        source, target : (L,) ends of the links
        t_s : (T,) instants [s]

        Returns
        -------
        (L, T) gain [dB], by the column of mean gains, or else the mean over the subbands; minus
        infinity for links without measurements

        Raises
        ------
        ValueError
            if gains were not measured, or a link joins a device with itself
        """
        if not self.has_gain:
            raise ValueError("gain_db must be a column of a replayed table, got none")
        mean_db = self._values("mean_gain_db", source, target, t_s, -math.inf)
        if mean_db is not None:
            return mean_db
        found = self._gains_db(source, target, t_s)
        if len(found) == 1:
            return found[0]
        return linear_to_db(np.mean(db_to_linear(np.stack(found)), axis=0))

    def power_gain(self, source: Ints, target: Ints, t_s: Floats) -> Floats:
        """Return the measured power gain, with fading.

        Parameters
        ----------
        source, target : (L,) ends of the links
        t_s : (T,) instants [s]

        Returns
        -------
        (L, T, B) linear gain in B subbands, or in one that stands for all; zero for links without
        measurements
        """
        return db_to_linear(np.stack(self._gains_db(source, target, t_s), axis=-1))

    def _gains_db(self, source: Ints, target: Ints, t_s: Floats) -> list[Floats]:
        """Return the measured gain (L, T) of each subband [dB]."""
        found = [self._values(name, source, target, t_s, -math.inf) for name in self._gains]
        return [gain_db for gain_db in found if gain_db is not None]

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
        if (source, target) in self._periodic:
            return self._periodic[source, target].arrivals_s(now_s, bits.tolist(), dark_s)
        pieces = self._pieces(source, target, now_s, dark_s)
        reached = np.cumsum(pieces.bits(math.inf))
        # Sums of rounded numbers must not miss the end of a piece.
        place = np.searchsorted(reached, bits - SLACK_BITS - SLACK * bits)
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
        if (source, target) in self._periodic:
            return self._periodic[source, target].carried_between(now_s, until_s, dark_s)
        return float(self._pieces(source, target, now_s, dark_s).bits(until_s).sum())

    def _pieces(
        self, source: int, target: int, now_s: float, dark_s: Sequence[tuple[float, float]]
    ) -> _Pieces:
        """Return the rate of a link from an instant on."""
        track = self._samples.get((source, target), np.empty((0, 2)))
        edges_s = [edge for span in dark_s for edge in span if now_s < edge < math.inf]
        end_s = self._ends_s.get((source, target), math.inf)
        edges_s += [end_s] if now_s < end_s < math.inf else []
        begin_s = np.unique([now_s, *track[track[:, 0] > now_s, 0], *edges_s])
        ends = np.array([source]), np.array([target])
        rate = self.rate_bps(*ends, begin_s)
        rate_bps = np.zeros(begin_s.size) if rate is None else rate[0]
        length_s = np.append(np.diff(begin_s), math.inf)
        slope = np.zeros(begin_s.size)
        if self._interpolate == "linear":
            # The last value holds until the end of the measurement.
            slope[:-1] = np.where(
                begin_s[:-1] < np.max(track[:, 0], initial=-math.inf),
                np.diff(rate_bps) / length_s[:-1],
                0.0,
            )
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
            track = self._track(pair, column)
            if track is None:
                continue
            end_s, at_s = self._ends_s.get(pair, math.inf), t_s
            if pair in self._wraps:
                first_s = track[0, 0]
                at_s = np.where(t_s < first_s, t_s, first_s + (t_s - first_s) % (end_s - first_s))
            if self._interpolate == "linear":
                values[link] = np.interp(at_s, track[:, 0], track[:, 1])
            else:
                last = np.searchsorted(track[:, 0], at_s, side="right") - 1
                values[link] = track[np.maximum(last, 0), 1]
            if pair not in self._wraps:
                values[link, t_s >= end_s] = missing
        return values

    def _track(self, pair: tuple[int, int], column: int) -> Floats | None:
        """Return the instants and values (S, 2) of a column of a link; None without any."""
        samples = self._samples.get(pair)
        if samples is None:
            return None
        track = self._tracks.get((pair, column))
        if track is None:
            track = samples[:, [0, column]]
            track = self._tracks[pair, column] = track[~np.isnan(track[:, 1])]
        return track if len(track) else None


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


def several(files: str | tuple[str, ...] | None) -> tuple[str, ...]:
    """Return names of files as a tuple."""
    return () if files is None else (files,) if isinstance(files, str) else files


def _after(now_s: float, wait_s: float, dark_s: Sequence[tuple[float, float]]) -> float:
    """Return when a duration from now has passed, not counting outages [s]."""
    for since_s, until_s in dark_s:
        if now_s < since_s and now_s + wait_s <= since_s:
            break
        if until_s > now_s:
            wait_s -= max(since_s - now_s, 0.0)
            now_s = until_s
    return now_s + wait_s
