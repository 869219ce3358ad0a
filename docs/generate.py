"""Parts of the pages that the code itself says: keys, models, metrics, columns and the Python API.

What is written of a key, a model or a column stands in its docstring; this turns docstrings and the
JSON schema into Markdown, so that the pages cannot say anything else than the code.
"""

from __future__ import annotations

import importlib
import inspect
import itertools
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from fl import config as learning
from fl.rows import EvaluationRow, GroupRow, MemberRow, RoundRow
from wnsim import channel, mac, metrics, mobility, phy, records
from wnsim.positions import PositionRow
from wnsim.scenario import api, results, schema
from wnsim.transfer import Message, Packet, Transfer

_ITEM = re.compile(r"(\w+(?:, \w+)*) : (.+)")
_CODE = re.compile(r"(`[^`]*`)")
_HEADS = ("Parameters", "Attributes", "Returns", "Raises")
_LINK = re.compile(r"[^\w\- ]")

# Families of models, where they stand in a scenario, and rooms that say more of them.
_FAMILIES: dict[str, tuple[str, Mapping[str, type], tuple[str, ...]]] = {
    "Mobility": ("mobility", mobility.MOBILITY, ("wnsim.mobility.geography",)),
    "Path loss": (
        "channel.path_loss",
        channel.PATH_LOSS,
        ("wnsim.channel.cellular", "wnsim.channel.propagation", "wnsim.channel.scene"),
    ),
    "Small-scale fading": (
        "channel.fading",
        channel.FADING,
        ("wnsim.channel.plane_waves", "wnsim.channel.processes", "wnsim.channel.delays"),
    ),
    "Antennas": ("devices.antenna", channel.ANTENNAS, ()),
    "Physical layer": (
        "radio.phy",
        phy.PHY,
        ("wnsim.phy.coding", "wnsim.phy.bicm", "wnsim.phy.transport_block"),
    ),
    "Medium access": ("mac", mac.MAC, ("wnsim.air.deadline_power",)),
}
_ROOMS = {
    "Shadow fading, buildings and measured links": (
        "wnsim.channel.shadowing", "wnsim.channel.penetration", "wnsim.channel.replay",
    ),
    "Transfers, traffic and energy": (
        "wnsim.transport", "wnsim.background", "wnsim.probes", "wnsim.energy", "wnsim.compute",
    ),
    "Methods": (
        "fl.methods.lora", "fl.methods.frozen", "fl.methods.masks", "fl.methods.density",
        "fl.methods.projections", "fl.aggregate", "fl.quantize", "fl.optimizer", "fl.collision",
    ),
    "Who speaks with whom, and when": (
        "fl.topology", "fl.clusters", "fl.session.rounds", "fl.session.gossip", "fl.session.star",
        "fl.session.sharing",
    ),
    "Inference": ("fl.mixture.gates", "fl.mixture.mixed", "fl.mixture.routing", "fl.choices"),
    "Tasks, data and sizes": (
        "fl.tasks", "fl.tasks.benchmarks", "fl.partition", "fl.payload", "fl.update",
    ),
}  # fmt: skip


def write(folder: Path) -> None:
    """Write all parts into a folder; those that have not changed are left alone."""
    folder.mkdir(exist_ok=True)
    parts: dict[str, Callable[[], str]] = {
        "keys": keys, "models": models, "metrics": metrics_table, "tables": tables, "api": python,
    }  # fmt: skip
    for name, make in parts.items():
        path, text = folder / f"{name}.md", make()
        if not path.is_file() or path.read_text("utf-8") != text:
            path.write_text(text, "utf-8")


def said(thing: Any) -> tuple[str, dict[str, dict[str, str]]]:
    """Return what a docstring says: its text, and by head what each name in its lists is."""
    head, found = "", {head: dict[str, str]() for head in _HEADS}
    text, names = list[str](), list[str]()
    lines = inspect.cleandoc(thing.__doc__ or "").splitlines()
    for line, below in zip(lines, [*lines[1:], ""], strict=True):
        if line in _HEADS and below and not below.strip("-"):
            head = line
        elif not head:
            text.append(line)
        elif match := _ITEM.fullmatch(line):
            names = match[1].split(", ")
            found[head] |= dict.fromkeys(names, match[2])
        elif line.startswith("    "):
            for name in names:
                found[head][name] = f"{found[head].get(name, '')} {line.strip()}".strip()
        elif line.strip("- "):
            names = [line]
    return "\n".join(text).strip(), found


