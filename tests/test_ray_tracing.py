"""Links from a ray tracer, against the gains of Sionna RT and of DeepMIMO, and closed forms.

`scenarios/street.npz` is the street of docs/examples/trace_scene.py, and tests/files/street-map.npz
its map. The reference tables hold what
the two libraries give for it and for the data set of tests/files/deepmimo.
"""

from __future__ import annotations

import dataclasses
import io
import json
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import pytest
import reference_tables
import scipy.io
from ruamel.yaml import YAML

from wnsim.channel import RayTraced
from wnsim.channel.ray_tracing.links import TracedLinks
from wnsim.channel.ray_tracing.path_matching import Corner, matched
from wnsim.channel.ray_tracing.points import Cells, Points
from wnsim.scenario.__main__ import main

ROOT = Path(__file__).parent.parent
STREET = ROOT / "scenarios" / "street.npz"
STREET_MAP = Path(__file__).parent / "files" / "street-map.npz"
DATA_SET = Path(__file__).parent / "files" / "deepmimo"
C_MPS = 299_792_458.0
F_HZ = 3.5e9


def links_of(file: Path, **keys: Any) -> TracedLinks:
    """Return the links of device 0 with base stations at all transmitters, 1 and so on."""
    channel = RayTraced(file=str(file), **({"origin_m": (0.0, 0.0)} | keys))
    frequency_hz = channel.paths().frequency_hz
    stations_m = channel.paths().tx_m[:, :2] - channel.corner_m()
    return channel.links(1, stations_m, frequency_hz=frequency_hz, between_devices=False)


def response(links: TracedLinks, tx: int, places_m: Any, offsets_hz: Any = (0.0,)) -> np.ndarray:
    """Return the amplitudes (T, B) of the device at positions (T, 2) with a transmitter."""
    x_m = np.asarray(places_m, dtype=np.float64)[None]
    station_m = np.broadcast_to(links.paths.tx_m[tx, :2], x_m.shape)
    ends = np.array([0]), np.array([1 + tx])
    there = links.response(*ends, x_m, station_m, np.asarray(offsets_hz, dtype=np.float64))
    back = links.response(*ends[::-1], station_m, x_m, np.asarray(offsets_hz, dtype=np.float64))
    assert np.array_equal(there, back)
    return there[0]


def decibels(amplitude: np.ndarray) -> np.ndarray:
    return 20.0 * np.log10(np.abs(amplitude))


def mean_db(links: TracedLinks, tx: int, place_m: Any) -> float:
    x_m = np.array(place_m, dtype=np.float64)[None, None]
    return float(links.mean_gain_db(np.array([0]), np.array([1 + tx]), x_m, x_m)[0, 0])


# --- against the libraries -----------------------------------------------------------------------


@pytest.mark.parametrize("interpolation", ["nearest", "linear"])
def test_gains_at_traced_points_are_those_of_sionna(interpolation: str) -> None:
    """Within 0.01 dB of Paths.cfr in five parts of the band, and of the sum of |a|^2."""
    links = links_of(STREET, interpolation=interpolation)
    rows = [row for row in rows_of_sionna() if row["where"] == "receiver"]
    assert len(rows) == 40
    for row in rows:
        place_m = float(row["x_m"]), float(row["y_m"])
        found = decibels(response(links, int(row["tx"]), [place_m], OFFSETS_HZ))[0]
        assert found == pytest.approx(gains_db(row), abs=0.01)
        assert mean_db(links, int(row["tx"]), place_m) == pytest.approx(
            float(row["mean_db"]), abs=1e-3
        )


def test_interpolated_gains_between_points_are_close_to_traced_ones() -> None:
    """The scene traced at 40 further places: half of all errors are below the bounds [dB].

    Points are 2 m apart, 23 wavelengths. Larger errors are where paths begin and end.
    """
    rows = [row for row in rows_of_sionna() if row["where"] == "between"]
    medians = {}
    for interpolation in ("nearest", "linear"):
        links = links_of(STREET, interpolation=interpolation)
        errors = [], []
        for row in rows:
            place_m = float(row["x_m"]), float(row["y_m"])
            found = decibels(response(links, int(row["tx"]), [place_m], OFFSETS_HZ))[0]
            errors[0].append(np.abs(found - gains_db(row)))
            errors[1].append(abs(mean_db(links, int(row["tx"]), place_m) - float(row["mean_db"])))
        medians[interpolation] = [float(np.median(each)) for each in errors]
    assert medians["nearest"] < [0.4, 0.1]
    assert medians["linear"][0] < 0.1
    assert medians["linear"][1] < 0.02


