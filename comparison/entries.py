"""Fields, conditions and entries of the comparison.

A field is a scenario that methods share, a condition a change of a field under which some of them
run again, an entry a method: one file each.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from wnsim.core.version import RESULTS
from wnsim.scenario.errors import ScenarioError
from wnsim.scenario.spec import document
from wnsim.storage.records import digest

HERE = Path(__file__).parent
REFERENCE = "lora"
"""Method that all others are compared with."""
OURS = ("so-lora-plus-8bit", "so-lora-common-4bit")
"""This project's method between devices, and behind a server; the page tells their places."""
DEVELOPMENT = (901, 902)
"""Seeds on which learning rates are chosen; no reported run has them."""
LADDER = tuple(float(f"{digit}e{power}") for power in range(-5, 1) for digit in (1, 2, 5))
"""Learning rates that a grid may be extended by."""
_CONDITION_KEYS = {"field", "repeat", "methods", "changes"}
_KEYS = {"source", "claim", "bound", "method", "learning_rates", "fields"}


@dataclass(frozen=True)
class Condition:
    """Change of a field under which some methods run again, at the rates chosen without it.

    Parameters
    ----------
    of : the field
    methods : names of the methods
    changes : keys of the scenario, and their values
    """

    of: Field
    methods: tuple[str, ...]
    changes: Mapping[str, Any]


