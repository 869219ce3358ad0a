"""Radios: the Shannon bound, NR tables, segmentation, mutual information and block errors."""

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from reference_tables import rows

from wnsim.phy import PHY, Modem, NrMcs, Outcome, Phy, Shannon, Slots
from wnsim.phy.bicm import SNR_STEP_DB, information, snr_grid_db
from wnsim.phy.coding import code_block_error, repetition, segment, transport_block_error
from wnsim.phy.formats import schemes
from wnsim.phy.modem import IDLE, NEW, NEW_LOST, REPEATED, REPEATED_LOST
from wnsim.phy.nr import usable_db
from wnsim.phy.transport_block import elements, resource_blocks, transport_bits
from wnsim.scenario.errors import ScenarioError
from wnsim.scenario.simulation.build import build_world
from wnsim.scenario.spec.schema import Scenario

Floats = NDArray[np.float64]
W = 20e6
BLOCK_NS = 1_000_000
MODEMS = {
    "shannon": Shannon(),
    "shannon-gap": Shannon(gap_db=3.0, bler=0.1, max_bps_hz=6.0),
    "nr": NrMcs(),
    "nr-256": NrMcs(table=2),
    "nr-1024": NrMcs(table=4, subcarrier_hz=30000),
    "nr-chase": NrMcs(harq="chase", harq_processes=4, max_transmissions=3),
    "nr-no-harq": NrMcs(harq="none", outer_step_db=0.0),
}


def at_db(table: Floats, level_db: float) -> float:
    return float(np.interp(level_db, snr_grid_db(), table))


def constant(
    modem: Modem,
    snr: Floats,
    *,
    known: Floats | None = None,
    slots: int = 64,
    share: float = 1.0,
    draws: Floats | None = None,
    size_bits: int = 10**12,
    seed: int = 0,
) -> Outcome:
    """Return the outcome of slots of links (L,) at constant SINR."""
    links = snr.size
    held = np.broadcast_to(snr[:, None, None], (links, slots, 1))
    believed = held if known is None else np.broadcast_to(known[:, None, None], held.shape)
    if draws is None:
        draws = np.random.default_rng(seed).random((links, slots))
    state = modem.start(np.full(links, size_bits), np.zeros(links, dtype=bool))
    ones = np.ones((links, slots))
    return modem.scan(state, Slots(believed, held, share * ones, ones > 0, draws))


def linear(*levels_db: float) -> Floats:
    return 10 ** (np.array(levels_db) / 10)


# --- contract -------------------------------------------------------------------------------


def test_every_family_member_is_looked_at() -> None:
    assert {type(phy) for phy in MODEMS.values()} <= set(PHY.values())


@pytest.mark.parametrize("phy", [pytest.param(phy, id=name) for name, phy in MODEMS.items()])
def test_contract(phy: Phy) -> None:
    modem = phy.modem(W, 1, BLOCK_NS)
    level = 10 ** (np.linspace(-30, 50, 161) / 10)
    outcome = constant(modem, level)
    assert outcome.bits.shape == outcome.kind.shape == (161, 64)
    assert np.all((outcome.bits > 0) <= np.isin(outcome.kind, (NEW, REPEATED)))
    slot_s = modem.slot_ns * 1e-9
    # No scheme exceeds the bound.
    assert np.all(outcome.bits.sum(axis=1) <= 64 * W * slot_s * np.log2(1 + level))
    rate_bps = modem.rate_bps(level, np.ones(161))
    assert rate_bps.shape == level.shape
    assert np.all(np.diff(rate_bps) >= -0.1 * rate_bps[:-1])
    assert np.all(rate_bps <= W * np.log2(1 + level) * (1 + 1e-12))
    # The expected rate is the mean over many slots, without outer loop and repetitions.
    carried = outcome.bits.mean(axis=1) / slot_s
    assert np.all(carried[rate_bps > 1e6] > 0.6 * rate_bps[rate_bps > 1e6])
    # Without power or band nothing is carried.
    assert not constant(modem, np.zeros(2)).bits.any()
    assert not constant(modem, np.ones(2), share=0.0).bits.any()


