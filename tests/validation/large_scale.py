"""Path loss, line of sight, loss into buildings and shadow fading against their tables."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from reference_tables import rows
from test_path_loss import PROBABILITIES, SCENARIOS, ends
from test_shadowing import FIELDS, FIRST, SECOND, SIDE, places, shifts

from validation.check import Finding, Picture, Row, largest
from wnsim.channel import Channel, NoFading, Penetration, Shadowing
from wnsim.channel.path_loss import FreeSpace, LogDistance, PathLoss, TwoRay, V2vHighway, V2vUrban
from wnsim.channel.shadowing import shadow_field
from wnsim.units import Floats, Ints

NS3 = "ns-3 3.44"
SIONNA = "Sionna 2.2.0"


def path_loss(full: bool) -> Finding:
    """Compare every row of the tables of path loss."""
    result = []
    for name, model in SCENARIOS.items():
        table = [row for row in rows("pathloss_38901.csv") if row["scenario"] == name]
        standard = "TR 37.885" if name.startswith("V2V") else "TR 38.901"
        for anchor, column in ((NS3, "ns3_pathloss_db"), (SIONNA, "sionna_pathloss_db")):
            part = [row for row in table if row[column]]
            if part:
                found = [_loss_db(model, row) for row in part]
                expected = [float(row[column]) for row in part]
                against = f"{standard} as in {anchor}"
                worst = largest(found, expected)
                result.append(Row(f"path loss {name}", against, len(part), worst, 0.01, "dB"))
    return Finding(result, (_path_loss_picture(),))


def _loss_db(model: PathLoss, row: dict[str, str]) -> float:
    frequency_hz = float(row["fc_ghz"]) * 1e9
    return float(model.loss_db(*ends(row), frequency_hz, row["condition"] == "LOS"))


def _path_loss_picture() -> Picture:
    shown = (("UMi-StreetCanyon", "UMi", "C0"), ("UMa", "UMa", "C1"), ("RMa", "RMa", "C2"))

    def draw(axes: Axes) -> None:
        for name, short, color in shown:
            table = [
                row
                for row in rows("pathloss_38901.csv")
                if row["scenario"] == name and row["fc_ghz"] == "3.5"
            ]
            heights_m = ends(table[0])[1:]
            distance_m = np.geomspace(10.0, 5000.0, 300)
            for los, line in ((True, "-"), (False, "--")):
                part = [row for row in table if (row["condition"] == "LOS") == los]
                loss_db = SCENARIOS[name].loss_db(distance_m, *heights_m, 3.5e9, los)
                label = f"{short}, {'LOS' if los else 'NLOS'}"
                axes.semilogx(distance_m, loss_db, line, color=color, label=label)
                points = [
                    (float(row["d2d_m"]), float(row["ns3_pathloss_db"]))
                    for row in part
                    if float(row["d2d_m"]) <= 5000.0 and ends(row)[1:] == heights_m
                ]
                axes.plot(*np.transpose(points), "o", color=color, mfc="white", ms=2.8, mew=0.7)
        axes.set(xlabel="Ground distance [m]", ylabel="Path loss [dB]", xlim=(9, 5500))
        axes.legend(ncols=2, loc="upper left", columnspacing=1.0)

    return Picture(
        "path_loss",
        "Path loss at 3.5 GHz with base station and device at the standard heights: lines are this "
        "simulator, circles the rows of the table from ns-3.",
        draw,
    )


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


def line_of_sight(full: bool) -> Finding:
    """Compare every row of the tables of line-of-sight probability."""
    result = []
    for name, model in PROBABILITIES.items():
        table = [row for row in rows("los_probability.csv") if row["scenario"] == name]
        standard = "TR 37.885" if name.startswith("V2V") else "TR 38.901"
        for anchor, column in ((NS3, "ns3_p_los"), (SIONNA, "sionna_p_los")):
            part = [row for row in table if row[column]]
            if part:
                worst = largest(
                    [float(model.los_probability(*ends(row))) for row in part],
                    [float(row[column]) for row in part],
                )
                against = f"{standard} as in {anchor}"
                what = f"line-of-sight probability {name.removesuffix('-TR37885')}"
                result.append(Row(what, against, len(part), worst, 1e-6))
    boban: dict[str, PathLoss] = {
        "V2V-Urban-Boban2016": V2vUrban(states="boban2016"),
        "V2V-Highway-Boban2016": V2vHighway(states="boban2016"),
    }
    # Beyond 500 m the highway's quadratic formulas turn back.
    part = [
        row
        for row in rows("los_probability.csv")
        if row["scenario"] in boban
        and not ("Highway" in row["scenario"] and float(row["d2d_m"]) > 500.0)
    ]
    worst = largest(
        [float(boban[row["scenario"]].los_probability(*ends(row))) for row in part],
        [float(row["ns3_p_los"]) for row in part],
    )
    against = f"Boban et al. 2016 as in {NS3}"
    what = "line-of-sight probability V2V, other states (highway to 500 m)"
    return Finding([*result, Row(what, against, len(part), worst, 1e-6)])


def open_ground(full: bool) -> Finding:
    """Compare every row of the table of the textbook models."""
    models = {
        "Friis": "free space",
        "TwoRayGround": "two-ray ground",
        "LogDistance": "log-distance",
    }
    result = []
    for name, what in models.items():
        part = [row for row in rows("propagation_basic.csv") if row["model"] == name]
        found = []
        for row in part:
            model: PathLoss = FreeSpace() if name == "Friis" else TwoRay()
            if name == "LogDistance":
                exponent = float(row["params"].split(";")[0].removeprefix("n="))
                model = LogDistance(exponent=exponent)
            frequency_hz = float(row["fc_ghz"]) * 1e9
            heights_m = (float(row["h_tx_m"]), float(row["h_rx_m"]))
            found.append(float(model.loss_db(float(row["d2d_m"]), *heights_m, frequency_hz, True)))
        worst = largest(found, [float(row["pathloss_db"]) for row in part])
        result.append(Row(f"path loss {what}", NS3, len(part), worst, 1e-5, "dB"))
    return Finding(result)


def penetration(full: bool) -> Finding:
    """Compare the loss into buildings: walls by their materials, and the spread over devices."""
    # Glass and concrete [dB] at 3.5 and 28 GHz, by Table 7.4.3-1; share of glass.
    walls = (
        ("low", 3.5e9, 0.3, 2.7, 19.0), ("low", 28e9, 0.3, 7.6, 117.0),
        ("high", 3.5e9, 0.7, 24.05, 19.0), ("high", 28e9, 0.7, 31.4, 117.0),
    )  # fmt: skip
    wall_db = [Penetration(model=model).wall_db(at_hz) for model, at_hz, *_ in walls]
    expected_db = [
        5.0 - 10.0 * np.log10(share * 10 ** (-glass / 10) + (1.0 - share) * 10 ** (-concrete / 10))
        for *_, share, glass, concrete in walls
    ]
    count = 20_000
    mean_db, spread = [], []
    for model, sigma_db in (("low", 4.4), ("high", 6.5)):
        made = Penetration(model=model)
        more_db = made.loss_db(np.ones(count, dtype=bool), 3.5e9, 1) - made.wall_db(3.5e9)
        # The smaller of two uniform ways to 25 m: mean 25/3 m, variance 25^2/18 m^2.
        variance = sigma_db**2 + (0.5 * 25.0) ** 2 / 18.0
        mean_db.append(abs(float(np.mean(more_db)) - 0.5 * 25.0 / 3.0))
        spread.append(100.0 * abs(float(np.std(more_db)) / np.sqrt(variance) - 1.0))
    standard = "TR 38.901, clause 7.4.3"
    # Four standard errors of the larger deviation, 7.1 dB; of a deviation 1/sqrt(2 n).
    return Finding(
        [
            Row("outdoor-to-indoor loss of walls", standard, 4, largest(wall_db, expected_db), 1e-6,
                "dB"),
            Row("outdoor-to-indoor loss: mean behind the wall", standard, count,
                max(mean_db), 4 * 7.2 / np.sqrt(count), "dB"),
            Row("outdoor-to-indoor loss: standard deviation over devices", standard, count,
                max(spread), 400.0 / np.sqrt(2 * count), "%"),
        ]
    )  # fmt: skip


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
        FreeSpace(), Shadowing(sigma_db=6.0, correlation_m=10.0), NoFading(), 3.5e9,
        np.full(2 * count, 1.5), there_and_back, 2.0, 1,
    )  # fmt: skip
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
