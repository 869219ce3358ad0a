#!/usr/bin/env sh
# ns-3 3.44 (PyPI: ns3 3.44.post0, cppyy 3.5.0), Cost231PropagationLossModel.
#
# The COST 231 final report, eq. 4.4.3, corrects for the height h of the mobile station by
# (1.1 lg f - 0.7) h - (1.56 lg f - 0.8).  ns-3 multiplies by 1.11 lg f in place of 1.1 lg f: at 1800 MHz
# and 5 m the loss is 0.163 dB below that of the report.  Besides, GetLoss of this class is negative (a
# gain), where GetLoss of OkumuraHataPropagationLossModel is positive.
#
# Seen: "COST 231: ns-3 126.0 dB (returned as -126.0), report 126.1 dB, difference 0.163 dB".
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install --quiet ns3==3.44.post0 cppyy==3.5.0
cat > "$work/look.py" <<'PYTHON'
import math

from ns import ns


def at(x_m, z_m):
    place = ns.CreateObject[ns.ConstantPositionMobilityModel]()
    place.SetPosition(ns.Vector(x_m, 0.0, z_m))
    return place


mhz, base_m, mobile_m = 1800.0, 30.0, 5.0
model = ns.CreateObject[ns.Cost231PropagationLossModel]()
model.SetAttribute("Frequency", ns.DoubleValue(mhz * 1e6))
model.SetAttribute("BSAntennaHeight", ns.DoubleValue(base_m))
model.SetAttribute("SSAntennaHeight", ns.DoubleValue(mobile_m))
model.SetShadowing(0.0)
returned_db = model.GetLoss(at(0.0, base_m), at(1000.0, mobile_m))
lg, km = math.log10(mhz), math.hypot(1.0, (base_m - mobile_m) / 1000.0)
report_db = (
    46.3 + 33.9 * lg - 13.82 * math.log10(base_m)
    - ((1.1 * lg - 0.7) * mobile_m - (1.56 * lg - 0.8))
    + (44.9 - 6.55 * math.log10(base_m)) * math.log10(km)
)
hata = ns.CreateObject[ns.OkumuraHataPropagationLossModel]()
assert hata.GetLoss(at(0.0, base_m), at(1000.0, mobile_m)) > 0.0
difference_db = report_db - abs(returned_db)
print(f"COST 231: ns-3 {abs(returned_db):.1f} dB (returned as {returned_db:.1f}), "
      f"report {report_db:.1f} dB, difference {difference_db:.3f} dB")
assert returned_db < 0.0
assert abs(difference_db - 0.01 * lg * mobile_m) < 1e-3, "the behaviour has changed"
PYTHON
"$work/env/bin/python" "$work/look.py"
