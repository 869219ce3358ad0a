"""Writers of the same movement in each trace format."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wnsim.mobility import Motion, Trace

Tracks = dict[str, NDArray[np.float64]]

# WGS 84, and a place on it.
AXIS_M, FLATTENING = 6_378_137.0, 1 / 298.257223563
LON_DEG, LAT_DEG = 8.5, 47.4


def made_tracks() -> Tracks:
    """Return samples (S, 3) of three devices at every second, with two-digit coordinates."""
    t_s = np.arange(21.0)
    return {
        "0": np.column_stack([t_s, 10.0 * t_s, 5.0 + 0.0 * t_s]),
        "1": np.column_stack([t_s, 200.0 - np.maximum(t_s - 10.0, 0.0) * 8.0, 30.0 + 0.5 * t_s]),
        "2": np.column_stack([t_s, np.round(50.0 + 40.0 * np.sin(t_s), 2), 100.0 - t_s]),
    }


def degrees(x_m: float, y_m: float) -> tuple[float, float]:
    """Return longitude and latitude some meters from a place, by the radii of curvature there."""
    square = FLATTENING * (2 - FLATTENING)
    bend = 1 - square * np.sin(np.radians(LAT_DEG)) ** 2
    north_m, east_m = AXIS_M * (1 - square) / bend**1.5, AXIS_M / np.sqrt(bend)
    return (
        LON_DEG + np.degrees(x_m / (east_m * np.cos(np.radians(LAT_DEG)))),
        LAT_DEG + np.degrees(y_m / north_m),
    )


def by_time(tracks: Tracks) -> list[tuple[float, list[tuple[str, float, float]]]]:
    return [
        (
            t_s,
            [
                (name, x_m, y_m)
                for name, track in tracks.items()
                for s, x_m, y_m in track
                if s == t_s
            ],
        )
        for t_s in tracks["0"][:, 0].tolist()
    ]


def as_sumo_xml(tracks: Tracks) -> str:
    steps = "".join(
        f'<timestep time="{t_s:.2f}">'
        + "".join(f'<vehicle id="{n}" x="{x:.9g}" y="{y:.9g}" speed="1"/>' for n, x, y in devices)
        + "</timestep>\n"
        for t_s, devices in by_time(tracks)
    )
    return f'<?xml version="1.0"?>\n<fcd-export>\n{steps}</fcd-export>\n'


def as_sumo_csv(tracks: Tracks) -> str:
    lines = [
        f"{t_s:.2f};12.5;{n};lane;{x:.9g};{y:.9g}"
        for t_s, devices in by_time(tracks)
        for n, x, y in devices
    ]
    header = "timestep_time;vehicle_angle;vehicle_id;vehicle_lane;vehicle_x;vehicle_y"
    return "\n".join([header, *lines, ""])


def as_csv(tracks: Tracks) -> str:
    lines = [f"{t},{n},{x},{y}" for t, devices in by_time(tracks) for n, x, y in devices]
    return "\n".join(["t_s,id,x_m,y_m", *lines])


def as_csv_degrees(tracks: Tracks) -> str:
    lines = [
        f"{t},{n},{degrees(x, y)[0]:.12f},{degrees(x, y)[1]:.12f}"
        for t, devices in by_time(tracks)
        for n, x, y in devices
    ]
    return "\n".join(["t_s,id,lon_deg,lat_deg", *lines])


def as_ns2(tracks: Tracks) -> str:
    lines = ["# nodes: 3", "set god_ [God instance]"]
    for name, track in tracks.items():
        lines += [f"$node_({name}) set X_ {track[0, 1]}", f"$node_({name}) set Y_ {track[0, 2]}"]
        lines += [f"$node_({name}) set Z_ 0.0"]
        for (t_s, x_m, y_m), (_, to_x_m, to_y_m) in pairwise(track):
            speed_mps = float(np.hypot(to_x_m - x_m, to_y_m - y_m))
            move = f"setdest {to_x_m} {to_y_m} {speed_mps!r}"
            lines.append(f'$ns_ at {t_s} "$node_({name}) {move}"')
    lines.append('$ns_ at 3.0 "$god_ set-dist 1 2 3"')
    return "\n".join(lines)


def as_bonnmotion(tracks: Tracks) -> str:
    return "\n".join(" ".join(str(v) for v in track.ravel()) for track in tracks.values()) + "\n"


def as_bonnmotion_with_heights(tracks: Tracks) -> str:
    return "\n".join(" ".join(f"{t} {x} {y} 1.5" for t, x, y in track) for track in tracks.values())


def as_gpx(tracks: Tracks) -> str:
    begin = datetime(2026, 3, 1, 12, 0, 0, 250_000, tzinfo=UTC)
    text = [
        '<?xml version="1.0"?>',
        '<gpx xmlns="http://www.topografix.com/GPX/1/1" version="1.1">',
    ]
    text.append('<metadata><name>a walk</name></metadata><wpt lat="1" lon="2"><name>x</name></wpt>')
    for name, track in tracks.items():
        text.append(f"<trk><name>{name}</name><trkseg>")
        for t_s, x_m, y_m in track:
            lon, lat = degrees(x_m, y_m)
            when = (begin + timedelta(seconds=t_s)).isoformat().replace("+00:00", "Z")
            text.append(
                f'<trkpt lat="{lat:.12f}" lon="{lon:.12f}"><ele>3</ele><time>{when}</time></trkpt>'
            )
        text.append("</trkseg></trk>")
    return "\n".join([*text, "</gpx>"])


def motion(path: Path, content: str | bytes, count: int = 3, **options: object) -> Motion:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return Trace(file=str(path), **options).motion(count, (1.0, 1.0), 1)  # type: ignore[arg-type]


WRITERS: dict[str, Callable[[Tracks], str]] = {
    "sumo-fcd": as_sumo_xml,
    "sumo-csv": as_sumo_csv,
    "csv": as_csv,
    "csv in degrees": as_csv_degrees,
    "ns-2": as_ns2,
    "bonnmotion": as_bonnmotion,
    "bonnmotion with heights": as_bonnmotion_with_heights,
    "gpx": as_gpx,
}
