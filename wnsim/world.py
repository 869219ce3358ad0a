"""The physical world: devices, where they are, and how well they hear each other at an instant."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from wnsim.units import Floats, Ints, db_to_linear, linear_to_db, thermal_noise_w

if TYPE_CHECKING:
    from wnsim.channel import Channel
    from wnsim.mobility import Motion
    from wnsim.phy import Phy


@dataclass(frozen=True)
class World:
    """Devices and the laws that move and connect them, as functions of time.

    Parameters
    ----------
    motion : where the devices are
    channel : gain between any two of them
    phy : rate and errors at a given signal-to-noise ratio
    tx_power_w : (devices,) total transmit power [W]
    noise_figure_db : (devices,) noise figure of the receiver [dB]
    flops_per_s : (devices,) sustained computing speed [FLOP/s]
    bandwidth_hz : band of one transmitter, or of all where they share it [Hz]
    """

    motion: Motion
    channel: Channel
    phy: Phy
    tx_power_w: Floats
    noise_figure_db: Floats
    flops_per_s: Floats
    bandwidth_hz: float

    @property
    def count(self) -> int:
        """Number of devices."""
        return len(self.motion.names)

    def compute_time_s(self, device: int, flops: float) -> float:
        """Return how long a device takes for a number of operations [s]."""
        return float(flops / self.flops_per_s[device])

    def snr_blocks(
        self,
        source: Ints,
        target: Ints,
        first_block: int,
        n_blocks: int,
        block_ns: int,
        power_w: Floats,
        bandwidth_hz: Floats,
    ) -> Floats:
        """Return the signal-to-noise ratio of links in consecutive blocks.

        Parameters
        ----------
        source, target : (links,) ends of each link
        first_block, n_blocks, block_ns : blocks k at the instants k * block_ns [ns]
        power_w, bandwidth_hz : (links,) power [W] and bandwidth [Hz] spent on each link

        Returns
        -------
        (links, n_blocks) linear ratio
        """
        gain = self.channel.gain_blocks(source, target, first_block, n_blocks, block_ns)
        noise_w = thermal_noise_w(bandwidth_hz, self.noise_figure_db[target])
        return gain * (power_w / noise_w)[:, None]

    def snapshot(self, time_s: float) -> Snapshot:
        """Return what a topology policy may see of the world at an instant."""
        everyone = np.arange(self.count)
        at = np.array([time_s])
        return Snapshot(
            world=self,
            time_s=time_s,
            position_m=self.motion.position_m(everyone, at)[:, 0],
            present=self.motion.present(everyone, at)[:, 0],
        )


@dataclass(frozen=True)
class Snapshot:
    """The world at one instant, for topology policies.

    Parameters
    ----------
    world : the world it was taken from
    time_s : the instant [s]
    position_m : (devices, 2) positions [m]
    present : (devices,) whether the device exists at that instant
    """

    world: World
    time_s: float
    position_m: Floats
    present: NDArray[np.bool_]

    @cached_property
    def distance_m(self) -> Floats:
        """Return the distances between devices, (devices, devices) [m]."""
        apart = self.position_m[:, None] - self.position_m[None, :]
        return np.asarray(np.hypot(apart[..., 0], apart[..., 1]))

    @cached_property
    def snr_db(self) -> Floats:
        """Return the mean over fading of the SNR at full power and band, (devices, devices) [dB].

        Row: transmitter, column: receiver; minus infinity on the diagonal.
        """
        world = self.world
        source, target = np.nonzero(~np.eye(world.count, dtype=bool))
        gain_db = world.channel.large_scale_db(source, target, np.array([self.time_s]))[:, 0]
        noise_w = thermal_noise_w(world.bandwidth_hz, world.noise_figure_db[target])
        result = np.full((world.count, world.count), -np.inf)
        result[source, target] = gain_db + linear_to_db(world.tx_power_w[source] / noise_w)
        return result

    @cached_property
    def rate_bps(self) -> Floats:
        """Return the rate at the mean SNR with the whole band, (devices, devices) [bit/s]."""
        world = self.world
        return world.phy.rate_bps(db_to_linear(self.snr_db), np.array(world.bandwidth_hz))
