"""Small-scale fading against the laws of its power, of time, and of frequency."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from reference_tables import FOLDER, rows
from scipy import special, stats
from test_fading import (
    COUNT,
    FACTS,
    LAMBDA_M,
    autocorrelation,
    frequency_correlation,
    links,
    made,
    powers,
    process,
)

from validation.check import Finding, Picture, Row, largest
from wnsim.channel.delays import profile
from wnsim.channel.fading import Fading, Nakagami, Rayleigh, Rician, TappedDelayLine

# The distance of Kolmogorov and Smirnov is larger in one of a thousand samples.
_KS = 1.95


def power_laws(full: bool) -> Finding:
    """Compare the distribution of the power over links."""
    k_db = [float(value) for value in FACTS["rician_power_cdf_by_K_db"]]
    m = [float(value) for value in FACTS["nakagami_power_cdf"]]

    def rice(value: float) -> object:
        factor = 10 ** (value / 10)
        return stats.ncx2(2, 2 * factor, scale=1 / (2 * (factor + 1)))

    families: list[tuple[str, list[tuple[Fading, object]]]] = [
        ("Rayleigh", [(Rayleigh(), stats.expon())]),
        (f"Rician, K {min(k_db):g} to {max(k_db):g} dB",
         [(Rician(k_db=value), rice(value)) for value in k_db]),
        (f"Nakagami, m {min(m):g} to {max(m):g}",
         [(Nakagami(m=value), stats.gamma(value, scale=1 / value)) for value in m]),
    ]  # fmt: skip
    result = []
    for name, members in families:
        worst = max(stats.kstest(powers(model)[:, 0], law.cdf).statistic for model, law in members)
        against = "closed form, Kolmogorov-Smirnov distance at the 0.1 % level"
        what = f"distribution of the power over links, {name}"
        result.append(Row(what, against, len(members) * COUNT, worst, _KS / np.sqrt(COUNT)))

    def draw(axes: Axes) -> None:
        level_db = np.linspace(-36.0, 8.0, 200)
        for label, model, law, color in (
            ("Rayleigh", Rayleigh(), stats.expon(), "C0"),
            ("Rician, K = 6 dB", Rician(k_db=6.0), rice(6.0), "C1"),
            ("Nakagami, m = 2", Nakagami(m=2.0), stats.gamma(2.0, scale=0.5), "C2"),
        ):
            axes.semilogy(level_db, law.cdf(10 ** (level_db / 10)), color=color, label=label)
            several = [powers(model, seed=seed)[:, 0] for seed in range(10)]
            power_db = np.sort(10.0 * np.log10(np.concatenate(several)))
            shares = np.geomspace(5e-4, 0.99, 14)
            found_db = power_db[(shares * power_db.size).astype(int)]
            axes.semilogy(found_db, shares, "o", color=color, mfc="white")
        level_db, shares = _ns3_jakes()
        axes.semilogy(level_db, shares, "x", color="0.3", label="ns-3 Jakes (as Rayleigh)")
        axes.set(xlabel="Power over its mean [dB]", ylabel="P(power below)", ylim=(4e-4, 1.3))
        axes.legend(loc="upper left")

    picture = Picture(
        "fading_power",
        "Distribution of the power over links: lines are the closed forms, circles 200,000 links "
        "of this simulator, whose sum of 32 waves has about 1.6 % fewer deep fades than a Gaussian "
        "one. "
        "Crosses: ns-3's Jakes model, whose power over links should be the Rayleigh line.",
        draw,
    )
    return Finding(result, (picture,))


def _ns3_jakes() -> tuple[np.ndarray, np.ndarray]:
    """Return levels [dB] and shares of ns-3's Jakes model, from the header of its table."""
    text = (FOLDER / "fading_jakes_ns3.csv").read_text(encoding="utf-8")
    (line,) = (line for line in text.splitlines() if line.startswith("# power CDF"))
    items = [item.split("<")[1] for item in line.split(";") if "<" in item]
    level_db = [float(item.split("dB")[0]) for item in items]
    return np.array(level_db), np.array([float(item.split("=")[1].split()[0]) for item in items])


