#!/usr/bin/env sh
# deepmimo 4.0.5: a data set converted from Sionna RT (2.2.0) takes the phase of the coefficients `Paths.a` as the
# phase of each path, which leaves out that of the carrier over the delay, and its channels do not add it: gains of
# several paths are those of other phases. Seen on 2026-11-30 in the simplest street canyon at 3.5 GHz, 15 places:
# channels, with the division by the 512 subcarriers undone, are up to 31.2 dB off Sionna's own `Paths.cfr`.
# Needs LLVM for a CPU (Debian: libllvm19), no GPU.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet sionna-rt==2.2.0 deepmimo==4.0.5
cat > "$folder/converted.py" <<'PYTHON'
import contextlib
import io

import deepmimo
import numpy as np
import sionna.rt
from deepmimo.exporters import sionna_exporter

SUBCARRIERS = 512
scene = sionna.rt.load_scene(sionna.rt.scene.simple_street_canyon, merge_shapes=False)
scene.frequency = 3.5e9
scene.tx_array = scene.rx_array = sionna.rt.PlanarArray(
    num_rows=1, num_cols=1, pattern="iso", polarization="V"
)
scene.add(sionna.rt.Transmitter("tx", (-40.0, 8.5, 10.0)))
places_m = [(x, y, 1.5) for y in (-6.0, 0.0, 6.0) for x in (-20.0, -10.0, 0.0, 10.0, 20.0)]
for number, place_m in enumerate(places_m):
    scene.add(sionna.rt.Receiver(f"rx-{number}", place_m))
settings = {"max_depth": 2, "refraction": False, "seed": 1}
paths = sionna.rt.PathSolver()(scene, **settings)
true = paths.cfr(
    frequencies=np.array([0.0]), normalize_delays=False, normalize=False, out_type="numpy"
)[:, 0, 0, 0, 0, 0]

with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
    sionna_exporter.sionna_exporter(scene, [paths], dict(settings), "exported")
    deepmimo.convert("exported", overwrite=True, scenario_name="street", vis_scene=False)
    found = deepmimo.load("street")
    asked = deepmimo.ChannelParameters(
        bs_antenna={"shape": [1, 1]},
        ue_antenna={"shape": [1, 1]},
        ofdm={"subcarriers": SUBCARRIERS, "bandwidth": 20e6, "selected_subcarriers": [0]},
    )
    channel = found.compute_channels(asked)[:, 0, 0, 0]

gain_db = 20 * np.log10(np.abs(channel) * np.sqrt(SUBCARRIERS))
off_db = np.abs(gain_db - 20 * np.log10(np.abs(true))).max()
print(f"{off_db:.1f} dB")
print("other phases" if off_db > 3.0 else "the same")
PYTHON
cd "$folder"
seen=$("$folder/venv/bin/python" "$folder/converted.py")
echo "$seen"
case "$seen" in
*"other phases") ;;
*) echo "converted data sets have the phase of the carrier" >&2; exit 1 ;;
esac
