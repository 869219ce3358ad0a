"""Satellites: orbits, where they are seen, when they pass, and the gain of their links."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from reference_tables import FOLDER, rows

from wnsim.channel import Carrier, Channel, Geometry, NoFading, NonTerrestrial, Propagation
from wnsim.channel.heights import Heights
from wnsim.channel.propagation import free_space_db
from wnsim.channel.shadowing import Shadowing
from wnsim.core.units import NS_PER_S
from wnsim.mobility.orbits import Circular, Ground, TwoLineElements
from wnsim.world.sky import Sky

EQUATOR_M, TURN = 6_378_137.0, 7.292115e-5
STARTS = {
    "ISS (ZARYA)": datetime(2014, 1, 23, 11, 18, 7, tzinfo=UTC),
    "VANGUARD 1": datetime(2000, 6, 28, tzinfo=UTC),
}


def sky_of(
    orbit: Any, places_m: Any = ((0.0, 0.0),), site: tuple[float, float] = (0.0, 0.0),
    elevation_deg: float = 10.0, height_m: float = 0.0,
) -> Sky:  # fmt: skip
    """Return the sky over static nodes."""
    places_m = np.array(places_m, dtype=np.float64)
    return Sky(
        orbit.constellation(),
        Ground(*site),
        lambda nodes, t_s: np.repeat(places_m[nodes][:, None], t_s.size, axis=1),
        Heights.constant(np.full(len(places_m), height_m)),
        len(places_m),
        elevation_deg,
    )


def equatorial(altitude_m: float = 600e3, **options: Any) -> Circular:
    return Circular(altitude_m=altitude_m, inclination_deg=0.0, **options)


def rate(altitude_m: float) -> float:
    """Return the angular speed over the turning equator [rad/s]."""
    return math.sqrt(3.986004418e14 / (EQUATOR_M + altitude_m) ** 3) - TURN


@pytest.mark.parametrize("altitude_m", [600e3, 1200e3, 35_786e3])
def test_sight_over_the_equator_is_that_of_a_triangle(altitude_m: float) -> None:
    """Law of cosines: on the equator the ellipsoid is a circle, and east is ahead."""
    sky, t_s = sky_of(equatorial(altitude_m)), np.arange(0.0, 400.0, 20.0)
    sight = sky.sight(np.zeros(1, np.int64), np.ones(1, np.int64), t_s)
    angle, far_m = rate(altitude_m) * t_s, EQUATOR_M + altitude_m
    range_m = np.sqrt(EQUATOR_M**2 + far_m**2 - 2.0 * EQUATOR_M * far_m * np.cos(angle))
    np.testing.assert_allclose(sight.range_m[0], range_m, rtol=1e-9)
    sine = (far_m * np.cos(angle) - EQUATOR_M) / range_m
    np.testing.assert_allclose(np.sin(sight.elevation[0]), sine, atol=1e-9)
    if altitude_m < 2e6:
        np.testing.assert_allclose(sight.azimuth[0, 1:], math.pi / 2.0, atol=1e-9)


@pytest.mark.parametrize("elevation_deg", [0.0, 10.0, 40.0])
def test_a_pass_lasts_as_long_as_the_arc_above_the_minimum_elevation(elevation_deg: float) -> None:
    """Closed form: cos(arc + elevation) = (R / r) cos(elevation) at rise and set."""
    sky = sky_of(equatorial(phase_deg=180.0), elevation_deg=elevation_deg)
    elevation = math.radians(elevation_deg)
    arc = math.acos(EQUATOR_M / (EQUATOR_M + 600e3) * math.cos(elevation)) - elevation
    middle_s = math.pi / rate(600e3)
    half_s = arc / rate(600e3)
    passes_s = sky.passes_s(0, 1, 0.0, 10_000.0)
    assert passes_s[0] == pytest.approx([middle_s - half_s, middle_s + half_s], abs=1e-5)
    at_ns = np.round(np.array([0.0, *passes_s[0], passes_s[0].mean()]) * NS_PER_S).astype(np.int64)
    assert sky.dark(np.zeros(1, np.int64), np.ones(1, np.int64), at_ns)[0].tolist() == [
        True, False, True, False,
    ]  # fmt: skip
    longest_m = sky.sight(np.zeros(1, np.int64), np.ones(1, np.int64), passes_s[0]).range_m.max()
    assert sky.longest_m() == pytest.approx(longest_m, rel=1e-6)


def test_passes_are_those_of_dense_samples() -> None:
    """Differential: a polar orbit over a site in Europe, sampled each second for a day."""
    sky = sky_of(Circular(node_deg=30.0), site=(48.1, 11.6))
    t_s = np.arange(0.0, 86_400.0)
    sight = sky.sight(np.zeros(1, np.int64), np.ones(1, np.int64), t_s)
    up = np.degrees(sight.elevation[0]) >= 10.0
    edges = np.flatnonzero(up[1:] != up[:-1]) + 1
    found = sky.passes_s(0, 1, 0.0, 86_400.0)
    np.testing.assert_array_equal(np.ceil(found).ravel(), t_s[edges])
    assert 3 <= len(found) <= 8
    assert sky.cut_ns(1, 0, 0) == 0
    assert sky.clear_ns(1, 0, 0) == round(found[0, 0] * NS_PER_S)


def test_a_geostationary_satellite_never_sets_and_others_may_never_rise() -> None:
    altitude_m = (3.986004418e14 / TURN**2) ** (1.0 / 3.0) - EQUATOR_M
    sky = sky_of(equatorial(altitude_m))
    assert sky.clear_ns(0, 1, 5) == 5
    assert sky.cut_ns(0, 1, 5) > 9e18
    pole = sky_of(equatorial(), site=(89.0, 0.0))
    assert pole.clear_ns(0, 1, 5) > 9e18
    pair = sky_of(equatorial(planes=1, per_plane=2))
    assert (pair.cut_ns(1, 2, 7), pair.clear_ns(1, 2, 7) > 9e18) == (7, True)


def test_walker_satellites_are_spread_evenly() -> None:
    """Law: i: t/p/f = 53: 12/3/1 by angles between neighbors in a plane and across planes."""
    orbit = Circular(inclination_deg=53.0, planes=3, per_plane=4, phasing=1).constellation()
    at_m = orbit.position_m(np.arange(12), np.zeros(1))[:, 0]
    np.testing.assert_allclose(np.linalg.norm(at_m, axis=1), EQUATOR_M + 600e3, rtol=1e-12)
    unit = at_m / np.linalg.norm(at_m, axis=1, keepdims=True)
    for plane in range(3):
        four = unit[4 * plane : 4 * plane + 4]
        np.testing.assert_allclose(np.sum(four * np.roll(four, 1, 0), axis=1), 0.0, atol=1e-12)
    # The second plane: turned by 120 degrees, and 30 degrees ahead.
    along, node, incline = np.radians([30.0, 120.0, 53.0])
    first = [
        math.cos(node) * math.cos(along) - math.sin(node) * math.sin(along) * math.cos(incline),
        math.sin(node) * math.cos(along) + math.cos(node) * math.sin(along) * math.cos(incline),
        math.sin(along) * math.sin(incline),
    ]
    np.testing.assert_allclose(unit[4], first, atol=1e-12)


def test_places_on_the_ground_are_at_their_distance_and_azimuth() -> None:
    """Against the great circle: a quarter of the Earth to the north and to the east."""
    quarter_m = 6_371_008.8 * math.pi / 2.0
    ground = Ground(0.0, 0.0, (100.0, 50.0))
    found = ground.places(
        np.array([[100.0, 50.0], [100.0, 50.0 + quarter_m], [100.0 + quarter_m, 50.0]]), np.zeros(3)
    )
    np.testing.assert_allclose(found.up, [[1, 0, 0], [0, 0, 1], [0, 1, 0]], atol=1e-12)
    np.testing.assert_allclose(
        np.linalg.norm(found.position_m, axis=1), [EQUATOR_M, 6_356_752.3142, EQUATOR_M], rtol=1e-10
    )


def test_two_line_elements_are_seen_as_skyfield_sees_them(tmp_path: Path) -> None:
    """Against skyfield: UT1 and polar motion, which are left out, move a site by up to 420 m."""
    pytest.importorskip("sgp4")
    lines = (FOLDER / "satellites.tle").read_text("utf-8").splitlines()
    for name in STARTS:
        at = lines.index(name)
        (tmp_path / f"{name}.tle").write_text("\n".join(lines[at : at + 3]), "utf-8")
    for row in rows("satellite_sight_skyfield.csv"):
        name = row["satellite"]
        orbit = TwoLineElements(file=str(tmp_path / f"{name}.tle"), start=STARTS[name])
        site = float(row["latitude_deg"]), float(row["longitude_deg"])
        sky = sky_of(orbit, site=site, height_m=float(row["height_m"]))
        number = np.ones(1, np.int64)
        sight = sky.sight(np.zeros(1, np.int64), number, np.array([float(row["time_s"])]))
        range_m = float(row["range_m"])
        assert sight.range_m[0, 0] == pytest.approx(range_m, abs=500.0)
        degrees = math.degrees(500.0 / range_m) + 1e-4
        assert np.degrees(sight.elevation[0, 0]) == pytest.approx(
            float(row["elevation_deg"]), abs=degrees
        )


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("  4753", "  4754", r"line 5: must end with its checksum 3, got '4'"),
        ("VANGUARD 1\n", "", r"satellite-00005"),
        ("1 25544U", "1 25544", r"line 2: must be a line of elements with 69 characters"),
        ("2 00005", "3 00005", r"must be a line of elements"),
    ],
)
def test_wrong_elements_are_refused(tmp_path: Path, old: str, new: str, sentence: str) -> None:
    pytest.importorskip("sgp4")
    file = tmp_path / "x.tle"
    text = (FOLDER / "satellites.tle").read_text("utf-8")
    file.write_text(text.replace(old, new), "utf-8")
    orbit = TwoLineElements(file=str(file), start=datetime(2014, 1, 20, tzinfo=UTC))
    if "satellite-" in sentence:
        assert orbit.constellation().names[1] == "satellite-00005"
        return
    with pytest.raises(ValueError, match=sentence):
        orbit.constellation()


@pytest.mark.parametrize(
    ("content", "sentence"), [("", "1 to 10000 satellites, got 0"), (None, "no such file")]
)
def test_files_without_elements_are_refused(
    tmp_path: Path, content: str | None, sentence: str
) -> None:
    file = tmp_path / "x.tle"
    if content is not None:
        file.write_text(content, "utf-8")
    with pytest.raises(ValueError, match=sentence):
        TwoLineElements(file=str(file), start=datetime(2014, 1, 20, tzinfo=UTC)).constellation()


@pytest.mark.parametrize("row", rows("ntn_38811.csv"), ids=lambda row: "-".join(row.values()))
def test_losses_are_those_of_the_tables(row: dict[str, str]) -> None:
    """Against openntn 2.0.0: at each reference angle, and 4.9 degrees around it."""
    model = NonTerrestrial(environment=row["environment"])  # type: ignore[arg-type]
    frequency_hz = 2e9 if row["band"] == "s" else 20e9
    for off_deg in (-4.9, 0.0, 4.9):
        elevation = math.radians(float(row["elevation_deg"]) + off_deg)
        ends = 900e3 * abs(math.cos(elevation)), 900e3 * math.sin(elevation) + 1.5, 1.5
        assert model.los_probability(*ends) == pytest.approx(float(row["los_percent"]) / 100.0)
        mean_db = free_space_db(900e3, frequency_hz)
        # The standard rounds 32.4478 dB.
        assert model.loss_db(*ends, frequency_hz, True) == pytest.approx(mean_db, abs=3e-3)
        clutter_db = model.loss_db(*ends, frequency_hz, False) - mean_db
        assert clutter_db == pytest.approx(float(row["clutter_db"]), abs=3e-3)
        for los in (True, False):
            sigma_db = float(row["los_sigma_db" if los else "nlos_sigma_db"])
            assert model.shadow_db(*ends, frequency_hz, los) == pytest.approx(sigma_db)


def channel_over(sky: Sky, model: Any, seed: int = 1, sigma_db: float | None = 0.0) -> Channel:
    """Return the channel between static nodes and one satellite."""
    nodes = sky.first + sky.count
    return Channel(
        Propagation(NonTerrestrial(), Shadowing(sigma_db=sigma_db), NoFading(),
                    satellite_path_loss=model),
        Carrier(2e9),
        Geometry(
            sky.heights.joined(np.zeros(sky.count)),
            lambda nodes, t_s: np.where(
                (nodes < sky.first)[:, None, None],
                sky.position_m(np.minimum(nodes, sky.first - 1), t_s), 0.0,
            ),
            0.0,
            stations=np.arange(nodes) >= sky.first,
            sky=sky,
        ),
        seed,
    )  # fmt: skip


def test_gain_follows_the_slant_range() -> None:
    """Closed form without shadow fading: a pass in line of sight, to the interpolation of 1 s."""
    sky, t_s = sky_of(equatorial()), np.arange(0.0, 200.0, 0.7)
    channel = channel_over(sky, model=AlwaysSeen())
    ends = np.zeros(1, np.int64), np.ones(1, np.int64)
    range_m = sky.sight(*ends, t_s).range_m
    expected_db = -(32.45 + 20.0 * np.log10(2.0 * range_m))
    np.testing.assert_allclose(channel.large_scale_db(*ends, t_s), expected_db, atol=2e-3)


class AlwaysSeen(NonTerrestrial):
    """The model of TR 38.811 without obstacles."""

    def los_probability(self, d2d_m: Any, h_bs_m: Any, h_ut_m: Any) -> Any:
        return np.ones(np.shape(d2d_m))


def test_states_and_shadow_fading_have_the_shares_of_the_tables() -> None:
    """Statistics over 2500 places 300 m apart, at 30 degrees in an urban environment.

    Bounds are five standard errors, of a binomial share and of a normal variance.
    """
    places_m = [(300.0 * x, 300.0 * y) for x in range(-25, 25) for y in range(-25, 25)]
    far_m = EQUATOR_M + 600e3
    arc = math.acos(EQUATOR_M / far_m * math.cos(math.radians(30))) - math.radians(30)
    sky = sky_of(equatorial(phase_deg=math.degrees(arc)), places_m)
    model = NonTerrestrial(environment="urban")
    low, high = np.arange(2500), np.full(2500, 2500)
    free_db = 32.45 + 20.0 * np.log10(2.0 * sky.sight(low, high, np.zeros(1)).range_m[:, 0])
    excess_db, clear_db = (
        -channel_over(sky, each, sigma_db=None).large_scale_db(low, high, np.zeros(1))[:, 0]
        - free_db
        for each in (model, AlwaysSeen(environment="urban"))
    )
    assert clear_db.std() == pytest.approx(4.0, abs=5 * 4.0 / math.sqrt(5000))
    # LOS around 0 dB with 4 dB, NLOS around 29 dB with 6 dB: 14.5 dB is 3.6 and 2.4 sigma away.
    seen = excess_db < 14.5
    assert seen.mean() == pytest.approx(0.493 + 0.507 * 0.008, abs=5 * 0.5 / 50 + 0.01)
    assert np.median(excess_db[excess_db > 16]) == pytest.approx(29.0, abs=1.2)


def test_obstacles_change_as_a_satellite_passes_and_with_the_place() -> None:
    """Correlation over a pass and over 20 m and 2 km on the ground, in line of sight."""
    places_m = [(0.0, 0.0), (20.0, 0.0), (2000.0, 0.0)]
    t_s = np.arange(0.0, 200.0, 1.0)
    near, far = [], []
    for seed in range(12):
        sky = sky_of(equatorial(), places_m)
        channel = channel_over(sky, AlwaysSeen(), seed, sigma_db=4.0)
        gain_db = channel.large_scale_db(np.arange(3), np.full(3, 3), t_s)
        fade_db = (
            gain_db
            + 32.45
            + 20.0 * np.log10(2.0 * sky.sight(np.arange(3), np.full(3, 3), t_s).range_m)
        )
        near.append(np.mean(fade_db[0] * fade_db[1]) / 16.0)
        far.append(np.mean(fade_db[0] * fade_db[2]) / 16.0)
        assert np.ptp(fade_db[0]) > 0.5
    # exp(-20 / 37) = 0.58; the mean of 12 passes, each of a few independent directions.
    assert np.mean(near) == pytest.approx(math.exp(-20.0 / 37.0), abs=0.3)
    assert abs(np.mean(far)) < 0.35