@pytest.mark.parametrize(("interpolation", "tolerance_hz"), [("nearest", 0.02), ("linear", 0.1)])
def test_phases_of_a_moving_device_turn_by_the_doppler_shift_of_sionna(
    tmp_path: Path, interpolation: str, tolerance_hz: float
) -> None:
    """Of the strongest path alone, over 10 ms at 1.2 and -0.7 m/s; shifts are up to 16 Hz.

    Interpolated lengths have errors of the third order, whose slope is largest at the points.
    """
    with np.load(STREET) as stored:
        arrays = dict(stored)
    arrays["gain_db"][..., 1:] = np.nan
    np.savez(tmp_path / "strongest.npz", **arrays)
    links = links_of(tmp_path / "strongest.npz", interpolation=interpolation)
    t_s = np.arange(0.0, 0.0101, 1e-3)
    checked = 0
    for row in rows_of_sionna():
        start_m = np.array([float(row["x_m"]), float(row["y_m"])])
        places_m = start_m + t_s[:, None] * np.array([1.2, -0.7])
        if row["where"] == "receiver" and (np.abs(places_m) < [59.9, 7.9]).all():
            turns = np.unwrap(np.angle(response(links, int(row["tx"]), places_m)[:, 0]))
            shift_hz = (turns[-1] - turns[0]) / (2.0 * np.pi * 0.01)
            assert shift_hz == pytest.approx(float(row["doppler_hz"]), abs=tolerance_hz)
            checked += 1
    assert checked > 20


def test_a_map_of_gains_agrees_with_the_powers_of_paths() -> None:
    """The radio map of Sionna RT has means over cells of 2 m, paths are at single points.

    The median difference is below 0.1 dB, and nine of ten differences are below 1.5 dB.
    """
    cells, points = links_of(STREET_MAP), links_of(STREET)
    for tx in (0, 1):
        differences = np.array(
            [
                mean_db(cells, tx, place_m) - mean_db(points, tx, place_m)
                for place_m in cells.paths.rx_m[:, :2].tolist()
            ]
        )
        assert abs(np.median(differences)) < 0.1
        assert np.quantile(np.abs(differences), 0.9) < 1.5
        # Amplitudes are the roots of gains, alike in all subbands.
        place_m = cells.paths.rx_m[7, :2] + [0.4, 0.3]
        amplitude = response(cells, tx, [place_m], OFFSETS_HZ)[0]
        assert decibels(amplitude) == pytest.approx(np.full(5, cells.paths.gain_db[tx, 7, 0]))


def test_a_data_set_of_deepmimo_has_the_gains_of_its_library(tmp_path: Path) -> None:
    """Times the number of subcarriers, by which the library divides the power of each path.

    One transmitter has files of NumPy, the other of MATLAB.
    """
    folder = other_tracer(tmp_path)
    for row in reference_tables.rows("deepmimo_street.csv"):
        links = links_of(folder)
        place_m = links.paths.rx_m[int(row["rx"]), :2]
        found = decibels(response(links, int(row["tx"]), [place_m], [float(row["offset_hz"])]))
        expected_db = float(row["deepmimo_db"]) + 10.0 * np.log10(512)
        assert found[0, 0] == pytest.approx(expected_db, abs=0.01)


def test_a_data_set_from_sionna_has_the_gains_of_sionna() -> None:
    """The phase of the carrier over the delay, which the conversion leaves out, is added."""
    links = links_of(DATA_SET)
    without = []
    for row in reference_tables.rows("deepmimo_street.csv"):
        place_m = links.paths.rx_m[int(row["rx"]), :2]
        found = decibels(response(links, int(row["tx"]), [place_m], [float(row["offset_hz"])]))
        assert found[0, 0] == pytest.approx(float(row["sionna_db"]), abs=0.01)
        without.append(float(row["deepmimo_db"]) + 10.0 * np.log10(512) - float(row["sionna_db"]))
    assert min(without) < -10.0


OFFSETS_HZ = (-7.5e6, -2.5e6, 0.0, 2.5e6, 7.5e6)


def rows_of_sionna() -> list[dict[str, str]]:
    return reference_tables.rows("traced_street_sionna.csv")


def gains_db(row: dict[str, str]) -> list[float]:
    return [float(value) for name, value in row.items() if name.startswith("gain_db")]


def other_tracer(tmp_path: Path) -> Path:
    """Return a copy of the data set that is not from Sionna."""
    folder = tmp_path / "data-set"
    shutil.copytree(DATA_SET, folder)
    edit(folder, lambda found: found["rt_params"].update(raytracer_name="Remcom Wireless Insite"))
    return folder


def edit(folder: Path, change: Any) -> None:
    file = folder / "params.json"
    found = json.loads(file.read_text())
    change(found)
    file.write_text(json.dumps(found))


# --- closed forms --------------------------------------------------------------------------------


