"""NR sidelink mode 2: devices select their resources autonomously, based on sensing.

Time is divided into slots and the band into subchannels; a resource is one subchannel in one slot.
A device with data selects resources in the following slots and uses them again after each
reservation period, for a number of periods given by a counter, which is drawn at each selection.
Then it keeps its resources with some probability, or selects others. Every transmission reserves
its resource for the next period, unless the device is about to release it. A selection excludes
resources whose reservations were received at or above a threshold, which is raised by 3 dB until
enough resources remain, and chooses uniformly among the remaining ones (semi-persistent
scheduling).

Sources: 3GPP TS 38.214, clause 8.1.4 (sensing and candidates) and TS 38.321, clause 5.22.1
(counter and keeping), in this interpretation: the selection window begins right after the slot of
the selection; a slot in which the device transmitted, and therefore did not sense, counts as
reserved on all subchannels unless too few resources would be left immediately; only reservations
of the last period matter, the older ones having expired; a resource about to be released is not
reserved.
"""

from __future__ import annotations

import math
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from wnsim.core.params import parameters
from wnsim.core.units import NS_PER_S, Floats, Ints
from wnsim.mac.scheduled import Rules

# Step of the threshold [dB].
_STEP_DB = 3.0
# Period from which the counter range applies unscaled; shortest period in scaling [ms].
_WHOLE_MS, _SHORTEST_MS = 100.0, 20.0


@parameters
class Sidelink:
    """Sensing-based semi-persistent scheduling among devices, half duplex, without a base station.

    A device sends one message at a time, with full power in one subchannel at a time; each resource
    carries one transport block. A message reserves as many resources per period as its size
    requires at the rate of its mean SNR, up to a limit; the next message takes over the device's
    reservation as long as it is valid and has enough resources. While a device has a message it
    transmits in all its resources. The rate is selected from the channel without interference, less
    a margin; audible transmissions in the same resource interfere, and a device does not receive in
    a slot in which it transmits.

    Scope: the number of resources does not account for other messages that wait; reservations are
    received whenever their mean power reaches the threshold, colliding ones too, and never outside
    the audible range; the first use of a resource is not reserved, and there is no re-evaluation or
    pre-emption; resources are one subchannel wide and, for fading, spread over the band, without
    leakage into others; control and feedback have no cost. Feedback on unicast arrives at the end
    of the slot, subject to the number of HARQ processes of the physical layer: one process
    (`processes: 1`) suits resources that are far apart. Multicasts are not adapted by feedback;
    they end when all receivers have everything, which the transmitter is assumed to know.

    Parameters
    ----------
    subchannels : equal parts of the band
    period_slots : reservation period [slots]
    window_share : selection window as a share of a period, from the slot after the selection, above
        0 to 1
    sensing : whether reserved resources are excluded; otherwise all are equally likely
    sensing_window_s : age up to which reservations are considered [s]
    rsrp_threshold_dbm : mean received power of a reservation in 15 kHz from which its resource is
        excluded [dBm]
    remaining_share : share of the resources that must remain; the standard uses 0.2, 0.35 and 0.5
    counter : smallest and largest number of periods until resources may change; for periods below
        100 ms it is multiplied by 100 ms over the period (at most by 5), rounded up
    keep_probability : probability of keeping resources when the counter has expired, 0 to 0.8
    resources_per_period : largest number of resources that a device reserves in a period
    release_after : periods without a message after which a device's reservation is released
    repetitions : blind repetitions of each block in the device's next resources; receivers
        accumulate their SINR and decode after the last one
    margin_db : SNR margin in rate selection [dB]
    """

    model: Literal["sidelink"] = "sidelink"
    scheme: ClassVar[str] = "sidelink"
    subchannels: int = Field(default=4, ge=1, le=100)
    period_slots: int = Field(default=100, ge=1, le=10_000)
    window_share: float = Field(default=1.0, gt=0, le=1)
    sensing: bool = True
    sensing_window_s: float = Field(default=1.1, gt=0, le=10)
    rsrp_threshold_dbm: float = Field(default=-110.0, ge=-300, le=100)
    remaining_share: float = Field(default=0.2, gt=0, le=0.5)
    counter: tuple[int, int] = (5, 15)
    keep_probability: float = Field(default=0.0, ge=0, le=0.8)
    resources_per_period: int = Field(default=10, ge=1, le=10_000)
    release_after: int = Field(default=1, ge=0, le=1000)
    repetitions: int = Field(default=0, ge=0, le=31)
    margin_db: float = Field(default=3.0, ge=0, le=100)

    def __post_init__(self) -> None:
        low, high = self.counter
        if not 1 <= low <= high <= 10_000:
            raise ValueError(
                f"counter must be two numbers from 1 to 10000 in ascending order, got {low}, {high}"
            )
        if self.resources_per_period > self.window_slots:
            raise ValueError(
                f"resources_per_period must be at most the {self.window_slots} slots of the "
                f"selection window, got {self.resources_per_period}"
            )

    @property
    def window_slots(self) -> int:
        """Slots in the selection window."""
        return math.ceil(self.window_share * self.period_slots)

    def rules(self) -> Rules:
        """Return the constraints: one transmission per transmitter at a time."""
        return Rules(max_transmissions=1, interferes=True, patterned=True)

    def counter_range(self, slot_ns: int) -> tuple[int, int]:
        """Return the smallest and the largest number of periods for a slot duration [ns]."""
        period_ms = self.period_slots * slot_ns / 1e6
        scale = 1
        if period_ms < _WHOLE_MS:
            scale = math.ceil(_WHOLE_MS / max(_SHORTEST_MS, period_ms))
        return self.counter[0] * scale, self.counter[1] * scale

    def lookback_slots(self, slot_ns: int) -> int:
        """Return the number of slots before a selection that are sensed."""
        sensed = math.ceil(self.sensing_window_s * NS_PER_S / slot_ns)
        return min(sensed, self.period_slots - 1) if self.sensing else 0


