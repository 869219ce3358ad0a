"""Carrier sense with collision avoidance: who has something to send waits for silence and luck.

Sources: IEEE 802.11-2020, 10.3 (DCF: backoff, EIFS, NAV, retries).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from wnsim.core.params import parameters
from wnsim.phy.wifi import Wifi

if TYPE_CHECKING:
    pass


@parameters
class Csma:
    """The distributed coordination function of Wi-Fi, with hidden terminals and capture.

    A station that has a packet waits until the medium has been idle for DIFS and a random number
    of slots, which stop while it is busy; an acknowledgement follows each packet, and a packet
    without one is sent again from a window twice as large. A radio locks on to a preamble that
    is strong enough, alone and against what else is on the air, and then hears nothing else until
    the frame ends; what others send meanwhile is interference, which may or may not destroy the
    frame. A station that could read a frame for somebody else stays silent until its
    acknowledgement is over (NAV); one that could not waits for EIFS. A message to several
    receivers is broadcast: without acknowledgement, in packets of which each receiver needs any
    that make up its size, until all of them have enough.

    Scope: basic access only, no RTS and CTS, no aggregation, no beacons, no association, no
    propagation delay. Who hears whom and what a station locks on to follow mean gains, taken at
    fixed instants; whether a frame arrives at its receiver follows the gain at its beginning,
    fading included. Who overhears a frame reads it if its errors at the mean gain are fewer than
    one half.

    Parameters
    ----------
    cw_min, cw_max : first and largest contention window [slots]
    retry_limit : how often a packet is sent at most
    arq : whether a packet that met the retry limit is tried again from the beginning; otherwise
        it is left out, and the message is lost
    detection_dbm : mean power from which on preambles are noticed [dBm]
    detection_snr_db : their least ratio to noise and interference [dB]
    energy_dbm : mean power of all frames together from which on the medium is busy for those who
        have not locked on to any of them; -62 for radios that tell Wi-Fi that they cannot read
        from silence only as they do any other signal [dBm]
    capture_db : by how much a frame must be stronger than the one that a radio has locked on to
        in order to take its place, within 16 us of its beginning [dB]; none: it never does
    header_bytes : what medium access adds to each packet: 28 for addresses and checksum, 8 for
        the link layer [byte]
    """

    model: Literal["csma"] = "csma"
    scheme: ClassVar[str] = "csma"
    cw_min: int = Field(default=15, ge=0, le=32767)
    cw_max: int = Field(default=1023, ge=0, le=32767)
    retry_limit: int = Field(default=7, ge=1, le=1000)
    arq: bool = True
    detection_dbm: float = Field(default=-82.0, ge=-150, le=50)
    detection_snr_db: float = Field(default=4.0, ge=-50, le=50)
    energy_dbm: float = Field(default=-82.0, ge=-150, le=50)
    capture_db: float | None = Field(default=None, ge=0, le=100)
    header_bytes: int = Field(default=36, ge=0, le=10_000)

    def __post_init__(self) -> None:
        if self.cw_max < self.cw_min:
            raise ValueError(f"cw_max must be at least cw_min, {self.cw_min}, got {self.cw_max}")

    def window(self, failures: int) -> int:
        """Return the contention window of a packet that has failed so often [slots]."""
        return min(((self.cw_min + 1) << min(failures, 16)) - 1, self.cw_max)


def require_match(mac: object, phy: object) -> None:
    """Refuse a medium access and a radio that do not belong together.

    Raises
    ------
    ValueError
        if one of them is Wi-Fi's and the other one is not
    """
    if isinstance(mac, Csma) and not isinstance(phy, Wifi):
        name = getattr(phy, "model", type(phy).__name__)
        raise ValueError(f"the medium access csma must be used with the radio wifi, got {name}")
    if isinstance(phy, Wifi) and not isinstance(mac, Csma):
        name = getattr(mac, "model", type(mac).__name__)
        raise ValueError(f"the radio wifi must be used with the medium access csma, got {name}")
