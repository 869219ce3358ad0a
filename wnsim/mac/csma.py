"""Carrier sense multiple access with collision avoidance (CSMA/CA).

Sources: IEEE 802.11-2020, 10.3 (DCF: backoff, EIFS, NAV, retries).
"""

from __future__ import annotations

from functools import cached_property
from typing import ClassVar, Literal

from pydantic import Field

from wnsim.core.params import parameters
from wnsim.mac.edca import CATEGORIES, AccessFunction, Edca
from wnsim.mac.multi_user import MultiUser
from wnsim.mac.power_save import PowerSave
from wnsim.mac.rate_control import MeanSnr, RateControl
from wnsim.phy.wifi import DIFS_NS, Wifi


@parameters
class Aggregation:
    """Aggregation of packets into frames (A-MPDU), with block acknowledgements.

    Parameters
    ----------
    packets : largest number of packets of a frame; more than 64 take a longer acknowledgement
    duration_us : largest duration of a frame; a packet that takes longer is sent alone [us]
    """

    packets: int = Field(default=64, ge=1, le=256)
    duration_us: float = Field(default=5484.0, gt=0, le=1e5)


@parameters
class Csma:
    """The distributed coordination function of Wi-Fi, with hidden terminals and capture.

    A station with a packet waits until the medium has been idle for DIFS and a random number of
    slots, which are counted only while the medium is idle. Each packet is acknowledged; a packet
    without an acknowledgement is sent again with a contention window twice as large. A receiver
    locks on to a preamble that is strong enough, in absolute terms and relative to interference,
    and ignores other frames until that frame ends; they are interference, which may destroy the
    frame. A station that decodes a frame addressed to another one is silent until its
    acknowledgement has ended (NAV); a station that cannot decode it waits for EIFS. A message to
    several receivers is multicast: without acknowledgements, in packets of which each receiver
    needs any number that adds up to the size, until all receivers have enough.

    With `aggregation`, a frame carries several packets of a message, each of which is received or
    lost on its own, and the block acknowledgement names those that the receiver has; the others
    are part of the next frame. The window doubles only without a block acknowledgement, and counts
    of sent and failed packets are per packet. A frame without an answer is sent again, without a
    request for the acknowledgement. At most 64 packets are under way from the first one
    that is missing, 256 with more than 64 in a frame. Multicast is not aggregated.

    Frames longer than `rts_threshold_bytes` are announced by a request to send (RTS), and follow
    when the receiver, unless it is in a NAV, has sent a clear to send (CTS) at the same basic rate;
    both set the NAV of overhearing stations. A request without an answer counts as a failure, but
    not as a failed packet.

    With a section `base_stations`, its stations are access points on the same channel, and all
    messages pass them: a device sends to the access point that it receives with the highest mean
    power when the message begins, and the access point of the receiver forwards it. Access points
    contend like devices, for one message to one device after another; what a device sends to
    several others is sent once to its access point, and forwarded to one after another.

    With `edca`, messages belong to access categories with unequal chances; see `Edca`. With
    `ofdma`, access points serve several stations at once; see `MultiUser`. With `power_save`,
    devices doze, and access points keep messages until they wake; see `PowerSave`.

    Scope: no beacons and no frames of association or roaming, no multi-user MIMO and no sounding
    for it, no channels of 320 MHz, no multi-link operation, no propagation delay.
    Carrier sense and preamble detection follow from mean gains, evaluated at fixed instants;
    reception of a frame follows from the gain at its beginning, fading included. An overhearing
    station decodes a frame if its error probability, or that of one of its packets, is below one
    half at the mean gain.

    Parameters
    ----------
    cw_min, cw_max : initial and largest contention window [slots]
    retry_limit : largest number of transmissions of a packet
    arq : whether a packet that meets the retry limit restarts with the initial window; otherwise it
        is dropped, and the message is lost
    detection_dbm : mean power from which preambles are detected [dBm]
    detection_snr_db : SINR from which preambles are detected [dB]
    energy_dbm : total mean power of all frames from which the medium is busy for stations that are
        not locked on to any of them; -62 for radios that treat frames they cannot decode like any
        other signal [dBm]
    capture_db : power of a frame, over that of the frame to which a receiver is locked, from which
        the receiver locks on to the new frame, within 16 us of the beginning of the first [dB];
        none: never
    header_bytes : medium access header of each packet: 28 for addresses and checksum, 8 for the
        link layer [byte]
    aggregation : packets of a message to one receiver share frames, with the standards `n`, `ac`
        and `ax`; none: one packet in each frame
    rts_threshold_bytes : length of a frame to one receiver, with headers, above which it is
        announced by a request to send; none: never [byte]
    basic_multicast : whether multicast is sent at the lowest basic rate, 6 Mbit/s, as broadcasts
        are by default; otherwise at the rate of the worst receiver
    rate_control : by which knowledge the rate of a frame to one receiver is selected, unless the
        radio has a fixed one
    edca : access categories, which have their own windows in place of `cw_min` and `cw_max`; none:
        one queue per station, by the distributed coordination function
    ofdma : frames for, and from, several stations at once, with standard `ax`, access points and
        `aggregation`; none: each frame is for one station
    power_save : when devices wake, with access points; none: they are always awake
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
    aggregation: Aggregation | None = None
    rts_threshold_bytes: int | None = Field(default=None, ge=0, le=10_000_000)
    basic_multicast: bool = False
    rate_control: RateControl = MeanSnr()
    edca: Edca | None = None
    ofdma: MultiUser | None = None
    power_save: PowerSave | None = None

    def __post_init__(self) -> None:
        own = Csma.cw_min, Csma.cw_max
        if self.edca is not None and (self.cw_min, self.cw_max) != own:
            raise ValueError(
                "cw_min and cw_max exclude edca, whose categories have their own, got "
                f"{self.cw_min} and {self.cw_max}"
            )
        if self.cw_max < self.cw_min:
            raise ValueError(f"cw_max must be at least cw_min, {self.cw_min}, got {self.cw_max}")
        if self.ofdma is not None and self.aggregation is None:
            raise ValueError(
                "ofdma needs aggregation, whose block acknowledgements it uses, got none"
            )

    @cached_property
    def functions(self) -> tuple[AccessFunction, ...]:
        """Access functions of a station: of each category, or the only one."""
        if self.edca is not None:
            return self.edca.functions()
        return (AccessFunction(DIFS_NS, self.cw_min, self.cw_max),)

    def function_of(self, node: int, category: str) -> int:
        """Return the number of a node's access function for a category, among those of all nodes.

        Without a category it is that of all messages.
        """
        if self.edca is None:
            return node
        return node * len(CATEGORIES) + CATEGORIES.index(category or self.edca.category)


def require_match(mac: object, phy: object) -> None:
    """Check that medium access and physical layer belong together.

    Raises
    ------
    ValueError
        if one of them is Wi-Fi's and the other one is not, 802.11a is to aggregate, another
        standard than 802.11ax is to serve several stations at once, or a fixed rate is to be
        controlled
    """
    if isinstance(mac, Csma) and not isinstance(phy, Wifi):
        name = getattr(phy, "model", type(phy).__name__)
        raise ValueError(f"the medium access csma must be used with the radio wifi, got {name}")
    if isinstance(phy, Wifi) and not isinstance(mac, Csma):
        name = getattr(mac, "model", type(mac).__name__)
        raise ValueError(f"the radio wifi must be used with the medium access csma, got {name}")
    if isinstance(mac, Csma) and isinstance(phy, Wifi) and mac.aggregation and phy.standard == "a":
        raise ValueError("mac aggregation must be used with wifi standard n, ac or ax, got a")
    if isinstance(mac, Csma) and isinstance(phy, Wifi) and mac.ofdma and phy.standard != "ax":
        raise ValueError(f"mac ofdma must be used with wifi standard ax, got {phy.standard}")
    if isinstance(mac, Csma) and isinstance(phy, Wifi) and phy.is_fixed:
        control = mac.rate_control
        if not isinstance(control, MeanSnr):
            raise ValueError(
                f"rate_control {control.model} must be used without mcs and rate_mbps, which fix "
                "the rate"
            )
