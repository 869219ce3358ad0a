"""Radios: the Shannon bound, NR tables, segmentation, mutual information and block errors."""

import numpy as np
import pytest
from numpy.typing import NDArray
from reference_tables import rows

from wnsim.phy import PHY, NrMcs, Phy, Shannon
from wnsim.phy.bicm import SNR_STEP_DB, information, snr_grid_db
from wnsim.phy.coding import code_block_error, segment, transport_block_error
from wnsim.phy.nr import schemes

Floats = NDArray[np.float64]
BANDWIDTH_HZ = np.array([[5e6], [20e6]])
RADIOS = [pytest.param(made(), id=name) for name, made in PHY.items()]


def snr(*levels_db: float) -> Floats:
    return np.array([[10 ** (level / 10) for level in levels_db]] * 2)


def at_db(table: Floats, level_db: float) -> float:
    return float(np.interp(level_db, snr_grid_db(), table))


# --- contract -------------------------------------------------------------------------------


@pytest.mark.parametrize("phy", RADIOS)
def test_contract(phy: Phy) -> None:
    level = 10 ** (np.linspace(-40, 60, 401) / 10) * np.ones((2, 1))
    bits, error = phy.blocks(level, level, BANDWIDTH_HZ, 1e-3)
    assert bits.shape == error.shape == level.shape
    assert bits.dtype == np.int64
    assert np.all(bits >= 0)
    assert np.all((error >= 0.0) & (error <= 1.0))
    assert np.all(error[bits == 0] == 0.0)
    # Nobody does better than the bound.
    assert np.all(bits * (1 - error) <= BANDWIDTH_HZ * 1e-3 * np.log2(1 + level))
    rate_bps = phy.rate_bps(level, BANDWIDTH_HZ)
    assert rate_bps.shape == level.shape
    # A step up in rate may begin with the target of 10 % errors.
    assert np.all(np.diff(rate_bps) >= -0.1 * rate_bps[:, :-1])
    # More SNR than was known does no harm, less does.
    better = phy.blocks(level, level * 4, BANDWIDTH_HZ, 1e-3)[1]
    worse = phy.blocks(level, level / 4, BANDWIDTH_HZ, 1e-3)[1]
    assert np.all(better <= error)
    assert np.all(worse >= error)
    # Without room above the highest rate, 6 dB too optimistic a choice is lost.
    assert np.all(worse[(bits > 0) & (level < 100.0)] > 0.9)


@pytest.mark.parametrize("phy", RADIOS)
def test_no_power_or_no_bandwidth_carries_nothing(phy: Phy) -> None:
    for level, bandwidth_hz in ((np.zeros((2, 1)), BANDWIDTH_HZ), (snr(10.0), 0 * BANDWIDTH_HZ)):
        bits, error = phy.blocks(level, level, bandwidth_hz, 1e-3)
        assert not bits.any()
        assert not error.any()
        assert not phy.rate_bps(level, bandwidth_hz).any()


# --- Shannon --------------------------------------------------------------------------------


def test_shannon_rate() -> None:
    # log2(1 + 1) = 1 and log2(1 + 15) = 4 bit/s/Hz
    level = np.array([[1.0, 15.0]])
    bits, error = Shannon().blocks(level, level, np.array([[1e6]]), 1e-3)
    assert bits.tolist() == [[1000, 4000]]
    assert not error.any()
    # A gap of 3 in power: log2(1 + 45/3) = 4; at most 3.5 of them; 10 % are lost.
    radio = Shannon(gap_db=10 * np.log10(3), max_bps_hz=3.5, bler=0.1)
    bits, error = radio.blocks(np.array([[45.0]]), np.array([[45.0]]), np.array([[1e6]]), 1e-3)
    assert bits.tolist() == [[3500]]
    assert error.tolist() == [[0.1]]
    assert radio.rate_bps(np.array(45.0), np.array(1e6)) == pytest.approx(3.5e6 * 0.9)


