"""Transfers, queues and energy against closed forms."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from scipy import integrate, special

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
from wnsim.channel import Nakagami, Rayleigh
from wnsim.core.transfer import Message
from wnsim.core.units import NS_PER_S
from wnsim.network.energy_ledger import EnergyLedger
from wnsim.phy import Shannon
from wnsim.workload.background import Background
from wnsim.world.energy import Energy

# One in a thousand means of 20 batches is farther off, in standard errors: Student's t.
_STUDENT = 3.88


def static_links(full: bool) -> Finding:
    """Compare the latency on a static link, and with a band split over receivers."""
    distances_m = (10.0, 100.0, 1000.0)
    found_s = [
        run(network(pairs(1, distance_m)), [Message(0, 1, 2_000_000, 1e3)])[0].latency_s
        for distance_m in distances_m
    ]
    expected_s = [
        16e6 / rate_bps(POWER_W * gain(distance_m) / NOISE_W) for distance_m in distances_m
    ]
    around = at((100.0, 100.0), (200.0, 100.0), (100.0, 200.0), (0.0, 100.0), (100.0, 0.0))
    split = run(network(around), [Message(0, target, 2_000_000, 1e3) for target in range(1, 5)])
    quarter_s = 16e6 / rate_bps(POWER_W * gain(100.0) / NOISE_W, 0.25)
    return Finding(
        [
            Row("latency of 2 MB on a static link, 10 to 1000 m", "bits / (W log2(1 + SNR))", 3,
                largest(found_s, expected_s, relative=True), 0.01, "%"),
            Row("latency of 2 MB to each of four receivers", "a quarter of band and power each", 4,
                largest([each.latency_s for each in split], quarter_s, relative=True), 0.01, "%"),
        ]
    )  # fmt: skip


def rayleigh_rate(full: bool) -> Finding:
    """Compare the mean time of long transfers in Rayleigh fading."""
    count, size_bytes = (100, 25_000_000) if full else (40, 10_000_000)
    snr_db = 10.0
    made = network(pairs(count, 100.0), fading=Rayleigh(residual_speed_mps=10.0), snr_db=snr_db)
    sent = [Message(2 * pair, 2 * pair + 1, size_bytes, 1e3) for pair in range(count)]
    latency_s = np.array([transfer.latency_s for transfer in run(made, sent)])
    snr = 10 ** (snr_db / 10)
    mean_bps_hz, _ = integrate.quad(lambda g: np.exp(-g) * np.log2(1 + snr * g), 0, np.inf)
    expected_s = 8 * size_bytes / (BANDWIDTH_HZ * mean_bps_hz)
    error = 100.0 * latency_s.std(ddof=1) / np.sqrt(count) / expected_s
    worst = 100.0 * abs(latency_s.mean() / expected_s - 1.0)
    what = "mean latency in Rayleigh fading over many coherence times"
    against = "bits / (W E[log2(1 + g SNR)]), three standard errors"
    return Finding([Row(what, against, count, float(worst), float(3 * error), "%")])


def outage(full: bool) -> Finding:
    """Compare how many deadlines are missed on links that fade but do not change."""
    count = 4000 if full else 300
    levels = np.array([0.05, 0.1, 0.3, 1.0, 2.0])
    snr_db, lifetime_s = 10.0, 0.02
    found = []
    for number, level in enumerate(levels):
        # So many bits fit in the lifetime if the power is at least this level of its mean.
        bits = BANDWIDTH_HZ * np.log2(1 + level * 10 ** (snr_db / 10)) * lifetime_s
        made = network(
            pairs(count, 100.0), fading=Rayleigh(residual_speed_mps=0.0), snr_db=snr_db,
            seed=number,
        )  # fmt: skip
        sent = [Message(2 * n, 2 * n + 1, round(bits / 8), lifetime_s) for n in range(count)]
        found.append(np.mean([not transfer.delivered for transfer in run(made, sent)]))
    expected = 1 - np.exp(-levels)

    def draw(axes: Axes) -> None:
        level = np.geomspace(0.03, 3.0, 200)
        axes.loglog(level, 1 - np.exp(-level), color="0.4", label="1 - exp(-x)")
        axes.loglog(levels, found, "o", mfc="white", label=f"{count} links each")
        axes.set(xlabel="Power needed over mean power, x", ylabel="Deadlines missed")
        axes.legend()

    picture = Picture(
        "outage",
        "Share of messages that miss their deadline on links in Rayleigh fading without motion, by "
        "the power that the message would need.",
        draw,
    )
    # Four standard errors of the largest binomial deviation.
    allowed = 4 * float(np.max(np.sqrt(expected * (1 - expected) / count)))
    what = "missed deadlines on Rayleigh links without motion"
    cases = count * levels.size
    row = Row(what, "1 - exp(-x)", cases, largest(found, expected), allowed)
    return Finding([row], (picture,))


def nakagami_outage(full: bool) -> Finding:
    """Compare missed deadlines on links whose Nakagami fading does not change."""
    count = 2000 if full else 300
    snr_db, lifetime_s = 10.0, 0.02
    shapes, levels = (0.5, 2.0, 4.0), (0.1, 0.5, 1.0)
    found, expected = [], []
    for number, (m, level) in enumerate((m, level) for m in shapes for level in levels):
        bits = BANDWIDTH_HZ * np.log2(1 + level * 10 ** (snr_db / 10)) * lifetime_s
        fading = Nakagami(m=m, residual_speed_mps=0.0)
        made = network(pairs(count, 100.0), fading=fading, snr_db=snr_db, seed=number)
        sent = [Message(2 * n, 2 * n + 1, round(bits / 8), lifetime_s) for n in range(count)]
        found.append(np.mean([not transfer.delivered for transfer in run(made, sent)]))
        expected.append(special.gammainc(m, m * level))
    law = np.array(expected)
    # Four standard errors of the largest binomial deviation.
    allowed = 4 * float(np.max(np.sqrt(law * (1 - law) / count)))
    what = "missed deadlines on Nakagami links without motion, m 0.5 to 4"
    against = "incomplete gamma function P(m, m x)"
    return Finding([Row(what, against, count * law.size, largest(found, law), allowed)])


def waiting_time(full: bool) -> Finding:
    """Compare the time that messages wait at a device with Poisson arrivals."""
    bandwidth_hz, service_s, until_s = 1e6, 8.05e-3, 120.0 if full else 50.0
    size = round(service_s * bandwidth_hz / 8)
    # The service and half a slot of 0.1 ms until the next begins.
    occupied_s = service_s + 0.05e-3
    loads = (0.3, 0.5, 0.8) if full else (0.5,)
    found, expected, errors = [], [], []
    for number, load in enumerate(loads):
        made = network(
            pairs(1, 100.0), bandwidth_hz=bandwidth_hz, block_ns=100_000,
            phy=Shannon(max_bps_hz=1.0),
        )  # fmt: skip
        rate = load * 8 * size / occupied_s
        Background(rate_bps=rate, size_bytes=size, senders=(0,)).start(made, 2, 11 + number, 0)
        made.env.run(until=int(until_s * NS_PER_S))
        waits_s = np.array([transfer.queue_s for transfer in made.transfers])
        found.append(float(waits_s.mean()))
        expected.append(load * occupied_s / (2 * (1 - load)) + 0.05e-3)
        batches = waits_s[: waits_s.size // 20 * 20].reshape(20, -1).mean(axis=1)
        errors.append(float(batches.std(ddof=1) / np.sqrt(20)))
    off = [abs(a - b) / error for a, b, error in zip(found, expected, errors, strict=True)]
    what = f"mean waiting time of Poisson arrivals, load {', '.join(map(str, loads))}"
    against = "M/D/1 (Pollaczek and Khinchine)"
    row = Row(what, against, len(loads), max(off), _STUDENT, "standard errors")
    if not full:
        return Finding([row])

    def draw(axes: Axes) -> None:
        load = np.linspace(0.05, 0.85, 100)
        law = load * occupied_s / (2 * (1 - load)) + 0.05e-3
        axes.plot(load, 1e3 * law, color="0.4", label="M/D/1")
        spread = 3e3 * np.array(errors)
        axes.errorbar(loads, 1e3 * np.array(found), spread, fmt="o", mfc="white", capsize=2,
                      label="three standard errors")  # fmt: skip
        axes.set(xlabel="Load", ylabel="Mean waiting time [ms]")
        axes.legend()

    text = "Mean time that messages with Poisson arrivals and a service of 8 ms wait."
    return Finding([row], (Picture("waiting", text, draw),))


def energy(full: bool) -> Finding:
    """Compare what a transfer and a computation cost with the sum of the parts."""
    made = network(pairs(1, 100.0))
    model = Energy(
        amplifier_efficiency=0.4, transmit_circuit_w=0.3, receive_w=0.2, idle_w=0.05,
        energy_per_flop_j=2e-12,
    )  # fmt: skip
    ledger = EnergyLedger(model, made, np.full(2, POWER_W))
    ledger.flops[0] += 1e12
    (transfer,) = run(made, [Message(0, 1, 10**7, 9.0)])
    made.env.run(until=10 * NS_PER_S)
    # The last slot is used in part, but on for all of it.
    on_s = transfer.blocks * 1e-3
    expected_j = {
        "transmit": [(POWER_W / 0.4 + 0.3) * on_s, 0.0],
        "receive": [0.0, 0.2 * on_s],
        "idle": [0.05 * (10.0 - on_s)] * 2,
        "compute": [2.0, 0.0],
    }
    spent_j = ledger.spent_j()
    worst = max(largest(spent_j[name], joules) for name, joules in expected_j.items())
    what = "energy of sending, receiving, idling and computing"
    return Finding([Row(what, "powers times durations", 8, worst, 1e-6, "J")])


def priorities(full: bool) -> Finding:
    """Compare the time that messages of two priorities wait at a device."""
    bandwidth_hz, service_s, until_s = 1e6, 8.05e-3, 200.0 if full else 30.0
    size = round(service_s * bandwidth_hz / 8)
    # The service and half a slot of 0.1 ms until the next begins.
    occupied_s, load = service_s + 0.05e-3, 0.35
    made = network(
        pairs(1, 100.0), bandwidth_hz=bandwidth_hz, block_ns=100_000, phy=Shannon(max_bps_hz=1.0)
    )
    for number, priority in enumerate((1, 0)):
        rate = load * 8 * size / occupied_s
        traffic = Background(rate_bps=rate, size_bytes=size, senders=(0,), priority=priority)
        traffic.start(made, 2, 21 + number, number)
    made.env.run(until=int(until_s * NS_PER_S))
    # Work ahead on arrival, rho S / 2; the urgent messages wait for it and for each other.
    work_s = 2 * load * occupied_s / 2
    expected = (work_s / (1 - load), work_s / ((1 - load) * (1 - 2 * load)))
    off = []
    for priority, mean_s in zip((1, 0), expected, strict=True):
        waits_s = np.array(
            [each.queue_s for each in made.transfers if each.message.priority == priority]
        )
        batches = waits_s[: waits_s.size // 20 * 20].reshape(20, -1).mean(axis=1)
        error_s = float(batches.std(ddof=1) / np.sqrt(20))
        off.append(abs(float(waits_s.mean()) - mean_s - 0.05e-3) / error_s)
    what = "mean waiting time of two priorities, load 0.35 each"
    against = "Cobham, Operations Research 2, 1954 (no preemption)"
    return Finding([Row(what, against, 2, max(off), _STUDENT, "standard errors")])
