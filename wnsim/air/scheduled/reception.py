"""Signal and interference at the receivers of attempts on the air, actual and estimated."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from wnsim import kernels
from wnsim.air.gains import Gains
from wnsim.air.quality import multicast_quality
from wnsim.air.scheduled.interference import Emitters, emitters
from wnsim.core.units import Floats, Ints

if TYPE_CHECKING:
    from wnsim.air.interference_graph import InterferenceGraph
    from wnsim.air.scheduled.attempt_table import AttemptTable
    from wnsim.air.scheduled.window import Window
    from wnsim.air.setup import Setup

_NONE: Ints = np.empty(0, dtype=np.int64)


@dataclass(slots=True)
class Links:
    """Some rows (R,) in some slots (S,): their pairs, and who interferes with them.

    Attributes
    ----------
    rows : (R,) the rows
    first, count : number of the first slot, and S
    pairs : (R,) rows of the pairs of transmitters and receivers in the gains
    power_w : (R,) full power of the transmitters [W]
    targets : (R,) the receivers
    receiver, emitter : (P,) pairs of a receiver, by index, and an emitter that interferes with it
    interfering : (P,) rows of these pairs in the gains
    """

    rows: Ints
    first: int
    count: int
    pairs: Ints
    power_w: Floats
    targets: Ints
    receiver: Ints
    emitter: Ints
    interfering: Ints


class Reception:
    """Signal and interference at the receivers of attempts on the air.

    Parameters
    ----------
    setup : what the engine is built from
    table : the attempts on the air
    graph : audible nodes of each receiver; none: no interference

    Attributes
    ----------
    gains : gains in the present window of samples
    """

    def __init__(self, setup: Setup, table: AttemptTable, graph: InterferenceGraph | None) -> None:
        world = setup.world
        self._setup = setup
        self._rows = table
        self._graph = graph
        self._rules = setup.mac.rules()
        self._delays = setup.csi_delays
        # Channel state information is not delayed, and powers do not vary.
        self._perfect_csi = self._delays == [0] and not self._rules.patterned
        history = -(-self._delays[-1] // setup.sample_slots)
        self.gains = Gains(world.channel, setup.sample_ns, history)
        self._now_ns = 0
        self._emitters: Emitters | None = None

    def open(self, now_ns: int) -> None:
        """Discard the emitters, and use the interference graph of an instant [ns] from now on."""
        self._now_ns = now_ns
        self._emitters = None

    def update_emitters(self, rows: Ints, window: Window, offset: int) -> NDArray[np.bool_]:
        """Update the emitters from a slot of the window on; return which receivers are affected.

        Parameters
        ----------
        rows : (R,) all rows, in order
        window, offset : shares of the rows, and the slot in the window

        Returns
        -------
        (R,) rows at which the mean power of an audible node has changed
        """
        if self._graph is None:
            return np.zeros(rows.size, dtype=np.bool_)
        table = self._rows.table
        leader = self._rows.leaders(rows)
        leaders = rows[leader]
        full_w = self._setup.world.tx_power_w[table["source"][leaders]]
        mean_w = self._setup.mac.duty(self._rows.on_air(rows))[leader] * full_w
        power_w = mean_w[:, None]
        if self._rules.patterned:
            part = slice(offset, None)
            share = np.where(window.active[leaders, part], window.power[leaders, part], 0.0)
            power_w = share * full_w[:, None]
        before = self._emitters
        source, group, carrier = (table[name][leaders] for name in ("source", "group", "carrier"))
        self._emitters = emitters(source, group, carrier, mean_w, power_w)
        if before is None or self._rules.patterned:
            return np.ones(rows.size, dtype=np.bool_)
        marked = self._emitters.differ_from(before, self._setup.world.nodes)
        if not marked.any():
            return np.zeros(rows.size, dtype=np.bool_)
        target = table["target"][rows]
        return kernels.interference.affected(
            marked, target, *self._graph.tables(target, self._now_ns)
        )

    def links(self, rows: Ints, slot: int, until: int) -> Links:
        """Return rows (R,) with their interferers from one slot to another."""
        table, emitting = self._rows.table, self._emitters
        source, target = table["source"][rows], table["target"][rows]
        power_w = self._setup.world.tx_power_w[source]
        if self._graph is None or emitting is None:
            pair = self.gains.rows(source, target)
            return Links(rows, slot, until - slot, pair, power_w, target, _NONE, _NONE, _NONE)
        receiver, emitter = kernels.interference.pairs(
            emitting.node, emitting.group, emitting.carrier,
            source, target, table["group"][rows], table["carrier"][rows],
            *self._graph.tables(target, self._now_ns),
        )  # fmt: skip
        pair = self.gains.rows(
            np.concatenate([source, emitting.node[emitter]]),
            np.concatenate([target, target[receiver]]),
        )
        own, interfering = pair[: rows.size], pair[rows.size :]
        return Links(rows, slot, until - slot, own, power_w, target, receiver, emitter, interfering)

    def estimated(self, links: Links, density: Floats) -> Floats:
        """Return the SINRs (R, S, B) estimated by transmitters, from mean powers and delayed gains.

        Parameters
        ----------
        links : rows (R,) in slots (S,)
        density : (R, S) or (1, 1) share of the power over the share of the band
        """
        mean_w = np.empty((0, 1)) if self._emitters is None else self._emitters.mean_w[:, None]
        delay = self._setup.csi_delay_slots
        return self._unify_multicast(
            links.rows, self._sinr(links, density, mean_w, delay, len(self._delays))
        )

    def sinrs(self, links: Links, density: Floats) -> tuple[Floats, Floats]:
        """Return the estimated SINRs and the actual ones; see `estimated`."""
        power_w = np.empty((0, 1)) if self._emitters is None else self._emitters.power_w
        true = self._sinr(links, density, power_w, 0, 0)
        if self._perfect_csi:
            return self._unify_multicast(links.rows, true), true
        return self.estimated(links, density), true

    def _sinr(
        self, links: Links, density: Floats, emitted_w: Floats, delay: int, terms: int
    ) -> Floats:
        """Return the SINRs (R, S, B) known after a delay; see `wnsim.kernels.slots.sinr`."""
        setup = self._setup
        known = np.maximum(np.arange(links.first, links.first + links.count) - delay, 0)
        at_ns = known // setup.sample_slots * setup.sample_ns
        return kernels.slots.sinr(
            self.gains.values, self.gains.base, setup.sample_slots, links.first, links.count,
            delay, terms, links.pairs, links.power_w, density,
            setup.world.noise_w(links.targets, at_ns),
            links.receiver, links.interfering, emitted_w[links.emitter],
        )  # fmt: skip

    def _unify_multicast(self, rows: Ints, estimated: Floats) -> Floats:
        """Give all receivers of a multicast the quality for which its rate is selected."""
        if not self._rows.multicasts:
            return estimated
        leader = self._rows.leaders(rows)
        if leader.all():
            return estimated
        estimated = estimated.copy()
        begin = np.flatnonzero(leader)
        for first, last in zip(begin, [*begin[1:], rows.size], strict=True):
            if last - first > 1:
                quantile = self._rows.transmissions[int(rows[first])].quantile
                estimated[first:last] = multicast_quality(estimated[first:last], quantile)
        return estimated
