"""Wi-Fi against other simulators and Bianchi's closed form."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from reference_tables import rows
from test_csma import (
    ACK,
    DATA,
    DIFS,
    PACKET_BITS,
    SIFS,
    SLOT,
    Offer,
    at,
    attempt_probability,
    bianchi,
    circle,
    drive,
    hidden,
    make_world,
    mean_of_seeds,
    packets,
    saturation,
)
from test_wifi import BITS, db, scheme

from validation.check import Finding, Picture, Row, largest
from wnsim.mac import Csma
from wnsim.mac.csma import Aggregation
from wnsim.phy import Wifi
from wnsim.phy.wifi_formats import schemes

_NS3 = "ns-3 3.44, mean of 3 seeds"
# Data bits per OFDM symbol of 802.11a, and the rate of the acknowledgement, by rate [Mbit/s].
_SYMBOL_BITS = {6: 24, 24: 96, 54: 216}
_ACK_MBPS = {6: 6, 24: 24, 54: 24}
# 1428 bytes with 36 of headers.
_FRAME_BYTES = 1464
# Data bits per OFDM symbol by rate [Mbit/s], and the rate of the acknowledgement (802.11a).
_SYMBOL_BITS = {6: 24, 9: 36, 12: 48, 24: 96, 54: 216}
_ACK_RATE = {6: 6, 9: 6, 12: 12, 24: 24, 54: 24}


def frame_errors(full: bool) -> Finding:
    """Compare the errors of frames with two models of ns-3."""
    table = [row for row in rows("wifi_per_vs_snr_ns3.csv") if row["model"] == "Nist"]
    found = [
        float(
            scheme(row["standard"][-1], float(row["rate_mbps"]), "hard").error(
                np.array([10 ** (float(row["snr_db"]) / 10)]), BITS
            )[0]
        )
        for row in table
    ]
    hard = largest(found, [float(row["per"]) for row in table], relative=True)
    links = [row for row in rows("wifi_per_vs_snr_ns3.csv") if row["model"] == "TableBased"]
    off_db = []
    for mode in sorted({row["mode"] for row in links}):
        part = [row for row in links if row["mode"] == mode and 1e-5 < float(row["per"]) < 0.99]
        log = -np.log([float(row["per"]) for row in part])
        frame = scheme(part[0]["standard"][-1], float(part[0]["rate_mbps"]))
        for error in (0.1, 0.01):
            there_db = np.interp(-np.log(error), log, [float(row["snr_db"]) for row in part])
            off_db.append(abs(db(frame.threshold(BITS, error)) - float(there_db)))
    shape_db = []
    for frame in schemes("ax", decoding="parity-checks"):
        part = [row for row in rows("wifi_ldpc_per_ns3.csv") if int(row["mcs"]) == frame.mcs]
        log = -np.log([float(row["per"]) for row in part])
        # One in ten is calibrated.
        for error in (0.8, 0.5, 0.2, 0.05, 0.01, 0.003):
            there_db = np.interp(-np.log(error), log, [float(row["snr_db"]) for row in part])
            shape_db.append(abs(db(frame.threshold(8 * 1458, error)) - float(there_db)))

    def draw(axes: Axes) -> None:
        for number, rate_mbps in enumerate((6.0, 12.0, 24.0, 54.0)):
            part = [
                row
                for row in links
                if row["standard"].endswith("a") and float(row["rate_mbps"]) == rate_mbps
            ]
            color = f"C{number}"
            level_db = np.linspace(-2.0, 27.0, 600)
            frame = scheme("a", rate_mbps)
            error = frame.error(10 ** (level_db / 10), BITS)
            axes.semilogy(level_db, error, color=color)
            points = [(float(row["snr_db"]), float(row["per"])) for row in part]
            axes.semilogy(*np.transpose(points), "o", color=color, mfc="white",
                          label=f"{rate_mbps:g} Mbit/s")  # fmt: skip
        axes.set(xlabel="SNR [dB]", ylabel="Packet error rate", ylim=(1e-3, 1.6), xlim=(-1, 32))
        axes.legend(loc="right", handlelength=1.0)

    picture = Picture(
        "wifi_errors",
        "Errors of 802.11a packets of 1400 bytes: lines are this simulator's soft decoder, circles "
        "the tables from link simulations that ns-3 ships.",
        draw,
    )
    return Finding(
        [
            Row("packet error rate, hard decoder", "NIST model of ns-3 3.44", len(table), hard,
                1e-4, "%"),
            Row("SNR of 10 % and 1 % packet errors, soft decoder",
                "tables from link simulations in ns-3 3.44", len(off_db), max(off_db), 0.25, "dB"),
            Row("SNR of 80 % to 0.3 % packet errors, parity-check code; that of 10 % is calibrated",
                "tables from link simulations in ns-3", len(shape_db), max(shape_db), 0.12, "dB"),
        ],
        (picture,),
    )  # fmt: skip


def saturated_bianchi(full: bool) -> Finding:
    """Compare the goodput of saturated stations that all hear each other."""
    counts = (2, 5, 10, 20, 35, 50) if full else (5, 20)
    seconds = 3 if full else 2
    found, expected = [], []
    for count in counts:
        world = make_world(circle(count, 0.4), Wifi(rate_mbps=24.0))
        offers = [Offer(0, node, ((node + 1) % count,), 10**9) for node in range(count)]
        attempts, _ = drive(world, Csma(retry_limit=1000), offers, until_ns=seconds * 10**9)
        found.append(packets(attempts) / seconds)
        expected.append(bianchi(count, (DATA + SIFS + ACK + DIFS) * 1e-9, (DATA + DIFS) * 1e-9))
    what = f"goodput of {counts[0]} to {counts[-1]} saturated stations at 24 Mbit/s"
    # The closed form takes attempts in different slots to be independent: good to 2 or 3 %.
    worst = largest(found, expected, relative=True)
    row = Row(what, "Bianchi, IEEE JSAC 18, 2000", len(counts), worst, 3.0, "%")
    return Finding([row])


def _frame_s(size_bytes: int, rate_mbps: int) -> float:
    """Return the duration of a frame of 802.11a: 20 us of preamble, and symbols of 4 us [s]."""
    bits = 16 + 6 + 8 * size_bytes
    return 20e-6 + 4e-6 * -(-bits // _SYMBOL_BITS[rate_mbps])


def _mixed(frames: list[tuple[int, int]]) -> float:
    """Return packets per second of each saturated station, which is the same for all.

    In Bianchi's model all stations attempt equally often, whatever their frames are; of frames that
    collide the longest one counts.

    Parameters
    ----------
    frames : size [byte] and rate [Mbit/s] of the frames of each station
    """
    count = len(frames)
    frame_s = np.sort([_frame_s(*frame) for frame in frames])
    ack_s = np.array([_frame_s(14, _ACK_MBPS[rate]) for _, rate in frames])
    tau = attempt_probability(count)
    alone = tau * (1 - tau) ** (count - 1)
    shorter = np.arange(count)
    longest = tau * (1 - tau) ** (count - 1 - shorter) * (1 - (1 - tau) ** shorter)
    slot_s = (
        (1 - tau) ** count * SLOT * 1e-9
        + alone * np.sum(frame_s + ack_s + (SIFS + DIFS) * 1e-9)
        + np.sum(longest * (frame_s + DIFS * 1e-9))
    )
    return float(alone / slot_s)


def performance_anomaly(full: bool) -> Finding:
    """Compare stations at 54 Mbit/s with one at 6 Mbit/s, whose receiver is far away."""
    counts = (2, 5, 10) if full else (5,)
    seconds = 12 if full else 6
    # At 83 m the SNR of 5.7 dB allows 6 Mbit/s without errors.
    phy = Wifi(target_error=1e-6)
    mac = Csma(retry_limit=1000, detection_dbm=-95.0, energy_dbm=-95.0)
    fast, slow, law = [], [], []
    for count in counts:
        near_m = circle(count, 0.4).position_m(np.arange(count), np.zeros(1))[:, 0]
        world = make_world(at(*map(tuple, near_m.tolist()), (84.0, 0.4)), phy)
        offers = [Offer(0, 0, (count,), 10**10)]
        offers += [Offer(0, node, ((node + 1) % count,), 10**10) for node in range(1, count)]
        attempts, _ = drive(world, mac, offers, until_ns=seconds * 10**9)
        slow.append(packets(attempts[:1]) / seconds)
        fast.append(packets(attempts[1:]) / seconds / (count - 1))
        law.append(_mixed([(_FRAME_BYTES, 6)] + [(_FRAME_BYTES, 54)] * (count - 1)))
    each = [(one + (count - 1) * other) / count
            for count, one, other in zip(counts, slow, fast, strict=True)]  # fmt: skip
    # After a collision with a short frame, its station starts to count 45 us, an acknowledgement
    # timeout, before that of the long frame, so that the latter sends up to a tenth less; the
    # number of its packets scatters by 2 %. The airtimes differ by a factor of 8.
    return Finding(
        [
            Row("one station at 6 Mbit/s, others at 54: its packets over theirs",
                "equal (Heusse et al., INFOCOM 2003)", len(counts),
                largest(slow, fast, relative=True), 15.0, "%"),
            Row("one station at 6 Mbit/s, others at 54: packets of a station",
                "Bianchi's model, longest frame of a collision", len(counts),
                largest(each, law, relative=True), 4.0 if full else 6.0, "%"),
        ]
    )  # fmt: skip


def two_sizes(full: bool) -> Finding:
    """Compare saturated stations of which half send short packets."""
    counts = (4, 10) if full else (4,)
    seconds, short_bytes = (6 if full else 3), 200
    found, law = [], []
    for count in counts:
        world = make_world(circle(count, 0.4), Wifi(rate_mbps=24.0))
        offers = []
        for node in range(count):
            target = ((node + 1) % count,)
            many = 4000 * seconds // count if node % 2 else 1
            bits = 8 * short_bytes if node % 2 else 10**10
            offers += [Offer(0, node, target, bits)] * many
        attempts, _ = drive(world, Csma(retry_limit=1000), offers, until_ns=seconds * 10**9)
        size = np.array([8 * short_bytes if each.source % 2 else PACKET_BITS for each in attempts])
        done = np.array([each.acked_bits for each in attempts]) / size
        odd = np.array([each.source % 2 == 1 for each in attempts])
        each = _mixed([(short_bytes + 36, 24), (_FRAME_BYTES, 24)] * (count // 2))
        for part in (odd, ~odd):
            found.append(done[part].sum() / seconds / (count // 2))
            law.append(each)
    what = "packets of saturated stations of which half send 200 bytes, half 1428"
    against = "Bianchi's model, longest frame of a collision"
    # As above, and the scatter of a few thousand packets.
    worst = largest(found, law, relative=True)
    return Finding([Row(what, against, len(found), worst, 4.0 if full else 8.0, "%")])


def saturated_ns3(full: bool) -> Finding:
    """Compare the time until saturated stations have delivered everything."""
    cases = saturation() if full else [case for case in saturation() if case[1] == 5]
    seeds = 6 if full else 4
    found = [mean_of_seeds(count, 0.4, rate, each, seeds) for rate, count, each, _, _ in cases]
    time_s, delivered = np.transpose(found)
    worst = largest(time_s, [case[3] for case in cases], relative=True)
    arrived = largest(delivered, [case[4] for case in cases], relative=True)

    def draw(axes: Axes) -> None:
        for number, rate in enumerate(sorted({case[0] for case in cases})):
            part = [place for place, case in enumerate(cases) if case[0] == rate]
            count = [cases[place][1] for place in part]
            size = [8 * 1400 * cases[place][4] / 1e6 for place in part]
            other = [each / cases[place][3] for each, place in zip(size, part, strict=True)]
            mine = [each / time_s[place] for each, place in zip(size, part, strict=True)]
            axes.semilogx(count, other, "x", color=f"C{number}")
            axes.semilogx(count, mine, "o-", color=f"C{number}", mfc="none",
                          label=f"{rate:g} Mbit/s")  # fmt: skip
        axes.semilogx([], [], "x", color="0.3", label="ns-3")
        axes.set(xlabel="Stations", ylabel="Goodput [Mbit/s]", ylim=(0, 44))
        axes.set_xticks([2, 5, 20], ["2", "5", "20"])
        axes.set_xticks([], minor=True)
        axes.legend(ncols=2, loc="upper right")

    picture = Picture(
        "wifi_saturation",
        "Goodput of saturated 802.11a stations that all hear each other: circles are this "
        "simulator, crosses ns-3.",
        draw,
    )
    return Finding(
        [
            Row("time to deliver all packets of saturated stations", _NS3, len(cases), worst, 3.0,
                "%"),
            Row("packets delivered by them", _NS3, len(cases), arrived, 0.5, "%"),
        ],
        (picture,) if full else (),
    )  # fmt: skip


def aggregation(full: bool) -> Finding:
    """Compare the goodput of saturated stations with and without aggregation and requests to send.

    The reference are 24 configurations. Those that were set aside before any result was seen are a
    row of their own.
    """
    table = rows("wifi_aggregation_ns3.csv")
    keys = ("standard", "mcs", "stations", "aggregation", "rts", "held_out")
    cases = list(dict.fromkeys(tuple(row[key] for key in keys) for row in table))
    if not full:
        cases = [case for case in cases if case[2] == "5" and case[0] == "ax"]
    parts: dict[str, list[tuple[float, float]]] = {}
    for case in cases:
        of_case = [row for row in table if tuple(row[key] for key in keys) == case]
        theirs = [float(row["goodput_mbps"]) for row in of_case]
        seconds = int(of_case[0]["duration_s"]) if full else 1
        found = _aggregated_mbps(case, seeds=2 if full else 1, seconds=seconds)
        name = "set aside" if case[5] == "1" else "aggregated" if case[3] == "1" else "single"
        parts.setdefault(name, []).append((found, float(np.mean(theirs))))
    made = []
    for name, what in (
        ("single", "goodput of saturated stations, 802.11n and ax, single packets"),
        ("aggregated", "the same with A-MPDU"),
        ("set aside", "the same, configurations set aside before the comparison"),
    ):
        if name in parts:
            mine, theirs_mbps = zip(*parts[name], strict=True)
            worst = largest(mine, theirs_mbps, relative=True)
            made.append(Row(what, "ns-3 3.44, mean over seeds", len(mine), worst, 3.0, "%"))
    return Finding(made)


def _aggregated_mbps(case: tuple[str, ...], seeds: int, seconds: int) -> float:
    """Return the goodput of a configuration, the mean over seeds [Mbit/s]."""
    standard, mcs, stations, aggregated, rts, _ = case
    count = max(int(stations), 2)
    mac = Csma(
        # With the QoS control field.
        header_bytes=38,
        retry_limit=7,
        aggregation=Aggregation() if aggregated == "1" else None,
        rts_threshold_bytes=0 if rts == "1" else None,
    )
    found = []
    for seed in range(1, seeds + 1):
        world = make_world(circle(count, 0.4), Wifi(standard=standard, mcs=int(mcs)))
        offers = [Offer(0, n, ((n + 1) % count,), 10**10) for n in range(int(stations))]
        attempts, _ = drive(world, mac, offers, until_ns=seconds * 10**9, seed=seed)
        found.append(packets(attempts) * 1400 * 8 / seconds / 1e6)
    return float(np.mean(found))


def hidden_terminals(full: bool) -> Finding:
    """Compare stations on a circle that do not all hear each other."""
    cases = hidden() if full else [case for case in hidden() if case[0] == 10]
    found = [mean_of_seeds(count, radius_m, 24.0, 75, 3) for count, radius_m, _, _ in cases]
    # Ten stations at 60 or 80 m hear their two neighbors only.
    sparse = np.array([count == 10 and radius_m >= 60 for count, radius_m, _, _ in cases])
    time_s, delivered = np.transpose(found)
    there_s, there = (np.array([case[place] for case in cases]) for place in (2, 3))
    result = []
    for chosen, what, time, arrived in (
        (~sparse, "that hear more than their neighbors", 10.0, 2.0),
        (sparse, "that hear their two neighbors only", 15.0, 15.0),
    ):
        worst = largest(time_s[chosen], there_s[chosen], relative=True)
        number = int(chosen.sum())
        result.append(Row(f"time until all is over, stations {what}", _NS3, number, worst, time,
                          "%"))  # fmt: skip
        worst = largest(delivered[chosen], there[chosen], relative=True)
        result.append(Row(f"packets delivered, stations {what}", _NS3, number, worst, arrived, "%"))

    def draw(axes: Axes) -> None:
        for number, count in enumerate((10, 20)):
            part = [place for place, case in enumerate(cases) if case[0] == count]
            radius_m = [cases[place][1] for place in part]
            axes.plot(radius_m, there_s[part], "x", color=f"C{number}")
            axes.plot(radius_m, time_s[part], "o-", color=f"C{number}", mfc="none",
                      label=f"{count} stations")  # fmt: skip
        axes.plot([], [], "x", color="0.3", label="ns-3")
        axes.set(xlabel="Radius of the circle [m]", ylabel="Time until all is over [s]",
                 ylim=(0, 0.85))  # fmt: skip
        axes.legend(loc="upper left", ncols=3, columnspacing=1.0)

    picture = Picture(
        "wifi_hidden",
        "Time until stations on a circle have delivered or dropped 75 packets each: from 40 m on "
        "not all hear each other (hidden terminals). Circles are this simulator, crosses ns-3. "
        "Where only the two neighbors are in range, many frames meet interference a few decibels "
        "below them, where models of decoders differ most.",
        draw,
    )
    return Finding(result, (picture,) if full else ())