def interference_outage(full: bool) -> Finding:
    """Compare how often a Nakagami link is below a threshold over a Rayleigh interferer."""
    interferer = powers(Rayleigh(), seed=2)[:, 0]
    thresholds = 10 ** (np.array([-10.0, -5.0, 0.0, 5.0]) / 10)
    worst, allowed = 0.0, 0.0
    shapes = (0.5, 1.0, 3.0)
    for m in shapes:
        ratio = powers(Nakagami(m=m))[:, 0] / interferer
        # The interferer is stronger than the share of the signal with probability E[exp(-s/theta)].
        law = (1.0 + 1.0 / (m * thresholds)) ** -m
        worst = max(worst, largest([np.mean(ratio < theta) for theta in thresholds], law))
        allowed = max(allowed, 4 * float(np.max(np.sqrt(law * (1 - law) / ratio.size))))
    what = "outage of a Nakagami link over a Rayleigh interferer, m 0.5 to 3"
    against = "(1 + S / (m theta I))^-m"
    cases = len(shapes) * thresholds.size
    return Finding([Row(what, against, cases * COUNT, worst, allowed)])


def deep_fades(full: bool) -> Finding:
    """Compare how often the power is 20 dB below its mean."""
    # One standard error of 200,000 links is 2.2 %, of 800,000 it is 1.1 %; four are allowed.
    count = 800_000 if full else 200_000
    theory = 1.0 - np.exp(-0.01)
    allowed = 400.0 * np.sqrt((1.0 - theory) / theory / count)
    result = []
    for name, model in (("Rayleigh", Rayleigh()), ("TDL-A", TappedDelayLine())):
        source, target = links(count)
        fading, deep = made(model), 0
        here_m = np.zeros((40_000, 1, 2))
        for start in range(0, count, 40_000):
            part = slice(start, start + 40_000)
            h = fading.response(source[part], target[part], here_m, here_m, np.zeros(1))
            deep += int(np.count_nonzero(np.abs(h) ** 2 < 0.01))
        worst = 100.0 * abs(deep / count / theory - 1.0)
        what = f"P(power 20 dB below the mean), {name}"
        result.append(Row(what, "1 - exp(-0.01) = 0.00995", count, worst, allowed, "%"))
    level_db, shares = _ns3_jakes()
    other = float(shares[level_db == -20.0][0])
    what = f"for comparison: the same of ns-3's Jakes model, {other:.3f}"
    result.append(Row(what, "1 - exp(-0.01)", 4000, 100.0 * abs(other / theory - 1.0), None, "%"))
    return Finding(result)


def autocorrelations(full: bool) -> Finding:
    """Compare the autocorrelation over time."""
    table = rows("fading_jakes_ns3.csv")
    doppler_hz = float(table[1]["fd_tau"]) / float(table[1]["tau_s"])
    lag_s = np.array([float(row["tau_s"]) for row in table])
    one = autocorrelation(lag_s, doppler_hz * LAMBDA_M, 0.0)
    both_s = np.linspace(0.0, 0.03, 40)
    number = 2 * np.pi / LAMBDA_M
    theory = special.j0(number * 3.0 * both_s) * special.j0(number * 5.0 * both_s)
    both = autocorrelation(both_s, 3.0, 5.0)
    j0 = special.j0(2 * np.pi * doppler_hz * lag_s)

    def draw(axes: Axes) -> None:
        fine = np.linspace(0.0, 3.0, 400)
        axes.plot(fine, special.j0(2 * np.pi * fine), color="C0", label="J0")
        axes.plot(doppler_hz * lag_s, one, "o", color="C0", mfc="white", label="one end moves")
        fastest = 5.0 / LAMBDA_M
        product = special.j0(2 * np.pi * 0.6 * fine) * special.j0(2 * np.pi * fine)
        axes.plot(fine, product, "--", color="C1", label="J0 J0")
        axes.plot(fastest * both_s, both, "s", color="C1", mfc="white", label="both ends move")
        longest = float(max(doppler_hz * lag_s[-1], fastest * both_s[-1]))
        axes.set(xlabel="Doppler shift times lag", ylabel="Autocorrelation",
                 xlim=(0, min(longest, 2.5)))  # fmt: skip
        axes.legend()

    picture = Picture(
        "fading_time",
        "Autocorrelation of Rayleigh fading: one end moving (closed form J0), and both ends, at 3 "
        "and 5 m/s (product of two J0); the lag counts in periods of the faster end's Doppler "
        "shift.",
        draw,
    )
    return Finding(
        [
            Row("autocorrelation, one end moving", "J0 (Clarke)", lag_s.size, largest(one, j0),
                0.02),
            Row("autocorrelation, both ends moving", "J0 J0 (Akki and Haber)", both_s.size,
                largest(both, theory), 0.02),
        ],
        (picture,),
    )  # fmt: skip


