"""Docstrings as Markdown."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Sequence
from typing import Any

_ITEM = re.compile(r"(\w+(?:, \w+)*) : (.+)")
_CODE = re.compile(r"(`[^`]*`)")
_HEADS = ("Parameters", "Attributes", "Returns", "Raises", "Examples")
_LINK = re.compile(r"[^\w\- ]")


def said(thing: Any) -> tuple[str, dict[str, dict[str, str]]]:
    """Parse a docstring: its text, and by heading the descriptions of the names listed there."""
    head, found = "", {head: dict[str, str]() for head in _HEADS}
    text, names = list[str](), list[str]()
    lines = inspect.cleandoc(thing.__doc__ or "").splitlines()
    for line, below in zip(lines, [*lines[1:], ""], strict=True):
        if line in _HEADS and below and not below.strip("-"):
            head = line
        elif not head:
            text.append(line)
        elif head == "Examples":
            continue
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


def sentence(text: str) -> str:
    """Return a text with a capital letter."""
    return text[:1].upper() + text[1:]


def anchor(text: str) -> str:
    """Return the name that a heading has in links, as MyST makes it."""
    return _LINK.sub("", text.lower()).replace(" ", "-")
