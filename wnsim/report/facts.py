"""Facts about the runs at the head and the foot of a page.

Wall times are left to the manifests: equal results give an equal page.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wnsim.figures import Line
from wnsim.metrics import read_table
from wnsim.storage.records import MANIFEST

MOST_SETTINGS_BYTES = 300_000
_MOST_ITEMS = 12


@dataclass(frozen=True)
class Facts:
    """Facts about a scenario and its runs.

    Parameters
    ----------
    name, description : name and description of the scenario
    summary : short text on the number of runs
    table : further facts, a name and a text each
    settings : name of each line and resolved scenario of its first run
    settings_left_out : number of lines without settings
    unfinished : names of incomplete runs
    """

    name: str
    description: str
    summary: list[str]
    table: list[tuple[str, str]]
    settings: list[tuple[str, str]]
    settings_left_out: int
    unfinished: list[str]


def facts(
    results: Path, lines: Sequence[Line], manifests: Mapping[str, Mapping[str, Any]]
) -> Facts:
    """Collect the facts about the complete runs of a results folder.

    Parameters
    ----------
    results : results folder
    lines : lines of runs
    manifests : manifests of the runs
    """
    every = list(manifests.values())
    first = every[0]
    seeds = sorted({manifest["seed"] for manifest in every})
    sizes = sorted({manifest.get("sizes", "actual") for manifest in every})
    simulated_s = [
        float(manifest["simulated_s"]) for manifest in every if "simulated_s" in manifest
    ]
    summary = [_count(len(lines), "variant"), _count(len(seeds), "seed"), _runs(results, every)]
    if simulated_s:
        summary.append(f"{_span(simulated_s)} s simulated")
    summary += [
        "actual sizes" if size == "actual" else f"sizes of {size} emulated" for size in sizes
    ]
    versions = [
        ", ".join(f"{name} {number}" for name, number in manifest["versions"].items())
        for manifest in every
        if "versions" in manifest
    ]
    machines = [
        ", ".join(str(part) for part in manifest["machine"].values() if part)
        for manifest in every
        if "machine" in manifest
    ]
    table = [
        ("Variants", _listed(line.name for line in lines)),
        ("Seeds", _listed(map(str, seeds))),
        ("Versions", _listed(versions)),
        ("Notes", _listed(note for each in every for note in each.get("notes", ()))),
        ("Commit", _listed(str(each["commit"]) for each in every if each.get("commit"))),
        ("Machine", _listed(machines)),
        ("Events", _total(every, "events")),
    ]
    settings, left_out = _settings(lines)
    unfinished = sorted(
        path.parent.name
        for path in results.glob("*/scenario.yaml")
        if path.parent.name not in manifests and not (path.parent / MANIFEST).is_file()
    )
    return Facts(
        str(first["scenario"]),
        str(first.get("description", "")),
        summary,
        [(name, text) for name, text in table if text],
        settings,
        left_out,
        unfinished,
    )


def _settings(lines: Sequence[Line]) -> tuple[list[tuple[str, str]], int]:
    """Return the resolved scenario of each line as far as space permits, and the number omitted."""
    found: list[tuple[str, str]] = []
    room = MOST_SETTINGS_BYTES
    for line in lines:
        path = line.folders[0] / "scenario.yaml"
        text = path.read_text("utf-8") if path.is_file() else ""
        room -= len(text.encode())
        if text and room >= 0:
            found.append((line.name, text))
    return found, len(lines) - len(found)


def _runs(results: Path, manifests: Sequence[Mapping[str, Any]]) -> str:
    """Return the number of runs, and of those without results by state."""
    path = results / "runs.csv"
    states = Counter(read_table(path)["state"]) if path.is_file() else Counter()
    finished = states.pop("finished", 0)
    if not states or finished != len(manifests):
        return _count(len(manifests), "run")
    parts = [f"{finished} finished", *(f"{count} {state}" for state, count in states.most_common())]
    return f"{finished + states.total()} runs planned: {', '.join(parts)}"


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _span(values: Sequence[float]) -> str:
    low, high = f"{min(values):.1f}", f"{max(values):.1f}"
    return low if low == high else f"{low} to {high}"


def _listed(texts: Iterable[str]) -> str:
    """Return the distinct texts as a list; of many, the first ones."""
    different = list(dict.fromkeys(texts))
    more = len(different) - _MOST_ITEMS
    return "; ".join(different[:_MOST_ITEMS]) + (f"; and {more} more" if more > 0 else "")


def _total(manifests: Sequence[Mapping[str, Any]], key: str) -> str:
    known = [float(manifest[key]) for manifest in manifests if manifest.get(key) is not None]
    return f"{sum(known):,.0f}" if known else ""
