"""Wi-Fi radios: rates, durations, the codes' weights, and errors against other simulators."""

import numpy as np
import pytest
from reference_tables import rows

from wnsim.mac import MAC, Csma, Ofdma
from wnsim.mac.csma import require_match
from wnsim.phy import PHY, Shannon, Wifi
from wnsim.phy.bicm import information, snr_grid_db
from wnsim.phy.wifi import BANDWIDTH_HZ
from wnsim.phy.wifi_coding import _SPECTRA
from wnsim.phy.wifi_formats import STANDARDS, Scheme, preamble_ns, schemes

BITS = 1400 * 8
PUNCTURED = {
    6: [(1, 1)],
    8: [(1, 1), (1, 0)],
    9: [(1, 1), (1, 0), (0, 1)],
    10: [(1, 1), (1, 0), (0, 1), (1, 0), (0, 1)],
}
SIMULATED = rows("wifi_viterbi_simulated.csv")


def scheme(standard: str, rate_mbps: float, decoding: str = "soft") -> Scheme:
    found = [
        each
        for each in schemes(standard, decoding=decoding)
        if abs(each.rate_bps / 1e6 - rate_mbps) < 0.01
    ]
    assert len(found) == 1
    return found[0]


def db(ratio: float) -> float:
    return float(10 * np.log10(ratio))


def test_rates() -> None:
    legacy = [each.rate_bps / 1e6 for each in schemes("a")]
    assert legacy == pytest.approx([6, 9, 12, 18, 24, 36, 48, 54])
    long = [each.rate_bps / 1e6 for each in schemes("n")]
    assert long == pytest.approx([6.5, 13, 19.5, 26, 39, 52, 58.5, 65])
    short = [each.rate_bps / 1e6 for each in schemes("n", guard_ns=400)]
    assert short == pytest.approx([7.2, 14.4, 21.7, 28.9, 43.3, 57.8, 65, 72.2], abs=0.05)


# IEEE 802.11-2020, 21.5 and IEEE 802.11ax-2021, 27.5, as rounded there: width [MHz], guard interval
# [ns], streams, and rates [Mbit/s] by MCS; None where there is no such scheme.
TABLES = [
    ("n", 40, 400, 1, (15, 30, 45, 60, 90, 120, 135, 150)),
    ("n", 20, 800, 4, (26, 52, 78, 104, 156, 208, 234, 260)),
    ("ac", 20, 800, 1, (6.5, 13, 19.5, 26, 39, 52, 58.5, 65, 78, None)),
    ("ac", 20, 800, 3, (19.5, 39, 58.5, 78, 117, 156, 175.5, 195, 234, 260)),
    ("ac", 80, 800, 1, (29.3, 58.5, 87.8, 117, 175.5, 234, 263.3, 292.5, 351, 390)),
    ("ac", 80, 400, 3, (97.5, 195, 292.5, 390, 585, 780, None, 975, 1170, 1300)),
    ("ac", 160, 400, 2, (130, 260, 390, 520, 780, 1040, 1170, 1300, 1560, 1733.3)),
    ("ax", 20, 800, 1, (8.6, 17.2, 25.8, 34.4, 51.6, 68.8, 77.4, 86, 103.2, 114.7, 129, 143.4)),
    ("ax", 40, 3200, 1, (14.6, 29.3, 43.9, 58.5, 87.8, 117, 131.6, 146.3, 175.5, 195, 219.4,
                         243.8)),
    ("ax", 80, 800, 1, (36, 72.1, 108.1, 144.1, 216.2, 288.2, 324.3, 360.3, 432.4, 480.4, 540.4,
                        600.5)),
    ("ax", 160, 1600, 4, (272.2, 544.4, 816.7, 1088.9, 1633.3, 2177.8, 2450, 2722.2, 3266.7,
                          3629.6, 4083.3, 4537)),
]  # fmt: skip


@pytest.mark.parametrize(("standard", "width", "guard", "streams", "rates"), TABLES)
def test_rates_are_those_of_the_standards_tables(
    standard: str, width: int, guard: int, streams: int, rates: tuple[float | None, ...]
) -> None:
    found = {
        each.mcs: each.rate_bps / 1e6
        for each in schemes(standard, width, guard, streams)
        if each.streams == streams
    }
    assert found == pytest.approx({m: r for m, r in enumerate(rates) if r is not None}, abs=0.061)


