"""Mobility against its stationary laws."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from reference_tables import rows
from scipy import stats
from test_mobility import REFERENCE, SIDE_M, WAYPOINT, speeds_mps
from test_mobility_laws import velocities_mps

from validation.check import Finding, Picture, Row, largest
from wnsim.contacts import contacts
from wnsim.mobility import GaussMarkov, Mobility, RandomDirection, RandomWaypoint

_COUNT = 4000


def waypoint_speeds(full: bool) -> Finding:
    """Compare speed and pauses of random waypoint at the beginning and long after it."""
    motion = WAYPOINT.motion(_COUNT, SIDE_M, 1)
    paused = float(REFERENCE["fraction_paused"])
    moving_mps = float(REFERENCE["mean_speed_while_moving"])
    shares, means_mps, spreads = [], [], []
    times_s = (0.0, 300.0, 5000.0)
    for t_s in times_s:
        speed_mps = speeds_mps(motion, t_s)
        moving = speed_mps > 1e-3
        shares.append(np.mean(~moving))
        means_mps.append(np.mean(speed_mps[moving]))
        spreads.append(np.std(speed_mps[moving]))
    return Finding(
        [
            Row("random waypoint: mean speed at 0, 300 and 5000 s", "1/E[1/v]",
                3 * _COUNT, largest(means_mps, moving_mps),
                float(4 * np.max(spreads) / np.sqrt(_COUNT)), "m/s"),
            Row("random waypoint: share of devices that pause", "pause / (pause + E[L] E[1/v])",
                3 * _COUNT, largest(shares, paused), float(4 * np.sqrt(paused / _COUNT))),
        ]
    )  # fmt: skip


def waypoint_density(full: bool) -> Finding:
    """Compare where devices are: nearly 6 x (1 - x) over each side."""
    count, side_m = 2000, 1000.0
    motion = RandomWaypoint(speed_mps=(2.0, 2.0)).motion(count, (side_m, side_m), 6)
    at_m = motion.position_m(np.arange(count), np.linspace(0.0, 20_000.0, 21))
    edge = np.linspace(0.0, 1.0, 11)
    law = np.diff(3 * edge**2 - 2 * edge**3)
    share = np.histogram(at_m / side_m, bins=edge)[0] / at_m.size
    first = np.histogram(at_m[:, 0] / side_m, bins=edge)[0] / at_m[:, 0].size
    (table,) = (row for row in rows("mobility_stats_ns3.csv") if row["stat"] == "std_x")
    spread = 100.0 * abs(float(np.std(at_m[..., 0])) / float(table["value"]) - 1.0)

    def draw(axes: Axes) -> None:
        x = np.linspace(0.0, 1.0, 200)
        axes.plot(side_m * x, 6 * x * (1 - x), color="0.4", label="6 x (1 - x)")
        middle_m = side_m * (edge[1:] + edge[:-1]) / 2
        axes.plot(middle_m, 10 * first, "s", mfc="white", label="at 0 s")
        axes.plot(middle_m, 10 * share, "o", mfc="white", label="0 to 20,000 s")
        axes.set(xlabel="Place x [m]", ylabel="Density, relative to uniform")
        axes.legend(loc="lower center")

    picture = Picture(
        "mobility",
        "Where devices with random waypoint motion are, along one side of the area: from the first "
        "instant on as the stationary law, of which the parabola is the known approximation.",
        draw,
    )
    return Finding(
        [
            Row("random waypoint: share in each tenth of a side",
                "6 x (1 - x) (Bettstetter et al., an approximation)", 10, largest(share, law),
                0.012),
            Row("random waypoint: standard deviation of a coordinate", "ns-3 3.44", at_m.shape[0],
                spread, 2.0, "%"),
        ],
        (picture,),
    )  # fmt: skip


def gauss_markov(full: bool) -> Finding:
    """Compare mean, variance and memory of the speed."""
    count, lags = 2000, np.arange(1, 6)
    found: dict[float, np.ndarray] = {}
    means_mps = []
    for alpha in (0.25, 0.5, 0.85, 0.95):
        model = GaussMarkov(alpha=alpha, mean_speed_mps=10.0, sd_speed_mps=1.0, interval_s=1.0)
        motion = model.motion(count, (1e6, 1e6), 11)
        speed_mps = np.array(
            [np.linalg.norm(velocities_mps(motion, 200.3 + lag), axis=1) for lag in (0, *lags)]
        )
        means_mps.append(np.mean(speed_mps))
        found[alpha] = np.corrcoef(speed_mps)[0, 1:]
    worst = max(largest(values, alpha**lags) for alpha, values in found.items())

    def draw(axes: Axes) -> None:
        lag = np.linspace(0.0, 5.0, 100)
        for number, (alpha, values) in enumerate(found.items()):
            axes.plot(lag, alpha**lag, color=f"C{number}")
            axes.plot(
                lags, values, "o", color=f"C{number}", mfc="white", label=f"alpha = {alpha:g}"
            )
        axes.set(xlabel="Lag [s]", ylabel="Autocorrelation of the speed", ylim=(-0.08, 1.45))
        axes.legend(ncols=2, loc="upper right")

    picture = Picture(
        "gauss_markov",
        "Memory of Gauss-Markov speeds at four values of alpha: lines are alpha to the power of "
        "the lag, circles 2,000 devices.",
        draw,
    )
    return Finding(
        [
            Row("Gauss-Markov: autocorrelation of the speed", "alpha^lag", 4 * lags.size, worst,
                4.0 / np.sqrt(count)),
            Row("Gauss-Markov: mean speed", "its parameter", 4 * count,
                largest(means_mps, 10.0, relative=True), 2.0, "%"),
        ],
        (picture,),
    )  # fmt: skip


def uniform_places(full: bool) -> Finding:
    """Compare where devices that walk at random are after a long time: anywhere."""
    from test_mobility_laws import AREA_M, COUNT, DEVICES, TIMES_S, UNIFORM

    worst = 0.0
    for model in UNIFORM.values():
        motion = model.motion(COUNT, AREA_M, 7)
        for t_s in TIMES_S:
            at_m = motion.position_m(DEVICES, np.array([t_s]))[:, 0] / np.array(AREA_M)
            for axis in range(2):
                worst = max(worst, float(stats.kstest(at_m[:, axis], "uniform").statistic))
    cases = len(UNIFORM) * len(TIMES_S) * COUNT
    what = "random walk, random direction and Gauss-Markov: places"
    against = "uniform, Kolmogorov-Smirnov distance at the 0.1 % level"
    return Finding([Row(what, against, cases, worst, 1.95 / np.sqrt(COUNT))])


def contact_laws(full: bool) -> Finding:
    """Compare how often two devices meet, and how long they stay in range."""
    side_m, range_m, speed_mps, count = 1000.0, 50.0, 10.0, 60
    until_s = 2000.0 if full else 500.0
    unit = range_m / side_m
    # Mean relative speed of two uniform directions, and law of the distance of two uniform places:
    # a pair comes into range at the density of the distance there, times this speed over pi.
    relative_mps = 4.0 * speed_mps / np.pi
    density = 2 * np.pi * unit - 8 * unit**2 + 2 * unit**3
    share = np.pi * unit**2 - 8 * unit**3 / 3 + unit**4 / 2
    rate_hz = relative_mps * density / (np.pi * side_m)
    # Groenevelt's constant of random waypoint: the square of its density, over a uniform one.
    waypoint_hz = 1.3683 * 2 * range_m * relative_mps / side_m**2
    chord_s = np.pi * range_m / (2 * relative_mps)
    speeds = (speed_mps, speed_mps)
    models: list[tuple[str, Mobility, str, float, float]] = [
        ("random direction", RandomDirection(speed_mps=speeds, travel_s=(30.0, 90.0)),
         "2 r E[V] / A (Groenevelt et al., 2005), with borders", rate_hz, share / rate_hz),
        ("random waypoint", RandomWaypoint(speed_mps=speeds),
         "1.3683 x 2 r E[V] / A (Groenevelt et al., 2005)", waypoint_hz, chord_s),
    ]  # fmt: skip
    result = []
    for name, model, law, expected_hz, expected_s in models:
        motion = model.motion(count, (side_m, side_m), 5)
        found = contacts(motion, range_m, until_s).rows
        begun = int(np.count_nonzero(found["begin_s"] > 0.0))
        found_hz = begun / (0.5 * count * (count - 1) * until_s)
        found_s = np.sum(found["end_s"] - found["begin_s"]) / begun
        # Four standard errors of a Poisson number; lengths of chords vary by 0.28 of their mean,
        # those of relative speeds by more.
        allowed = 400.0 / np.sqrt(begun)
        result.append(Row(f"{name}: contacts of a pair per time", law, begun,
                          100.0 * abs(found_hz / expected_hz - 1.0), allowed, "%"))  # fmt: skip
        result.append(Row(f"{name}: mean duration of a contact", "pi r / (2 E[V]), with borders"
                          if name == "random direction" else "pi r / (2 E[V])", begun,
                          100.0 * abs(found_s / expected_s - 1.0), allowed, "%"))  # fmt: skip
    return Finding(result)
