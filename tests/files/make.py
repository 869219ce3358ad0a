"""Writes the files of this folder: with SUMO, gpxpy and pynmea2, and by hand."""

from __future__ import annotations

import gzip
import json
import struct
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

HERE = Path(__file__).parent
BEGIN = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)
LON, LAT = 8.5, 47.4


def walk(
    points: int, north: float = 0.0, step_s: float = 1.0
) -> Iterator[tuple[datetime, float, float, float]]:
    """Yield time, longitude, latitude [degrees] and height [m]: 1e-5 degrees east a second."""
    for number in range(points):
        after_s = number * step_s
        yield (
            BEGIN + timedelta(seconds=after_s), LON + 1e-5 * after_s, LAT + north,
            400.0 + 0.1 * after_s,
        )  # fmt: skip


def put(name: str, content: str | bytes) -> Path:
    """Write a file."""
    path = HERE / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


NODES = """<nodes><node id="a" x="11.5000" y="48.1000" z="500"/><node id="b" x="11.5030" y="48.1010" z="504"/>
<node id="c" x="11.5060" y="48.1030" z="508"/></nodes>
"""
EDGES = """<edges><edge id="ab" from="a" to="b" speed="13" numLanes="1"/>
<edge id="bc" from="b" to="c" speed="13" numLanes="1"/></edges>
"""
# A vehicle, a person and a container with one id; the first two steps have no device.
ROUTES = """<routes><vType id="car" vClass="passenger" sigma="0"/><vType id="box" vClass="container"/>
<vehicle id="0" type="car" depart="{at}"><route edges="ab bc"/></vehicle>
<person id="0" depart="{at}"><walk edges="ab" arrivalPos="100"/></person>
<vehicle id="next" type="car" depart="{later}"><route edges="ab bc"/></vehicle>
<container id="0" type="box" depart="{later}"><tranship from="ab" to="ab" departPos="10" arrivalPos="80"/></container>
</routes>
"""
JAM = """<routes><vType id="car" vClass="passenger" sigma="0"/>
<vehicle id="block" type="car" depart="0"><route edges="ab bc"/><stop lane="ab_1" endPos="60" duration="99"/></vehicle>
<vehicle id="jam" type="car" depart="3"><route edges="ab bc"/></vehicle></routes>
"""


