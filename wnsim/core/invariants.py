"""Invariants of a simulation, checked while it runs.

Bytes submitted are delivered, failed or in flight, for each node and in total; bytes received do
not exceed bytes sent; a half-duplex radio never transmits and receives at once; energy spent never
decreases; time never runs backwards. A violation is a mistake in the program and invalidates the
run, which ends with an error message.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from wnsim.core.units import Floats

if TYPE_CHECKING:
    from wnsim.core.transfer import Message, Transfer

# Number of messages that end between two checks of all messages in flight.
_CHECK_INTERVAL = 512
# Tolerated relative error of floating-point sums.
_ROUNDING = 1e-9


class InvariantError(RuntimeError):
    """A violated invariant: a mistake in the program.

    Parameters
    ----------
    invariant : name of the invariant
    subject : the device, or all devices
    time_s : when it was detected [s]
    detail : expected and actual values
    """

    def __init__(self, invariant: str, subject: str, time_s: float, detail: str) -> None:
        super().__init__(
            f"invariant violated ({invariant}) for {subject} at {time_s:.9f} s: {detail}"
        )


class ByteLedger:
    """Bytes of all nodes: sent, delivered, failed and in flight.

    Parameters
    ----------
    names : names of the nodes
    """

    def __init__(self, names: Sequence[str]) -> None:
        self._names = names
        self.sent_bytes = [0] * len(names)
        self.delivered_bytes = [0] * len(names)
        self.failed_bytes = [0] * len(names)
        self.acked_bytes = 0
        self._ended = 0

    def sent(self, message: Message) -> None:
        """Record that a message was submitted."""
        self.sent_bytes[message.source] += message.size_bytes

    def ended(self, transfer: Transfer, in_flight: Iterable[Message]) -> None:
        """Record that a message has been delivered or dropped.

        Parameters
        ----------
        transfer : its record
        in_flight : the messages that have not ended

        Raises
        ------
        InvariantError
            if bytes received are inconsistent with the outcome
        """
        source, size = transfer.message.source, transfer.message.size_bytes
        arrived, size_on_air = transfer.acked_bytes, transfer.air_bytes
        if not 0 <= arrived <= size_on_air or (transfer.delivered and arrived != size_on_air):
            raise self._violation(
                source,
                transfer.ended_s,
                f"{arrived} bytes of {size_on_air} were received of a message that was "
                + ("delivered" if transfer.delivered else "failed"),
            )
        if transfer.delivered:
            self.delivered_bytes[source] += size
        else:
            self.failed_bytes[source] += size
        self.acked_bytes += arrived
        self._ended += 1
        if self._ended % _CHECK_INTERVAL == 0:
            self.check(in_flight, transfer.ended_s)

    def totals(self) -> dict[str, int]:
        """Return the bytes of all messages that have ended, by columns of devices.csv."""
        received = sum(self.delivered_bytes)
        return {
            "offered_bytes": received + sum(self.failed_bytes),
            "acked_bytes": self.acked_bytes,
            "received_bytes": received,
        }

    def check(self, in_flight: Iterable[Message], time_s: float) -> None:
        """Check that bytes sent are delivered, failed or in flight.

        Parameters
        ----------
        in_flight : the messages that have not ended
        time_s : the present instant [s]

        Raises
        ------
        InvariantError
            if they are not, for any node
        """
        in_flight_bytes: Counter[int] = Counter()
        for message in in_flight:
            in_flight_bytes[message.source] += message.size_bytes
        books = zip(self.sent_bytes, self.delivered_bytes, self.failed_bytes, strict=True)
        for node, (sent, delivered, failed) in enumerate(books):
            if sent != delivered + failed + in_flight_bytes[node]:
                raise self._violation(
                    node,
                    time_s,
                    f"{sent} bytes were sent, but {delivered} delivered, {failed} failed and "
                    f"{in_flight_bytes[node]} are in flight",
                )

    def close(
        self, transfers: Iterable[Transfer], in_flight: Iterable[Message], time_s: float
    ) -> None:
        """Compare the ledger with the records at the end of a run.

        Parameters
        ----------
        transfers : records of all messages
        in_flight : the messages that have not ended
        time_s : the present instant [s]

        Raises
        ------
        InvariantError
            if they differ, for a node or in total
        """
        self.check(in_flight, time_s)
        delivered, failed = [0] * len(self._names), [0] * len(self._names)
        for transfer in transfers:
            ledger = delivered if transfer.delivered else failed
            ledger[transfer.message.source] += transfer.message.size_bytes
        for state, counted, recorded in (
            ("delivered", self.delivered_bytes, delivered),
            ("failed", self.failed_bytes, failed),
        ):
            for node, (one, other) in enumerate(zip(counted, recorded, strict=True)):
                if one != other:
                    raise self._violation(
                        node, time_s, f"{one} bytes were {state}, but the records contain {other}"
                    )

    def _violation(self, node: int, time_s: float, detail: str) -> InvariantError:
        return InvariantError("byte conservation", f"device {self._names[node]}", time_s, detail)


class HalfDuplexCheck:
    """Transmitting and receiving nodes with half-duplex radios.

    Parameters
    ----------
    names : names of the nodes
    """

    def __init__(self, names: Sequence[str]) -> None:
        self._names = names
        self._sending: Counter[int] = Counter()
        self._receiving: Counter[int] = Counter()

    def begin(self, source: int, targets: Iterable[int], time_s: float) -> None:
        """Record that a transmission begins at an instant [s].

        Raises
        ------
        InvariantError
            if its source is receiving, or one of its receivers is transmitting
        """
        self._sending[source] += 1
        for target in targets:
            self._receiving[target] += 1
        for node in (source, *targets):
            if self._sending[node] and self._receiving[node]:
                raise half_duplex_violation(self._names[node], time_s)

    def end(self, source: int, target: int, *, last: bool) -> None:
        """Record the end of a reception, the last one of its transmission or not."""
        self._receiving[target] -= 1
        self._sending[source] -= last


def half_duplex_violation(name: str, time_s: float) -> InvariantError:
    """Return the error of a device that transmits and receives at once."""
    detail = "its radio is half duplex, but transmits and receives at once"
    return InvariantError("half duplex", f"device {name}", time_s, detail)


class EnergyMonotonicityCheck:
    """Check that the energy spent by each device never decreases.

    Parameters
    ----------
    names : names of the devices
    """

    def __init__(self, names: Sequence[str]) -> None:
        self._names = names
        self._before: dict[str, Floats] = {}

    def check(self, spent_j: Mapping[str, Floats], time_s: float) -> None:
        """Compare the energy spent with the energy spent at the last check.

        Idle energy is exempt: time counts as idle until a transfer is accounted for, at its end.

        Parameters
        ----------
        spent_j : energy (devices,) by activity [J]
        time_s : the present instant [s]

        Raises
        ------
        InvariantError
            if any of it has decreased, or is negative
        """
        for activity, now_j in spent_j.items():
            before_j = np.zeros(now_j.size)
            if activity != "idle":
                before_j = self._before.get(activity, before_j)
            fallen = np.flatnonzero(~(now_j >= before_j * (1.0 - _ROUNDING)))
            if fallen.size:
                device = int(fallen[0])
                raise InvariantError(
                    "energy",
                    f"device {self._names[device]}",
                    time_s,
                    f"spent {before_j[device]:g} J to {activity} before, {now_j[device]:g} J now",
                )
            self._before[activity] = now_j.copy()


def check_totals(
    by_device: Mapping[str, Sequence[int]], totals: Mapping[str, int], time_s: float
) -> None:
    """Compare sums over devices with counts over all messages.

    Parameters
    ----------
    by_device : bytes of each device, by column
    totals : the same over all messages
    time_s : the present instant [s]

    Raises
    ------
    InvariantError
        if they differ
    """
    for column, numbers in by_device.items():
        if sum(numbers) != totals[column]:
            raise InvariantError(
                "totals",
                "all devices",
                time_s,
                f"their {column} add up to {sum(numbers)} bytes, those of all messages to "
                f"{totals[column]}",
            )
