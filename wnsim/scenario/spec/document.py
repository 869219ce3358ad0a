"""Scenario documents: plain values of a YAML file, each with its place in the file."""

from __future__ import annotations

import itertools
import math
import numbers
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap
from ruamel.yaml.constructor import DuplicateKeyError
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from wnsim.scenario.errors import ScenarioError

Place = tuple[str | int, ...]

_MAX_BYTES = 1_000_000
_MAX_VALUES = 100_000
_MAX_DEPTH = 50
# Errors of the library for some invalid texts, such as mappings as keys.
_LIBRARY = (ValueError, TypeError, AttributeError, LookupError)
# In these sections `model` is a name and does not decide which other keys exist.
_MODEL_IS_NO_CHOICE = {("fl",)}


@dataclass(frozen=True)
class Document:
    """Plain values with their places in a file.

    Parameters
    ----------
    data : nested dictionaries, lists, strings, numbers, booleans and None
    places : place of each value, such as `urban.yaml:9`, by its path of keys
    file : the file as the user named it
    folder : folder that relative paths in the scenario start from
    description : comment at the head of the file
    """

    data: dict[str, Any]
    places: Mapping[Place, str]
    file: str
    folder: Path
    description: str = ""

    def where(self, path: Place) -> str:
        """Return the place of a value, or else of something inside or around it."""
        while path:
            for place, where in self.places.items():
                if place[: len(path)] == path:
                    return where
            path = path[:-1]
        return self.file

    def error(self, path: Place, text: str) -> ScenarioError:
        """Return an error about a value."""
        key = ".".join(map(str, path))
        return ScenarioError(f"{self.where(path)}: {key + ': ' if key else ''}{text}")

    def merged(self, other: Document) -> Document:
        """Return this document overridden by another one.

        Sections are merged key by key, unless the other one chooses another `model`: its section
        then replaces this one's.
        """
        places = {**self.places, **other.places}
        return replace(self, data=_merged(self.data, other.data), places=places)

    def section(self, path: Place) -> Document:
        """Return the document below a path, with places relative to it."""
        data = self.data
        for key in path:
            data = data[key]  # type: ignore[index]
        places = {
            place[len(path) :]: where
            for place, where in self.places.items()
            if place[: len(path)] == path
        }
        return replace(self, data=data, places=places)

    def without(self, *keys: str) -> Document:
        """Return the document without some of its top-level keys."""
        return replace(self, data={k: v for k, v in self.data.items() if k not in keys})


def assignment(document: Document, dotted: str, value: Any, source: str) -> Document:
    """Return a document with a single assignment, `key.sub = value`, attributed to a source.

    Raises
    ------
    ScenarioError
        if the key is empty
    """
    keys = dotted.split(".")
    if not all(keys):
        raise ScenarioError(f"{source}: the key must be names joined by dots, got {dotted!r}")
    data: Any = value
    for key in reversed(keys):
        data = {key: data}
    places: dict[Place, str] = {tuple(keys): source}
    return replace(document, data=data, places=places)


def parse_value(text: str, source: str) -> Any:
    """Parse a YAML value, such as a number or a list.

    Raises
    ------
    ScenarioError
        if it is not YAML
    """
    try:
        loaded = YAML(typ="rt", pure=True).load(text)
    except (YAMLError, *_LIBRARY, RecursionError) as error:
        raise ScenarioError(f"{source}: the value is not YAML, got {text!r}") from error
    return _Plain(source).value(loaded, (), 0)