def test_preambles() -> None:
    """HT-mixed, VHT and HE: legacy part of 20 us, signal fields, one training symbol per stream."""
    assert [preamble_ns("n", n, 800) for n in (1, 2, 3)] == [36_000, 40_000, 48_000]
    assert [preamble_ns("ac", n, 800) for n in (1, 4)] == [40_000, 52_000]
    # 20 + 4 + 8 + 4 us, and training symbols of 6.4 + 0.8 or 12.8 + 3.2 us.
    assert [preamble_ns("ax", 1, guard) for guard in (800, 3200)] == [43_200, 52_000]


def test_schemes_and_symbols_are_those_of_ns3() -> None:
    """The same schemes exist, and take as many symbols of equal length.

    ns-3 leaves out VHT-SIG-B, trains HE in symbols of 8 us whatever the guard interval, and ends
    frames with short guard intervals off the grid: its preambles are subtracted, and these ends
    rounded up.
    """
    table = rows("wifi_durations_ns3.csv")
    keys = ("standard", "mcs", "width_mhz", "guard_ns", "streams")
    known = {tuple(row[key] for key in keys): row for row in table}
    found = {
        (name, str(each.mcs), str(width), str(guard), str(each.streams)): each
        for name, kind in STANDARDS.items() if name != "a"
        for width in kind.subcarriers for guard in kind.guards_ns
        for each in schemes(name, width, guard, 3) if each.streams in (1, 3)
    }  # fmt: skip
    assert set(found) == set(known)
    for key, row in known.items():
        name, _, _, guard, streams = key
        trained = {"1": 1, "3": 4}[streams]
        theirs_ns = {
            "n": 32_000 + 4_000 * trained, "ac": 32_000 + 4_000 * trained,
            "ax": 36_000 + 8_000 * trained,
        }[name]  # fmt: skip
        data_ns = int(row["duration_ns"]) - theirs_ns
        if guard == "400":
            data_ns = -(-data_ns // 4_000) * 4_000
        each = found[key]
        assert each.duration_ns(8 * int(row["size_bytes"])) - each.preamble_ns == data_ns


def test_errors_up_to_256_qam_are_those_of_link_simulations() -> None:
    """Tolerance: the tables are for 0.25 dB steps, and the union bound is good to 0.3 dB."""
    for mcs in range(10):
        part = [row for row in rows("wifi_he_per_ns3.csv") if int(row["mcs"]) == mcs]
        log = -np.log([float(row["per"]) for row in part])
        (frame,) = (each for each in schemes("ax") if each.mcs == mcs)
        for error in (0.1, 0.01):
            there_db = np.interp(-np.log(error), log, [float(row["snr_db"]) for row in part])
            assert abs(db(frame.threshold(BITS, error)) - there_db) < 0.4


def test_parity_checks_are_those_of_link_simulations() -> None:
    """The SNR of one loss in ten is calibrated, and the slope common to all schemes.

    Tolerance: of the interpolation of 0.25 dB steps, and of the same shape for all schemes.
    """
    for mcs in range(12):
        part = [row for row in rows("wifi_ldpc_per_ns3.csv") if int(row["mcs"]) == mcs]
        log = -np.log([float(row["per"]) for row in part])
        (frame,) = (each for each in schemes("ax", decoding="parity-checks") if each.mcs == mcs)
        for error in (0.8, 0.5, 0.2, 0.1, 0.05, 0.01, 0.003):
            there_db = np.interp(-np.log(error), log, [float(row["snr_db"]) for row in part])
            off_db = db(frame.threshold(8 * 1458, error)) - there_db
            assert abs(off_db) < (0.02 if error == 0.1 else 0.12)


def test_parity_checks_are_better_than_the_other_code_and_obey_the_limit() -> None:
    """Law: no code carries more than the mean information of its modulation."""
    for standard in ("n", "ac", "ax"):
        pairs = zip(schemes(standard), schemes(standard, decoding="parity-checks"), strict=True)
        for other, frame in pairs:
            gain_db = db(other.threshold(BITS, 0.1)) - db(frame.threshold(BITS, 0.1))
            assert 0.5 < gain_db < 3.0
            order, twelfths = max(frame._order, 2), frame._twelfths
            needed = twelfths / 12 * order
            limit_db = np.interp(needed, information(order)[0], snr_grid_db())
            limit_db -= db(2.0) if frame._order == 1 else 0.0
            assert db(frame.threshold(BITS, 0.1)) > limit_db


def test_acknowledgements_are_in_the_convolutional_code() -> None:
    radio = Wifi(standard="ax", code="ldpc").rates(80e6)
    plain = Wifi(standard="ax").rates(80e6)
    snr = np.logspace(-1, 3, 50)
    for data in plain.schemes:
        assert list(radio.control(data).error(snr, 256)) == list(
            plain.control(data).error(snr, 256)
        )
    with pytest.raises(ValueError, match="code ldpc must be used with wifi standard n, ac or ax"):
        Wifi(code="ldpc")


def test_streams_need_more_power() -> None:
    """Law: two streams share the power and lose 3 dB more, which is a factor of four."""
    found = {(each.mcs, each.streams): each for each in schemes("ax", 80, 800, 2, "soft", 3.0103)}
    for mcs in range(12):
        one, two = (found[mcs, n].threshold(BITS, 0.1) for n in (1, 2))
        assert two == pytest.approx(4.0 * one, rel=1e-4)
    radio = Wifi(standard="ax", streams=2).rates(80e6)
    chosen = [radio.scheme(snr, BITS) for snr in np.logspace(-1, 6, 300)]
    assert {each.streams for each in chosen} == {1, 2}
    assert chosen[-1].rate_bps == pytest.approx(1201e6, rel=1e-3)
    rates = [each.rate_bps for each in chosen]
    assert rates == sorted(rates)


@pytest.mark.parametrize(
    ("standard", "short", "place", "octets", "microseconds"),
    [
        # 16 + 8 n + 6 bits in symbols of 24, 96 and 216 bits, after 20 us.
        ("a", False, 0, 14, 20 + 4 * 6),
        ("a", False, 4, 14, 20 + 4 * 2),
        ("a", False, 4, 1464, 20 + 4 * 123),
        ("a", False, 7, 1464, 20 + 4 * 55),
        # After 36 us; with the short guard interval 46 symbols of 3.6 us take 165.6 us.
        ("n", False, 7, 1464, 36 + 4 * 46),
        ("n", True, 7, 1464, 36 + 168),
    ],
)
def test_durations(standard: str, short: bool, place: int, octets: int, microseconds: int) -> None:
    frame = schemes(standard, guard_ns=400 if short else 800)[place]
    assert frame.duration_ns(8 * octets) == 1000 * microseconds


def weights(kept: list[tuple[int, int]], terms: int) -> tuple[int, list[int], list[int]]:
    """Count the error events of the punctured code 133, 171 by walking through its trellis."""
    states, most = 64, 18
    events, bits = np.zeros(most), np.zeros(most)

    def step(phase: int, state: int, bit: int) -> tuple[int, int]:
        register = bit << 6 | state
        out = [(register & taps).bit_count() % 2 for taps in (0o133, 0o171)]
        return register >> 1, int(np.dot(out, kept[phase]))

    for begin in range(len(kept)):
        count, ones = np.zeros((2, states, most))
        state, weight = step(begin, 0, 1)
        count[state, weight] = ones[state, weight] = 1
        phase = begin
        for _ in range(150):
            phase = (phase + 1) % len(kept)
            count_after, ones_after = np.zeros((2, states, most))
            for state in range(1, states):
                for bit in (0, 1):
                    reached, weight = step(phase, state, bit)
                    count_after[reached, weight:] += count[state, : most - weight]
                    more = ones[state] + bit * count[state]
                    ones_after[reached, weight:] += more[: most - weight]
            events, bits = events + count_after[0], bits + ones_after[0]
            count_after[0], ones_after[0] = 0, 0
            count, ones = count_after, ones_after
    first = int(np.flatnonzero(events)[0])
    part = slice(first, first + terms)
    return first, events[part].astype(int).tolist(), bits[part].astype(int).tolist()


@pytest.mark.parametrize(
    ("twelfths", "kept", "terms"),
    [
        (twelfths, PUNCTURED[twelfths], terms)
        for twelfths, terms in ((6, 7), (8, 5), (9, 4), (10, 3))
    ],
)
def test_weights_are_those_of_the_code(
    twelfths: int, kept: list[tuple[int, int]], terms: int
) -> None:
    first, events, bits = weights(kept, terms)
    period, distance, known_events, known_bits = _SPECTRA[twelfths]
    assert period == len(kept)
    assert distance == first
    assert events == list(known_events[:terms])
    assert bits == list(known_bits[:terms])


def test_hard_decisions_equal_the_nist_model() -> None:
    table = [row for row in rows("wifi_per_vs_snr_ns3.csv") if row["model"] == "Nist"]
    assert len(table) > 90
    for row in table:
        frame = scheme(row["standard"][-1], float(row["rate_mbps"]), "hard")
        snr = np.array([10 ** (float(row["snr_db"]) / 10)])
        assert frame.error(snr, BITS)[0] == pytest.approx(float(row["per"]), rel=1e-6)


@pytest.mark.parametrize("error", [0.1, 0.01])
def test_soft_decisions_agree_with_simulated_links(error: float) -> None:
    # Tables of ns-3 from link simulations; nothing is fitted to them.
    table = [row for row in rows("wifi_per_vs_snr_ns3.csv") if row["model"] == "TableBased"]
    off_db = []
    for mode in {row["mode"] for row in table}:
        part = [row for row in table if row["mode"] == mode and 1e-5 < float(row["per"]) < 0.99]
        log = -np.log([float(row["per"]) for row in part])
        there_db = np.interp(-np.log(error), log, [float(row["snr_db"]) for row in part])
        frame = scheme(part[0]["standard"][-1], float(part[0]["rate_mbps"]))
        off_db.append(db(frame.threshold(BITS, error)) - there_db)
    assert len(off_db) == 12
    assert np.max(np.abs(off_db)) < 0.25
    assert abs(np.mean(off_db)) < 0.1


def coded_frames(kept: list[tuple[int, int]], count: int, length: int) -> tuple[np.ndarray, ...]:
    """Return frames of random bits that end with six zeros, and what the code makes of them."""
    bits = np.random.default_rng(5).integers(0, 2, (count, length))
    bits[:, -6:] = 0
    past = np.pad(bits, ((0, 0), (6, 0)))
    coded = np.zeros((count, length, 2), dtype=int)
    for place, taps in enumerate((0o133, 0o171)):
        for delay in range(7):
            if taps >> (6 - delay) & 1:
                coded[:, :, place] ^= past[:, 6 - delay : 6 - delay + length]
    keep = np.resize(np.array(kept, dtype=bool), (length, 2))
    return bits, coded, keep


def viterbi(likelihood: np.ndarray) -> np.ndarray:
    """Return the most likely bits (frames, length) by log likelihood ratios (..., 2)."""
    count, length, _ = likelihood.shape
    state = np.arange(64)
    before = np.stack([2 * (state & 31), 2 * (state & 31) + 1], axis=1)
    register = (state >> 5 << 6)[:, None] | before
    sign = [1 - 2 * (np.bitwise_count(register & taps).astype(int) % 2) for taps in (0o133, 0o171)]
    metric = np.full((count, 64), -1e9)
    metric[:, 0] = 0.0
    chosen = np.zeros((length, count, 64), dtype=bool)
    for step in range(length):
        one, other = likelihood[:, step, 0, None, None], likelihood[:, step, 1, None, None]
        sums = metric[:, before] + one * sign[0] + other * sign[1]
        chosen[step] = sums[..., 1] > sums[..., 0]
        metric = sums.max(axis=-1)
    frame, at = np.arange(count), np.zeros(count, dtype=int)
    bits = np.zeros((count, length), dtype=int)
    for step in reversed(range(length)):
        bits[:, step] = at >> 5
        at = before[at, chosen[step, frame, at].astype(int)]
    return bits


@pytest.mark.parametrize("twelfths", [6, 8, 9, 10])
def test_simulated_errors_of_short_frames_can_be_repeated(twelfths: int) -> None:
    table = [row for row in SIMULATED if (row["order"], row["twelfths"]) == ("2", str(twelfths))]
    row = min(table, key=lambda row: abs(float(row["per"]) - 0.4))
    count, length = 700, 16 + int(row["bits"]) + 6
    bits, coded, keep = coded_frames(PUNCTURED[twelfths], count, length)
    binary = 10 ** (float(row["snr_db"]) / 10) / 2
    noise = np.random.default_rng(6).normal(0, np.sqrt(0.5 / binary), coded.shape)
    likelihood = np.where(keep, 1.0 - 2.0 * coded + noise, 0.0)
    lost = np.mean(np.any(viterbi(likelihood) != bits, axis=1))
    expected = float(row["per"])
    assert lost == pytest.approx(expected, abs=4 * np.sqrt(expected * (1 - expected) / count))


def test_errors_of_short_frames_agree_with_a_simulated_decoder() -> None:
    for row in SIMULATED:
        error, order, twelfths = float(row["per"]), int(row["order"]), int(row["twelfths"])
        found = [
            each
            for each in (*schemes("a"), *schemes("n"))
            if (each._order, each._twelfths) == (order, twelfths)
        ]
        if not found and (order, twelfths) in ((2, 8), (2, 10)):
            found = [Scheme(52, order, twelfths, 4_000, 36_000, "soft")]
        if 0.004 < error < 0.95:
            off_db = db(found[0].threshold(int(row["bits"]), error)) - float(row["snr_db"])
            # The mean information of a QAM symbol understates what this code makes of it.
            assert -0.1 < off_db < (0.1 if order <= 2 else 0.6)


@pytest.mark.parametrize("decoding", ["soft", "hard", "parity-checks"])
def test_errors_fall_with_snr_and_grow_with_length(decoding: str) -> None:
    snr = np.logspace(-2, 4, 400)
    for standard in ("n", "ax") if decoding == "parity-checks" else ("a", "n"):
        for frame in schemes(standard, decoding=decoding):
            error = frame.error(snr, BITS)
            assert np.all(np.diff(error) <= 1e-9)
            assert error[0] == 1.0
            assert error[-1] == 0.0
            assert np.all(frame.error(snr, BITS // 10) <= error + 1e-15)
            for level in (0.5, 0.1, 1e-3):
                at = np.array(frame.threshold(BITS, level))
                assert float(frame.error(at, BITS)) == pytest.approx(level, rel=1e-4)


def test_one_value_is_as_good_as_many() -> None:
    snr = np.logspace(-1, 3, 301)
    for frame in (
        *schemes("a"),
        *schemes("n", decoding="hard"),
        *schemes("ax", decoding="parity-checks"),
    ):
        together = frame.error(snr, BITS)
        assert [float(frame.error(snr[i : i + 1], BITS)[0]) for i in range(301)] == list(together)


@pytest.mark.parametrize("decoding", ["soft", "hard", "parity-checks"])
def test_hazards_equal_errors(decoding: str) -> None:
    snr = 10 ** np.random.default_rng(1).uniform(-3.2, 6.2, 400)
    legacy = () if decoding == "parity-checks" else schemes("a", decoding=decoding)
    for frame in (*legacy, *schemes("n", guard_ns=400, decoding=decoding)):
        hazard = np.array([frame.hazard(each) for each in snr])
        exact = frame.bit_error(snr)
        some = (exact > 1e-30) & (exact < 0.9)
        assert np.max(np.abs(hazard[some] / -np.log1p(-exact[some]) - 1)) < 0.01
        assert np.all(hazard[exact == 1.0] > 10)
        assert frame.hazard(0.0) > 10


def test_the_rate_follows_the_mean_snr() -> None:
    radio = Wifi(target_error=0.05).rates(BANDWIDTH_HZ)
    chosen = [radio.scheme(snr, BITS) for snr in np.logspace(-1, 4, 200)]
    rates = [each.rate_bps for each in chosen]
    assert rates == sorted(rates)
    assert {round(rate / 1e6) for rate in rates} >= {6, 12, 24, 36, 48, 54}
    for snr, each in zip(np.logspace(-1, 4, 200), chosen, strict=True):
        assert each is radio.schemes[0] or each.error(np.array(snr), BITS) <= 0.05 * (1 + 1e-6)
    fixed = Wifi(rate_mbps=24.0).rates(BANDWIDTH_HZ)
    assert fixed.scheme(1e-3, BITS).rate_bps == 24e6
    short = Wifi(standard="n", guard_interval_us=0.4, rate_mbps=72.2).rates(BANDWIDTH_HZ)
    assert short.scheme(1.0, 1).data_bits == 260
    he = Wifi(standard="ax", mcs=11, streams=2).rates(160e6)
    assert he.scheme(1.0, 1).rate_bps == pytest.approx(2402e6, rel=1e-3)


def test_answers_go_at_the_highest_basic_rate() -> None:
    radio = Wifi().rates(BANDWIDTH_HZ)
    answers = {each.rate_bps / 1e6: radio.control(each).rate_bps / 1e6 for each in schemes("a")}
    assert answers == {6: 6, 9: 6, 12: 12, 18: 12, 24: 24, 36: 24, 48: 24, 54: 24}
    assert radio.control(schemes("n")[0]).rate_bps == 6e6
    assert radio.control(schemes("ax", 80)[-1]).rate_bps == 24e6


def test_rates_at_an_snr() -> None:
    modem = Wifi().modem(BANDWIDTH_HZ, 1, 1_000_000)
    snr = np.logspace(-2, 5, 200)
    rate_bps = modem.rate_bps(snr, np.ones(200))
    assert rate_bps[0] == 0.0
    assert rate_bps[-1] == 54e6
    assert np.all(rate_bps <= BANDWIDTH_HZ * np.log2(1 + snr))
    fixed = Wifi(rate_mbps=12.0).modem(BANDWIDTH_HZ, 1, 1_000_000)
    assert fixed.rate_bps(np.array([1e5]), np.array([0.5])).tolist() == [6e6]
    assert modem.slot_ns == 1_000_000


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Wifi(guard_interval_us=0.4), "guard_interval_us must be one of 0.8 with standard"),
        (lambda: Wifi(standard="ax", guard_interval_us=0.4), "one of 0.8, 1.6, 3.2 with standard"),
        (lambda: Wifi(streams=2), "streams must be 1 with standard a, got 2"),
        (lambda: Wifi(standard="ac", mcs=10), "mcs must be at most 9 with standard ac, got 10"),
        (lambda: Wifi(mcs=1, rate_mbps=6.0), "mcs and rate_mbps exclude each other"),
        (
            lambda: Wifi(standard="ac", mcs=9).modem(20e6, 1, 1000),
            "mcs 9 does not exist with 1 streams on 20 MHz",
        ),
        (
            lambda: Wifi(standard="n").modem(80e6, 1, 1000),
            "bandwidth_hz must be 20 or 40 MHz with wifi standard n, got 8e",
        ),
        (lambda: Wifi(rate_mbps=11.0), r"rate_mbps must be one of 6, 9, .* 54, got 11"),
        (lambda: Wifi(rate_mbps=float("nan")), "rate_mbps"),
        (lambda: Wifi(target_error=0.0), "target_error"),
        (lambda: Csma(cw_min=31, cw_max=15), "cw_max must be at least cw_min, 31, got 15"),
        (lambda: Csma(retry_limit=0), "retry_limit"),
        (lambda: Csma(energy_dbm=float("inf")), "energy_dbm"),
        (
            lambda: Wifi().modem(5e6, 1, 1000),
            "bandwidth_hz must be 20 MHz with wifi standard a, got",
        ),
        (lambda: require_match(Csma(), Shannon()), "must be used with the radio wifi, got shannon"),
        (lambda: require_match(Ofdma(), Wifi()), "must be used with the medium access csma, got"),
        (
            lambda: Wifi().modem(BANDWIDTH_HZ, 1, 1000).start(np.ones(1), np.ones(1)),
            "must be used with the medium access csma",
        ),
    ],
)
def test_errors(make: type, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def test_families_know_them() -> None:
    assert PHY["wifi"] is Wifi
    assert MAC["csma"] is Csma
    require_match(Csma(), Wifi())
    require_match(Ofdma(), Shannon())


def test_windows_double() -> None:
    (function,) = Csma().functions
    assert [function.contention_window(failures) for failures in range(8)] == [
        15,
        31,
        63,
        127,
        255,
        511,
        1023,
        1023,
    ]
