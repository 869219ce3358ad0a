"""Sidelink mode 2 against closed forms."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from matplotlib.axes import Axes
from test_sidelink import (
    MS,
    ONE,
    _slots_of_a_delivered_message,
    drive,
    line,
    network,
    shares_lost,
)

from validation.check import Finding, Picture, Row
from wnsim.mac.sidelink import Sidelink
from wnsim.network.transport import Transport


def collisions(full: bool) -> Finding:
    """Compare how many blocks collide when all devices select at random in every period."""
    counts = (2, 4, 6, 9, 12) if full else (6,)
    seconds = 60.0 if full else 20.0
    resources = 10
    mac = Sidelink(subchannels=1, sensing=False, counter=(1, 1), **ONE)
    found = np.array([shares_lost(mac, count, 1, seconds) for count in counts])
    expected = 1 - (1 - 1 / resources) ** (np.array(counts) - 1)
    # The losses of a period are dependent: as many periods as independent samples, at worst.
    sigma = np.sqrt(expected * (1 - expected) / (seconds / 0.1))
    worst = float(np.max(np.abs(found - expected) / sigma))
    many = f"{counts[0]} to {counts[-1]}" if full else str(counts[0])
    what = f"blocks lost by random selection, {many} senders on {resources} resources"
    against = "1 - (1 - 1/R)^(n - 1)"
    row = Row(what, against, len(counts), worst, 3.0, "standard errors")
    sensed = [_sensed(count) for count in counts] if full else []

    def draw(axes: Axes) -> None:
        senders = np.linspace(1, 13, 100)
        law = 1 - (1 - 1 / resources) ** (senders - 1)
        axes.plot(senders, law, color="0.4", label="1 - (1 - 1/R)^(n - 1)")
        axes.plot(counts, found, "o", mfc="white", label="random selection")
        axes.plot(counts, sensed, "s--", mfc="white", label="sensing")
        axes.set(xlabel="Senders n", ylabel="Share of blocks lost", ylim=(-0.03, 0.8))
        axes.legend(loc="upper left")

    picture = Picture(
        "sidelink",
        "Blocks lost on a sidelink with ten resources in a period: random selection with its "
        "closed form, and selection by sensing (counter of 5 to 15 periods), for which there is "
        "none.",
        draw,
    )
    return Finding([row], (picture,) if full else ())


def _sensed(count: int) -> float:
    mac = Sidelink(subchannels=1, sensing=True, counter=(5, 15), **ONE)
    shares = [shares_lost(mac, count, seed, 10.0, stagger_s=0.31) for seed in range(6)]
    return float(np.mean(shares))


def half_duplex(full: bool) -> Finding:
    """Compare how often two that send to each other are deaf."""
    seconds = 200.0 if full else 60.0
    mac = Sidelink(subchannels=8, sensing=False, counter=(1, 1), **ONE)
    made = network(line(2), mac, block_ns=10 * MS)
    done = drive(made, [(0.0, 0, [1], 10**9, seconds), (0.0, 1, [0], 10**9, seconds)])
    lost = sum(transfer.failed_blocks for transfer in done)
    share = lost / sum(transfer.blocks for transfer in done)
    periods = round(seconds / 0.1)
    allowed = 3 * np.sqrt(0.1 * 0.9 / periods)
    what = "blocks lost by two that send to each other, period of ten slots"
    return Finding([Row(what, "1/10 (half duplex)", periods, abs(share - 0.1), float(allowed))])


def reservations(full: bool) -> Finding:
    """Compare how long resources are kept."""
    blocks = 1500 if full else 500
    worst = 0.0
    for keep in (0.0, 0.5, 0.8):
        mac = Sidelink(
            subchannels=1, sensing=False, period_slots=100, resources_per_period=1,
            counter=(1, 4), keep_probability=keep,
        )  # fmt: skip
        transport = Transport(packet_bytes=50, packet_header_bytes=0, trace=True)
        slots = _slots_of_a_delivered_message(mac, transport, blocks)
        changes = sum(after - before != 100 for before, after in pairwise(slots))
        # Mean life (1 + 4)/2 / (1 - keep) periods; one selection in 100 finds the same slot.
        rate = (1 - keep) / 2.5 * 0.99
        share = changes / (len(slots) - 1)
        worst = max(worst, abs(share - rate) / np.sqrt(rate / len(slots)))
    what = "changes of resources per period, keeping with 0, 0.5 and 0.8"
    against = "(1 - keep) / mean of the counter"
    return Finding([Row(what, against, 3 * blocks, float(worst), 4.0, "standard errors")])
