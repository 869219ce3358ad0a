"""Plan of a scenario file: variants times swept values times seeds."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from wnsim.core.figure_options import USUAL, FigureOptions
from wnsim.core.plugins import ALLOWED
from wnsim.scenario.errors import ScenarioError, collected, together
from wnsim.scenario.spec.axes import RESERVED, Axis, axes, check_overrides, steps
from wnsim.scenario.spec.document import Document, assignment, of_mapping, parse_value, read
from wnsim.scenario.spec.explanations import explain, nearest
from wnsim.scenario.spec.presentation import PRESENTATION, Presentation
from wnsim.scenario.spec.schema import PLAN_KEYS, Scenario
from wnsim.scenario.spec.validation import find, validate

_MAX_RUNS = 100_000
_MAX_NAME = 120


@dataclass(frozen=True)
class Run:
    """One run of a plan.

    Parameters
    ----------
    folder : name of its results folder
    swept : swept values by dotted key
    scenario : resolved scenario
    baseline : label of the variant that others are compared with
    description : comment at the head of the scenario file
    figures, metrics : figures of all runs, and user-defined metrics
    """

    folder: str
    swept: dict[str, Any]
    scenario: Scenario
    baseline: str
    description: str = ""
    figures: FigureOptions = USUAL
    metrics: tuple[str, ...] = ()


def plan(
    source: str | Mapping[str, Any],
    settings: Sequence[str] = (),
    plugins: frozenset[str] = frozenset(),
) -> list[Run]:
    """Return the runs of a scenario; all variants and swept values share the same seeds.

    Parameters
    ----------
    source : path of a file, name of a bundled scenario, or keys and values
    settings : `key=value` overrides that apply to every run
    plugins : modules whose models the scenario may use

    Raises
    ------
    ScenarioError
        if the scenario is invalid; all of its errors are named
    """
    document = read(find(source), source) if isinstance(source, str) else of_mapping(source)
    overrides = [setting(document, text) for text in settings]
    for override in overrides:
        if set(override.data) <= {*PLAN_KEYS, "seed", "name"}:
            document = document.merged(override)
    errors: list[ScenarioError] = []
    repeat = collected(errors, 1, _repeat, document)
    variants = _variants(document, errors)
    # Without variants their baseline has no meaning.
    baseline = "" if errors else collected(errors, "", _baseline, document, variants)
    swept: list[Axis] = collected(errors, [], axes, document)
    collected(errors, None, check_overrides, overrides, swept)
    shows = collected(errors, Presentation(), presentation, document, plugins)
    base = document.without(*PLAN_KEYS)
    if len(variants) * math.prod(len(axis.steps) for axis in swept) * repeat > _MAX_RUNS:
        raise together([*errors, document.error((), f"a scenario has at most {_MAX_RUNS} runs")])

    sources = {key: source for axis in swept for key, source in axis.sources.items()}
    runs: list[Run] = []
    for variant in variants:
        for values in steps(swept):
            one = base.merged(variant) if variant is not None else base
            for key, value in values.items():
                one = one.merged(assignment(document, key, value, sources[key]))
            for override in overrides:
                one = one.merged(override.without(*PLAN_KEYS))
            scenario = collected(errors, None, validate, one, plugins)
            if scenario is not None and not errors:
                runs += [
                    _run(one, scenario, values, number, baseline, plugins, shows)
                    for number in range(repeat)
                ]
    if errors:
        raise together(errors)
    for folder, count in Counter(run.folder for run in runs).items():
        if count > 1:
            raise document.error(("variants",), f"two runs would be named {folder!r}")
    return runs


def only(runs: Sequence[Run], names: Sequence[str]) -> list[Run]:
    """Return the runs selected by name; all if no name is given.

    Raises
    ------
    ScenarioError
        if there is no run of that name
    """
    known = [run.folder for run in runs]
    for name in names:
        if name not in known:
            hint = nearest(name, known)
            if len(hint) > _MAX_NAME * 2:
                hint = "; --check lists them"
            raise ScenarioError(f"--only {name}: no run of this scenario{hint}")
    return [run for run in runs if not names or run.folder in names]


def results_folder(run: Run, out: str | None) -> Path:
    """Return the results folder: the requested one, or `results/<name>`.

    Raises
    ------
    ScenarioError
        if the requested one cannot be a folder name
    """
    if out is not None and (not out or "\0" in out):
        raise ScenarioError(f"--out: must be the name of a folder, got {out!r}")
    return Path(out) if out is not None else Path("results") / _slug(run.scenario.name)


def _run(
    document: Document,
    scenario: Scenario,
    values: dict[str, Any],
    number: int,
    baseline: str,
    plugins: frozenset[str],
    shows: Presentation,
) -> Run:
    seed = scenario.seed + number
    if number > 0:
        other = assignment(document, "seed", seed, document.where(("seed",)))
        scenario = validate(document.merged(other), plugins)
    parts = [scenario.label] if scenario.label else []
    parts += [f"{key}={shown(value)}" for key, value in values.items()]
    parts.append(f"seed={seed}")
    return Run(
        _slug(",".join(parts)), values, scenario, baseline, document.description,
        shows.figures, shows.metrics,
    )  # fmt: skip


def setting(document: Document, text: str) -> Document:
    """Return the keys of a `key=value` override of a document.

    Raises
    ------
    ScenarioError
        if it is none
    """
    key, equals, value = text.partition("=")
    source = f"--set {text}"
    if not equals:
        raise ScenarioError(f"{source}: a setting is key=value")
    return assignment(document, key.strip(), parse_value(value, source), source)


def _repeat(document: Document) -> int:
    repeat = document.data.get("repeat", 1)
    most = PLAN_KEYS["repeat"]["maximum"]
    if not isinstance(repeat, int) or isinstance(repeat, bool) or not 1 <= repeat <= most:
        raise document.error(
            ("repeat",), f"must be a whole number from 1 to {most}, got {repeat!r}"
        )
    return repeat


def _variants(document: Document, errors: list[ScenarioError]) -> list[Document | None]:
    """Return the variants; errors are collected."""
    variants = document.data.get("variants")
    if variants is None:
        return [None]
    if not isinstance(variants, list) or not variants:
        errors.append(
            document.error(("variants",), f"must be a list of variants, got {variants!r}")
        )
        return [None]
    labels: list[object] = []
    sections: list[Document | None] = []
    for index, variant in enumerate(variants):
        place = ("variants", index)
        if not isinstance(variant, dict):
            errors.append(document.error(place, f"must be a section with keys, got {variant!r}"))
            continue
        label = variant.get("label")
        wrong = ""
        if not isinstance(label, str) or not label:
            wrong = f"must be a text, got {label!r}"
        elif not label.isprintable():
            wrong = f"must not hold control characters, got {label!r}"
        elif label in labels:
            wrong = f"is given twice: {label!r}"
        if wrong:
            errors.append(document.error((*place, "label"), wrong))
        labels.append(label)
        errors += [
            document.error((*place, key), "a variant cannot change it; variants are comparable")
            for key in sorted(RESERVED & set(variant))
        ]
        section = document.section(place)
        # Whatever is wrong has been said.
        sections.append(section.without("label", *RESERVED) if wrong else section)
    return sections or [None]


def presentation(document: Document, plugins: frozenset[str]) -> Presentation:
    """Return the sections on figures and metrics.

    Raises
    ------
    ScenarioError
        if they are invalid
    """
    keys = Presentation.__dataclass_fields__
    data = {key: value for key, value in document.data.items() if key in keys}
    try:
        return PRESENTATION.validate_json(json.dumps(data), context={ALLOWED: plugins})
    except ValidationError as error:
        raise together(explain(document, error)) from error


def _baseline(document: Document, variants: Sequence[Document | None]) -> str:
    """Return the label of the variant that others are compared with."""
    labels = [str(variant.data["label"]) for variant in variants if variant is not None]
    asked = document.data.get("baseline")
    if asked is None:
        return labels[0] if labels else str(document.data.get("label", ""))
    if asked not in labels:
        hint = nearest(str(asked), labels) or "; the scenario has no variants"
        raise document.error(("baseline",), f"must be the label of a variant, got {asked!r}{hint}")
    return str(asked)


def shown(value: Any) -> str:
    """Return a swept value as text."""
    return value if isinstance(value, str) else json.dumps(value)


def _slug(text: str) -> str:
    """Return a text as a folder name; a long one is cut and completed by its digest."""
    name = re.sub(r"[^\w.=,+-]+", "-", text).strip(".-") or "unnamed"
    if len(name.encode()) <= _MAX_NAME:
        return name
    digest = hashlib.sha256(text.encode()).hexdigest()[:12]
    return f"{name.encode()[:_MAX_NAME].decode(errors='ignore')}-{digest}"