@pytest.mark.parametrize("phy", [pytest.param(phy, id=name) for name, phy in MODEMS.items()])
@pytest.mark.parametrize("bands", [1, 3])
def test_looking_at_slots_at_once_or_one_by_one_is_the_same(phy: Phy, bands: int) -> None:
    draws = np.random.default_rng(5)
    links, slots = 6, 70
    modem = phy.modem(W, bands, BLOCK_NS)
    sinr = 10 ** (draws.normal(1.0, 0.7, (links, slots, bands)))
    known = sinr * 10 ** draws.normal(0.0, 0.2, (links, slots, bands))
    share = np.repeat(draws.choice([1.0, 0.5, 0.25], (links, 1)), slots, axis=1)
    share[0, 20:] = 1 / 3
    active = draws.random((links, slots)) < np.array([1, 1, 0.5, 0.2, 0.9, 0])[:, None]
    uniform = draws.random((links, slots))
    size = np.array([10**9, 200_000, 10**9, 50_000, 3000, 10**6])
    several = np.array([False, False, True, False, False, False])
    whole = modem.start(size, several)
    expected = modem.scan(whole, Slots(known, sinr, share, active, uniform))
    for cuts in ([1] * slots, [7, 1, 30, 32]):
        state = modem.start(size, several)
        begin, bits, kind = 0, [], []
        for length in cuts:
            part = slice(begin, begin + length)
            outcome = modem.scan(
                state,
                Slots(known[:, part], sinr[:, part], share[:, part], active[:, part],
                      uniform[:, part]),
            )  # fmt: skip
            bits.append(outcome.bits)
            kind.append(outcome.kind)
            begin += length
        assert np.array_equal(np.concatenate(bits, axis=1), expected.bits)
        assert np.array_equal(np.concatenate(kind, axis=1), expected.kind)
        assert state.tobytes() == whole.tobytes()
    assert not expected.kind[~active].any()
    # A link's outcome does not depend on the other links of the call.
    for link in range(links):
        alone = modem.start(size[[link]], several[[link]])
        one = slice(link, link + 1)
        outcome = modem.scan(
            alone, Slots(known[one], sinr[one], share[one], active[one], uniform[one])
        )
        assert np.array_equal(outcome.bits[0], expected.bits[link])


# --- Shannon --------------------------------------------------------------------------------


def test_shannon_rate() -> None:
    # log2(1 + 1) = 1 and log2(1 + 15) = 4 bit/s/Hz
    outcome = constant(Shannon().modem(1e6, 1, BLOCK_NS), np.array([1.0, 15.0]), slots=1)
    assert outcome.bits.tolist() == [[1000], [4000]]
    # A gap of 3 in power: log2(1 + 45/3) = 4; at most 3.5 of them; 10 % are lost.
    modem = Shannon(gap_db=10 * np.log10(3), max_bps_hz=3.5, bler=0.1).modem(1e6, 1, BLOCK_NS)
    draws = np.array([[0.099, 0.1, 0.5]])
    outcome = constant(modem, np.array([45.0]), slots=3, draws=draws)
    assert outcome.bits.tolist() == [[0, 3500, 3500]]
    assert outcome.kind.tolist() == [[NEW_LOST, NEW, NEW]]
    assert modem.rate_bps(np.array(45.0), np.array(1.0)) == pytest.approx(3.5e6 * 0.9)


def test_shannon_outage() -> None:
    modem = Shannon().modem(1e6, 1, BLOCK_NS)
    true, known = np.array([14.9, 15.0, 15.1]), np.full(3, 15.0)
    outcome = constant(modem, true, known=known, slots=1)
    assert outcome.bits.tolist() == [[0], [4000], [4000]]
    # A rate below the cap is carried although the channel holds less than was known.
    modem = Shannon(max_bps_hz=2.0).modem(1e6, 1, BLOCK_NS)
    assert constant(modem, true, known=known, slots=1).bits.tolist() == [[2000]] * 3


