"""Signals that end the program, as exceptions."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Never

from wnsim.scenario.errors import Terminated

# Signals of users, launchers, shells and closed terminals.
_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
# Those that have arrived in the outermost `termination_as_exception`.
_received: list[int] = []
# One entry for each that is open.
_open: list[None] = []


@contextlib.contextmanager
def termination_as_exception() -> Iterator[None]:
    """Turn termination signals into an exception, so that children are terminated too.

    A library may catch the exception of a signal that arrives while it is imported, or Python drops
    it in a destructor; `check_ended` raises it again, also around a nested one.
    """

    def end(number: int, frame: FrameType | None) -> Never:
        _received.append(number)
        raise _exception_of(number)

    before = {}
    # Only the main thread may set signal handlers.
    if threading.current_thread() is threading.main_thread():
        for number in _ENDING:
            # Signals ignored by nohup stay ignored.
            if signal.getsignal(number) is not signal.SIG_IGN:
                before[number] = signal.signal(number, end)
    outermost = not _open
    _open.append(None)
    try:
        yield
    finally:
        _open.pop()
        if outermost:
            _received.clear()
        for number, handler in before.items():
            signal.signal(number, handler)


def check_ended() -> None:
    """Raise the exception of a signal that has arrived, if it was lost."""
    if _received:
        raise _exception_of(_received[0])


def _exception_of(number: int) -> BaseException:
    """Return the exception that a signal becomes."""
    return KeyboardInterrupt() if number == signal.SIGINT else Terminated(128 + number)
