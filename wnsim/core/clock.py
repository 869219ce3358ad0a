"""The simulated clock: SimPy's environment in whole nanoseconds."""

from __future__ import annotations

from collections.abc import Callable

import simpy
from simpy.events import NORMAL, EventPriority

from wnsim.core.invariants import BrokenLawError
from wnsim.core.units import NS_PER_S

# What ends on the air comes before everything else of an instant, SimPy's urgent events included;
# what begins there comes after all that waits until late. See `Clock.at`.
FIRST, LAST = -2, 2


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
        """Do something at an instant that is not past.

        Parameters
        ----------
        instant_ns : when [ns]
        action : what
        late : place in the order of that instant, whoever was first to ask: it waits for everything
            that is less late, whatever that adds; 0 for ordinary events and appointments
        """
        event = _Appointment(self)
        event.callbacks.append(lambda _: action())
        self.schedule(event, EventPriority(NORMAL + late), instant_ns - self.now)

    def step(self) -> None:
        """Process the next event.

        Raises
        ------
        BrokenLawError
            if it is earlier than the last one
        """
        self.events += 1
        if self._queue and self._queue[0][0] < self._now:
            what = f"the next event is at {self._queue[0][0]} ns"
            raise BrokenLawError("time", "the clock", self._now / NS_PER_S, what)
        super().step()


class _Appointment(simpy.Event):
    """An event that has been triggered when it is made, like a timeout."""

    def __init__(self, env: simpy.Environment) -> None:
        super().__init__(env)
        self._ok = True
        self._value = None
