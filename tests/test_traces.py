"""Traces: contents of good files, and one clear sentence for each bad one."""

import gzip
import re
from pathlib import Path

import numpy as np
import pytest

from wnsim.mobility import Motion, Trace

FCD = """<?xml version="1.0" encoding="UTF-8"?>
<!-- a comment -->
<fcd-export xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">
    <timestep time="0.00">
        <vehicle id="car" x="0.0" y="5.0" angle="90.00" speed="10.0" lane="a_0"/>
    </timestep>
    <timestep time="1.00">
        <vehicle id="car" x="10.0" y="5.0" speed="10.0"/>
        <person id="walker" x="1.0" y="1.0"/>
    </timestep>
    <timestep time="2.00">
        <person id="walker" x="1.0" y="2.0"/>
    </timestep>
    <timestep time="3.00">
        <vehicle id="car" x="30.0" y="5.0" speed="10.0"/>
        <person id="walker" x="1.0" y="3.0"/>
    </timestep>
    <timestep time="4.00"/>
    <timestep time="5.00"/>
    <timestep time="6.00">
        <vehicle id="car" x="40.0" y="45.0"/>
        <vehicle id="bus" x="7.0" y="7.0"/>
    </timestep>
    <timestep time="7.00">
        <vehicle id="car" x="40.0" y="50.0"/>
        <vehicle id="bus" x="7.0" y="7.0"/>
    </timestep>
</fcd-export>
"""
CSV = """t_s,id,x_m,y_m
0,car,0,5
1,car,10,5
1,walker,1,1
2,walker,1,2
3,car,30,5
3,walker,1,3
6,car,40,45
6,bus,7,7
7,car,40,50
7,bus,7,7
"""


def motion(path: Path, content: str | bytes, count: int = 1, **options: float) -> Motion:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return Trace(file=str(path), **options).motion(count, (1.0, 1.0), 1)


@pytest.mark.parametrize("compressed", [False, True], ids=["plain", "gzip"])
@pytest.mark.parametrize("content", [FCD, CSV], ids=["fcd", "csv"])
def test_reads_both_forms(tmp_path: Path, content: str, compressed: bool) -> None:
    data = gzip.compress(content.encode()) if compressed else content.encode()
    made = motion(tmp_path / "trace", data, count=3)
    assert made.names == ("car", "walker", "bus")
    t_s = np.array([-1.0, 0.0, 0.5, 2.0, 3.0, 4.5, 6.0, 6.5, 9.0])
    x_m, y_m = np.moveaxis(made.position_m(np.array([0]), t_s)[0], -1, 0)
    # Linear between the samples, over a missing one and, while absent, over a gap.
    assert x_m.tolist() == [0.0, 0.0, 5.0, 20.0, 30.0, 35.0, 40.0, 40.0, 40.0]
    assert y_m.tolist() == [5.0, 5.0, 5.0, 5.0, 5.0, 25.0, 45.0, 47.5, 50.0]
    # One missing step is bridged, two are an absence.
    present = made.present(np.arange(3), t_s)
    assert present[0].tolist() == [False, True, True, True, True, False, True, True, False]
    assert present[1].tolist() == [False, False, False, True, True, False, False, False, False]
    assert present[2].tolist() == [False, False, False, False, False, False, True, True, False]
    # The car's hop over its absence is no speed.
    assert made.max_speed_mps == 10.0


def test_changes_of_presence(tmp_path: Path) -> None:
    made = motion(tmp_path / "trace.xml", FCD, count=3)
    changes_s, t_s = [], -1.0
    while (t_s := made.next_change_s(t_s)) < np.inf:
        changes_s.append(t_s)
    assert changes_s == [0.0, 1.0, 3.0, 6.0, 7.0]
    assert made.presence_end_s(0, 0.0) == 3.0
    assert made.presence_end_s(0, 3.0) == 3.0
    assert made.presence_end_s(0, 6.5) == 7.0
    with pytest.raises(ValueError, match="device 'car' must be present, is not at 4 s"):
        made.presence_end_s(0, 4.0)
    # Those of other devices do not count.
    assert motion(tmp_path / "trace.xml", FCD, count=2).next_change_s(3.0) == 6.0


