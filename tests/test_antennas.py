"""Antennas: the pattern of TR 38.901 and its effect on a link."""

from collections.abc import Callable

import numpy as np
import pytest

from wnsim.channel import (
    ANTENNAS,
    Antenna,
    Carrier,
    Channel,
    FreeSpace,
    Geometry,
    Isotropic,
    NoFading,
    Propagation,
    Sector,
    Shadowing,
)
from wnsim.channel.antennas import Mounted
from wnsim.scenario.simulation.build import build_world
from wnsim.scenario.spec.schema import Scenario

ZERO = np.zeros(1)


def pattern(antenna: Antenna, azimuth_deg: float, elevation_deg: float = 0.0) -> float:
    return float(antenna.pattern_dbi(np.array([azimuth_deg]), np.array([elevation_deg]))[0])


@pytest.mark.parametrize(
    ("azimuth_deg", "elevation_deg", "loss_db"),
    [
        (0.0, 0.0, 0.0),
        # Half of the beamwidth: 3 dB down, in each plane.
        (32.5, 0.0, 3.0),
        (-32.5, 0.0, 3.0),
        (0.0, 32.5, 3.0),
        (32.5, -32.5, 6.0),
        (65.0, 0.0, 12.0),
        # 12 (90/65)^2 = 23.0
        (90.0, 0.0, 12 * (90 / 65) ** 2),
        (180.0, 0.0, 30.0),
        (0.0, 90.0, 12 * (90 / 65) ** 2),
        # At most 30 dB in each plane, and in total.
        (90.0, 90.0, 30.0),
        (180.0, 90.0, 30.0),
        (360.0, 0.0, 0.0),
        (-190.0, 0.0, 30.0),
    ],
)
def test_sector_follows_the_table(azimuth_deg: float, elevation_deg: float, loss_db: float) -> None:
    assert pattern(Sector(), azimuth_deg, elevation_deg) == pytest.approx(8.0 - loss_db)
    turned = Sector(boresight_deg=100.0, downtilt_deg=10.0, gain_dbi=17.0)
    gain_dbi = pattern(turned, azimuth_deg + 100.0, elevation_deg - 10.0)
    assert gain_dbi == pytest.approx(17.0 - loss_db)


def test_three_sectors_cover_all_directions() -> None:
    azimuth_deg = np.linspace(-180.0, 180.0, 721)
    best = np.max(
        [
            Sector(boresight_deg=angle).pattern_dbi(azimuth_deg, ZERO)
            for angle in (0.0, 120.0, 240.0)
        ],
        axis=0,
    )
    # Halfway between two sectors, 60 degrees from either.
    assert best.min() == pytest.approx(8.0 - 12 * (60 / 65) ** 2)


@pytest.mark.parametrize("name", ANTENNAS)
def test_contract(name: str) -> None:
    antenna = ANTENNAS[name]()
    draws = np.random.default_rng(1)
    azimuth_deg, elevation_deg = draws.uniform(-360, 360, (3, 50)), draws.uniform(-90, 90, (3, 50))
    gain_dbi = antenna.pattern_dbi(azimuth_deg, elevation_deg)
    assert gain_dbi.shape == (3, 50)
    assert np.all(gain_dbi <= antenna.peak_dbi)
    assert antenna.pattern_dbi(azimuth_deg + 360.0, elevation_deg) == pytest.approx(gain_dbi)
    assert antenna == ANTENNAS[name]()
    assert hash(antenna) == hash(ANTENNAS[name]())


def test_mounted_antennas_look_at_the_other_end() -> None:
    mounted = Mounted([Isotropic(gain_dbi=2.0), Sector(boresight_deg=90.0)], 2)
    # North of the sector at 45 degrees of elevation, otherwise in its main lobe.
    gain_db = mounted.gain_db(
        np.array([0, 1]), np.full((2, 3, 2), [0.0, 7.0]), np.full((2, 1), 7.0)
    )
    assert gain_db[0] == pytest.approx([2.0] * 3)
    assert gain_db[1] == pytest.approx([8.0 - 12 * (45 / 65) ** 2] * 3)


