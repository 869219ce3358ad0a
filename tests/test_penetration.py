"""Building penetration loss: the materials of TR 38.901, its spread, and both ends indoors."""

from collections.abc import Callable

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
from wnsim.scenario.simulation.build import build_world
from wnsim.scenario.spec.schema import Scenario

COUNT = 20_000


@pytest.mark.parametrize(
    ("model", "frequency_hz", "wall_db"),
    [
        # By hand, from Tables 7.4.3-1 and 7.4.3-2: glass 2.7 dB and concrete 19 dB at 3.5 GHz,
        # 5 - 10 lg(0.3 10^-0.27 + 0.7 10^-1.9); coated glass 24.05 dB, and so on.
        ("low", 3.5e9, 5 - 10 * np.log10(0.3 * 10**-0.27 + 0.7 * 10**-1.9)),
        ("high", 3.5e9, 5 - 10 * np.log10(0.7 * 10**-2.405 + 0.3 * 10**-1.9)),
        ("low", 28e9, 5 - 10 * np.log10(0.3 * 10**-0.76 + 0.7 * 10**-11.7)),
        ("high", 28e9, 5 - 10 * np.log10(0.7 * 10**-3.14 + 0.3 * 10**-11.7)),
    ],
)
def test_walls(model: str, frequency_hz: float, wall_db: float) -> None:
    made = Penetration(model=model)
    assert made.wall_db(frequency_hz) == pytest.approx(wall_db, abs=1e-9)


@pytest.mark.parametrize(("model", "sigma_db"), [("low", 4.4), ("high", 6.5)])
def test_spread_over_devices(model: str, sigma_db: float) -> None:
    made = Penetration(model=model)
    loss_db = made.loss_db(np.ones(COUNT, dtype=bool), 3.5e9, 1) - made.wall_db(3.5e9)
    # The smaller of two uniform ways to 25 m has the mean 25/3 m and the variance 25^2/18 m^2,
    # each meter 0.5 dB.
    variance = sigma_db**2 + (0.5 * 25) ** 2 / 18
    assert np.mean(loss_db) == pytest.approx(0.5 * 25 / 3, abs=4 * np.sqrt(variance / COUNT))
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


def test_errors() -> None:
    with pytest.raises(ValueError, match="'low' or 'high'"):
        Penetration(model="medium")
    with pytest.raises(ValueError, match="greater than or equal to 0"):
        Penetration(max_indoor_m=-1.0)
