"""Link supervision: availability of links, detection of stalled attempts, and retries."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from wnsim.core.units import FAR_NS, NS_PER_S, to_ns, to_s
from wnsim.mobility.motion import always_present

if TYPE_CHECKING:
    from wnsim.air import Attempt
    from wnsim.core.clock import Clock
    from wnsim.network.air_options import Engine
    from wnsim.network.delivery import Delivery
    from wnsim.world import World


class LinkAvailability:
    """When the two ends of a link are in the scene and work.

    Parameters
    ----------
    env : the simulation's clock
    world : presence of devices, and faults

    Attributes
    ----------
    down, down_s : devices that have failed for good, and when [s]
    """

    def __init__(self, env: Clock, world: World) -> None:
        self._env = env
        self._world = world
        self.down: set[int] = set()
        self.down_s: dict[int, float] = {}
        self._reasons: dict[int, str] = {}
        self._always_present = always_present(world.motion)

    def fail(self, device: int, reason: str) -> None:
        """Record the permanent failure of a device."""
        self.down.add(device)
        self.down_s[device] = to_s(self._env.now_ns)
        self._reasons[device] = reason

    def limit(self, delivery: Delivery, source: int, target: int) -> tuple[int, str]:
        """Return when an attempt over a link must be dropped at the latest [ns], and the reason."""
        faults = self._world.faults
        unavailable_ns = min(self._unavailable_ns(end) for end in (source, target))
        if faults is not None:
            unavailable_ns = min(unavailable_ns, faults.cut_ns(source, target, self._env.now_ns))
        sky = self._world.sky
        sets_ns = FAR_NS if sky is None else sky.cut_ns(source, target, self._env.now_ns)
        if min(unavailable_ns, sets_ns) >= delivery.expires_ns:
            return delivery.expires_ns, "deadline"
        if sets_ns < unavailable_ns:
            return sets_ns, "link-outage"
        reason = "departed" if faults is None else faults.reason(source, target, unavailable_ns)
        for node in self.down.intersection((source, target)):
            reason = self._reasons.get(node, reason)
        return unavailable_ns, reason

    def sets(self, source: int, target: int) -> bool:
        """Return whether a link has lost its satellite out of sight by now."""
        sky, now = self._world.sky, self._env.now_ns
        return sky is not None and sky.cut_ns(source, target, now) == now

    def earlier(self, source: int, target: int, limit: tuple[int, str]) -> tuple[int, str]:
        """Return a limit of `limit`, or an earlier permanent failure of an end since then."""
        for node in sorted(self.down.intersection((source, target))):
            failed_ns = to_ns(self.down_s[node])
            if failed_ns < limit[0]:
                limit = failed_ns, self._reasons[node]
        return limit

    def retry_ns(self, hop: tuple[int, int], wait_ns: int, expires_ns: int) -> int:
        """Return when a hop is available again, after a waiting time [ns].

        Parameters
        ----------
        hop : the two ends
        wait_ns : shortest waiting time from now [ns]
        expires_ns : when the message expires [ns]

        Returns
        -------
        the instant; `FAR_NS` if the message expires before or a device has failed for good [ns]
        """
        ends = [node for node in hop if node < self._world.count]
        if self.down.intersection(ends):
            return FAR_NS
        motion = self._world.motion
        time_s = to_s(self._env.now_ns + wait_ns)
        while time_s * NS_PER_S < expires_ns:
            if motion.present(np.array(ends), np.array([time_s])).all():
                ready_ns = max(to_ns(time_s), self._env.now_ns + 1)
                clear_ns, faults = ready_ns, self._world.faults
                if faults is not None:
                    clear_ns = faults.clear_ns(*hop, ready_ns)
                if self._world.sky is not None:
                    clear_ns = max(clear_ns, self._world.sky.clear_ns(*hop, ready_ns))
                if clear_ns == ready_ns:
                    return ready_ns
                time_s = to_s(clear_ns)
                continue
            # One tick later: an instant between two ticks is rounded down by the clock.
            time_s = motion.next_change_s(time_s) + to_s(1)
        return FAR_NS

    def _unavailable_ns(self, node: int) -> int:
        """Return when a node leaves or fails; now, if it has done so already [ns]."""
        motion, now_ns = self._world.motion, self._env.now_ns
        if node >= self._world.count:
            faults = self._world.faults
            return FAR_NS if faults is None else faults.fails_ns(node, now_ns)
        if self._always_present:
            return now_ns if node in self.down else FAR_NS
        now_s = to_s(now_ns)
        if node in self.down or not motion.present(np.array([node]), np.array([now_s]))[0, 0]:
            return now_ns
        end_s = motion.presence_end_s(node, now_s)
        return FAR_NS if math.isinf(end_s) else int(end_s * NS_PER_S)


class StallDetector:
    """Detection of attempts whose link delivers nothing for a while.

    Parameters
    ----------
    env : the simulation's clock
    air : engine that carries the attempts
    timeout_s : time without progress after which a link has failed [s]; none: no detection
    delivery_of : returns the delivery of an attempt under way, or none
    """

    def __init__(
        self,
        env: Clock,
        air: Engine,
        timeout_s: float | None,
        delivery_of: Callable[[Attempt], Delivery | None],
    ) -> None:
        self._env = env
        self._air = air
        self._timeout_s = timeout_s
        self._delivery_of = delivery_of

    def watch(self, attempt: Attempt) -> None:
        """Schedule the next progress check of an attempt."""
        if self._timeout_s is not None:
            at_ns = self._env.now_ns + to_ns(self._timeout_s)
            self._env.at(at_ns, partial(self._check, attempt), late=True)

    def _check(self, attempt: Attempt) -> None:
        delivery = self._delivery_of(attempt)
        if delivery is None:
            return
        if attempt.started_ns >= 0:
            bits = self._air.acked_bits(attempt)
            if bits == delivery.checked_bits:
                # Not within the phase of an instant in which slots begin.
                self._env.at(self._env.now_ns + 1, partial(self._cancel, attempt))
                return
            delivery.checked_bits = bits
        self.watch(attempt)

    def _cancel(self, attempt: Attempt) -> None:
        if self._delivery_of(attempt) is not None:
            self._air.cancel(attempt, "link-failure")
