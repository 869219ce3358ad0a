"""Report of a scenario: one self-contained HTML page, written from a results folder alone.

`python -m wnsim.report results/urban` writes it again. The page describes the runs, shows the key
numbers and the standard figures, and replays runs on a map. It has at most 5 MB: up to 1.5 MB of
figures, 0.3 MB of settings, and replays as far as space permits, the first seed of each variant
before the second ones. Omissions are stated on the page. Equal results give an equal page.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from markupsafe import Markup

from wnsim.figures import FIGURES, Line, read_lines
from wnsim.report import page
from wnsim.report.drawings import inline, width_pt
from wnsim.report.facts import facts
from wnsim.report.faults import faults
from wnsim.report.numbers import all_numbers, key_numbers
from wnsim.report.replay import replay
from wnsim.storage import records

__all__ = ["MOST_BYTES", "NAME", "write"]

NAME = "report.html"
MOST_BYTES = 5_000_000
MOST_FIGURE_BYTES = 1_500_000
MOST_REPLAYS = 24
_ROOM_BYTES = 20_000
_BROAD_PT = 72.0 * 5

TITLES = {
    "swept": "Metrics over a swept value",
    "accuracy": "Accuracy over simulated time",
    "accuracy-bytes": "Accuracy over bytes on the air",
    "accuracy-rounds": "Accuracy over rounds",
    "tasks": "Accuracy by task",
    "targets": "Runs that have reached a target accuracy",
    "latency": "Latency of transfers",
    "outcomes": "Messages by outcome",
    "failures": "Messages not delivered, by reason",
    "latency-directions": "Latency of uplink and downlink",
    "goodput": "Goodput",
    "round-split": "What a round's latency consists of",
    "bytes": "Bytes on the air by kind",
    "bytes-directions": "Offered load by direction",
    "energy": "Energy by activity",
    "energy-devices": "Energy by device",
    "energy-time": "Energy over simulated time",
    "timeline": "Rounds of one device",
    "collisions": "Collisions over rounds",
    "map": "Devices and messages at three instants",
}
"""What the figures show, in the order of the page; others come after them under their names."""


@dataclass
class _Drawn:
    """Figures of a page.

    Parameters
    ----------
    figures : title, name and markup of each figure, and whether it spans two columns
    left_out : names of the figures omitted for size
    """

    figures: list[tuple[str, str, Markup, bool]] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)


def write(results: Path, runs: Sequence[str]) -> Path:
    """Write the report of a scenario into its results folder; return its path.

    Parameters
    ----------
    results : results folder of a scenario, with its figures
    runs : names of the folders of its complete runs, in the order of the legends

    Raises
    ------
    ValueError
        if a figure is not SVG, or a table is malformed
    """
    lines = read_lines(results, runs)
    manifests = {
        run: json.loads((results / run / records.MANIFEST).read_text("utf-8")) for run in runs
    }
    drawn = _drawn(results)
    values: dict[str, Any] = {
        "facts": facts(results, lines, manifests),
        "key": key_numbers(results, lines),
        "every": all_numbers(lines),
        "faults": faults(lines),
        "drawn": drawn,
        "intervals": any(len(line.folders) > 1 for line in lines),
    }
    bare = len(page.filled(values | {"replays": [], "left_out": 0, "without": 0}))
    replays, left_out, without = _replays(lines, manifests, MOST_BYTES - bare - _ROOM_BYTES)
    values |= {"replays": replays, "left_out": left_out, "without": without}
    records.write(results / NAME, page.filled(values))
    return results / NAME


def _drawn(results: Path) -> _Drawn:
    """Return the figures that fit.

    Raises
    ------
    ValueError
        if a figure is not SVG
    """
    drawn, room = _Drawn(), MOST_FIGURE_BYTES
    names = [*TITLES, *(name for name in FIGURES if name not in TITLES)]
    for number, name in enumerate(names):
        path = results / "figures" / f"{name}.svg"
        if not path.is_file():
            continue
        title = TITLES.get(name, name)
        try:
            markup = inline(path.read_text("utf-8"), f"f{number}-", title)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from error
        size = len(markup.encode())
        if size > room:
            drawn.left_out.append(name)
            continue
        room -= size
        drawn.figures.append((title, name, markup, width_pt(markup) > _BROAD_PT))
    return drawn


def _replays(
    lines: Sequence[Line], manifests: Mapping[str, Mapping[str, Any]], room: int
) -> tuple[list[tuple[str, str]], int, int]:
    """Return the replays that fit, and the numbers of omitted ones.

    Returns
    -------
    labels with data; number of runs omitted for size; number of runs without positions
    """
    found: list[tuple[str, str]] = []
    left_out = without = 0
    for line, folder in _in_turn(lines):
        if len(found) >= MOST_REPLAYS or room <= 0:
            left_out += 1
            continue
        data = replay(folder)
        if data is None:
            without += 1
            continue
        text = page.script_json(data)
        if len(text) > room:
            left_out += 1
            # Other runs of a scenario have a similar size and would not fit either.
            room = 0 if found else room
            continue
        room -= len(text)
        found.append((f"{line.name}, seed {manifests[folder.name]['seed']}", text))
    return found, left_out, without


def _in_turn(lines: Sequence[Line]) -> Iterator[tuple[Line, Path]]:
    """Yield the first run of each line, then the second ones, and so on."""
    for several in itertools.zip_longest(*(line.folders for line in lines)):
        for line, folder in zip(lines, several, strict=True):
            if folder is not None:
                yield line, folder
