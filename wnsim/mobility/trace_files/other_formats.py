"""Names of formats that are no traces, by which a file can be refused as what it is."""

from __future__ import annotations

import re

# Beginning of a file, and what it is.
_MAGIC: tuple[tuple[bytes, str], ...] = (
    (b"PK\x03\x04", "a zip archive (also KMZ, XLSX and DOCX): unpack or export it first"),
    (b"PK\x05\x06", "an empty zip archive"),
    (b"Rar!", "a RAR archive: unpack it first"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive: unpack it first"),
    (b"BZh", "compressed with bzip2: unpack it first, or use gzip"),
    (b"\xfd7zXZ\x00", "compressed with xz: unpack it first, or use gzip"),
    (b"\x28\xb5\x2f\xfd", "compressed with zstd: unpack it first, or use gzip"),
    (b"\x04\x22\x4d\x18", "compressed with lz4: unpack it first, or use gzip"),
    (b"II*\x00", "a TIFF image, such as a GeoTIFF raster"),
    (b"MM\x00*", "a TIFF image, such as a GeoTIFF raster"),
    (b"II+\x00", "a BigTIFF image, such as a GeoTIFF raster"),
    (b"MM\x00+", "a BigTIFF image, such as a GeoTIFF raster"),
    (b"\x89PNG", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"GIF8", "a GIF image"),
    (b"%PDF", "a PDF document"),
    (b"\x89HDF", "an HDF5 file (also NetCDF-4 and MATLAB 7.3): export its positions as CSV"),
    (b"CDF\x01", "a NetCDF file: export its positions as CSV"),
    (b"CDF\x02", "a NetCDF file: export its positions as CSV"),
    (b"MATLAB 5.0", "a MATLAB file: export its positions as CSV"),
    (b"SQLite format 3", "an SQLite database, such as a GeoPackage: export its positions as CSV"),
    (b"ARROW1", "an Arrow or Feather file: write Parquet or CSV"),
    (b"FEA1", "a Feather file: write Parquet or CSV"),
    (b"ORC", "an ORC file: write Parquet or CSV"),
    (b"\x93NUMPY", "a NumPy array: write CSV"),
    (b"\x00\x00\x27\x0a", "a shapefile, which has no times"),
    (b"#ROSBAG", "a ROS bag: export its positions as CSV"),
    (b"\x89MCAP", "an MCAP recording: export its positions as CSV"),
    (b"\xd4\xc3\xb2\xa1", "a packet capture (pcap)"),
    (b"\xa1\xb2\xc3\xd4", "a packet capture (pcap)"),
    (b"\x0a\x0d\x0d\x0a", "a packet capture (pcapng)"),
    (b"\x7fELF", "a program"),
    (b"\x80\x02", "a Python pickle, which is never read: write CSV"),
    (b"\x80\x03", "a Python pickle, which is never read: write CSV"),
    (b"\x80\x04", "a Python pickle, which is never read: write CSV"),
    (b"\x80\x05", "a Python pickle, which is never read: write CSV"),
    (b"OSMHeader", "an OpenStreetMap extract (PBF), which has roads and no devices"),
    (b"LASF", "a LAS point cloud"),
)
# Formats with their mark at another place.
_LATER: tuple[tuple[int, bytes, str], ...] = (
    (8, b".FIT", "a Garmin FIT recording: convert it to GPX"),
    (4, b"\x0a\x09OSMHeader", "an OpenStreetMap extract (PBF), which has roads and no devices"),
    (257, b"ustar", "a tar archive: unpack it first"),
    (4, b"ftyp", "a video (MP4)"),
)
_XML = {
    "osm": "an OpenStreetMap file, which has roads and no devices; SUMO makes traffic of it",
    "osmChange": "a set of changes to OpenStreetMap, which has no devices",
    "net": "a SUMO road network; the trace is written by sumo --fcd-output",
    "routes": "a SUMO file of routes; the trace is written by sumo --fcd-output",
    "additional": "a SUMO file of additional elements; the trace is written by sumo --fcd-output",
    "sumoConfiguration": "a SUMO configuration; the trace is written by sumo --fcd-output",
    "configuration": "a SUMO configuration; the trace is written by sumo --fcd-output",
    "netstate": "SUMO netstate output, which has no coordinates: use --fcd-output",
    "emission-export": "SUMO emission output: use --fcd-output",
    "tripinfos": "SUMO tripinfo output, which has no positions: use --fcd-output",
    "summary": "SUMO summary output, which has no positions: use --fcd-output",
    "fcd-export": "SUMO floating-car data",
    "gpx": "a GPX file",
    "kml": "a KML file",
    "TrainingCenterDatabase": "a Garmin TCX recording: convert it to GPX",
    "FlowMonitor": "output of the FlowMonitor of ns-3, which has no positions",
    "anim": "a NetAnim animation of ns-3: write its mobility as an ns-2 trace or CSV",
    "svg": "an SVG image",
    "html": "a web page",
}
_TEXT: tuple[tuple[re.Pattern[bytes], str], ...] = (
    (re.compile(rb"(?i)<!doctype html|<html"), "a web page; perhaps the download failed"),
    (re.compile(rb'\{\s*"type"\s*:\s*"(Feature|Topology|Geometry)'), "GeoJSON: write CSV or GPX"),
    (re.compile(rb"[\[{]\s*[\[{\"\d\]}]"), "JSON: write CSV"),
    (re.compile(rb"version https://git-lfs"), "a pointer of Git LFS: fetch the file itself"),
    (re.compile(rb"A[A-Z]{3}.*\r?\nHF"), "an IGC flight log: convert it to GPX"),
    (
        re.compile(rb"[srfdDM] -?t? ?\d+\.\d+ +(_\d+_|-Hs)"),
        "a packet trace of ns-2, which has no motion: use the file of setdest commands",
    ),
    (
        re.compile(rb'"?t_s"?[,;\t]"?source"?[,;\t]"?target"?'),
        "a table of measured links: it belongs to channel.replay",
    ),
)


def other_format(start: bytes) -> str | None:
    """Return what a file is that begins with some bytes; None if it may be a trace."""
    for magic, what in _MAGIC:
        if start.startswith(magic):
            return what
    for place, magic, what in _LATER:
        if start[place : place + len(magic)] == magic:
            return what
    text = start.removeprefix(b"\xef\xbb\xbf").lstrip()
    for pattern, what in _TEXT:
        if pattern.match(text):
            return what
    # UTF-16 is text that a reader names by itself.
    if b"\0" in start[:1000] and not start.startswith((b"PAR1", b"\xff\xfe", b"\xfe\xff")):
        return "a binary file of an unknown format"
    return None


def xml_kind(root: str) -> str:
    """Return what an XML document with a root element is."""
    return _XML.get(root, f"XML with the root element {root[:40]!r}")
