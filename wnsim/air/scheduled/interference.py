"""Interference: received power of all other transmissions.

An emitter is a node that transmits in a group; it interferes at the receivers to which it is
audible, on the same carrier and in other groups. Powers are added in ascending order of emitters.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wnsim import kernels
from wnsim.core.units import Floats, Ints


@dataclass(slots=True)
class Emitters:
    """The emitters on the air, in ascending order of node and group.

    Parameters
    ----------
    node, group, carrier : (E,) transmitter, group and carrier
    power_w : (E, S) or (E, 1) power in each slot [W]
    mean_w : (E,) mean power, the only part known to other transmitters [W]
    """

    node: Ints
    group: Ints
    carrier: Ints
    power_w: Floats
    mean_w: Floats

    def differ_from(self, before: Emitters, nodes: int) -> NDArray[np.bool_]:
        """Return which nodes (N,) emit another mean power than before, in any group."""
        names, names_before = _names(self.node, self.group), _names(before.node, before.group)
        return kernels.interference.changed(names, self.mean_w, names_before, before.mean_w, nodes)


def emitters(node: Ints, group: Ints, carrier: Ints, mean_w: Floats, power_w: Floats) -> Emitters:
    """Return the emitters of some transmissions (L,), with powers added in order.

    Parameters
    ----------
    node, group, carrier : (L,) transmitter, group and carrier of each transmission
    mean_w : (L,) mean power [W]
    power_w : (L, S) power in each slot [W]
    """
    first, mean_w, power_w = kernels.interference.emitters(_names(node, group), mean_w, power_w)
    return Emitters(node[first], group[first], carrier[first], power_w, mean_w)


def _names(node: Ints, group: Ints) -> Ints:
    return node << 32 | group