@dataclass(frozen=True)
class Field:
    """Scenario that all methods share: tasks, data, channel and budgets.

    Parameters
    ----------
    name : the file is `field-NAME.yaml`
    path : file
    data : plain values of the file
    description : comment at its head
    condition : what is changed, for a condition
    """

    name: str
    path: Path
    data: Mapping[str, Any]
    description: str
    condition: Condition | None = None

    @property
    def table(self) -> str:
        """Name of the table of its runs: a condition's are in that of its field."""
        return self.name if self.condition is None else self.condition.of.name

    @property
    def tuned(self) -> Field:
        """Field in which learning rates are chosen."""
        return self if self.condition is None else self.condition.of

    @property
    def seeds(self) -> range:
        """Seeds that are reported, those of `seed` and `repeat`."""
        return range(self.data["seed"], self.data["seed"] + self.data["repeat"])

    @property
    def development(self) -> tuple[int, ...]:
        """Seeds on which learning rates are chosen: half as many as are reported, at most two."""
        return DEVELOPMENT[: max(1, self.data["repeat"] // 2)]

    @property
    def target(self) -> float:
        """Accuracy to which bytes, seconds and joules are counted."""
        return float(self.data["fl"]["target_accuracies"][0])

    @property
    def needs_tasks(self) -> bool:
        """Whether the tasks are files of the user's, in a folder that the command names."""
        return isinstance(self.data["fl"].get("tasks"), Mapping)


@dataclass(frozen=True)
class Entry:
    """A method as it is compared.

    Parameters
    ----------
    name : name of the file
    source, claim : paper, and what it claims
    bound : whether it knows what devices do not, and is listed for comparison alone
    method : section `fl.method`, without the learning rate
    learning_rates : grid of the tuning, ascending
    fields : for each field in which the method is defined, further keys of `fl`
    grids : grids of the fields that have one of their own
    repeats : numbers of reported seeds of the fields in which it has more than others
    """

    name: str
    source: str
    claim: str
    bound: bool
    method: Mapping[str, Any]
    learning_rates: tuple[float, ...]
    fields: Mapping[str, Mapping[str, Any]]
    grids: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    repeats: Mapping[str, int] = field(default_factory=dict)

    def runs_in(self, field: Field) -> bool:
        """Return whether it is defined in a field, or named by a condition."""
        condition = field.condition
        named = condition is None or self.name in condition.methods
        return named and field.tuned.name in self.fields

    def grid(self, of: Field) -> tuple[float, ...]:
        """Return the learning rates that are tried first in a field."""
        return self.grids.get(of.name, self.learning_rates)


@dataclass(frozen=True)
class Unit:
    """Runs of a method in a field at one learning rate.

    Parameters
    ----------
    field, entry : what is run, and where
    learning_rate : initial rate of the local steps
    tuning : whether the runs are tested on validation examples, to choose the rate
    """

    field: Field
    entry: Entry
    learning_rate: float
    tuning: bool

    @property
    def seeds(self) -> Sequence[int]:
        """Seeds of the runs, those of the field first."""
        if self.tuning:
            return self.field.development
        first = self.field.seeds
        count = self.entry.repeats.get(self.field.name, len(first))
        return range(first[0], first[0] + max(count, len(first)))

    @property
    def phase(self) -> str:
        """Phase of the comparison: `tuning`, `report`, or the name of a condition."""
        if self.tuning:
            return "tuning"
        return "report" if self.field.condition is None else self.field.name

    def settings(self) -> dict[str, Any]:
        """Return what the runs set in the scenario of the field."""
        further = dict(self.entry.fields[self.field.tuned.name])
        method = {**self.entry.method, "learning_rate": self.learning_rate}
        tested = {"evaluate_on": "validation"} if self.tuning else {}
        return {
            "variants": [{"label": self.entry.name, "fl": {**further, "method": method, **tested}}]
        } | dict({} if self.field.condition is None else self.field.condition.changes)

    def key(self) -> str:
        """Return a digest of all that the runs depend on, except their seeds."""
        shared = {name: value for name, value in self.field.data.items() if name != "repeat"}
        return digest(json.dumps([RESULTS, shared, self.settings()], sort_keys=True).encode())[:16]


def fields(folder: Path = HERE) -> dict[str, Field]:
    """Return the fields of a comparison by name.

    Raises
    ------
    ScenarioError
        if a file is invalid
    """
    found = {}
    for path in sorted(folder.glob("field-*.yaml")):
        read = document.read(path, path.name)
        for key in ("seed", "repeat", "fl"):
            if key not in read.data:
                raise ScenarioError(f"{path.name}: a field needs the key {key}")
        if not read.data["fl"].get("target_accuracies"):
            raise ScenarioError(f"{path.name}: fl.target_accuracies: a field needs a target")
        name = path.stem.removeprefix("field-")
        found[name] = Field(name, path, read.data, read.description)
    return found


def conditions(
    known: Mapping[str, Field], methods: Mapping[str, Entry], folder: Path = HERE
) -> dict[str, Field]:
    """Return the conditions of a comparison by name, as fields.

    Parameters
    ----------
    known, methods : fields and entries of the comparison
    folder : of the comparison

    Raises
    ------
    ScenarioError
        if a file is invalid
    """
    found = {}
    for path in sorted(folder.glob("condition-*.yaml")):
        read = document.read(path, path.name)
        _check_keys(path.name, read.data, _CONDITION_KEYS)
        _check_fields(f"{path.name}: field", [read.data["field"]], known)
        of = known[read.data["field"]]
        if unknown := [each for each in read.data["methods"] if each not in methods]:
            raise ScenarioError(f"{path.name}: methods: no method {unknown[0]!r}")
        for each in read.data["methods"]:
            if of.name not in methods[each].fields:
                raise ScenarioError(
                    f"{path.name}: methods: {each} is not defined in the field {of.name}"
                )
        name = path.stem.removeprefix("condition-")
        data = {**of.data, "repeat": read.data["repeat"]}
        condition = Condition(of, tuple(read.data["methods"]), read.data["changes"])
        found[name] = Field(name, of.path, data, read.description, condition)
    return found


def entries(known: Mapping[str, Field], folder: Path = HERE) -> dict[str, Entry]:
    """Return the entries of a comparison by name.

    Parameters
    ----------
    known : fields of the comparison
    folder : of the comparison

    Raises
    ------
    ScenarioError
        if a file is invalid
    """
    found = {}
    for path in sorted((folder / "methods").glob("*.yaml")):
        data = document.read(path, f"methods/{path.name}").data
        _check_keys(f"methods/{path.name}", data, _KEYS)
        _check_fields(f"methods/{path.name}: fields", data["fields"], known)
        further = {name: dict(keys or {}) for name, keys in data["fields"].items()}
        grids = {
            name: _grid(keys.pop("learning_rates"))
            for name, keys in further.items()
            if "learning_rates" in keys
        }
        repeats = {
            name: int(keys.pop("repeat")) for name, keys in further.items() if "repeat" in keys
        }
        found[path.stem] = Entry(
            path.stem, data["source"], data["claim"], data["bound"], data["method"],
            _grid(data["learning_rates"]), further, grids, repeats,
        )  # fmt: skip
    return found


def _grid(rates: Iterable[float]) -> tuple[float, ...]:
    return tuple(sorted(map(float, rates)))


def _check_keys(file: str, data: Mapping[str, Any], keys: set[str]) -> None:
    """Check that a file has all keys that it needs, and no others."""
    if odd := keys ^ set(data):
        raise ScenarioError(
            f"{file}: needs the keys {', '.join(sorted(keys))} and no others, "
            f"got {', '.join(sorted(odd))} at odds"
        )


def _check_fields(place: str, names: Iterable[str], known: Mapping[str, Field]) -> None:
    """Check that fields are known."""
    if unknown := set(names) - set(known):
        raise ScenarioError(
            f"{place}: no field {min(unknown)!r}; known: {', '.join(sorted(known))}"
        )
