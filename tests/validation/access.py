"""Shared bands against closed forms: interference, turns, and the schedulers of a cell."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from scipy import integrate

from validation.check import Finding, Picture, Row, largest
from validation.networks import (
    BANDWIDTH_HZ,
    NOISE_W,
    POWER_W,
    at,
    gain,
    network,
    pairs,
    rate_bps,
    run,
)
from wnsim.channel import Carrier, Channel, Geometry, Propagation, Rayleigh, Shadowing
from wnsim.channel.path_loss import LogDistance
from wnsim.core.transfer import Message
from wnsim.core.units import Floats
from wnsim.mac import Cell, Reuse, Tdma


def interference(full: bool) -> Finding:
    """Compare the SINR and the latency on a band that three links use at once."""
    places = at((0.0, 700.0), (50.0, 700.0), (0.0, 1100.0), (50.0, 1100.0), (0.0, 0.0), (50.0, 0.0))
    # The measured link ends while the others are still on the air.
    sent = [Message(0, 1, 10**6, 2.0), Message(2, 3, 10**8, 2.0), Message(4, 5, 10**8, 2.0)]
    first, *_ = run(network(places, mac=Reuse()), sent)
    disturbed_w = POWER_W * sum(gain(float(np.hypot(50.0, y))) for y in (400.0, 700.0))
    sinr = POWER_W * gain(50.0) / (NOISE_W + disturbed_w)
    off_db = abs(first.mean_snr_db - 10 * np.log10(sinr))
    off = 100.0 * abs(first.latency_s * rate_bps(sinr) / 8e6 - 1.0)
    return Finding(
        [
            Row("SINR of three links on one band", "S / (N + I1 + I2)", 1, float(off_db), 1e-6,
                "dB"),
            Row("latency of three links on one band", "bits / (W log2(1 + SINR))", 1, off, 0.01,
                "%"),
        ]
    )  # fmt: skip


def turns(full: bool) -> Finding:
    """Compare the latency of four links that take turns."""
    made = network(pairs(4, 100.0), mac=Tdma())
    done = run(made, [Message(2 * pair, 2 * pair + 1, 10**7, 99.0) for pair in range(4)])
    alone_s = 8e7 / rate_bps(POWER_W * gain(100.0) / NOISE_W)
    worst = largest([transfer.latency_s for transfer in done], 4 * alone_s, relative=True)
    # Up to four slots of a millisecond.
    allowed = 100.0 * 4e-3 / (4 * alone_s)
    return Finding(
        [Row("latency of four links in turns", "four times one", 4, worst, allowed, "%")]
    )


def schedulers(full: bool) -> Finding:
    """Compare the goodput of a cell whose uplink is always full."""
    counts = (2, 4, 8, 16) if full else (4,)
    seconds = 8.0 if full else 3.0
    snr = 10.0
    found: dict[str, list[float]] = {"round-robin": [], "proportional-fair": []}
    expected: dict[str, list[float]] = {"round-robin": [], "proportional-fair": []}
    for users in counts:
        for name, best_of in (("round-robin", 1), ("proportional-fair", users)):
            found[name].append(_cell_bps_hz(name, users, snr, seconds))
            expected[name].append(_best_bps_hz(best_of, snr))
    result = []
    for name, law in (
        ("round-robin", "E[log2(1 + g SNR)], g exponential"),
        ("proportional-fair", "E[log2(1 + max g SNR)], g exponential"),
    ):
        worst = largest(found[name], expected[name], relative=True)
        # Three eighths of the time: 1.6 times the deviation.
        allowed = 3.0 if full else 5.0
        what = f"goodput of a full cell, {name} scheduler"
        result.append(Row(what, law, len(counts), worst, allowed, "%"))

    def draw(axes: Axes) -> None:
        users = np.arange(1, 21)
        fair = [_best_bps_hz(int(count), snr) for count in users]
        axes.plot(users, fair, color="C0", label="proportional fair: best of n")
        axes.plot(users, np.full(users.size, _best_bps_hz(1, snr)), "--", color="C1",
                  label="round robin: mean")  # fmt: skip
        axes.plot(counts, found["proportional-fair"], "o", color="C0", mfc="white")
        axes.plot(counts, found["round-robin"], "s", color="C1", mfc="white")
        axes.set(xlabel="Devices in the cell", ylabel="Goodput [bit/s/Hz]", ylim=(0, 6))
        axes.set_xticks([1, 5, 10, 15, 20])
        axes.legend(loc="lower right")

    picture = Picture(
        "schedulers",
        "Goodput of a cell with Rayleigh fading and a mean SNR of 10 dB: lines are the closed "
        "forms of the two schedulers, marks this simulator.",
        draw,
    )
    return Finding(result, (picture,))


def _best_bps_hz(best_of: int, snr: float) -> float:
    """Return the mean spectral efficiency of the best of some exponential gains."""

    def density(g: float) -> float:
        return float(best_of * np.exp(-g) * (1 - np.exp(-g)) ** (best_of - 1))

    return float(integrate.quad(lambda g: np.log2(1 + snr * g) * density(g), 0, 50)[0])


def _cell_bps_hz(scheduler: str, users: int, snr: float, seconds: float) -> float:
    """Return the goodput of the uplink of devices on a circle around their station."""
    angle = 2 * np.pi * np.arange(users) / users
    places = zip(500 + 200 * np.cos(angle), 500 + 200 * np.sin(angle), strict=True)
    made = network(
        at(*((float(x), float(y)) for x, y in places)),
        mac=Cell(scheduler=scheduler, memory_slots=1000),
        stations_m=((500.0, 500.0),),
        # Scatterers at 50 m/s: independent fading every millisecond or so.
        fading=Rayleigh(residual_speed_mps=50.0),
        power_w=snr * NOISE_W / gain(200.0),
    )
    # To the station itself: the uplink alone.
    done = run(made, [Message(user, users, 10**9, seconds) for user in range(users)])
    return sum(8 * transfer.acked_bytes for transfer in done) / seconds / BANDWIDTH_HZ


def _poisson_field(
    density: float, radius_m: float, number: int, extra_m: Floats
) -> tuple[Channel, int]:
    """Return the channel of a Poisson field in a disc, with further nodes first, and its size."""
    draws = np.random.default_rng(number)
    count = int(draws.poisson(density * np.pi * radius_m**2))
    r_m, angle = radius_m * np.sqrt(draws.random(count)), 2 * np.pi * draws.random(count)
    field_m = np.stack([r_m * np.cos(angle), r_m * np.sin(angle)], axis=1)
    places_m = np.concatenate([extra_m, field_m])
    channel = Channel(
        Propagation(LogDistance(exponent=4.0), Shadowing(sigma_db=0.0), Rayleigh()),
        Carrier(2e9),
        Geometry(
            np.full(len(places_m), 1.5),
            lambda nodes, t_s: np.repeat(places_m[nodes][:, None], len(t_s), axis=1),
            0.0,
        ),
        number,
    )
    return channel, count


def _powers(channel: Channel, first: int, count: int) -> Floats:
    """Return the power at node 0 of the nodes from one on, at equal transmit powers."""
    source = first + np.arange(count)
    gain_db = channel.gain_db(source, np.zeros(count, dtype=np.int64), np.zeros(1))
    return np.asarray(10 ** (gain_db[:, 0, 0] / 10))


def poisson_cells(full: bool) -> Finding:
    """Compare the SIR of the nearest of a Poisson field of base stations with its closed form."""
    trials = 4000 if full else 400
    user_m = np.zeros((1, 2))
    ratio_db = []
    for number in range(trials):
        channel, count = _poisson_field(1e-4, 1000.0, number, user_m)
        power = _powers(channel, 1, count)
        source, target = 1 + np.arange(count), np.zeros(count, dtype=np.int64)
        nearest = int(np.argmax(channel.large_scale_db(source, target, np.zeros(1))))
        ratio_db.append(10 * np.log10(power[nearest] / (power.sum() - power[nearest])))
    levels_db = np.array([-5.0, 0.0, 5.0, 10.0])
    found = np.array([np.mean(np.array(ratio_db) > level) for level in levels_db])
    root = np.sqrt(10 ** (levels_db / 10))
    expected = 1 / (1 + root * (np.pi / 2 - np.arctan(1 / root)))
    allowed = 4 * float(np.max(np.sqrt(expected * (1 - expected) / trials)))
    what = "coverage by the nearest of a Poisson field of base stations, exponent 4"
    against = "Andrews, Baccelli and Ganti, IEEE Trans. Commun. 59, 2011"
    return Finding([Row(what, against, levels_db.size, largest(found, expected), allowed)])


def poisson_links(full: bool) -> Finding:
    """Compare the outage of a link of given length among a Poisson field of interferers."""
    trials, length_m, density = (4000 if full else 400), 20.0, 2e-4
    ends_m = np.array([[0.0, 0.0], [length_m, 0.0]])
    ratio = []
    for number in range(trials):
        channel, count = _poisson_field(density, 700.0, 100_000 + number, ends_m)
        power = _powers(channel, 1, count + 1)
        ratio.append(power[0] / power[1:].sum())
    levels_db = np.array([-5.0, 0.0, 5.0, 10.0])
    level = 10 ** (levels_db / 10)
    found = np.array([np.mean(np.array(ratio) > each) for each in level])
    expected = np.exp(-density * np.pi * length_m**2 * np.sqrt(level) * np.pi / 2)
    allowed = 4 * float(np.max(np.sqrt(expected * (1 - expected) / trials)))
    what = "success of a link of 20 m among a Poisson field of interferers, exponent 4"
    against = "Baccelli and Blaszczyszyn, Stochastic geometry and wireless networks, 2009"
    return Finding([Row(what, against, levels_db.size, largest(found, expected), allowed)])
