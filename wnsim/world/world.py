"""The physical world: devices, base stations, their positions, and the channel between them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from wnsim.channel.heights import Heights, length_m, lifted_m
from wnsim.core.units import (
    NS_PER_S,
    SPEED_OF_LIGHT_MPS,
    Floats,
    Ints,
    db_to_linear,
    linear_to_db,
    thermal_noise_w,
)
from wnsim.phy.inverse import required_share

if TYPE_CHECKING:
    from scipy.spatial import cKDTree

    from wnsim.channel import Channel
    from wnsim.contacts.plan import GivenPlan
    from wnsim.faults import Timeline
    from wnsim.mobility import Motion
    from wnsim.phy import Modem, Phy
    from wnsim.world.sky import Sky

_NO_STATIONS = np.empty((0, 2))


@dataclass(frozen=True)
class World:
    """Devices and base stations, and the models of their motion and channel, as functions of time.

    Nodes are the devices, 0 to count - 1, followed by the base stations.

    Parameters
    ----------
    motion : motion of the devices
    channel : gain between any two nodes
    phy : rate and errors at a given SINR
    tx_power_w : (nodes,) total transmit power [W]
    noise_figure_db : (nodes,) noise figure of the receiver [dB]
    flops_per_s : (devices,) sustained computing speed [FLOP/s]
    bandwidth_hz : band of one transmitter, or of all if they share it [Hz]
    stations_m : (stations, 2) positions of the base stations [m]
    faults : fault timeline; none: no faults
    heights : antenna heights of the devices; none: equal heights
    station_height_m : antenna height of the base stations [m]
    propagation_delay : whether signals take time over distance
    sky : satellites, whose numbers follow those of the base stations; none: there are none
    plan : given contacts, with delays, in place of channel and medium access; none: there are none
    """

    motion: Motion
    channel: Channel
    phy: Phy
    tx_power_w: Floats
    noise_figure_db: Floats
    flops_per_s: Floats
    bandwidth_hz: float
    stations_m: Floats = field(default_factory=lambda: _NO_STATIONS)
    faults: Timeline | None = None
    heights: Heights | None = None
    station_height_m: float = math.nan
    propagation_delay: bool = False
    sky: Sky | None = None
    plan: GivenPlan | None = None

    @property
    def count(self) -> int:
        """Number of devices."""
        return len(self.motion.names)

    @property
    def nodes(self) -> int:
        """Number of devices, base stations and satellites."""
        return self.stations.stop + (0 if self.sky is None else self.sky.count)

    @property
    def stations(self) -> range:
        """Numbers of the base stations."""
        return range(self.count, self.count + len(self.stations_m))

    @property
    def names(self) -> list[str]:
        """Names of all nodes, and of the server behind the stations, if there are any."""
        stations = [f"station-{number}" for number in range(len(self.stations_m))]
        satellites = () if self.sky is None else self.sky.constellation.names
        return [*self.motion.names, *stations, *satellites, *(["server"] if stations else [])]

    def position_m(self, nodes: Ints, t_s: Floats) -> Floats:
        """Return positions (n, T, 2) [m] of nodes (n,) at instants (T,) [s]."""
        return positions_m(self.motion, self.stations_m, nodes, t_s)

    def in_space_m(self, devices: Ints, t_s: Floats) -> Floats:
        """Return positions (n, T, 3) [m] of devices; (n, T, 2) if all have one height."""
        positions_m = self.motion.position_m(devices, t_s)
        if self.heights is None:
            return positions_m
        return self.heights.in_space_m(positions_m, devices, t_s)

    def delay_ns(self, source: int, target: int, at_ns: int) -> int:
        """Return the time that a signal takes from node to node at an instant [ns]."""
        if not self.propagation_delay:
            return 0
        if self.plan is not None:
            return round(self.plan.delay_s(source, target, at_ns / NS_PER_S) * NS_PER_S)
        if self.sky is not None and self.sky.concerns(source, target):
            apart_m = self.sky.distance_m(source, target, at_ns / NS_PER_S)
            return round(apart_m / SPEED_OF_LIGHT_MPS * NS_PER_S)
        at_s, ends = np.array([at_ns / NS_PER_S]), np.array([source, target])
        ends_m = lifted_m(self.position_m(ends, at_s), self._heights_m(ends, at_s))[:, 0]
        return round(float(length_m(ends_m[0] - ends_m[1])) / SPEED_OF_LIGHT_MPS * NS_PER_S)

    def _heights_m(self, nodes: Ints, t_s: Floats) -> Floats:
        """Return the antenna heights (n, 1) of nodes (n,) at an instant [m]."""
        heights_m = np.full((nodes.size, 1), self.station_height_m)
        if self.heights is not None:
            devices = nodes < self.count
            heights_m[devices] = self.heights.at_m(nodes[devices], t_s)
        return heights_m

    def compute_time_s(self, device: int, flops: float, time_s: float = 0.0) -> float:
        """Return the computing time of operations on a device from an instant on [s]."""
        seconds = float(flops / self.flops_per_s[device])
        return seconds if self.faults is None else self.faults.compute_s(device, time_s, seconds)

    def noise_w(self, nodes: Ints, at_ns: Ints) -> Floats:
        """Return the noise of receivers (n,) on the whole band, jammers included [W].

        Parameters
        ----------
        nodes : (n,) receivers
        at_ns : (T,) instants [ns]

        Returns
        -------
        (n, T), or (n, 1) if it is constant
        """
        noise_w = self._own_noise_w[nodes]
        if self.faults is None or not self.faults.jams:
            return noise_w[:, None]
        return noise_w[:, None] + self.faults.added_noise_w(
            noise_w, at_ns, lambda t_s: self.position_m(nodes, t_s)
        )

    @cached_property
    def _own_noise_w(self) -> Floats:
        """Return the thermal noise of each node's receiver on the whole band, (nodes,) [W]."""
        return thermal_noise_w(self.bandwidth_hz, self.noise_figure_db)

    def serving(self, device: int, time_s: float) -> int:
        """Return the working base station with the best mean gain to a device, the first of equals.

        If no station works, all are considered.

        Raises
        ------
        ValueError
            if there is no base station
        """
        stations = np.arange(self.stations.start, self.stations.stop)
        if not stations.size:
            raise ValueError("there must be at least one base station, got none")
        gain_db = self.channel.large_scale_db(
            stations, np.full(stations.size, device), np.array([time_s])
        )[:, 0]
        received_db = gain_db + linear_to_db(self.tx_power_w[stations])
        if self.faults is not None:
            now_ns = round(time_s * NS_PER_S)
            fails_ns = [self.faults.fails_ns(station, now_ns) for station in stations.tolist()]
            works = np.array(fails_ns) > now_ns
            received_db = np.where(works | ~works.any(), received_db, -np.inf)
        return int(stations[np.argmax(received_db)])

    def snapshot(
        self,
        time_s: float,
        down: Sequence[int] = (),
        measured_db: Floats | None = None,
        battery: Floats | None = None,
    ) -> Snapshot:
        """Return the world at an instant, as a topology policy may see it.

        Parameters
        ----------
        time_s : instant [s]
        down : devices that have failed
        measured_db : (devices, devices) measured SNRs [dB], instead of the true means
        battery : (devices,) share of each battery that is left; none: there are no batteries
        """
        devices = np.arange(self.count)
        at = np.array([time_s])
        present = self.motion.present(devices, at)[:, 0].copy()
        present[list(down)] = False
        return Snapshot(
            world=self,
            time_s=time_s,
            position_m=self.in_space_m(devices, at)[:, 0],
            present=present,
            measured_db=measured_db,
            battery=np.ones(self.count) if battery is None else battery,
        )


