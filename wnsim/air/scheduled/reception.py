"""Signal and interference at the receivers of attempts on the air, actual and estimated."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from wnsim.air.gains import Gains
from wnsim.air.quality import multicast_quality, predict, sinr
from wnsim.air.scheduled.interference import (
    Emitters,
    Interferers,
    any_audible,
    emitters,
    find_interferers,
)
from wnsim.core.units import Floats, Ints

if TYPE_CHECKING:
    from wnsim.air.interference_graph import InterferenceGraph
    from wnsim.air.scheduled.attempt_table import AttemptTable
    from wnsim.air.scheduled.window import Window
    from wnsim.air.setup import Setup


@dataclass(frozen=True)
class Links:
    """Received powers of some rows (R,) in some slots (S,) [W].

    Attributes
    ----------
    rows, slots : the rows, and the slots
    signal_w, estimated_w : (R, S, B) at the transmitter's full power: actual and estimated
    targets : (R,) the receivers
    interferers : the interferers, or none
    interfering : (P,) rows of these pairs in the gains
    """

    rows: Ints
    slots: Ints
    signal_w: Floats
    estimated_w: Floats
    targets: Ints
    interferers: Interferers | None
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
        return any_audible(
            marked, self._graph.audible(table["target"][rows].tolist(), self._now_ns)
        )

    def links(self, rows: Ints, slot: int, until: int) -> Links:
        """Return the received powers of rows (R,) from one slot to another."""
        setup, table = self._setup, self._rows.table
        source, target = table["source"][rows], table["target"][rows]
        power_w = setup.world.tx_power_w[source][:, None, None]
        slots = np.arange(slot, until)
        interferers = None
        if self._graph is not None and self._emitters is not None:
            group, carrier = table["group"][rows], table["carrier"][rows]
            interferers = find_interferers(
                self._emitters, self._graph, self._now_ns, source, target, group, carrier
            )
            ends = (
                np.concatenate([source, interferers.node]),
                np.concatenate([target, target[interferers.row]]),
            )
            pair, interfering = np.split(self.gains.rows(*ends), [rows.size])
        else:
            pair, interfering = self.gains.rows(source, target), rows[:0]
        signal_w = estimated_w = power_w * self.gains.at(pair, slots // setup.sample_slots)
        if not self._perfect_csi:
            past = [
                self.gains.at(pair, np.maximum(slots - delay, 0) // setup.sample_slots)
                for delay in self._delays
            ]
            estimated_w = power_w * predict(past)
        return Links(
            rows,
            slots,
            signal_w,
            estimated_w,
            target,
            interferers,
            interfering,
        )

    def estimated(self, links: Links, density: Floats) -> Floats:
        """Return the SINRs (R, S, B) estimated by transmitters, from mean powers and delayed gains.

        Parameters
        ----------
        links : of rows (R,) in slots (S,)
        density : (R, S, 1) or (1,) share of the power over the share of the band
        """
        slots = np.maximum(links.slots - self._setup.csi_delay_slots, 0)
        interference_w = self._interference_w(links, slots, mean=True)
        noise_w = self._noise_w(links, slots)
        return self._unify_multicast(
            links.rows, sinr(links.estimated_w, density, noise_w, interference_w)
        )

    def sinrs(self, links: Links, density: Floats) -> tuple[Floats, Floats]:
        """Return the estimated SINRs and the actual ones; see `estimated`."""
        interference_w = self._interference_w(links, links.slots, mean=False)
        noise_w = self._noise_w(links, links.slots)
        true = sinr(links.signal_w, density, noise_w, interference_w)
        if self._perfect_csi:
            return self._unify_multicast(links.rows, true.copy()), true
        return self.estimated(links, density), true

    def _noise_w(self, links: Links, slots: Ints) -> Floats:
        """Return the noise (R, S, 1) or (R, 1, 1) of the receivers in slots (S,) [W]."""
        setup = self._setup
        at_ns = slots // setup.sample_slots * setup.sample_ns
        return setup.world.noise_w(links.targets, at_ns)[..., None]

    def _interference_w(self, links: Links, slots: Ints, *, mean: bool) -> Floats:
        """Return the interference (R, S, B) from mean or actual powers and the gains in slots."""
        interferers = links.interferers
        if interferers is None or self._emitters is None:
            return np.zeros((1, 1, 1))
        power_w = self._emitters.mean_w[:, None] if mean else self._emitters.power_w
        gain = self.gains.at(links.interfering, slots // self._setup.sample_slots)
        return interferers.sum(power_w[interferers.emitter], gain)

    def _unify_multicast(self, rows: Ints, estimated: Floats) -> Floats:
        """Give all receivers of a multicast the quality for which its rate is selected."""
        leader = self._rows.leaders(rows)
        if leader.all():
            return estimated
        begin = np.flatnonzero(leader)
        for first, last in zip(begin, [*begin[1:], rows.size], strict=True):
            if last - first > 1:
                quantile = self._rows.transmissions[int(rows[first])].quantile
                estimated[first:last] = multicast_quality(estimated[first:last], quantile)
        return estimated