def two_rays(tmp_path: Path, **changed: Any) -> Path:
    """Write a direct and a reflected path from one transmitter to receivers at 0 to 40 m.

    The transmitter is at (-100, 0), the wall at y = 30.
    """
    rx_m = np.array([[x_m, 0.0, 1.5] for x_m in np.arange(0.0, 41.0, 10.0)])
    tx_m = np.array([[-100.0, 0.0, 1.5]])
    across_m = np.array([0.0, 60.0])
    along_m = (rx_m[:, 0] + 100.0)[:, None]
    length_m = np.hypot(along_m, across_m)
    azimuth = np.degrees(np.arctan2(across_m, -along_m))
    turns = -length_m * F_HZ / C_MPS + np.array([0.0, 0.5])
    arrays = {
        "frequency_hz": F_HZ,
        "tx_m": tx_m,
        "rx_m": rx_m,
        "gain_db": -20.0 * np.log10(4.0 * np.pi * length_m * F_HZ / C_MPS)[None] - [0.0, 6.0],
        "phase_deg": 360.0 * (turns % 1.0)[None],
        "delay_s": length_m[None] / C_MPS,
        "arrival_deg": np.stack([azimuth, np.full_like(azimuth, 90.0)], axis=-1)[None],
        "interactions": np.broadcast_to([0, 1], (1, 5, 2)),
    } | changed
    file = tmp_path / "rays.npz"
    np.savez(file, **{name: value for name, value in arrays.items() if value is not None})
    return file


def by_images(x_m: float, offset_hz: float) -> complex:
    """Return the amplitude at (x, 0) from the lengths of the two paths."""
    length_m = np.hypot(x_m + 100.0, np.array([0.0, 60.0]))
    gain_db = -20.0 * np.log10(4.0 * np.pi * length_m * F_HZ / C_MPS) - [0.0, 6.0]
    turns = -length_m * (F_HZ + offset_hz) / C_MPS + [0.0, 0.5]
    return complex(np.sum(10.0 ** (gain_db / 20.0) * np.exp(2j * np.pi * turns)))


def test_two_rays_at_a_traced_point(tmp_path: Path) -> None:
    links = links_of(two_rays(tmp_path))
    offsets_hz = np.linspace(-50e6, 50e6, 9)
    found = response(links, 0, [[20.0, 0.0]], offsets_hz)[0]
    expected = np.array([by_images(20.0, offset_hz) for offset_hz in offsets_hz])
    assert np.abs(found - expected).max() < 2e-6 * np.abs(expected).max()
    # The sum of powers, and notches in the band: the paths are 14.2 m apart, 47 ns.
    length_m = np.hypot(120.0, [0.0, 60.0])
    power = (C_MPS / (4.0 * np.pi * length_m * F_HZ)) ** 2 * [1.0, 10**-0.6]
    assert mean_db(links, 0, (20.0, 0.0)) == pytest.approx(10.0 * np.log10(power.sum()), abs=1e-5)
    assert np.ptp(decibels(found)) > 5.0


def test_linear_interpolation_follows_lengths_of_paths(tmp_path: Path) -> None:
    """Between points 10 m apart, 117 wavelengths, the fading pattern of the two rays is kept.

    In fades 9 dB deep, errors of amplitudes of 0.3 % are some 0.1 dB.
    """
    links = links_of(two_rays(tmp_path), interpolation="linear")
    places_m = np.stack([np.linspace(11.0, 19.0, 60), np.zeros(60)], axis=-1)
    found = decibels(response(links, 0, places_m)[:, 0])
    expected = 20.0 * np.log10([abs(by_images(x_m, 0.0)) for x_m in places_m[:, 0]])
    assert np.ptp(expected) > 5.0
    assert found == pytest.approx(expected, abs=0.15)
    # At the points themselves both are exact.
    assert decibels(response(links, 0, [[10.0, 0.0]]))[0, 0] == pytest.approx(
        20.0 * np.log10(abs(by_images(10.0, 0.0))), abs=1e-4
    )


def test_nearest_paths_have_the_phases_of_the_displacement(tmp_path: Path) -> None:
    """A wavelength towards the transmitter turns the direct path once; the reflected one less."""
    links = links_of(two_rays(tmp_path))
    for moved_m in (0.0, 0.02, 0.05, 0.4):
        found = response(links, 0, [[20.0 + moved_m, 0.0]])[0, 0]
        assert decibels(found) == pytest.approx(
            20.0 * np.log10(abs(by_images(20.0 + moved_m, 0.0))), abs=0.1
        )


def test_without_phases_powers_are_added(tmp_path: Path) -> None:
    """As in a map of gains."""
    file = two_rays(tmp_path, phase_deg=None, delay_s=None, arrival_deg=None, interactions=None)
    links = links_of(file)
    found = response(links, 0, [[20.0, 0.0], [20.5, 0.3]], (-5e6, 5e6))
    assert decibels(found) == pytest.approx(np.full((2, 2), mean_db(links, 0, (20.0, 0.0))))


def test_out_of_coverage(tmp_path: Path) -> None:
    """Beyond the distance of neighboring points, or `snap_m`; and at a point without paths."""
    gain_db = np.full((1, 5, 2), -80.0)
    gain_db[0, 2] = np.nan
    file = two_rays(tmp_path, gain_db=gain_db)
    for interpolation in ("nearest", "linear"):
        links = links_of(file, interpolation=interpolation)
        assert mean_db(links, 0, (49.0, 0.0)) > -90.0
        assert mean_db(links, 0, (51.0, 0.0)) == -np.inf
        assert response(links, 0, [[51.0, 0.0]])[0, 0] == 0.0
        assert mean_db(links, 0, (20.0, 0.0)) == -np.inf
        assert mean_db(links_of(file, snap_m=2.0), 0, (42.5, 0.0)) == -np.inf


