#!/usr/bin/env sh
# SUMO 1.28.0 (PyPI: eclipse-sumo 1.28.0), floating-car data as CSV.
#
# Steps without any device are rows that have a time and nothing else, so that a reader that expects an id
# in each row fails on the first line.  If no device ever appears, the header is the time's column alone.
#
# Seen: "first row: 0.00;;;  header of an empty run: timestep_time".
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


attributes = ("--fcd-output.attributes", "x,y")
routes = '<vehicle id="0" depart="2"><route edges="ab bc"/></vehicle>'
_, first, *_ = simulate(routes, "f.csv", *attributes).splitlines()
routes = '<vehicle id="0" depart="90"><route edges="ab bc"/></vehicle>'
header, *_ = simulate(routes, "g.csv", *attributes).splitlines()
print(f"first row: {first}  header of an empty run: {header}")
assert first == "0.00;;;" and header == "timestep_time", "the behaviour has changed"
PYTHON
"$work/env/bin/python" "$work/look.py"