def test_shannon_outage() -> None:
    known = np.full((1, 3), 15.0)
    true = np.array([[14.9, 15.0, 15.1]])
    bits, error = Shannon(bler=0.02).blocks(known, true, np.array([[1e6]]), 1e-3)
    assert bits.tolist() == [[4000, 4000, 4000]]
    assert error.tolist() == [[1.0, 0.02, 0.02]]
    # A rate below the cap is carried although the channel holds less than was known.
    _, error = Shannon(max_bps_hz=2.0).blocks(known, true, np.array([[1e6]]), 1e-3)
    assert not error.any()


# --- NR -------------------------------------------------------------------------------------


@pytest.mark.parametrize("table", [1, 2, 3])
def test_schemes_equal_38214(table: int) -> None:
    reference = [
        row
        for row in rows("nr_mcs_tables.csv")
        if row["channel"] == "PDSCH" and row["table"] == str(table)
    ]
    order, rate = schemes(table)
    assert order.tolist() == [int(row["modulation_order"]) for row in reference]
    # The reference writes six decimals of rates that are multiples of 1/2048.
    assert rate == pytest.approx([float(row["code_rate"]) for row in reference], abs=5.1e-7)
    assert np.all(rate * 2048 == np.round(rate * 2048))


def test_segmentation_equals_38212() -> None:
    for row in rows("nr_tbs.csv"):
        rate = schemes(int(row["table"]))[1][int(row["mcs"])]
        count, bits = segment(int(row["tb_size_bits"]), rate)
        assert int(count) == int(row["num_cb"])
        assert float(bits) == float(row["cb_size_bits"])


@pytest.mark.parametrize(("order", "slope"), [(2, 1.0), (4, 4 / 5), (6, 16 / 21), (8, 64 / 85)])
def test_mutual_information_at_low_and_high_snr(order: int, slope: float) -> None:
    # With Gray labels only the sign bit of each dimension moves the mean of the symbols, by 2^m/2
    # levels out of a mean square of (4^m - 1)/3: I ~ slope log2(e) SNR.
    mean, variance = information(order)
    assert at_db(mean, -30.0) / 1e-3 == pytest.approx(slope / np.log(2), rel=5e-3)
    assert at_db(variance, -30.0) / 1e-3 == pytest.approx(2 * slope / np.log(2) ** 2, rel=2e-2)
    assert at_db(mean, 50.0) == pytest.approx(order, abs=1e-6)
    assert at_db(variance, 50.0) == pytest.approx(0.0, abs=1e-6)
    assert np.all(np.diff(mean) > -1e-12)
    assert np.all(mean <= np.log2(1 + 10 ** (snr_grid_db() / 10)))


def test_mutual_information_of_bpsk() -> None:
    # Each dimension of QPSK is BPSK: 1 - E[log2(1 + exp(-2 s^2 - 2 s n))] with s^2 the SNR.
    for level_db in (-10.0, 0.0, 5.0):
        s = np.sqrt(10 ** (level_db / 10))
        n = np.linspace(-12, 12, 200_001)
        weight = np.exp(-(n**2) / 2) / np.sqrt(2 * np.pi) * (n[1] - n[0])
        loss = np.logaddexp(0, -2 * s**2 - 2 * s * n) / np.log(2)
        mean, second = np.sum(weight * (1 - loss)), np.sum(weight * (1 - loss) ** 2)
        assert at_db(information(2)[0], level_db) == pytest.approx(2 * mean, abs=1e-4)
        assert at_db(information(2)[1], level_db) == pytest.approx(2 * (second - mean**2), abs=1e-4)


def threshold_db(scheme: int, bits: float, gap_db: float) -> float:
    """Return the SNR at which a code block fails with 10 %, the rate being that of table 1."""
    order, rate = (column[scheme] for column in schemes(1))
    mean, variance = information(int(order))
    error = code_block_error(
        np.full(mean.shape, bits), np.full(mean.shape, bits / rate / order), mean, variance
    )
    # The first crossing from above.
    place = int(np.argmax(error <= 0.1))
    part = (error[place - 1] - 0.1) / (error[place - 1] - error[place])
    return float(snr_grid_db()[place - 1] + SNR_STEP_DB * part + gap_db)


