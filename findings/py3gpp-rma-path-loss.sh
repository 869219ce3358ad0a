#!/usr/bin/env sh
# py3gpp 0.6.0 (PyPI), nrPathLoss with Scenario = "RMa".
#
# TR 38.901 Table 7.4.1-1: beyond the breakpoint, LOS is PL1(d_BP) + 40 lg(d_3D / d_BP), and the last terms
# of NLOS are -(3.2 (lg 11.75 h_UT)^2 - 4.97).  py3gpp takes PL1 at d_3D and adds 10 lg d_BP; and in NLOS
# the factor 3.2 is squared too, and 4.97 is subtracted.  Up to the breakpoint, LOS agrees.
#
# Seen, at 3.5 GHz, h_BS 35 m, h_UT 1.5 m, buildings of 5 m, streets of 20 m:
# "LOS 1 km: py3gpp 105.46 dB, standard 105.46 dB", "LOS 4 km: py3gpp 158.50 dB, standard 122.09 dB",
# "NLOS 1 km: py3gpp 109.55 dB, standard 130.42 dB".
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install --quiet py3gpp==0.6.0
cat > "$work/look.py" <<'PYTHON'
from math import hypot, log10, pi

import numpy as np
from py3gpp.configs.nrPathLossConfig import nrPathLossConfig
from py3gpp.nrPathLoss import nrPathLoss

GHZ, BASE_M, MOBILE_M, HOUSES_M, STREET_M = 3.5, 35.0, 1.5, 5.0, 20.0
BREAK_M = 2 * pi * BASE_M * MOBILE_M * GHZ * 1e9 / 3e8


def near_db(d_m):
    return (20 * log10(40 * pi * d_m * GHZ / 3) + min(0.03 * HOUSES_M**1.72, 10) * log10(d_m)
            - min(0.044 * HOUSES_M**1.72, 14.77) + 0.002 * log10(HOUSES_M) * d_m)


def standard_db(ground_m, sight):
    d_m = hypot(ground_m, BASE_M - MOBILE_M)
    los = near_db(d_m) if ground_m <= BREAK_M else near_db(BREAK_M) + 40 * log10(d_m / BREAK_M)
    nlos = (161.04 - 7.1 * log10(STREET_M) + 7.5 * log10(HOUSES_M)
            - (24.37 - 3.7 * (HOUSES_M / BASE_M) ** 2) * log10(BASE_M)
            + (43.42 - 3.1 * log10(BASE_M)) * (log10(d_m) - 3)
            + 20 * log10(GHZ) - (3.2 * log10(11.75 * MOBILE_M) ** 2 - 4.97))
    return los if sight else max(los, nlos)


config = nrPathLossConfig()
config.Scenario, config.BuildingHeight, config.StreetWidth = "RMa", HOUSES_M, STREET_M
off_db = []
for ground_m, sight in ((1000.0, True), (4000.0, True), (1000.0, False)):
    base, mobile = np.array([0.0, 0.0, BASE_M]), np.array([ground_m, 0.0, MOBILE_M])
    found = nrPathLoss(config, GHZ * 1e9, sight, base, mobile)
    found_db = float(np.ravel(found[0] if isinstance(found, tuple) else found)[0])
    expected_db = standard_db(ground_m, sight)
    print(f"{'LOS' if sight else 'NLOS'} {ground_m / 1000:g} km: "
          f"py3gpp {found_db:.2f} dB, standard {expected_db:.2f} dB")
    off_db.append(found_db - expected_db)
assert abs(off_db[0]) < 0.01
assert abs(off_db[1] - 36.41) < 0.02 and abs(off_db[2] + 20.87) < 0.02, "the behaviour has changed"
PYTHON
"$work/env/bin/python" "$work/look.py"