def positions_m(motion: Motion, stations_m: Floats, nodes: Ints, t_s: Floats) -> Floats:
    """Return positions (n, T, 2) [m] of devices and base stations (n,) at instants (T,) [s]."""
    nodes, count = np.asarray(nodes), len(motion.names)
    if not stations_m.size:
        return motion.position_m(nodes, t_s)
    positions_m = np.empty((nodes.size, np.size(t_s), 2))
    fixed = nodes >= count
    positions_m[~fixed] = motion.position_m(nodes[~fixed], t_s)
    positions_m[fixed] = stations_m[nodes[fixed] - count][:, None]
    return positions_m


@dataclass(frozen=True)
class Snapshot:
    """The world at one instant, for topology policies and client selections.

    Parameters
    ----------
    world : the world
    time_s : the instant [s]
    position_m : (devices, 2) positions, or (devices, 3) with heights where these differ [m]
    present : (devices,) whether the device is in the scene and works
    measured_db : (devices, devices) measured SNRs, minus infinity where there is no measurement
        [dB]; none: the true means are known
    battery : (devices,) share of the battery of each device that is left, 1 without batteries
    """

    world: World
    time_s: float
    position_m: Floats
    present: NDArray[np.bool_]
    measured_db: Floats | None = None
    battery: Floats = field(default_factory=lambda: np.empty(0))

    @cached_property
    def distance_m(self) -> Floats:
        """Return the distances between devices, (devices, devices) [m]."""
        return length_m(self.position_m[:, None] - self.position_m[None, :])

    @cached_property
    def snr_db(self) -> Floats:
        """Return the mean over fading of the SNR at full power and band, (devices, devices) [dB].

        Row: transmitter, column: receiver; minus infinity on the diagonal. Measured values, if
        devices measure their links.
        """
        if self.measured_db is not None:
            return self.measured_db
        source, target = np.nonzero(~np.eye(self.world.count, dtype=bool))
        at = np.array([self.time_s])
        gain_db = self.world.channel.large_scale_db(source, target, at)[:, 0]
        return self._square(source, target, gain_db)

    @cached_property
    def rate_bps(self) -> Floats:
        """Return the rate at the mean SNR with the whole band, (devices, devices) [bit/s]."""
        return self.rate_at_bps(db_to_linear(self.snr_db))

    def rate_at_bps(self, snr: Floats) -> Floats:
        """Return the rate with the whole band at some SNRs (...) [bit/s]."""
        return self._modem.rate_bps(snr, np.ones(snr.shape))

    @cached_property
    def serving(self) -> Ints:
        """Return the serving base station of each device, (devices,)."""
        world = self.world
        return np.array([world.serving(device, self.time_s) for device in range(world.count)])

    @cached_property
    def uplink_bps(self) -> Floats:
        """Return the rates to the serving stations at the mean SNRs, (devices,) [bit/s].

        With the whole band and power, without interference.
        """
        return self._access_bps(np.arange(self.world.count), self.serving)

    @cached_property
    def downlink_bps(self) -> Floats:
        """Return the rates from the serving stations at the mean SNRs, (devices,) [bit/s]."""
        return self._access_bps(self.serving, np.arange(self.world.count))

    @cached_property
    def uplink_snr(self) -> Floats:
        """Return the mean SNRs at the serving stations, with the whole band and power, linear.

        (devices,), over fading, without interference.
        """
        return self._access_snr(np.arange(self.world.count), self.serving)

    def compute_time_s(self, device: int, flops: float) -> float:
        """Return the computing time of operations on a device from now on [s]."""
        return self.world.compute_time_s(device, flops, self.time_s)

    def _access_bps(self, source: Ints, target: Ints) -> Floats:
        """Return the rates of links (n,) at their mean SNRs, with the whole band [bit/s]."""
        snr = self._access_snr(source, target)
        return self._modem.rate_bps(snr, np.ones(snr.shape))

    def _access_snr(self, source: Ints, target: Ints) -> Floats:
        """Return the mean SNRs of links (n,), with the whole band and power, linear."""
        world = self.world
        gain_db = world.channel.large_scale_db(source, target, np.array([self.time_s]))[:, 0]
        return db_to_linear(self._mean_snr_db(source, target, gain_db))

    @cached_property
    def _modem(self) -> Modem:
        """Return the modem of the whole band."""
        # Slots of one millisecond, if the physical layer does not determine their duration.
        return self.world.phy.modem(self.world.bandwidth_hz, 1, 1_000_000)

    @property
    def tx_power_w(self) -> Floats:
        """Total transmit power of each device, (devices,) [W]."""
        return self.world.tx_power_w[: self.world.count]

    def required_power_w(self, bits: float, deadline_s: float, receivers: int) -> Floats:
        """Return the power at which a message of each device just meets a deadline.

        Parameters
        ----------
        bits : size of the message [bit]
        deadline_s : time until it must be received [s]
        receivers : number of receivers among which each device splits its band equally

        Returns
        -------
        (devices, devices) power of each link, infinite where the SNR is zero, at the mean SNR and
        the rate of the physical layer; for the Shannon rate p = (noise / gain) (2^(bits receivers /
        (W deadline)) - 1), with the noise of the link's part of the band (arXiv 2602.20492, Eq. 25)
        [W]
        """
        known, band = db_to_linear(self.snr_db)[..., None], 1.0 / max(receivers, 1)
        share = required_share(self._modem, known, bits, deadline_s, band)
        return np.asarray(self.tx_power_w[:, None] * share)

    def contact_s(self, range_m: float, horizon_s: float, step_s: float = 1.0) -> Floats:
        """Return how long pairs of devices will remain within a range.

        Parameters
        ----------
        range_m : the range [m]
        horizon_s, step_s : evaluated time span, and interval between evaluations [s]

        Returns
        -------
        (devices, devices) time until the first evaluation at which the two are out of range or one
        of them is absent, `horizon_s` if there is none; 0 for pairs out of range now [s]
        """
        present, tree = self._tree
        pairs = present[tree.query_pairs(range_m, output_type="ndarray")]
        ahead_s = self.time_s + np.arange(step_s, horizon_s + step_s, step_s)
        apart_m = np.subtract(*(self.world.in_space_m(pairs[:, n], ahead_s) for n in (0, 1)))
        lost = length_m(apart_m) > range_m
        for end in (0, 1):
            lost |= ~self.world.motion.present(pairs[:, end], ahead_s)
        first = np.where(lost.any(axis=1), lost.argmax(axis=1) * step_s + step_s, horizon_s)
        result = np.zeros((self.world.count, self.world.count))
        result[pairs[:, 0], pairs[:, 1]] = result[pairs[:, 1], pairs[:, 0]] = np.minimum(
            first, horizon_s
        )
        return result

    def nearest(self, device: int, count: int) -> Ints:
        """Return the present devices nearest to a device, in order of distance.

        Parameters
        ----------
        device : the device
        count : largest number of devices to return
        """
        present, tree = self._tree
        if not present.size:
            return present
        found = min(count + 1, present.size)
        _, place = tree.query(self.position_m[device], k=np.arange(1, found + 1))
        nearest = present[place]
        return np.asarray(nearest[nearest != device][:count])

    @cached_property
    def _tree(self) -> tuple[Ints, cKDTree]:
        """Return the present devices, and a spatial index of their positions."""
        from scipy.spatial import cKDTree

        present = np.flatnonzero(self.present)
        return present, cKDTree(self.position_m[present])

    def _square(self, source: Ints, target: Ints, gain_db: Floats) -> Floats:
        """Return SNRs (devices, devices) [dB] from the gains of links."""
        result = np.full((self.world.count, self.world.count), -np.inf)
        result[source, target] = self._mean_snr_db(source, target, gain_db)
        return result

    def _mean_snr_db(self, source: Ints, target: Ints, gain_db: Floats) -> Floats:
        """Return the SNRs (n,) [dB] of links from their gains, minus infinity in an outage."""
        world = self.world
        at_ns = np.array([round(self.time_s * NS_PER_S)])
        noise_w = world.noise_w(np.arange(world.nodes), at_ns)[target, 0]
        snr_db = np.asarray(gain_db + linear_to_db(world.tx_power_w[source] / noise_w))
        if world.faults is not None and world.faults.has_link_outages:
            snr_db[world.faults.dark(source, target, at_ns)[:, 0]] = -np.inf
        return snr_db
