"""Python API: signatures, docstrings and examples."""

from __future__ import annotations

import inspect
import re
from typing import Any

from wnsim.scenario import api

from .docstrings import escaped, paragraphs, said


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
    shown = re.search(r"^Examples\n-+\n(.*)", inspect.cleandoc(thing.__doc__ or ""), re.S | re.M)
    if shown:
        parts.append(f"**Examples**\n\n```pycon\n{shown[1].strip()}\n```\n")
    return "\n".join(parts)
