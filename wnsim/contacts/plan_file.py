"""Contact plans of files: a table, or the commands of ION's administration program.

Contacts take the place of channel and medium access: a link carries nothing outside of its
contacts, and messages on it do not share its rate. A contact holds in one direction.

Files are untrusted: lines and contacts are bounded in number and length, and each error names its
line.

Sources: ION 4.1, manual page `ionrc`, commands `a contact` (start, stop, from, to, rate in bytes
per second) and `a range` (start, stop, from, to, one-way light time in seconds; also for the
opposite direction if that has none).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Literal

import numpy as np

from wnsim.channel.replay import ReplayTable
from wnsim.channel.replay_lines import Lines
from wnsim.contacts.plan import Contact, GivenPlan
from wnsim.core.files import opened
from wnsim.core.params import parameters

HEADER = "source,target,begin_s,end_s,rate_bps,delay_s"
_MOST = 1_000_000
_TIME_S = (0.0, 1e9)
_RATE_BPS = (0.0, 1e15)
_DELAY_S = (0.0, 1e6)
_Rows = Iterable[tuple[int, list[str]]]


@parameters
class ContactPlanFile:
    """File of contacts, in place of channel and medium access.

    Parameters
    ----------
    file : path of the file
    format : `table`, lines of source, target, begin_s, end_s, rate_bps and delay_s below these
        names, where nodes are devices and stations (station-0); or `ion`, commands of ION, whose
        node numbers are those of the devices, followed by the stations, with times relative to
        the start (+3600); `auto` infers it from the first line
    """

    file: str
    format: Literal["auto", "table", "ion"] = "auto"

    def plan(self, names: Sequence[str], stations: int = 0) -> GivenPlan:
        """Read the contacts between devices and base stations.

        Parameters
        ----------
        names : names of the devices in the order of their numbers
        stations : number of base stations, whose numbers follow

        Raises
        ------
        ValueError
            if the file cannot be read or is malformed
        """
        number = {str(n): n for n in range(len(names) + stations)}
        lines = Lines(self.file, "error")
        with opened(self.file, lines.error) as stream:
            text = [(n, line.strip()) for n, line in enumerate(lines.of(stream), start=1)]
        text = [(n, line) for n, line in text if line and not line.startswith("#")]
        is_table = bool(text) and text[0][1] == HEADER
        if self.format == "table" or (self.format == "auto" and is_table):
            if not is_table:
                raise ValueError(f"{self.file}: a table of contacts must begin with {HEADER}")
            number |= {f"station-{n}": len(names) + n for n in range(stations)}
            number |= {name: n for n, name in enumerate(names)}
            rows = ((n, line.split(",")) for n, line in text[1:])
            found = _table(lines, rows, number)
        else:
            found = _ion(lines, ((n, line.split()) for n, line in text), number)
        return _checked(lines, found)


def replay_table(plan: GivenPlan) -> ReplayTable:
    """Return the rates of a plan's links over time; the opposite direction has its own."""
    samples = {}
    for pair in {
        each for source, target in plan.links for each in ((source, target), (target, source))
    }:
        steps = {0.0: 0.0}
        for contact in plan.contacts(*pair, -math.inf, math.inf):
            steps |= {contact.begin_s: contact.rate_bps}
            steps.setdefault(contact.end_s, 0.0)
        samples[pair] = np.array(sorted(steps.items()))
    return ReplayTable(["rate_bps"], samples, "hold")


_Found = list[tuple[int, int, int, Contact]]


def _table(lines: Lines, rows: _Rows, number: Mapping[str, int]) -> _Found:
    """Return line, source, target and contact of each row of a table."""
    found: _Found = []
    for line, row in rows:
        if len(row) != HEADER.count(",") + 1:
            raise lines.error(f"a contact must have the values {HEADER}, got {len(row)}", line)
        source, target = (_node(lines, number, name, line) for name in row[:2])
        begin_s, end_s = (
            lines.number(text, what, _TIME_S, line)
            for text, what in zip(row[2:4], ("begin_s", "end_s"), strict=True)
        )
        rate_bps = lines.number(row[4], "rate_bps", _RATE_BPS, line)
        delay_s = lines.number(row[5], "delay_s", _DELAY_S, line)
        found.append((line, source, target, Contact(begin_s, end_s, rate_bps, delay_s)))
    return found


def _ion(lines: Lines, rows: _Rows, number: Mapping[str, int]) -> _Found:
    """Return line, source, target and contact of each contact of ION's commands."""
    contacts: _Found = []
    ranges: dict[tuple[int, int], list[tuple[float, float, float]]] = {}
    for line, row in rows:
        if row[:2] not in (["a", "contact"], ["a", "range"]) or len(row) < 7:
            raise lines.error(
                "a command must be `a contact` or `a range` with start, stop, two nodes and a "
                f"value, got {' '.join(row)[:40]!r}", line,
            )  # fmt: skip
        for text in row[2:4]:
            if not text.startswith("+"):
                raise lines.error(f"a time must be relative, such as +3600, got {text!r}", line)
        begin_s, end_s = (lines.number(text[1:], "a time", _TIME_S, line) for text in row[2:4])
        source, target = (_node(lines, number, name, line) for name in row[4:6])
        if row[1] == "contact":
            rate_bps = 8.0 * lines.number(row[6], "a rate", _RATE_BPS, line)
            contacts.append((line, source, target, Contact(begin_s, end_s, rate_bps)))
        else:
            delay_s = lines.number(row[6], "a range", _DELAY_S, line)
            ranges.setdefault((source, target), []).append((begin_s, end_s, delay_s))
    found: _Found = []
    for line, source, target, contact in contacts:
        known = ranges.get((source, target)) or ranges.get((target, source), [])
        begin_s = contact.begin_s
        delays_s = [each[2] for each in known if each[0] <= begin_s < each[1]]
        if not delays_s:
            raise lines.error(
                f"a contact needs a range at its start, got none for {source} and {target} at "
                f"+{contact.begin_s:g}", line,
            )  # fmt: skip
        whole = Contact(contact.begin_s, contact.end_s, contact.rate_bps, delays_s[0])
        found.append((line, source, target, whole))
    return found


def _node(lines: Lines, number: Mapping[str, int], name: str, line: int) -> int:
    """Return the number of a node."""
    if name not in number:
        known = "a device or a station of the scenario"
        raise lines.error(f"a node must be {known}, got {name[:40]!r}", line)
    return number[name]


def _checked(lines: Lines, found: _Found) -> GivenPlan:
    """Return the plan of contacts, which must not overlap on a link."""
    if not 1 <= len(found) <= _MOST:
        raise ValueError(f"{lines.file}: must have 1 to {_MOST} contacts, got {len(found)}")
    of_link: dict[tuple[int, int], list[tuple[int, Contact]]] = {}
    for line, source, target, contact in found:
        if source == target:
            raise lines.error(f"a contact must join two nodes, got {source} twice", line)
        if not contact.begin_s < contact.end_s:
            raise lines.error(
                f"a contact must end after its begin at {contact.begin_s:g} s, got "
                f"{contact.end_s:g} s", line,
            )  # fmt: skip
        of_link.setdefault((source, target), []).append((line, contact))
    for contacts in of_link.values():
        contacts.sort(key=lambda each: each[1].begin_s)
        for (_, one), (line, other) in pairwise(contacts):
            if other.begin_s < one.end_s:
                raise lines.error(
                    f"contacts of a link must not overlap, got one from {other.begin_s:g} s on, "
                    f"before the end of another at {one.end_s:g} s", line,
                )  # fmt: skip
    return GivenPlan((source, target, contact) for _, source, target, contact in found)