def test_shannon_adds_up_subbands() -> None:
    modem = Shannon().modem(1e6, 2, BLOCK_NS)
    sinr = np.array([[[1.0, 15.0]]])
    one = np.ones((1, 1))
    state = modem.start(np.array([1]), np.array([False]))
    assert modem.scan(state, Slots(sinr, sinr, one, one > 0, one)).bits.tolist() == [[2500]]


# --- NR -------------------------------------------------------------------------------------


@pytest.mark.parametrize("table", [1, 2, 3, 4])
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


def threshold_db(scheme: int, bits: float, gap_db: float, table: int = 1) -> float:
    """Return the SNR at which a code block of a scheme of a table fails with 10 %."""
    order, rate = (column[scheme] for column in schemes(table))
    mean, variance = information(int(order))
    symbols = np.full(mean.shape, bits / rate / order)
    error = code_block_error(np.full(mean.shape, bits), symbols, symbols * mean, symbols * variance)
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


def high_order_thresholds_db(order: int) -> tuple[Floats, Floats]:
    """Return the SNR of 10 % block errors of 2**order-QAM: by the radio, and simulated."""
    points: dict[tuple[int, int, int], list[tuple[float, float]]] = {}
    for row in rows("nr_ldpc_high_order_simulated.csv"):
        if int(row["qm"]) == order:
            case = (int(row["table"]), int(row["mcs"]), int(row["k_info_bits"]))
            points.setdefault(case, []).append((float(row["snr_db"]), float(row["bler"])))
    found_db, simulated_db = [], []
    for (table, mcs, bits), curve in points.items():
        snr_db, bler = np.array(curve).T
        simulated_db.append(float(np.interp(1.0, -np.log10(bler), snr_db)))
        found_db.append(threshold_db(mcs, float(bits), NrMcs().gap_db, table))
    return np.array(found_db), np.array(simulated_db)


@pytest.mark.parametrize(("order", "cases"), [(8, 3), (10, 2)])
def test_block_error_thresholds_of_256_and_1024_qam(order: int, cases: int) -> None:
    found_db, simulated_db = high_order_thresholds_db(order)
    assert found_db.size == cases
    # 400 blocks per point: 15 % of the errors at 10 %, or 0.03 dB; the gap is one for all.
    assert np.max(np.abs(found_db - simulated_db)) < 0.25


def repetition_thresholds_db() -> tuple[Floats, Floats]:
    """Return the SNR of 10 % block errors at rates below 1/5: by the radio, and simulated."""
    points: dict[tuple[int, int, int], list[tuple[float, float]]] = {}
    for row in rows("nr_ldpc_repetition_simulated.csv"):
        if float(row["bler"]) > 0.0:
            case = (int(row["mcs"]), int(row["k_info_bits"]), int(row["n_air_bits"]))
            points.setdefault(case, []).append((float(row["snr_db"]), float(row["bler"])))
    found_db, simulated_db = [], []
    for (_, k, n_air), curve in points.items():
        snr_db, bler = np.array(sorted(curve)).T
        simulated_db.append(float(np.interp(1.0, -np.log10(bler), snr_db)))
        # 16 bits of it are the CRC.
        times = float(repetition(k - 16, k / n_air, n_air))
        size = np.full(snr_grid_db().shape, float(k))
        mean, variance = information(2)
        symbols = n_air / 2 / times
        error = code_block_error(size, size * 0 + symbols, symbols * mean, symbols * variance)
        at_db = float(np.interp(-0.1, -error, snr_grid_db()))
        found_db.append(at_db - 10 * np.log10(times) + NrMcs().gap_db)
    return np.array(found_db), np.array(simulated_db)