def test_a_link_gains_at_both_ends_in_either_direction() -> None:
    places_m = np.array([[0.0, 0.0], [0.0, 100.0], [100.0, 0.0]])

    def link_db(antennas: list[Antenna] | None, source: int, target: int) -> float:
        made = Channel(
            Propagation(FreeSpace(), Shadowing(), NoFading()),
            Carrier(3.5e9),
            Geometry(
                np.full(3, 1.5),
                lambda d, t: np.repeat(places_m[d][:, None], len(t), axis=1),
                0.0,
                antennas=antennas,
            ),
            1,
        )
        return float(made.large_scale_db(np.array([source]), np.array([target]), ZERO)[0, 0])

    antennas = [Sector(), Isotropic(gain_dbi=3.0), Sector(boresight_deg=180.0, gain_dbi=5.0)]
    for source, target, gain_db in (
        (0, 1, 8.0 - 12 * (90 / 65) ** 2 + 3.0),
        (0, 2, 8.0 + 5.0),
        # From (100, 0) to (0, 100) is 45 degrees off the boresight.
        (2, 1, 5.0 - 12 * (45 / 65) ** 2 + 3.0),
    ):
        plain_db = link_db(None, source, target)
        assert link_db(antennas, source, target) - plain_db == pytest.approx(gain_db)
        assert link_db(antennas, target, source) == link_db(antennas, source, target)


@pytest.mark.parametrize("most_db", [0.0, 10.0, 20.0])
def test_attenuation_ends_at_the_front_to_back_ratio(most_db: float) -> None:
    """Law: min(12 (angle / 65)^2, ratio) in each plane, and their sum up to the ratio again."""
    antenna = Sector(front_to_back_db=most_db)
    for azimuth_deg, elevation_deg in ((180.0, 0.0), (0.0, 90.0), (180.0, 90.0), (90.0, 0.0)):
        assert pattern(antenna, azimuth_deg, elevation_deg) == pytest.approx(8.0 - most_db)
    near_db = 12 * (32.5 / 65) ** 2
    assert pattern(antenna, 32.5) == pytest.approx(8.0 - min(near_db, most_db))
    assert pattern(antenna, 32.5, 32.5) == pytest.approx(8.0 - min(2 * near_db, most_db))


STATION = """
name: station
area_m: [200, 200]
devices: {{count: 2}}
mobility: {{model: static, layout: given, positions_m: [[150, 100], [100, 20]]}}
channel: {{path_loss: {{model: free-space}}, shadowing: {{sigma_db: 0}}, fading: {{model: none}}}}
mac: {{model: cell}}
base_stations: {{positions_m: [[100, 100]], sectors: {sectors}, antenna_gain_dbi: {gain_dbi}}}
traffic: {{size_bytes: 1}}
"""


@pytest.mark.parametrize("sectors", [1, 3])
def test_the_gain_of_a_station_is_on_its_links_only(
    scenario_of: Callable[[str], Scenario], sectors: int
) -> None:
    """Law: 9 dB more of antenna gain are 9 dB more on each link of a station, in either way."""

    def link_db(gain_dbi: float) -> np.ndarray:
        text = STATION.format(sectors=sectors, gain_dbi=gain_dbi)
        channel = build_world(scenario_of(text)).channel
        nodes = np.arange(2 + sectors)
        source, target = np.meshgrid(nodes[:2], nodes[2:])
        ends = source.ravel(), target.ravel()
        pairs = np.array([[0], [1]])
        return np.concatenate(
            [channel.large_scale_db(*each, ZERO)[:, 0] for each in (ends, ends[::-1], pairs)]
        )

    more_db = link_db(14.0) - link_db(5.0)
    assert more_db[:-1] == pytest.approx(np.full(4 * sectors, 9.0))
    assert more_db[-1] == 0.0


def test_errors() -> None:
    with pytest.raises(ValueError, match="antennas must be one for each of 3, got 2"):
        Mounted([Isotropic()] * 2, 3)
    with pytest.raises(ValueError, match="greater than 0"):
        Sector(beamwidth_deg=0.0)
    with pytest.raises(ValueError, match="finite number"):
        Isotropic(gain_dbi=float("nan"))
