"""Received update: an update with its sender, its round and its time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..engine.jobs import LazyValue
    from ..updates.codec import Update


@dataclass(frozen=True, slots=True)
class ReceivedUpdate:
    """Payload of a message.

    Parameters
    ----------
    device, round : sender, and its round
    made_s : time at which the update was made [s]
    update : the update
    """

    device: int
    round: int
    made_s: float
    update: LazyValue[Update]