def test_a_value_does_not_depend_on_what_is_asked_with_it() -> None:
    """Engines ask for windows of different lengths and sets of links: equal to the last bit."""
    draws = np.random.default_rng(5)
    places_m = draws.uniform([-60, -8], [60, 8], (50, 2))
    for interpolation in ("nearest", "linear"):
        links = links_of(STREET, interpolation=interpolation)
        whole = response(links, 1, places_m, OFFSETS_HZ)
        fresh = links_of(STREET, interpolation=interpolation)
        for number in (31, 7, 44):
            one = response(fresh, 1, places_m[number : number + 1], OFFSETS_HZ)
            assert np.array_equal(one[0], whole[number])


def test_paths_of_neighbors_are_matched_by_interactions_and_lengths() -> None:
    def corner(x_m: float, *paths: tuple[float, float, int]) -> Corner:
        length_m, across, sequence = (np.array(each) for each in zip(*paths, strict=True))
        direction = np.stack([across, np.zeros_like(across)], axis=-1)
        return Corner(np.array([x_m, 0.0]), length_m, direction, sequence.astype(np.int64))

    # The second receiver lists the paths the other way round, and has a further one.
    first = corner(0.0, (100.0, 1.0, 0), (104.0, -1.0, 7))
    second = corner(2.0, (106.0, -1.0, 7), (98.0, 1.0, 0), (120.0, 0.0, 7))
    assert matched([first, second]).tolist() == [[0, 1], [1, 0], [-1, 2]]
    # Of two paths with the same interactions, the one that the displacement explains.
    second = corner(2.0, (102.0, 0.0, 0), (98.1, 0.0, 0))
    assert matched([corner(0.0, (100.0, 1.0, 0)), second]).tolist() == [[0, 1], [-1, 0]]
    assert matched([corner(0.0, (100.0, 1.0, 0)), corner(2.0, (98.0, 1.0, 1))]).shape == (2, 2)


def test_cells_of_a_grid_with_a_missing_point() -> None:
    places_m = np.array([[x, y] for x in (0.0, 1.0, 3.0) for y in (0.0, 2.0)])
    corners, weights = Cells(places_m[:-1]).around(np.array([[0.25, 0.5], [2.0, 1.0], [3.0, 0.0]]))
    assert corners[0].tolist() == [0, 2, 1, 3]
    assert weights[0] == pytest.approx([0.5625, 0.1875, 0.1875, 0.0625])
    assert corners[1].tolist() == [2, 4, 3, -1]
    assert weights[2] == pytest.approx([0.0, 1.0, 0.0, 0.0])
    with pytest.raises(ValueError, match="on a rectangular grid, and 6 receivers have 6 values"):
        Cells(np.array([[n, n * n] for n in range(6)], dtype=float))


def test_points_within_reach() -> None:
    points = Points(np.array([[0.0, 0.0], [1.0, 0.0], [5.0, 0.0]]))
    assert points.reach_m == 4.0
    assert points.nearest(np.array([[[4.9, 0.0], [0.4, 0.1], [9.1, 0.0]]])).tolist() == [[2, 0, -1]]
    assert Points(np.zeros((1, 2))).reach_m == 1.0
    with pytest.raises(ValueError, match=r"two of them are at \(1, 2\) m"):
        Points(np.array([[1.0, 2.0], [0.0, 0.0], [1.0, 2.0]]))


# --- scenarios -----------------------------------------------------------------------------------

SCENARIO = """
name: traced
seed: 1
devices: {{count: 4}}
mobility: {{model: random-waypoint, speed_mps: [5, 15]}}
channel: {{model: ray-traced, file: {file}, subbands: 2{more}}}
base_stations: {{tx_power_dbm: 20}}
radio: {{bandwidth_hz: 20e6, phy: {{model: nr}}, csi_delay_s: 0.003}}
mac: {{model: cell}}
traffic: {{size_bytes: 200_000, neighbors: 1, rounds: 2, lifetime_s: 3}}
"""


def simulate(tmp_path: Path, text: str, out: str, *settings: str) -> Path:
    file = tmp_path / "traced.yaml"
    file.write_text(text, encoding="utf-8")
    options = [part for setting in settings for part in ("--set", setting)]
    folder = str(tmp_path / out)
    assert main([str(file), "--out", folder, "--only", "seed=1", *options]) == 0
    return tmp_path / out / "seed=1"


