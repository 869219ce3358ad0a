"""Building penetration loss: the materials of TR 38.901, its spread, and both ends indoors."""

from collections.abc import Callable
from typing import Literal

import numpy as np
import pytest

from wnsim.channel import (
    Carrier,
    Channel,
    FreeSpace,
    Geometry,
    NoFading,
    Penetration,
    Propagation,
    Shadowing,
)
from wnsim.channel.path_loss import PathLoss, Rma, Uma, UmiStreetCanyon
from wnsim.scenario.simulation.build import build_world
from wnsim.scenario.spec.schema import Scenario

COUNT = 20_000


@pytest.mark.parametrize(
    ("model", "release", "frequency_hz", "wall_db"),
    [
        # By hand, from Tables 7.4.3-1 and 7.4.3-2: glass 2.7 dB and concrete 19 dB at 3.5 GHz,
        # 5 - 10 lg(0.3 10^-0.27 + 0.7 10^-1.9); coated glass 24.05 dB, and so on.
        ("low", 16, 3.5e9, 5 - 10 * np.log10(0.3 * 10**-0.27 + 0.7 * 10**-1.9)),
        ("low", 19, 3.5e9, 5 - 10 * np.log10(0.3 * 10**-0.27 + 0.7 * 10**-1.9)),
        ("high", 16, 3.5e9, 5 - 10 * np.log10(0.7 * 10**-2.405 + 0.3 * 10**-1.9)),
        ("low", 16, 28e9, 5 - 10 * np.log10(0.3 * 10**-0.76 + 0.7 * 10**-11.7)),
        ("high", 16, 28e9, 5 - 10 * np.log10(0.7 * 10**-3.14 + 0.3 * 10**-11.7)),
        # Release 19: coated glass 25.4 + 0.11 f.
        ("high", 19, 3.5e9, 5 - 10 * np.log10(0.7 * 10**-2.5785 + 0.3 * 10**-1.9)),
        ("high", 19, 28e9, 5 - 10 * np.log10(0.7 * 10**-2.848 + 0.3 * 10**-11.7)),
        # Plywood 1.03 + 0.17 f.
        ("low-a", 19, 7e9, 5 - 10 * np.log10(0.3 * 10**-0.34 + 0.7 * 10**-0.222)),
        ("car", 19, 7e9, 9.0),
        ("car-metallized", 19, 7e9, 20.0),
    ],
)
def test_walls(model: str, release: int, frequency_hz: float, wall_db: float) -> None:
    made = Penetration(model=model, release=release)
    assert made.wall_db(frequency_hz) == pytest.approx(wall_db, abs=1e-9)


@pytest.mark.parametrize(
    ("model", "sigma_db", "inside_m"), [("low", 4.4, 25.0), ("high", 6.5, 25.0), ("car", 5.0, 0.0)]
)
def test_spread_over_devices(model: str, sigma_db: float, inside_m: float) -> None:
    made = Penetration(model=model)
    loss_db = made.loss_db(np.ones(COUNT, dtype=bool), 3.5e9, 1) - made.wall_db(3.5e9)
    # The smaller of two uniform ways to 25 m has the mean 25/3 m and the variance 25^2/18 m^2,
    # each meter 0.5 dB.
    variance = sigma_db**2 + (0.5 * inside_m) ** 2 / 18
    assert np.mean(loss_db) == pytest.approx(0.5 * inside_m / 3, abs=4 * np.sqrt(variance / COUNT))
    assert np.var(loss_db) == pytest.approx(variance, rel=4 * np.sqrt(2 / COUNT))


def test_a_device_keeps_its_loss() -> None:
    made = Penetration()
    some = np.zeros(9, dtype=bool)
    some[[2, 5]] = True
    all_db = made.loss_db(np.ones(9, dtype=bool), 3.5e9, 1)
    assert np.array_equal(made.loss_db(some, 3.5e9, 1), np.where(some, all_db, 0.0))
    assert not np.any(made.loss_db(~some, 3.5e9, 2)[~some] == all_db[~some])


def test_each_indoor_end_adds_its_own() -> None:
    places_m = np.array([[0.0, 0.0], [0.0, 100.0], [100.0, 0.0]])
    indoor = np.array([True, False, True])

    def gains_db(penetration: Penetration | None) -> np.ndarray:
        made = Channel(
            Propagation(FreeSpace(), Shadowing(), NoFading(), penetration=penetration),
            Carrier(3.5e9),
            Geometry(
                np.full(3, 1.5),
                lambda d, t: np.repeat(places_m[d][:, None], len(t), axis=1),
                0.0,
                indoor=indoor,
            ),
            1,
        )
        return made.large_scale_db(np.array([0, 1, 2]), np.array([1, 2, 0]), np.zeros(1))[:, 0]

    first_db, _, third_db = Penetration().loss_db(indoor, 3.5e9, 1)
    lost_db = gains_db(None) - gains_db(Penetration())
    assert lost_db == pytest.approx([first_db, third_db, first_db + third_db])


