"""Frames of several stations at once (OFDMA of 802.11ax), and stations that wait to be triggered.

Sources: IEEE 802.11ax-2021, 26.5 (multi-user operation), 26.2.7 (EDCA parameters of triggered
stations), 9.3.1.22 (trigger frames).
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from wnsim.core.params import parameters


@parameters
class MultiUser:
    """Exchanges of an access point with several stations at once, each in its own resource unit.

    Downlink: a frame with packets for several stations, then, SIFS apart, a trigger frame
    (MU-BAR) and all block acknowledgements at once. Uplink: a trigger frame, then the packets of
    all stations that it names, padded to the longest, and one block acknowledgement for all. An
    access point with both alternates; it sends triggers while `fewest` stations or more have
    something to send, as far as it knows: with each of its frames that is acknowledged a station
    reports the size of the next message that waits in each of its queues for this access point.

    As many stations take part as have a packet that fits, the first messages of the access point's
    queue first, or those that reported first. A report is forgotten after three triggers in a row
    that only other stations answer, or `retry_limit` that nobody does. The power of the access
    point is spread evenly over the channel; a station has all of its power in its unit, whose noise
    is less.

    Scope: no multi-user MIMO, nor the sounding for it. Reports are exact and cost no bits; nobody
    is asked for one (no BSRP), and no unit is for random access. A station whose first message is
    new contends for it. Triggered stations control no power, and signals in neighboring units do
    not leak. Multi-user exchanges are not announced by a request to send (no MU-RTS), and last
    until their transmission opportunity ends; the mean SNR decides on their rates. The trigger
    needs no padding. Overhearing stations know the duration of an exchange from the signal field of
    each of its frames.

    Parameters
    ----------
    downlink, uplink : whether there are exchanges in this direction
    split : `equal` units, the largest of which there are enough, or `queue`: larger units for those
        with longer messages at lower rates
    most_stations : largest number of stations in an exchange, up to 9, 18, 37 or 74 with 20 to
        160 MHz
    fewest : smallest number of stations; with fewer, frames are for one
    timer_ms : time for which a station does not contend in the category of a triggered frame after
        it has been acknowledged (MU EDCA timer) [ms]
    """

    downlink: bool = True
    uplink: bool = True
    split: Literal["equal", "queue"] = "equal"
    most_stations: int = Field(default=9, ge=1, le=74)
    fewest: int = Field(default=2, ge=1, le=74)
    timer_ms: float = Field(default=8.192, ge=0, le=2089)

    def __post_init__(self) -> None:
        if self.most_stations < self.fewest:
            raise ValueError(
                f"most_stations must be at least fewest, {self.fewest}, got {self.most_stations}"
            )