def read(path: Path, shown: str) -> Document:
    """Read the document of a scenario file.

    Parameters
    ----------
    path : path of the file
    shown : the file as the user named it

    Raises
    ------
    ScenarioError
        if the file cannot be read, is too large, is not UTF-8, is not YAML, gives a key twice, is
        empty, or is not a mapping
    """
    try:
        size = path.stat().st_size
        if size > _MAX_BYTES:
            raise ScenarioError(f"{shown}: a scenario has at most {_MAX_BYTES} bytes, got {size}")
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ScenarioError(f"{shown}: not UTF-8 text at byte {error.start}") from error
    except OSError as error:
        raise ScenarioError(f"{shown}: cannot be read: {error.strerror}") from error
    try:
        loaded = YAML(typ="rt", pure=True).load(text)
    except DuplicateKeyError as error:
        line = f":{error.problem_mark.line + 1}" if error.problem_mark else ""
        problem = str(error.problem).split(" with value")[0].removeprefix("found duplicate key ")
        key = problem.strip('"')
        raise ScenarioError(f"{shown}{line}: {key}: the key is given twice") from error
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f":{mark.line + 1}" if mark else ""
        raise ScenarioError(f"{shown}{line}: not YAML: {error.problem or error.context}") from error
    except (YAMLError, *_LIBRARY) as error:
        reason = str(error).splitlines()[0]
        raise ScenarioError(f"{shown}: not YAML: {reason}") from error
    except RecursionError as error:
        raise ScenarioError(f"{shown}: nested too deeply") from error
    if loaded is None:
        raise ScenarioError(f"{shown}: the file is empty; a scenario needs at least a name")
    if not isinstance(loaded, CommentedMap):
        raise ScenarioError(f"{shown}: a scenario is a mapping of keys, got a {_kind(loaded)}")
    plain = _Plain(shown)
    data = plain.value(loaded, (), 0)
    return Document(data, plain.places, shown, path.resolve().parent, describing(text))


def of_mapping(data: Mapping[str, Any]) -> Document:
    """Return the document of a scenario given by keys; its paths start from the working folder.

    Raises
    ------
    ScenarioError
        if a value is neither text, a number, a list nor keys
    """
    shown = "scenario"
    return Document(_Plain(shown).value(data, (), 0), {}, shown, Path.cwd())


def describing(text: str) -> str:
    """Return the comment at the head of a scenario file without lines for editors."""
    head = itertools.takewhile(lambda line: line.startswith("#"), text.splitlines())
    said = (line.lstrip("# ").rstrip() for line in head)
    return " ".join(line for line in said if line and not line.startswith("yaml-language-server:"))


class _Plain:
    """Converter of values to plain values, with their lines if they are the YAML library's."""

    def __init__(self, file: str) -> None:
        self._file = file
        self._values = 0
        self.places: dict[Place, str] = {}

    def value(self, value: Any, path: Place, depth: int) -> Any:
        """Return a plain value."""
        self._values += 1
        if self._values > _MAX_VALUES or depth > _MAX_DEPTH:
            raise ScenarioError(
                f"{self._file}: a scenario has at most {_MAX_VALUES} values, nested at most "
                f"{_MAX_DEPTH} deep, anchors written out"
            )
        if isinstance(value, Mapping):
            return {
                self._key(key, path): self.value(
                    item, self._at(value, key, (*path, str(key))), depth + 1
                )
                for key, item in value.items()
            }
        if isinstance(value, list | tuple):
            return [
                self.value(item, self._at(value, index, (*path, index)), depth + 1)
                for index, item in enumerate(value)
            ]
        if value is None or isinstance(value, bool):
            return value
        if type(value).__name__ == "ScalarBoolean":
            return bool(value)
        if isinstance(value, numbers.Integral):
            return int(value)
        if isinstance(value, numbers.Real):
            if not math.isfinite(value):
                raise self._error(path, f"must be a finite number, got {float(value)}")
            return float(value)
        if isinstance(value, str):
            return str(value)
        if isinstance(value, date):
            return value.isoformat()
        raise self._error(path, f"must be text, a number, a list or keys, got a {_kind(value)}")

    def _key(self, key: Any, path: Place) -> str:
        if not isinstance(key, str):
            raise self._error((*path, str(key)), f"a key must be text, got {key!r}")
        return str(key)

    def _at(self, container: Any, key: Any, path: Place) -> Place:
        position = getattr(getattr(container, "lc", None), "data", None) or {}
        if key in position:
            self.places[path] = f"{self._file}:{position[key][0] + 1}"
        return path

    def _error(self, path: Place, text: str) -> ScenarioError:
        where = self.places.get(path, self._file)
        return ScenarioError(f"{where}: {'.'.join(map(str, path))}: {text}")


def _merged(base: Any, over: Any, path: Place = ()) -> Any:
    if not isinstance(base, dict) or not isinstance(over, dict):
        return over
    chooses = "model" in over and over["model"] != base.get("model", over["model"])
    if chooses and path not in _MODEL_IS_NO_CHOICE:
        return over
    merged = {key: _merged(base.get(key), value, (*path, key)) for key, value in over.items()}
    return {**base, **merged}


def _kind(value: Any) -> str:
    if isinstance(value, list):
        return "list"
    return "text" if isinstance(value, str) else type(value).__name__
