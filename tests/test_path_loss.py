"""Path loss: TR 38.901 and textbook reference tables, and the contract of the family."""

import numpy as np
import pytest
from reference_tables import rows

from wnsim.channel.path_loss import PATH_LOSS, FreeSpace, LogDistance, PathLoss, UmiStreetCanyon

MODELS = [pytest.param(model(), id=name) for name, model in PATH_LOSS.items()]


def test_umi_equals_38901() -> None:
    # The anchors write six decimals and differ by 0.006 dB where one uses c = 299792458 m/s.
    model = UmiStreetCanyon()
    table = rows("pathloss_38901.csv")
    assert len(table) > 50
    for row in table:
        los = row["condition"] == "LOS"
        loss_db = model.loss_db(
            float(row["d2d_m"]),
            float(row["h_bs_m"]),
            float(row["h_ut_m"]),
            float(row["fc_ghz"]) * 1e9,
            los,
        )
        assert loss_db == pytest.approx(float(row["ns3_pathloss_db"]), abs=1e-5)
        assert loss_db == pytest.approx(float(row["sionna_pathloss_db"]), abs=0.01)
        assert model.shadow(los) == (
            float(row["ns3_shadow_std_db"]),
            float(row["ns3_shadow_corr_dist_m"]),
        )


def test_umi_line_of_sight_probability_equals_38901() -> None:
    model = UmiStreetCanyon()
    table = rows("los_probability.csv")
    assert len(table) > 10
    for row in table:
        probability = model.los_probability(
            float(row["d2d_m"]), float(row["h_bs_m"]), float(row["h_ut_m"])
        )
        assert probability == pytest.approx(float(row["ns3_p_los"]), abs=1e-8)


def test_free_space_and_log_distance_equal_the_table() -> None:
    checked = 0
    for row in rows("propagation_basic.csv"):
        model: PathLoss = FreeSpace()
        if row["model"] == "LogDistance":
            exponent = float(row["params"].split(";")[0].removeprefix("n="))
            model = LogDistance(exponent=exponent)
        loss_db = model.loss_db(
            float(row["d2d_m"]),
            float(row["h_tx_m"]),
            float(row["h_rx_m"]),
            float(row["fc_ghz"]) * 1e9,
            True,
        )
        assert loss_db == pytest.approx(float(row["pathloss_db"]), abs=1e-5)
        checked += 1
    assert checked > 100


def test_log_distance_is_free_space_up_to_its_reference_distance() -> None:
    model = LogDistance(exponent=4.0, reference_m=10.0)
    distance_m = np.array([2.0, 10.0, 100.0])
    excess_db = model.loss_db(distance_m, 1.5, 1.5, 2e9, True) - FreeSpace().loss_db(
        distance_m, 1.5, 1.5, 2e9, True
    )
    assert excess_db == pytest.approx([0.0, 0.0, 20.0], abs=1e-12)


@pytest.mark.parametrize("model", MODELS)
def test_contract(model: PathLoss) -> None:
    distance_m = np.geomspace(0.01, 5000.0, 400)
    heights_m = np.array([[1.5], [10.0]])
    for los in (True, False):
        loss_db = model.loss_db(distance_m, heights_m, 1.7, 3.5e9, los)
        assert loss_db.shape == (2, 400)
        assert np.all(np.diff(loss_db) > -1e-9)
        # Both directions are one link.
        assert np.array_equal(loss_db, model.loss_db(distance_m, 1.7, heights_m, 3.5e9, los))
        # Antennas closer than 1 m count as 1 m apart.
        assert np.ptp(loss_db[0, distance_m < 0.9]) == 0.0
        sigma_db, correlation_m = model.shadow(los)
        assert sigma_db >= 0.0
        assert correlation_m > 0.0
    assert np.all(
        model.loss_db(distance_m, 1.5, 1.7, 3.5e9, False)
        >= model.loss_db(distance_m, 1.5, 1.7, 3.5e9, True)
    )
    probability = model.los_probability(distance_m, heights_m, 1.7)
    assert probability.shape == (2, 400)
    assert np.all((probability > 0.0) & (probability <= 1.0))
    assert np.all(np.diff(probability) <= 0.0)
    assert model.los_correlation_m > 0.0


def test_umi_is_continuous_at_the_break_point() -> None:
    # 4 (h_tx - 1) (h_rx - 1) f / c = 280 m
    break_m = 4 * 9.0 * 0.5 * 3.5e9 / 3e8
    edge_m = break_m * np.array([1 - 1e-9, 1 + 1e-9])
    assert np.ptp(UmiStreetCanyon().loss_db(edge_m, 10.0, 1.5, 3.5e9, True)) < 1e-6


def test_umi_says_where_it_is_an_extrapolation() -> None:
    model = UmiStreetCanyon()
    assert model.notes(10.0, 1.5, 3.5e9) == []
    between_devices, *others = model.notes(1.5, 1.5, 3.5e9)
    assert "extrapolation" in between_devices
    assert not others
    assert any("1.5 to 22.5 m" in note for note in model.notes(10.0, 1.2, 3.5e9))
    assert any("0.5 to 100 GHz" in note for note in model.notes(10.0, 1.5, 0.4e9))


def test_errors_name_thing_rule_and_value() -> None:
    with pytest.raises(ValueError, match=r"above the effective environment height.*got 1$"):
        UmiStreetCanyon().loss_db(100.0, 10.0, 1.0, 3.5e9, True)
    with pytest.raises(ValueError, match=r"exponent must be positive, got -1\.0"):
        LogDistance(exponent=-1.0)
    with pytest.raises(ValueError, match=r"reference_m must be at least 1 m, got 0\.5"):
        LogDistance(reference_m=0.5)
