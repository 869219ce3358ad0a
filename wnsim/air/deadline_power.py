"""Deadline-based power control: each transmission gets the power that just meets its deadline.

Sources: arXiv 2602.20492, Eq. (25) and the bound on a device's power, with the rate of the physical
layer in place of the Shannon bound.

Scope: the channel is assumed to remain as estimated when a transmission starts. Without a margin
about every second message is late if the channel fades or blocks are lost, and nearly every one if
link adaptation has to converge first. A transmission that needs more than the full power is treated
as if it needed the full power.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from wnsim.air.quality import multicast_quality, predict
from wnsim.core.units import NS_PER_S, Floats, db_to_linear
from wnsim.phy.inverse import required_share

if TYPE_CHECKING:
    from wnsim.air.setup import Setup
    from wnsim.air.transmission import Transmission


def set_powers(
    transmissions: Sequence[Transmission], setup: Setup, slot: int, margin_db: float
) -> None:
    """Set the shares of power of transmissions that start in a slot.

    Parameters
    ----------
    transmissions : for each transmitter, either all its transmissions or none
    setup : what the engine is built from
    slot : slot in which they start
    margin_db : margin added to the required power [dB]
    """
    if not transmissions:
        return
    modem = setup.modem
    first = [transmission.attempts[0] for transmission in transmissions]
    left_ns = np.array([attempt.deadline_ns for attempt in first]) - slot * modem.slot_ns
    if not modem.fluid:
        left_ns = left_ns // modem.slot_ns * modem.slot_ns
    left_s = np.maximum(left_ns, 1) / NS_PER_S
    bits = np.array([float(attempt.size_bits) for attempt in first])
    if modem.fluid:
        # A slot carries whole bits: at worst one bit less than its share of the message.
        bits += left_s * NS_PER_S / modem.slot_ns
    band = 1.0 / np.array([attempt.batch for attempt in first])
    share = required_share(modem, _estimated_snr(transmissions, setup, slot), bits, left_s, band)
    needed = np.minimum(share * db_to_linear(margin_db), 1.0)
    _, source = np.unique([attempt.source for attempt in first], return_inverse=True)
    total = np.bincount(source, needed)[source]
    for transmission, power in zip(
        transmissions, (needed / np.maximum(total, 1.0)).tolist(), strict=True
    ):
        for attempt in transmission.attempts:
            attempt.power = power


def _estimated_snr(transmissions: Sequence[Transmission], setup: Setup, slot: int) -> Floats:
    """Return the SNR (L, B) of each transmission, as estimated by its transmitter."""
    attempts = [attempt for transmission in transmissions for attempt in transmission.attempts]
    source = np.array([attempt.source for attempt in attempts])
    target = np.array([attempt.target for attempt in attempts])
    world = setup.world
    past = [
        world.channel.gain_blocks(
            source, target, max(slot - delay, 0) // setup.sample_slots, 1, setup.sample_ns
        )[:, 0]
        for delay in setup.csi_delays
    ]
    known_ns = setup.sample_of_ns(max(slot - setup.csi_delay_slots, 0))
    noise_w = world.noise_w(target, np.array([known_ns]))[:, 0]
    # [attempts, subbands]
    snr = (world.tx_power_w[source] / noise_w)[:, None] * predict(past)
    ends = np.cumsum([len(transmission.attempts) for transmission in transmissions])[:-1]
    parts = zip(np.split(snr, ends), transmissions, strict=True)
    return np.stack(
        [multicast_quality(part, transmission.quantile) for part, transmission in parts]
    )
