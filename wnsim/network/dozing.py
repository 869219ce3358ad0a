"""Dozing devices: when they wake, and for how long they have been awake."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from wnsim.core.units import Floats, to_ns, to_s

if TYPE_CHECKING:
    from collections.abc import Sequence

    from wnsim.mac.power_save import PowerSave


class Dozing:
    """Devices that wake in periods, and for messages; see `PowerSave`.

    The time for which a device is awake is that of its periods, and that of its messages as far as
    they exceed these.

    Parameters
    ----------
    rules : schedule
    devices : how many there are
    """

    def __init__(self, rules: PowerSave, devices: int) -> None:
        self._interval_ns = max(to_ns(1e-3 * rules.interval_ms), 1)
        self._awake_ns = max(to_ns(1e-3 * rules.awake_ms), 1)
        self._first_ns = [0] * devices
        if rules.schedule == "target-wake-time":
            self._first_ns = [device * self._interval_ns // devices for device in range(devices)]
        # Messages under way of each device, since when there are some, and time awake beyond
        # periods until then.
        self._messages = [0] * devices
        self._since_ns = [0] * devices
        self._more_ns = [0] * devices

    def wakes_ns(self, node: int, now_ns: int) -> int:
        """Return when a node is awake next; now, if it is awake or no device [ns]."""
        if node >= len(self._first_ns) or self._messages[node]:
            return now_ns
        periods, since_ns = divmod(now_ns - self._first_ns[node], self._interval_ns)
        if since_ns < self._awake_ns:
            return now_ns
        return self._first_ns[node] + (periods + 1) * self._interval_ns

    def begin(self, nodes: Sequence[int], now_ns: int) -> None:
        """Let nodes be awake for a message."""
        for node in nodes:
            if node < len(self._messages):
                if not self._messages[node]:
                    self._since_ns[node] = now_ns
                self._messages[node] += 1

    def end(self, nodes: Sequence[int], now_ns: int) -> None:
        """Take note that a message of nodes has ended."""
        for node in nodes:
            if node < len(self._messages):
                self._messages[node] -= 1
                if not self._messages[node]:
                    self._more_ns[node] += self._beyond_ns(node, now_ns)

    def awake_s(self, until_s: Floats) -> Floats:
        """Return the time (devices,) awake until instants (devices,), none before a message [s]."""
        awake_ns = [
            self._of_periods_ns(node, until_ns)
            + self._more_ns[node]
            + (self._beyond_ns(node, until_ns) if self._messages[node] else 0)
            for node, until_ns in enumerate(map(to_ns, until_s.tolist()))
        ]
        return np.array([to_s(each) for each in awake_ns])

    def _beyond_ns(self, node: int, now_ns: int) -> int:
        """Return the time since messages have been under way, without periods [ns]."""
        since_ns = self._since_ns[node]
        within_ns = self._of_periods_ns(node, now_ns) - self._of_periods_ns(node, since_ns)
        return max(now_ns - since_ns - within_ns, 0)

    def _of_periods_ns(self, node: int, until_ns: int) -> int:
        """Return the duration of a node's periods from the beginning to an instant [ns]."""
        return self._sum_ns(until_ns - self._first_ns[node]) - self._sum_ns(-self._first_ns[node])

    def _sum_ns(self, after_ns: int) -> int:
        """Return the duration of periods from the first one to a time after it [ns]."""
        periods, since_ns = divmod(after_ns, self._interval_ns)
        return periods * self._awake_ns + min(since_ns, self._awake_ns)
