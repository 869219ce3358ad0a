"""The radio channel between nodes: a pure function of seed, link and time.

Every value depends on the seed, the two ends of the link and the instant, never on what was asked
before, on the window it is asked in or on which other links are asked for. Links are reciprocal.
Noise and transmit power are not the channel's business.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from wnsim import kernels
from wnsim.channel.blocks import Blocks
from wnsim.channel.configuration import Carrier, Geometry, Propagation
from wnsim.channel.large_scale import LargeScale
from wnsim.channel.links import members, ordered
from wnsim.channel.nodes import checked
from wnsim.channel.oxygen import oxygen_db_per_m
from wnsim.channel.plane_waves import Complexes, PlaneWaves
from wnsim.channel.propagation_scene import Scene
from wnsim.channel.ray_tracing import TracedLinks
from wnsim.channel.reach import MaximumRange
from wnsim.channel.recording import GainRecord
from wnsim.channel.replay import ReplayTable
from wnsim.channel.satellite_links import SatelliteLinks
from wnsim.core.units import Floats, Ints, db_to_linear, linear_to_db

# Where (L, T) links (L,), by source and target, let nothing through at instants (T,) [ns].
Dark = Callable[[Ints, Ints, Ints], NDArray[np.bool_]]
_Number = TypeVar("_Number", np.float64, np.complex128)

# Amplitudes computed in one batch, which fit a core's cache.
_SLAB = 1 << 14


class Channel:
    """The channel between all pairs of nodes, which are devices and stations.

    Parameters
    ----------
    propagation : models
    carrier : carrier and band
    geometry : the nodes
    seed : seed of the scenario
    dark : when links let nothing through; it concerns `gain_blocks` alone; none: never
    record : whether it is recorded for which links and instants gains are asked

    Attributes
    ----------
    large_scale : path loss, line of sight and shadow fading of the models
    subbands : B
    constant : whether gains are the same at all instants: no node moves, there is no small-scale
        fading or ray tracing, and nothing cuts, replays or records links

    Raises
    ------
    ValueError
        if a parameter has not one value for each node; and by every method, if a link joins a
        node with itself

    Notes
    -----
    A result with a last axis of B subbands may be a read-only view that repeats one value where
    the channel is flat.
    """

    def __init__(
        self,
        propagation: Propagation,
        carrier: Carrier,
        geometry: Geometry,
        seed: int,
        *,
        dark: Dark | None = None,
        record: bool = False,
    ) -> None:
        path_loss, shadowing = propagation.path_loss, propagation.shadowing
        station_path_loss, replay = propagation.station_path_loss, propagation.replay
        frequency_hz = carrier.frequency_hz
        nodes = checked(
            geometry.heights_m,
            geometry.stations,
            geometry.antennas,
            geometry.indoor,
            propagation.penetration,
            frequency_hz,
            seed,
        )
        indoor = bool(nodes.indoor.any())
        scene = Scene(path_loss, shadowing, frequency_hz, seed, 0, indoor)
        station_scene = scene
        if station_path_loss is not None:
            station_scene = Scene(station_path_loss, shadowing, frequency_hz, seed, 1, indoor)
        satellites = None
        if geometry.sky is not None:
            model = propagation.satellite_path_loss or path_loss
            overhead = Scene(model, shadowing, frequency_hz, seed, 2, indoor, soft=False)
            satellites = SatelliteLinks(geometry.sky, overhead, nodes)
        self._position = geometry.position
        absorption_db_per_m = oxygen_db_per_m(frequency_hz) if propagation.oxygen_loss else 0.0
        self.large_scale = LargeScale(
            scene,
            station_scene,
            nodes,
            geometry.position,
            geometry.max_speed_mps,
            absorption_db_per_m,
            satellites,
        )
        self._gain: LargeScale | ReplayTable = self.large_scale
        self._traced, self._offsets_hz = propagation.traced, carrier.offsets_hz
        self._fading = propagation.fading.process(
            frequency_hz, carrier.bandwidth_hz, carrier.subbands, seed
        )
        self._reach = MaximumRange(
            path_loss, station_path_loss or path_loss, shadowing, frequency_hz, nodes
        )
        self._replayed = replay is not None and replay.has_gain
        if replay is not None and replay.has_gain:
            replay.check_subbands(carrier.subbands)
            self._gain = replay
            self._fading = None
        if self._traced is not None:
            self._fading = None
        self.subbands = carrier.subbands
        self._nodes = nodes.stations.size
        self._dark = dark
        self._record = GainRecord() if record else None
        self.constant = (
            geometry.max_speed_mps == 0.0
            and geometry.sky is None
            and nodes.heights.varying is None
            and self._fading is None
            and self._traced is None
            and not self._replayed
            and dark is None
            and not record
        )
        # Many links are asked for in the same blocks, one after the other.
        self._blocks: Blocks | None = None

    def large_scale_db(self, source: Ints, target: Ints, t_s: Floats) -> Floats:
        """Return the gain without small-scale fading.

        Parameters
        ----------
        source, target : (L,) ends of the links
        t_s : (T,) instants [s]

        Returns
        -------
        (L, T) gain of path loss, shadow fading, antennas and walls [dB], usually negative
        """
        t_s = np.asarray(t_s, dtype=np.float64)
        if self._record is not None:
            self._record.add_means(source, target, t_s)
        if self._traced is not None:
            return self._traced.mean_gain_db(source, target, *self._ends(source, target, t_s))
        return self._gain.gain_db(source, target, t_s)

    def response(self, source: Ints, target: Ints, t_s: Floats) -> Complexes:
        """Return the channel's complex amplitude.

        Parameters
        ----------
        source, target : (L,) ends of the links
        t_s : (T,) instants [s]

        Returns
        -------
        (L, T, B) amplitudes; their squared modulus is the power gain
        """
        t_s = np.asarray(t_s, dtype=np.float64)
        if self._traced is not None:
            return self._along_paths(self._traced, source, target, t_s)
        if isinstance(self._gain, ReplayTable):
            gain = self._gain.power_gain(source, target, t_s)
            return self._spread(np.sqrt(gain).astype(np.complex128))
        amplitude = np.sqrt(db_to_linear(self.large_scale_db(source, target, t_s)))[..., None]
        if self._fading is None:
            return self._spread(amplitude.astype(np.complex128))
        x_source, x_target = self._ends(source, target, t_s)
        faded = self._fading.response(source, target, x_source, x_target, t_s)
        return self._spread(amplitude * faded)

    def gain_db(self, source: Ints, target: Ints, t_s: Floats) -> Floats:
        """Return the power gain of everything.

        Parameters
        ----------
        source, target : (L,) ends of the links
        t_s : (T,) instants [s]

        Returns
        -------
        (L, T, B) gain [dB]
        """
        t_s = np.asarray(t_s, dtype=np.float64)
        if self._traced is not None:
            return linear_to_db(_power(self._along_paths(self._traced, source, target, t_s)))
        if isinstance(self._gain, ReplayTable):
            return self._spread(linear_to_db(self._gain.power_gain(source, target, t_s)))
        gain_db = self.large_scale_db(source, target, t_s)[..., None]
        if self._fading is not None:
            x_source, x_target = self._ends(source, target, t_s)
            faded = self._fading.response(source, target, x_source, x_target, t_s)
            gain_db = gain_db + linear_to_db(_power(faded))
        return self._spread(gain_db)

    def gain_blocks(
        self, source: Ints, target: Ints, first_block: int, n_blocks: int, block_ns: int
    ) -> Floats:
        """Return the power gain in consecutive blocks of time; the fast way.

        The blocks are grouped into chunks at fixed instants, no longer than `large_scale.step_s`,
        within which nodes move along straight lines: the same as `gain_db` but where a node
        turns, which is rounded off by at most its speed times the duration of a chunk.

        Parameters
        ----------
        source, target : (L,) ends of the links
        first_block : number k of the first block; block k is at k times `block_ns`
        n_blocks : K, how many blocks
        block_ns : duration of a block [ns]

        Returns
        -------
        (L, K, B) power gain, linear; zero in blocks that begin while the link lets nothing through
        """
        if self._record is not None:
            self._record.add_blocks(source, target, first_block, n_blocks, block_ns)
        gain = self._gain_blocks(source, target, first_block, n_blocks, block_ns)
        if self._dark is None:
            return gain
        begin_ns = (first_block + np.arange(n_blocks)) * block_ns
        dark = self._dark(np.asarray(source), np.asarray(target), begin_ns)
        return np.where(dark[..., None], 0.0, gain)

    def _gain_blocks(
        self, source: Ints, target: Ints, first_block: int, n_blocks: int, block_ns: int
    ) -> Floats:
        """Return the power gain in consecutive blocks of time, whether links are cut or not."""
        blocks = self._blocks
        if blocks is None or blocks.name != (first_block, n_blocks, block_ns):
            blocks = self._blocks = Blocks(
                first_block, n_blocks, block_ns, self.large_scale, self._position, self._nodes
            )
        source, target = np.asarray(source, dtype=np.int64), np.asarray(target, dtype=np.int64)
        if self._traced is not None:
            return _power(self._along_paths(self._traced, source, target, blocks.t_s))
        if isinstance(self._gain, ReplayTable):
            ordered(source, target)
            return self._spread(self._gain.power_gain(source, target, blocks.t_s))
        gain_db = self._gain.interpolated(source, target, blocks.instants)
        if self._fading is None or gain_db.size == 0:
            return self._spread(db_to_linear(gain_db)[..., None])
        if isinstance(self._fading, PlaneWaves):
            places_m = blocks.places_m(source, target)
            grid = blocks.first_chunk, blocks.chunk_s, blocks.size, blocks.skip
            return self._spread(self._fading.power_grid(source, target, places_m, *grid, gain_db))
        gain = np.empty((*gain_db.shape, self._fading.subbands))
        for links in _slabs(source.size, gain[0].size):
            amplitude = self._fading.response_grid(
                source[links], target[links], *blocks.positions_m(source[links], target[links]),
                blocks.first_chunk, blocks.chunk_s, blocks.size,
            )  # fmt: skip
            gain[links] = kernels.gains.power_gains(gain_db[links], amplitude, blocks.skip)
        return self._spread(gain)

    def end_record(self) -> GainRecord | None:
        """End and return the record of gains; None without one."""
        record, self._record = self._record, None
        return record

    def max_range_m(self, loss_db: float) -> float:
        """Return a distance beyond which no two nodes can have less than a loss.

        Parameters
        ----------
        loss_db : largest loss of interest, before small-scale fading [dB]

        Returns
        -------
        ground distance [m], at most 1e7: the mean path loss in the most favourable state, less the
        antennas' peak gains and, with shadow fading, less 12 dB, is nowhere smaller beyond it
        """
        from_file = self._replayed or self._traced is not None
        return MaximumRange.FAR_M if from_file else self._reach(loss_db)

    def _spread(self, values: NDArray[_Number]) -> NDArray[_Number]:
        """Return values (L, T, 1 or B) as (L, T, B)."""
        if values.shape[2] == self.subbands:
            return values
        return np.broadcast_to(values, (*values.shape[:2], self.subbands))

    def _along_paths(
        self, traced: TracedLinks, source: Ints, target: Ints, t_s: Floats
    ) -> Complexes:
        """Return the amplitudes (L, T, B) of traced links."""
        ends_m = self._ends(source, target, t_s)
        return traced.response(source, target, *ends_m, self._offsets_hz)

    def _ends(self, source: Ints, target: Ints, t_s: Floats) -> tuple[Floats, Floats]:
        """Return the positions (L, T, 2) [m] of the links' two ends."""
        ordered(source, target)
        nodes, begin, end = members(np.asarray(source), np.asarray(target))
        positions_m = self._position(nodes, t_s)
        return positions_m[begin], positions_m[end]


def _power(amplitude: Complexes) -> Floats:
    """Return the squared modulus."""
    return amplitude.real**2 + amplitude.imag**2


def _slabs(links: int, each: int) -> Iterator[slice]:
    """Return consecutive parts of links with a number of amplitudes each."""
    step = max(1, _SLAB // each)
    return (slice(top, top + step) for top in range(0, links, step))