def test_rates_below_the_mother_codes_are_repetitions_of_it() -> None:
    """Law: 5,200 bits of the mother code for 1,040 bits, sent 1.71 times at a rate of 120/1024."""
    assert repetition(1024, 120 / 1024, 8874) == pytest.approx(8874 / 5200)
    assert repetition(1024, 0.3, 3467) == 1.0
    # 512 bits have eight columns of information bits, and a mother code of a sixth.
    assert repetition(496, 0.1, 5120) == pytest.approx(5120 / 3072)
    found_db, simulated_db = repetition_thresholds_db()
    assert found_db.size == 3
    # As for codes that are not repeated.
    assert np.max(np.abs(found_db - simulated_db)) < 0.25


def test_block_error_falls_with_snr() -> None:
    for order, rate in zip(*schemes(1), strict=True):
        mean, variance = information(int(order))
        for symbols in (200.0, 4000.0):
            bits = np.full(mean.shape, symbols * order * rate)
            error = code_block_error(
                bits, np.full(mean.shape, symbols), symbols * mean, symbols * variance
            )
            assert np.all(np.diff(error) <= 1e-12)
            assert error[0] > 0.999
            assert error[-1] < 1e-9


def test_transport_block_fails_with_any_code_block() -> None:
    result = transport_block_error(np.array([0.0, 0.1, 1.0]), np.array([3, 3, 3]))
    assert result == pytest.approx([0.0, 1 - 0.9**3, 1.0], abs=1e-15)


def test_transport_block_sizes_equal_38214() -> None:
    for row in rows("nr_tbs.csv"):
        order, rate = (column[int(row["mcs"])] for column in schemes(int(row["table"])))
        size = transport_bits(elements(int(row["n_prb"]), 12), order, rate)
        assert int(size) == int(row["tb_size_bits"])


@pytest.mark.parametrize(
    ("bandwidth_hz", "subcarrier_hz", "frequency_range", "blocks"),
    [
        (20e6, 15e3, "fr1", 106),
        (20e6, 30e3, "fr1", 51),
        (100e6, 30e3, "fr1", 273),
        (10e6, 60e3, "fr1", 11),
        (100e6, 60e3, "fr1", 135),
        (100e6, 60e3, "fr2", 132),
        (100e6, 120e3, "fr2", 66),
        (400e6, 120e3, "fr2", 264),
        (1.4e6, 15e3, "fr1", 7),
    ],
)
def test_resource_blocks_of_a_band(
    bandwidth_hz: float, subcarrier_hz: float, frequency_range: str, blocks: float
) -> None:
    """TS 38.101-1 and 38.101-2, Tables 5.3.2-1; the last one is 90 % of its band."""
    assert resource_blocks(bandwidth_hz, subcarrier_hz, frequency_range) == blocks


@pytest.mark.parametrize(
    ("radio", "sentence"),
    [
        (
            "bandwidth_hz: 60e6",
            "at most 50 MHz at a subcarrier spacing of 15 kHz in FR1, got 60 MHz",
        ),
        ("bandwidth_hz: 20e6, frequency_hz: 28e9", "must be one of 60, 120 kHz in FR2, got 15 kHz"),
        (
            "bandwidth_hz: 20e6, phy: {model: nr, subcarrier_hz: 120000}",
            "must be one of 15, 30, 60 kHz in FR1, got 120 kHz",
        ),
    ],
)
def test_carriers_that_nr_does_not_have_are_refused(
    scenario_of: Callable[[str], Scenario], radio: str, sentence: str
) -> None:
    text = radio if "phy" in radio else f"{radio}, phy: {{model: nr}}"
    with pytest.raises(ScenarioError, match=sentence):
        build_world(scenario_of(f"name: s\ntraffic: {{size_bytes: 1000}}\nradio: {{{text}}}\n"))


def test_the_frequency_range_is_that_of_the_carrier() -> None:
    assert NrMcs().on_carrier(3.5e9).frequency_range == "fr1"
    assert NrMcs().on_carrier(28e9).frequency_range == "fr2"
    assert NrMcs(frequency_range="fr2").on_carrier(3.5e9).frequency_range == "fr2"


