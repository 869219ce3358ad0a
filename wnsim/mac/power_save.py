"""Power save of Wi-Fi stations: when they are awake, and when they doze.

Sources: IEEE 802.11-2020, 11.2.3 (power management with beacons); IEEE 802.11ax-2021, 26.8 (target
wake time).
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from wnsim.core.params import parameters


@parameters
class PowerSave:
    """Devices that doze, and for which access points keep messages until they wake.

    A device wakes once in each interval, for `awake_ms`. A message for it that its access point
    has is sent at once while it is awake, and otherwise waits until it wakes. It stays awake until
    all messages that are being sent to it, and its own ones, have ended, and wakes for its own ones
    at any time. What it spends follows from `energy.sleep_w`, without which it idles.

    Scope: beacons, which tell at no cost for whom something waits, and polls take no time on the
    air; waking up takes no time; dozing stations decode no NAV and start a backoff as if they had
    listened.

    Parameters
    ----------
    schedule : `beacon`: all devices wake at once, at multiples of the interval; `target-wake-time`:
        one after another, evenly over the interval
    interval_ms : time from one waking to the next, a beacon interval by default [ms]
    awake_ms : time for which a device is awake at least [ms]
    """

    schedule: Literal["beacon", "target-wake-time"] = "beacon"
    interval_ms: float = Field(default=102.4, gt=0, le=1e8)
    awake_ms: float = Field(default=2.0, gt=0, le=1e8)

    def __post_init__(self) -> None:
        if self.awake_ms > self.interval_ms:
            raise ValueError(
                f"awake_ms must be at most interval_ms, {self.interval_ms:g}, got {self.awake_ms:g}"
            )
