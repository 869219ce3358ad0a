"""Incremental XML parser without document types, entities or external references."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol
from xml.etree.ElementTree import ParseError
from xml.parsers.expat import errors

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import DefusedXMLParser

from wnsim.mobility.trace_files.other_formats import xml_kind
from wnsim.mobility.trace_files.samples import BadRowError, Samples

_MAX_DEPTH = 100
_MAX_ELEMENTS = 50_000_000
_MAX_TEXT = 1000
# Codes of the parser for a document that ends early.
_TRUNCATED = (
    errors.codes[errors.XML_ERROR_NO_ELEMENTS],
    errors.codes[errors.XML_ERROR_UNCLOSED_TOKEN],
    errors.codes[errors.XML_ERROR_PARTIAL_CHAR],
)
# A single tag or comment; the parser keeps it in memory until its end.
MAX_TOKEN = 4 << 20


class Handler(Protocol):
    """Interface of a handler of elements; names come without namespaces."""

    def start(self, tag: str, attributes: dict[str, str], line: int) -> None:
        """Handle the start of an element with its attributes."""
        ...

    def end(self, tag: str, text: str, line: int) -> None:
        """Handle the end of an element, with at most 1,000 characters of text without children."""
        ...


def parse(samples: Samples, content: Iterator[bytes], handler: Handler, root: str) -> None:
    """Parse a document as UTF-8 and pass its elements to a handler.

    Parameters
    ----------
    samples : makes errors; may omit the rest of a truncated document
    content : the document in pieces
    handler : receives the elements
    root : name that the root element must have
    """
    target = _Target(samples, handler, root)
    parser = DefusedXMLParser(target=target, encoding="utf-8", forbid_dtd=True)
    target.parser = parser
    fed = 0
    try:
        for piece in content:
            parser.feed(piece)
            fed += len(piece)
            if fed - parser.parser.CurrentByteIndex > MAX_TOKEN:
                line = parser.parser.CurrentLineNumber
                raise samples.error(f"a tag may have at most {MAX_TOKEN} bytes, got more", line)
        parser.close()
    except DefusedXmlException:
        line = parser.parser.CurrentLineNumber
        raise samples.error("document types and entities are refused in XML", line) from None
    except ParseError as problem:
        what = f"the XML is not well-formed: {problem}"
        if problem.code not in _TRUNCATED:
            raise samples.error(what) from None
        samples.skip(BadRowError(f"{samples.file}: {what}"))


def attribute(samples: Samples, tag: str, attributes: dict[str, str], name: str, line: int) -> str:
    """Return a required attribute of an element."""
    if name not in attributes:
        raise samples.bad_row(f"a {tag} must have the attribute {name!r}", line)
    return attributes[name]


class _Target:
    """Receiver of the parser's events."""

    def __init__(self, samples: Samples, handler: Handler, root: str) -> None:
        self.parser: DefusedXMLParser | None = None
        self._root = root
        self._samples = samples
        self._handler = handler
        self._depth = 0
        self._count = 0
        self._text = ""

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        """Handle the start of an element."""
        self._count += 1
        if self._count > _MAX_ELEMENTS:
            raise self._samples.error(f"XML may have at most {_MAX_ELEMENTS} elements, got more")
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            raise self._samples.error(
                f"elements may lie at most {_MAX_DEPTH} deep, got more", self._line()
            )
        self._text = ""
        name = tag.rpartition("}")[2]
        if self._count == 1 and name != self._root:
            raise self._samples.error(
                f"this is {xml_kind(name)}, and not a trace with the root element {self._root}"
            )
        self._handler.start(name, attributes, self._line())

    def end(self, tag: str) -> None:
        """Handle the end of an element."""
        self._depth -= 1
        self._handler.end(tag.rpartition("}")[2], self._text, self._line())
        self._text = ""

    def data(self, text: str) -> None:
        """Handle a part of a text."""
        if len(self._text) < _MAX_TEXT:
            self._text += text[:_MAX_TEXT]

    def close(self) -> None:
        """Do nothing."""

    def _line(self) -> int:
        return int(self.parser.parser.CurrentLineNumber) if self.parser else 0