def test_the_smallest_transport_block_has_24_bits() -> None:
    """TS 38.214, clause 5.1.3.2: N'_info is at least 24 for any number of resource elements."""
    assert transport_bits(np.array([0.0, 6.0, 12.0, 100.0]), 2, 30 / 1024).tolist() == [
        0,
        24,
        24,
        24,
    ]


def test_effective_sinr_of_selective_channels() -> None:
    """Law: 10 % thresholds over 12 quantiles of an exponential law, simulated; within 0.3 dB."""
    quantile = -np.log(1 - (np.arange(12) + 0.5) / 12)
    quantile /= quantile.mean()
    for row in rows("effective_sinr_check.csv"):
        order, rate = (column[int(row["mcs"])] for column in schemes(1))
        symbols = 2000 / rate / order
        level_db = np.arange(-10.0, 25.0, 0.01)
        levels_db = usable_db(10 ** (level_db[:, None] / 10) * quantile, NrMcs())
        mean, variance = (
            np.interp(levels_db, snr_grid_db(), table).mean(axis=1)
            for table in information(int(order))
        )
        error = code_block_error(
            np.full(mean.shape, 2000.0), np.full(mean.shape, symbols), symbols * mean,
            symbols * variance,
        )  # fmt: skip
        found_db = level_db[int(np.argmax(error <= 0.1))]
        assert abs(found_db - float(row["simulated_db"])) < 0.3


@pytest.mark.parametrize("gap_db", [0.0, 0.25, 3.0])
def test_the_selective_gap_is_in_proportion_to_the_spread_of_subbands(gap_db: float) -> None:
    """Law: subbands x dB above and below a mean spread by x; those of Rayleigh fading, whose power
    is exponential, by pi / sqrt(6) 10 / ln 10 dB, above which the full gap applies."""
    phy = NrMcs(gap_db=1.0, selective_gap_db=gap_db)
    rayleigh_db = np.pi / np.sqrt(6) * 10 / np.log(10)
    for share in (0.0, 0.5, 1.0, 1.5):
        level_db = 20.0 + share * rayleigh_db * np.array([[1.0, -1.0]])
        expected_db = level_db - 1.0 - gap_db * min(share, 1.0)
        assert usable_db(10 ** (level_db / 10), phy) == pytest.approx(expected_db, abs=2e-3)
    # A flat channel has none.
    assert usable_db(np.array([[100.0]]), phy) == pytest.approx(19.0)


def first_losses(phy: NrMcs, level_db: Floats) -> tuple[Floats, Floats]:
    """Return the bits of first transmissions at constant SNRs, and how likely they are lost."""
    modem = phy.modem(W, 1, BLOCK_NS)
    outcome = constant(modem, linear(*level_db), slots=1, draws=np.ones((level_db.size, 1)))
    # The expected goodput is that of first transmissions: bits (1 - loss).
    bits = outcome.bits[:, 0].astype(float)
    goodput = modem.rate_bps(linear(*level_db), np.ones(level_db.size)) * modem.slot_ns * 1e-9
    return bits, 1 - goodput / np.where(bits > 0, bits, np.nan)


@pytest.mark.parametrize("table", [1, 2, 3, 4])
def test_link_adaptation_takes_the_highest_scheme_within_the_target(table: int) -> None:
    level_db = np.arange(-12.0, 38.0, 0.05)
    bits, lost = first_losses(NrMcs(table=table), level_db)
    assert np.nanmax(lost) <= 0.1 * (1 + 1e-6)
    order, rate = schemes(table)
    sizes = transport_bits(elements(106, 12), order, rate)
    assert set(bits.tolist()) <= {0.0, *sizes.astype(float).tolist()}
    assert bits[-1] == sizes[-1]
    # Each step up happens as soon as the next scheme is good for it: errors come close to 10 %.
    steps = np.flatnonzero(np.diff(bits) > 0)
    assert np.all(lost[steps + 1] > 0.01)


