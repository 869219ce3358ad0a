"""Laws that no simulation may break, checked while it runs.

What is sent is delivered, lost or in flight, for each device and in total; nothing arrives that was
not sent; no radio that is half duplex sends and receives at once; energy that was spent stays
spent; time does not run backwards. Whoever sees one of them broken has found a mistake in the
program, and no result of that run is to be believed: it ends with a sentence.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from wnsim.core.units import Floats

if TYPE_CHECKING:
    from wnsim.core.transfer import Message, Transfer

# Messages that end between two counts of all that are in flight.
_BETWEEN = 512
# Relative error of sums of floating-point numbers that counts as none.
_ROUNDING = 1e-9


class BrokenLawError(RuntimeError):
    """A law is broken: a mistake in the program.

    Parameters
    ----------
    law : what it is about
    who : the device, or all of them
    time_s : when it was seen [s]
    what : what should be, and what is
    """

    def __init__(self, law: str, who: str, time_s: float, what: str) -> None:
        super().__init__(f"the law of {law} is broken for {who} at {time_s:.9f} s: {what}")


class Books:
    """The bytes of all nodes: sent, delivered, lost and in flight.

    Parameters
    ----------
    names : of the nodes
    """

    def __init__(self, names: Sequence[str]) -> None:
        self._names = names
        self.sent_bytes = [0] * len(names)
        self.delivered_bytes = [0] * len(names)
        self.lost_bytes = [0] * len(names)
        self.acked_bytes = 0
        self._ended = 0

    def sent(self, message: Message) -> None:
        """Take in that a message was handed over."""
        self.sent_bytes[message.source] += message.size_bytes

    def ended(self, transfer: Transfer, in_flight: Iterable[Message]) -> None:
        """Take in that a message has been delivered or given up.

        Parameters
        ----------
        transfer : what became of it
        in_flight : the messages that have not ended

        Raises
        ------
        BrokenLawError
            if bits come from nowhere or are gone
        """
        source, size = transfer.message.source, transfer.message.size_bytes
        arrived, carried = transfer.acked_bytes, transfer.air_bytes
        if not 0 <= arrived <= carried or (transfer.delivered and arrived != carried):
            raise self._broken(
                source,
                transfer.ended_s,
                f"{arrived} bytes of {carried} arrived of a message that was "
                + ("delivered" if transfer.delivered else "lost"),
            )
        if transfer.delivered:
            self.delivered_bytes[source] += size
        else:
            self.lost_bytes[source] += size
        self.acked_bytes += arrived
        self._ended += 1
        if self._ended % _BETWEEN == 0:
            self.check(in_flight, transfer.ended_s)

    def totals(self) -> dict[str, int]:
        """Return the bytes of all messages that have ended, by the columns of devices.csv."""
        received = sum(self.delivered_bytes)
        return {
            "offered_bytes": received + sum(self.lost_bytes),
            "acked_bytes": self.acked_bytes,
            "received_bytes": received,
        }

    def check(self, in_flight: Iterable[Message], time_s: float) -> None:
        """Compare what was sent with what has become of it.

        Parameters
        ----------
        in_flight : the messages that have not ended
        time_s : the present instant [s]

        Raises
        ------
        BrokenLawError
            if a node has sent something else than what was delivered, lost, or is in flight
        """
        flying: Counter[int] = Counter()
        for message in in_flight:
            flying[message.source] += message.size_bytes
        books = zip(self.sent_bytes, self.delivered_bytes, self.lost_bytes, strict=True)
        for node, (sent, delivered, lost) in enumerate(books):
            if sent != delivered + lost + flying[node]:
                raise self._broken(
                    node,
                    time_s,
                    f"{sent} bytes were sent, but {delivered} delivered, {lost} lost and "
                    f"{flying[node]} are in flight",
                )

    def close(
        self, transfers: Iterable[Transfer], in_flight: Iterable[Message], time_s: float
    ) -> None:
        """Compare the books with the records at the end of a run.

        Parameters
        ----------
        transfers : what became of every message
        in_flight : the messages that have not ended
        time_s : the present instant [s]

        Raises
        ------
        BrokenLawError
            if they differ, for a node or in total
        """
        self.check(in_flight, time_s)
        delivered, lost = [0] * len(self._names), [0] * len(self._names)
        for transfer in transfers:
            part = delivered if transfer.delivered else lost
            part[transfer.message.source] += transfer.message.size_bytes
        for what, booked, recorded in (
            ("delivered", self.delivered_bytes, delivered),
            ("lost", self.lost_bytes, lost),
        ):
            for node, (one, other) in enumerate(zip(booked, recorded, strict=True)):
                if one != other:
                    raise self._broken(
                        node, time_s, f"{one} bytes were {what}, but transfers tell of {other}"
                    )

    def _broken(self, node: int, time_s: float, what: str) -> BrokenLawError:
        return BrokenLawError("bits", f"device {self._names[node]}", time_s, what)


class HalfDuplex:
    """Who sends and who receives, where nobody does both.

    Parameters
    ----------
    names : of the nodes
    """

    def __init__(self, names: Sequence[str]) -> None:
        self._names = names
        self._sending: Counter[int] = Counter()
        self._receiving: Counter[int] = Counter()

    def begin(self, source: int, targets: Iterable[int], time_s: float) -> None:
        """Take in that a transmission begins at an instant [s].

        Raises
        ------
        BrokenLawError
            if its source receives, or one of its receivers sends
        """
        self._sending[source] += 1
        for target in targets:
            self._receiving[target] += 1
        for node in (source, *targets):
            if self._sending[node] and self._receiving[node]:
                raise at_once(self._names[node], time_s)

    def end(self, source: int, target: int, *, last: bool) -> None:
        """Take in that a receiver has ended, the last one of its transmission or not."""
        self._receiving[target] -= 1
        self._sending[source] -= last


def at_once(name: str, time_s: float) -> BrokenLawError:
    """Return what is to be said of a device that sends and receives at once."""
    what = "its radio is half duplex, but sends and receives at once"
    return BrokenLawError("half duplex", f"device {name}", time_s, what)


class Spent:
    """The energy of all devices, which never falls.

    Parameters
    ----------
    names : of the devices
    """

    def __init__(self, names: Sequence[str]) -> None:
        self._names = names
        self._before: dict[str, Floats] = {}

    def check(self, spent_j: Mapping[str, Floats], time_s: float) -> None:
        """Compare what was spent with what had been spent before.

        What is idle time until a transfer is booked is none afterwards, and may become less.

        Parameters
        ----------
        spent_j : energy (devices,) by activity [J]
        time_s : the present instant [s]

        Raises
        ------
        BrokenLawError
            if any of it has become less, or is negative
        """
        for activity, now_j in spent_j.items():
            before_j = np.zeros(now_j.size)
            if activity != "idle":
                before_j = self._before.get(activity, before_j)
            fallen = np.flatnonzero(~(now_j >= before_j * (1.0 - _ROUNDING)))
            if fallen.size:
                device = int(fallen[0])
                raise BrokenLawError(
                    "energy",
                    f"device {self._names[device]}",
                    time_s,
                    f"it had spent {before_j[device]:g} J to {activity}, now {now_j[device]:g} J",
                )
            self._before[activity] = now_j.copy()


def check_totals(
    by_device: Mapping[str, Sequence[int]], totals: Mapping[str, int], time_s: float
) -> None:
    """Compare sums over devices with what was counted over all messages.

    Parameters
    ----------
    by_device : numbers of bytes of each device, by what they count
    totals : the same over all messages
    time_s : the present instant [s]

    Raises
    ------
    BrokenLawError
        if they differ
    """
    for what, numbers in by_device.items():
        if sum(numbers) != totals[what]:
            raise BrokenLawError(
                "totals",
                "all devices",
                time_s,
                f"their {what} add up to {sum(numbers)} bytes, those of all messages to "
                f"{totals[what]}",
            )