def escaped(text: str) -> str:
    """Return a text in which nothing but code between backticks means anything to Markdown."""
    parts = _CODE.split(text)
    return "".join(
        part if n % 2 else re.sub(r"([\\*_<>\[\]|^~$])", r"\\\1", part)
        for n, part in enumerate(parts)
    )


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table of cells that are Markdown already."""
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def keys() -> str:
    """Return every key of a scenario, a section for each part of it."""
    whole = schema.json_schema()
    order = [*schema.Scenario.__pydantic_fields__, *schema.PLAN_KEYS]
    whole["properties"] = {name: whole["properties"][name] for name in order}
    seen: dict[str, str] = {}
    parts = ["## The whole file\n", _keys_of("", whole, schema.Scenario, set(whole["required"]))]
    for name, node in whole["properties"].items():
        parts += _section(name, node, whole["$defs"], seen)
    return "\n".join(parts)


def _section(
    path: str, node: dict[str, Any], known: dict[str, Any], seen: dict[str, str]
) -> Iterator[str]:
    """Yield what may stand below a key, and then below the keys in there."""
    names = list(dict.fromkeys(_referred(node)))
    if not names:
        return
    level = "#" * (2 + min(path.count("."), 1))
    yield f"{level} `{path}`\n"
    if len(names) > 1:
        yield escaped(_sentence(node.get("description", ""))) + "; one of:\n"
    if all(name in seen for name in names):
        place = seen[names[0]]
        yield f"The same keys as [`{place}`](#{anchor(place)}).\n"
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
        shown = f"[`{name}`](#{anchor(full)})" if list(_referred(each)) else f"`{name}`"
        rows.append(
            [shown, default, _values(each), escaped(_sentence(each.get("description", "")))]
        )
    return table(("key", "default", "values", "meaning"), rows)


def _default(name: str, node: dict[str, Any], made: type | None) -> str:
    """Return what holds if a key is not given."""
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
    """Return a value as one would write it in a scenario."""
    if isinstance(value, list):
        return f"[{', '.join(map(number, value))}]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {number(each)}" for key, each in value.items()) + "}"
    if isinstance(value, float) and float(f"{value:g}") == value:
        return re.sub(r"e\+?(-?)0*", r"e\1", f"{value:g}")
    return value if isinstance(value, str) and value else json.dumps(value)


def _values(node: dict[str, Any]) -> str:
    """Return what may stand at a key, in words."""
    choices = [each for way in ("anyOf", "oneOf") for each in node.get(way, ())]
    if choices:
        if any("discriminator" in each for each in (node, *choices)):
            own = any("pattern" in str(each.get("properties", "")) for each in choices)
            none = any(each.get("type") == "null" for each in choices)
            return "a model" + (", on board or one's own" if own else "") + ", or none" * none
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
    """Yield the names of the sections that may stand at a key."""
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


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


def anchor(text: str) -> str:
    """Return the name that a heading has in links, as MyST makes it."""
    return _LINK.sub("", text.lower()).replace(" ", "-")


def models() -> str:
    """Return which models there are, with their sources and what they leave out."""
    parts = []
    for title, (key, members, rooms) in _FAMILIES.items():
        parts.append(f"## {title}\n\nKeys: [`{key}`](keys.md#{anchor(key)}).\n")
        homes = [member.__module__ for member in members.values()]
        for place, (name, member) in enumerate(members.items()):
            parts += [f"### `{name}`\n", paragraphs(said(member)[0])]
            home = homes[place]
            if homes.count(home) == 1:
                parts.append(paragraphs(said(importlib.import_module(home))[0]))
            elif home not in homes[place + 1 :]:
                parts += _rooms([home])
        parts += _rooms(rooms)
    for title, rooms in _ROOMS.items():
        parts += [f"## {title}\n", *_rooms(rooms)]
    return "\n".join(parts)


def _rooms(names: Iterable[str]) -> Iterator[str]:
    """Yield what modules say of themselves, under the names that their docstrings use."""
    for name in names:
        text = said(importlib.import_module(name))[0]
        yield f"### In {name}\n\n{paragraphs(text)}"


def paragraphs(text: str) -> str:
    """Return a docstring's text, with what its paragraphs are about in bold."""
    shown = []
    for part in text.split("\n\n"):
        word, colon, rest = part.partition(":")
        if colon and word in ("Sources", "Source", "Scope", "Limits"):
            shown.append(f"**{word}:** {escaped(rest.strip())}")
        else:
            shown.append(escaped(part))
    return "\n\n".join(shown) + "\n"


