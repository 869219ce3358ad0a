"""Simulated clock: SimPy's environment with integer nanoseconds."""

from __future__ import annotations

from collections.abc import Callable

import simpy
from simpy.events import NORMAL, EventPriority

from wnsim.core.invariants import InvariantError
from wnsim.core.units import NS_PER_S

# Priorities within an instant: attempts end before all other events, SimPy's urgent ones included,
# and what was sent earlier arrives after them; transmissions start after all. See `Clock.at`.
FIRST, ARRIVAL, LAST = -3, -2, 2


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

    def at(self, instant_ns: int, action: Callable[[], None], *, late: int = 0) -> None:
        """Schedule an action at an instant that is not past.

        Parameters
        ----------
        instant_ns : when [ns]
        action : called without arguments
        late : order within the instant, independent of the order of scheduling: an action is
            executed after all events with a smaller value, including those that they schedule; 0
            for ordinary events
        """
        event = _Appointment(self)
        event.callbacks.append(lambda _: action())
        self.schedule(event, EventPriority(NORMAL + late), instant_ns - self.now)

    def step(self) -> None:
        """Process the next event.

        Raises
        ------
        InvariantError
            if it is earlier than the last one
        """
        self.events += 1
        if self._queue and self._queue[0][0] < self._now:
            what = f"the next event is at {self._queue[0][0]} ns"
            raise InvariantError("time", "the clock", self._now / NS_PER_S, what)
        super().step()


class _Appointment(simpy.Event):
    """An event that is already triggered when created, like a timeout."""

    def __init__(self, env: simpy.Environment) -> None:
        super().__init__(env)
        self._ok = True
        self._value = None
