"""NR sidelink mode 2: devices choose the resources they send in themselves, from what they hear.

Time is cut into slots and the band into subchannels; a resource is one subchannel in one slot. A
device with something to send selects resources in the slots ahead and uses the same ones again
after each reservation period, as often as a counter says, which is drawn anew with each selection.
Then it keeps its resources with some probability, or selects others. Every transmission announces
that its resource will be used a period later, unless the device is going to give it up. Who
selects leaves out the resources that it heard announced at or above a threshold, which is raised
by 3 dB until enough resources remain, and takes any of the remaining ones, each as likely as the
others (semi-persistent scheduling).

Sources: 3GPP TS 38.214, clause 8.1.4 (sensing and candidates) and TS 38.321, clause 5.22.1
(counter and keeping), in our reading: the slots ahead begin right after the one of the selection;
a slot in which a device sent itself, and so heard nothing, counts as announced on all subchannels
unless then too few resources are left at once; only announcements of the last period matter, the
older ones being used up; a resource that is going to be given up is not announced.
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
# The counter's range is for periods of this length or more, and for none below the second one [ms].
_WHOLE_MS, _SHORTEST_MS = 100.0, 20.0


@parameters
class Sidelink:
    """Sensing-based semi-persistent scheduling among devices, half duplex, without base station.

    A device sends one message at a time, with its full power in one subchannel at a time, each
    resource carrying one transport block. A message reserves as many resources of a period as its
    size needs at the rate of its mean SNR, up to a limit; a message that follows takes over the
    device's reservation as long as that lasts and has resources enough. While a device has a
    message it sends in all its resources. The rate is chosen from the channel without
    interference, less a margin; whoever sends in the same resource and can be heard interferes,
    and a device that sends in a slot hears nothing in it.

    Scope: what a message needs does not count other messages that wait; announcements are heard
    whenever their mean power reaches the threshold, colliding ones too, and never outside hearing;
    a first use of a resource is not announced, and there is no re-evaluation nor pre-emption;
    resources are one subchannel wide and spread over the band as far as fading goes, without
    leakage into others; control and feedback cost nothing. Feedback on unicast is in at the end of
    the slot, as far as the physical layer's number of processes lets it count: one process
    (`processes: 1`) fits resources that are far apart. Broadcasts are not adapted by feedback;
    they end when all receivers have everything, which the transmitter is taken to know.

    Parameters
    ----------
    subchannels : equal parts of the band
    period_slots : reservation period [slots]
    window_share : part of a period, from the slot after the selection, in which resources are
        selected, above 0 to 1
    sensing : whether announced resources are left out; otherwise all are as likely
    sensing_window_s : how far back announcements are heard [s]
    rsrp_threshold_dbm : mean received power of an announcement in 15 kHz from which on its resource
        is left out [dBm]
    remaining_share : share of the resources that must remain; 0.2, 0.35 and 0.5 are the standard's
    counter : smallest and largest number of periods until resources may change; for periods below
        100 ms it is multiplied by 100 ms over the period (at most by 5), rounded up
    keep_probability : that resources are kept when the counter has run out, 0 to 0.8
    resources_per_period : most resources that a device reserves in a period
    release_after : periods without a message after which a device's reservation is forgotten
    repetitions : blind repetitions of each block in the device's next resources; receivers add up
        their SINR and decode after the last one
    margin_db : how far below the known SNR the SINR is for which the rate is chosen [dB]
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
        """Slots in which resources are selected."""
        return math.ceil(self.window_share * self.period_slots)

    def rules(self) -> Rules:
        """Return the constraint on queues: a transmitter sends one stream at a time."""
        return Rules(streams=1, interferes=True, patterned=True)

    def counter_range(self, slot_ns: int) -> tuple[int, int]:
        """Return the smallest and the largest number of periods for a length of slots [ns]."""
        period_ms = self.period_slots * slot_ns / 1e6
        scale = 1
        if period_ms < _WHOLE_MS:
            scale = math.ceil(_WHOLE_MS / max(_SHORTEST_MS, period_ms))
        return self.counter[0] * scale, self.counter[1] * scale

    def lookback_slots(self, slot_ns: int) -> int:
        """Return the number of slots before a selection that matter to it."""
        heard = math.ceil(self.sensing_window_s * NS_PER_S / slot_ns)
        return min(heard, self.period_slots - 1) if self.sensing else 0


def remaining(
    mac: Sidelink, announced_dbm: Floats, deaf: NDArray[np.bool_], count: int
) -> NDArray[np.bool_]:
    """Return which resources may be selected.

    Parameters
    ----------
    mac : threshold, and share that must remain
    announced_dbm : (W, K) strongest announcement of each resource [dBm], minus infinity without
    deaf : (W,) slots of which nothing was heard
    count : number of slots with a resource that must remain at least, up to W

    Returns
    -------
    (W, K) at least `remaining_share` of them
    """
    need = mac.remaining_share * announced_dbm.size
    open_ = np.repeat(~deaf[:, None], announced_dbm.shape[1], axis=1)
    if open_.sum() < need or (~deaf).sum() < count:
        open_[:] = True
    threshold_dbm = mac.rsrp_threshold_dbm
    while True:
        left = open_ & (announced_dbm < threshold_dbm)
        if left.sum() >= need and left.any(axis=1).sum() >= count:
            return left
        threshold_dbm += _STEP_DB


def select(left: NDArray[np.bool_], draws: Floats, count: int) -> tuple[Ints, Ints]:
    """Return resources in different slots, any set of remaining ones as likely as any other.

    Parameters
    ----------
    left : (W, K) resources that remain
    draws : (W * K,) uniform draws, slot by slot
    count : how many; at most the number of slots with a resource that remains

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
