"""Trace the street canyon that comes with Sionna RT, and write its paths for wnsim.

Needs `pip install "wnsim[sionna-rt]"` and LLVM (`apt-get install libllvm19`), and no GPU:

    python trace_scene.py street.npz
    python trace_scene.py --map street-map.npz

The second command writes a map of gains, without phases, instead of paths.
The scene has six buildings along a street of 190 m. Two transmitters are at walls on both sides,
10 m high, and receivers are every two meters along the street. The arrays of the file are described
in docs/howto/use-ray-traced-channels.md.
"""

from __future__ import annotations

import argparse

import numpy as np
import sionna.rt

FREQUENCY_HZ = 3.5e9
STATIONS_M = [(-40.0, 8.5, 10.0), (46.0, -7.5, 10.0)]
STEP_M = 2.0
HEIGHT_M = 1.5


def traced_scene() -> sionna.rt.Scene:
    """Return the scene with its transmitters, and receivers on a grid."""
    scene = sionna.rt.load_scene(sionna.rt.scene.simple_street_canyon, merge_shapes=False)
    scene.frequency = FREQUENCY_HZ
    # One isotropic antenna at each end: gains then have no antennas.
    scene.tx_array = scene.rx_array = sionna.rt.PlanarArray(
        num_rows=1, num_cols=1, pattern="iso", polarization="V"
    )
    for number, place_m in enumerate(STATIONS_M):
        scene.add(sionna.rt.Transmitter(f"tx-{number}", place_m))
    for number, (x_m, y_m) in enumerate(
        (x_m, y_m)
        for y_m in np.arange(-8.0, 8.0 + STEP_M / 2, STEP_M).tolist()
        for x_m in np.arange(-60.0, 60.0 + STEP_M / 2, STEP_M).tolist()
    ):
        scene.add(sionna.rt.Receiver(f"rx-{number}", (x_m, y_m, HEIGHT_M)))
    return scene


def arrays_of(paths: sionna.rt.Paths) -> dict[str, np.ndarray]:
    """Return the arrays of a traced file from paths between single antennas."""
    coefficient = (paths.a[0].numpy() + 1j * paths.a[1].numpy())[:, 0, :, 0]
    there = paths.valid.numpy().reshape(coefficient.shape) & (coefficient != 0.0)
    delay_s = paths.tau.numpy().astype(np.float64)
    # The coefficients of Sionna RT leave out the phase of the carrier over the delay.
    turns = np.angle(coefficient) / (2.0 * np.pi) - FREQUENCY_HZ * delay_s
    with np.errstate(divide="ignore"):
        gain_db = 20.0 * np.log10(np.abs(coefficient))
    # A number for each sequence of surfaces that paths interact with; [depth, rx, tx, path].
    steps = np.where(paths.interactions.numpy() > 0, paths.objects.numpy().astype(np.int64) + 1, 0)
    _, sequence = np.unique(steps.reshape(len(steps), -1), axis=1, return_inverse=True)

    def ordered(values: np.ndarray) -> np.ndarray:
        """Return [tx, rx, path] from [rx, tx, path], the strongest paths first, NaN for none."""
        values = np.where(there, values, np.nan)
        order = np.argsort(np.where(there, -gain_db, np.inf), axis=-1)
        most = there.sum(axis=-1).max()
        return np.take_along_axis(values, order, axis=-1)[..., :most].swapaxes(0, 1)

    def directions(azimuth: np.ndarray, zenith: np.ndarray) -> np.ndarray:
        return np.degrees(np.stack([ordered(azimuth), ordered(zenith)], axis=-1))

    return {
        "frequency_hz": np.array(FREQUENCY_HZ),
        "tx_m": np.array(STATIONS_M),
        "rx_m": np.array(paths.targets).T.astype(np.float64),
        "gain_db": ordered(gain_db).astype(np.float32),
        "phase_deg": (360.0 * (ordered(turns) % 1.0)).astype(np.float32),
        "delay_s": ordered(delay_s).astype(np.float32),
        "arrival_deg": directions(paths.phi_r.numpy(), paths.theta_r.numpy()).astype(np.float32),
        "departure_deg": directions(paths.phi_t.numpy(), paths.theta_t.numpy()).astype(np.float32),
        "interactions": np.nan_to_num(
            ordered(sequence.reshape(there.shape).astype(np.float64)), nan=-1.0
        ).astype(np.int16),
    }


def arrays_of_map(scene: sionna.rt.Scene) -> dict[str, np.ndarray]:
    """Return the arrays of a map of gains in cells of the street."""
    radio_map = sionna.rt.RadioMapSolver()(
        scene, center=(0.0, 0.0, HEIGHT_M), size=(120.0, 16.0), orientation=(0.0, 0.0, 0.0),
        cell_size=(STEP_M, STEP_M), max_depth=2, refraction=False, seed=1,
    )  # fmt: skip
    # [tx, rows, columns] and [rows, columns, 3]
    gain = radio_map.path_gain.numpy()
    with np.errstate(divide="ignore"):
        gain_db = 10.0 * np.log10(gain.reshape(len(gain), -1, 1))
    return {
        "frequency_hz": np.array(FREQUENCY_HZ),
        "tx_m": np.array(STATIONS_M),
        "rx_m": radio_map.cell_centers.numpy().reshape(-1, 3).astype(np.float64),
        "gain_db": np.where(gain_db > -np.inf, gain_db, np.nan).astype(np.float32),
    }


def main() -> None:
    """Trace the scene and write the file that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", help="file to write, .npz")
    parser.add_argument("--map", action="store_true", help="a map of gains instead of paths")
    arguments = parser.parse_args()
    scene = traced_scene()
    if arguments.map:
        arrays = arrays_of_map(scene)
    else:
        paths = sionna.rt.PathSolver()(scene, max_depth=2, refraction=False, seed=1)
        arrays = arrays_of(paths)
    np.savez_compressed(arguments.file, **arrays)


if __name__ == "__main__":
    main()
