"""Interface of physical layers: modems that process slots of links.

A modem processes consecutive slots of many links at once. Whether it does so in one call or in
several makes no difference to the last bit: its memory between slots is passed in and out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from wnsim.core.units import Floats, Ints

# Outcome of a slot: nothing sent; new data or a retransmission, received or not.
IDLE, NEW, NEW_LOST, REPEATED, REPEATED_LOST = range(5)
OUTCOMES = 5

_Number = TypeVar("_Number", np.float64, np.complex128)

# One record per link with the fields of the modem's state.
State = NDArray[Any]


@dataclass(slots=True)
class Slots:
    """Consecutive slots of links.

    Parameters
    ----------
    known : (L, S, B) SINR in B subbands as estimated by the transmitter, linear
    sinr : (L, S, B) actual SINR, linear
    share : (L, S) fraction of the band
    active : (L, S) whether the link may send in a slot
    draws : (L, S) uniform draws that decide on errors
    """

    known: Floats
    sinr: Floats
    share: Floats
    active: NDArray[np.bool_]
    draws: Floats


@dataclass(slots=True)
class Outcome:
    """Outcome of slots.

    Parameters
    ----------
    bits : (L, S) bits received
    kind : (L, S) IDLE, NEW, NEW_LOST, REPEATED or REPEATED_LOST
    """

    bits: Ints
    kind: NDArray[np.int8]


class Modem(Protocol):
    """Physical layer on a band.

    Attributes
    ----------
    slot_ns : duration of a slot, in which a link sends one transport block [ns]
    fluid : whether bits arrive evenly over a slot; otherwise all at its end
    memory : fields of a link's state between slots
    memoryless : whether there are none
    """

    slot_ns: int
    fluid: bool
    memory: np.dtype[Any]
    memoryless: bool

    def start(self, size_bits: Ints, broadcast: NDArray[np.bool_]) -> State:
        """Return the state of links (L,) before their first slot.

        Parameters
        ----------
        size_bits : (L,) bits to carry
        broadcast : (L,) whether several receivers decode the same transmission, which excludes
            adaptation to one of them
        """
        ...

    def scan(self, state: State, slots: Slots) -> Outcome:
        """Return the outcome of slots; `state` (L,) is advanced to their end."""
        ...

    def rate_bps(self, snr: Floats, share: Floats) -> Floats:
        """Return the expected goodput at a known, constant SNR (...,) on shares (...,) [bit/s]."""
        ...

    def factor(self, known: Floats, rate_bps: Floats, share: Floats) -> Floats:
        """Return the factor on SNRs for a goodput, the inverse of `rate_bps`.

        Parameters
        ----------
        known : (..., B) SNRs, known and constant
        rate_bps, share : (...,) expected goodput [bit/s], and fraction of the band

        Returns
        -------
        (...,) factor, infinite where there is no such goodput
        """
        ...


class Phy(Protocol):
    """Interface of the parameters of a physical layer."""

    def modem(self, bandwidth_hz: float, subbands: int, block_ns: int) -> Modem:
        """Return the modem of a band.

        Parameters
        ----------
        bandwidth_hz : bandwidth [Hz]
        subbands : number of subbands with separate SINRs
        block_ns : coherence block; also the slot duration unless the standard defines one [ns]
        """
        ...


def efficiency(sinr: Floats) -> Floats:
    """Return the mean over the subbands (..., B) of log2(1 + SINR) [bit/s/Hz]."""
    total = np.log1p(sinr[..., 0])
    for band in range(1, sinr.shape[-1]):
        total = total + np.log1p(sinr[..., band])
    return np.asarray(total / (sinr.shape[-1] * np.log(2.0)))


def mean_of_bands(values: NDArray[_Number]) -> NDArray[_Number]:
    """Return the mean over the subbands (..., B), summed in a fixed order.

    A NumPy sum may use another order in another array, and end in other last bits.
    """
    total = values[..., 0]
    if values.shape[-1] == 1:
        return total
    for band in range(1, values.shape[-1]):
        total = total + values[..., band]
    return np.asarray(total / values.shape[-1])