def sumo() -> None:
    """Write floating-car data with SUMO."""
    work = HERE / "work"
    tools = Path(sys.executable).parent
    nodes, edges = put("work/n.nod.xml", NODES), put("work/e.edg.xml", EDGES)
    net = work / "net.xml"
    run = [str(tools / "netconvert"), "-n", str(nodes), "-e", str(edges), "-o", str(net)]
    projection = "+proj=utm +zone=32 +ellps=WGS84 +datum=WGS84 +units=m +no_defs"
    subprocess.run([*run, "--proj", projection, "--sidewalks.guess", "true"], check=True)
    early = put("work/early.rou.xml", ROUTES.format(at=2, later=4))
    late = put("work/late.rou.xml", ROUTES.format(at=90_002, later=90_004))
    jam = put("work/jam.rou.xml", JAM)

    def simulate(name: str, routes: Path, *options: str, end: int = 12) -> None:
        out = put(f"sumo/{name}", "")
        subprocess.run(
            [str(tools / "sumo"), "-n", str(net), "-r", str(routes), "--fcd-output", str(out),
             "--no-step-log", "--no-warnings", "--end", str(end), *options],
            check=True,
        )  # fmt: skip
        if out.suffix == ".xml":
            # The comment at the top has the paths of this machine.
            head, _, rest = out.read_text("utf-8").partition("<!--")
            out.write_text(head + "<!-- SUMO 1.28.0 -->" + rest.partition("-->")[2], "utf-8")

    for kind in ("xml", "csv", "parquet"):
        simulate(f"fcd.{kind}", early)
        simulate(f"human-time.{kind}", early, "-H")
    simulate("days.csv", late, "-H", "--begin", "90000", end=90_012)
    simulate("days.xml", late, "-H", "--begin", "90000", end=90_012)
    simulate("geo.xml", early, "--fcd-output.geo")
    simulate("geo.csv", early, "--fcd-output.geo")
    simulate("utm.xml", early, "--fcd-output.utm")
    simulate("plain-names.csv", early, "--output.column-header", "plain")
    simulate("no-names.csv", early, "--output.column-header", "none")
    simulate("commas.csv", early, "--output.column-separator", ",")
    simulate("x-y-only.csv", early, "--fcd-output.attributes", "x,y")
    simulate("x-y-only.xml", early, "--fcd-output.attributes", "x,y")
    simulate("mesoscopic.csv", early, "--mesosim")
    simulate("z.xml", early, "--fcd-output.attributes", "x,y,z")
    simulate("teleport.xml", jam, "--time-to-teleport", "5", end=30)
    simulate("nobody.csv", put("work/none.rou.xml", "<routes/>"))
    text = (HERE / "sumo/fcd.xml").read_text("utf-8")
    put("sumo/fcd.xml.gz", gzip.compress(text.encode(), mtime=0))
    put("sumo/killed.xml", text[: text.index('<timestep time="9.00"') + 60])
    put(
        "sumo/road.net.xml",
        net.read_text("utf-8")[:200].partition("<!--")[0] + "<net version='1.20'/>",
    )
    put("sumo/routes.rou.xml", ROUTES.format(at=2, later=4))
    simulate("unused.xml", early, "--tripinfo-output", str(HERE / "sumo/tripinfo.xml"), "--netstate-dump",
             str(HERE / "sumo/netstate.xml"), end=8)  # fmt: skip
    for name in ("tripinfo", "netstate"):
        out = HERE / f"sumo/{name}.xml"
        head, _, rest = out.read_text("utf-8").partition("<!--")
        out.write_text(head + rest.partition("-->")[2], "utf-8")
    (HERE / "sumo/unused.xml").unlink()
    exporter = next(Path(sys.prefix).glob("lib/*/site-packages/sumo/tools/traceExporter.py"))
    subprocess.run(
        [sys.executable, str(exporter), "-i", str(HERE / "sumo/fcd.xml"),
         "--ns2mobility-output", str(put("ns2/sumo-exporter.tcl", ""))],
        check=True,
    )  # fmt: skip
    for path in sorted(work.iterdir()):
        path.unlink()
    work.rmdir()


def ns2() -> None:
    """Write ns-2 movements and what is mistaken for them."""
    put(
        "ns2/comments.tcl",
        """# nodes: 2, pause: 0.00
set god_ [God instance]
$node_(0) set X_ 10.0 ;# start
$node_(0) set Y_ 20.0 # north
$node_(0) set Z_ 1.5
$node_(1) set X_ 0.0
$node_(1) set Y_ 0.0
$ns_ at 5.0 "$node_(0) setdest 60.0 20.0 10.0" ;# to the east
$ns_ at 2.0 "$node_(1) setdest 0.0 30.0 1.5" # slowly
$ns_ at 3.0 "$god_ set-dist 0 1 1"
""",
    )
    put(
        "ns2/set-inside-at.tcl",
        """$ns_ at 0.0 "$node_(0) set X_ 100.0"
$ns_ at 0.0 "$node_(0) set Y_ 50.0"
$ns_ at 1.0 "$node_(0) setdest 140.0 50.0 10.0"
$ns_ at 8.0 "$node_(0) set X_ 300.0"
$ns_ at 9.0 "$node_(0) setdest 300.0 70.0 20.0"
""",
    )
    put(
        "ns2/ns3-manual.tcl",
        """$node_(0) set X_ 0.0
$node_(0) set Y_ 0.0
$ns at 1.0 $node_(0) setdest 30.0 40.0 5.0
""",
    )
    put(
        "ns2/packets.tr",
        """s 10.000000000 _0_ AGT  --- 0 cbr 512 [0 0 0 0] ------- [0:0 1:0 32 0] [0] 0 0
r 10.000000000 _0_ RTR  --- 0 cbr 512 [0 0 0 0] ------- [0:0 1:0 32 0] [0] 0 0
""",
    )
    put("bonnmotion/flat.movements", "0.0 10.0 10.0 10.0 60.0 10.0\n0.0 5.0 5.0\n")
    put("bonnmotion/solid.movements", "0.0 10.0 10.0 1.0 10.0 60.0 10.0 2.0\n0.0 5.0 5.0 3.0\n")


