"""Validation of a scenario document."""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from fl.config.networks import NETWORKS
from fl.config.tasks import DIGITS
from wnsim.core.plugins import ALLOWED
from wnsim.scenario.errors import ScenarioError, together
from wnsim.scenario.spec.bundled import shipped
from wnsim.scenario.spec.document import Document, Place
from wnsim.scenario.spec.explanations import explain, nearest
from wnsim.scenario.spec.schema import SCENARIO, Scenario
from wnsim.scenario.spec.traced_links import fill_in

# Values that name files, relative to the scenario's folder.
_MODEL: Place = ("fl", "model")
_ARRAYS: Place = ("fl", "tasks", "arrays")
_FILES: tuple[Place, ...] = (
    _MODEL,
    ("fl", "tasks", "folder"),
    _ARRAYS,
    ("fl", "initial_adapter"),
    ("mobility", "file"),
    ("contact_plan", "file"),
    ("satellites", "orbit", "file"),
    ("channel", "file"),
    ("channel", "replay", "file"),
    ("channel", "replay", "uplink"),
    ("faults", "churn", "file"),
)


def find(name: str) -> Path:
    """Return a scenario file: a path, or the name of a bundled scenario.

    Raises
    ------
    ScenarioError
        if there is neither
    """
    path = Path(name)
    if path.is_file():
        return path
    known = shipped()
    for candidate in (name, f"{name}.yaml"):
        if candidate in known:
            return known[candidate]
    if path.is_dir():
        raise ScenarioError(f"{name}: is a folder; a scenario is a YAML file")
    hint = nearest(name, known)
    raise ScenarioError(f"{name}: no such file, and no bundled scenario of that name{hint}")


def allow(modules: Sequence[str]) -> frozenset[str]:
    """Import modules with user-defined models; return their names.

    Raises
    ------
    ScenarioError
        if one cannot be imported
    """
    here = str(Path.cwd())
    if modules and not {"", here} & set(sys.path):
        # Unlike `python -m`, the installed command does not search this folder.
        sys.path.append(here)
    for name in modules:
        try:
            importlib.import_module(name)
        # Any exception of an imported module is reported with the module's name.
        except (Exception, SystemExit) as error:
            kind = type(error).__name__
            raise ScenarioError(f"--plugin {name}: cannot be imported: {kind}: {error}") from error
    return frozenset(modules)


def validate(document: Document, plugins: frozenset[str] = frozenset()) -> Scenario:
    """Return the scenario that a document describes.

    Parameters
    ----------
    document : the document
    plugins : modules whose models it may use

    Raises
    ------
    ScenarioError
        if keys are unknown or missing, or values violate a rule; all of them are named
    """
    data = _with_absolute_files(document)
    try:
        fill_in(data)
    except ValueError as error:
        raise document.error(("channel", "file"), str(error)) from error
    try:
        return SCENARIO.validate_json(json.dumps(data), context={ALLOWED: plugins})
    except ValidationError as error:
        raise together(explain(document, error)) from error


def _with_absolute_files(document: Document) -> dict[str, Any]:
    data: dict[str, Any] = json.loads(json.dumps(document.data))
    for path in _FILES:
        section: Any = data
        for key in path[:-1]:
            section = section.get(key) if isinstance(section, dict) else None
        value = section.get(path[-1]) if isinstance(section, dict) else None
        if isinstance(value, str) and value:
            section[path[-1]] = _absolute(document, path, value)
        elif isinstance(value, list):
            # The files of a trace or of measured links.
            section[path[-1]] = [
                _absolute(document, path, name) if isinstance(name, str) and name else name
                for name in value
            ]
    return data


def _absolute(document: Document, path: Place, value: str) -> str:
    """Return the absolute path of a file, which is relative to the scenario's folder."""
    if "\0" in value:
        raise document.error(path, f"must be the name of a file, got {value!r}")
    candidate = document.folder / value
    # A model may also be bundled or on the hub; its name then stays as it is.
    if path == _MODEL and (value in ("tiny", *NETWORKS) or not candidate.is_dir()):
        return value
    if path == _ARRAYS and value == DIGITS:
        return value
    return str(candidate.resolve())
