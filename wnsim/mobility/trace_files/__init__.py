"""Readers of mobility traces: SUMO, ns-2, BonnMotion, GPX, and comma-separated samples.

Files are untrusted: they are read in pieces, with bounds on their size, without document type
definitions, entities or external references, and any error is a one-line message.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Literal

import numpy as np

from wnsim.core.files import opened
from wnsim.mobility.geography import plane_m
from wnsim.mobility.trace_files.bonnmotion import read_bonnmotion
from wnsim.mobility.trace_files.content import PIECE, pieces
from wnsim.mobility.trace_files.gpx import read_gpx
from wnsim.mobility.trace_files.ns2 import read_ns2
from wnsim.mobility.trace_files.plain_csv import read_csv
from wnsim.mobility.trace_files.samples import Samples, Tracks
from wnsim.mobility.trace_files.sumo_table import read_sumo_csv, read_sumo_parquet
from wnsim.mobility.trace_files.sumo_xml import read_sumo_xml

__all__ = ["Layout", "Tracks", "read"]

Layout = Literal["auto", "sumo-fcd", "sumo-csv", "sumo-parquet", "ns-2", "bonnmotion", "gpx", "csv"]
_Reader = Callable[[Samples, Iterator[bytes]], None]

_READERS: dict[str, _Reader] = {
    "sumo-fcd": read_sumo_xml,
    "sumo-csv": read_sumo_csv,
    "ns-2": read_ns2,
    "bonnmotion": read_bonnmotion,
    "gpx": read_gpx,
    "csv": read_csv,
}
_TWO_NUMBERS = re.compile(rb"[-+0-9.eE]+[ \t]+[-+0-9.eE]+([ \t]|$)")


def read(file: str, layout: str, coordinates: str = "auto", *, heights: bool = False) -> Tracks:
    """Read a trace, plain or compressed with gzip (Parquet has its own compression).

    Parameters
    ----------
    file : path of the file
    layout : one of `Layout`; "auto" infers it from the beginning of the content
    coordinates : "meters", "degrees", or "auto" for the format's own, meters for SUMO
    heights : whether each waypoint of BonnMotion has a height, which is dropped

    Returns
    -------
    samples of each device

    Raises
    ------
    ValueError
        if the file cannot be read or is malformed
    """
    samples = Samples(file)
    with opened(samples.file, samples.error) as stream:
        start = stream.read(PIECE)
        layout = _guess(start) if layout == "auto" else layout
        if layout != "sumo-parquet":
            reader = _READERS[layout]
            if layout == "bonnmotion":
                reader = partial(read_bonnmotion, heights=heights)
            reader(samples, pieces(samples, start, stream))
    if layout == "sumo-parquet":
        read_sumo_parquet(samples)
    if samples.degrees is not None and coordinates not in ("auto", _unit(samples.degrees)):
        raise samples.error(f"coordinates must be {_unit(samples.degrees)} here, got {coordinates}")
    tracks = samples.tracks()
    if layout == "gpx":
        tracks = _from_first_instant(tracks)
    if samples.degrees or coordinates == "degrees":
        tracks = _projected(samples, tracks)
    return tracks


def _guess(start: bytes) -> str:
    """Return the layout of a file from its first bytes."""
    if start.startswith(b"PAR1"):
        return "sumo-parquet"
    start = start.removeprefix(b"\xef\xbb\xbf").lstrip()
    if start.startswith(b"<"):
        return "gpx" if re.search(rb"<([\w.-]+:)?gpx\b", start) else "sumo-fcd"
    if b"$node_(" in start or b"$ns_ " in start:
        return "ns-2"
    content = (line.strip() for line in start.splitlines())
    line = next((line for line in content if line and not line.startswith(b"#")), b"")
    if _TWO_NUMBERS.match(line):
        return "bonnmotion"
    names = {name.strip(b'"') for name in re.split(rb"[;,\t]", line)}
    if b"timestep_time" in names or {b"time", b"id", b"x", b"y"} <= names:
        return "sumo-csv"
    return "csv"


def _unit(degrees: bool) -> str:
    """Return the name of a unit."""
    return "degrees" if degrees else "meters"


def _from_first_instant(tracks: Tracks) -> Tracks:
    """Return tracks shifted so that time starts at the first sample."""
    first_s = min(track[0, 0] for track in tracks.by_name.values())
    return replace(
        tracks,
        by_name={name: track - [first_s, 0.0, 0.0] for name, track in tracks.by_name.items()},
    )


def _projected(samples: Samples, tracks: Tracks) -> Tracks:
    """Return tracks in meters from longitudes and latitudes, projected around one center."""
    places_deg = np.concatenate([track[:, 1:] for track in tracks.by_name.values()])
    try:
        places_m = plane_m(places_deg)
    except ValueError as error:
        raise samples.error(str(error)) from None
    ends = np.cumsum([track.shape[0] for track in tracks.by_name.values()])[:-1]
    return replace(
        tracks,
        by_name={
            name: np.column_stack([track[:, 0], part_m])
            for (name, track), part_m in zip(
                tracks.by_name.items(), np.split(places_m, ends), strict=True
            )
        },
    )