def gpx() -> None:
    """Write GPX with gpxpy."""
    import gpxpy.gpx as made

    def document(
        *tracks: tuple[str, list[list[tuple[datetime | None, float, float, float]]]],
    ) -> str:
        gpx = made.GPX()
        for name, segments in tracks:
            track = made.GPXTrack(name=name or None)
            for points in segments:
                segment = made.GPXTrackSegment()
                segment.points = [
                    made.GPXTrackPoint(latitude=lat, longitude=lon, elevation=z, time=when)
                    for when, lon, lat, z in points
                ]
                track.segments.append(segment)
            gpx.tracks.append(track)
        return str(gpx.to_xml())

    one, other = list(walk(21)), list(walk(11, 1e-4))
    put("gpx/two-walkers.gpx", document(("ann", [one]), ("bob", [other])))
    put("gpx/planned.gpx", document(("tour", [[(None, *point[1:]) for point in one[:5]]])))
    untimed = [(None if n in (3, 4) else point[0], *point[1:]) for n, point in enumerate(one)]
    put("gpx/some-without-time.gpx", document(("ann", [untimed])))
    fast = [(when.replace(microsecond=0), *rest) for when, *rest in walk(21, step_s=0.5)]
    put("gpx/whole-seconds.gpx", document(("ann", [fast])))
    put("gpx/segments.gpx", document(("ann", [one[:6], one[15:]])))
    put("gpx/group/ann.gpx", document(("", [one])))
    put("gpx/group/bob.gpx", document(("", [other])))
    put("gpx/group/notes.txt", "Both walked on Sunday.\n")
    lost = [
        (when, 0.0, 0.0, z) if n == 5 else (when, lon, lat, z)
        for n, (when, lon, lat, z) in enumerate(one)
    ]
    put("gpx/without-fix.gpx", document(("ann", [lost])))


def recordings() -> None:
    """Write the formats of other recorders."""
    import pynmea2

    head = "Geolife trajectory\r\nWGS 84\r\nAltitude is in Feet\r\nReserved 3\r\n0,2,255,My Track,0,0,2,8421376\r\n0\r\n"

    def plt(points: list[tuple[datetime, float, float, float]]) -> str:
        rows = []
        for when, lon, lat, z in points:
            days = (when - datetime(1899, 12, 30, tzinfo=UTC)) / timedelta(days=1)
            rows.append(
                f"{lat:.6f},{lon:.6f},0,{z / 0.3048:.0f},{days:.10f},{when:%Y-%m-%d,%H:%M:%S}\r\n"
            )
        return head + "".join(rows)

    points = list(walk(31))
    put("geolife/Data/007/Trajectory/20260301120000.plt", plt(points[:11]))
    put("geolife/Data/007/Trajectory/20260301120020.plt", plt(points[20:]))
    put("geolife/Data/007/labels.txt", "Start Time\tEnd Time\tTransportation Mode\n")
    put("geolife/Data/008/Trajectory/20260301120000.plt", plt(list(walk(31, 1e-4))))
    put("geolife/one.plt", plt(points))

    def nmea(when: datetime, lon: float, lat: float, z: float, *kinds: str) -> str:
        def angle(value: float, width: int) -> str:
            return f"{int(value):0{width}d}{value % 1 * 60:08.5f}"

        time, place = f"{when:%H%M%S}.00", (angle(lat, 2), "N", angle(lon, 3), "E")
        made = {
            "RMC": ("RMC", (time, "A", *place, "1.46", "90.0", f"{when:%d%m%y}", "", "", "A")),
            "GGA": ("GGA", (time, *place, "1", "08", "1.0", f"{z:.1f}", "M", "47.0", "M", "", "")),
        }
        return "".join(
            str(pynmea2.TalkerSentence("GP", made[kind][0], made[kind][1])) + "\r\n"
            for kind in kinds
        )

    put(
        "nmea/walk.nmea",
        "".join(nmea(*point, "GGA", "RMC") for point in points[:16])
        + str(pynmea2.TalkerSentence("GP", "GSV", ("GSV", "1", "1", "01", "01", "40", "083", "46")))
        + "\r\n",
    )
    evening = [
        (when + timedelta(hours=11, minutes=59, seconds=55), *rest) for when, *rest in points[:11]
    ]
    put("nmea/gga-over-midnight.log", "".join(nmea(*point, "GGA") for point in evening))
    wrong = "".join(nmea(*point, "RMC") for point in points[:6]).splitlines(keepends=True)
    wrong[2] = wrong[2].replace("E,1.46", "E,7.46")
    put("nmea/checksum.nmea", "".join(wrong))

    where = "".join(
        f"<when>{when:%Y-%m-%dT%H:%M:%SZ}</when>" for when, *_ in points[:11]
    ) + "".join(
        f"<gx:coord>{lon:.6f} {lat:.6f} {z:.1f}</gx:coord>" for _, lon, lat, z in points[:11]
    )
    open_tag = '<?xml version="1.0" encoding="UTF-8"?>\n<kml xmlns="http://www.opengis.net/kml/2.2" xmlns:gx="http://www.google.com/kml/ext/2.2"><Document><name>x</name>'
    put(
        "kml/track.kml",
        f"{open_tag}<Placemark><name>ann</name><gx:Track>{where}</gx:Track></Placemark></Document></kml>\n",
    )
    stamps = "".join(
        f"<Placemark><TimeStamp><when>{when:%Y-%m-%dT%H:%M:%SZ}</when></TimeStamp>"
        f"<Point><coordinates>{lon:.6f},{lat:.6f},{z:.1f}</coordinates></Point></Placemark>\n"
        for when, lon, lat, z in points[:11]
    )
    put(
        "kml/time-stamps.kml",
        f"{open_tag}<Folder><name>bob</name>{stamps}</Folder></Document></kml>\n",
    )
    put(
        "kml/places.kml",
        f"{open_tag}<Placemark><name>home</name><Point><coordinates>8.5,47.4</coordinates></Point></Placemark></Document></kml>\n",
    )

    for name, north in (("new_abcdef", 0.0), ("new_ghijkl", 1e-3)):
        rows = [
            f"{lat:.5f} {lon:.5f} {n % 2} {when.timestamp():.0f}"
            for n, (when, lon, lat, _) in enumerate(walk(10, north, 60.0))
        ]
        put(f"cabspotting/{name}.txt", "\n".join(reversed(rows)) + "\n")


