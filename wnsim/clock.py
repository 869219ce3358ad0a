"""The simulated clock: SimPy's environment in whole nanoseconds."""

from __future__ import annotations

from collections.abc import Callable

import simpy
from simpy.events import NORMAL, EventPriority

# After everything else that happens at an instant, whatever that adds to it.
_LATE = EventPriority(1 << 20)


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

    def at(self, instant_ns: int, action: Callable[[], None], *, late: bool = False) -> None:
        """Do something at an instant that is not past.

        Parameters
        ----------
        instant_ns : when [ns]
        action : what
        late : whether to wait for everything else that happens at that instant
        """
        event = _Appointment(self)
        event.callbacks.append(lambda _: action())
        self.schedule(event, _LATE if late else NORMAL, instant_ns - self.now)

    def step(self) -> None:
        """Process the next event."""
        self.events += 1
        super().step()


class _Appointment(simpy.Event):
    """An event that has been triggered when it is made, like a timeout."""

    def __init__(self, env: simpy.Environment) -> None:
        super().__init__(env)
        self._ok = True
        self._value = None