def metrics_table() -> str:
    """Return what each metric is, a table for each of the tables that they are made from."""
    modules = ("delivery", "learning", "rounds", "devices", "groups")
    parts = [table(("metric", "meaning"), [_metric("simulated_s", metrics.DEFINITIONS)])]
    for name in modules:
        module = importlib.import_module(f"wnsim.metrics.{name}")
        title, _, rest = inspect.cleandoc(module.__doc__ or "").partition("\n")
        parts += [f"## {_plain(title)}\n", paragraphs(rest.strip())]
        rows = [_metric(metric, module.DEFINITIONS) for metric in module.DEFINITIONS]
        parts.append(table(("metric", "meaning"), rows))
    return "\n".join(parts)


def _metric(name: str, definitions: Mapping[str, str]) -> list[str]:
    return [f"`{name}`", escaped(_sentence(definitions[name]))]


def _plain(title: str) -> str:
    return escaped(title.rstrip("."))


def tables() -> str:
    """Return what each column of each table is."""
    message, transfer = said(Message)[1]["Parameters"], said(Transfer)[1]["Parameters"]
    transfer |= {
        name: said(value)[0]
        for name, value in vars(Transfer).items()
        if isinstance(value, property)
    }
    packet = said(Packet)[1]["Parameters"] | {"packet": said(Packet)[1]["Parameters"]["number"]}
    rows = {
        "transfers.csv": (
            said(Transfer)[0],
            {name: (message | transfer)[name] for name in records.TRANSFER_COLUMNS},
        ),
        "packets.csv": (
            said(Packet)[0],
            {name: (message | packet)[name] for name in records.PACKET_COLUMNS},
        ),
        "devices.csv": (
            "What a device was, sent and spent: one row of `devices.csv`.",
            results.DEVICE_COLUMNS | results.ENERGY_COLUMNS,
        ),
        "targets.csv": ("`fl.target_accuracies`.", {"accuracy": "one of them"}),
    }
    for name, row in {
        "rounds.csv": RoundRow, "evaluations.csv": EvaluationRow, "groups.csv": GroupRow,
        "members.csv": MemberRow, "positions.csv": PositionRow,
    }.items():  # fmt: skip
        rows[name] = (said(row)[0], said(row)[1]["Parameters"])
    if missing := set(results.TABLES) ^ set(rows):
        raise ValueError(f"each table must be explained, got {', '.join(sorted(missing))} at odds")
    parts = []
    for name in results.TABLES:
        text, columns = rows[name]
        parts += [f"### {name}\n", paragraphs(text)]
        # Neighbors of which one thing is said share a row.
        shown = [
            [", ".join(f"`{key}`" for key in alike), escaped(_sentence(each))]
            for each, alike in itertools.groupby(columns, columns.__getitem__)
        ]
        parts.append(table(("column", "meaning"), shown))
    return "\n".join(parts)


def python() -> str:
    """Return the functions and classes of the Python API."""
    parts = []
    for thing in (api.load, api.run, api.Plan, api.Results):
        parts += [f"## {thing.__name__}\n", _signature(thing), _lists(thing)]
        if isinstance(thing, type):
            for name, value in vars(thing).items():
                if isinstance(value, property):
                    parts.append(f"**`{thing.__name__}.{name}`**: {escaped(said(value)[0])}\n")
                elif inspect.isfunction(value) and not name.startswith("_"):
                    parts += [f"### {thing.__name__}.{name}\n", _signature(value), _lists(value)]
    return "\n".join(parts)


def _signature(thing: Any) -> str:
    shown = str(inspect.signature(thing)).replace("'", "").replace("(self, ", "(")
    shown = shown.replace(" -> None", "")
    name = getattr(thing, "__qualname__", thing.__name__)
    return f"```text\n{name}{shown}\n```\n"


def _lists(thing: Any) -> str:
    text, lists = said(thing)
    parts = [paragraphs(text)]
    for head, items in lists.items():
        if items:
            lines = [f"* `{name}`: {escaped(each)}" for name, each in items.items()]
            parts.append("\n".join([f"**{head}**\n", *lines]) + "\n")
    return "\n".join(parts)