def tables() -> None:
    """Write tables of samples."""
    rows = [
        f"{t},{name},{10 * t + n},{n}" for n, name in enumerate(("ann", "bob")) for t in range(6)
    ]
    put("csv/by-user.csv", "t_s,id,x_m,y_m\n" + "\n".join(rows) + "\n")
    dated = [
        f"{name};{when:%Y-%m-%d %H:%M:%S};{lat:.6f};{lon:.6f};{z:.1f};5"
        for name, north in (("ann", 0.0), ("bob", 1e-4))
        for when, lon, lat, z in walk(6, north)
    ]
    put("csv/dates.csv", "id;time;lat_deg;lon_deg;z_m;satellites\n" + "\n".join(dated) + "\n")
    put(
        "csv/unix-times.csv",
        "t_s,id,x_m,y_m\n" + "".join(f"{1_772_366_400 + t},ann,{t},0\n" for t in range(6)),
    )
    put(
        "csv/bad-rows.csv",
        "t_s,id,x_m,y_m\n0,ann,0,0\n1,ann,,0\n2,ann,2\n3,ann,3,0\n2,ann,2,0\n4,ann,4,0\n",
    )
    put(
        "csv/rides.csv",
        '"Date/Time","Lat","Lon","Base"\n"4/1/2014 0:11:00",40.769,-73.9549,"B02512"\n',
    )
    put("csv/matrix.txt", "47.4 8.5 400\n47.5 8.6 410\n")
    many = [f"{t},car {n},{n},{t}" for t in range(20) for n in range(30) if n <= t < n + 3 + n % 7]
    put("csv/come-and-go.csv", "t_s,id,x_m,y_m\n" + "\n".join(many) + "\n")


