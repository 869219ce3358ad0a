"""Sessions: the protocols of the devices as processes of a simulation."""

from __future__ import annotations

from ..config import Asynchronous, Server, Synchronous
from .asynchronous import AsynchronousSession
from .base import Session
from .server import ServerSession
from .synchronous import SynchronousSession

PROTOCOLS: dict[type, type[Session]] = {
    Synchronous: SynchronousSession,
    Asynchronous: AsynchronousSession,
    Server: ServerSession,
}

__all__ = ["PROTOCOLS", "Session"]
