"""State of the CSMA kernel: rows of transmissions and attempts, and room for frames and events."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import defaultdict
from typing import TYPE_CHECKING

import numpy as np

from wnsim import kernels
from wnsim.air.csma.plan import Candidate
from wnsim.core.units import FAR_NS, to_s
from wnsim.kernels.csma_records import (
    ATTEMPT,
    BACKOFFS,
    CREDIT,
    CURSOR,
    EVENT,
    FRAME,
    FUNCTION,
    LOG,
    NODE,
    PACKET,
    PART,
    POINT,
    REPORT,
    ROOM,
    SERVICE,
    USER,
    CsmaState,
)

if TYPE_CHECKING:
    from wnsim.air.csma.plan import Plan
    from wnsim.air.csma.radio import Radio
    from wnsim.air.transmission import Attempt, Transmission
    from wnsim.kernels.csma_records import Table

_SOME, _CREDITS = 16, 4096


class KernelState:
    """State of the kernel.

    Parameters
    ----------
    nodes : number of nodes
    points : access points that serve several stations at once
    most_users : largest number of stations in an exchange
    radio : parameters of the medium access

    Attributes
    ----------
    arrays : the state
    transmission, attempt : objects of rows that are in use
    row : rows of attempts under way
    """

    def __init__(self, nodes: int, points: range, most_users: int, radio: Radio) -> None:
        self._mac, self._aggregator = radio.mac, radio.aggregator
        places = nodes * len(radio.mac.functions)
        self.transmission: dict[int, Transmission] = {}
        self.attempt: dict[int, Attempt] = {}
        self.row: dict[Attempt, int] = {}
        self._service: dict[int, int] = {}
        # Order and row of the transmissions of each function, as in the kernel's queues.
        self._queues: dict[int, list[tuple[tuple[int, int], int]]] = defaultdict(list)
        self._free_services: list[int] = []
        self._free_attempts: dict[int, list[int]] = {}
        self._free_boards: list[int] = []
        self._retired: list[int] = []
        self._services = self._attempts = self._boards = 0
        window = 1 if self._aggregator is None else self._aggregator.window
        node = np.zeros(nodes, dtype=NODE)
        node["locked"] = node["sending"] = node["near_interval"] = node["sensed_ns"] = -1
        node["point"] = -1
        node["point"][points.start : points.stop] = np.arange(len(points))
        point = np.zeros(len(points), dtype=POINT)
        point["exchange"] = -1
        function = np.zeros(places, dtype=FUNCTION)
        function["head"], function["drawn"] = -1, BACKOFFS
        cursor = np.zeros(1, dtype=CURSOR)
        cursor["now_ns"] = cursor["finishing"] = -1
        cursor["start_ns"] = cursor["limit_ns"] = FAR_NS
        self.arrays = CsmaState(
            cursor=cursor,
            nodes=node,
            functions=function,
            services=np.zeros(_SOME, dtype=SERVICE),
            attempts=np.zeros(_SOME, dtype=ATTEMPT),
            frames=np.zeros(0, dtype=FRAME),
            starts_ns=np.full(places, FAR_NS),
            boards=np.zeros((_SOME, window), dtype=PACKET),
            events=np.zeros(_SOME, dtype=EVENT),
            log=np.zeros(_SOME, dtype=LOG),
            credits=np.zeros(_CREDITS, dtype=CREDIT),
            room=np.zeros(0, dtype=ROOM),
            parts=np.zeros(0, dtype=PART),
            arrived=np.zeros((max(most_users, 1), window), dtype=np.bool_),
            points=point,
            users=np.zeros((len(points), most_users), dtype=USER),
            reports=np.zeros((len(points) * len(radio.mac.functions), nodes), dtype=REPORT),
        )
        self.more_frames()

    # Transmissions.

    def add(self, transmission: Transmission, packet_bits: int, last_level: int) -> int:
        """Put a transmission into its queue; return its access function.

        Parameters
        ----------
        transmission : the transmission
        packet_bits : size of a packet [bit]
        last_level : row of thresholds of its last packet
        """
        attempts, count = transmission.attempts, len(transmission.attempts)
        size_bits = attempts[0].size_bits
        packets = -(-size_bits // packet_bits)
        place = self._mac.function_of(transmission.source, attempts[0].category)
        row, first = self._rows(count)
        self.arrays.services[row] = (
            transmission.source, place, -1, transmission.multicast, attempts[0].target, first,
            count, count, packets, size_bits - (packets - 1) * packet_bits, last_level, -1, -1, 0,
            0, 0, -1, 0, -1, 0, 0, 0,
        )  # fmt: skip
        records = self.arrays.attempts
        for number, attempt in enumerate(attempts, first):
            records[number] = (
                attempt.target, attempt.size_bits, 1, 0, 0, 0, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0, 0,
                0, -1, 0, 0.0, 0.0,
            )  # fmt: skip
            self.attempt[number], self.row[attempt] = attempt, number
            self._service[number] = row
        self.transmission[row] = transmission
        queue, entry = self._queues[place], (transmission.order, row)
        insort(queue, entry)
        at = bisect_left(queue, entry)
        kernels.csma.enqueue(self.arrays, row, queue[at - 1][1] if at else -1)
        return place

    def _rows(self, count: int) -> tuple[int, int]:
        """Return a free row of a service, and the first one of free rows of attempts."""
        if not self._free_services or not self._free_attempts.get(count):
            self._reclaim()
        if not self._free_services:
            if self._services == self.arrays.services.size:
                self.arrays = self.arrays._replace(services=_doubled(self.arrays.services))
            self._free_services.append(self._services)
            self._services += 1
        blocks = self._free_attempts.setdefault(count, [])
        if not blocks:
            while self._attempts + count > self.arrays.attempts.size:
                self.arrays = self.arrays._replace(
                    attempts=_doubled(self.arrays.attempts), log=_doubled(self.arrays.log)
                )
            blocks.append(self._attempts)
            self._attempts += count
        return self._free_services.pop(), blocks.pop()

    def _reclaim(self) -> None:
        """Free the rows of transmissions that have ended and that no frame refers to."""
        if not self._retired:
            return
        kernels.csma.sweep(self.arrays)
        frames = self.arrays.frames
        used = set(frames["service"][frames["live"] > 0].tolist())
        still = []
        for row in self._retired:
            if row in used:
                still.append(row)
                continue
            self._free_services.append(row)
            of = self.arrays.services[row]
            self._free_attempts.setdefault(int(of["count"]), []).append(int(of["attempts"]))
        self._retired = still

    def targets(self, service: int) -> tuple[int, ...]:
        """Return the receivers of the attempts of a service that are under way."""
        first, count = self.arrays.services[service][["attempts", "count"]].item()
        records = self.arrays.attempts[first : first + count]
        return tuple(records["target"][records["alive"] > 0].tolist())

    def service_of(self, attempt: Attempt) -> int:
        """Return the row of the transmission of an attempt under way."""
        return self._service[self.row[attempt]]

    def add_board(self, service: int) -> None:
        """Give a service a board for the packets of its aggregates."""
        if not self._free_boards:
            if self._boards == self.arrays.boards.shape[0]:
                self.arrays = self.arrays._replace(boards=_doubled(self.arrays.boards))
            self._free_boards.append(self._boards)
            self._boards += 1
        self.arrays.services[service]["board"] = self._free_boards.pop()

    def end(self, attempt: Attempt) -> int:
        """Write the outcome of an attempt that the kernel has ended; return its function."""
        row = self.row.pop(attempt)
        service = self._service.pop(row)
        del self.attempt[row]
        of, record = self.arrays.services[service], self.arrays.attempts[row]
        (
            _, size, _, _, last, _, started_ns, ended_ns, sent, repeated, failed, failed_ns,
            arrived, dropped, air_ns, sent_ns, heard_ns, ack_ns, _, _, snr_sum, capacity_bits,
        ) = record.item()  # fmt: skip
        done = arrived + dropped == size
        attempt.delivered = done and not dropped
        if done and not attempt.delivered:
            attempt.limit_reason = "retry-limit"
        attempt.acked_bits = arrived
        attempt.started_ns, attempt.ended_ns = started_ns, ended_ns
        attempt.sent, attempt.repeated, attempt.failed = sent, repeated, failed
        attempt.failed_ns = failed_ns
        attempt.snr_sum, attempt.capacity_bits = snr_sum, capacity_bits
        attempt.airtime_s = to_s(sent_ns)
        # Attempts with one receiver share its time, and the acknowledgements.
        if of["multicast"] or last:
            attempt.receiving_s, attempt.ack_s = to_s(heard_ns), to_s(ack_ns)
        if started_ns >= 0:
            attempt.access_ns = ended_ns - started_ns - failed_ns - air_ns
        if last:
            queue = self._queues[int(of["function"])]
            del queue[bisect_left(queue, (self.transmission[service].order, service))]
            del self.transmission[service]
            self._retired.append(service)
            if of["board"] >= 0:
                self._free_boards.append(int(of["board"]))
        return int(of["function"])

    def acked_bits(self, attempt: Attempt, now_ns: int) -> int:
        """Return the number of bits of an attempt received before an instant."""
        record = self.arrays.attempts[self.row[attempt]]
        return int(record["arrived"]) - (
            int(record["last_bits"]) if record["last_ns"] >= now_ns else 0
        )

    # Exchanges of access points with several stations.

    def candidates(self, node: int) -> list[Candidate]:
        """Return the stations that the kernel has found for an exchange of an access point."""
        point = int(self.arrays.nodes[node]["point"])
        users = self.arrays.users[point, : self.arrays.points[point]["users"]]
        return list(map(Candidate, *(users[name].tolist() for name in Candidate._fields)))

    def reported(self, node: int, rank: int, most: int) -> list[Candidate]:
        """Return the stations that reported first to an access function of an access point."""
        reports = self._reports(node, rank)
        stations = np.flatnonzero(reports["bits"])
        first = stations[np.argsort(reports["order"][stations])][:most]
        return list(map(Candidate, first.tolist(), reports["bits"][first].tolist()))

    def forget_reports(self, node: int, rank: int) -> None:
        """Forget what stations reported to an access function of an access point."""
        self._reports(node, rank)["bits"] = 0
        self.arrays.functions[node * len(self._mac.functions) + rank]["reports"] = 0

    def _reports(self, node: int, rank: int) -> Table:
        point = int(self.arrays.nodes[node]["point"])
        reports: Table = self.arrays.reports[point * len(self._mac.functions) + rank]
        return reports

    def write_plan(
        self,
        plan: Plan,
        node: int,
        place: int,
        uplink: bool,
        control: tuple[int, int],
        schemes: list[tuple[int, int]],
    ) -> None:
        """Write the plan of an exchange.

        Parameters
        ----------
        plan : the plan
        node, place : the access point, and its access function
        uplink : whether there are no packets of the access point
        control : rows of the scheme of control frames, and of the length of the trigger frame
        schemes : rows of the schemes of what each station sends, and of the packets for it
        """
        point = int(self.arrays.nodes[node]["point"])
        at, users = self.arrays.points[point], self.arrays.users[point]
        at["function"], at["uplink"], at["users"] = place, uplink, len(plan.users)
        (at["control"], at["trigger_level"]), at["trigger_bits"] = control, plan.trigger_bits
        at["triggered_ns"], at["answer_ns"] = plan.triggered_ns, plan.answer_ns
        at["longest_ns"] = plan.longest_ns
        for row, user, (scheme, down) in zip(users, plan.users, schemes, strict=False):
            row["node"], row["scheme"], row["down"] = user.node, scheme, down
            row["first"], row["places"] = user.unit.first, user.unit.places
            row["tones"], row["share"] = user.unit.tones, user.share

    # What the kernel has recorded.

    def read_started(self) -> None:
        """Record which attempts have started."""
        cursor = self.arrays.cursor[0]
        for row in self.arrays.log["started"][: cursor["started"]].tolist():
            if row in self.attempt:
                self.attempt[row].started_ns = int(self.arrays.attempts[row]["started_ns"])
        cursor["started"] = 0

    def read_ended(self) -> list[Attempt]:
        """Return the attempts that have ended, in their order."""
        cursor = self.arrays.cursor[0]
        rows = self.arrays.log["ended"][: cursor["ended"]].tolist()
        cursor["ended"] = 0
        return [self.attempt[row] for row in rows]

    def read_credits(self) -> None:
        """Add the bits that were received to the progress of attempts."""
        cursor = self.arrays.cursor[0]
        for row, at_ns, bits in self.arrays.credits[: cursor["credits"]].tolist():
            self.attempt[row].progress.append((np.array([at_ns]), np.array([bits])))
        cursor["credits"] = 0
        if self.arrays.credits.size < self.arrays.attempts.size + _CREDITS:
            room = 2 * self.arrays.attempts.size + _CREDITS
            self.arrays = self.arrays._replace(credits=np.zeros(room, dtype=CREDIT))

    # Room.

    def more_frames(self) -> None:
        """Make room for more frames."""
        state = self.arrays
        more = np.zeros(max(state.frames.size, 4 * _SOME), dtype=FRAME)
        more["announced"] = more["part"] = -1
        self.arrays = state._replace(
            frames=np.concatenate([state.frames, more]),
            room=np.concatenate([state.room, np.zeros(more.size, dtype=ROOM)]),
            parts=np.zeros(2 * (state.frames.size + more.size) + 2, dtype=PART),
        )
        kernels.csma.sweep(self.arrays)

    def more_events(self) -> None:
        """Make room for more events."""
        self.arrays = self.arrays._replace(events=_doubled(self.arrays.events))


def _doubled(table: Table) -> Table:
    """Return a table with twice as many rows."""
    return np.concatenate([table, np.zeros_like(table)])
