"""Spatial reuse with manners: whether a stream would drown those on the air, or be drowned."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from wnsim.air.hearing import Hearing
from wnsim.units import NS_PER_S, Floats, Ints, db_to_linear

if TYPE_CHECKING:
    from wnsim.air.flow import Flow
    from wnsim.world import World


class Protection:
    """The mean ratios of signal to interference that starting a stream would leave.

    Parameters
    ----------
    world : devices, channel and powers
    lowest_db : smallest ratio that is allowed [dB]
    """

    def __init__(self, world: World, lowest_db: float) -> None:
        self._world = world
        self._lowest = float(db_to_linear(lowest_db))
        self._hearing = Hearing(world)

    def permits(self, new: Sequence[Flow], on_air: Sequence[Flow], now_ns: int) -> bool:
        """Return whether all ratios stay high enough if flows join those on the air.

        Parameters
        ----------
        new : flows of one stream
        on_air : those that are sent already
        now_ns : the instant [ns]
        """
        sender = new[0].source
        heard = self._hearing.heard([flow.target for flow in on_air], now_ns)
        concerned = [
            flow
            for flow, nodes in zip(on_air, heard, strict=True)
            if flow.source != sender and sender in nodes
        ]
        senders = sorted({flow.source for flow in on_air} | {sender})
        return all(self._ratio_holds(flow, senders, now_ns) for flow in (*new, *concerned))

    def _ratio_holds(self, flow: Flow, senders: Sequence[int], now_ns: int) -> bool:
        """Return whether a flow's receiver hears it well enough among all senders."""
        heard = set(self._hearing.heard([flow.target], now_ns)[0].tolist())
        others = [node for node in senders if node in heard and node != flow.source]
        if not others:
            return True
        received_w = self._received_w(np.array([flow.source, *others]), flow.target, now_ns)
        return bool(received_w[0] >= self._lowest * received_w[1:].sum())

    def _received_w(self, senders: Ints, receiver: int, now_ns: int) -> Floats:
        """Return the mean power (n,) of senders at a receiver [W]."""
        at_s = np.array([now_ns / NS_PER_S])
        target = np.full(senders.size, receiver)
        gain_db = self._world.channel.large_scale_db(senders, target, at_s)[:, 0]
        return np.asarray(self._world.tx_power_w[senders] * db_to_linear(gain_db))
