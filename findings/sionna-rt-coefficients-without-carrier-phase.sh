#!/usr/bin/env sh
# sionna-rt 2.2.0: the coefficients of paths, `Paths.a`, leave out the phase of the carrier over the delay,
# exp(-j 2 pi f tau), which `Paths.cfr` and `Paths.cir` have. A narrowband gain as the squared sum of `a` is another
# one: seen on 2026-11-30 in the simplest street canyon at 3.5 GHz, nine receivers along the street: up to 34.6 dB off,
# while the sum with that phase is the gain of `cfr` at the carrier within 0.001 dB.
# Needs LLVM for a CPU (Debian: libllvm19), no GPU.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet sionna-rt==2.2.0
cat > "$folder/sums.py" <<'PYTHON'
import numpy as np
import sionna.rt

FREQUENCY_HZ = 3.5e9
scene = sionna.rt.load_scene(sionna.rt.scene.simple_street_canyon, merge_shapes=False)
scene.frequency = FREQUENCY_HZ
scene.tx_array = scene.rx_array = sionna.rt.PlanarArray(
    num_rows=1, num_cols=1, pattern="iso", polarization="V"
)
scene.add(sionna.rt.Transmitter("tx", (-40.0, 8.5, 10.0)))
for number, x_m in enumerate(np.arange(-30.0, 60.0, 10.0).tolist()):
    scene.add(sionna.rt.Receiver(f"rx-{number}", (x_m, -4.0, 1.5)))
paths = sionna.rt.PathSolver()(scene, max_depth=3, refraction=False)

a = (paths.a[0].numpy() + 1j * paths.a[1].numpy())[:, 0, 0, 0]
delay_s = paths.tau.numpy().astype(np.float64)[:, 0]
phase = np.exp(-2j * np.pi * FREQUENCY_HZ * delay_s)
real, imaginary = (part.numpy() for part in paths.cfr(frequencies=[0.0], out_type="drjit"))
true_db = 10 * np.log10((real**2 + imaginary**2)[:, 0, 0, 0, 0, 0])


def off_db(values):
    """Return the largest difference of squared sums from the response."""
    return np.abs(10 * np.log10(np.abs(values.sum(axis=-1)) ** 2) - true_db).max()


print(f"{off_db(a):.1f} dB without the phase, {off_db(a * phase):.3f} dB with it")
print("left out" if off_db(a) > 3.0 and off_db(a * phase) < 0.05 else "included")
PYTHON
seen=$("$folder/venv/bin/python" "$folder/sums.py")
echo "$seen"
case "$seen" in
*"left out") ;;
*) echo "the coefficients of paths have the phase of the carrier" >&2; exit 1 ;;
esac
