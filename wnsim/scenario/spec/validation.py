"""Validation of a scenario document, with one-line error messages.

A message names file, line, key, rule and value, and the nearest known word.
"""

from __future__ import annotations

import difflib
import importlib
import json
import sys
from collections.abc import Iterator, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from fl.plugins import ALLOWED
from wnsim.scenario.errors import ScenarioError
from wnsim.scenario.spec.document import Document, Place
from wnsim.scenario.spec.renamed import RENAMED
from wnsim.scenario.spec.schema import SCENARIO, Scenario, json_schema

# Values that name files, relative to the scenario's folder.
_MODEL: Place = ("fl", "model")
_FILES: tuple[Place, ...] = (
    _MODEL,
    ("fl", "tasks", "folder"),
    ("fl", "initial_adapter"),
    ("mobility", "file"),
    ("channel", "replay", "file"),
    ("channel", "replay", "uplink"),
    ("faults", "churn", "file"),
)


# Wording of the validator, and ours.
_WORDS = {
    "input should be": "must be",
    "an object": "a section with keys",
    "a valid array": "a list",
    "a valid dictionary or object to extract fields from": "a section with keys",
}


def shipped() -> dict[str, Path]:
    """Return the bundled scenarios by file name."""
    inside = Path(str(resources.files("wnsim"))) / "scenarios"
    folder = inside if inside.is_dir() else inside.parent.parent / "scenarios"
    return {path.name: path for path in sorted(folder.glob("*.yaml"))}


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
        if a key is unknown or missing, or a value violates a rule
    """
    data = _with_absolute_files(document)
    try:
        return SCENARIO.validate_json(json.dumps(data), context={ALLOWED: plugins})
    except ValidationError as error:
        raise _explain(document, error) from error


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
    if path == _MODEL and (value == "tiny" or not candidate.is_dir()):
        return value
    return str(candidate.resolve())


def _explain(document: Document, error: ValidationError) -> ScenarioError:
    """Return the first error as a one-line message."""
    # For a union of types, the error at the deepest location belongs to the intended type, and so
    # does a rule of our own, which is checked on values of the right types.
    found = [
        (_path(document.data, detail["loc"]), detail)
        for detail in error.errors(include_url=False, include_input=True)
    ]
    path, detail = max(found, key=lambda item: (len(item[0]), item[1]["type"] == "value_error"))
    kind, value = detail["type"], detail["input"]
    context = detail.get("ctx", {})
    if kind in ("extra_forbidden", "unexpected_keyword_argument"):
        # A key written as a surrogate pair is one character here and not found in the document.
        name = str(detail["loc"][-1])
        hint = nearest(name, set(_known_keys(detail["loc"][:-1])))
        return document.error(path or (name,), f"unknown key{hint}")
    if kind in ("missing", "missing_keyword_only_argument", "missing_argument"):
        return document.error((*path, str(detail["loc"][-1])), "the key is required")
    if kind == "union_tag_invalid":
        tags = [tag.strip("' ") for tag in str(context["expected_tags"]).split(",")]
        known = [tag for tag in tags if ":" not in tag]
        tag = str(context["tag"])
        return document.error((*path, "model"), f"unknown model {tag!r}{nearest(tag, known)}")
    if kind == "union_tag_not_found" and not isinstance(value, dict):
        hint = f"; perhaps {{model: {value}}}" if isinstance(value, str) else ""
        return document.error(path, f"must be a section with keys, got {_shown(value)}{hint}")
    if kind == "union_tag_not_found":
        return document.error(path, "must say which model is meant: the key model is required")
    if kind == "literal_error":
        known = [
            word.strip("' ") for word in str(context["expected"]).replace(" or ", ", ").split(",")
        ]
        return document.error(
            path,
            f"must be {context['expected']}, got {value!r}"
            + ("" if len(known) < 2 else _did_you_mean(str(value), known)),
        )
    if kind == "value_error":
        return document.error(path, str(context["error"]))
    message = detail["msg"][0].lower() + detail["msg"][1:]
    for plain, ours in _WORDS.items():
        message = message.replace(plain, ours)
    hint = ""
    if isinstance(value, float) and value.is_integer() and kind.startswith("int"):
        hint = f"; write {int(value)}"
    elif isinstance(value, str) and kind == "dict_type":
        hint = f"; perhaps {{model: {value}}}"
    return document.error(path, f"{message}, got {_shown(value)}{hint}")


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 80 else text[:77] + "..."


def _path(data: Any, loc: tuple[str | int, ...]) -> Place:
    """Return an error's location as a path of keys, without type names."""
    path: list[str | int] = []
    for step in loc:
        here: Any = dict(enumerate(data)) if isinstance(data, list) else data
        if isinstance(here, dict) and step in here:
            data = here[step]
            path.append(step)
    return tuple(path)


def _known_keys(loc: tuple[str | int, ...]) -> Iterator[str]:
    """Yield the keys that the schema knows at a location."""
    schema = json_schema()
    definitions = schema.get("$defs", {})

    def resolve(node: dict[str, Any]) -> dict[str, Any]:
        while "$ref" in node:
            node = definitions[node["$ref"].rsplit("/", 1)[-1]]
        return node

    nodes = [schema]
    for step in loc:
        following = []
        for node in nodes:
            if step in node.get("properties", {}):
                following.append(resolve(node["properties"][step]))
            tags = node.get("discriminator", {}).get("mapping", {})
            if step in tags:
                following.append(resolve({"$ref": tags[step]}))
        nodes = following or nodes
        nodes += [
            resolve(option)
            for node in nodes
            for choice in ("anyOf", "oneOf", "allOf")
            for option in node.get(choice, [])
            if "discriminator" not in node
        ]
    for node in nodes:
        yield from node.get("properties", {})


def nearest(word: str, known: Any) -> str:
    """Return a hint: the nearest known word, or all known words if none is near."""
    near = _did_you_mean(word, known)
    return near or (f"; known: {', '.join(sorted(known))}" if known else "")


def _did_you_mean(word: str, known: Any) -> str:
    today = RENAMED.get(word)
    if today in known:
        return f"; did you mean {today!r}?"
    match = difflib.get_close_matches(word, sorted(known), n=1, cutoff=0.6)
    return f"; did you mean {match[0]!r}?" if match else ""
