"""Readers of mobility traces of simulators and of recorders of satellite positions.

Files are untrusted: they are read in pieces, with bounds on their size, without document type
definitions, entities or external references, and any error is a one-line message.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Literal

from wnsim.core.files import opened
from wnsim.mobility.trace_files.bonnmotion import read_bonnmotion
from wnsim.mobility.trace_files.cabspotting import read_cabspotting
from wnsim.mobility.trace_files.content import PIECE, pieces
from wnsim.mobility.trace_files.geographic import looks_geographic
from wnsim.mobility.trace_files.geolife import read_geolife
from wnsim.mobility.trace_files.gpx import read_gpx
from wnsim.mobility.trace_files.kml import read_kml
from wnsim.mobility.trace_files.nmea import read_nmea
from wnsim.mobility.trace_files.ns2 import read_ns2
from wnsim.mobility.trace_files.other_formats import other_format
from wnsim.mobility.trace_files.plain_csv import read_csv
from wnsim.mobility.trace_files.recognition import recognized
from wnsim.mobility.trace_files.samples import OnBadRow, Samples
from wnsim.mobility.trace_files.sources import sources
from wnsim.mobility.trace_files.sumo_table import read_sumo_csv, read_sumo_parquet
from wnsim.mobility.trace_files.sumo_xml import read_sumo_xml
from wnsim.mobility.trace_files.tracks import Track, Tracks

__all__ = ["Layout", "OnBadRow", "Track", "Tracks", "read", "sources"]

Layout = Literal[
    "auto", "sumo-fcd", "sumo-csv", "sumo-parquet", "ns-2", "bonnmotion", "gpx", "geolife", "nmea",
    "kml", "cabspotting", "csv",
]  # fmt: skip
_Reader = Callable[[Samples, Iterator[bytes]], None]

_READERS: dict[str, _Reader] = {
    "sumo-fcd": read_sumo_xml,
    "sumo-csv": read_sumo_csv,
    "ns-2": read_ns2,
    "bonnmotion": read_bonnmotion,
    "gpx": read_gpx,
    "geolife": read_geolife,
    "nmea": read_nmea,
    "kml": read_kml,
    "cabspotting": read_cabspotting,
    "csv": read_csv,
}
# Formats of which several files are one trace: their times are dates, and a file is a recording.
_JOINED = ("gpx", "geolife", "nmea", "kml", "cabspotting")


def read(
    named: str | Sequence[str],
    layout: str,
    coordinates: str = "auto",
    *,
    heights: bool = False,
    on_bad_row: OnBadRow = "error",
) -> tuple[Tracks, bool]:
    """Read a trace, plain or compressed with gzip (Parquet has its own compression).

    Parameters
    ----------
    named : a file, a folder, or several files
    layout : one of `Layout`; "auto" infers it from the beginning of the content
    coordinates : "meters", "degrees", or "auto" for the format's own, the plausible ones for SUMO
    heights : whether each waypoint of BonnMotion has a height
    on_bad_row : whether an invalid row is an error, or left out and noted

    Returns
    -------
    tracks : track of each device
    degrees : whether positions are longitude and latitude [degrees] instead of x and y [m]

    Raises
    ------
    ValueError
        if a file cannot be read or is malformed
    """
    files = sources(named)
    samples = Samples(files[0], on_bad_row)
    samples.several = len(files) > 1
    found: str | None = None
    for file in files:
        samples.file = file
        chosen = _read_file(samples, layout, heights=heights)
        if found is not None and chosen is not None and chosen != found:
            raise samples.error(
                f"all files of a trace must have one format, got {chosen} after {found}"
            )
        found = chosen or found
        if samples.several and found is not None and found not in _JOINED:
            raise samples.error(
                f"several files must be recordings with dates ({', '.join(_JOINED)}), got {found}"
            )
    if isinstance(named, str):
        samples.file = named
    tracks = samples.tracks()
    degrees = samples.degrees
    if degrees is not None and coordinates not in ("auto", _unit(degrees)):
        raise samples.error(f"coordinates must be {_unit(degrees)} here, got {coordinates}")
    if degrees is None:
        degrees = coordinates == "degrees"
        if coordinates == "auto" and looks_geographic(tracks):
            degrees = True
            tracks = tracks.noting(
                f"{samples.file}: positions are taken for longitude and latitude: in meters they "
                "would hardly move; coordinates: meters or degrees decides"
            )
    return tracks, degrees


def _read_file(samples: Samples, layout: str, *, heights: bool) -> str | None:
    """Read one file; return its layout, or None if it was ignored, being one of several."""
    with opened(samples.file, samples.error) as stream:
        start = stream.read(PIECE)
        other = other_format(start)
        if layout == "auto":
            layout = ("" if other else recognized(start)) or ""
        if (other or not layout) and samples.several:
            samples.note(f"ignored, being {other or 'no trace of a known format'}")
            return None
        if other:
            raise samples.error(f"this is {other}")
        layout = layout or "csv"
        if layout != "sumo-parquet":
            reader = _READERS[layout]
            if layout == "bonnmotion":
                reader = partial(read_bonnmotion, heights=heights)
            reader(samples, pieces(samples, start, stream))
    if layout == "sumo-parquet":
        read_sumo_parquet(samples)
    return layout


def _unit(degrees: bool) -> str:
    """Return the name of a unit."""
    return "degrees" if degrees else "meters"
