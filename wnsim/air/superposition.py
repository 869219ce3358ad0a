"""Superposition of analog signals: what a receiver gets of values sent in the same slots.

The symbols of a group fill consecutive slots of the whole band. In each coherence block and subband
a sender has one channel, one estimate of it, one phase error and one power; see
`wnsim.mac.over_the_air`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from numpy.typing import NDArray

from wnsim.core import streams
from wnsim.core.units import NS_PER_S, Floats, Ints, db_to_linear, to_s

if TYPE_CHECKING:
    from wnsim.air.setup import Setup

Complexes = NDArray[np.complex128]
_Number = TypeVar("_Number", np.float64, np.complex128)


@dataclass(frozen=True, slots=True)
class Superposition:
    """Sum of what several senders transmit, in G parts of a coherence block and a subband each.

    A sender's complex symbol, of two values, arrives multiplied by its amplitude, which is 1 for
    perfect inversion and 0 where it is silent; each real value of the sum has Gaussian noise.

    Parameters
    ----------
    sources : the n senders
    amplitude : (n, G) complex amplitudes
    noise : (G,) variance of the noise of a value, over that of transmitted values of unit power; 0
        where all are silent
    ends : (G,) share of the values that are sent by the end of each part; the last one is 1
    key : key of the draws of the noise
    """

    sources: tuple[int, ...]
    amplitude: Complexes
    noise: Floats
    ends: Floats
    key: int


@dataclass(frozen=True, slots=True)
class GroupOutcome:
    """Superposition, and what it took.

    Parameters
    ----------
    superposition : the sum
    tx_s : (n,) time of each sender on the air, at full power [s]
    silent_ns : (n,) time for which each was silent [ns]
    blocks : (n,) parts in which each has sent
    snr : (n,) received SNR of each, summed over these parts, linear
    """

    superposition: Superposition
    tx_s: Floats
    silent_ns: Ints
    blocks: Ints
    snr: Floats


@dataclass(frozen=True, slots=True)
class _Blocks:
    """Coherence blocks of a group transmission.

    Parameters
    ----------
    sample : (K,) numbers of the channel's samples
    symbols : (K,) symbols in each, over all subbands
    ends_ns : (K,) ends of the blocks [ns]
    """

    sample: Ints
    symbols: Floats
    ends_ns: Ints


def symbols_per_slot(setup: Setup) -> int:
    """Return the number of symbols with values in a slot of the whole band.

    Raises
    ------
    ValueError
        if there is none
    """
    seconds = to_s(setup.modem.slot_ns)
    share = 1.0 - float(setup.mac.overhead)
    count = math.floor(setup.world.bandwidth_hz * seconds * share + 1e-6)
    if count < 1:
        raise ValueError(
            f"over-the-air needs room for a symbol in each slot, of {seconds:g} s, got a band of "
            f"{setup.world.bandwidth_hz:g} Hz and an overhead of {setup.mac.overhead}"
        )
    return count


def duration_ns(setup: Setup, values: int) -> int:
    """Return how long a group transmits, however many senders it has [ns]."""
    symbols, each = -(-values // 2), symbols_per_slot(setup)
    return int(-(-symbols * setup.modem.slot_ns // each))


def superpose(
    setup: Setup,
    sources: Sequence[int],
    target: int,
    first_slot: int,
    values: int,
    until_ns: Sequence[int],
) -> GroupOutcome:
    """Return what a receiver gets of a group.

    Parameters
    ----------
    setup : world, physical layer and access
    sources, target : senders and receiver
    first_slot : slot in which they begin
    values : number of real values that each sends
    until_ns : until when each is able to send; a block that ends later it does not send [ns]
    """
    access, world = setup.mac, setup.world
    blocks = _blocks(setup, first_slot, values)
    source, bands = np.array(sources), world.channel.subbands
    at_ns = blocks.sample * setup.sample_ns
    able = blocks.ends_ns[None, :] <= np.array(until_ns)[:, None]
    if world.faults is not None and world.faults.has_link_outages:
        able &= ~world.faults.dark(source, np.full(source.size, target), at_ns)
    actual, known = _channels(setup, source, target, blocks.sample)
    noise_w = np.broadcast_to(world.noise_w(np.array([target]), at_ns)[0], at_ns.shape)
    full = world.tx_power_w[source][:, None, None] / noise_w[None, :, None]
    snr = _parts(full * np.abs(known) ** 2)
    active = np.repeat(able, bands, axis=1) & (snr >= access.threshold) & (snr > 0.0)
    eta = access.received_snr(snr, active)
    with np.errstate(divide="ignore", invalid="ignore"):
        power = np.where(active, np.minimum(eta / snr, 1.0), 0.0)
        turned = _parts(actual * np.conj(known) / np.abs(known))
        scale = np.sqrt(power * _parts(np.broadcast_to(full, known.shape)) / eta)
        amplitude = np.where(active, scale * turned, 0.0)
        noise = np.where(eta > 0.0, 1.0 / eta, 0.0)
    symbols = np.repeat(blocks.symbols / bands, bands)
    part_s = symbols / symbols_per_slot(setup) * to_s(setup.modem.slot_ns)
    silent_s = np.where(active, 0.0, part_s).sum(axis=1)
    return GroupOutcome(
        Superposition(
            tuple(sources),
            amplitude,
            noise,
            np.cumsum(symbols) / symbols.sum(),
            streams.key(setup.error_key, "analog noise", target, first_slot),
        ),
        (power * part_s).sum(axis=1),
        np.round(silent_s * NS_PER_S).astype(np.int64),
        active.sum(axis=1),
        (np.abs(amplitude) ** 2 * eta).sum(axis=1),
    )


def mean_snr(setup: Setup, sources: Sequence[int], target: int, time_s: float) -> Floats:
    """Return the SNRs (n,) of senders at a receiver without fading, at full power, linear."""
    world, source = setup.world, np.array(sources, dtype=np.int64)
    at_ns = np.array([round(time_s * NS_PER_S)])
    gain = db_to_linear(
        world.channel.large_scale_db(source, np.full(source.size, target), np.array([time_s]))
    )[:, 0]
    return np.asarray(
        gain * world.tx_power_w[source] / world.noise_w(np.array([target]), at_ns)[0, 0]
    )


def _blocks(setup: Setup, first_slot: int, values: int) -> _Blocks:
    """Return the coherence blocks of a group that begins in a slot."""
    symbols, each, size = -(-values // 2), symbols_per_slot(setup), setup.sample_slots
    last_slot = first_slot + -(-symbols // each) - 1
    sample = np.arange(first_slot // size, last_slot // size + 1)
    # Symbols that are sent by the end of each block.
    sent = np.minimum((np.minimum((sample + 1) * size, last_slot + 1) - first_slot) * each, symbols)
    ends_ns = first_slot * setup.modem.slot_ns - (-sent * setup.modem.slot_ns // each)
    return _Blocks(sample, np.diff(sent, prepend=0).astype(np.float64), ends_ns)


def _channels(setup: Setup, source: Ints, target: int, sample: Ints) -> tuple[Complexes, Complexes]:
    """Return the channels with their phase errors, and as the senders know them, (n, K, B) each.

    Parameters
    ----------
    setup : world, physical layer and access
    source, target : (n,) senders, and their receiver
    sample : (K,) numbers of the channel's samples
    """
    access, channel = setup.mac, setup.world.channel
    ends = np.full(source.size, target)
    t_s: Floats = np.asarray(sample * (setup.sample_ns / NS_PER_S), dtype=np.float64)
    actual = known = channel.response(source, ends, t_s)
    if setup.csi_delay_slots:
        late_s = setup.csi_delay_slots * setup.modem.slot_ns / NS_PER_S
        known = channel.response(source, ends, np.maximum(t_s - late_s, 0.0))
    if access.csi_error:
        mean = db_to_linear(channel.large_scale_db(source, ends, t_s))[..., None]
        error = _gaussian(setup, "analog csi", source, target, sample)
        known = known + np.sqrt(access.csi_error * mean) * error
    if access.phase_error_deg:
        # One oscillator for all subbands.
        phase = math.sqrt(2.0) * _gaussian(setup, "analog phase", source, target, sample).real
        actual = actual * np.exp(1j * math.radians(access.phase_error_deg) * phase[..., :1])
    return actual, known


def _gaussian(setup: Setup, purpose: str, source: Ints, target: int, sample: Ints) -> Complexes:
    """Return complex Gaussian draws of unit variance, (n, K, B)."""
    bands = setup.world.channel.subbands
    block = sample[:, None] * bands + np.arange(bands)
    first, second = (
        streams.uniforms(
            streams.key(setup.error_key, purpose, number), source[:, None, None], target, block
        )
        for number in range(2)
    )
    return np.asarray(np.sqrt(-np.log1p(-first)) * np.exp(2j * math.pi * second))


def _parts(values: NDArray[_Number]) -> NDArray[_Number]:
    """Return values (n, K, B) as (n, K B)."""
    return values.reshape(values.shape[0], -1)
