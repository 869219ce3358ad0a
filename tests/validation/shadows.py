"""Shadow fading against its tables, over places and time."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from reference_tables import rows
from scipy.special import ndtri
from scipy.stats import ks_2samp
from test_channel import at_rest
from test_path_loss import SCENARIOS, ends
from test_shadowing import FIELDS, FIRST, SECOND, SIDE, places, shifts

from validation.check import Finding, Picture, Row, largest
from wnsim.channel import Carrier, Channel, Geometry, NoFading, Propagation, Shadowing
from wnsim.channel.path_loss import FreeSpace, UmiStreetCanyon
from wnsim.channel.shadowing import shadow_field
from wnsim.core.units import SPEED_OF_LIGHT_MPS, Floats, Ints

NS3 = "ns-3 3.44"


def shadow_parameters(full: bool) -> Finding:
    """Compare the deviations and decorrelation distances of shadow fading."""
    table = rows("pathloss_38901.csv")
    wrong = 0
    for row in table:
        model, los = SCENARIOS[row["scenario"]], row["condition"] == "LOS"
        sigma_db = model.shadow_db(*ends(row), float(row["fc_ghz"]) * 1e9, los)
        wrong += bool(
            sigma_db != float(row["ns3_shadow_std_db"])
            or model.shadow_correlation_m(los) != float(row["ns3_shadow_corr_dist_m"])
        )
    what = "standard deviation and decorrelation distance of shadow fading"
    against = f"TR 38.901 and TR 37.885 as in {NS3}"
    return Finding([Row(what, against, len(table), float(wrong), 0.0, "mismatches")])


def shadow_autocorrelation(full: bool) -> Finding:
    """Compare the autocorrelation of shadow fading over places, one end or both ends moving."""
    lengths_m = (6.0, 10.0, 13.0, 37.0, 50.0, 120.0) if full else (10.0, 50.0)
    worst = {"one end": 0.0, "both ends": 0.0}
    shown: dict[str, tuple[Floats, Floats]] = {}
    cases = 0
    for length_m in lengths_m:
        table = {
            float(row["displacement_m"]): float(row["theory_exp"])
            for row in rows("shadowing_autocorr_ns3.csv")
            if float(row["d_corr_m"]) == length_m
        }
        moved_m, theory = np.array(sorted(table)), np.array([table[key] for key in sorted(table)])
        one, both = _autocorrelations(length_m, moved_m)
        cases += theory.size
        worst["one end"] = max(worst["one end"], largest(one, theory))
        worst["both ends"] = max(worst["both ends"], largest(both, theory**2))
        if length_m == 10.0:
            shown = {"one end moves": (moved_m, one), "both ends move": (moved_m, both)}
    against = "exp(-d/d_corr) for each end that moves, TR 38.901, eq. 7.4-5"
    result = [
        Row(f"autocorrelation of shadow fading, {name} moving", against, cases, value, 0.02)
        for name, value in worst.items()
    ]
    table = [
        (float(row["displacement_m"]), float(row["ns3_autocorr"]))
        for row in rows("shadowing_autocorr_ns3.csv")
        if row["scenario"] == "UMi-StreetCanyon" and row["condition"] == "LOS"
    ]

    def draw(axes: Axes) -> None:
        way_m = np.linspace(0.0, 50.0, 200)
        for power, line in ((1, "-"), (2, "--")):
            label = "exp(-d/10 m)" if power == 1 else "exp(-2d/10 m)"
            axes.plot(way_m, np.exp(-power * way_m / 10.0), line, color="0.4", label=label)
        for (label, (moved_m, value)), marker in zip(shown.items(), "os", strict=True):
            axes.plot(moved_m, value, marker, mfc="white", label=label)
        axes.plot(*np.transpose(table), "x", color="C2", label="ns-3, one end moves")
        axes.set(xlabel="Displacement d [m]", ylabel="Autocorrelation", xlim=(-1, 51))
        axes.legend()

    picture = Picture(
        "shadowing",
        "Autocorrelation of shadow fading with a decorrelation distance of 10 m (UMi in line of "
        "sight): this simulator's field over places when one end or both ends move, and ns-3's "
        "process along the way of one end.",
        draw,
    )
    return Finding(result, (picture,))


def _autocorrelations(length_m: float, moved_m: Floats) -> tuple[Floats, Floats]:
    """Return mean products of values before and after ways [m] of one end, and of both."""
    draws = np.random.default_rng(3)
    steps_m = np.array([0.0, *moved_m])
    one, both = [], []
    for seed in range(FIELDS):
        field = shadow_field(length_m, 256, seed, True)
        still_m = np.repeat(places(draws, 2 * SIDE, 1e4 * length_m)[:, None], steps_m.size, axis=1)
        moving_m = still_m + shifts(draws, 1.0, 2 * SIDE)[:, None] * steps_m[:, None]
        tracks_m = np.concatenate([moving_m, still_m])
        # The far end of the first stays where it is.
        for products, far in ((one, SECOND + 2 * SIDE), (both, SECOND)):
            values = field.between(tracks_m, FIRST, far)
            products.append(np.mean(values[:, :1] * values[:, 1:], axis=0))
    return np.mean(one, axis=0), np.mean(both, axis=0)


def shadow_places(full: bool) -> Finding:
    """Compare values at one place: after a walk away and back, and of two devices side by side."""
    draws = np.random.default_rng(11)
    count = 400
    begin_m, other_m = places(draws, count, 1e4), places(draws, count, 1e4)

    def there_and_back(devices: Ints, t_s: Floats) -> Floats:
        """Half of the devices walk 200 m along x in 100 s, and back."""
        away_m = np.clip(200.0 - 2.0 * np.abs(np.asarray(t_s) - 100.0), 0.0, None)
        walks = (np.asarray(devices) < count)[:, None] * away_m
        at_m = np.concatenate([begin_m, other_m])[devices]
        return at_m[:, None] + np.stack([walks, 0.0 * walks], axis=-1)

    channel = Channel(
        Propagation(FreeSpace(), Shadowing(sigma_db=6.0, correlation_m=10.0), NoFading()),
        Carrier(3.5e9),
        Geometry(np.full(2 * count, 1.5), there_and_back, 2.0),
        1,
    )
    ends_of_links = (np.arange(count), count + np.arange(count))
    gain_db = channel.large_scale_db(*ends_of_links, np.array([0.0, 100.0, 200.0]))
    loss_db = FreeSpace().loss_db(np.linalg.norm(begin_m - other_m, axis=-1), 1.5, 1.5, 3.5e9, True)
    before, after = gain_db[:, 0] + loss_db, gain_db[:, 2] + loss_db
    walked = float(np.corrcoef(before, after)[0, 1])
    # All pairs share the waves of a field, few of which turn within 1 cm: several fields.
    fields, waves, pairs = 40, 256, 1000
    here, beside = [], []
    for seed in range(fields):
        field = shadow_field(10.0, waves, seed, True)
        a_m, b_m = places(draws, pairs), places(draws, pairs)
        here.append(field(a_m, b_m))
        beside.append(field(a_m + shifts(draws, 0.01, pairs), b_m))
    side = float(np.corrcoef(np.ravel(here), np.ravel(beside))[0, 1])
    # The correlation in a field is the mean of cos(k d) over its waves and both ends; the mean
    # square of 1 - cos(k d) is d/d_corr for small d.
    allowed = 4.0 * np.sqrt(0.001 / (2 * waves * fields))
    return Finding(
        [
            Row("shadow fading after a walk of 200 m and back: 1 - correlation",
                "the same place, 1 (ns-3 3.44: correlation 0.02)", count, 1.0 - walked, 1e-12),
            Row("shadow fading of two devices 1 cm apart: correlation",
                "exp(-0.001) (ns-3 3.44: -0.01)", fields * pairs, abs(side - np.exp(-0.001)),
                float(allowed)),
        ]
    )  # fmt: skip


def soft_states(full: bool) -> Finding:
    """Compare the loss at one distance with the standard's equation and with its two states."""
    # All links of a field share its waves, so that they need several fields.
    fields, size, d2d_m = (40 if full else 6), 1000, 100.0
    count = fields * size
    model, draws = UmiStreetCanyon(), np.random.default_rng(12)
    result, samples = [], {}
    for frequency_hz in (3.5e9, 28e9):
        links = np.arange(size), size + np.arange(size)
        losses_db = []
        for seed in range(fields):
            begin_m = draws.random((size, 2)) * 1e6
            positions_m = np.concatenate([begin_m, begin_m + np.array([d2d_m, 0.0])])
            channel = Channel(
                Propagation(model, Shadowing(), NoFading()),
                Carrier(frequency_hz),
                Geometry(np.repeat([10.0, 1.5], size), at_rest(positions_m), 0.0),
                seed,
            )
            losses_db.append(-channel.large_scale_db(*links, np.zeros(1))[:, 0])
        found_db = np.concatenate(losses_db)
        ends = (d2d_m, 10.0, 1.5)
        states_db = [
            model.loss_db(*ends, frequency_hz, los)
            + model.shadow_db(*ends, frequency_hz, los) * draws.standard_normal(count)
            for los in (True, False)
        ]
        # Clause 7.6.3.3 and eq. 7.6-19, for independent phases.
        ahead = ndtri(float(model.los_probability(*ends))) - draws.standard_normal(count)
        steepness = np.sqrt(20.0 * frequency_hz / SPEED_OF_LIGHT_MPS)
        soft = 0.5 + np.arctan(steepness * ahead) / np.pi
        los_db, nlos_db = states_db
        power = soft**2 * 10 ** (-los_db / 10) + (1 - soft**2) * 10 ** (-nlos_db / 10)
        equation_db = -10 * np.log10(power)
        hard_db = np.where(ahead > 0.0, los_db, nlos_db)
        what = f"law of the UMi loss at {d2d_m:g} m and {frequency_hz / 1e9:g} GHz"
        # The distance of Kolmogorov and Smirnov is larger in one of a thousand pairs of samples.
        allowed = 1.95 * float(np.sqrt(2 / count))
        distance = float(ks_2samp(found_db, equation_db).statistic)
        result.append(Row(what, "TR 38.901, eq. 7.6-19, drawn directly", count, distance, allowed))
        between = float(np.mean((soft > 0.05) & (soft < 0.95)))
        distance = float(ks_2samp(found_db, hard_db).statistic)
        against = "two states; at most the share of links in between"
        result.append(Row(what, against, count, distance, between))
        samples[frequency_hz] = (found_db, hard_db)

    def draw(axes: Axes) -> None:
        for color, (frequency_hz, (found_db, hard_db)) in zip(("C0", "C1"), samples.items(),
                                                              strict=True):  # fmt: skip
            share = (np.arange(count) + 0.5) / count
            label = f"{frequency_hz / 1e9:g} GHz"
            axes.plot(np.sort(found_db), share, color=color, label=f"{label}, soft states")
            axes.plot(np.sort(hard_db), share, "--", color=color, label=f"{label}, two states")
        axes.set(xlabel="Path loss with shadow fading [dB]", ylabel="Share of links")
        axes.legend(loc="lower right")

    text = "Loss of UMi links of 100 m: with the soft states of TR 38.901, and with hard ones."
    return Finding(result, (Picture("soft_states", text, draw),))