def crossings(full: bool) -> Finding:
    """Compare how often the power falls through a level, and how long it stays below."""
    count, way, steps = 250, 64, 256
    source, target = links(count)
    edges_m = np.arange(way + 1.0) * LAMBDA_M
    x_m = np.stack([edges_m * np.cos(0.4), edges_m * np.sin(0.4)], axis=-1)
    x_m = np.broadcast_to(x_m, (count, way + 1, 2))
    h = process().response_grid(source, target, x_m, np.zeros_like(x_m), 0, 1.0, steps)[..., 0]
    power = np.abs(h) ** 2
    rates, durations = [], []
    for level_db in FACTS["rayleigh_lcr_over_fd"]:
        below = power < 10 ** (float(level_db) / 10)
        falls = np.count_nonzero(below[:, 1:] & ~below[:, :-1])
        rates.append(falls / (count * way))
        durations.append(np.count_nonzero(below) / steps / falls)
    lengths = list(FACTS["rayleigh_afd_times_fd"].values())
    return Finding(
        [
            Row("level crossing rate, -20 to 3 dB", "Rice", len(rates),
                largest(rates, list(FACTS["rayleigh_lcr_over_fd"].values()), relative=True), 5.0,
                "%"),
            Row("mean duration of fades, -20 to 3 dB", "Rice", len(rates),
                largest(durations, lengths, relative=True), 7.0, "%"),
        ]
    )  # fmt: skip


def delays(full: bool) -> Finding:
    """Compare the taps of the delay profiles, and the correlation over frequency they give."""
    table = rows("tdl_profiles.csv")
    delay_ns, power = [], []
    for name in "ABCDE":
        part = [row for row in table if row["model"] == name]
        taps = profile(name)
        found = taps.power.copy()
        found[0] += taps.sight
        power.append(largest(found, [float(row["mean_power"]) for row in part]))
        expected_ns = [1e9 * float(row["delay_s"]) for row in part]
        delay_ns.append(largest(100.0 * taps.delay, expected_ns))
    bandwidth_hz, subbands, spread_s, count = 40e6, 16, 150e-9, 8000
    source, target = links(count)
    here_m = np.zeros((count, 1, 2))
    apart_hz = np.arange(subbands) * bandwidth_hz / subbands
    found_by, theory_by = {}, {}
    for name in "ABCDE":
        model = TappedDelayLine(profile=name, delay_spread_s=spread_s)
        fading = made(model, bandwidth_hz=bandwidth_hz, subbands=subbands)
        h = fading.response(source, target, here_m, here_m + 70.0, np.zeros(1))[:, 0]
        found_by[name] = np.mean(h * h[:, :1].conj(), axis=0)
        theory_by[name] = frequency_correlation(name, apart_hz, spread_s)
    worst = max(float(np.max(np.abs(found_by[name] - theory_by[name]))) for name in "ABCDE")

    def draw(axes: Axes) -> None:
        fine_hz = np.linspace(0.0, apart_hz[-1], 300)
        for name, color in (("A", "C0"), ("B", "C1"), ("D", "C2")):
            theory = np.abs(frequency_correlation(name, fine_hz, spread_s))
            axes.plot(fine_hz / 1e6, theory, color=color, label=f"TDL-{name}")
            found = np.abs(found_by[name])
            axes.plot(apart_hz / 1e6, found, "o", color=color, mfc="white")
        axes.set(xlabel="Frequency separation [MHz]", ylabel="|Correlation|", ylim=(0, 1.2))
        axes.legend(ncols=3, loc="upper center")

    picture = Picture(
        "fading_frequency",
        "Correlation of the channel at two frequencies for a delay spread of 150 ns: lines follow "
        "from the standard's taps, circles are 8,000 links of this simulator.",
        draw,
    )
    standard = "TR 38.901, Tables 7.7.2-1 to -5, as in Sionna 2.2.0"
    return Finding(
        [
            Row("delays of TDL-A to E at 100 ns", standard, len(table), max(delay_ns), 1e-5, "ns"),
            Row("mean powers of TDL-A to E", standard, len(table), max(power), 1e-6),
            Row("frequency correlation of TDL-A to E", "transform of the taps' powers",
                5 * subbands, worst, 4.0 / np.sqrt(count)),
        ],
        (picture,),
    )  # fmt: skip
