"""Updates that are added over the air: side information, the group's transmission, what arrives.

Before a group transmits, each device reports the mean and the root mean square of its values to the
receiver, which answers with the scale that is common to all; both are control messages, and a
device that misses one of them does not take part. Devices below the threshold may send their
updates in digital form afterwards.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import simpy

from wnsim.network import Message

from ..topology import CONTROL
from ..updates.codec import HEADER_BYTES
from .received_update import ReceivedUpdate

if TYPE_CHECKING:
    from ..aggregation.superposition import Superposition
    from ..engine.jobs import LazyValue
    from ..trainer.state import State
    from .base import Session

STATISTICS_BYTES = HEADER_BYTES + 8
"""Size of a device's report of mean and root mean square in single precision [byte]."""
SCALE_BYTES = HEADER_BYTES + 4
"""Size of the message with the common scale [byte]."""


@dataclass(eq=False)
class GroupUpdate:
    """What a receiver has got of a group.

    Attributes
    ----------
    added : updates of the devices in the superposition, in its order
    superposition : how they were added; None if there are none
    digital : updates received in digital form
    sent_bytes : size of the update that each device has sent, as in digital form [byte]
    """

    added: list[ReceivedUpdate] = field(default_factory=list)
    superposition: Superposition | None = None
    digital: list[ReceivedUpdate] = field(default_factory=list)
    sent_bytes: dict[int, int] = field(default_factory=dict)

    @property
    def devices(self) -> list[int]:
        """Devices of which values have arrived, in ascending order."""
        heard = [each.device for each in self.digital]
        if self.superposition is not None:
            active = (self.superposition.amplitude != 0.0).any(axis=1)
            heard += [each.device for each, on in zip(self.added, active, strict=True) if on]
        return sorted(heard)


def collect(
    session: Session, target: int, number: int, trained: Mapping[int, LazyValue[State]]
) -> Generator[simpy.Event, Any, GroupUpdate]:
    """Let devices send their updates to a receiver at once, and return what it gets.

    Parameters
    ----------
    session : session of the devices
    target : a device, or the server
    number : round
    trained : state of each device of the group
    """
    found, network, devices = GroupUpdate(), session.network, sorted(trained)
    added = network.superposable(devices, target)
    analog = [device for device, each in zip(devices, added, strict=True) if each]
    weak = [device for device, each in zip(devices, added, strict=True) if not each]
    analog = yield from _announced(session, target, number, analog)
    if analog:
        made_s = network.now_s
        sent = {device: _size(session, device, target, number, trained) for device in analog}
        lifetime_s = session.learning.deadline_s
        group = network.superpose(
            [
                Message(device, target, size, lifetime_s, round=number, header_bytes=HEADER_BYTES)
                for device, size in sent.items()
            ],
            session.trainer.cost_model.values,
        )
        for event in group.events:
            event.callbacks.append(session.on_transfer_end)
        yield network.env.all_of(group.events)
        found.sent_bytes |= sent
        if group.superposition is not None:
            found.superposition = group.superposition
            found.added = [
                ReceivedUpdate(
                    each, number, made_s,
                    session.trainer.outgoing_update(each, number, trained[each]),
                )
                for each in analog
            ]  # fmt: skip
    sent_digitally = []
    for device in weak:
        size, events = session.send_update(device, [target], number, trained[device])
        found.sent_bytes[device] = size
        sent_digitally.append(events[target])
    yield network.env.all_of(sent_digitally)
    found.digital = _in_inbox(session, target, number)
    return found


def _announced(
    session: Session, target: int, number: int, devices: Sequence[int]
) -> Generator[simpy.Event, Any, list[int]]:
    """Exchange statistics and scale; return the devices that know the scale."""
    if not devices:
        return []
    env, control = session.network.env, (None, CONTROL)
    reports = [
        session.send(device, [target], number, STATISTICS_BYTES, *control)[0] for device in devices
    ]
    yield env.all_of(reports)
    known = _delivered(devices, reports)
    if not known:
        return []
    answers = session.send(target, known, number, SCALE_BYTES, *control)
    yield env.all_of(answers)
    for node in (target, *known):
        _discard_control(session, node)
    return _delivered(known, answers)


def _delivered(devices: Sequence[int], events: Sequence[simpy.Event]) -> list[int]:
    """Return the devices whose messages were delivered."""
    transfers: list[Any] = [event.value for event in events]
    return [device for device, each in zip(devices, transfers, strict=True) if each.delivered]


def _discard_control(session: Session, node: int) -> None:
    """Remove messages without an update from an inbox."""
    items = session.network.inbox[node].items
    items[:] = [each for each in items if each.payload is not None]


def _size(
    session: Session, device: int, target: int, number: int, trained: Mapping[int, LazyValue[State]]
) -> int:
    """Return the size that a device's update has in digital form [byte]."""
    first = (device, target) not in session.acknowledged
    return session.trainer.update_bytes(device, number, trained[device], first)


def _in_inbox(session: Session, target: int, number: int) -> list[ReceivedUpdate]:
    """Return the digital updates of a round in an inbox, by sender, and clear it."""
    items = session.network.inbox[target].items
    payloads = [each.payload for each in items]
    items.clear()
    return sorted(
        (each for each in payloads if isinstance(each, ReceivedUpdate) and each.round == number),
        key=lambda each: each.device,
    )
