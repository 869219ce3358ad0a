"""What a physical layer does with the slots of some links: the shape of it, not how.

A modem looks at consecutive slots of many links at once. Looking at them in one call or in many
is the same to the last bit: what it remembers between slots is handed to it and handed back.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from wnsim.core.units import Floats, Ints

# What became of a slot: nothing sent; new data or a repetition, received or not.
IDLE, NEW, NEW_LOST, REPEATED, REPEATED_LOST = range(5)
OUTCOMES = 5

_Number = TypeVar("_Number", np.float64, np.complex128)

# One record per link, of the fields that a modem asks for.
State = NDArray[Any]


@dataclass(frozen=True, slots=True)
class Slots:
    """Consecutive slots of some links.

    Parameters
    ----------
    known : (L, S, B) ratio of signal to interference and noise in B subbands that the transmitter
        believes in, linear
    sinr : (L, S, B) the ratio that holds, linear
    share : (L, S) share of the band
    active : (L, S) whether the link may send in a slot
    draws : (L, S) uniform draws that decide on errors
    """

    known: Floats
    sinr: Floats
    share: Floats
    active: NDArray[np.bool_]
    draws: Floats


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of the slots.

    Parameters
    ----------
    bits : (L, S) bits that arrived
    kind : (L, S) IDLE, NEW, NEW_LOST, REPEATED or REPEATED_LOST
    """

    bits: Ints
    kind: NDArray[np.int8]


class Modem(Protocol):
    """A physical layer on a band.

    Attributes
    ----------
    slot_ns : duration of a slot, in which one transport block of a link is sent [ns]
    fluid : whether bits arrive evenly over a slot; otherwise all at its end
    memory : fields of what is remembered of a link between slots
    memoryless : whether that is nothing
    """

    slot_ns: int
    fluid: bool
    memory: np.dtype[Any]
    memoryless: bool

    def start(self, size_bits: Ints, broadcast: NDArray[np.bool_]) -> State:
        """Return what is remembered of links (L,) before their first slot.

        Parameters
        ----------
        size_bits : (L,) bits to be carried
        broadcast : (L,) whether several receivers hear the same transmission, which leaves no
            room for adaptation to one of them
        """
        ...

    def scan(self, state: State, slots: Slots) -> Outcome:
        """Return what becomes of slots; `state` (L,) is brought up to their end."""
        ...

    def rate_bps(self, snr: Floats, share: Floats) -> Floats:
        """Return the expected goodput at a known, constant SNR (...,) on shares (...,) [bit/s]."""
        ...

    def factor(self, known: Floats, rate_bps: Floats, share: Floats) -> Floats:
        """Return by what ratios must be multiplied for a goodput, the inverse of `rate_bps`.

        Parameters
        ----------
        known : (..., B) ratios of signal to noise, known and constant
        rate_bps, share : (...,) expected goodput [bit/s], and share of the band

        Returns
        -------
        (...,) the factor, infinite where there is no such goodput
        """
        ...


class Phy(Protocol):
    """Parameters of a physical layer."""

    def modem(self, bandwidth_hz: float, subbands: int, block_ns: int) -> Modem:
        """Return the modem of a band.

        Parameters
        ----------
        bandwidth_hz : the band [Hz]
        subbands : number of subbands in which its quality is told
        block_ns : time over which the channel counts as constant; a slot of the modem is as long
            unless its standard says otherwise [ns]
        """
        ...


def efficiency(sinr: Floats) -> Floats:
    """Return the mean over the subbands (..., B) of log2(1 + SINR) [bit/s/Hz]."""
    total = np.log1p(sinr[..., 0])
    for band in range(1, sinr.shape[-1]):
        total = total + np.log1p(sinr[..., band])
    return np.asarray(total / (sinr.shape[-1] * np.log(2.0)))


def mean_of_bands(values: NDArray[_Number]) -> NDArray[_Number]:
    """Return the mean over the subbands (..., B), added one after the other whatever else is there.

    A sum by NumPy may add in another order in another array, and end in other last bits.
    """
    total = values[..., 0]
    if values.shape[-1] == 1:
        return total
    for band in range(1, values.shape[-1]):
        total = total + values[..., band]
    return np.asarray(total / values.shape[-1])