@pytest.mark.parametrize("more", ["", ", interpolation: linear", ", propagation_delay: true"])
def test_both_engines_agree_and_a_record_replays(tmp_path: Path, more: str) -> None:
    text = SCENARIO.format(file=STREET, more=more)
    one = simulate(tmp_path, text, "windowed", "record_channel=true")
    other = simulate(tmp_path, text, "packet", "engine=packet")
    for table in ("transfers.csv", "devices.csv", "positions.csv"):
        assert (one / table).read_bytes() == (other / table).read_bytes()
    resolved = YAML(typ="safe").load(one / "scenario.yaml")
    assert resolved["base_stations"]["positions_m"] == [[20.0, 16.5], [106.0, 0.5]]
    assert resolved["base_stations"]["height_m"] == 10.0
    assert resolved["area_m"] == [120.0, 16.0]
    transfers = pd.read_csv(one / "transfers.csv")
    assert transfers["delivered"].all()
    if "linear" not in more:
        return
    replay = text.replace(
        f"channel: {{model: ray-traced, file: {STREET}, subbands: 2{more}}}",
        f"channel: {{replay: {{file: {one / 'channel.csv.gz'}}}, subbands: 2}}\n"
        "area_m: [120.0, 16.0]",
    ).replace("tx_power_dbm: 20", "tx_power_dbm: 20, positions_m: [[20, 16.5], [106, 0.5]]")
    again = pd.read_csv(simulate(tmp_path, replay, "replayed") / "transfers.csv")
    inexact = ["mean_snr_db", "capacity_bytes"]
    pd.testing.assert_frame_equal(again[inexact], transfers[inexact], rtol=1e-12)
    pd.testing.assert_frame_equal(
        again.drop(columns=inexact), transfers.drop(columns=inexact), check_exact=True
    )


def test_devices_between_which_links_are_traced(tmp_path: Path) -> None:
    """Three static devices whose places were both transmitters and receivers.

    Links are reciprocal where a file is not: the device with the lower number is at a transmitter.
    """
    places_m = np.array([[0.0, 0.0, 1.5], [100.0, 0.0, 1.5], [0.0, 50.0, 1.5]])
    gain_db = np.array([[np.nan, -80, -85], [-70, np.nan, -90], [-70, -70, np.nan]])[..., None]
    file = tmp_path / "mesh.npz"
    np.savez(file, frequency_hz=3.5e9, tx_m=places_m, rx_m=places_m, gain_db=gain_db)
    text = f"""
name: traced
seed: 1
area_m: [101, 51]
devices: {{count: 3}}
mobility: {{model: static, layout: given, positions_m: [[0, 0], [100, 0], [0, 50]]}}
channel: {{model: ray-traced, file: {file}}}
radio: {{phy: {{model: shannon}}}}
mac: {{model: tdma}}
traffic: {{size_bytes: 10_000, neighbors: 2, rounds: 1}}
"""
    transfers = pd.read_csv(simulate(tmp_path, text, "mesh") / "transfers.csv")
    noise_dbm = -173.975 + 10 * np.log10(20e6) + 9.0
    for row in transfers.itertuples():
        ends = min(row.source, row.target), max(row.source, row.target)
        expected_db = 23.0 + gain_db[(*ends, 0)] - noise_dbm
        assert row.mean_snr_db == pytest.approx(expected_db, abs=0.01)


def test_displaced_transmitters_have_the_phases_of_departure(tmp_path: Path) -> None:
    """Two devices 60 wavelengths apart; the first one moves by a quarter of one towards the other.

    Its path to the second one leaves along x and is a quarter of a turn shorter.
    """
    places_m = np.array([[0.0, 0.0, 1.5], [60.0 * C_MPS / F_HZ, 0.0, 1.5]])
    zero = np.zeros((2, 2, 1))
    file = tmp_path / "pair.npz"
    np.savez(
        file, frequency_hz=F_HZ, tx_m=places_m, rx_m=places_m, gain_db=zero - 60.0, phase_deg=zero,
        departure_deg=np.stack([zero, zero + 90.0], axis=-1),
    )  # fmt: skip
    channel = RayTraced(file=str(file))
    links = channel.links(2, np.empty((0, 2)), frequency_hz=F_HZ, between_devices=True)
    moved_m = np.zeros((1, 2, 2))
    moved_m[0, 1, 0] = 0.25 * C_MPS / F_HZ
    other_m = np.broadcast_to(places_m[1, :2], (1, 2, 2))
    ends = np.array([0]), np.array([1])
    found = links.response(*ends, moved_m, other_m, np.zeros(1))[0, :, 0]
    assert found == pytest.approx(1e-3 * np.array([1.0, 1j]), abs=1e-9)
    back = links.response(*ends[::-1], other_m, moved_m, np.zeros(1))[0, :, 0]
    assert np.array_equal(back, found)