def test_block_error_thresholds_of_simulated_ldpc() -> None:
    table = rows("bler_threshold_10pct.csv")
    gap_db = NrMcs().gap_db
    deviation_db = np.array(
        [
            threshold_db(int(row["mcs"]), float(row["k_bits"]), gap_db) - float(row["simulated_db"])
            for row in table
        ]
    )
    assert deviation_db.size == 8
    assert np.max(np.abs(deviation_db)) < 0.25
    assert np.mean(np.abs(deviation_db)) < 0.12


def test_block_error_falls_with_snr() -> None:
    for order, rate in zip(*schemes(1), strict=True):
        mean, variance = information(int(order))
        for symbols in (200.0, 4000.0):
            bits = np.full(mean.shape, symbols * order * rate)
            error = code_block_error(bits, np.full(mean.shape, symbols), mean, variance)
            assert np.all(np.diff(error) <= 1e-12)
            assert error[0] > 0.999
            assert error[-1] < 1e-9


def test_transport_block_fails_with_any_code_block() -> None:
    result = transport_block_error(np.array([0.0, 0.1, 1.0]), np.array([3, 3, 3]))
    assert result == pytest.approx([0.0, 1 - 0.9**3, 1.0], abs=1e-15)


@pytest.mark.parametrize("table", [1, 2, 3])
def test_link_adaptation_takes_the_highest_scheme_within_the_target(table: int) -> None:
    radio = NrMcs(table=table)
    level = snr(*np.arange(-12.0, 32.0, 0.05))
    bits, error = radio.blocks(level, level, BANDWIDTH_HZ, 1e-3)
    assert np.all(error <= 0.1 * (1 + 1e-6))
    order, rate = schemes(table)
    # 168 resource elements in 180 kHz and 1 ms, one symbol of 14 for reference signals.
    elements = BANDWIDTH_HZ * 1e-3 * (168 / 180) * (13 / 14)
    carried = np.floor(elements * order * rate)
    for link in range(2):
        assert set(bits[link].tolist()) <= {0, *carried[link].astype(int).tolist()}
    assert bits[:, -1].tolist() == carried[:, -1].tolist()
    # Each step up happens as soon as the next scheme is good for it: errors come close to 10 %.
    steps = np.flatnonzero(np.diff(bits[1]) > 0)
    assert np.all(error[1, steps + 1] > 0.01)


def test_a_stricter_target_sends_less_and_loses_less() -> None:
    level = snr(*np.arange(0.0, 25.0, 0.1))
    bits, error = NrMcs().blocks(level, level, BANDWIDTH_HZ, 1e-3)
    fewer, better = NrMcs(target_bler=1e-3).blocks(level, level, BANDWIDTH_HZ, 1e-3)
    # Scheme 17 of table 1 carries 0.15 % less than 16, the highest of 16-QAM.
    assert np.all(fewer <= bits * 1.0016)
    assert np.any(fewer < bits)
    assert np.max(better) <= 1e-3 * (1 + 1e-6)
    assert np.max(better) < np.max(error)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Shannon(gap_db=-1.0), r"gap_db must be at least 0 dB, got -1\.0"),
        (lambda: Shannon(max_bps_hz=0.0), r"max_bps_hz must be positive, got 0\.0"),
        (lambda: Shannon(bler=1.0), r"bler must be at least 0 and below 1, got 1\.0"),
        (lambda: NrMcs(target_bler=0.0), r"target_bler must be between 0 and 1, got 0\.0"),
        (lambda: NrMcs(gap_db=-0.1), r"gap_db must be at least 0 dB, got -0\.1"),
        (lambda: NrMcs(overhead=1.0), r"overhead must be at least 0 and below 1, got 1\.0"),
    ],
)
def test_errors(make: type[Phy], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()
