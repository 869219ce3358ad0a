"""What reaches the receivers of the flows on the air, and what their transmitters know of it.

The gains of an era, who transmits with which power, and the ratios of signal to interference and
noise that follow from both.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from wnsim.air.gains import Gains
from wnsim.air.quality import common, predict, sinr
from wnsim.air.scheduled.interference import Disturbers, Emitters, disturbers, emitters, hears_any
from wnsim.core.units import Floats, Ints

if TYPE_CHECKING:
    from wnsim.air.air import Setup
    from wnsim.air.interference_graph import Hearing
    from wnsim.air.scheduled.rows import Rows
    from wnsim.air.scheduled.window import Window


@dataclass(frozen=True)
class Links:
    """What reaches the receivers of some rows (R,) in some slots (S,) [W].

    Attributes
    ----------
    rows, slots : the rows, and the slots
    signal_w, known_w : (R, S, B) of the transmitter's full power, and what is expected of it
    targets : (R,) the receivers
    disturbers : who disturbs them, or none
    disturbing : (P,) rows of these pairs in the gains
    """

    rows: Ints
    slots: Ints
    signal_w: Floats
    known_w: Floats
    targets: Ints
    disturbers: Disturbers | None
    disturbing: Ints


class Reception:
    """Signal and interference at the receivers of the flows on the air.

    Parameters
    ----------
    setup : what the engine works with
    table : the flows on the air
    hearing : who can hear whom; none: nobody disturbs anybody

    Attributes
    ----------
    gains : of the present era
    """

    def __init__(self, setup: Setup, table: Rows, hearing: Hearing | None) -> None:
        world = setup.world
        self._setup = setup
        self._rows = table
        self._hearing = hearing
        self._rules = setup.mac.rules()
        self._delays = setup.csi_delays
        # Nothing is old, and mean powers are all that there is to know.
        self._informed = self._delays == [0] and not self._rules.patterned
        history = -(-self._delays[-1] // setup.sample_slots)
        self.gains = Gains(world.channel, setup.sample_ns, history)
        self._now_ns = 0
        self._emitters: Emitters | None = None

    def open(self, now_ns: int) -> None:
        """Forget who transmits, and take who hears whom at an instant [ns] from here on."""
        self._now_ns = now_ns
        self._emitters = None

    def emit(self, rows: Ints, window: Window, place: int) -> NDArray[np.bool_]:
        """Bring up to date who transmits from a slot of the window on; return who hears it.

        Parameters
        ----------
        rows : (R,) all rows, in order
        window, place : what they are given, and the slot

        Returns
        -------
        (R,) which rows hear another mean power than before
        """
        if self._hearing is None:
            return np.zeros(rows.size, dtype=np.bool_)
        table = self._rows.table
        leader = self._rows.leaders(rows)
        leaders = rows[leader]
        full_w = self._setup.world.tx_power_w[table["source"][leaders]]
        mean_w = self._setup.mac.duty(self._rows.on_air(rows))[leader] * full_w
        power_w = mean_w[:, None]
        if self._rules.patterned:
            part = slice(place, None)
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
        return hears_any(marked, self._hearing.heard(table["target"][rows].tolist(), self._now_ns))

    def links(self, rows: Ints, slot: int, until: int) -> Links:
        """Return what reaches the receivers of rows (R,) from one slot to another."""
        setup, table = self._setup, self._rows.table
        source, target = table["source"][rows], table["target"][rows]
        power_w = setup.world.tx_power_w[source][:, None, None]
        slots = np.arange(slot, until)
        met = None
        if self._hearing is not None and self._emitters is not None:
            group, carrier = table["group"][rows], table["carrier"][rows]
            met = disturbers(
                self._emitters, self._hearing, self._now_ns, source, target, group, carrier
            )
            ends = np.concatenate([source, met.node]), np.concatenate([target, target[met.row]])
            pair, disturbing = np.split(self.gains.rows(*ends), [rows.size])
        else:
            pair, disturbing = self.gains.rows(source, target), rows[:0]
        signal_w = known_w = power_w * self.gains.at(pair, slots // setup.sample_slots)
        if not self._informed:
            past = [
                self.gains.at(pair, np.maximum(slots - delay, 0) // setup.sample_slots)
                for delay in self._delays
            ]
            known_w = power_w * predict(past)
        return Links(
            rows,
            slots,
            signal_w,
            known_w,
            target,
            met,
            disturbing,
        )

    def known(self, links: Links, density: Floats) -> Floats:
        """Return the ratios (R, S, B) that transmitters believe in: mean powers, delayed gains.

        Parameters
        ----------
        links : of rows (R,) in slots (S,)
        density : (R, S, 1) or (1,) share of the power over that of the band it is spent on
        """
        slots = np.maximum(links.slots - self._setup.csi_delay_slots, 0)
        met_w = self._interference_w(links, slots, mean=True)
        noise_w = self._noise_w(links, slots)
        return self._agreed(links.rows, sinr(links.known_w, density, noise_w, met_w))

    def ratios(self, links: Links, density: Floats) -> tuple[Floats, Floats]:
        """Return the ratios that transmitters believe in and those that hold; see `known`."""
        met_w = self._interference_w(links, links.slots, mean=False)
        noise_w = self._noise_w(links, links.slots)
        true = sinr(links.signal_w, density, noise_w, met_w)
        if self._informed:
            return self._agreed(links.rows, true.copy()), true
        return self.known(links, density), true

    def _noise_w(self, links: Links, slots: Ints) -> Floats:
        """Return the noise (R, S, 1) or (R, 1, 1) of the receivers in slots (S,) [W]."""
        setup = self._setup
        at_ns = slots // setup.sample_slots * setup.sample_ns
        return setup.world.noise_w(links.targets, at_ns)[..., None]

    def _interference_w(self, links: Links, slots: Ints, *, mean: bool) -> Floats:
        """Return what receivers get (R, S, B) of mean or true powers with the gains in slots."""
        met = links.disturbers
        if met is None or self._emitters is None:
            return np.zeros((1, 1, 1))
        power_w = self._emitters.mean_w[:, None] if mean else self._emitters.power_w
        gain = self.gains.at(links.disturbing, slots // self._setup.sample_slots)
        return met.sum(power_w[met.emitter], gain)

    def _agreed(self, rows: Ints, known: Floats) -> Floats:
        """Let the receivers of one stream be known as one: that for which the rate is chosen."""
        leader = self._rows.leaders(rows)
        if leader.all():
            return known
        begin = np.flatnonzero(leader)
        for first, last in zip(begin, [*begin[1:], rows.size], strict=True):
            if last - first > 1:
                quantile = self._rows.streams[int(rows[first])].quantile
                known[first:last] = common(known[first:last], quantile)
        return known
