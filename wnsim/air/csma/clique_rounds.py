"""Contention rounds in a fully connected network: from one exchange to the next without events.

As long as the medium falls idle at the same instant for all nodes, the number of idle slots after
which a backoff ends is known when it is drawn, and the station with the smallest number sends
next. Lone frames that are received and collisions of equally strong frames are handled here; other
frames are left to `collision_outcome`. After those, some nodes wait for longer than others, and
their slots are counted once the next sender is known. Rounds end, and `windowed` continues, at
collisions of frames of different lengths, at frames that begin within the detection time of
another one, and before the end of an attempt. The counters of attempts are updated after the last
round.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from wnsim.air.csma.collision_outcome import CollisionModel, CollisionOutcome
from wnsim.air.csma.service import ACK_BITS
from wnsim.core.units import NS_PER_S
from wnsim.phy.wifi import DIFS_NS, SENSE_NS, SIFS_NS, SLOT_NS, TIMEOUT_NS
from wnsim.phy.wifi_formats import Scheme

if TYPE_CHECKING:
    from wnsim.air.csma.radio import Radio
    from wnsim.air.csma.sender import Sender
    from wnsim.air.csma.states import StationStates
    from wnsim.air.setup import Setup

# A queue entry is one number: the slot, a bit, and the node in the last bits. The bit is 0 for
# stations that send before all others of the same slot, which detect the frame and wait.
_NODE_BITS = 8
MOST_NODES = 1 << _NODE_BITS
_NODE = MOST_NODES - 1
_SLOT_BITS = _NODE_BITS + 1
_USUAL = 1 << _NODE_BITS
_NEVER = 1 << 100


@dataclass(slots=True)
class _Delayed:
    """A node that waits for longer than others after a round, and its remaining backoff."""

    node: int
    busy_ns: int
    eifs_ns: int
    slots: int

    @property
    def ready_ns(self) -> int:
        """When its first slot begins [ns]."""
        return max(self.busy_ns, self.eifs_ns) + DIFS_NS


@dataclass(frozen=True, slots=True)
class CliqueCollisions:
    """Reception of simultaneous frames in a clique.

    Parameters
    ----------
    model : outcomes of simultaneous frames
    all_busy : whether every frame exceeds the energy detection threshold of every node
    all_lost : whether powers are so equal that no node locks on to any of several frames
    """

    model: CollisionModel
    all_busy: bool
    all_lost: bool


class CliqueRounds:
    """Rounds among the contending stations of a clique.

    Parameters
    ----------
    setup : what the engine is built from
    radio : powers and error probabilities
    states : states of all stations, read before and written after the rounds
    senders : the stations that contend
    collisions : how simultaneous frames are received
    """

    def __init__(
        self,
        setup: Setup,
        radio: Radio,
        states: StationStates,
        senders: dict[int, Sender],
        collisions: CliqueCollisions,
    ) -> None:
        self._setup, self._radio, self._mac = setup, radio, radio.mac
        self._states, self._senders, self._collisions = states, senders, collisions
        # Two entries that are never reached, so that there are always a second and a third one.
        self._queue = [states.slots[node] << _SLOT_BITS | _USUAL | node for node in senders] + [
            _NEVER
        ] * 2
        heapq.heapify(self._queue)
        # Remaining backoffs of nodes that do not contend.
        self._other_slots = {
            node: slots
            for node, slots in enumerate(states.slots)
            if slots and not states.contends[node]
        }
        self._acks = [0] * len(states.slots)
        # Contention windows by number of failures; constant from 16 on.
        (self._function,) = self._mac.functions
        self._windows = [self._function.contention_window(failures) + 1 for failures in range(17)]
        self._delayed: list[_Delayed] = []

    def run(self, idle_ns: int, bound_ns: float) -> None:
        """Process the rounds that end before a bound [ns], after the medium has fallen idle."""
        senders, queue, acks, backoffs = (
            self._senders,
            self._queue,
            self._acks,
            self._states.backoffs,
        )
        ready, more, windows = backoffs.ready, backoffs.more, self._mac.cw_min + 1
        replace, trace = heapq.heapreplace, self._setup.trace
        latest_ns = bound_ns - max(
            max(each.exchange_ns, each.data_ns + TIMEOUT_NS) for each in senders.values()
        )
        # Instant of slot 0, shifted by the duration of everything since that is not idle slots.
        zero_ns, passed, waited_ns = idle_ns + DIFS_NS, 0, -1
        while True:
            first = queue[0]
            slot = first >> _SLOT_BITS
            start_ns = zero_ns + slot * SLOT_NS
            if start_ns >= latest_ns:
                break
            node = first & _NODE
            sender = senders[node]
            second, third = queue[1], queue[2]
            if (second if second < third else third) >> _NODE_BITS != first >> _NODE_BITS and (
                sender.error_free or self._exchange_succeeds(node, sender, start_ns)
            ):
                if not sender.remaining:
                    break
                sender.remaining -= 1
                sender.acked += 1
                sender.answered += 1
                sender.starts_ns.append(start_ns)
                sender.last_ns = start_ns + sender.exchange_ns
                acks[sender.target] += 1
                if trace:
                    sender.ends_ns.append(sender.last_ns)
                if sender.resent:
                    sender.on_resent_ack()
                draws = ready[node] or more(node)
                slots = int(draws.pop() * windows)
                replace(queue, slot + slots << _SLOT_BITS | _USUAL | node)
                zero_ns += sender.exchange_ns + DIFS_NS
            else:
                took_ns, shift_ns = self._collide(slot, start_ns)
                if not took_ns:
                    break
                idle_ns = start_ns + took_ns
                waited_ns = zero_ns = idle_ns + DIFS_NS - slot * SLOT_NS + (shift_ns or 0)
                if shift_ns is None:
                    passed = slot
                    break
            passed = slot
        if zero_ns != waited_ns:
            idle_ns = zero_ns + passed * SLOT_NS - DIFS_NS
            self._delayed = []
        self._write_back(passed, idle_ns)

    # Frames that may not be received.

    def _number(self, node: int) -> int:
        """Return the sequence number of the next frame of a node."""
        sender = self._senders.get(node)
        sent = len(sender.starts_ns) if sender else 0
        return self._states.number[node] + self._acks[node] + sent

    def _exchange_succeeds(self, node: int, sender: Sender, start_ns: int) -> bool:
        """Return whether a lone packet and its acknowledgement are received."""
        ack_ns = start_ns + sender.data_ns + SIFS_NS
        return self._frame_received(
            node, sender.target, sender.data, sender.bits, start_ns
        ) and self._frame_received(sender.target, node, sender.ack, ACK_BITS, ack_ns)

    def _frame_received(
        self, source: int, target: int, scheme: Scheme, bits: int, start_ns: int
    ) -> bool:
        """Return whether a lone frame is received."""
        states, radio = self._states, self._radio
        snr = radio.tx_w[source] * states.gains.gain(source, target, start_ns)
        error = radio.interference_free_error(scheme, bits, snr / radio.noise_w[target])
        return error == 0.0 or states.draws.draw(source, target, self._number(source)) >= error

    def _collide(self, slot: int, start_ns: int) -> tuple[int, int | None]:
        """Let all stations send whose backoff ends in a slot.

        Returns the duration [ns], 0 if the outcome cannot be computed here and nothing was changed,
        and the result of `_count_slots`.
        """
        queue, senders, nodes = self._queue, self._senders, []
        turn = queue[0] >> _NODE_BITS
        while queue[0] >> _NODE_BITS == turn:
            nodes.append(heapq.heappop(queue) & _NODE)
        like = senders[nodes[0]]
        known = self._collisions.all_busy and like.data_ns > self._collisions.model.eifs_ns
        for node in nodes:
            known = known and senders[node].remaining > 0 and senders[node].data is like.data
        if not known:
            for node in nodes:
                heapq.heappush(queue, turn << _NODE_BITS | node)
            return 0, None
        if self._collisions.all_lost and len(nodes) > 1:
            return like.data_ns, self._lose_all(nodes, slot, start_ns, start_ns + like.data_ns)
        pairs = [(node, senders[node].target) for node in nodes]
        outcome = self._collisions.model.outcome(pairs, like, start_ns, self._number)
        self._apply(outcome, nodes, slot, start_ns)
        return outcome.idle_ns, self._count_slots(slot, start_ns + outcome.idle_ns)

    def _lose_all(self, nodes: list[int], slot: int, start_ns: int, idle_ns: int) -> int | None:
        """Handle a collision of which no frame is received, and count slots."""
        backoffs, mac = self._states.backoffs, self._mac
        ready, more = backoffs.ready, backoffs.more
        queue, over_ns = self._queue, idle_ns + TIMEOUT_NS
        delayed = self._delayed = []
        for node in nodes:
            sender = self._senders[node]
            sender.starts_ns.append(start_ns)
            sender.on_failure(start_ns, over_ns, False, mac)
            draws = ready[node] or more(node)
            slots = int(draws.pop() * self._windows[min(sender.service.failures, 16)])
            delayed.append(_Delayed(node, over_ns, 0, slots))
        # The timeout is a whole number of slots.
        first = slot + TIMEOUT_NS // SLOT_NS
        least = min([each.slots for each in delayed])
        soonest = min(queue[0] >> _SLOT_BITS, first + least)
        if not least and soonest < first:
            return self._count_slots(slot, idle_ns)
        first = min(first, soonest)
        for each in delayed:
            heapq.heappush(queue, first + each.slots << _SLOT_BITS | _USUAL | each.node)
        return 0

    def _apply(self, outcome: CollisionOutcome, nodes: list[int], slot: int, start_ns: int) -> None:
        """Apply the outcome of frames that began in a slot."""
        mac, draw, queue = self._mac, self._states.backoffs.draw, self._queue
        slots = {entry & _NODE: (entry >> _SLOT_BITS) - slot for entry in queue if entry < _NEVER}
        slots.update((node, max(count - slot, 0)) for node, count in self._other_slots.items())
        for place, node in enumerate(nodes):
            sender = self._senders[node]
            sender.starts_ns.append(start_ns)
            self._acks[sender.target] += outcome.reached[place]
            sender.answered += outcome.reached[place]
            if outcome.acked[place]:
                sender.on_ack(start_ns + outcome.known_ns[place])
            else:
                now_ns = start_ns + outcome.known_ns[place]
                sender.on_failure(start_ns, now_ns, outcome.reached[place], mac)
            slots[node] = draw(node, self._function.contention_window(sender.service.failures))
            heapq.heappush(queue, slot + slots[node] << _SLOT_BITS | _USUAL | node)
        later = {*outcome.busy_ns, *outcome.eifs_ns}
        self._delayed = [
            _Delayed(node, start_ns + busy_ns, start_ns + eifs_ns, slots.get(node, 0))
            for node in sorted(later)
            if max(busy_ns := outcome.busy_ns.get(node, 0), eifs_ns := outcome.eifs_ns.get(node, 0))
            > outcome.idle_ns
        ]
        late = {each.node for each in self._delayed}
        if not late.isdisjoint(self._senders):
            queue[:] = [each for each in queue if each >= _NEVER or each & _NODE not in late]
            heapq.heapify(queue)

    def _count_slots(self, slot: int, idle_ns: int) -> int | None:
        """Count the slots of nodes that wait for longer, up to the next frame.

        Returns how much later the next frame begins than a whole number of slots after the medium
        fell idle for the other nodes [ns]; none if another frame begins before it is detected.
        """
        queue, zero_ns = self._queue, idle_ns + DIFS_NS
        if not self._delayed:
            return 0
        soonest = queue[0] >> _SLOT_BITS
        usual_ns = zero_ns + (soonest - slot) * SLOT_NS
        begins_ns = {
            each.node: each.ready_ns + SLOT_NS * each.slots
            for each in self._delayed
            if each.node in self._senders
        }
        first_ns = min(usual_ns, *begins_ns.values()) if begins_ns else usual_ns
        noticed_ns = first_ns + SENSE_NS
        if any(first_ns < at < noticed_ns for at in (usual_ns, *begins_ns.values())):
            return None
        next_slot = slot + (noticed_ns - zero_ns) // SLOT_NS
        if usual_ns == first_ns:
            ahead = []
            while queue[0] >> _SLOT_BITS == soonest:
                ahead.append(heapq.heappop(queue) ^ _USUAL)
            for entry in ahead:
                heapq.heappush(queue, entry)
        for each in self._delayed:
            left = max(each.slots - max((noticed_ns - each.ready_ns) // SLOT_NS, 0), 0)
            if each.node not in self._senders:
                self._other_slots[each.node] = next_slot + left
            elif begins_ns[each.node] == first_ns:
                heapq.heappush(queue, next_slot << _SLOT_BITS | each.node)
            else:
                heapq.heappush(queue, next_slot + left << _SLOT_BITS | _USUAL | each.node)
        return first_ns - zero_ns - (next_slot - slot) * SLOT_NS

    # End of the rounds.

    def _write_back(self, passed: int, idle_ns: int) -> None:
        """Write the states of all stations, as if all events had been processed."""
        states = self._states
        if not any(each.starts_ns for each in self._senders.values()):
            return
        slots = {entry & _NODE: entry >> _SLOT_BITS for entry in self._queue if entry < _NEVER}
        slots.update(self._other_slots)
        for node, acks in enumerate(self._acks):
            states.busy_ns[node] = idle_ns
            states.slots[node] = max(slots.get(node, 0) - passed, 0)
            states.number[node] += acks
        for late in self._delayed:
            states.busy_ns[late.node] = max(late.busy_ns, idle_ns)
            states.eifs_ns[late.node] = max(late.eifs_ns, states.eifs_ns[late.node])
            states.slots[late.node] = late.slots
        for node, sender in self._senders.items():
            states.number[node] += len(sender.starts_ns)
            if sender.starts_ns:
                self._update_counters(node, sender)
            states.schedule(node)

    def _update_counters(self, node: int, sender: Sender) -> None:
        """Add the packets of a station to its attempt and to the attempt's counters."""
        setup, attempt, radio, gains = self._setup, sender.attempt, self._radio, self._states.gains
        counters, count = sender.service.counters[attempt], len(sender.starts_ns)
        payload = setup.packet_bits
        attempt.sent += count
        counters.sent_ns += count * sender.data_ns
        counters.air_ns += sender.acked * sender.exchange_ns
        counters.ack_ns += sender.answered * sender.ack_ns
        counters.arrived_bits += (sender.acked + sender.received_unacked) * payload
        counters.dropped_bits += sender.dropped * payload
        if sender.last_ns >= 0:
            counters.last_ns, counters.last_bits = sender.last_ns, payload
        if setup.trace:
            attempt.progress += [(np.array([each]), np.array([payload])) for each in sender.ends_ns]
        tx_w, noise_w = radio.tx_w[node], radio.noise_w[sender.target]
        data_s, gain = sender.data_ns / NS_PER_S, gains.gain
        least, most = gains.bounds(node, sender.target, sender.starts_ns[0])
        if least == most:
            snr = [tx_w * least / noise_w] * count
            capacity = [radio.capacity_bits(snr[0], data_s)] * count
        else:
            snr = [tx_w * gain(node, sender.target, at) / noise_w for at in sender.starts_ns]
            capacity = [radio.capacity_bits(each, data_s) for each in snr]
        attempt.snr_sum = _accumulate(attempt.snr_sum, snr)
        attempt.capacity_bits = _accumulate(attempt.capacity_bits, capacity)


def _accumulate(total: float, values: list[float]) -> float:
    """Return a total after adding values one after the other."""
    return float(np.add.accumulate([total, *values])[-1])