INDOORS = """
name: indoors
area_m: [1000, 1000]
devices: {{count: 400, indoor_share: {share}}}
mobility: {{model: static}}
channel: {{path_loss: {{model: free-space}}, shadowing: {{sigma_db: 0}}, fading: {{model: none}}}}
mac: {{model: cell}}
base_stations: {{}}
traffic: {{size_bytes: 1}}
"""


def test_a_share_of_the_devices_is_indoors(scenario_of: Callable[[str], Scenario]) -> None:
    """Law: each device is indoors with this probability and loses its own loss; stations do not."""
    devices, station = np.arange(400), np.full(400, 400)

    def lost_db(share: float) -> np.ndarray:
        channel = build_world(scenario_of(INDOORS.format(share=share))).channel
        return -channel.large_scale_db(devices, station, np.zeros(1))[:, 0]

    outdoors_db = lost_db(0.0)
    all_db = Penetration().loss_db(np.ones(401, dtype=bool), 3.5e9, 1)[:400]
    assert lost_db(1.0) - outdoors_db == pytest.approx(all_db)
    before = np.zeros(400, dtype=bool)
    for share in (0.3, 0.6):
        more_db = lost_db(share) - outdoors_db
        indoor = more_db != 0.0
        assert more_db == pytest.approx(np.where(indoor, all_db, 0.0))
        # Four standard deviations: a false alarm in 16,000.
        assert indoor.mean() == pytest.approx(share, abs=4 * np.sqrt(share * (1 - share) / 400))
        # A larger share adds devices.
        assert np.all(before <= indoor)
        before = indoor


@pytest.mark.parametrize(
    ("path_loss", "sigma_db", "correlation_m"),
    [(UmiStreetCanyon(), 7.0, 7.0), (Uma(), 7.0, 7.0), (Rma(), 8.0, 120.0)],
)
def test_shadow_fading_of_links_into_buildings(
    path_loss: PathLoss, sigma_db: float, correlation_m: float
) -> None:
    """Law: the O2I column of Table 7.5-6, in both line-of-sight states; not into cars."""
    # Pairs of one indoor device each, far apart, and the same pairs with one end moved.
    count = 4000
    draws = np.random.default_rng(3)
    one_m = draws.random((count, 2)) * 1e6
    places_m = np.tile(one_m, (3, 1))
    places_m[count:] += np.array([400.0, 0.0])
    places_m[2 * count :] += np.array([0.0, correlation_m / 2])
    indoor = np.arange(3 * count) >= count

    def gains_db(
        model: Literal["low", "car"], sigma_db: float | None, inside: bool = True
    ) -> np.ndarray:
        made = Channel(
            Propagation(path_loss, Shadowing(sigma_db=sigma_db), NoFading(),
                        penetration=Penetration(model=model)),
            Carrier(3.5e9),
            Geometry(
                np.full(3 * count, 10.0),
                lambda d, t: np.repeat(places_m[d][:, None], len(t), axis=1),
                0.0,
                indoor=indoor & inside,
            ),
            1,
        )  # fmt: skip
        source = np.tile(np.arange(count), 2)
        return made.large_scale_db(source, count + np.arange(2 * count), np.zeros(1))[:, 0]

    shadow_db = (gains_db("low", None) - gains_db("low", 0.0)).reshape(2, count)
    # Four standard errors of a deviation; both losses of a link have the same shadow fading.
    assert shadow_db.std() == pytest.approx(sigma_db, rel=4 / np.sqrt(2 * count))
    assert abs(shadow_db.mean()) < 4 * sigma_db / np.sqrt(count)
    correlation = np.corrcoef(shadow_db)[0, 1]
    assert correlation == pytest.approx(np.exp(-0.5), abs=4 / np.sqrt(count))
    in_cars_db = gains_db("car", None) - gains_db("car", 0.0)
    outdoors_db = gains_db("car", None, inside=False) - gains_db("car", 0.0, inside=False)
    assert in_cars_db == pytest.approx(outdoors_db)


def test_errors() -> None:
    with pytest.raises(ValueError, match="'car' or 'car-metallized'"):
        Penetration(model="medium")
    with pytest.raises(ValueError, match="low-a needs release 19, got release 16"):
        Penetration(model="low-a", release=16)
    with pytest.raises(ValueError, match="greater than or equal to 0"):
        Penetration(max_indoor_m=-1.0)
