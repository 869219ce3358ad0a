"""Propagation delay: from the end of an attempt at its transmitter to its end at its receiver.

The engine of the air simulates transmitters: slots, queues and radios are free again when the last
bit has left. What was sent arrives after the distance of that instant over the speed of light, and
only then is a message received, relayed or lost. An attempt therefore ends as long before the
deadline, or before one of its ends leaves, as its signal would travel.

Scope: transmitters advance their slots so that receivers see one grid, as a timing advance does,
and interference is taken as simultaneous. A half-duplex radio is blocked while the other end
transmits, not while it receives. What is on its way when an end of the link leaves or fails is
lost. Feedback of the physical layer is no faster than the round trip
(`wnsim.scenario.spec.propagation_delay`); `radio.csi_delay_s` is not prolonged.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from wnsim.core.clock import ARRIVAL

if TYPE_CHECKING:
    from wnsim.air import Attempt
    from wnsim.core.clock import Clock
    from wnsim.network.link_supervision import LinkAvailability
    from wnsim.world import World


class PropagationDelay:
    """Attempts whose last bit is still to be received, and limits of those on the air.

    Parameters
    ----------
    env : the simulation's clock
    world : distances between nodes, and whether signals take time over them
    availability : devices that fail while a signal is on its way
    """

    def __init__(self, env: Clock, world: World, availability: LinkAvailability) -> None:
        self._env = env
        self._world = world
        self._availability = availability
        # By attempt: its limit at the transmitter, and at the receiver [ns].
        self._limits: dict[Attempt, tuple[int, int]] = {}

    def limit(self, attempt: Attempt, limit_ns: int) -> None:
        """Let an attempt be dropped so early that it ends at its receiver by a limit [ns]."""
        now = self._env.now_ns
        delay_ns = self._world.delay_ns(attempt.source, attempt.target, now)
        attempt.limit_ns = max(now, limit_ns - delay_ns)
        if self._world.propagation_delay:
            self._limits[attempt] = attempt.limit_ns, limit_ns

    def follow(self, attempt: Attempt, action: Callable[[], None]) -> None:
        """Do something when an attempt that ends now at its transmitter ends at its receiver.

        Parameters
        ----------
        attempt : the attempt; it fails if its last bit arrives after the limit
        action : called then, now without a propagation delay
        """
        if not self._world.propagation_delay:
            action()
            return
        now, (sent_limit_ns, limit_ns) = self._env.now_ns, self._limits.pop(attempt)
        delay_ns = self._world.delay_ns(attempt.source, attempt.target, now)
        end_ns = now
        if attempt.delivered:
            end_ns = min(now + delay_ns, limit_ns)
            if now + delay_ns > limit_ns:
                attempt.delivered, attempt.reason = False, attempt.limit_reason
        elif now == sent_limit_ns:
            end_ns = limit_ns
        attempt.progress = [(instants + delay_ns, bits) for instants, bits in attempt.progress]
        self._env.at(end_ns, partial(self._arrive, attempt, action), late=ARRIVAL)

    def _arrive(self, attempt: Attempt, action: Callable[[], None]) -> None:
        """End an attempt at its receiver, which may have failed in the meantime."""
        if attempt.delivered:
            limit = self._env.now_ns, ""
            _, reason = self._availability.earlier(attempt.source, attempt.target, limit)
            attempt.delivered, attempt.reason = not reason, reason
        action()
