"""Path loss, line of sight, and loss into buildings against their tables."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from reference_tables import rows
from test_path_loss import AERIAL, PROBABILITIES, SCENARIOS, ends

from validation.check import Finding, Picture, Row, largest
from wnsim.channel import Penetration, Sector
from wnsim.channel.path_loss import (
    FreeSpace,
    Inf,
    LogDistance,
    OkumuraHata,
    PathLoss,
    ThreeSlope,
    TwoRay,
    V2vHighway,
    V2vUrban,
)

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


def aerial(full: bool) -> Finding:
    """Compare every row of the table of aerial terminals."""
    table = rows("aerial_36777.csv")
    los_db: dict[tuple[str, ...], float] = {}
    loss_db, loss_law, sigma_db, sigma_law, share, share_law = ([] for _ in range(6))
    for row in table:
        model, los = AERIAL[row["scenario"]], row["condition"] == "LOS"
        frequency_hz = float(row["fc_ghz"]) * 1e9
        loss_db.append(_loss_db(model, row))
        # The row of a link in LOS precedes that in NLOS, which here has at least its loss.
        link = tuple(row[name] for name in ("scenario", "h_ut_m", "fc_ghz", "d2d_m"))
        law_db = float(row["pathloss_db"])
        loss_law.append(max(los_db.setdefault(link, law_db), law_db))
        sigma_db.append(float(model.shadow_db(*ends(row), frequency_hz, los)))
        sigma_law.append(float(row["shadow_std_db"]))
        share.append(float(model.los_probability(*ends(row))))
        share_law.append(float(row["p_los"]))
    where, source = "UMa-AV, UMi-AV and RMa-AV", "TR 36.777 as in tr3gpp 0.2.0"
    return Finding(
        [
            Row(f"path loss {where}", source, len(table), largest(loss_db, loss_law), 1e-5, "dB"),
            Row(f"shadow fading: standard deviation, {where}", source, len(table),
                largest(sigma_db, sigma_law), 1e-5, "dB"),
            Row(f"line-of-sight probability {where}", source, len(table),
                largest(share, share_law), 1e-6),
        ]
    )  # fmt: skip


def quadriga(full: bool) -> Finding:
    """Compare path loss and the antenna of a sector with implementations of QuaDRiGa."""
    found_db, expected_db = [], []
    for row in rows("path_loss_quadriga.csv"):
        name, (d2d_m, h_bs_m, h_ut_m) = row["scenario"], ends(row)
        # As its files say, RMa has the breakpoint of UMa there, and InF-DL is not bound by InF-SL.
        uma_break_m = 13.34 * (h_bs_m - 1.0) * (h_ut_m - 1.0) * float(row["fc_ghz"])
        beyond = name == "RMa" and row["condition"] == "LOS" and d2d_m > uma_break_m
        if beyond or (name == "InF-DL" and d2d_m < 30.0):
            continue
        variant = name.partition("-")[2].lower() or "sl"
        model = SCENARIOS[name] if name in SCENARIOS else Inf(variant=variant)  # type: ignore[arg-type]
        found_db.append(_loss_db(model, row))
        expected_db.append(float(row["pathloss_db"]))
    pattern = rows("antenna_quadriga.csv")
    azimuth_deg, elevation_deg, gain_dbi = (
        np.array([float(row[name]) for row in pattern]) for name in pattern[0]
    )
    return Finding(
        [
            Row("path loss UMi, UMa, RMa, InH and InF", "QuaDRiGa 2.8.1 as in pyqd-channel 0.2.3",
                len(found_db), largest(found_db, expected_db), 0.01, "dB"),
            Row("gain of a sector's antenna over azimuth and elevation", "quadriga-lib 0.12.2",
                len(pattern), largest(Sector().pattern_dbi(azimuth_deg, elevation_deg), gain_dbi),
                1e-5, "dB"),
        ]
    )  # fmt: skip


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


def empirical(full: bool) -> Finding:
    """Compare every row of the table of empirical models."""
    result = []
    for name, what, tolerance_db in (
        ("okumura-hata", "Okumura-Hata", 1e-5),
        # ns-3 rounds the loss at 1 m to 46.6777 dB.
        ("three-slope", "three-slope", 7e-3),
    ):
        part = [row for row in rows("empirical_path_loss_ns3.csv") if row["model"] == name]
        found = []
        for row in part:
            model: PathLoss = ThreeSlope()
            if name == "okumura-hata":
                model = OkumuraHata(environment=row["environment"])  # type: ignore[arg-type]
            found.append(float(model.loss_db(*ends(row), float(row["fc_mhz"]) * 1e6, True)))
        worst = largest(found, [float(row["pathloss_db"]) for row in part])
        result.append(Row(f"path loss {what}", "ns-3.44", len(part), worst, tolerance_db, "dB"))
    return Finding(result)


def penetration(full: bool) -> Finding:
    """Compare the loss into buildings: walls by their materials, and the spread over devices."""
    # Glass and the rest of the wall [dB] by Table 7.4.3-1 of release 16 or 19; share of glass.
    walls = (
        ("low", 19, 3.5e9, 0.3, 2.7, 19.0), ("low", 19, 28e9, 0.3, 7.6, 117.0),
        ("high", 16, 3.5e9, 0.7, 24.05, 19.0), ("high", 16, 28e9, 0.7, 31.4, 117.0),
        ("high", 19, 3.5e9, 0.7, 25.785, 19.0), ("high", 19, 28e9, 0.7, 28.48, 117.0),
        ("low-a", 19, 3.5e9, 0.3, 2.7, 1.625), ("low-a", 19, 28e9, 0.3, 7.6, 5.79),
    )  # fmt: skip
    wall_db = [
        Penetration(model=model, release=release).wall_db(at_hz)
        for model, release, at_hz, *_ in walls
    ]
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
            Row("outdoor-to-indoor loss of walls", standard, len(walls),
                largest(wall_db, expected_db), 1e-6, "dB"),
            Row("outdoor-to-indoor loss: mean behind the wall", standard, count,
                max(mean_db), 4 * 7.2 / np.sqrt(count), "dB"),
            Row("outdoor-to-indoor loss: standard deviation over devices", standard, count,
                max(spread), 400.0 / np.sqrt(2 * count), "%"),
        ]
    )  # fmt: skip