def refused(tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str) -> str:
    file = tmp_path / "bad.yaml"
    file.write_text(text)
    assert main([str(file), "--check"]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    return err


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("mac: {{model: cell}}", "mac: {{model: csma}}",
         "from 2 transmitters to 549 receivers, not between receivers; it needs a transmitter at"),
        ("tx_power_dbm: 20", "count: 3", "base_stations.count must be at most 2, the transmitters"),
        ("tx_power_dbm: 20", "positions_m: [[50, 8]]",
         "at a transmitter of its own, of those at (-40, 8.5), (46, -7.5) m in the file, got (-10"),
        ("tx_power_dbm: 20", "sectors: 3", "base_stations.sectors must be 1 with channel.model"),
        ("bandwidth_hz: 20e6", "frequency_hz: 28e9",
         "the paths are of a carrier at 3.5e+09 Hz, and radio.frequency_hz is 2.8e+10"),
        ("count: 4", "count: 4, indoor_share: 0.5", "devices.indoor_share is not for channel.mode"),
        ("subbands: 2", "fading: {{model: none}}", "channel.fading: unknown key"),
        ("model: ray-traced", "model: ray", "unknown model 'ray'; known: ray-traced, statistical"),
        ("model: ray-traced, ", "", "channel.file: unknown key"),
        ("file: {file}", "file: nothing.npz", "traced.npz: no such file"),
        ("subbands: 2", "interpolation: cubic", "interpolation: must be 'nearest' or 'linear'"),
    ],
)  # fmt: skip
def test_scenarios_that_do_not_fit_a_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], old: str, new: str, message: str
) -> None:
    assert old in SCENARIO
    text = SCENARIO.replace(old, new).format(file=STREET, more="")
    if "csma" in new:
        text = text.replace("{model: nr}, csi_delay_s: 0.003", "{model: wifi}")
    found = refused(tmp_path, capsys, text).replace("nothing.npz", "traced.npz")
    assert message in found


def test_notes_on_coverage(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    gain_db = np.full((1, 5, 2), -80.0)
    gain_db[0, 2] = np.nan
    text = SCENARIO.format(file=two_rays(tmp_path, gain_db=gain_db), more="")
    (tmp_path / "notes.yaml").write_text(text.replace("seed: 1", "seed: 1\narea_m: [90, 10]"))
    assert main([str(tmp_path / "notes.yaml"), "--check"]) == 0
    found = capsys.readouterr().out
    assert "5 receivers from (0, 0) to (40, 0) m, 80% of them with paths" in found
    assert "to (40, 0) m of the area of 90 by 10 m: devices outside are out of coverage" in found


def test_check_does_not_import_scipy(tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text(SCENARIO.format(file=STREET, more=""))
    code = (
        "import sys; from wnsim.scenario.__main__ import main; "
        "assert main([sys.argv[1], '--check']) == 0; "
        "assert not {'scipy', 'numba', 'pandas'} & set(sys.modules)"
    )
    subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "s.yaml")], check=True, capture_output=True
    )


# --- malformed files -----------------------------------------------------------------------------


def hole(values: np.ndarray) -> np.ndarray:
    found = np.array(values, dtype=np.float64)
    found.flat[0] = np.nan
    return found


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"tx_m": None}, "a traced file needs the array tx_m, and there is none"),
        ({"power": np.zeros(3)}, "an array must be one of frequency_hz, tx_m"),
        ({"frequency_hz": [1e9, 2e9]}, r"frequency_hz must be one number, got the shape \(2,\)"),
        ({"frequency_hz": 3.5}, "frequency_hz must be from 1e6 to 1e12, got 3.5"),
        ({"frequency_hz": np.nan}, "frequency_hz must be from 1e6 to 1e12, got nan"),
        ({"tx_m": np.zeros((1, 2))}, r"tx_m must have the shape \(number, 3\), got \(1, 2\)"),
        ({"rx_m": np.zeros((0, 3))}, r"rx_m must have the shape \(number, 3\), got \(0, 3\)"),
        ({"rx_m": np.full((5, 3), 1e9)}, "rx_m must be from -1e.07 to 1e.07 m, got 1e"),
        ({"rx_m": np.zeros((5, 3))}, r"traced points must differ in x or y, and two of them are"),
        ({"gain_db": np.zeros((1, 4, 2))}, r"shape \(T, R, P\) with T = 1 transmitters and R = 5"),
        ({"gain_db": np.full((1, 5, 2), np.nan)}, "at least one path, and all of it is NaN"),
        ({"gain_db": np.full((1, 5, 2), np.inf)}, "gain_db of a path must be from -1000 to 0,"),
        # A loss in place of a gain.
        (
            {"gain_db": np.full((1, 5, 2), 80.0)},
            "gain_db of a path must be from -1000 to 0, got 80",
        ),
        ({"gain_db": np.zeros((1, 5, 2), complex)}, "gain_db must hold real numbers, got complex"),
        ({"gain_db": np.array([["a"]])}, "gain_db must hold real numbers, got <U1"),
        ({"phase_deg": hole(np.zeros((1, 5, 2)))}, "phase_deg of a path must be from .*, got nan"),
        ({"phase_deg": None}, "delay_s needs phase_deg"),
        ({"delay_s": np.full((1, 5, 2), -1e-9)}, "delay_s of a path must be from 0 to 0.01, got"),
        ({"delay_s": np.zeros((1, 5, 3))}, r"delay_s must have the shape \(1, 5, 2\), got \(1, 5"),
        ({"arrival_deg": np.zeros((1, 5, 2))}, r"arrival_deg must have the shape \(1, 5, 2, 2\)"),
        ({"interactions": np.zeros((1, 5, 2))}, "interactions must hold whole numbers, got float"),
        ({"interactions": np.zeros((1, 1, 2), int)}, r"interactions must have the shape \(1, 5, 2"),
        ({"tx_m": np.array([[None, 0, 0]])}, "arrays must hold numbers, got objects"),
    ],
)
def test_malformed_arrays(tmp_path: Path, changed: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=rf"rays\.npz: .*{message}"):
        links_of(two_rays(tmp_path, **changed))


