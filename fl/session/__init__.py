"""What the devices do, as processes of a simulation: they train, tell each other, and merge."""

from __future__ import annotations

from ..config import Asynchronous, Server, Synchronous
from .asynchronous import Gossip
from .base import Session
from .server import Star
from .synchronous import Rounds

PROTOCOLS: dict[type, type[Session]] = {
    Synchronous: Rounds,
    Asynchronous: Gossip,
    Server: Star,
}

__all__ = ["PROTOCOLS", "Session"]
