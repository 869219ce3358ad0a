"""Power by deadline: each stream gets what it needs to be done just in time.

Sources: arXiv 2602.20492, Eq. (25) and the bound on a device's power, with the physical layer's
own rate in place of Shannon's bound.

Scope: the channel is taken to stay as it is known when a stream starts. Without a margin about
every second message is late where it fades or blocks are lost, and nearly every one where link
adaptation has to find its balance first. What needs more than the whole power counts as if it
needed the whole.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from wnsim.air.quality import common, predict
from wnsim.core.units import NS_PER_S, Floats, db_to_linear
from wnsim.phy.inverse import required_share

if TYPE_CHECKING:
    from wnsim.air.air import Setup
    from wnsim.air.flow import Stream


def set_powers(streams: Sequence[Stream], setup: Setup, slot: int, margin_db: float) -> None:
    """Give streams that start in a slot their shares of their transmitters' powers.

    Parameters
    ----------
    streams : all that a transmitter sends, for each that sends anything
    setup : what the engine works with
    slot : in which they start
    margin_db : what is added to the power that they need [dB]
    """
    if not streams:
        return
    modem = setup.modem
    first = [stream.flows[0] for stream in streams]
    left_ns = np.array([flow.deadline_ns for flow in first]) - slot * modem.slot_ns
    if not modem.fluid:
        left_ns = left_ns // modem.slot_ns * modem.slot_ns
    left_s = np.maximum(left_ns, 1) / NS_PER_S
    bits = np.array([float(flow.size_bits) for flow in first])
    if modem.fluid:
        # A slot carries whole bits: at worst one less than its share of the message.
        bits += left_s * NS_PER_S / modem.slot_ns
    band = 1.0 / np.array([flow.batch for flow in first])
    share = required_share(modem, _known(streams, setup, slot), bits, left_s, band)
    needed = np.minimum(share * db_to_linear(margin_db), 1.0)
    _, source = np.unique([flow.source for flow in first], return_inverse=True)
    total = np.bincount(source, needed)[source]
    for stream, power in zip(streams, (needed / np.maximum(total, 1.0)).tolist(), strict=True):
        for flow in stream.flows:
            flow.power = power


def _known(streams: Sequence[Stream], setup: Setup, slot: int) -> Floats:
    """Return the ratio of signal to noise (L, B) that each stream's transmitter believes in."""
    flows = [flow for stream in streams for flow in stream.flows]
    source = np.array([flow.source for flow in flows])
    target = np.array([flow.target for flow in flows])
    world = setup.world
    past = [
        world.channel.gain_blocks(
            source, target, max(slot - delay, 0) // setup.sample_slots, 1, setup.sample_ns
        )[:, 0]
        for delay in setup.csi_delays
    ]
    known_ns = setup.sample_of_ns(max(slot - setup.csi_delay_slots, 0))
    noise_w = world.noise_w(target, np.array([known_ns]))[:, 0]
    # [flows, subbands]
    snr = (world.tx_power_w[source] / noise_w)[:, None] * predict(past)
    ends = np.cumsum([len(stream.flows) for stream in streams])[:-1]
    parts = zip(np.split(snr, ends), streams, strict=True)
    return np.stack([common(part, stream.quantile) for part, stream in parts])
