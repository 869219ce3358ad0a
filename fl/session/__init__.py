"""Sessions: the protocols of the devices as processes of a simulation."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from ..config import Asynchronous, Hierarchical, Server, Split, Synchronous
from .asynchronous import AsynchronousSession
from .base import Session
from .hierarchical import HierarchicalSession
from .server import ServerSession
from .split import SplitSession
from .synchronous import SynchronousSession

if TYPE_CHECKING:
    from wnsim.network import Network

    from ..config import Learning
    from .protocols import SessionTrainer


class SessionFactory(Protocol):
    """Interface of protocols, the members of `PROTOCOLS`: they start a session.

    A session ends at its event `done`, with no message under way and none in an inbox. It records
    each round of each device with all bytes sent in it, and tests all devices after each round.
    """

    def __call__(
        self,
        network: Network,
        trainer: SessionTrainer,
        learning: Learning,
        compute_time_s: Callable[[int, float], float],
        devices: int,
        seed: int,
        progress: Callable[[int, float, float | None], None],
    ) -> Session:
        """Return a session, whose processes start with the simulation; see `Session`."""
        ...


PROTOCOLS: dict[type, SessionFactory] = {
    Synchronous: SynchronousSession,
    Asynchronous: AsynchronousSession,
    Server: ServerSession,
    Hierarchical: HierarchicalSession,
    Split: SplitSession,
}


def session_factory(protocol: Any) -> SessionFactory:
    """Return what starts the sessions of a protocol, built-in or user-defined."""
    known = PROTOCOLS.get(type(protocol))
    factory: SessionFactory = protocol.session if known is None else known
    return factory


__all__ = ["PROTOCOLS", "Session", "SessionFactory", "session_factory"]
