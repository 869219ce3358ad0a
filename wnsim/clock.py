"""The simulated clock: SimPy's environment in whole nanoseconds."""

from __future__ import annotations

import simpy


class Clock(simpy.Environment):
    """An environment that starts at 0 ns and counts its events.

    Attributes
    ----------
    events : number of events processed so far
    """

    def __init__(self) -> None:
        super().__init__(initial_time=0)
        self.events = 0

    @property
    def now_ns(self) -> int:
        """The present instant [ns]."""
        return int(self.now)

    def step(self) -> None:
        """Process the next event."""
        self.events += 1
        super().step()
