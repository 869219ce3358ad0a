#!/usr/bin/env sh
# SUMO 1.28.0 (PyPI: eclipse-sumo 1.28.0), floating-car data of a teleport.
#
# A vehicle that waits too long is teleported past the obstacle.  If that takes no longer than a step, the
# output has a position in each second, without a gap or a mark: only the distance, which the speeds at
# both ends do not allow, shows that it did not drive there.
#
# Seen: "a jump of 152.5 m in 1 s, at 0.0 and 13.0 m/s, 1 s apart".
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


import xml.etree.ElementTree as tree

routes = (
    '<vType id="car" sigma="0"/>'
    '<vehicle id="block" type="car" depart="0"><route edges="ab bc"/>'
    '<stop lane="ab_1" endPos="60" duration="99"/></vehicle>'
    '<vehicle id="jam" type="car" depart="3"><route edges="ab bc"/></vehicle>'
)
simulate(routes, "f.xml", "--time-to-teleport", "10", end=60)
track = [
    (float(step.get("time")), float(car.get("x")), float(car.get("speed")))
    for step in tree.parse(here / "f.xml").getroot()
    for car in step
    if car.get("id") == "jam"
]
pairs = list(zip(track, track[1:]))
(t0, x0, v0), (t1, x1, v1) = max(pairs, key=lambda pair: pair[1][1] - pair[0][1])
print(f"a jump of {x1 - x0:.1f} m in 1 s, at {v0:.1f} and {v1:.1f} m/s, {t1 - t0:g} s apart")
assert t1 - t0 == 1.0 and x1 - x0 > 2.0 * max(v0, v1), "the behaviour has changed"
PYTHON
"$work/env/bin/python" "$work/look.py"
