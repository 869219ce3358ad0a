"""Inline figures of a page: SVG reduced to shapes and text.

Styles become attributes, so that the page's content security policy need not allow inline styles;
names get a prefix, so that several figures can share a page.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from xml.etree.ElementTree import Element, ParseError

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring
from markupsafe import Markup, escape

_SVG = "{http://www.w3.org/2000/svg}"
_HREF = "{http://www.w3.org/1999/xlink}href"
_ELEMENTS = {
    "svg", "g", "defs", "clipPath", "path", "rect", "circle", "use", "text", "tspan", "pattern",
}  # fmt: skip
_ATTRIBUTES = {
    "viewBox", "d", "x", "y", "width", "height", "r", "cx", "cy", "transform", "patternUnits",
    "fill", "fill-opacity", "fill-rule", "opacity", "stroke", "stroke-dasharray",
    "stroke-dashoffset", "stroke-linecap", "stroke-linejoin", "stroke-miterlimit",
    "stroke-opacity", "stroke-width", "clip-path", "font-size", "font-style", "font-weight",
    "text-anchor",
}  # fmt: skip
_WIDTH = re.compile(r'^<svg[^>]* width="([\d.]+)pt"')
_NAME = re.compile(r"url\(#([\w.-]+)\)")


def inline(svg: str, prefix: str, label: str) -> Markup:
    """Return a figure as an element of a page.

    Parameters
    ----------
    svg : text of the SVG file
    prefix : prefix of the names in this figure
    label : text for screen readers

    Raises
    ------
    ValueError
        if it is not SVG
    """
    try:
        root = fromstring(svg)
    except (ParseError, DefusedXmlException) as error:
        raise ValueError(f"a figure must be SVG, got invalid XML: {error}") from error
    if root.tag != f"{_SVG}svg":
        raise ValueError(f"a figure must be SVG, got an element {root.tag!r}")
    used = {name for node in root.iter() for name in _references(node)}
    inside = Markup("").join(_shown(child, prefix, used) for child in root)
    size = Markup(" ").join(
        Markup('{}="{}"').format(key, root.get(key))
        for key in ("viewBox", "width", "height")
        if root.get(key)
    )
    return Markup(
        '<svg {} role="img" aria-label="{}" stroke-linejoin="round" stroke-linecap="butt">{}</svg>'
    ).format(size, label, inside)


def width_pt(markup: Markup) -> float:
    """Return the width of a figure returned by `inline`; 0 if it states none [pt]."""
    match = _WIDTH.search(markup)
    return float(match[1]) if match else 0.0


def _shown(node: Element, prefix: str, used: set[str]) -> Markup:
    """Return the markup of an element and its children, empty unless it is a shape or text."""
    name = str(node.tag).removeprefix(_SVG)
    if name not in _ELEMENTS:
        return Markup("")
    attributes = dict(_attributes(node, prefix, used))
    if name == "g" and not attributes and not (node.text or "").strip():
        return Markup("").join(_shown(child, prefix, used) for child in node)
    written = Markup("").join(Markup(' {}="{}"').format(*each) for each in attributes.items())
    text = escape(node.text or "") if name in ("text", "tspan") else Markup("")
    inside = text + Markup("").join(_shown(child, prefix, used) for child in node)
    return Markup("<{0}{1}>{2}</{0}>").format(name, written, inside)


def _attributes(node: Element, prefix: str, used: set[str]) -> Iterator[tuple[str, str]]:
    for key, value in [*node.attrib.items(), *_style(node)]:
        if key == "id" and value in used:
            yield "id", prefix + value
        elif key in (_HREF, "href") and value.startswith("#"):
            yield "href", f"#{prefix}{value[1:]}"
        elif key in _ATTRIBUTES and (_NAME.fullmatch(value) or "url" not in value.lower()):
            named = _NAME.sub(lambda match: f"url(#{prefix}{match[1]})", value)
            yield key, " ".join(named.split())


def _style(node: Element) -> Iterator[tuple[str, str]]:
    for declaration in node.get("style", "").split(";"):
        key, _, value = declaration.partition(":")
        if value.strip():
            yield key.strip(), value.strip()


def _references(node: Element) -> Iterator[str]:
    """Yield the names that an element refers to."""
    for key, value in [*node.attrib.items(), *_style(node)]:
        if key in (_HREF, "href") and value.startswith("#"):
            yield value[1:]
        yield from _NAME.findall(value)
