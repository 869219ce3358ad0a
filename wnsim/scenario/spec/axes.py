"""Sweep axes: lists of values that are crossed (`sweep`) or that change together (`zip`)."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from wnsim.scenario.errors import ScenarioError
from wnsim.scenario.spec.document import Document, Place
from wnsim.scenario.spec.schema import PLAN_KEYS

# Keys that are the same in all runs of a scenario.
RESERVED = {"name", "seed", *PLAN_KEYS}


@dataclass(frozen=True)
class Axis:
    """Values that change together: those of one key of `sweep`, or of one group of `zip`.

    Parameters
    ----------
    sources : place in the file of each dotted key
    steps : values in the order of the keys, one step after the other
    """

    sources: dict[str, str]
    steps: tuple[tuple[Any, ...], ...]


def axes(document: Document) -> list[Axis]:
    """Return the sweep axes of a scenario: the keys of `sweep`, then the groups of `zip`.

    Raises
    ------
    ScenarioError
        if a value is not a list, the lists of a group differ in length, or a key cannot be swept or
        occurs twice
    """
    found = []
    sweep = document.data.get("sweep")
    if sweep is not None:
        lists = _lists(document, ("sweep",), sweep)
        found += [
            Axis({key: document.where(("sweep", key))}, tuple((value,) for value in values))
            for key, values in lists.items()
        ]
    for path, group in _groups(document):
        lists = _lists(document, path, group)
        lengths = {key: len(values) for key, values in lists.items()}
        if len(set(lengths.values())) != 1:
            counts = ", ".join(f"{key}: {length}" for key, length in lengths.items())
            raise document.error(path, f"the lists of a group must be equally long, got {counts}")
        sources = {key: document.where((*path, key)) for key in lists}
        found.append(Axis(sources, tuple(zip(*lists.values(), strict=True))))
    seen: dict[str, str] = {}
    for axis in found:
        for key, source in axis.sources.items():
            if key in seen:
                raise ScenarioError(f"{source}: {key}: is swept twice, at {seen[key]} too")
            seen[key] = source
    return found


def steps(swept: Sequence[Axis]) -> Iterator[dict[str, Any]]:
    """Yield every combination of the values of the axes, by dotted key."""
    for chosen in itertools.product(*(axis.steps for axis in swept)):
        values: dict[str, Any] = {}
        for axis, step in zip(swept, chosen, strict=True):
            values |= zip(axis.sources, step, strict=True)
        yield values


def check_overrides(overrides: Sequence[Document], swept: Sequence[Axis]) -> None:
    """Check that no setting overrides a swept value, since runs are named after those.

    Raises
    ------
    ScenarioError
        if one does
    """
    for override in overrides:
        ((path, source),) = override.places.items()
        key = ".".join(map(str, path))
        for other in (other for axis in swept for other in axis.sources):
            if f"{other}.".startswith(f"{key}.") or f"{key}.".startswith(f"{other}."):
                raise ScenarioError(f"{source}: {key}: is swept by the scenario ({other})")


def _groups(document: Document) -> list[tuple[Place, Any]]:
    """Return the groups of `zip` and their places in the file."""
    groups = document.data.get("zip")
    if groups is None:
        return []
    if not isinstance(groups, list):
        return [(("zip",), groups)]
    if not groups:
        raise document.error(("zip",), "must be groups of keys with lists of values, got []")
    return [(("zip", number), group) for number, group in enumerate(groups)]


def _lists(document: Document, path: Place, section: Any) -> dict[str, list[Any]]:
    """Return a section's lists of values by key."""
    if not isinstance(section, dict) or (path[0] == "zip" and not section):
        raise document.error(path, f"must be keys with lists of values, got {section!r}")
    for key, values in section.items():
        if key in RESERVED or key == "label":
            raise document.error((*path, key), "cannot be swept; for several seeds use repeat")
        if not isinstance(values, list) or not values:
            raise document.error((*path, key), f"must be a list of values, got {values!r}")
    return section
