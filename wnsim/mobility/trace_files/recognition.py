"""Recognition of a trace's format from the beginning of its content."""

from __future__ import annotations

import math
import re

_TWO_NUMBERS = re.compile(rb"[-+0-9.eE]+[ \t]+[-+0-9.eE]+([ \t]|$)")
_SENTENCE = re.compile(rb"[$!][A-Z]{2}[A-Z0-9]{3},")
_MARKUP = re.compile(rb"<!--.*?-->|<\?.*?\?>", re.DOTALL)
_ROOT = re.compile(rb"<(?:[\w.-]+:)?([\w.-]+)")
# Latest Unix time that a taxi trace may have, in 2100, and the earliest, in 1980 [s].
_UNIX_S = (315_532_800.0, 4_102_444_800.0)


def recognized(start: bytes) -> str | None:
    """Return the layout of a file from its first bytes; None if it looks like none.

    Parameters
    ----------
    start : beginning of the file, which `other_format` does not know
    """
    if start.startswith(b"PAR1"):
        return "sumo-parquet"
    start = start.removeprefix(b"\xef\xbb\xbf").lstrip()
    if start.startswith(b"<"):
        return _xml_layout(start)
    if b"$node_(" in start or b"$ns_ " in start or b"setdest" in start:
        return "ns-2"
    if start[:20].lower().startswith(b"geolife trajectory"):
        return "geolife"
    content = (line.strip() for line in start.splitlines())
    line = next((line for line in content if line and not line.startswith(b"#")), b"")
    if _SENTENCE.match(line):
        return "nmea"
    if _TWO_NUMBERS.match(line):
        return "cabspotting" if _is_of_a_cab(line) else "bonnmotion"
    names = {name.strip(b'" ') for name in re.split(rb"[;,\t]", line)}
    if b"timestep_time" in names or {b"time", b"id", b"x", b"y"} <= names:
        return "sumo-csv"
    if b"id" in names and names & {b"t_s", b"time"}:
        return "csv"
    return None


def _xml_layout(start: bytes) -> str:
    """Return the layout of an XML document, by its root; the reader of SUMO refuses others."""
    root = _ROOT.search(_MARKUP.sub(b"", start))
    return {b"gpx": "gpx", b"kml": "kml"}.get(root[1] if root else b"", "sumo-fcd")


def _is_of_a_cab(line: bytes) -> bool:
    """Return whether a line has latitude, longitude, occupancy and Unix time."""
    words = line.split()
    if len(words) != 4 or words[2] not in (b"0", b"1"):
        return False
    try:
        lat, lon, _, time_s = map(float, words)
    except ValueError:
        return False
    return math.fabs(lat) <= 90.0 and math.fabs(lon) <= 180.0 and _UNIX_S[0] <= time_s <= _UNIX_S[1]