def others() -> None:
    """Write files that are no traces."""
    put("other/raster.tif", b"II*\x00\x08\x00\x00\x00" + struct.pack("<H", 0) + bytes(64))
    with zipfile.ZipFile(put("other/traces.zip", b""), "w") as archive:
        archive.writestr(zipfile.ZipInfo("walk.csv", (2026, 3, 1, 12, 0, 0)), "t_s,id,x_m,y_m\n")
    put(
        "other/city.osm",
        "<?xml version='1.0' encoding='UTF-8'?>\n<osm version=\"0.6\"><node id='1' lat='47.4' lon='8.5'/></osm>\n",
    )
    put("other/points.geojson", json.dumps({"type": "FeatureCollection", "features": []}))
    put("other/login.html", "<!DOCTYPE html>\n<html><body>Please log in.</body></html>\n")
    put("other/run.tcx", "<?xml version='1.0'?>\n<TrainingCenterDatabase/>\n")
    put("other/run.fit", struct.pack("<BBHI4sH", 14, 16, 2132, 0, b".FIT", 0))
    put("other/positions.pkl", b"\x80\x04\x95\x00\x00\x00\x00\x00\x00\x00\x00}.")
    put("other/positions.npy", b"\x93NUMPY\x01\x00" + bytes(32))
    put("other/export.h5", b"\x89HDF\r\n\x1a\n" + bytes(32))
    put(
        "other/flight.igc",
        "AXXX001 recorder\r\nHFDTE010326\r\nB1200004724000N00830000EA0040000410\r\n",
    )


def links() -> None:
    """Write measured links."""
    put(
        "links/stations.csv",
        "t_s,source,target,rate_bps\n"
        + "".join(
            f"{t},{device},station-0,{4_000_000 + 1_000_000 * t}\n{t},station-0,{device},{8_000_000}\n"
            for t in range(3)
            for device in (0, 1)
        ),
    )
    put("links/gains.csv", "t_s,source,target,gain_db\n0,0,1,-80\n1,0,1,-95.5\n")
    put("links/positive-gain.csv", "t_s,source,target,gain_db\n0,0,1,80\n")
    put("links/walk.up", "".join(f"{ms}\n" for ms in range(2, 2001, 2)))
    put("links/walk.down", "".join(f"{ms}\n" * (2 if ms <= 1000 else 1) for ms in range(1, 2001)))
    head = "Timestamp,Longitude,Latitude,Speed,Operatorname,CellID,NetworkMode,RSRP,RSRQ,SNR,CQI,RSSI,DL_bitrate,UL_bitrate,State,PINGAVG,PINGMIN,PINGMAX,PINGSTDEV,PINGLOSS,CELLHEX,NODEHEX,LACHEX,RAWCELLID,NRxRSRP,NRxRSRQ"
    rows = [
        f"2026.03.01_12.00.{t:02d},{LON + 1e-5 * t:.6f},{LAT:.6f},3,B,2,5G,-95,-13,4.0,10,-,{20_000 + 1000 * t},{500 + 10 * t},D,-,-,-,-,-,2,A1,9CBA,100,-,-"
        for t in range(6)
    ]
    rows.insert(3, rows[2])
    put("links/ucc-5g.csv", "\n".join([head, *rows]) + "\n")
    head = "run_num,seq_num,abstractSignalStr,latitude,longitude,movingSpeed,compassDirection,nrStatus,lte_rssi,lte_rsrp,lte_rsrq,lte_rssnr,nr_ssRsrp,nr_ssRsrq,nr_ssSinr,Throughput,mobility_mode,trajectory_direction,tower_id"
    rows = [
        f"{run},{t},2,{LAT:.6f},{LON + 1e-5 * t:.6f},1.4,90,CONNECTED,-61,-94,-14,2147483647,-80,-11,20,{100 * run + 10 * t},walking,CW,2"
        for run in (1, 2)
        for t in range(1, 5)
    ]
    put("links/lumos5g.csv", "\n".join([head, *rows]) + "\n")
    put("links/nyu-mets.csv", "".join(f"{mbps}\n" for mbps in (12.5, 0, 7.25, 30)))
    put(
        "links/ghent-4g.log",
        "".join(
            f"{1_453_121_790_000 + 1000 * t} {1000 * t} {LAT:.6f} {LON + 1e-5 * t:.6f} {125_000 * t} 1000\n"
            for t in range(1, 6)
        ),
    )


if __name__ == "__main__":
    for make in (sumo, ns2, gpx, recordings, tables, others, links):
        make()