def test_a_stricter_target_sends_less_and_loses_less() -> None:
    level_db = np.arange(0.0, 25.0, 0.1)
    bits, lost = first_losses(NrMcs(), level_db)
    fewer, better = first_losses(NrMcs(target_bler=1e-3), level_db)
    # Scheme 17 of table 1 carries 0.15 % less than 16, the highest of 16-QAM.
    assert np.all(fewer <= bits * 1.0016)
    assert np.any(fewer < bits)
    assert np.nanmax(better) <= 1e-3 * (1 + 1e-6)
    assert np.nanmax(better) < np.nanmax(lost)


# --- HARQ and the outer loop ------------------------------------------------------------------


def lost_after(harq: str, max_transmissions: int, margin_db: float) -> tuple[float, float]:
    """Return the share of blocks lost for good, and of first ones, far below what is believed."""
    phy = NrMcs(harq=harq, max_transmissions=max_transmissions, outer_step_db=0.0, harq_processes=4)
    modem = phy.modem(W, 1, BLOCK_NS)
    known = linear(*[10.0] * 200)
    kind = constant(modem, known * 10 ** (-margin_db / 10), known=known, slots=400).kind
    first = np.isin(kind, (NEW, NEW_LOST)).sum()
    arrived = np.isin(kind, (NEW, REPEATED)).sum()
    return 1 - arrived / first, float((kind == NEW_LOST).sum() / first)


@pytest.mark.parametrize("harq", ["ir", "chase", "none"])
def test_a_repetition_of_which_nothing_is_heard_is_of_no_use(harq: str) -> None:
    """Law: nothing arrives in slots without a signal, though it was lost by a hair before."""
    modem = NrMcs(harq=harq, harq_processes=1, outer_step_db=0.0).modem(W, 1, BLOCK_NS)
    links, slots = 5000, 4
    known = np.broadcast_to(linear(10.0), (links, slots, 1))
    sinr = linear(9.7) * np.array([1.0, 0.0, 0.0, 0.0])[None, :, None] + np.zeros(known.shape)
    ones = np.ones((links, slots))
    state = modem.start(np.full(links, 10**12), np.zeros(links, dtype=bool))
    draws = np.random.default_rng(1).random((links, slots))
    found = modem.scan(state, Slots(known, sinr, ones, ones > 0, draws))
    assert 50 < (found.kind[:, 0] == NEW_LOST).sum() < 1000
    assert not found.bits[:, 1:].any()


@pytest.mark.parametrize("harq", ["ir", "chase"])
def test_combining_two_transmissions_is_worth_three_decibels(harq: str) -> None:
    """Law: two equal transmissions carry the information of one at twice the SNR (chase), or at
    least that (incremental redundancy): blocks 2 dB too bold arrive, 5 dB too bold do not."""
    lost, first = lost_after(harq, 2, 2.0)
    assert first > 0.99
    assert lost < 0.02
    assert lost_after("chase", 2, 5.0)[0] > 0.97


def test_incremental_redundancy_beats_chase_combining() -> None:
    assert lost_after("ir", 2, 3.2)[0] < lost_after("chase", 2, 3.2)[0]


def test_chase_combining_equals_the_table_at_the_sum_of_the_snrs() -> None:
    """Law: the share lost after n chase transmissions is the first-transmission BLER at n SNR."""
    order, rate = schemes(1)
    modem = NrMcs().modem(W, 1, BLOCK_NS)
    bits = int(constant(modem, linear(10.0), slots=1, draws=np.ones((1, 1))).bits[0, 0])
    sizes = transport_bits(elements(106, 12), order, rate)
    scheme = int(np.flatnonzero(sizes == bits)[0])
    count, block_bits = segment(bits, rate[scheme])
    symbols = float(elements(106, 12)) / float(count)
    for margin_db in (2.6, 2.9, 3.2):
        at = 10.0 - margin_db + 10 * np.log10(2) - NrMcs().gap_db
        mean, variance = (at_db(table, at) for table in information(int(order[scheme])))
        one = code_block_error(
            np.array(float(block_bits)), np.array(symbols), np.array(symbols * mean),
            np.array(symbols * variance),
        )  # fmt: skip
        expected = float(transport_block_error(one, count))
        lost, _ = lost_after("chase", 2, margin_db)
        # 40,000 blocks at least: four standard deviations.
        assert abs(lost - expected) < 4 * np.sqrt(max(expected * (1 - expected), 1e-4) / 30_000)


