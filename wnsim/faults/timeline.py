"""Timeline of faults: absences, link outages, jamming and slowdowns over time.

All of it is a pure function of scenario, seed and time.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from wnsim.core.units import FAR_NS, NS_PER_S, Floats, Ints, db_to_linear, dbm_to_w, to_ns, to_s
from wnsim.faults.churn import Churn
from wnsim.faults.extent import area, concerns, inside
from wnsim.faults.kinds import Crash, Jamming, LinkOutage, StationFailure, Straggler
from wnsim.faults.rows import Row, by_time
from wnsim.faults.spans import Spans
from wnsim.mobility.motion import Bools


@dataclass(frozen=True, slots=True)
class _Interval:
    """Half-open interval [ns]."""

    from_ns: int
    until_ns: int

    def holds(self, at_ns: Ints) -> Bools:
        """Return whether the interval contains each instant."""
        return np.asarray((at_ns >= self.from_ns) & (at_ns < self.until_ns))


def _interval(fault: Crash | LinkOutage | Jamming | StationFailure | Straggler) -> _Interval:
    until_ns = FAR_NS if fault.until_s is None else to_ns(fault.until_s)
    return _Interval(to_ns(fault.from_s), until_ns)


def _ended_s(at_ns: int) -> float:
    return math.nan if at_ns == FAR_NS else to_s(at_ns)


class Timeline:
    """Faults over time.

    Parameters
    ----------
    names : names of all nodes, devices first
    devices : number of devices
    seed : seed of the scenario
    crashes, churn, link_outages, jamming, station_failures, stragglers : faults

    Attributes
    ----------
    jams, has_link_outages : whether there is any jamming, or any link outage

    Raises
    ------
    ValueError
        if a file cannot be used
    """

    def __init__(
        self,
        names: Sequence[str],
        devices: int,
        seed: int,
        *,
        crashes: Sequence[Crash] = (),
        churn: Churn | None = None,
        link_outages: Sequence[LinkOutage] = (),
        jamming: Sequence[Jamming] = (),
        station_failures: Sequence[StationFailure] = (),
        stragglers: Sequence[Straggler] = (),
    ) -> None:
        self._names = names
        self._devices = devices
        self._crashes = [(_interval(each), each) for each in crashes]
        self._blackouts = [(_interval(each), each) for each in link_outages]
        self._jamming = [(_interval(each), each) for each in jamming]
        self._failures = [(_interval(each), each) for each in station_failures]
        self._stragglers = [(_interval(each), each) for each in stragglers]
        self.jams, self.has_link_outages = bool(jamming), bool(link_outages)
        down: dict[int, list[tuple[int, int]]] = defaultdict(list)
        for when, crash in self._crashes:
            for device in crash.devices:
                down[device].append((when.from_ns, when.until_ns))
        for when, failure in self._failures:
            for station in failure.stations:
                down[devices + station].append((when.from_ns, when.until_ns))
        self._down = {node: Spans(spans) for node, spans in down.items()}
        self._gone: dict[int, Spans] = {}
        self.forgets_leavers = churn is not None and churn.forget
        if churn is not None:
            self._gone = churn.spans(names[:devices], seed)

    # Devices and stations.

    @property
    def away(self) -> Mapping[int, Sequence[Spans]]:
        """Absence intervals by device."""
        both: dict[int, list[Spans]] = defaultdict(list)
        for device, spans in self._gone.items():
            both[device].append(spans)
        for node, down in self._down.items():
            if node < self._devices:
                both[node].append(down)
        return both

    def has_left(self, device: int, now_ns: int) -> bool:
        """Return whether a device is absent by churn."""
        spans = self._gone.get(device)
        return spans is not None and spans.covers(now_ns)

    def fails_ns(self, station: int, now_ns: int) -> int:
        """Return when a base station fails next; now if it is down."""
        spans = self._down.get(station)
        if spans is None:
            return FAR_NS
        return now_ns if spans.covers(now_ns) else spans.next_begin_ns(now_ns)

    def crash_instants_ns(self) -> list[tuple[int, int]]:
        """Return instants and devices of all crashes, in order of time."""
        return sorted(
            (when.from_ns, device) for when, crash in self._crashes for device in crash.devices
        )

    def crashed(self, device: int, since_ns: int, now_ns: int) -> str | None:
        """Return the state of a device's memory after a crash since an instant.

        Returns
        -------
        `lost` if any crash lost it, else `kept`; None without a crash
        """
        found = {
            crash.memory
            for when, crash in self._crashes
            if device in crash.devices and since_ns < when.from_ns <= now_ns
        }
        return max(found, default=None)

    def compute_s(self, device: int, time_s: float, seconds: float) -> float:
        """Return the duration of a computation including slowdowns [s].

        Parameters
        ----------
        device : computing device
        time_s : start [s]
        seconds : duration without faults [s]
        """
        mine = [(when, each) for when, each in self._stragglers if device in each.devices]
        edges = {edge for when, _ in mine for edge in (when.from_ns, when.until_ns)}
        now_ns, total_s, left_s = to_ns(time_s), 0.0, seconds
        ahead = sorted(edge for edge in edges if edge > now_ns)
        for edge_ns in [*ahead, FAR_NS]:
            factor = math.prod(
                each.factor for when, each in mine if when.from_ns <= now_ns < when.until_ns
            )
            span_s = to_s(edge_ns - now_ns)
            if left_s * factor <= span_s:
                break
            total_s, left_s, now_ns = total_s + span_s, left_s - span_s / factor, edge_ns
        return total_s + left_s * factor

    # Links.

    def cut_ns(self, source: int, target: int, now_ns: int) -> int:
        """Return when an outage next fails the transfers on a link; now if one does [ns]."""
        return min(
            (
                max(when.from_ns, now_ns)
                for when, each in self._outages_of(source, target)
                if each.transfers == "fail" and when.until_ns > now_ns
            ),
            default=FAR_NS,
        )

    def reason(self, source: int, target: int, at_ns: int) -> str:
        """Return the reason of a transfer that ends when one of its ends vanishes."""
        for node in (source, target):
            if node in self._down and self._down[node].covers(at_ns):
                return "crash" if node < self._devices else "station-failure"
        return "link-outage" if self.cut_ns(source, target, at_ns) == at_ns else "departed"

    def clear_ns(self, source: int, target: int, now_ns: int) -> int:
        """Return when a link is next free of failed stations and transfer-failing outages [ns]."""
        while now_ns < FAR_NS:
            stations = [node for node in (source, target) if node >= self._devices]
            ends = [self._down[node].end_ns(now_ns) for node in stations if node in self._down]
            ends += [
                when.until_ns
                for when, each in self._outages_of(source, target)
                if each.transfers == "fail" and when.from_ns <= now_ns < when.until_ns
            ]
            later_ns = max(ends, default=now_ns)
            if later_ns <= now_ns:
                return now_ns
            now_ns = later_ns
        return FAR_NS

    def next_edge_ns(self, now_ns: int) -> int:
        """Return when an outage or a station failure next starts or ends [ns]."""
        intervals = [when for when, _ in [*self._blackouts, *self._failures]]
        edges = [edge for when in intervals for edge in (when.from_ns, when.until_ns)]
        return min((edge for edge in edges if edge > now_ns), default=FAR_NS)

    def dark(self, source: Ints, target: Ints, at_ns: Ints) -> Bools:
        """Return whether links (L,) are out at instants (T,) [ns]: (L, T)."""
        dark = np.zeros((source.size, at_ns.size), dtype=np.bool_)
        for when, each in self._blackouts:
            holds = when.holds(at_ns)
            if holds.any():
                dark |= concerns(each, source, target)[:, None] & holds
        return dark

    def dark_s(self, source: int, target: int) -> list[tuple[float, float]]:
        """Return start and end of the outages of a link, in order of time [s]."""
        found = self._outages_of(source, target)
        spans = Spans((when.from_ns, when.until_ns) for when, _ in found)
        return [
            (to_s(begin), math.inf if end == FAR_NS else to_s(end))
            for begin, end in spans.until(FAR_NS)
        ]

    def _outages_of(self, source: int, target: int) -> Iterator[tuple[_Interval, LinkOutage]]:
        """Yield the outages of a link."""
        link = np.array([source]), np.array([target])
        return ((when, each) for when, each in self._blackouts if concerns(each, *link)[0])

    # Places.

    def added_noise_w(
        self, noise_w: Floats, at_ns: Ints, position_m: Callable[[Floats], Floats]
    ) -> Floats:
        """Return the jamming power at receivers (n,) at instants (T,): (n, T) [W].

        Parameters
        ----------
        noise_w : (n,) noise of the receivers without jamming [W]
        at_ns : (T,) instants [ns]
        position_m : returns the receivers' positions (n, T, 2) at instants (T,) [s] [m]
        """
        added_w = np.zeros((noise_w.size, at_ns.size))
        for when, each in self._jamming:
            holds = np.flatnonzero(when.holds(at_ns))
            if not holds.size:
                continue
            within = inside(each, position_m(at_ns[holds] / NS_PER_S))
            if each.power_dbm is not None:
                power_w = np.full(noise_w.size, float(dbm_to_w(each.power_dbm)))
            else:
                power_w = noise_w * (float(db_to_linear(each.noise_db or 0.0)) - 1.0)
            added_w[:, holds] += np.where(within, power_w[:, None], 0.0)
        return added_w

    # Records.

    def rows(self, end_s: float) -> list[Row]:
        """Return the faults that have started by an instant [s], in order of time."""
        rows = [
            Row(to_s(when.from_ns), "crash", self._names[device], f"memory {crash.memory}",
                _ended_s(when.until_ns))
            for when, crash in self._crashes for device in crash.devices
        ]  # fmt: skip
        rows += [
            Row(to_s(begin), "churn", self._names[device], "departed", _ended_s(end))
            for device, spans in sorted(self._gone.items())
            for begin, end in spans.until(to_ns(end_s))
        ]
        for when, blackout in self._blackouts:
            what = f"transfers {blackout.transfers}"
            rows += [
                Row(to_s(when.from_ns), "link-outage", where, what, _ended_s(when.until_ns))
                for where in self._concerned(blackout)
            ]
        for when, jamming in self._jamming:
            more = f"noise +{jamming.noise_db:g} dB"
            if jamming.power_dbm is not None:
                more = f"{jamming.power_dbm:g} dBm"
            until_s = _ended_s(when.until_ns)
            rows.append(Row(to_s(when.from_ns), "jamming", area(jamming), more, until_s))
        for when, failure in self._failures:
            rows += [
                Row(
                    to_s(when.from_ns), "station-failure", self._names[self._devices + station],
                    "failed", _ended_s(when.until_ns),
                )
                for station in failure.stations
            ]  # fmt: skip
        for when, straggler in self._stragglers:
            what = f"computing takes {straggler.factor:g} times as long"
            rows += [
                Row(to_s(when.from_ns), "straggler", self._names[device], what,
                    _ended_s(when.until_ns))
                for device in straggler.devices
            ]  # fmt: skip
        return by_time(row for row in rows if row.time_s <= end_s)

    def _concerned(self, blackout: LinkOutage) -> list[str]:
        if not blackout.links and not blackout.devices:
            return ["all links"]
        links = [f"{self._names[a]} - {self._names[b]}" for a, b in blackout.links]
        return links + [f"{self._names[node]} - all" for node in blackout.devices]
