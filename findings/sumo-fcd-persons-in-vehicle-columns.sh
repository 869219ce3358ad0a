#!/usr/bin/env sh
# SUMO 1.28.0 (PyPI: eclipse-sumo 1.28.0), floating-car data as CSV.
#
# The XML has elements vehicle and person.  The table has columns vehicle_* alone, in which persons stand
# too.  A vehicle and a person may have the same id; with --fcd-output.attributes x,y nothing in the table
# tells their rows apart, while the XML keeps them apart.
#
# Seen: "XML: person, vehicle; columns: timestep_time, vehicle_id, vehicle_x, vehicle_y; rows of id 0 at
# one time: 2".
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install --quiet eclipse-sumo==1.28.0
cat > "$work/look.py" <<'PYTHON'
import subprocess
import sys
from pathlib import Path

here, tools = Path(__file__).parent, Path(sys.executable).parent
(here / "n.nod.xml").write_text(
    '<nodes><node id="a" x="0" y="0"/><node id="b" x="200" y="0"/><node id="c" x="400" y="0"/></nodes>'
)
(here / "e.edg.xml").write_text(
    '<edges><edge id="ab" from="a" to="b" speed="13" numLanes="1"/>'
    '<edge id="bc" from="b" to="c" speed="13" numLanes="1"/></edges>'
)
subprocess.run(
    [tools / "netconvert", "-n", here / "n.nod.xml", "-e", here / "e.edg.xml", "-o", here / "net.xml",
     "--sidewalks.guess"],
    check=True, capture_output=True,
)


def simulate(routes, out, *options, end=12):
    (here / "r.rou.xml").write_text(f"<routes>{routes}</routes>")
    subprocess.run(
        [tools / "sumo", "-n", here / "net.xml", "-r", here / "r.rou.xml", "--fcd-output", here / out,
         "--no-step-log", "--end", str(end), *options],
        check=True, capture_output=True,
    )
    return (here / out).read_text()


routes = (
    '<vehicle id="0" depart="2"><route edges="ab bc"/></vehicle>'
    '<person id="0" depart="2"><walk edges="ab" arrivalPos="100"/></person>'
)
attributes = ("--fcd-output.attributes", "x,y")
xml = simulate(routes, "f.xml", *attributes)
header, *rows = simulate(routes, "f.csv", *attributes).splitlines()
kinds = ", ".join(kind for kind in ("person", "vehicle") if f"<{kind} " in xml)
same = [row for row in rows if row.split(";")[:2] == ["4.00", "0"]]
print(f"XML: {kinds}; columns: {header.replace(';', ', ')}; rows of id 0 at one time: {len(same)}")
assert kinds == "person, vehicle" and "person" not in header and len(same) == 2, (
    "the behaviour has changed"
)
PYTHON
"$work/env/bin/python" "$work/look.py"
