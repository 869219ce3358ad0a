"""The radios against standard tables, simulated codes, and laws of repetitions and adaptation."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from reference_tables import rows
from test_phy import (
    BLOCK_NS,
    W,
    at_db,
    constant,
    first_losses,
    high_order_thresholds_db,
    linear,
    lost_after,
    repetition_thresholds_db,
    threshold_db,
)

from validation.check import Finding, Picture, Row, largest
from validation.networks import network, pairs, run
from wnsim.channel import Rayleigh
from wnsim.core.transfer import Message
from wnsim.core.units import SPEED_OF_LIGHT_MPS, Floats
from wnsim.phy import NrMcs, Slots
from wnsim.phy.bicm import information, snr_grid_db
from wnsim.phy.coding import code_block_error, segment, transport_block_error
from wnsim.phy.formats import schemes
from wnsim.phy.modem import NEW, NEW_LOST
from wnsim.phy.nr import usable_db
from wnsim.phy.transport_block import elements, transport_bits

_LDPC = "simulated NR LDPC code"


def tables(full: bool) -> Finding:
    """Compare modulation and coding tables, transport block sizes and segmentation."""
    wrong_schemes, count = 0, 0
    for table in (1, 2, 3, 4):
        order, rate = schemes(table)
        part = [
            row
            for row in rows("nr_mcs_tables.csv")
            if row["channel"] == "PDSCH" and row["table"] == str(table)
        ]
        count += len(part)
        wrong_schemes += abs(len(part) - order.size)
        for row, bits, share in zip(part, order, rate, strict=True):
            # The table writes six decimals of multiples of 1/2048.
            same = abs(share - float(row["code_rate"])) < 5.1e-7
            wrong_schemes += not (same and bits == int(row["modulation_order"]))
    wrong_sizes = wrong_segments = 0
    sizes = rows("nr_tbs.csv")
    for row in sizes:
        order, rate = (column[int(row["mcs"])] for column in schemes(int(row["table"])))
        size = int(transport_bits(elements(int(row["n_prb"]), 12), order, rate))
        wrong_sizes += size != int(row["tb_size_bits"])
        blocks, bits = segment(int(row["tb_size_bits"]), rate)
        expected = (int(row["num_cb"]), float(row["cb_size_bits"]))
        wrong_segments += (int(blocks), float(bits)) != expected
    unit, sionna = "mismatches", "as in Sionna 2.2.0"
    return Finding(
        [
            Row("modulation and coding tables 1 to 4",
                f"TS 38.214, Tables 5.1.3.1-1 to -4, {sionna}", count, float(wrong_schemes), 0.0,
                unit),
            Row("transport block sizes", f"TS 38.214, clause 5.1.3.2, {sionna}", len(sizes),
                float(wrong_sizes), 0.0, unit),
            Row("code blocks of a transport block", f"TS 38.212, clause 5.2.2, {sionna}",
                len(sizes), float(wrong_segments), 0.0, unit),
        ]
    )  # fmt: skip


def block_errors(full: bool) -> Finding:
    """Compare the SNR of 10 % block errors on a flat channel."""
    table = rows("bler_threshold_10pct.csv")
    gap_db = NrMcs().gap_db
    simulated_db = np.array([float(row["simulated_db"]) for row in table])
    found_db = np.array(
        [threshold_db(int(row["mcs"]), float(row["k_bits"]), gap_db) for row in table]
    )
    other_db = [
        float(row["sionna_default_db"]) - float(row["simulated_db"])
        for row in table
        if row["sionna_default_db"]
    ]
    what = "SNR of 10 % block errors"
    repeated_db = repetition_thresholds_db()
    high_db = {size: high_order_thresholds_db(order) for size, order in ((256, 8), (1024, 10))}

    def draw(axes: Axes) -> None:
        points = rows("nr_ldpc_bler_simulated.csv")
        cases = sorted({(int(row["mcs"]), int(row["k_info_bits"])) for row in points})
        cases = [case for case in cases if case[1] == 2000]
        for number, (scheme, bits) in enumerate(cases):
            part = [row for row in points if int(row["mcs"]) == scheme and
                    int(row["k_info_bits"]) == bits and float(row["bler"]) > 0]  # fmt: skip
            color = f"C{number}"
            error = _block_error(scheme, float(bits))
            axes.semilogy(snr_grid_db() + gap_db, error, color=color)
            at = [float(row["snr_db"]) for row in part]
            axes.semilogy(at, [float(row["bler"]) for row in part], "o", color=color, mfc="white")
            knee_db = threshold_db(scheme, float(bits), gap_db) - 0.3
            axes.text(knee_db, 1.25, str(scheme), color=color, fontsize=6, ha="center")
        axes.axhline(0.1, color="0.6", lw=0.6, ls=":")
        axes.set(xlabel="SNR [dB]", ylabel="Block error rate", ylim=(3e-3, 2.2), xlim=(-4, 21))

    picture = Picture(
        "block_errors",
        "Block errors of NR code blocks of 2000 bits: lines are the closed form this simulator "
        "uses (normal approximation and one gap of 0.9 dB for all), circles a simulated LDPC code. "
        "Above: the scheme's number in table 1.",
        draw,
    )
    return Finding(
        [
            Row(what, _LDPC, len(table), largest(found_db, simulated_db), 0.25, "dB"),
            Row(f"{what}, mean absolute deviation", _LDPC, len(table),
                float(np.mean(np.abs(found_db - simulated_db))), 0.12, "dB"),
            *(
                Row(f"{what}, {size}-QAM", _LDPC, pair[0].size, largest(*pair), 0.25, "dB")
                for size, pair in high_db.items()
            ),
            Row(f"{what}, code rates below 1/5", f"{_LDPC}, repeated", repeated_db[0].size,
                largest(*repeated_db), 0.25, "dB"),
            Row(f"for comparison: {what} by Sionna 2.2.0's default tables", _LDPC, len(other_db),
                float(np.max(np.abs(other_db))), None, "dB"),
        ],
        (picture,),
    )  # fmt: skip


def _block_error(scheme: int, bits: float) -> Floats:
    """Return the errors of a code block over the grid of SNRs."""
    order, rate = (column[scheme] for column in schemes(1))
    mean, variance = information(int(order))
    symbols = np.full(mean.shape, bits / rate / order)
    size = np.full(mean.shape, bits)
    return code_block_error(size, symbols, symbols * mean, symbols * variance)


def selective_block_errors(full: bool) -> Finding:
    """Compare the mean SNR of 10 % block errors on frequency-selective channels."""
    quantile = -np.log(1 - (np.arange(12) + 0.5) / 12)
    quantile /= quantile.mean()
    table = rows("effective_sinr_check.csv")
    level_db = np.arange(-10.0, 25.0, 0.01)
    levels_db = usable_db(10 ** (level_db[:, None] / 10) * quantile, NrMcs())
    found_db = []
    for row in table:
        order, rate = (column[int(row["mcs"])] for column in schemes(1))
        symbols = np.full(level_db.shape, 2000 / rate / order)
        mean, variance = (
            np.interp(levels_db, snr_grid_db(), values).mean(axis=1)
            for values in information(int(order))
        )
        size = np.full(level_db.shape, 2000.0)
        error = code_block_error(size, symbols, symbols * mean, symbols * variance)
        found_db.append(level_db[int(np.argmax(error <= 0.1))])
    simulated_db = [float(row["simulated_db"]) for row in table]
    other_db = [float(row["eesm_sionna_default_tables_db"]) for row in table]
    what = "SNR of 10 % block errors, 12 quantiles of Rayleigh fading in a block"
    return Finding(
        [
            Row(what, _LDPC, len(table), largest(found_db, simulated_db), 0.3, "dB"),
            Row("for comparison: the same by Sionna 2.2.0's default tables and EESM", _LDPC,
                len(table), largest(other_db, simulated_db), None, "dB"),
        ]
    )  # fmt: skip


def repetitions(full: bool) -> Finding:
    """Compare losses after two chase transmissions with the table at twice the SNR."""
    order, rate = schemes(1)
    modem = NrMcs().modem(W, 1, BLOCK_NS)
    bits = int(constant(modem, linear(10.0), slots=1, draws=np.ones((1, 1))).bits[0, 0])
    scheme = int(np.flatnonzero(transport_bits(elements(106, 12), order, rate) == bits)[0])
    count, size = segment(bits, rate[scheme])
    symbols = float(elements(106, 12)) / float(count)
    found, expected = [], []
    for times in (2, 4):
        gain_db = 10 * np.log10(times)
        for margin_db in gain_db + np.array([-0.4, -0.1, 0.2]):
            at = 10.0 - margin_db + gain_db - NrMcs().gap_db
            mean, variance = (at_db(table, at) for table in information(int(order[scheme])))
            one = code_block_error(
                np.array(float(size)), np.array(symbols), np.array(symbols * mean),
                np.array(symbols * variance),
            )  # fmt: skip
            expected.append(float(transport_block_error(one, count)))
            found.append(lost_after("chase", times, float(margin_db))[0])
    # At least 20,000 blocks each: four standard errors of a half.
    allowed = 4 * 0.5 / np.sqrt(20_000)
    what = "HARQ: blocks lost after 2 and 4 chase transmissions"
    against = "first transmission at 2 and 4 times the SNR"
    return Finding([Row(what, against, len(found), largest(found, expected), allowed)])


def outer_loop(full: bool) -> Finding:
    """Compare the share of first transmissions lost with the target, whatever is believed."""
    draws = np.random.default_rng(3)
    links, slots = 40, 4000 if full else 2000
    found, targets = [], []
    for target in (0.02, 0.1, 0.3):
        for error_db in (-3.0, 0.0, 4.0):
            modem = NrMcs(target_bler=target).modem(W, 1, BLOCK_NS)
            true = 10 ** (draws.normal(12.0, 2.0, (links, slots, 1)) / 10)
            known = np.full((links, slots, 1), 10 ** ((12.0 + error_db) / 10))
            state = modem.start(np.full(links, 10**12), np.zeros(links, dtype=bool))
            ones = np.ones((links, slots))
            sent = Slots(known, true, ones, ones > 0, draws.random((links, slots)))
            kind = modem.scan(state, sent).kind[:, 1000:]
            found.append((kind == NEW_LOST).sum() / np.isin(kind, (NEW, NEW_LOST)).sum())
            targets.append(target)
    worst = largest(found, targets, relative=True)
    what = "outer loop: share of first transmissions lost, beliefs 3 dB low to 4 dB high"
    # A third of the slots after settling: 1.7 times the deviation.
    return Finding([Row(what, "its target", len(found), worst, 10.0 if full else 17.0, "%")])


def link_adaptation(full: bool) -> Finding:
    """Compare the errors expected of the schemes chosen with the target."""
    worst = 0.0
    for table in (1, 2, 3, 4):
        _, lost = first_losses(NrMcs(table=table), np.arange(-12.0, 38.0, 0.05))
        worst = max(worst, float(np.nanmax(lost)))
    what = "link adaptation: largest error expected at a known SNR, tables 1 to 4"
    return Finding([Row(what, "target of 0.1", 4000, worst, 0.1 * (1 + 1e-6))])


def distance_from_shannon(full: bool) -> Finding:
    """Report the share of Shannon's bound that is reached with outdated channel knowledge."""
    doppler_hz, frequency_hz, links = 5.0, 3.5e9, 20 if full else 4
    speed_mps = doppler_hz * SPEED_OF_LIGHT_MPS / frequency_hz
    levels_db = np.arange(0.0, 31.0, 5.0)
    lines: dict[str, list[float]] = {}
    means: list[tuple[str, float]] = []
    for table in (1, 2):
        for prediction in ("none", "quadratic"):
            shares, carried, bound = [], 0.0, 0.0
            for level_db in levels_db:
                made = network(
                    pairs(links, 100.0), snr_db=float(level_db), phy=NrMcs(table=table),
                    fading=Rayleigh(residual_speed_mps=speed_mps), csi_delay_s=0.01,
                    prediction=prediction,
                )  # fmt: skip
                sent = [Message(2 * n, 2 * n + 1, 10**10, 6.0) for n in range(links)]
                done = run(made, sent)
                here = sum(transfer.carried_bytes for transfer in done)
                most = sum(transfer.capacity_bytes for transfer in done)
                shares.append(here / most)
                if 5.0 <= level_db <= 25.0:
                    carried, bound = carried + here, bound + most
            name = f"table {table}, prediction {prediction}"
            lines[name] = shares
            means.append((name, carried / bound))
    result = [
        Row(f"share of Shannon's bound at 5 to 25 dB, {name}",
            "aim of 0.65; knowledge 10 ms old, Doppler 5 Hz", 5 * links, share, None)
        for name, share in means
    ]  # fmt: skip

    def draw(axes: Axes) -> None:
        for number, (name, shares) in enumerate(lines.items()):
            axes.plot(levels_db, shares, "os"[number % 2] + "--"[: 1 + number % 2],
                      color=f"C{number // 2}", mfc="white", label=name)  # fmt: skip
        axes.axhline(0.65, color="0.5", lw=0.7, ls=":")
        axes.set(xlabel="Mean SNR [dB]", ylabel="Share of Shannon's bound", ylim=(0, 1))
        axes.legend(loc="lower left")

    picture = Picture(
        "shannon",
        "Goodput over Shannon's bound in the same slots: NR with HARQ and outer loop, Rayleigh "
        "fading with a Doppler shift of 5 Hz, knowledge 10 ms old. Dotted: the aim of 0.65.",
        draw,
    )
    return Finding(result, (picture,))
