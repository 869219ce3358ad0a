"""One-line messages for the errors of a scenario document.

A message names file, line, key, rule and value, and the nearest known word.
"""

from __future__ import annotations

import difflib
import itertools
import json
from collections.abc import Iterator
from functools import cache
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from wnsim.scenario.errors import ScenarioError
from wnsim.scenario.spec.document import Document, Place
from wnsim.scenario.spec.plain_units import in_plain_units
from wnsim.scenario.spec.renamed import RENAMED
from wnsim.scenario.spec.schema import json_schema

_ABSENT = ("missing", "missing_keyword_only_argument", "missing_argument")
# Wording of the validator, and ours.
_WORDS = {
    "input should be": "must be",
    "an object": "a section with keys",
    "a valid array": "a list",
    "a valid dictionary or object to extract fields from": "a section with keys",
}


def explain(document: Document, error: ValidationError) -> list[ScenarioError]:
    """Return all errors of a document in the order of its lines, each as a one-line message.

    Of a union of types, the errors at the deepest place belong to the intended type; others at this
    place and around it are left out.
    """
    found: dict[Place, ScenarioError] = {}
    for detail in error.errors(include_url=False, include_input=True):
        path = _path(document.data, detail["loc"])
        place = path if detail["type"] not in _ABSENT else (*path, str(detail["loc"][-1]))
        # A rule of our own is checked on values of the intended type.
        if place not in found or detail["type"] == "value_error":
            found[place] = _explained(document, path, detail)
    innermost = [
        place
        for place in found
        if not any(other[: len(place)] == place for other in found if other != place)
    ]
    return [found[place] for place in sorted(innermost, key=lambda place: _line(document, place))]


def _line(document: Document, place: Place) -> int:
    """Return the line of a place in the file; 0 if it is in none."""
    number = document.where(place).rpartition(":")[2]
    return int(number) if number.isdecimal() else 0


def _explained(document: Document, path: Place, detail: ErrorDetails) -> ScenarioError:
    """Return the message of an error at a place."""
    kind, value = detail["type"], detail["input"]
    context = detail.get("ctx", {})
    if kind in ("extra_forbidden", "unexpected_keyword_argument"):
        # A key written as a surrogate pair is one character here and not found in the document.
        name = str(detail["loc"][-1])
        hint = nearest(name, set(_known_keys(detail["loc"][:-1])))
        return document.error(path or (name,), f"unknown key{hint}")
    if kind in _ABSENT:
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
    elif isinstance(value, int | float) and path:
        hint = in_plain_units(str(path[-1]), value, context)
    return document.error(path, f"{message}, got {_shown(value)}{hint}")


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 80 else text[:77] + "..."


def _path(data: Any, loc: tuple[str | int, ...]) -> Place:
    """Return an error's location as a path of keys, without type names."""
    path: list[str | int] = []
    for step, following in itertools.zip_longest(loc, loc[1:]):
        here = _members(data)
        if step not in here:
            continue
        # The name of a type that is also a key: what follows it is beside that key.
        if following in here and following not in _members(here[step]):
            continue
        data = here[step]
        path.append(step)
    return tuple(path)


def _members(data: Any) -> dict[Any, Any]:
    """Return the values of a section or list by their keys; none of anything else."""
    if isinstance(data, list):
        return dict(enumerate(data))
    return data if isinstance(data, dict) else {}


@cache
def _schema() -> dict[str, Any]:
    """Return the JSON schema, which takes a tenth of a second to make."""
    return json_schema()


def _known_keys(loc: tuple[str | int, ...]) -> Iterator[str]:
    """Yield the keys that the schema knows at a location."""
    schema = _schema()
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