def test_damaged_and_foreign_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "bad.npz"
    whole = two_rays(tmp_path).read_bytes()
    single = io.BytesIO()
    np.save(single, np.zeros(3))
    for content in (b"", b"text\n", whole[: len(whole) // 2], single.getvalue()):
        file.write_bytes(content)
        with pytest.raises(ValueError, match=r"bad\.npz: is not a readable \.npz file of NumPy: "):
            links_of(file)
    middle = whole.index(b"gain_db") + 200
    file.write_bytes(whole[:middle] + b"\0" * 20 + whole[middle + 20 :])
    with pytest.raises(ValueError, match=r"bad\.npz: "):
        links_of(file)
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("tx_m.npy", b"not an array")
    with pytest.raises(ValueError, match=r"bad\.npz: "):
        links_of(file)
    monkeypatch.setattr("wnsim.channel.ray_tracing.npz.MOST_BYTES", 1000)
    with pytest.raises(ValueError, match="arrays may have at most 1000 bytes in total, got"):
        links_of(two_rays(tmp_path))
    monkeypatch.setattr("wnsim.channel.ray_tracing.npz.MOST_BYTES", 10**9)
    monkeypatch.setattr("wnsim.channel.ray_tracing.paths.MAX_PATHS", 9)
    with pytest.raises(ValueError, match="there may be at most 9 paths, got 10"):
        links_of(two_rays(tmp_path))
    monkeypatch.undo()
    with pytest.raises(ValueError, match="interpolation linear needs delay_s"):
        links_of(two_rays(tmp_path, delay_s=None), interpolation="linear")
    lost = RayTraced(file=str(tmp_path / "none.npz"))
    with pytest.raises(ValueError, match=r"none\.npz: no such file"):
        lost.paths()


def as_hdf5(npz: Path, folder: Path) -> Path:
    """Convert a file into a folder; return the other."""
    path = folder / f"{npz.stem}.h5"
    with np.load(npz) as arrays, h5py.File(path, "w") as content:
        for name in arrays.files:
            content.create_dataset(name, data=arrays[name])
    return path


@pytest.mark.parametrize("npz", [STREET, STREET_MAP], ids=["paths", "map"])
def test_an_hdf5_file_has_the_paths_of_the_same_arrays(tmp_path: Path, npz: Path) -> None:
    one, other = (RayTraced(file=str(each)).paths() for each in (npz, as_hdf5(npz, tmp_path)))
    for field in dataclasses.fields(one):
        if field.name != "file":
            np.testing.assert_array_equal(getattr(one, field.name), getattr(other, field.name))


def test_hdf5_files_that_are_damaged_or_lead_elsewhere_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = as_hdf5(two_rays(tmp_path), tmp_path)
    whole = file.read_bytes()
    elsewhere = tmp_path / "elsewhere.h5"
    elsewhere.write_bytes(whole)

    def external(content: Any) -> None:
        content["gain_db"] = h5py.ExternalLink(str(elsewhere), "gain_db")

    def virtual(content: Any) -> None:
        layout = h5py.VirtualLayout((1, 5, 2), np.float32)
        layout[...] = h5py.VirtualSource(str(elsewhere), "gain_db", (1, 5, 2))
        content.create_virtual_dataset("gain_db", layout)

    def outside(content: Any) -> None:
        places = [(str(elsewhere), 0, 40)]
        content.create_dataset("gain_db", (1, 5), np.float32, external=places)

    def soft(content: Any) -> None:
        content["gain_db"] = h5py.SoftLink("/delay_s")

    def group(content: Any) -> None:
        content.create_group("gain_db")

    def words(content: Any) -> None:
        content["gain_db"] = "many"

    def missing(content: Any) -> None:
        pass

    for change, message in (
        (external, "'gain_db' must be a data set of this file, got a link"),
        (soft, "'gain_db' must be a data set of this file, got a link"),
        (virtual, "'gain_db' must have its values in this file"),
        (outside, "'gain_db' must have its values in this file"),
        (group, "'gain_db' must be a data set, got a group"),
        (words, "gain_db must hold real numbers"),
        (missing, "needs the array gain_db, and there is none"),
    ):
        file.write_bytes(whole)
        with h5py.File(file, "a") as content:
            del content["gain_db"]
            change(content)
        with pytest.raises(ValueError, match=rf"rays\.h5: .*{message}"):
            links_of(file)
    for content in (b"", b"text\n", whole[: len(whole) // 2]):
        file.write_bytes(content)
        with pytest.raises(ValueError, match=r"rays\.h5: is not a readable HDF5 file: "):
            links_of(file)
    file.write_bytes(whole)
    monkeypatch.setattr("wnsim.channel.ray_tracing.hdf5.MOST_BYTES", 100)
    with pytest.raises(ValueError, match="arrays may have at most 100 bytes in total, got"):
        links_of(file)
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(ValueError, match=r'needs the package h5py: pip install "wnsim\[hdf5\]"'):
        links_of(file)


def matrix(folder: Path, name: str, values: Any) -> None:
    np.savez(folder / f"{name}_t000_tx000_r001.npz", **{name: values})


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda at: (at / "params.json").unlink(), r"has a file params\.json, and there is none"),
        (lambda at: (at / "params.json").write_text("{"), r"params\.json is not JSON"),
        (lambda at: (at / "params.json").write_text("[]"), r"params\.json must hold an object"),
        (lambda at: edit(at, lambda p: p.pop("scene")), r"params\.json: scene must be an object"),
        (lambda at: edit(at, lambda p: p["scene"].update(num_scenes=4)), "of one scene that stand"),
        (lambda at: edit(at, lambda p: p["rt_params"].update(frequency="3.5 GHz")),
         r"frequency must be a number, got '3\.5 GHz'"),
        (lambda at: edit(at, lambda p: p["rt_params"].update(frequency=5)),
         "frequency must be from 1e.06 to 1e.12, got 5"),
        (lambda at: edit(at, lambda p: p["txrx_sets"]["txrx_set_1"].update(is_rx=False)),
         "there must be a set of transmitters and one of receivers"),
        (lambda at: edit(at, lambda p: p["txrx_sets"]["txrx_set_0"].update(num_ant=4)),
         "txrx_set_0 must have one antenna at each point, got 4"),
        (lambda at: edit(at, lambda p: p["txrx_sets"]["txrx_set_0"].update(num_points=3)),
         r"a file power_t000_tx002_r001\.npz or \.mat, and there is none"),
        (lambda at: (at / "delay_t000_tx000_r001.npz").unlink(), "a file delay_t000_tx000_r001"),
        (lambda at: matrix(at, "delay", np.zeros((15, 3))), r"delay must have the shape \(15, 7\)"),
        (lambda at: matrix(at, "power", np.zeros(15)), r"power must have the shape \(receivers, p"),
        (lambda at: matrix(at, "power", np.zeros((15, 7), complex)), "power must hold real number"),
        (lambda at: matrix(at, "tx_pos", np.zeros((2, 3))), "tx_pos must be one position, got the"),
        (lambda at: matrix(at, "rx_pos", np.zeros((15, 3))), "must have the same receivers"),
        (lambda at: (at / "power_t000_tx001_r001.mat").write_bytes(b"MATLAB"),
         r"power_t000_tx001_r001\.mat: is not a readable file of MATLAB"),
        (lambda at: scipy.io.savemat(at / "power_t000_tx001_r001.mat", {"other": [1.0]}),
         "there must be an array power, and there is none"),
    ],
)  # fmt: skip
def test_malformed_data_sets(tmp_path: Path, damage: Any, message: str) -> None:
    folder = tmp_path / "set"
    shutil.copytree(DATA_SET, folder)
    damage(folder)
    with pytest.raises(ValueError, match=message):
        links_of(folder)


def test_sets_that_receive_and_transmit_are_not_receivers(tmp_path: Path) -> None:
    """As the library does, unless there are no others; sets of receivers are joined."""
    folder = tmp_path / "set"
    shutil.copytree(DATA_SET, folder)
    for file in sorted(folder.glob("*_r001.*")):
        shutil.copy(file, file.with_name(file.name.replace("_r001", "_r002")))
    for tx, form in ((0, ".npz"), (1, ".mat")):
        file = folder / f"rx_pos_t000_tx{tx:03}_r002{form}"
        file.unlink()
        moved = np.load(DATA_SET / "rx_pos_t000_tx000_r001.npz")["rx_pos"] + [0, 1, 0]
        if form == ".npz":
            np.savez(file, rx_pos=moved)
        else:
            scipy.io.savemat(file, {"rx_pos": moved})

    def another_set(found: dict[str, Any]) -> None:
        sets = found["txrx_sets"]
        sets["txrx_set_2"] = sets["txrx_set_1"] | {"id": 2}
        sets["txrx_set_0"]["is_rx"] = True

    edit(folder, another_set)
    assert links_of(folder).paths.gain_db.shape == (2, 30, 7)