def remaining(
    mac: Sidelink, announced_dbm: Floats, unsensed: NDArray[np.bool_], count: int
) -> NDArray[np.bool_]:
    """Return the candidate resources of a selection.

    Parameters
    ----------
    mac : threshold, and share that must remain
    announced_dbm : (W, K) strongest reservation of each resource [dBm], minus infinity if none
    unsensed : (W,) slots that were not sensed
    count : smallest number of slots with a candidate, up to W

    Returns
    -------
    (W, K) candidates, at least `remaining_share` of all resources
    """
    need = mac.remaining_share * announced_dbm.size
    candidates = np.repeat(~unsensed[:, None], announced_dbm.shape[1], axis=1)
    if candidates.sum() < need or (~unsensed).sum() < count:
        candidates[:] = True
    threshold_dbm = mac.rsrp_threshold_dbm
    while True:
        left = candidates & (announced_dbm < threshold_dbm)
        if left.sum() >= need and left.any(axis=1).sum() >= count:
            return left
        threshold_dbm += _STEP_DB


def select(left: NDArray[np.bool_], draws: Floats, count: int) -> tuple[Ints, Ints]:
    """Return resources in different slots, drawn uniformly from the candidates.

    Parameters
    ----------
    left : (W, K) candidate resources
    draws : (W * K,) uniform draws, slot by slot
    count : number of resources; at most the number of slots with a candidate

    Returns
    -------
    place, subchannel : (count,) slot in the window and subchannel, in the order of selection
    """
    candidates = np.flatnonzero(left)
    candidates = candidates[np.argsort(draws[candidates], kind="stable")]
    slots = candidates // left.shape[1]
    _, first = np.unique(slots, return_index=True)
    chosen = candidates[np.sort(first)[:count]]
    return chosen // left.shape[1], chosen % left.shape[1]
