"""Citations of a results folder: sources of all its models, and its parameters in words.

`wnsim cite FOLDER` prints BibTeX entries and a paragraph of LaTeX for the section on methods.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from wnsim.scenario.citation.sources import FEATURES, MODELS, SAME_FAMILY
from wnsim.scenario.citation.words import escaped, in_words
from wnsim.scenario.errors import ScenarioError
from wnsim.scenario.spec import document
from wnsim.scenario.spec.without_effect import without_effect
from wnsim.storage import records

_ENTRY = re.compile(r"^@\w+\{([\w-]+),.*\}$", re.MULTILINE)
# What distinguishes repetitions, and names, which say nothing about the method.
_NOT_METHOD = ("name", "label", "seed")


def cite(results: Path) -> str:
    """Return BibTeX entries and a paragraph for the complete runs of a results folder.

    Parameters
    ----------
    results : folder with the folders of runs

    Raises
    ------
    ScenarioError
        if there is no complete run
    """
    runs = [(effective(data), manifest) for data, manifest in _runs(results)]
    if not runs:
        raise ScenarioError(f"{results}: must be a results folder with a complete run")
    keys = dict.fromkeys(key for data, _ in runs for key in cited(data))
    versions = ", ".join(_distinct(_version(manifest) for _, manifest in runs))
    commits = _distinct(manifest.get("commit") for _, manifest in runs)
    note = f", note = {{commit {', '.join(commits)}}}" if commits else ""
    own = (
        "@software{wnsim, title = {wnsim: wireless network simulation and federated {LoRA} "
        "fine-tuning on one simulated clock}, author = {{The wnsim developers}}, "
        f"version = {{{versions}}}{note}}}"
    )
    entries = bibliography()
    paragraph = in_words(
        [
            {key: each for key, each in flat(data).items() if not key.startswith(_NOT_METHOD)}
            for data, _ in runs
        ],
        [_label(manifest) for _, manifest in runs],
        [int(manifest["seed"]) for _, manifest in runs],
        versions,
        _cites,
    )
    return "\n".join([own, *(entries[key] for key in keys), "", paragraph])


def bibliography() -> dict[str, str]:
    """Return the BibTeX entries of all sources by their keys."""
    text = resources.files(__package__).joinpath("bibliography.bib").read_text("utf-8")
    return {match[1]: match[0] for match in _ENTRY.finditer(text)}


def cited(data: Mapping[str, Any]) -> list[str]:
    """Return the keys of the sources of a resolved scenario, in order of its parts."""
    found = [key for family, model in _choices(data) for key in _of_model(family, model)]
    at = flat(data)
    found += [key for holds, keys in FEATURES if holds(at) for key in keys]
    return list(dict.fromkeys(found))


def effective(data: dict[str, Any]) -> dict[str, Any]:
    """Return a resolved scenario without keys that have no effect in it."""
    for without, _, _ in without_effect(data):
        parent, _, name = without.rpartition(".")
        data = data | {parent: {key: each for key, each in data[parent].items() if key != name}}
    return data


def flat(data: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return the values of nested sections by their dotted keys, without those that are null."""
    found: dict[str, Any] = {}
    for key, value in data.items():
        if isinstance(value, Mapping):
            found.update(flat(value, f"{prefix}{key}."))
        elif value is not None:
            found[f"{prefix}{key}"] = value
    return found


def _cites(key: str, value: Any) -> Sequence[str]:
    """Return the sources of a value that chooses a model."""
    *_, family, last = ["", *key.split(".")]
    return _of_model(family, value) if last == "model" and isinstance(value, str) else ()


def _of_model(family: str, model: str) -> Sequence[str]:
    # Models of plug-ins have none here.
    return MODELS.get(SAME_FAMILY.get(family, family), {}).get(model, ())


def _choices(data: Any, family: str = "") -> Iterator[tuple[str, str]]:
    """Yield family and model of each section that has a model, from the outside in."""
    if isinstance(data, Mapping):
        if isinstance(data.get("model"), str):
            yield family, data["model"]
        for key, value in data.items():
            yield from _choices(value, key)
    elif isinstance(data, Sequence) and not isinstance(data, str):
        for value in data:
            yield from _choices(value, family)


def _version(manifest: Mapping[str, Any]) -> Any:
    versions = manifest.get("versions")
    return versions.get("wnsim") if isinstance(versions, Mapping) else None


def _label(manifest: Mapping[str, Any]) -> str:
    """Return the label of a run's variant, with its swept values."""
    swept = [f"{key} = {value}" for key, value in manifest["swept"].items()]
    return ", ".join([manifest["variant"], *swept])


def _distinct(values: Iterable[Any]) -> list[str]:
    """Return different values as LaTeX, sorted, without those that are missing."""
    return sorted({escaped(str(value)) for value in values if value})


def _runs(results: Path) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Yield the resolved scenario and the manifest of each complete run."""
    for folder, manifest in records.ended_runs(results).items():
        path = folder / "scenario.yaml"
        if not path.is_symlink():
            yield document.read(path, str(path)).data, manifest