def test_gap_may_be_given(tmp_path: Path) -> None:
    whole = motion(tmp_path / "trace.xml", FCD, max_gap_s=3.0)
    assert whole.presence_end_s(0, 0.0) == 7.0
    strict = motion(tmp_path / "trace.xml", FCD, max_gap_s=1.0)
    assert strict.presence_end_s(0, 0.0) == 1.0
    with pytest.raises(ValueError, match=r"max_gap_s must be positive, got 0\.0"):
        Trace(file="x", max_gap_s=0.0)


def test_first_devices_in_order_of_appearance(tmp_path: Path) -> None:
    assert motion(tmp_path / "trace.csv", CSV, count=2).names == ("car", "walker")
    with pytest.raises(ValueError, match="as many devices as the scenario, got 3 for 4"):
        motion(tmp_path / "trace.csv", CSV, count=4)


def test_a_single_sample_is_present_for_that_instant(tmp_path: Path) -> None:
    made = motion(tmp_path / "trace.csv", "t_s,id,x_m,y_m\n2,a,1,1\n")
    assert made.present(np.array([0]), np.array([1.9, 2.0, 2.1])).tolist() == [[False, True, False]]
    assert made.max_speed_mps == 0.0


def test_line_ends_and_byte_order_mark(tmp_path: Path) -> None:
    data = b"\xef\xbb\xbf" + CSV.replace("\n", "\r\n").encode()
    assert motion(tmp_path / "trace.csv", data, count=3).names == ("car", "walker", "bus")
    assert motion(tmp_path / "trace.xml", b"\xef\xbb\xbf" + FCD.encode()).names == ("car",)


BOMB = """<?xml version="1.0"?>
<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">]>
<fcd-export><timestep time="0"><vehicle id="&b;" x="0" y="0"/></timestep></fcd-export>
"""
EXTERNAL = """<!DOCTYPE x SYSTEM "file:///etc/hostname">
<fcd-export><timestep time="0"/></fcd-export>
"""


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (FCD.replace('"3.00"', '"0.50"'), r":14: time must not run backwards, got 0.5 s after 2 s"),
        (FCD.replace('"30.0"', '"nan"'), r":15: x must be a finite number, got 'nan'"),
        (FCD.replace('"45.0"', '"1e999"'), r":21: y must be a finite number, got '1e999'"),
        (FCD.replace('"45.0"', '"here"'), r":21: y must be a finite number, got 'here'"),
        (FCD.replace('time="4.00"', 'time="inf"'), r":18: time must be a finite number"),
        (FCD.replace('id="walker" x="1.0" y="2.0"', 'id="walker" y="2.0"'),
         r":12: a person must have the attribute 'x'"),
        (FCD.replace('<timestep time="5.00"/>', "<timestep/>"),
         r":19: a timestep must have the attribute 'time'"),
        (FCD.replace('person id="walker" x="1.0" y="1.0"', 'vehicle id="car" x="1.0" y="1.0"'),
         r":9: an id may occur once at an instant, got 'car' twice at 1 s"),
        (FCD[:400], "the XML is not well-formed: no element found: line 11"),
        (FCD.replace("</fcd-export>", "</fcd>"), "the XML is not well-formed: mismatched tag"),
        (BOMB, "document types and entities are refused in XML"),
        (EXTERNAL, "document types and entities are refused in XML"),
        (FCD.encode().replace(b"walker", b"w\xe4lker"), "the XML is not well-formed: .*line 9"),
        (FCD.encode("utf-16"), ":1: text must be UTF-8"),
        ("<fcd-export/>", "a trace must have at least one sample, got none"),
        ("", "the first line must be t_s,id,x_m,y_m, or t_s,id,lon_deg,lat_deg, got ''"),
        ("t_s,id,x_m,y_m\n", "a trace must have at least one sample, got none"),
        (CSV.replace("id", "name"), ":1: the first line must be t_s,id,.*, got 't_s,name"),
        (CSV.replace("3,car", "0.5,car"), ":6: time must not run backwards, got 0.5 s after 1 s"),
        (CSV.replace("30,5", "30"), ":6: a line must have 4 values, got 3"),
        (CSV.replace("30,5", "30,"), ":6: y_m must be a finite number, got ''"),
        (CSV.replace("30,5", "-inf,5"), ":6: x_m must be a finite number, got '-inf'"),
        (CSV.replace("1,walker,1,1", "1,car,1,1"), ":4: an id may occur once at an instant"),
        (CSV.replace("30,5", '"30,5'), ":[0-9]+: the line is not comma-separated"),
        (CSV.encode().replace(b"car", b"c\xffr"), ":2: text must be UTF-8"),
        (CSV + "8," + "a" * 200_000, ":12: a line may have at most 65536 bytes, got more"),
        (gzip.compress(FCD.encode())[:-20], "the compressed file is truncated"),
        (gzip.compress(FCD.encode())[:40] + b"\xff" * 200, "the compressed file is damaged"),
        (b"\x1f\x8bnot really", "the compressed file is damaged"),
        (FCD.replace('"45.0"', '"1e13"'), r":21: y must be from -1e\+12 to 1e\+12, got '1e13'"),
        (CSV.replace("1,walker", "1,"), ":4: an id must have 1 to 200 characters, got 0 of them"),
        (CSV + "8," + "a" * 201 + ",1,1", ":12: an id must have 1 to 200 characters, got 201"),
        ("<fcd-export>" * 101, ":1: elements may lie at most 100 deep, got more"),
        ("<a b='" + "x" * 5_000_000, ":1: a tag may have at most 4194304 bytes, got more"),
        (gzip.compress(b"<!--" + b" " * 5_000_000), "a tag may have at most 4194304 bytes"),
        (b"\x00\xff\x01" * 100, "this is a binary file of an unknown format"),
        (b"<\x01" * 100, "the XML is not well-formed"),
        ("t_s,id,x_m,y_m\n0,a,0,0\n1e-9,a,1e12,0\n",
         r"a device must be slower than light, got 1e\+21 m/s"),
    ],
)  # fmt: skip
def test_bad_files(tmp_path: Path, content: str | bytes, message: str) -> None:
    path = tmp_path / "bad.trace"
    with pytest.raises(ValueError, match="^" + re.escape(str(path)) + ".*" + message) as caught:
        motion(path, content)
    assert "\n" not in str(caught.value)


