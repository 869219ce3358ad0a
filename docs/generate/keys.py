"""Keys of a scenario from its JSON schema, one page per section."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from fl import config as learning
from wnsim.scenario.spec import schema

from .docstrings import anchor, escaped, sentence, table


def keys() -> dict[str, str]:
    """Return the pages of keys by name: `index` for the whole file, and one per section."""
    whole = schema.json_schema()
    order = [*schema.Scenario.__pydantic_fields__, *schema.PLAN_KEYS]
    whole["properties"] = {name: whole["properties"][name] for name in order}
    seen: dict[str, str] = {}
    pages = {"index": _keys_of("", whole, schema.Scenario, set(whole["required"]))}
    for name, node in whole["properties"].items():
        if text := "\n".join(_section(name, node, whole["$defs"], seen)):
            pages[name] = text
    toctree = "\n".join(f"keys/{name}" for name in pages if name != "index")
    pages["index"] += f"\n```{{toctree}}\n:maxdepth: 1\n:caption: Sections\n\n{toctree}\n```\n"
    return pages


def link(path: str, here: str = "") -> str:
    """Return the link to the section at a path, from a page of keys or, by default, from above."""
    page = path.partition(".")[0]
    if page == here:
        return f"#{anchor(path)}"
    return f"{page}.md#{anchor(path)}" if here else f"keys/{page}.md#{anchor(path)}"


def _section(
    path: str, node: dict[str, Any], known: dict[str, Any], seen: dict[str, str]
) -> Iterator[str]:
    """Yield the description of a section, then of the sections in it."""
    names = list(dict.fromkeys(_referred(node)))
    if not names:
        return
    level = "#" * (1 + min(path.count("."), 2))
    yield f"{level} `{path}`\n"
    if len(names) > 1:
        yield escaped(sentence(node.get("description", ""))) + "; one of:\n"
    if all(name in seen for name in names):
        place = seen[names[0]]
        yield f"The same keys as [`{place}`]({link(place, path.partition('.')[0])}).\n"
        return
    below: list[tuple[str, dict[str, Any]]] = []
    for name in names:
        member = known[name]
        seen[name] = path
        properties = dict(member.get("properties", {}))
        model = properties.get("model", {}).get("const")
        if model is not None:
            del properties["model"]
        title = f"**`model: {model}`**: " if model else ""
        yield title + escaped(member["description"]) + "\n"
        if properties:
            shape = {"properties": properties}
            made = _class(name)
            yield _keys_of(f"{path}.", shape, made, set(member.get("required", ())))
        below += [(f"{path}.{key}", each) for key, each in properties.items()]
    for key, each in below:
        yield from _section(key, each, known, seen)


def _keys_of(prefix: str, node: dict[str, Any], made: type | None, required: set[str]) -> str:
    rows = []
    for name, each in node["properties"].items():
        default = "required" if name in required else _default(name, each, made)
        full = f"{prefix}{name}"
        here = prefix.partition(".")[0]
        shown = f"[`{name}`]({link(full, here)})" if list(_referred(each)) else f"`{name}`"
        rows.append([shown, default, _values(each), escaped(sentence(each.get("description", "")))])
    return table(("key", "default", "values", "meaning"), rows)


def _default(name: str, node: dict[str, Any], made: type | None) -> str:
    """Return the default of a key."""
    fields = getattr(made, "__pydantic_fields__", {})
    value = node.get("default")
    if "default" not in node and name in fields:
        value = fields[name].get_default(call_default_factory=True)
        if "discriminator" in json.dumps(node) and hasattr(value, "model"):
            return f"`{{model: {value.model}}}`"
        if hasattr(value, "__pydantic_fields__"):
            return "its defaults"
        if isinstance(value, tuple):
            return "see there" if not value else "all"
    return "none" if value is None or value == [] else f"`{number(value)}`"


def number(value: Any) -> str:
    """Return a value as written in a scenario."""
    if isinstance(value, list):
        return f"[{', '.join(map(number, value))}]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {number(each)}" for key, each in value.items()) + "}"
    if isinstance(value, float) and float(f"{value:g}") == value:
        return re.sub(r"e\+?(-?)0*", r"e\1", f"{value:g}")
    return value if isinstance(value, str) and value else json.dumps(value)


def _values(node: dict[str, Any]) -> str:
    """Describe the possible values of a key."""
    choices = [each for way in ("anyOf", "oneOf") for each in node.get(way, ())]
    if choices:
        if any("discriminator" in each for each in (node, *choices)):
            own = any("pattern" in str(each.get("properties", "")) for each in choices)
            none = any(each.get("type") == "null" for each in choices)
            return "a model" + (", built-in or user-defined" if own else "") + ", or none" * none
        texts = dict.fromkeys(_values(each) for each in choices)
        return "; or ".join(texts)
    if "$ref" in node:
        return "a section"
    if "const" in node:
        return f"`{number(node['const'])}`"
    if "enum" in node:
        return ", ".join(f"`{number(each)}`" for each in node["enum"])
    kind = node.get("type")
    if kind in ("integer", "number"):
        return ("whole number" if kind == "integer" else "number") + _bounds(node)
    if kind == "array":
        if "prefixItems" in node:
            count, each = len(node["prefixItems"]), _values(node["prefixItems"][0])
            return f"{count} of: {each}"
        each = _values(node["items"]) if "items" in node else "anything"
        return f"list of: {each}" + (", at least one" if node.get("minItems") else "")
    words = {"boolean": "`true`, `false`", "null": "none", "object": "keys", "string": "text"}
    return words[str(kind)]


def _bounds(node: dict[str, Any]) -> str:
    low, above = node.get("minimum"), node.get("exclusiveMinimum")
    high, below = node.get("maximum"), node.get("exclusiveMaximum")
    parts = []
    if above is not None or low is not None:
        parts.append(f"above {number(float(above))}" if low is None else f"from {_bound(low)}")
    if below is not None or high is not None:
        parts.append(f"below {number(float(below))}" if high is None else f"to {_bound(high)}")
    return " " + " ".join(parts) if parts else ""


def _bound(value: float) -> str:
    return number(float(value)) if abs(value) >= 1e5 and value % 1000 == 0 else number(value)


def _referred(node: dict[str, Any]) -> Iterator[str]:
    """Yield the names of the sections that a key may have."""
    if "$ref" in node:
        yield node["$ref"].rsplit("/", 1)[-1]
    for way in ("anyOf", "oneOf"):
        for each in node.get(way, ()):
            yield from _referred(each)
    if isinstance(node.get("items"), dict):
        yield from _referred(node["items"])


def _class(name: str) -> type | None:
    found = getattr(schema, name, None) or getattr(learning, name, None)
    return found if isinstance(found, type) else None