def test_a_block_is_repeated_one_round_later_and_not_too_often() -> None:
    phy = NrMcs(harq_processes=3, max_transmissions=2, outer_step_db=0.0)
    modem = phy.modem(W, 1, BLOCK_NS)
    # Everything is lost.
    outcome = constant(modem, linear(10.0), slots=9, draws=np.zeros((1, 9)))
    new, again = [NEW_LOST] * 3, [REPEATED_LOST] * 3
    # With nearly no errors even a draw of zero means that the block arrives after combining.
    assert outcome.kind[0, :3].tolist() == new
    outcome = constant(modem, linear(1.0), known=linear(20.0), slots=9, draws=np.zeros((1, 9)))
    assert outcome.kind[0].tolist() == new + again + new


def test_no_more_is_sent_than_is_due() -> None:
    modem = NrMcs(harq_processes=4).modem(W, 1, BLOCK_NS)
    one = int(constant(modem, linear(20.0), slots=1, draws=np.ones((1, 1))).bits[0, 0])
    outcome = constant(modem, linear(20.0), slots=12, size_bits=2 * one + 1, draws=np.ones((1, 12)))
    assert outcome.kind[0].tolist() == [NEW] * 3 + [IDLE] * 9


@pytest.mark.parametrize("target", [0.02, 0.1, 0.3])
@pytest.mark.parametrize("error_db", [-3.0, 0.0, 4.0])
def test_the_outer_loop_meets_its_target_whatever_is_believed(
    target: float, error_db: float
) -> None:
    """Law: in balance, up steps times arrivals equal down steps times losses."""
    draws = np.random.default_rng(3)
    modem = NrMcs(target_bler=target).modem(W, 1, BLOCK_NS)
    links, slots = 40, 4000
    true = 10 ** (draws.normal(12.0, 2.0, (links, slots, 1)) / 10)
    known = np.full((links, slots, 1), 10 ** ((12.0 + error_db) / 10))
    state = modem.start(np.full(links, 10**12), np.zeros(links, dtype=bool))
    ones = np.ones((links, slots))
    kind = modem.scan(state, Slots(known, true, ones, ones > 0, draws.random((links, slots)))).kind[
        :, 1000:
    ]
    first = np.isin(kind, (NEW, NEW_LOST)).sum()
    assert (kind == NEW_LOST).sum() / first == pytest.approx(target, rel=0.1)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Shannon(gap_db=-1.0), r"gap_db must be at least 0 dB, got -1\.0"),
        (lambda: Shannon(max_bps_hz=0.0), r"max_bps_hz must be positive, got 0\.0"),
        (lambda: Shannon(bler=1.0), r"bler must be at least 0 and below 1, got 1\.0"),
        (lambda: NrMcs(target_bler=0.0), r"target_bler must be between 0 and 1, got 0\.0"),
        (lambda: NrMcs(gap_db=-0.1), r"gap_db must be at least 0 dB, got -0\.1"),
        (lambda: NrMcs(overhead_elements=168), r"overhead_elements must be from 0 to 167, got 168"),
        (lambda: NrMcs(max_transmissions=0), r"transmissions must be from 1 to 16, got 0"),
        (lambda: NrMcs(harq_processes=65), r"processes must be from 1 to 64, got 65"),
        (lambda: NrMcs(outer_step_db=-1.0), r"outer_step_db must be from 0 to 10 dB, got -1\.0"),
    ],
)
def test_errors(make: type[Phy], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()
