"""End of a run's process with the process that started it, even if that one is killed."""

from __future__ import annotations

import os
import signal
import sys

from wnsim.scenario.errors import Terminated

PARENT = "WNSIM_PARENT"
"""Environment variable by which a process says that its children end with it: its number."""
_PR_SET_PDEATHSIG = 1


def end_with_parent() -> None:
    """Let the system end this process when the one named in the environment ends.

    Linux only; elsewhere a process whose parent was killed goes on to its end.

    Raises
    ------
    Terminated
        if that process has ended already
    """
    # Not for processes that this one starts in its turn.
    parent = os.environ.pop(PARENT, None)
    if parent is None or sys.platform != "linux":
        return
    import ctypes

    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if str(os.getppid()) != parent:
        raise Terminated(128 + signal.SIGTERM)