def test_missing_file_and_folder(tmp_path: Path) -> None:
    for path, message in (
        (tmp_path / "none.xml", "no such file"),
        (tmp_path, "must have at least one file"),
    ):
        with pytest.raises(ValueError, match=re.escape(str(path)) + f": .*{message}"):
            Trace(file=str(path)).motion(1, (1.0, 1.0), 1)


def test_bounds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wnsim.mobility.trace_files.samples.MAX_SAMPLES", 5)
    with pytest.raises(ValueError, match="at most 5 samples, got more"):
        motion(tmp_path / "trace.xml", FCD)
    monkeypatch.setattr("wnsim.mobility.trace_files.samples.MAX_SAMPLES", 1000)
    monkeypatch.setattr("wnsim.mobility.trace_files.samples.MAX_DEVICES", 2)
    with pytest.raises(ValueError, match=":22: a trace may have at most 2 devices, got more"):
        motion(tmp_path / "trace.xml", FCD.replace("walker", "bike"))
    monkeypatch.setattr("wnsim.mobility.trace_files.content.MAX_BYTES", 100_000)
    big = FCD.replace("<!-- a comment -->", "<!-- " + " " * 200_000 + " -->")
    with pytest.raises(ValueError, match="at most 100000 bytes, got more"):
        motion(tmp_path / "trace.xml", gzip.compress(big.encode()))


def test_format_may_be_given(tmp_path: Path) -> None:
    path = tmp_path / "trace"
    path.write_text(CSV, encoding="utf-8")
    assert Trace(file=str(path), format="csv").motion(1, (1.0, 1.0), 1).names == ("car",)
    with pytest.raises(ValueError, match="the XML is not well-formed"):
        Trace(file=str(path), format="sumo-fcd").motion(1, (1.0, 1.0), 1)
