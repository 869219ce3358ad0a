"""Run of a session to its end, which a user-defined protocol may fail to reach.

A built-in protocol records rounds and ends. A user-defined one may end without a record, wait for
an event that never comes, or go on for ever; each of these ends the run with a sentence.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import simpy

from wnsim.core.transfer import SIDE_KINDS

if TYPE_CHECKING:
    from .base import Session

_BATCH = 200_000
_IDLE_BATCHES = 10
"""Events between two looks at a session, and looks in a row at which it is idle."""
_ACTIONS = 10_000
"""Trainings and messages per device without a record of a round."""


def run_until(session: Session, until: simpy.Event) -> None:
    """Run a simulation until an event.

    Parameters
    ----------
    session : session of the simulation
    until : event at which to stop, which follows from the session's progress

    Raises
    ------
    ValueError
        if a user-defined protocol will not come to it
    """
    env = session.network.env
    if ":" not in session.learning.protocol.model:
        env.run(until=until)
        return
    idle, recorded, looked_s = 0, -1, -1.0
    while True:
        for _ in range(_BATCH):
            if until.processed:
                return
            try:
                env.step()
            except simpy.core.EmptySchedule:
                raise _unrecorded(session, "waits for an event that never comes") from None
            if session.actions > _ACTIONS * session.devices:
                done = f"has trained and sent {session.actions} times since one was recorded last"
                raise _unrecorded(session, done)
        before, recorded = recorded, len(session.rounds) + session.recorder.open_rounds
        now_s = session.network.now_s
        waits = now_s < session.busy_until_s or not session.network.is_drained(SIDE_KINDS)
        # Whatever is waited for comes only if time passes.
        idle = 0 if recorded != before or (waits and now_s > looked_s) else idle + 1
        looked_s = now_s
        if idle == _IDLE_BATCHES:
            done = f"has done nothing in {_BATCH * _IDLE_BATCHES} events of the simulation"
            raise _unrecorded(session, done)


def check_recorded(session: Session) -> None:
    """Check that a session that is over has recorded rounds.

    Raises
    ------
    ValueError
        if a user-defined protocol has recorded none, or rounds that did not end
    """
    if ":" not in session.learning.protocol.model:
        return
    if session.recorder.open_rounds:
        count = session.recorder.open_rounds
        raise _unrecorded(session, f"has not called end_round after {count} that it has recorded")
    # A run may reach `fl.stop_at` before its first round, or have no device that is present.
    if not len(session.rounds) and not session.has_reached and session.view().present.any():
        raise _unrecorded(session, "has recorded none")


def _unrecorded(session: Session, done: str) -> ValueError:
    """Return the error of a protocol that does not complete its rounds."""
    return ValueError(
        f"{session.learning.protocol.model}: run must record the rounds of devices and end, "
        f"but {done}, at {session.network.now_s:g} s"
    )
