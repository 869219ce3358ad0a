"""Kernel of the windowed CSMA engine: events of stations and frames, in the order of time.

Backoffs are not counted slot by slot: the instant at which one ends follows from the instant at
which the medium falls idle, and stays valid unless the station senses a frame before. What the
kernel lacks, such as gains of a new window, it requests: `advance` returns before it handles an
event for which something is missing, and handles it when called again.

The kernel is one module, as the cache of compiled code sees no changes of other modules. It counts
no references to arrays, see `wnsim.kernels.compiling.uncounted`.

Every step has its reading in plain Python in `wnsim.air.csma.packet` and the modules beside it,
whose results are equal to the bit; sums are taken in the same order.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from wnsim.kernels.compiling import uncounted, uncounted_inlined, uncounted_part

if TYPE_CHECKING:
    from wnsim.core.units import Floats, Ints
    from wnsim.kernels.csma_records import CsmaRules, CsmaState, CsmaTables, Table

# An instant that no simulation reaches.
NEVER_NS = 2**63 - 1
# Requests: nothing happens before the horizon; attempts have ended; the limit of an attempt is
# reached; and what is missing, or to be read.
(
    IDLE, ENDED, LIMIT, NEAR, SCHEME, GAIN, BACKOFFS, DRAWS, BOARD, LEARN, FRAMES, EVENTS, CREDITS,
    VIOLATION, PLAN, LEVEL,
) = range(1, 17)  # fmt: skip
# Kinds of events, in their order within an instant. The last two are those of exchanges with
# several stations: the next frame of the access point, and that of a triggered station.
_END, _TIMEOUT, _SENSE, _ANSWER, _ANNOUNCED, _NEXT, _TRIGGERED = range(7)
# Roles of frames in such exchanges: the packets of the access point, its trigger frame, what the
# stations send, and the acknowledgement for all of them.
_ALONE, _PACKETS, _TRIGGER, _REPLY, _ANSWER_TO_ALL = range(5)
# What comes next at an access point: a frame to one station, an exchange, or nothing that fits.
UNPLANNED, SINGLE, SEVERAL, NOTHING = range(4)
_NODE = 1 << 40
# Rows of levels.
_ACK, _BLOCK_ACK, _RTS, _CTS, _WHOLE, _WHOLE_LAST, _WHOLE_FIRST = range(7)
# Frames and events that the handling of one event may need.
_FEW = 4
_MOST_FAILURES = 16


@uncounted
def advance(rules: CsmaRules, tables: CsmaTables, state: CsmaState, horizon_ns: int) -> int:
    """Process events before a horizon [ns], up to the instant in which an attempt ends.

    Returns a request.
    """
    cursor = state.cursor[0]
    while True:
        if cursor["finishing"] >= 0:
            request = _finish_exchange(rules, tables, state)
            if request:
                return request
            continue
        if cursor["results"]:
            request = _handle_result(rules, tables, state)
            if request:
                return request
            continue
        if cursor["start_ns"] < 0:
            cursor["start_ns"] = _first_start_ns(state.starts_ns)
        event_ns = state.events[0]["at_ns"] if cursor["events"] else NEVER_NS
        now = min(event_ns, cursor["start_ns"], cursor["limit_ns"])
        if now > cursor["now_ns"]:
            if cursor["ended"]:
                return ENDED
            if now >= horizon_ns or now == NEVER_NS:
                return IDLE
            cursor["now_ns"] = now
        now = cursor["now_ns"]
        # Room for what follows.
        few = _FEW + rules.most_users
        if cursor["free"] < few:
            sweep(state)
            if cursor["free"] < few or 2 * cursor["free"] < state.frames.size:
                return FRAMES
        if cursor["events"] + few > state.events.size:
            return EVENTS
        if rules.traced and cursor["credits"] + state.attempts.size > state.credits.size:
            return CREDITS
        kind = state.events[0]["key"] // _NODE if event_ns == now else _TRIGGERED + 1
        request = 0
        if kind <= _TIMEOUT:
            frame = state.events[0]["frame"]
            role = state.frames[frame]["role"]
            if kind == _TIMEOUT:
                request = _handle_timeout(rules, tables, state, frame)
            elif role == _ALONE:
                request = _end(rules, tables, state, frame)
            elif role == _REPLY:
                request = _end_reply(rules, tables, state, frame)
            else:
                request = _end_of_several(rules, tables, state, frame)
        elif cursor["limit_ns"] <= now:
            request = LIMIT
        elif kind <= _TRIGGERED:
            frame = state.events[0]["frame"]
            if kind == _SENSE:
                _pop_event(state)
                _sense(rules, tables, state, frame)
            elif kind == _ANSWER:
                request = _send_answer(rules, tables, state, frame)
            elif kind == _ANNOUNCED:
                request = _send_announced(rules, tables, state, frame)
            elif kind == _NEXT:
                request = _send_next(rules, tables, state, frame)
            else:
                request = _reply(rules, tables, state, frame)
        else:
            request = _start(rules, tables, state)
        if request:
            return request


@uncounted
def update_queue(
    rules: CsmaRules, tables: CsmaTables, state: CsmaState, place: int, now: int
) -> int:
    """Let an access function whose queue has changed begin or stop contending now [ns].

    Returns a request, after which it is to be called again.
    """
    function = state.functions[place]
    node = place // tables.space_ns.size
    sending = state.nodes[node]["sending"]
    if sending >= 0 and _function_of(state, sending) == place:
        return 0
    head = function["head"]
    if not _wanted(rules, function):
        function["contends"] = 0
        state.starts_ns[place] = NEVER_NS
        state.cursor[0]["start_ns"] = -1
        return 0
    if function["drawn"] == tables.backoffs.shape[1]:
        state.cursor[0]["place"] = place
        return BACKOFFS
    if head >= 0:
        _begin(state, head, now)
    if not function["contends"]:
        function["contends"] = 1
        function["asked_ns"] = now
        busy_ns = max(state.nodes[node]["busy_ns"], function["hold_ns"])
        busy = sending >= 0 or busy_ns > now
        if busy and function["slots"] == 0:
            _draw(tables, state, place, 0)
        if state.nodes[node]["locked"] < 0:
            _schedule(rules, tables, state, node)
    return 0


@uncounted
def close(state: CsmaState, attempt: int, service: int, now: int) -> None:
    """End an attempt of a service at an instant [ns], and the service with its last one."""
    record, of = state.attempts[attempt], state.services[service]
    record["alive"] = 0
    record["ended_ns"] = now
    record["left"] = state.cursor[0]["built"]
    of["alive"] -= 1
    record["last"] = of["alive"] == 0
    if _remaining(record) > 0 and of["on_air_ns"] >= 0:
        record["failed"] += of["packets_on_air"]
        record["failed_ns"] += now - of["on_air_ns"]
    if of["multicast"]:
        of["scheme_interval"] = -1
    if of["alive"] == 0:
        _unlink(state, service)


@uncounted
def enqueue(state: CsmaState, service: int, before: int) -> None:
    """Put a service into its queue, after another one; -1: at its head."""
    of, function = state.services[service], state.functions[state.services[service]["function"]]
    if before < 0:
        of["next"] = function["head"]
        function["head"] = service
    else:
        of["next"] = state.services[before]["next"]
        state.services[before]["next"] = service


@uncounted
def sweep(state: CsmaState) -> None:
    """Find the frames that nothing refers to any more."""
    cursor, frames = state.cursor[0], state.frames
    for frame in range(frames.size):
        frames[frame]["live"] = 0
    for place in range(cursor["air"]):
        _keep(frames, state.room[place]["air"])
    for place in range(cursor["past"]):
        _keep(frames, state.room[place]["past"])
    for place in range(cursor["events"]):
        _keep(frames, state.events[place]["frame"])
    for node in range(state.nodes.size):
        if state.nodes[node]["sending"] >= 0:
            _keep(frames, state.nodes[node]["sending"])
    for place in range(cursor["handled"], cursor["results"]):
        _keep(frames, state.room[place]["result"])
    for point in range(state.points.size):
        if state.points[point]["exchange"] >= 0 and not state.points[point]["uplink"]:
            for user in range(state.points[point]["users"]):
                _keep(frames, state.users[point, user]["part"])
    if cursor["finishing"] >= 0:
        _keep(frames, cursor["finishing"])
    cursor["free"] = 0
    for frame in range(frames.size - 1, -1, -1):
        if not frames[frame]["live"]:
            state.room[cursor["free"]]["free"] = frame
            cursor["free"] += 1


@uncounted_part
def _keep(frames: Table, frame: int) -> None:
    frames[frame]["live"] = 1
    if frames[frame]["announced"] >= 0:
        frames[frames[frame]["announced"]]["live"] = 1
    if frames[frame]["part"] >= 0:
        frames[frames[frame]["part"]]["live"] = 1


@uncounted
def find(table: Table, key: int) -> int:
    """Return the place of a key in a hash table, or the free place (-1) where it belongs."""
    mask = table.size - 1
    place = (key * 0x9E3779B1 >> 8) & mask
    while table[place]["key"] != key and table[place]["key"] >= 0:
        place = (place + 1) & mask
    return place


@uncounted
def enter(table: Table, new: Ints, first: int) -> None:
    """Enter new keys (K,) into a hash table, with consecutive rows."""
    for place in range(new.size):
        at = find(table, new[place])
        table[at]["key"] = new[place]
        table[at]["row"] = first + place


# Events.


@uncounted_inlined
def _push_event(state: CsmaState, at_ns: int, key: int, frame: int) -> None:
    """Add an event to the heap."""
    events, place = state.events, state.cursor[0]["events"]
    state.cursor[0]["events"] = place + 1
    while place:
        parent = (place - 1) // 2
        if not _sooner(at_ns, key, events[parent]):
            break
        _place(
            events[place], events[parent]["at_ns"], events[parent]["key"], events[parent]["frame"]
        )
        place = parent
    _place(events[place], at_ns, key, frame)


@uncounted_inlined
def _pop_event(state: CsmaState) -> None:
    """Remove the first event from the heap."""
    events, size = state.events, state.cursor[0]["events"] - 1
    state.cursor[0]["events"] = size
    last = events[size]
    at_ns, key, frame = last["at_ns"], last["key"], last["frame"]
    place = 0
    while True:
        child = 2 * place + 1
        if child >= size:
            break
        other = child + 1
        if other < size and _sooner(events[other]["at_ns"], events[other]["key"], events[child]):
            child = other
        if not _sooner(events[child]["at_ns"], events[child]["key"], last):
            break
        _place(events[place], events[child]["at_ns"], events[child]["key"], events[child]["frame"])
        place = child
    _place(events[place], at_ns, key, frame)


@uncounted_inlined
def _sooner(at_ns: int, key: int, event: Any) -> bool:
    """Return whether an instant and key come before those of an event."""
    return bool(at_ns < event["at_ns"] or (at_ns == event["at_ns"] and key < event["key"]))


@uncounted_inlined
def _place(event: Any, at_ns: int, key: int, frame: int) -> None:
    """Write an event."""
    event["at_ns"] = at_ns
    event["key"] = key
    event["frame"] = frame


# Backoff.


@uncounted_inlined
def _first_start_ns(starts_ns: Ints) -> int:
    """Return the earliest scheduled start [ns]."""
    first_ns = NEVER_NS
    for place in range(starts_ns.size):
        first_ns = min(first_ns, starts_ns[place])
    return first_ns


@uncounted_inlined
def _schedule(rules: CsmaRules, tables: CsmaTables, state: CsmaState, node: int) -> None:
    """Schedule the starts of the access functions of a node that contend, unless it sends."""
    of = state.nodes[node]
    if of["sending"] < 0:
        free = max(of["busy_ns"], of["eifs_ns"])
        for rank in range(tables.space_ns.size):
            place = node * tables.space_ns.size + rank
            function = state.functions[place]
            if function["contends"]:
                idle_ns = max(free, function["hold_ns"])
                start = idle_ns + tables.space_ns[rank] + rules.slot_ns * function["slots"]
                state.starts_ns[place] = max(start, function["asked_ns"])
        state.cursor[0]["start_ns"] = -1


@uncounted_inlined
def _freeze(rules: CsmaRules, tables: CsmaTables, state: CsmaState, node: int, now: int) -> None:
    """Freeze the backoffs of a node that senses a frame, or sends one."""
    of = state.nodes[node]
    if of["sending"] < 0:
        free = max(of["busy_ns"], of["eifs_ns"])
        for rank in range(tables.space_ns.size):
            place = node * tables.space_ns.size + rank
            state.starts_ns[place] = NEVER_NS
            slots = state.functions[place]["slots"]
            idle_ns = now - max(free, state.functions[place]["hold_ns"]) - tables.space_ns[rank]
            if slots and idle_ns >= 0:
                passed = idle_ns // rules.slot_ns + tables.boundary[rank]
                state.functions[place]["slots"] = max(slots - passed, 0)
        state.cursor[0]["start_ns"] = -1


@uncounted_inlined
def _draw(tables: CsmaTables, state: CsmaState, place: int, failures: int) -> None:
    """Draw the backoff of an access function after a number of failures."""
    function = state.functions[place]
    draw = tables.backoffs[place, function["drawn"]]
    function["drawn"] += 1
    window = tables.windows[place % tables.space_ns.size, min(failures, _MOST_FAILURES)]
    function["slots"] = int(draw * window)


@uncounted_inlined
def _wanted(rules: CsmaRules, function: Any) -> bool:
    """Return whether an access function has something to send, or to trigger."""
    return bool(
        function["head"] >= 0 or (rules.polled and function["reports"] >= rules.fewest_users)
    )


@uncounted_inlined
def _undrawn(tables: CsmaTables, state: CsmaState, node: int) -> bool:
    """Request backoff draws if those of an access function of a node are used up."""
    for rank in range(tables.space_ns.size):
        place = node * tables.space_ns.size + rank
        if state.functions[place]["drawn"] == tables.backoffs.shape[1]:
            state.cursor[0]["place"] = place
            return True
    return False


# Services.


@uncounted_inlined
def _remaining(record: Any) -> int:
    """Return the number of bits of an attempt still to be sent."""
    left: int = record["size"] - record["arrived"] - record["dropped"]
    return left


@uncounted_part
def _function_of(state: CsmaState, frame: int) -> int:
    """Return the access function that sends a frame; -1 for an answer."""
    service = state.frames[frame]["service"]
    function: int = state.services[service]["function"] if service >= 0 else -1
    return function


@uncounted_inlined
def _begin(state: CsmaState, service: int, now: int) -> None:
    """Record that a service has reached the head of its queue."""
    of, cursor = state.services[service], state.cursor[0]
    for attempt in range(of["attempts"], of["attempts"] + of["count"]):
        if state.attempts[attempt]["alive"] and state.attempts[attempt]["started_ns"] < 0:
            state.attempts[attempt]["started_ns"] = now
            state.log[cursor["started"]]["started"] = attempt
            cursor["started"] += 1


@uncounted_part
def _unlink(state: CsmaState, service: int) -> None:
    """Remove a service from its queue."""
    services = state.services
    function = state.functions[services[service]["function"]]
    if function["head"] == service:
        function["head"] = services[service]["next"]
        return
    before = function["head"]
    while services[before]["next"] != service:
        before = services[before]["next"]
    services[before]["next"] = services[service]["next"]


@uncounted_inlined
def _end_complete(state: CsmaState, service: int, now: int) -> None:
    """End the attempts of a service that have no packets left."""
    of, cursor = state.services[service], state.cursor[0]
    for attempt in range(of["attempts"], of["attempts"] + of["count"]):
        record = state.attempts[attempt]
        if record["alive"] and _remaining(record) == 0:
            close(state, attempt, service, now)
            state.log[cursor["ended"]]["ended"] = attempt
            cursor["ended"] += 1


@uncounted_part
def _credit(rules: CsmaRules, state: CsmaState, attempt: int, bits: int, now: int) -> None:
    """Add received bits to an attempt."""
    record = state.attempts[attempt]
    record["last_bits"] = min(bits, _remaining(record))
    record["last_ns"] = now
    record["arrived"] += record["last_bits"]
    if rules.traced:
        cursor = state.cursor[0]
        credit = state.credits[cursor["credits"]]
        credit["attempt"] = attempt
        credit["at_ns"] = now
        credit["bits"] = record["last_bits"]
        cursor["credits"] += 1


@uncounted_inlined
def _next_packet(of: Any) -> None:
    """Advance a service to its next packet."""
    of["failures"] = 0
    of["tries"] = 0
    of["reached"] = 0
    of["on_air_ns"] = -1


@uncounted_inlined
def _on_ack(rules: CsmaRules, state: CsmaState, frame: int, now: int) -> None:
    """Record the acknowledgement of a frame of packets."""
    service = state.frames[frame]["service"]
    of = state.services[service]
    aggregated = state.frames[frame]["aligned_bits"] > 0
    lost, failed_ns = 0, 0
    if aggregated:
        of["failures"] = 0
        if of["alive"]:
            for place in range(of["sent"]):
                lost += not state.boards[of["board"], place]["reached"]
            failed_ns = (now - of["on_air_ns"]) * lost // of["sent"]
    for attempt in range(of["attempts"], of["attempts"] + of["count"]):
        record = state.attempts[attempt]
        if record["alive"]:
            record["failed"] += lost
            record["failed_ns"] += failed_ns
            record["air_ns"] += now - of["on_air_ns"] - failed_ns
            if not aggregated:
                _credit(rules, state, attempt, state.frames[frame]["payload_bits"], now)
    if aggregated:
        if of["alive"]:
            _settle(rules, state, service, True, now)
        of["on_air_ns"] = -1
    else:
        _next_packet(of)


@uncounted_inlined
def _on_failure(rules: CsmaRules, state: CsmaState, frame: int, now: int) -> None:
    """Record a missing answer; at the retry limit, drop or restart packets."""
    service, payload_bits = state.frames[frame]["service"], state.frames[frame]["payload_bits"]
    of = state.services[service]
    aggregates = rules.most_packets > 0 and not of["multicast"]
    of["failures"] += 1
    last = of["failures"] >= rules.retry_limit
    for attempt in range(of["attempts"], of["attempts"] + of["count"]):
        record = state.attempts[attempt]
        if not record["alive"]:
            continue
        record["failed"] += of["packets_on_air"]
        record["failed_ns"] += now - of["on_air_ns"]
        if last and not aggregates:
            if of["reached"]:
                _credit(rules, state, attempt, payload_bits, now)
            elif not rules.arq:
                record["dropped"] += min(payload_bits, _remaining(record))
    if aggregates:
        if last:
            of["failures"] = 0
        if of["alive"]:
            _settle(rules, state, service, False, now)
        of["on_air_ns"] = -1
    elif last and rules.arq and not of["reached"]:
        of["failures"] = 0
        of["on_air_ns"] = -1
    elif last:
        _next_packet(of)
    else:
        of["on_air_ns"] = -1


@uncounted_part
def _settle(rules: CsmaRules, state: CsmaState, service: int, answered: bool, now: int) -> None:
    """Credit packets known to be received; drop or restart others at the retry limit."""
    of = state.services[service]
    board = state.boards[of["board"]]
    done_bits = dropped_bits = kept = 0
    credited = False
    for place in range(of["pending"]):
        packet = board[place]
        known = answered and packet["reached"]
        gone = False
        if place < of["sent"] and not known:
            packet["failures"] += 1
            if packet["failures"] >= rules.retry_limit:
                known = packet["reached"] > 0
                gone = not known and not rules.arq
                if not gone and not known:
                    packet["failures"] = 0
        if not known and not gone:
            if kept < place:
                to = board[kept]
                to["place"] = packet["place"]
                to["tries"] = packet["tries"]
                to["failures"] = packet["failures"]
                to["reached"] = packet["reached"]
            kept += 1
            continue
        bits = rules.packet_bits
        if packet["place"] == of["packets"] - 1:
            bits = of["last_bits"]
        if gone:
            dropped_bits += bits
        else:
            credited = True
            done_bits += bits
    of["pending"] = kept
    for attempt in range(of["attempts"], of["attempts"] + of["count"]):
        if state.attempts[attempt]["alive"]:
            state.attempts[attempt]["dropped"] += dropped_bits
            if credited:
                _credit(rules, state, attempt, done_bits, now)


# Frames.


@uncounted_inlined
def _duration_ns(scheme: Any, bits: int) -> int:
    """Return the duration of a frame, see `wnsim.phy.wifi_formats.Scheme.duration_ns`."""
    symbols = -(-(bits + 22) // scheme["data_bits"])
    grid_ns = scheme["grid_ns"]
    duration: int = scheme["preamble_ns"] + -(-symbols * scheme["symbol_ns"] // grid_ns) * grid_ns
    return duration


@uncounted_part
def _most_bits(scheme: Any, duration_ns: int) -> int:
    """Return the largest length, see `wnsim.phy.wifi_formats.Scheme.most_bits`."""
    data_ns = (duration_ns - scheme["preamble_ns"]) // scheme["grid_ns"] * scheme["grid_ns"]
    bits: int = max(data_ns // scheme["symbol_ns"] * scheme["data_bits"] - 22, 0)
    return bits


@uncounted_inlined
def _whole_bytes(bits: int) -> int:
    """Return a length rounded up to whole bytes [bit]."""
    return -(-bits // 8) * 8


@uncounted_inlined
def _unprepared(rules: CsmaRules, state: CsmaState, service: int, now: int) -> int:
    """Request what the next frame of a service needs, if anything."""
    of, cursor = state.services[service], state.cursor[0]
    cursor["service"] = service
    if rules.most_packets > 0 and not of["multicast"] and of["board"] < 0:
        return BOARD
    if of["scheme_interval"] != now // rules.interval_ns:
        return SCHEME
    return 0


@uncounted_inlined
def _far(rules: CsmaRules, state: CsmaState, node: int, now: int) -> bool:
    """Request the nodes in range of a node, if they are not known now [ns]."""
    state.cursor[0]["source"] = node
    return bool(state.nodes[node]["near_interval"] != now // rules.interval_ns)


@uncounted_inlined
def _ungained(
    rules: CsmaRules, tables: CsmaTables, state: CsmaState, service: int, now: int
) -> bool:
    """Request the gains from a service's source to its receivers, if one is not known now [ns]."""
    of = state.services[service]
    for attempt in range(of["attempts"], of["attempts"] + of["count"]):
        record = state.attempts[attempt]
        if record["alive"] and math.isnan(
            _gain(rules, tables, state, of["source"], record["target"], now)
        ):
            return True
    return False


@uncounted_inlined
def _gain(
    rules: CsmaRules, tables: CsmaTables, state: CsmaState, source: int, target: int, at_ns: int
) -> float:
    """Return the gain of a pair at an instant; NaN if it is not known, which is then requested."""
    cursor = state.cursor[0]
    sample = at_ns // rules.sample_ns - cursor["first_sample"]
    if 0 <= sample < cursor["samples"]:
        pair = min(source, target) * state.nodes.size + max(source, target)
        place = find(tables.pairs, pair)
        if tables.pairs[place]["key"] >= 0:
            gain: float = tables.gain[tables.pairs[place]["row"], sample]
            return gain
    cursor["source"] = source
    cursor["target"] = target
    cursor["at_ns"] = at_ns
    return math.nan


@uncounted_part
def _new_frame(state: CsmaState) -> int:
    """Return a frame of one station for another one, to be filled."""
    cursor = state.cursor[0]
    cursor["free"] -= 1
    number: int = state.room[cursor["free"]]["free"]
    frame = state.frames[number]
    frame["target"] = -1
    frame["service"] = -1
    frame["announced"] = -1
    frame["packets"] = 1
    frame["aligned_bits"] = 0
    frame["nav_ns"] = 0
    frame["answer_ns"] = 0
    frame["txop_end_ns"] = 0
    frame["arrived"] = 0
    frame["role"] = _ALONE
    frame["exchange"] = -1
    frame["part"] = -1
    frame["tones"] = 0
    frame["band"] = 1.0
    frame["power"] = 1.0
    return number


@uncounted_part
def _build(
    rules: CsmaRules, tables: CsmaTables, state: CsmaState, service: int, now: int, end_ns: int
) -> int:
    """Return a frame of packets that begins now.

    Its answer must have ended at `end_ns` [ns] if it has several packets; 0: at any time.
    """
    of, cursor = state.services[service], state.cursor[0]
    scheme = tables.scheme[of["scheme"]]
    control = tables.scheme[scheme["control"]]
    aggregates = rules.most_packets > 0 and not of["multicast"]
    if rules.rated and not of["multicast"]:
        of["scheme_interval"] = -1
    cursor["built"] += 1
    number = _new_frame(state)
    frame = state.frames[number]
    frame["answer_bits"] = rules.block_ack_bits if aggregates else rules.ack_bits
    frame["answer_level"] = _BLOCK_ACK if aggregates else _ACK
    answer_ns = 0
    if not of["multicast"]:
        answer_ns = rules.sifs_ns + _duration_ns(control, frame["answer_bits"])
    if aggregates:
        limit = scheme["most_bits"]
        if end_ns:
            limit = min(limit, _most_bits(scheme, end_ns - now - answer_ns))
        _aggregate(rules, state, service, number, limit)
    else:
        most = 0
        for attempt in range(of["attempts"], of["attempts"] + of["count"]):
            if state.attempts[attempt]["alive"]:
                most = max(most, _remaining(state.attempts[attempt]))
        frame["payload_bits"] = min(rules.packet_bits, most)
        frame["bits"] = _whole_bytes(frame["payload_bits"]) + rules.header_bits
        frame["level"] = _WHOLE if most >= rules.packet_bits else of["last_level"]
    frame["source"] = of["source"]
    frame["target"] = of["target"]
    frame["service"] = service
    frame["built"] = cursor["built"]
    frame["scheme"] = of["scheme"]
    frame["start_ns"] = now
    frame["end_ns"] = now + _duration_ns(scheme, frame["bits"])
    frame["nav_ns"] = frame["end_ns"] + answer_ns if answer_ns else 0
    frame["answer_ns"] = frame["nav_ns"]
    for attempt in range(of["attempts"], of["attempts"] + of["count"]):
        state.attempts[attempt]["got"] = 0
    return number


@uncounted_part
def _aggregate(rules: CsmaRules, state: CsmaState, service: int, number: int, limit: int) -> None:
    """Fill a frame with as many packets of a service as fit, at least one."""
    of, frame = state.services[service], state.frames[number]
    board = state.boards[of["board"]]
    whole = _whole_bytes(rules.packet_bits) + rules.header_bits + rules.delimiter_bits
    last = _whole_bytes(of["last_bits"]) + rules.header_bits + rules.delimiter_bits
    aligned = -(-whole // rules.aligned_bits) * rules.aligned_bits
    first = board[0]["place"] if of["pending"] else of["cut"]
    count = payload = end = 0
    shorter = False
    while count < rules.most_packets:
        new = count >= of["pending"]
        place = of["cut"] if new else board[count]["place"]
        if new and (place >= of["packets"] or place - first >= rules.window):
            break
        shorter_next = place == of["packets"] - 1
        end_next = count * aligned + (last if shorter_next else whole)
        if count and end_next > limit:
            break
        end, shorter = end_next, shorter_next
        payload += of["last_bits"] if shorter else rules.packet_bits
        if new:
            packet = board[count]
            packet["place"] = place
            packet["tries"] = 0
            packet["failures"] = 0
            packet["reached"] = 0
            of["pending"] += 1
            of["cut"] += 1
        count += 1
    frame["payload_bits"] = payload
    frame["bits"] = end
    frame["level"] = of["last_level"] if shorter else _WHOLE_LAST
    frame["packets"] = count
    frame["aligned_bits"] = aligned
    of["sent"] = count


@uncounted_inlined
def _delay(frame: Any, by_ns: int) -> None:
    """Let a frame, and its answer, begin later [ns]."""
    frame["start_ns"] += by_ns
    frame["end_ns"] += by_ns
    if frame["answer_ns"]:
        frame["nav_ns"] += by_ns
        frame["answer_ns"] += by_ns


@uncounted_inlined
def _first_frame(
    rules: CsmaRules, tables: CsmaTables, state: CsmaState, service: int, now: int
) -> int:
    """Return the first frame of an exchange: its packets, or a request that announces them."""
    of, cursor, frames = state.services[service], state.cursor[0], state.frames
    txop_ns = tables.txop_ns[of["function"] % tables.txop_ns.size]
    end_ns = now + txop_ns if txop_ns else 0
    if of["multicast"] or rules.unprotected_bits < 0:
        number = _build(rules, tables, state, service, now, end_ns)
        frames[number]["txop_end_ns"] = end_ns
        return number
    control = tables.scheme[tables.scheme[of["scheme"]]["control"]]
    requested_ns = _duration_ns(control, rules.rts_bits)
    cleared_ns = requested_ns + rules.sifs_ns + _duration_ns(control, rules.cts_bits)
    # Whether packets are announced depends on their number: there is room for a request.
    last_ns = end_ns - cleared_ns - rules.sifs_ns if end_ns else 0
    number = _build(rules, tables, state, service, now, last_ns)
    frame = frames[number]
    frame["txop_end_ns"] = end_ns
    if frame["bits"] <= rules.unprotected_bits:
        return number
    _delay(frame, cleared_ns + rules.sifs_ns)
    cursor["built"] += 1
    other = _new_frame(state)
    asking = frames[other]
    asking["source"] = frame["source"]
    asking["target"] = frame["target"]
    asking["service"] = service
    asking["announced"] = number
    asking["built"] = frame["built"]
    asking["start_ns"] = now
    asking["end_ns"] = now + requested_ns
    asking["scheme"] = tables.scheme[frame["scheme"]]["control"]
    asking["bits"] = rules.rts_bits
    asking["level"] = _RTS
    asking["nav_ns"] = frame["start_ns"] + rules.nav_reset_ns
    asking["answer_ns"] = now + cleared_ns
    asking["answer_bits"] = rules.cts_bits
    asking["answer_level"] = _CTS
    asking["payload_bits"] = frame["payload_bits"]
    return other


@uncounted_inlined
def _start(rules: CsmaRules, tables: CsmaTables, state: CsmaState) -> int:
    """Let the access function whose backoff ends first send; resolve internal collisions."""
    cursor, starts_ns, functions = state.cursor[0], state.starts_ns, state.functions
    now, per_node = cursor["now_ns"], tables.space_ns.size
    place = 0
    while starts_ns[place] != now:
        place += 1
    service, node = functions[place]["head"], place // per_node
    if not _wanted(rules, functions[place]):
        functions[place]["contends"] = 0
        starts_ns[place] = NEVER_NS
        cursor["start_ns"] = -1
        return 0
    plan = SINGLE
    if state.nodes[node]["point"] >= 0:
        plan = cursor["plan"]
        if plan == UNPLANNED:
            _find_candidates(rules, state, place)
            cursor["place"] = place
            return PLAN
        if plan == NOTHING:
            cursor["plan"] = UNPLANNED
            functions[place]["contends"] = 0
            starts_ns[place] = NEVER_NS
            cursor["start_ns"] = -1
            return 0
    if _far(rules, state, node, now):
        return NEAR
    if _undrawn(tables, state, node):
        return BACKOFFS
    if plan == SEVERAL:
        request = _unready(rules, tables, state, node, now)
    else:
        request = _unprepared(rules, state, service, now)
        if not request and _ungained(rules, tables, state, service, now):
            request = GAIN
    if request:
        return request
    cursor["plan"] = UNPLANNED
    # Access functions of the node whose backoffs end now as well.
    rivals = 0
    starts_ns[place] = NEVER_NS
    for rank in range(per_node):
        if starts_ns[node * per_node + rank] == now:
            rivals |= 1 << rank
    _freeze(rules, tables, state, node, now)
    cursor["start_ns"] = -1
    functions[place]["slots"] = 0
    if plan == SEVERAL:
        _begin_exchange(rules, tables, state, node, now)
    else:
        _begin(state, service, now)
        number = _first_frame(rules, tables, state, service, now)
        frame = state.frames[number]
        state.nodes[node]["sending"] = number
        if frame["announced"] >= 0:
            of = state.services[service]
            of["on_air_ns"] = now
            of["packets_on_air"] = 0
            for attempt in range(of["attempts"], of["attempts"] + of["count"]):
                if state.attempts[attempt]["alive"]:
                    state.attempts[attempt]["sent_ns"] += frame["end_ns"] - now
                    state.attempts[attempt]["heard_ns"] += frame["end_ns"] - now
        else:
            _record_sent(rules, tables, state, number, frame["end_ns"] - now)
        _send(rules, state, number)
    for rank in range(per_node):
        if rivals >> rank & 1:
            rival = node * per_node + rank
            other, failures = functions[rival]["head"], 0
            if not _wanted(rules, functions[rival]):
                functions[rival]["contends"] = 0
                continue
            if other >= 0:
                of = state.services[other]
                if not of["multicast"]:
                    of["failures"] = (of["failures"] + 1) % rules.retry_limit
                failures = of["failures"]
            _draw(tables, state, rival, failures)
    return 0


@uncounted_inlined
def _send_announced(rules: CsmaRules, tables: CsmaTables, state: CsmaState, number: int) -> int:
    """Send a frame that follows the last one of an exchange, unless its attempts have ended."""
    frame, cursor = state.frames[number], state.cursor[0]
    node, service, now = frame["source"], frame["service"], frame["start_ns"]
    if not state.services[service]["alive"]:
        if _undrawn(tables, state, node):
            return BACKOFFS
        _pop_event(state)
        _finish_packet(rules, tables, state, number, now)
        return 0
    if _far(rules, state, node, now):
        return NEAR
    if _ungained(rules, tables, state, service, now):
        return GAIN
    _pop_event(state)
    cursor["start_ns"] = -1
    _record_sent(rules, tables, state, number, frame["end_ns"] - frame["start_ns"])
    _send(rules, state, number)
    return 0


@uncounted_inlined
def _send_answer(rules: CsmaRules, tables: CsmaTables, state: CsmaState, number: int) -> int:
    """Send the acknowledgement of a frame, or the clear to send that answers a request."""
    frame = state.frames[number]
    node = state.events[0]["key"] % _NODE
    if _far(rules, state, node, frame["end_ns"] + rules.sifs_ns):
        return NEAR
    _pop_event(state)
    other = _new_frame(state)
    answer = state.frames[other]
    answer["source"] = node
    answer["target"] = frame["source"]
    answer["start_ns"] = frame["end_ns"] + rules.sifs_ns
    answer["end_ns"] = frame["answer_ns"]
    answer["scheme"] = tables.scheme[frame["scheme"]]["control"]
    answer["bits"] = frame["answer_bits"]
    answer["level"] = frame["answer_level"]
    if frame["announced"] >= 0:
        answer["nav_ns"] = state.frames[frame["announced"]]["nav_ns"]
    _send(rules, state, other)
    return 0


@uncounted_inlined
def _record_sent(
    rules: CsmaRules, tables: CsmaTables, state: CsmaState, number: int, on_air_ns: int
) -> None:
    """Record that packets go on the air for a time [ns], with their SNR and Shannon bound."""
    frame = state.frames[number]
    of = state.services[frame["service"]]
    now = frame["start_ns"]
    duration_s = (frame["end_ns"] - now) / 1_000_000_000
    packets, repeated = frame["packets"], 0
    if of["on_air_ns"] < 0:
        of["on_air_ns"] = now
    of["packets_on_air"] = packets
    if frame["aligned_bits"]:
        board = state.boards[of["board"]]
        for place in range(packets):
            repeated += board[place]["tries"] > 0
            board[place]["tries"] += 1
    else:
        repeated += of["tries"] > 0
        of["tries"] += 1
    for attempt in range(of["attempts"], of["attempts"] + of["count"]):
        record = state.attempts[attempt]
        if record["alive"]:
            record["sent"] += packets
            record["repeated"] += repeated
            record["sent_ns"] += int(np.rint(on_air_ns * frame["power"]))
            record["heard_ns"] += on_air_ns
            gain = _gain(rules, tables, state, frame["source"], record["target"], now)
            power_w = tables.tx_w[frame["source"]] * gain * frame["power"]
            snr = power_w / (tables.noise_w[record["target"]] * frame["band"])
            record["snr_sum"] += snr * packets
            bound = math.log2(1.0 + snr) * (rules.bandwidth_hz * duration_s)
            record["capacity_bits"] += bound * frame["band"]


@uncounted_inlined
def _send(rules: CsmaRules, state: CsmaState, number: int) -> None:
    """Put a frame on the air."""
    frame, cursor = state.frames[number], state.cursor[0]
    source = frame["source"]
    node = state.nodes[source]
    frame["number"] = node["number"]
    frame["near_first"] = node["near_first"]
    frame["near_count"] = node["near_count"]
    node["number"] += frame["packets"]
    node["locked"] = -1
    node["busy_ns"] = frame["end_ns"]
    node["tx_end_ns"] = frame["end_ns"]
    place = cursor["air"]
    while place and _later(state.frames, state.room[place - 1]["air"], number):
        state.room[place]["air"] = state.room[place - 1]["air"]
        place -= 1
    state.room[place]["air"] = number
    cursor["air"] += 1
    _push_event(state, frame["start_ns"] + rules.sense_ns, _SENSE * _NODE + source, number)
    _push_event(state, frame["end_ns"], _END * _NODE + source, number)


@uncounted_inlined
def _later(frames: Table, one: int, other: int) -> bool:
    """Return whether a frame comes after another one in the order of sums."""
    if frames[one]["start_ns"] != frames[other]["start_ns"]:
        return bool(frames[one]["start_ns"] > frames[other]["start_ns"])
    return bool(frames[one]["source"] > frames[other]["source"])


# Reception.


@uncounted_inlined
def _power_w(tables: CsmaTables, frame: Any, nodes: int, node: int) -> float:
    """Return the mean power of a frame at a node; -1.0 if the node is not in range [W]."""
    first, count, near = frame["near_first"], frame["near_count"], tables.near
    source = frame["source"]
    power_w: float
    if count == nodes - 1:  # all are in range
        power_w = tables.near[first + node - (node > source)]["power_w"] if node != source else -1.0
        return power_w
    low, high = first, first + count
    while low < high:
        middle = (low + high) // 2
        if near[middle]["node"] < node:
            low = middle + 1
        else:
            high = middle
    power_w = (
        tables.near[low]["power_w"] if low < first + count and near[low]["node"] == node else -1.0
    )
    return power_w


@uncounted_inlined
def _sense(rules: CsmaRules, tables: CsmaTables, state: CsmaState, number: int) -> None:
    """Let all nodes in range sense a frame: lock on to it, or find the medium busy."""
    nodes, frames = state.nodes, state.frames
    frame = frames[number]
    start, end = frame["start_ns"], frame["end_ns"]
    now, grouped = start + rules.sense_ns, frame["role"] == _REPLY
    for row in range(frame["near_first"], frame["near_first"] + frame["near_count"]):
        node, power_w = tables.near[row]["node"], tables.near[row]["power_w"]
        record = nodes[node]
        if record["tx_end_ns"] > start:
            continue
        held = record["locked"]
        if held >= 0 and (
            grouped
            or math.isinf(rules.capture)
            or start - frames[held]["start_ns"] > rules.capture_ns
        ):
            continue
        if grouped:
            power_w = _group_power_w(tables, state, node, number)
        locks = power_w >= rules.detection_w and _is_above(
            rules, tables, state, node, number, power_w
        )
        if held >= 0:
            if locks:
                held_w = _power_w(tables, frames[held], nodes.size, node)
                if power_w >= rules.capture * held_w:
                    record["locked"] = number
                    record["busy_ns"] = max(record["busy_ns"], end)
            continue
        until = end
        if not locks:
            # Frames that are sensed at one instant have the same effect, once.
            if record["sensed_ns"] == now:
                continue
            record["sensed_ns"] = now
            until = _energy_until_ns(rules, tables, state, node, now)
        if until > now:
            _freeze(rules, tables, state, node, now)
            record["busy_ns"] = max(record["busy_ns"], until)
            if locks:
                record["locked"] = number
            else:
                _schedule(rules, tables, state, node)


@uncounted_inlined
def _is_above(
    rules: CsmaRules, tables: CsmaTables, state: CsmaState, node: int, number: int, power_w: float
) -> bool:
    """Return whether a preamble is strong enough beside noise and other frames on the air."""
    other_w, noise_w = 0.0, tables.noise_w[node]
    for place in range(state.cursor[0]["air"]):
        other = state.room[place]["air"]
        if other != number and not _together(state.frames, number, other):
            added_w = _power_w(tables, state.frames[other], state.nodes.size, node)
            if added_w >= 0.0:
                other_w += added_w
                # Sums of powers, however rounded, do not fall.
                if power_w < rules.detection * (noise_w + other_w):
                    return False
    return bool(power_w >= rules.detection * (noise_w + other_w))


@uncounted_inlined
def _together(frames: Table, one: int, other: int) -> bool:
    """Return whether two frames are triggered by the same frame."""
    return bool(
        frames[one]["role"] == _REPLY
        and frames[other]["role"] == _REPLY
        and frames[one]["exchange"] == frames[other]["exchange"]
    )


@uncounted_part
def _group_power_w(tables: CsmaTables, state: CsmaState, node: int, number: int) -> float:
    """Return the power of a triggered frame on the air, and of those with it, at a node [W]."""
    total_w = 0.0
    for place in range(state.cursor[0]["air"]):
        other = state.room[place]["air"]
        if _together(state.frames, number, other):
            power_w = _power_w(tables, state.frames[other], state.nodes.size, node)
            if power_w >= 0.0:
                total_w += power_w
    return total_w


@uncounted_part
def _energy_until_ns(
    rules: CsmaRules, tables: CsmaTables, state: CsmaState, node: int, now: int
) -> int:
    """Return until when frames on the air exceed a node's energy detection threshold [ns]."""
    frames, air = state.frames, state.cursor[0]["air"]
    until = now
    # Frames that are strong enough alone, and then those that are so together with later ones.
    for place in range(air):
        frame = frames[state.room[place]["air"]]
        if frame["end_ns"] > until:
            power_w = _power_w(tables, frame, state.nodes.size, node)
            if power_w >= rules.energy_w:
                until = frame["end_ns"]
    for place in range(air):
        end = frames[state.room[place]["air"]]["end_ns"]
        if end <= until:
            continue
        power_w = 0.0
        for other in range(air):
            frame = frames[state.room[other]["air"]]
            if frame["end_ns"] >= end:
                added_w = _power_w(tables, frame, state.nodes.size, node)
                if added_w >= 0.0:
                    power_w += added_w
        if power_w >= rules.energy_w:
            until = end
    return until


@uncounted_inlined
def _find_overlapping(state: CsmaState, number: int) -> int:
    """Find the frames that overlap one on the air, by beginning and source; return how many."""
    frames, cursor, room = state.frames, state.cursor[0], state.room
    start, count = frames[number]["start_ns"], 0
    for place in range(cursor["air"] + cursor["past"]):
        if place < cursor["air"]:
            other = state.room[place]["air"]
        else:
            other = state.room[place - cursor["air"]]["past"]
        if other == number or frames[other]["end_ns"] <= start:
            continue
        at = count
        while at and _later(frames, room[at - 1]["other"], other):
            room[at]["other"] = room[at - 1]["other"]
            at -= 1
        room[at]["other"] = other
        count += 1
    return count


@uncounted_part
def _worst_w(
    tables: CsmaTables, state: CsmaState, node: int, others: int, begin_ns: int, end_ns: int
) -> float:
    """Return the largest interference of overlapping frames at a node in a span of time [W].

    It rises at the beginning of the span or of one of them.
    """
    worst_w, at_ns = 0.0, begin_ns
    for place in range(-1, others):
        if place >= 0:
            # In the order of their beginnings, some of which are equal.
            next_ns = state.frames[state.room[place]["other"]]["start_ns"]
            if next_ns <= at_ns or next_ns >= end_ns:
                continue
            at_ns = next_ns
        count = 0
        for other in range(others):
            frame = state.frames[state.room[other]["other"]]
            if frame["start_ns"] <= at_ns < frame["end_ns"]:
                power_w = _power_w(tables, frame, state.nodes.size, node)
                if power_w >= 0.0:
                    state.room[count]["term"] = power_w
                    count += 1
        worst_w = max(worst_w, _exact_sum(state.room["term"], count, state.parts["partial"]))
    return worst_w


@uncounted_part
def _change_ns(state: CsmaState, others: int, now: int) -> int:
    """Return when the first of overlapping frames begins or ends after an instant [ns]."""
    change_ns = NEVER_NS
    for place in range(others):
        frame = state.frames[state.room[place]["other"]]
        if frame["start_ns"] > now:
            change_ns = min(change_ns, frame["start_ns"])
        if frame["end_ns"] > now:
            change_ns = min(change_ns, frame["end_ns"])
    return change_ns


@uncounted_part
def _decodes(tables: CsmaTables, state: CsmaState, node: int, number: int, others: int) -> bool:
    """Return whether a node that is locked on to a frame but not addressed can decode it."""
    frame = state.frames[number]
    power_w, noise_w = _power_w(tables, frame, state.nodes.size, node), tables.noise_w[node]
    code = tables.scheme[frame["scheme"]]["code"]
    last = tables.level[frame["level"], code, 1]
    if not frame["aligned_bits"]:
        worst_w = 0.0
        if others:
            worst_w = _worst_w(tables, state, node, others, frame["start_ns"], frame["end_ns"])
        return bool(power_w >= last * (noise_w + worst_w))
    first = tables.level[_WHOLE_FIRST, code, 1]
    if not others:
        needed = last if frame["packets"] == 1 else min(first, last)
        return bool(power_w >= needed * noise_w)
    packets, until_ns = frame["packets"], 0
    for packet in range(packets):
        begin_ns, end_ns = _span_ns(tables, state, number, packet)
        # Interference as during an earlier packet that cannot be decoded.
        if end_ns <= until_ns and packet < packets - 1:
            continue
        until_ns = _change_ns(state, others, begin_ns)
        worst_w = _worst_w(tables, state, node, others, begin_ns, end_ns)
        needed = last if packet == packets - 1 else first
        if power_w >= needed * (noise_w + worst_w):
            return True
    return False


@uncounted_part
def _span_ns(tables: CsmaTables, state: CsmaState, number: int, packet: int) -> tuple[int, int]:
    """Return beginning and end of a packet of an aggregate [ns]."""
    frame = state.frames[number]
    first_ns = frame["start_ns"] + tables.scheme[frame["scheme"]]["preamble_ns"]
    length_ns, bits = frame["end_ns"] - first_ns, frame["bits"]
    aligned = frame["aligned_bits"]
    begin_ns = first_ns + length_ns * (packet * aligned) // bits
    end = bits if packet == frame["packets"] - 1 else (packet + 1) * aligned
    return begin_ns, first_ns + length_ns * end // bits


@uncounted_inlined
def _receive(
    rules: CsmaRules,
    tables: CsmaTables,
    state: CsmaState,
    node: int,
    number: int,
    others: int,
    row: int,
) -> int:
    """Return whether an addressed node receives a frame; -1 if a gain is missing, -2 for draws.

    Of an aggregate it may receive some of the packets, which are recorded in a row.
    """
    frame, room = state.frames[number], state.room
    scheme, source = tables.scheme[frame["scheme"]], frame["source"]
    begin_ns, end_ns = frame["start_ns"] + scheme["preamble_ns"], frame["end_ns"]
    noise_w = tables.noise_w[node] * frame["band"]
    gain = _gain(rules, tables, state, source, node, frame["start_ns"])
    if math.isnan(gain):
        return -1
    signal_w = tables.tx_w[source] * gain * frame["power"]
    count = 0
    for place in range(others):
        other = state.frames[state.room[place]["other"]]
        if other["end_ns"] <= begin_ns or other["start_ns"] >= end_ns:
            continue
        covered = _covered_share(frame, other)
        if covered == 0.0:
            continue
        if _power_w(tables, other, state.nodes.size, node) < 0.0:
            continue
        gain = _gain(rules, tables, state, other["source"], node, other["start_ns"])
        if math.isnan(gain):
            return -1
        room[count]["begin_ns"] = max(other["start_ns"], begin_ns)
        room[count]["end_ns"] = min(other["end_ns"], end_ns)
        room[count]["power_w"] = tables.tx_w[other["source"]] * gain * covered
        count += 1
    hazard = tables.hazard[scheme["code"]]
    last = tables.level[frame["level"], scheme["code"], 0]
    if not frame["aligned_bits"]:
        error = _error(
            rules, state, scheme, hazard, last, frame["bits"], begin_ns, end_ns, signal_w, noise_w,
            count,
        )  # fmt: skip
        if error == 0.0:
            return 1
        draw = _drawn(tables, state, source, node, frame["number"], 1)
        if draw < 0:
            return -2
        return int(tables.draws[draw, frame["number"] - tables.draw_first[draw]] >= error)
    first = tables.level[_WHOLE_FIRST, scheme["code"], 0]
    packets, aligned = frame["packets"], frame["aligned_bits"]
    draw, arrived, error, before_w = -1, 0, 0.0, -1.0
    for packet in range(packets):
        bits, level, interference_w = aligned, first, 0.0
        if packet == packets - 1:
            bits, level, before_w = frame["bits"] - packet * aligned, last, -1.0
        if count:
            begin_ns, end_ns = _span_ns(tables, state, number, packet)
            interference_w = _steady_w(state, count, begin_ns, end_ns)
        # Most packets are exposed to the interference of the one before.
        if interference_w < 0.0 or interference_w != before_w:
            error = _error(
                rules, state, scheme, hazard, level, bits, begin_ns, end_ns, signal_w, noise_w,
                count,
            )  # fmt: skip
            before_w = interference_w
        received = error == 0.0
        if not received:
            if draw < 0:
                draw = _drawn(tables, state, source, node, frame["number"], packets)
                if draw < 0:
                    return -2
            place = frame["number"] + packet - tables.draw_first[draw]
            received = tables.draws[draw, place] >= error
        state.arrived[row, packet] = received
        arrived += received
    frame["arrived"] = arrived
    return int(arrived > 0)


@uncounted_inlined
def _covered_share(frame: Any, other: Any) -> float:
    """Return the share of another frame's power that falls into the band of a frame."""
    if not frame["tones"]:
        return 1.0
    if not other["tones"]:
        band: float = frame["band"]
        return band
    end, other_end = frame["first"] + frame["places"], other["first"] + other["places"]
    if frame["first"] <= other["first"] and other_end <= end:
        return 1.0
    if other["first"] <= frame["first"] and end <= other_end:
        share: float = frame["tones"] / other["tones"]
        return share
    return 0.0


@uncounted_inlined
def _drawn(
    tables: CsmaTables, state: CsmaState, source: int, node: int, number: int, count: int
) -> int:
    """Return the row of a link's reception draws; -1 if those of some frames are not known."""
    place = find(tables.links, source * state.nodes.size + node)
    if tables.links[place]["key"] >= 0:
        row: int = tables.links[place]["row"]
        first = tables.draw_first[row]
        if first <= number and number + count <= first + tables.draws.shape[1]:
            return row
    return -1


@uncounted_part
def _error(
    rules: CsmaRules,
    state: CsmaState,
    scheme: Any,
    hazard: Floats,
    level: float,
    bits: int,
    begin_ns: int,
    end_ns: int,
    signal_w: float,
    noise_w: float,
    count: int,
) -> float:
    """Return the error probability of some bits sent in a span of time.

    Parameters
    ----------
    rules, state, scheme, hazard : parameters, state, scheme, and loss rates of the scheme
    level : SNR from which the bits are never lost
    bits : how many
    begin_ns, end_ns : the span [ns]
    signal_w, noise_w : powers [W]
    count : how many other frames there are, see `CsmaState.spans`
    """
    room, parts = state.room, state.parts
    parts[0]["edge"] = begin_ns
    parts[1]["edge"] = end_ns
    during = 0
    for place in range(count):
        if room[place]["begin_ns"] < end_ns and room[place]["end_ns"] > begin_ns:
            parts[2 * during + 2]["edge"] = max(room[place]["begin_ns"], float(begin_ns))
            parts[2 * during + 3]["edge"] = min(room[place]["end_ns"], float(end_ns))
            during += 1
    if not during:
        return _lone_error(rules, hazard, level, bits, signal_w / noise_w)
    _sort(parts["edge"], 2 * during + 2)
    count_parts, least, most = 0, math.inf, 0.0
    for edge in range(2 * during + 1):
        first, last = parts[edge]["edge"], parts[edge + 1]["edge"]
        if first == last:
            continue
        other_w = 0.0
        for place in range(count):
            if room[place]["begin_ns"] <= first < room[place]["end_ns"]:
                other_w += room[place]["power_w"]
        sinr = signal_w / (noise_w + other_w)
        least, most = min(least, sinr), max(most, sinr)
        parts[count_parts]["sinr"] = sinr
        parts[count_parts]["share"] = (last - first) / (end_ns - begin_ns) * bits
        count_parts += 1
    if least >= level:
        return 0.0
    if most <= scheme["hopeless"]:
        return 1.0
    for place in range(count_parts):
        part = parts[place]
        part["share"] = _hazard(rules, hazard, part["sinr"]) * part["share"]
    return -math.expm1(-_exact_sum(parts["share"], count_parts, parts["partial"]))


@uncounted_part
def _steady_w(state: CsmaState, count: int, begin_ns: int, end_ns: int) -> float:
    """Return the interference in a span of time [W]; -1.0 if it changes, 0.0 if there is none."""
    room, other_w = state.room, 0.0
    for place in range(count):
        if room[place]["begin_ns"] < end_ns and room[place]["end_ns"] > begin_ns:
            if room[place]["begin_ns"] > begin_ns or room[place]["end_ns"] < end_ns:
                return -1.0
            other_w += room[place]["power_w"]
    return other_w


@uncounted_part
def _sort(values: Floats, count: int) -> None:
    """Sort the first values, of which there are few."""
    for place in range(1, count):
        value, at = values[place], place
        while at and values[at - 1] > value:
            values[at] = values[at - 1]
            at -= 1
        values[at] = value


@uncounted_part
def _lone_error(rules: CsmaRules, hazard: Floats, level: float, bits: int, snr: float) -> float:
    """Return the error probability of some bits without interference."""
    if snr >= level:
        return 0.0
    lost = -math.expm1(-bits * _hazard(rules, hazard, snr))
    return lost if lost >= rules.rarest else 0.0


@uncounted_part
def _hazard(rules: CsmaRules, hazard: Floats, snr: float) -> float:
    """Return the loss rate per bit, see `wnsim.phy.wifi_formats.Scheme.hazard`."""
    place = -1.0
    if snr > 0.0:
        place = (10.0 * math.log10(snr) - rules.hazard_db) / rules.hazard_step_db
    place = max(place, 0.0)
    whole = int(place)
    if whole >= hazard.size - 1:
        return 0.0
    low, high = hazard[whole], hazard[whole + 1]
    return math.exp(low + (place - whole) * (high - low))


@uncounted_part
def _exact_sum(terms: Floats, count: int, partials: Floats) -> float:
    """Return the correctly rounded sum of positive terms, as `math.fsum` does.

    Partial sums that do not overlap are kept in `partials` (Shewchuk).
    """
    if count == 0:
        return 0.0
    if count == 1:
        return float(terms[0])
    if count == 2:
        return float(terms[0] + terms[1])
    used = 0
    for place in range(count):
        value, kept = terms[place], 0
        for partial in range(used):
            other = partials[partial]
            if abs(value) < abs(other):
                value, other = other, value
            high = value + other
            low = other - (high - value)
            if low != 0.0:
                partials[kept] = low
                kept += 1
            value = high
        partials[kept] = value
        used = kept + 1
    total, low, place = partials[used - 1], 0.0, used - 1
    while place > 0:
        value = total
        place -= 1
        other = partials[place]
        total = value + other
        low = other - (total - value)
        if low != 0.0:
            break
    # Round half to even over all partials.
    if place > 0 and (
        (low < 0.0 and partials[place - 1] < 0.0) or (low > 0.0 and partials[place - 1] > 0.0)
    ):
        twice = 2.0 * low
        rounded = total + twice
        if twice == rounded - total:
            total = rounded
    return float(total)


@uncounted_inlined
def _target_of(state: CsmaState, number: int, node: int) -> int:
    """Return whether a frame is addressed to a node: an attempt of it, or -1; -2: not addressed."""
    frame = state.frames[number]
    service = frame["service"]
    if service < 0 or not state.services[service]["multicast"]:
        return -1 if frame["target"] == node else -2
    of = state.services[service]
    for attempt in range(of["attempts"], of["attempts"] + of["count"]):
        record = state.attempts[attempt]
        if record["target"] == node and (record["alive"] or record["left"] >= frame["built"]):
            return attempt
    return -2


@uncounted_inlined
def _end(rules: CsmaRules, tables: CsmaTables, state: CsmaState, number: int) -> int:
    """Handle the end of a frame at its source and at all nodes that are locked on to it."""
    nodes, frames, cursor = state.nodes, state.frames, state.cursor[0]
    frame = frames[number]
    now, source, service = frame["end_ns"], frame["source"], frame["service"]
    others = _find_overlapping(state, number)
    # Receptions first, as something may be missing for them.
    received = False
    for row in range(frame["near_first"], frame["near_first"] + frame["near_count"]):
        node = tables.near[row]["node"]
        if nodes[node]["locked"] != number:
            continue
        attempt = _target_of(state, number, node)
        if attempt == -2:
            continue
        outcome = _receive(rules, tables, state, node, number, others, 0)
        if outcome == -1:
            return GAIN
        if outcome == -2:
            cursor["source"] = source
            cursor["target"] = node
            cursor["number"] = frame["number"]
            return DRAWS
        if outcome and service >= 0 and nodes[node]["tx_end_ns"] > frame["start_ns"]:
            cursor["source"] = node
            return VIOLATION
        received = outcome > 0
        if attempt >= 0:
            state.attempts[attempt]["got"] = received
    _pop_event(state)
    _leave_air(state, number)
    alone = cursor["air"] == 0
    if not alone:
        until = _energy_until_ns(rules, tables, state, source, now)
        nodes[source]["busy_ns"] = max(nodes[source]["busy_ns"], until)
    if frame["answer_ns"]:
        _push_event(state, now + rules.timeout_ns, _TIMEOUT * _NODE + source, number)
    elif service < 0:
        _schedule(rules, tables, state, source)
    for row in range(frame["near_first"], frame["near_first"] + frame["near_count"]):
        node = tables.near[row]["node"]
        record = nodes[node]
        if record["locked"] != number:
            continue
        record["locked"] = -1
        if not alone:
            until = _energy_until_ns(rules, tables, state, node, now)
            record["busy_ns"] = max(record["busy_ns"], until)
        attempt = _target_of(state, number, node)
        if attempt == -2:
            _overhear(rules, record, frame, _decodes(tables, state, node, number, others), now)
        else:
            arrived = received
            if attempt >= 0:
                arrived = state.attempts[attempt]["got"] > 0
            record["eifs_ns"] = 0 if arrived else now + rules.eifs_ns
            pending = record["sending"]
            if service < 0:
                if pending >= 0 and frames[pending]["target"] == source:
                    _add_result(state, pending, arrived)
                    continue
            elif arrived and _answers(rules, state, number, node, now):
                record["busy_ns"] = max(record["busy_ns"], frame["answer_ns"])
                _push_event(state, now + rules.sifs_ns, _ANSWER * _NODE + node, number)
                continue
        _schedule(rules, tables, state, node)
    if service >= 0 and not frame["answer_ns"]:
        of = state.services[service]
        for attempt in range(of["attempts"], of["attempts"] + of["count"]):
            to = state.attempts[attempt]
            if not to["alive"]:
                continue
            if to["got"]:
                to["air_ns"] += now - of["on_air_ns"]
                _credit(rules, state, attempt, frame["payload_bits"], now)
            else:
                to["failed"] += of["packets_on_air"]
                to["failed_ns"] += now - of["on_air_ns"]
        _next_packet(of)
        cursor["finishing"] = number
    return 0


@uncounted_inlined
def _answers(rules: CsmaRules, state: CsmaState, number: int, node: int, now: int) -> bool:
    """Record that an addressed node has received a frame; return whether it answers."""
    frame = state.frames[number]
    of = state.services[frame["service"]]
    if frame["announced"] >= 0:
        if state.nodes[node]["nav_ns"] > now:
            return False
    elif not frame["answer_ns"]:
        return False
    else:
        of["reached"] = 1
        if frame["aligned_bits"] and of["alive"]:
            for place in range(frame["packets"]):
                if state.arrived[0, place]:
                    state.boards[of["board"], place]["reached"] = 1
    ack_ns = frame["answer_ns"] - frame["end_ns"] - rules.sifs_ns
    for attempt in range(of["attempts"], of["attempts"] + of["count"]):
        if state.attempts[attempt]["alive"]:
            state.attempts[attempt]["ack_ns"] += ack_ns
    return True


@uncounted_inlined
def _leave_air(state: CsmaState, number: int) -> None:
    """Take a frame off the air; keep it as long as it has interfered with another one."""
    frames, cursor = state.frames, state.cursor[0]
    place = 0
    while state.room[place]["air"] != number:
        place += 1
    cursor["air"] -= 1
    for after in range(place, cursor["air"]):
        state.room[after]["air"] = state.room[after + 1]["air"]
    if not cursor["air"]:
        cursor["past"] = 0
        return
    state.room[cursor["past"]]["past"] = number
    # The first one on the air began first.
    begin_ns, kept = frames[state.room[0]["air"]]["start_ns"], 0
    for place in range(cursor["past"] + 1):
        if frames[state.room[place]["past"]]["end_ns"] > begin_ns:
            state.room[kept]["past"] = state.room[place]["past"]
            kept += 1
    cursor["past"] = kept


# Results of exchanges.


@uncounted_inlined
def _add_result(state: CsmaState, number: int, answered: bool) -> None:
    """Note that it is known whether a frame was answered."""
    cursor = state.cursor[0]
    state.room[cursor["results"]]["result"] = number
    state.frames[number]["answered"] = answered
    cursor["results"] += 1


@uncounted_inlined
def _next_result(cursor: Any) -> None:
    """Go on to the next result."""
    cursor["learned"] = 0
    cursor["handled"] += 1
    if cursor["handled"] == cursor["results"]:
        cursor["handled"] = 0
        cursor["results"] = 0


@uncounted_inlined
def _handle_timeout(rules: CsmaRules, tables: CsmaTables, state: CsmaState, number: int) -> int:
    """Handle the expiry of a timeout, unless the node receives what it waits for."""
    frame, now = state.frames[number], state.cursor[0]["now_ns"]
    source = frame["source"]
    held = state.nodes[source]["locked"]
    if frame["role"] == _TRIGGER:
        if _undrawn(tables, state, source):
            return BACKOFFS
        _pop_event(state)
        current = state.points[state.nodes[source]["point"]]["exchange"] == frame["exchange"]
        expected = held >= 0 and (
            state.frames[held]["role"] == _REPLY
            and state.frames[held]["exchange"] == frame["exchange"]
        )
        if current and not expected:
            _finish_several(rules, tables, state, source, now)
        return 0
    _pop_event(state)
    if held < 0 or not _answers_it(state, held, frame):
        _add_result(state, number, False)
    return 0


@uncounted_inlined
def _answers_it(state: CsmaState, held: int, frame: Any) -> bool:
    """Return whether a frame on the air is the answer to another one."""
    answer = state.frames[held]
    if answer["service"] >= 0 or answer["exchange"] != frame["exchange"]:
        return False
    if answer["role"] == _ANSWER_TO_ALL:
        point = state.nodes[answer["source"]]["point"]
        user = _user_of(state, point, frame["source"])
        return bool(user >= 0 and state.users[point, user]["heard"])
    return bool(answer["target"] == frame["source"])


@uncounted_inlined
def _handle_result(rules: CsmaRules, tables: CsmaTables, state: CsmaState) -> int:
    """Record whether a frame was answered; after a clear to send, schedule the packet."""
    cursor = state.cursor[0]
    number, now = state.room[cursor["handled"]]["result"], cursor["now_ns"]
    frame = state.frames[number]
    node = frame["source"]
    cursor["number"] = number
    if state.nodes[node]["sending"] != number or frame["service"] < 0:
        _next_result(cursor)
        return 0
    if rules.rated and frame["announced"] < 0 and frame["role"] == _ALONE and not cursor["learned"]:
        return LEARN
    if frame["role"] == _REPLY:
        if _undrawn(tables, state, node) or _undrawn(tables, state, frame["target"]):
            return BACKOFFS
        _next_result(cursor)
        _finish_reply(rules, tables, state, number, now)
    elif frame["answered"]:
        _next_result(cursor)
        if frame["announced"] >= 0:
            _announce(state, frame["announced"])
        else:
            _on_ack(rules, state, number, now)
            cursor["finishing"] = number
    elif _undrawn(tables, state, node):
        return BACKOFFS
    else:
        _next_result(cursor)
        _on_failure(rules, state, number, now)
        _finish_packet(rules, tables, state, number, now)
    return 0


@uncounted_inlined
def _announce(state: CsmaState, number: int) -> None:
    """Schedule a frame that follows the last one of an exchange."""
    frame = state.frames[number]
    state.nodes[frame["source"]]["sending"] = number
    _push_event(state, frame["start_ns"], _ANNOUNCED * _NODE + frame["source"], number)


@uncounted_inlined
def _finish_exchange(rules: CsmaRules, tables: CsmaTables, state: CsmaState) -> int:
    """Go on with the transmission opportunity after an exchange, or end it."""
    cursor = state.cursor[0]
    number, now = cursor["finishing"], cursor["now_ns"]
    last = state.frames[number]
    _end_complete(state, last["service"], now)
    if _undrawn(tables, state, last["source"]):
        return BACKOFFS
    point = -1
    if not state.services[last["service"]]["multicast"]:
        point = state.nodes[last["target"]]["point"]
        if point >= 0 and _undrawn(tables, state, last["target"]):
            return BACKOFFS
    place = state.services[last["service"]]["function"]
    service = state.functions[place]["head"]
    if service >= 0 and last["txop_end_ns"]:
        request = _unprepared(rules, state, service, now)
        if request:
            return request
        of = state.services[service]
        scheme = tables.scheme[of["scheme"]]
        needed_ns = _duration_ns(scheme, _shortest_bits(rules, state, service))
        if not of["multicast"]:
            aggregates = rules.most_packets > 0
            answer_bits = rules.block_ack_bits if aggregates else rules.ack_bits
            control = tables.scheme[scheme["control"]]
            needed_ns += rules.sifs_ns + _duration_ns(control, answer_bits)
        if now + rules.sifs_ns + needed_ns <= last["txop_end_ns"]:
            _begin(state, service, now)
            end_ns = last["txop_end_ns"] - rules.sifs_ns
            following = _build(rules, tables, state, service, now, end_ns)
            state.frames[following]["txop_end_ns"] = last["txop_end_ns"]
            _delay(state.frames[following], rules.sifs_ns)
            _announce(state, following)
            cursor["finishing"] = -1
            if point >= 0:
                _report(rules, tables, state, last["source"], last["target"], now)
            return 0
        if rules.rated and not of["multicast"]:
            of["scheme_interval"] = -1
    cursor["finishing"] = -1
    _finish_packet(rules, tables, state, number, now)
    if point >= 0:
        _report(rules, tables, state, last["source"], last["target"], now)
    return 0


@uncounted_inlined
def _shortest_bits(rules: CsmaRules, state: CsmaState, service: int) -> int:
    """Return the length of the shortest frame of a service that may be sent next [bit]."""
    of = state.services[service]
    if rules.most_packets > 0 and not of["multicast"]:
        first = of["cut"]
        if of["pending"]:
            first = state.boards[of["board"], 0]["place"]
        payload = of["last_bits"] if first == of["packets"] - 1 else rules.packet_bits
        return _whole_bytes(payload) + rules.header_bits + rules.delimiter_bits
    most = 0
    for attempt in range(of["attempts"], of["attempts"] + of["count"]):
        if state.attempts[attempt]["alive"]:
            most = max(most, _remaining(state.attempts[attempt]))
    return _whole_bytes(min(rules.packet_bits, most)) + rules.header_bits


@uncounted_inlined
def _finish_packet(
    rules: CsmaRules, tables: CsmaTables, state: CsmaState, number: int, now: int
) -> None:
    """Draw a new backoff after a frame and contend for the next packet, if there is one."""
    node, service = state.frames[number]["source"], state.frames[number]["service"]
    record = state.nodes[node]
    record["sending"] = -1
    record["busy_ns"] = max(record["busy_ns"], now)
    _end_complete(state, service, now)
    of = state.services[service]
    place = of["function"]
    _draw(tables, state, place, of["failures"])
    _contend(rules, state, place, now)
    if record["locked"] < 0:
        _schedule(rules, tables, state, node)


@uncounted_inlined
def _contend(rules: CsmaRules, state: CsmaState, place: int, now: int) -> None:
    """Let an access function contend, if it has something to send."""
    function = state.functions[place]
    function["contends"] = _wanted(rules, function)
    function["asked_ns"] = now
    if function["head"] >= 0:
        _begin(state, function["head"], now)


# Exchanges of an access point with several stations; see `wnsim.air.csma.multi_user_station`.


@uncounted_part
def _user_of(state: CsmaState, point: int, node: int) -> int:
    """Return the place of a node in the exchange of an access point; -1: it takes no part."""
    for user in range(state.points[point]["users"]):
        if state.users[point, user]["node"] == node:
            return user
    return -1


@uncounted_part
def _first_for(state: CsmaState, place: int, target: int) -> int:
    """Return the first service for a receiver in the queue of an access function; -1: none."""
    service: int = state.functions[place]["head"]
    while service >= 0:
        of = state.services[service]
        if not of["multicast"] and of["target"] == target:
            return service
        service = of["next"]
    return -1


@uncounted_part
def _longest_bits(state: CsmaState, service: int) -> int:
    """Return how much of a message is left [bit]."""
    of, most = state.services[service], 0
    for attempt in range(of["attempts"], of["attempts"] + of["count"]):
        if state.attempts[attempt]["alive"]:
            most = max(most, _remaining(state.attempts[attempt]))
    return most


@uncounted_part
def _find_candidates(rules: CsmaRules, state: CsmaState, place: int) -> None:
    """Note the stations for which messages wait, in the order of the first message for each."""
    node = place // (state.functions.size // state.nodes.size)
    point = state.nodes[node]["point"]
    at, service = state.points[point], state.functions[place]["head"]
    at["users"] = 0
    while service >= 0 and at["users"] < rules.most_users:
        of = state.services[service]
        if not of["multicast"] and _user_of(state, point, of["target"]) < 0:
            user = state.users[point, at["users"]]
            user["node"] = of["target"]
            user["service"] = service
            user["bits"] = _longest_bits(state, service)
            user["shortest_bits"] = _shortest_bits(rules, state, service)
            at["users"] += 1
        service = of["next"]


@uncounted_part
def _unready(rules: CsmaRules, tables: CsmaTables, state: CsmaState, node: int, now: int) -> int:
    """Request what the packets for several stations need, if anything."""
    point = state.nodes[node]["point"]
    if not state.points[point]["uplink"]:
        for user in range(state.points[point]["users"]):
            of = state.users[point, user]
            request = _unserved(rules, tables, state, of["service"], of["down"], now)
            if request:
                return request
    return 0


@uncounted_part
def _unserved(
    rules: CsmaRules, tables: CsmaTables, state: CsmaState, service: int, scheme: int, now: int
) -> int:
    """Request what the packets of a service in a resource unit need, if anything."""
    cursor, of = state.cursor[0], state.services[service]
    if of["board"] < 0:
        cursor["service"] = service
        return BOARD
    if math.isnan(tables.level[of["last_level"], tables.scheme[scheme]["code"], 0]):
        cursor["number"] = of["last_level"]
        cursor["place"] = scheme
        return LEVEL
    if _ungained(rules, tables, state, service, now):
        return GAIN
    return 0


@uncounted_part
def _begin_exchange(
    rules: CsmaRules, tables: CsmaTables, state: CsmaState, node: int, now: int
) -> None:
    """Send the first frame of an exchange that is planned."""
    cursor, point = state.cursor[0], state.nodes[node]["point"]
    at = state.points[point]
    at["exchange"] = cursor["exchanges"]
    cursor["exchanges"] += 1
    at["heard"] = 0
    for user in range(at["users"]):
        state.users[point, user]["heard"] = 0
    trigger_ns = _duration_ns(tables.scheme[at["control"]], at["trigger_bits"])
    rest_ns = trigger_ns + rules.sifs_ns + at["triggered_ns"] + at["answer_ns"]
    if at["uplink"]:
        at["end_ns"] = now + rest_ns
        _send_trigger(rules, tables, state, node, now)
        return
    number, end_ns, packets = _new_frame(state), 0, 0
    for user in range(at["users"]):
        of = state.users[point, user]
        _begin(state, of["service"], now)
        limit_ns = at["longest_ns"]
        part = _part(rules, tables, state, node, of, of["service"], of["down"], limit_ns, now)
        state.frames[part]["power"] = of["share"]
        of["part"] = part
        end_ns = max(end_ns, state.frames[part]["end_ns"])
        packets = max(packets, state.frames[part]["packets"])
    at["end_ns"] = end_ns + rules.sifs_ns + rest_ns
    _wrap(rules, state, number, node, at, now, end_ns)
    state.frames[number]["role"] = _PACKETS
    state.frames[number]["packets"] = packets
    state.nodes[node]["sending"] = number
    for user in range(at["users"]):
        part = state.users[point, user]["part"]
        state.frames[part]["number"] = state.nodes[node]["number"]
        _record_sent(rules, tables, state, part, end_ns - now)
    _send(rules, state, number)


@uncounted_part
def _part(
    rules: CsmaRules,
    tables: CsmaTables,
    state: CsmaState,
    source: int,
    user: Any,
    service: int,
    scheme: int,
    longest_ns: int,
    now: int,
) -> int:
    """Return packets of a service in the resource unit of a user."""
    number = _new_frame(state)
    frame, of = state.frames[number], tables.scheme[scheme]
    limit = min(of["most_bits"], _most_bits(of, longest_ns))
    _aggregate(rules, state, service, number, limit)
    frame["source"] = source
    frame["target"] = state.services[service]["target"]
    frame["service"] = service
    frame["scheme"] = scheme
    frame["start_ns"] = now
    frame["end_ns"] = now + _duration_ns(of, frame["bits"])
    _place_in_unit(frame, user)
    return number


@uncounted_inlined
def _place_in_unit(frame: Any, user: Any) -> None:
    """Put a frame into the resource unit of a user."""
    frame["first"] = user["first"]
    frame["places"] = user["places"]
    frame["tones"] = user["tones"]
    frame["band"] = user["share"]


@uncounted_inlined
def _wrap(
    rules: CsmaRules, state: CsmaState, number: int, node: int, at: Any, now: int, end_ns: int
) -> None:
    """Fill a frame as stations sense it that it is not for."""
    frame = state.frames[number]
    frame["source"] = node
    frame["exchange"] = at["exchange"]
    frame["start_ns"] = now
    frame["end_ns"] = end_ns
    frame["scheme"] = rules.signal_scheme
    frame["level"] = rules.signal_level
    frame["nav_ns"] = at["end_ns"]


@uncounted_part
def _send_control(
    rules: CsmaRules,
    tables: CsmaTables,
    state: CsmaState,
    node: int,
    role: int,
    bits: int,
    level: int,
    now: int,
) -> int:
    """Send a control frame of an access point to several stations; return it."""
    at, number = state.points[state.nodes[node]["point"]], _new_frame(state)
    frame = state.frames[number]
    frame["source"] = node
    frame["role"] = role
    frame["exchange"] = at["exchange"]
    frame["start_ns"] = now
    frame["end_ns"] = now + _duration_ns(tables.scheme[at["control"]], bits)
    frame["scheme"] = at["control"]
    frame["bits"] = bits
    frame["level"] = level
    state.nodes[node]["sending"] = number
    _send(rules, state, number)
    return number


@uncounted_part
def _send_trigger(
    rules: CsmaRules, tables: CsmaTables, state: CsmaState, node: int, now: int
) -> None:
    """Send the trigger frame of an exchange."""
    at = state.points[state.nodes[node]["point"]]
    bits, level = at["trigger_bits"], at["trigger_level"]
    number = _send_control(rules, tables, state, node, _TRIGGER, bits, level, now)
    state.frames[number]["nav_ns"] = at["end_ns"]
    at["begin_ns"] = state.frames[number]["end_ns"] + rules.sifs_ns


@uncounted_part
def _send_next(rules: CsmaRules, tables: CsmaTables, state: CsmaState, number: int) -> int:
    """Send the trigger frame after packets, or the acknowledgement for all stations."""
    frame, now = state.frames[number], state.cursor[0]["now_ns"]
    node = frame["source"]
    at = state.points[state.nodes[node]["point"]]
    if _far(rules, state, node, now):
        return NEAR
    if frame["role"] == _PACKETS:
        _pop_event(state)
        _send_trigger(rules, tables, state, node, now)
        return 0
    bits = rules.answer_bits + rules.answered_bits * at["heard"]
    level = rules.answer_level + at["heard"]
    if math.isnan(tables.level[level, tables.scheme[at["control"]]["code"], 0]):
        state.cursor[0]["number"] = level
        state.cursor[0]["place"] = at["control"]
        return LEVEL
    _pop_event(state)
    _send_control(rules, tables, state, node, _ANSWER_TO_ALL, bits, level, now)
    return 0


@uncounted_part
def _reply(rules: CsmaRules, tables: CsmaTables, state: CsmaState, number: int) -> int:
    """Send what a trigger frame requests of a station, if there is something."""
    source, now = state.frames[number]["source"], state.cursor[0]["now_ns"]
    node, point = state.events[0]["key"] % _NODE, state.nodes[source]["point"]
    at, user = state.points[point], state.users[point, _user_of(state, point, node)]
    record = state.nodes[node]
    if record["sending"] >= 0 or record["tx_end_ns"] > now:
        _pop_event(state)
        return 0
    if _far(rules, state, node, now):
        return NEAR
    service, part = -1, -1
    if at["uplink"]:
        place = node * tables.space_ns.size + at["function"] % tables.space_ns.size
        service = _first_for(state, place, source)
        scheme = tables.scheme[user["scheme"]]
        if service < 0 or (
            _duration_ns(scheme, _shortest_bits(rules, state, service)) > at["triggered_ns"]
        ):
            _pop_event(state)
            return 0
        request = _unserved(rules, tables, state, service, user["scheme"], now)
        if request:
            return request
    _pop_event(state)
    sent = _new_frame(state)
    frame = state.frames[sent]
    _wrap(rules, state, sent, node, at, now, now + at["triggered_ns"])
    _place_in_unit(frame, user)
    frame["role"] = _REPLY
    frame["target"] = source
    if at["uplink"]:
        _freeze(rules, tables, state, node, now)
        _begin(state, service, now)
        limit_ns = at["triggered_ns"]
        part = _part(rules, tables, state, node, user, service, user["scheme"], limit_ns, now)
        frame["service"] = service
        frame["packets"] = state.frames[part]["packets"]
        frame["answer_ns"] = at["end_ns"]
        record["sending"] = sent
        _record_sent(rules, tables, state, part, at["triggered_ns"])
    else:
        part = _acknowledgement(rules, tables, state, node, user, now)
        state.frames[part]["target"] = source
    frame["part"] = part
    state.frames[part]["number"] = record["number"]
    _send(rules, state, sent)
    return 0


@uncounted_part
def _acknowledgement(
    rules: CsmaRules, tables: CsmaTables, state: CsmaState, node: int, user: Any, now: int
) -> int:
    """Return the acknowledgement of packets in the resource unit of a user."""
    part = _new_frame(state)
    frame, of = state.frames[part], state.services[user["service"]]
    frame["source"] = node
    frame["scheme"] = user["scheme"]
    frame["bits"] = rules.block_ack_bits
    frame["level"] = _BLOCK_ACK
    frame["start_ns"] = now
    frame["end_ns"] = now + _duration_ns(tables.scheme[user["scheme"]], rules.block_ack_bits)
    _place_in_unit(frame, user)
    for attempt in range(of["attempts"], of["attempts"] + of["count"]):
        if state.attempts[attempt]["alive"]:
            state.attempts[attempt]["ack_ns"] += frame["end_ns"] - now
    return part


@uncounted_part
def _end_of_several(rules: CsmaRules, tables: CsmaTables, state: CsmaState, number: int) -> int:
    """Handle the end of a frame of an access point to several stations."""
    nodes, cursor, frame = state.nodes, state.cursor[0], state.frames[number]
    now, source, role = frame["end_ns"], frame["source"], frame["role"]
    point = nodes[source]["point"]
    others = _find_overlapping(state, number)
    for row in range(frame["near_first"], frame["near_first"] + frame["near_count"]):
        node = tables.near[row]["node"]
        place = _addressed(state, point, node, role)
        if nodes[node]["locked"] != number or place < 0:
            continue
        user = state.users[point, place]
        received = user["part"] if role == _PACKETS else number
        outcome = _receive(rules, tables, state, node, received, others, place)
        if outcome < 0:
            return _missing(state, received, node, outcome)
        user["got"] = outcome
    if role == _ANSWER_TO_ALL and _undrawn(tables, state, source):
        return BACKOFFS
    _pop_event(state)
    _leave_air(state, number)
    alone = cursor["air"] == 0
    if not alone:
        until = _energy_until_ns(rules, tables, state, source, now)
        nodes[source]["busy_ns"] = max(nodes[source]["busy_ns"], until)
    if role == _PACKETS:
        _push_event(state, now + rules.sifs_ns, _NEXT * _NODE + source, number)
    elif role == _TRIGGER:
        _push_event(state, now + rules.timeout_ns, _TIMEOUT * _NODE + source, number)
    else:
        _finish_several(rules, tables, state, source, now)
    for row in range(frame["near_first"], frame["near_first"] + frame["near_count"]):
        node = tables.near[row]["node"]
        record = nodes[node]
        if record["locked"] != number:
            continue
        record["locked"] = -1
        if not alone:
            until = _energy_until_ns(rules, tables, state, node, now)
            record["busy_ns"] = max(record["busy_ns"], until)
        place = _addressed(state, point, node, role)
        if place < 0:
            _overhear(rules, record, frame, _decodes(tables, state, node, number, others), now)
        else:
            got = state.users[point, place]["got"] > 0
            record["eifs_ns"] = 0 if got else now + rules.eifs_ns
            if role == _ANSWER_TO_ALL:
                pending = record["sending"]
                if pending >= 0 and state.frames[pending]["target"] == source:
                    _add_result(state, pending, got)
                    continue
            elif got:
                _take(rules, state, number, point, place, node, now)
        _schedule(rules, tables, state, node)
    return 0


@uncounted_inlined
def _addressed(state: CsmaState, point: int, node: int, role: int) -> int:
    """Return the place of a node to which a frame of an access point is addressed; -1: it is not.

    The acknowledgement for all is for those whose frames were received.
    """
    place = _user_of(state, point, node)
    if place >= 0 and role == _ANSWER_TO_ALL and not state.users[point, place]["heard"]:
        return -1
    return place


@uncounted_inlined
def _missing(state: CsmaState, number: int, node: int, outcome: int) -> int:
    """Request what is missing for the reception of a frame at a node."""
    if outcome == -1:
        return GAIN
    cursor, frame = state.cursor[0], state.frames[number]
    cursor["source"] = frame["source"]
    cursor["target"] = node
    cursor["number"] = frame["number"]
    return DRAWS


@uncounted_inlined
def _overhear(rules: CsmaRules, record: Any, frame: Any, decoded: bool, now: int) -> None:
    """Take note of the duration of an exchange with which a node has nothing to do."""
    if decoded:
        record["eifs_ns"] = 0
        record["busy_ns"] = max(record["busy_ns"], frame["nav_ns"])
        record["nav_ns"] = max(record["nav_ns"], frame["nav_ns"])
    else:
        record["eifs_ns"] = now + rules.eifs_ns


@uncounted_inlined
def _take(
    rules: CsmaRules, state: CsmaState, number: int, point: int, place: int, node: int, now: int
) -> None:
    """Take packets, or a trigger frame, as one of several stations."""
    record, frame, user = state.nodes[node], state.frames[number], state.users[point, place]
    if frame["role"] == _PACKETS:
        _mark_reached(state, user["part"], place)
    record["busy_ns"] = max(record["busy_ns"], frame["nav_ns"])
    if frame["role"] == _TRIGGER and record["nav_ns"] <= now and record["sending"] < 0:
        _push_event(state, now + rules.sifs_ns, _TRIGGERED * _NODE + node, number)


@uncounted_part
def _mark_reached(state: CsmaState, part: int, row: int) -> None:
    """Note the packets of an aggregate that were received, as recorded in a row."""
    frame = state.frames[part]
    of = state.services[frame["service"]]
    of["reached"] = 1
    if of["alive"]:
        for packet in range(frame["packets"]):
            if state.arrived[row, packet]:
                state.boards[of["board"], packet]["reached"] = 1


@uncounted_part
def _end_reply(rules: CsmaRules, tables: CsmaTables, state: CsmaState, number: int) -> int:
    """Handle the end of a triggered frame, and with the last one the reception of all of them."""
    nodes, cursor, room, frame = state.nodes, state.cursor[0], state.room, state.frames[number]
    now, source, target = frame["end_ns"], frame["source"], frame["target"]
    last = True
    for place in range(cursor["air"]):
        other = room[place]["air"]
        if other != number and _together(state.frames, number, other):
            last = False
    others = members = 0
    if last:
        # Frames that were triggered together do not interfere with each other.
        for place in range(_find_overlapping(state, number)):
            other = room[place]["other"]
            if _together(state.frames, number, other):
                room[members]["member"] = other
                members += 1
            else:
                room[others]["other"] = other
                others += 1
        room[members]["member"] = number
        members += 1
        request = _hear(rules, tables, state, number, members, others)
        if request:
            return request
    _pop_event(state)
    _leave_air(state, number)
    alone = cursor["air"] == 0
    if not alone:
        until = _energy_until_ns(rules, tables, state, source, now)
        nodes[source]["busy_ns"] = max(nodes[source]["busy_ns"], until)
    if frame["answer_ns"]:
        _push_event(state, now + rules.timeout_ns, _TIMEOUT * _NODE + source, number)
    else:
        _schedule(rules, tables, state, source)
    if not last:
        return 0
    at = state.points[nodes[target]["point"]]
    current = at["exchange"] == frame["exchange"]
    for node in range(nodes.size):
        record = nodes[node]
        held = record["locked"]
        if held < 0 or not _together(state.frames, number, held):
            continue
        record["locked"] = -1
        if not alone:
            until = _energy_until_ns(rules, tables, state, node, now)
            record["busy_ns"] = max(record["busy_ns"], until)
        if node != target:
            decoded = _decodes_group(tables, state, node, number, members, others)
            _overhear(rules, record, frame, decoded, now)
            _schedule(rules, tables, state, node)
            continue
        heard = 0
        for place in range(members):
            heard += state.frames[room[place]["member"]]["arrived"] > 0
        record["eifs_ns"] = 0 if heard else now + rules.eifs_ns
        if current:
            _take_replies(rules, tables, state, target, members)
        else:
            _schedule(rules, tables, state, node)
    if current:
        if at["uplink"] and at["heard"]:
            trigger = nodes[target]["sending"]
            _push_event(state, now + rules.sifs_ns, _NEXT * _NODE + target, trigger)
        else:
            _finish_several(rules, tables, state, target, now)
    return 0


@uncounted_part
def _hear(
    rules: CsmaRules, tables: CsmaTables, state: CsmaState, number: int, members: int, others: int
) -> int:
    """Let an access point receive triggered frames, if it listens; return a request.

    The number of packets that it has of each, or 1 for an acknowledgement, is put in the frame.
    """
    target = state.frames[number]["target"]
    if _undrawn(tables, state, target):
        return BACKOFFS
    held, point = state.nodes[target]["locked"], state.nodes[target]["point"]
    listens = held >= 0 and _together(state.frames, number, held)
    current = state.points[point]["exchange"] == state.frames[number]["exchange"]
    for place in range(members):
        member = state.frames[state.room[place]["member"]]
        member["arrived"] = 0
        if listens and _power_w(tables, member, state.nodes.size, target) >= 0.0:
            # Of an exchange that is over, nothing is recorded.
            row = max(_user_of(state, point, member["source"]), 0) if current else 0
            outcome = _receive(rules, tables, state, target, member["part"], others, row)
            if outcome < 0:
                return _missing(state, member["part"], target, outcome)
            member["arrived"] = outcome
    return 0


@uncounted_part
def _take_replies(
    rules: CsmaRules, tables: CsmaTables, state: CsmaState, node: int, members: int
) -> None:
    """Note at an access point what was received of triggered frames."""
    point = state.nodes[node]["point"]
    at = state.points[point]
    for place in range(members):
        member = state.frames[state.room[place]["member"]]
        if member["arrived"]:
            state.users[point, _user_of(state, point, member["source"])]["heard"] = 1
            at["heard"] += 1
    if not at["uplink"]:
        return
    bits = rules.answer_bits + rules.answered_bits * at["heard"]
    ack_ns = _duration_ns(tables.scheme[at["control"]], bits)
    for place in range(members):
        member = state.frames[state.room[place]["member"]]
        if member["arrived"]:
            _mark_reached(state, member["part"], _user_of(state, point, member["source"]))
            of = state.services[member["service"]]
            for attempt in range(of["attempts"], of["attempts"] + of["count"]):
                if state.attempts[attempt]["alive"]:
                    state.attempts[attempt]["ack_ns"] += ack_ns


@uncounted_part
def _decodes_group(
    tables: CsmaTables, state: CsmaState, node: int, number: int, members: int, others: int
) -> bool:
    """Return whether a node can decode the preamble of triggered frames, which is one."""
    frame, worst_w, power_w = state.frames[number], 0.0, 0.0
    if others:
        worst_w = _worst_w(tables, state, node, others, frame["start_ns"], frame["end_ns"])
    for place in range(members):
        member = state.frames[state.room[place]["member"]]
        added_w = _power_w(tables, member, state.nodes.size, node)
        if added_w >= 0.0:
            power_w += added_w
    needed = tables.level[frame["level"], tables.scheme[frame["scheme"]]["code"], 1]
    return bool(power_w >= needed * (tables.noise_w[node] + worst_w))


@uncounted_part
def _finish_several(
    rules: CsmaRules, tables: CsmaTables, state: CsmaState, node: int, now: int
) -> None:
    """Take note of the results of an exchange, and contend for the next one."""
    record, point = state.nodes[node], state.nodes[node]["point"]
    at = state.points[point]
    place = at["function"]
    function = state.functions[place]
    record["sending"] = -1
    at["exchange"] = -1
    function["failures"] = 0 if at["heard"] else (function["failures"] + 1) % rules.retry_limit
    last = not at["heard"] and function["failures"] == 0
    for each in range(at["users"]):
        user = state.users[point, each]
        if at["uplink"]:
            _count_miss(rules, state, place, point, user, last)
            continue
        if user["heard"]:
            _on_ack(rules, state, user["part"], now)
        else:
            _on_failure(rules, state, user["part"], now)
        _end_complete(state, user["service"], now)
    record["busy_ns"] = max(record["busy_ns"], now)
    _draw(tables, state, place, function["failures"])
    _contend(rules, state, place, now)
    if record["locked"] < 0:
        _schedule(rules, tables, state, node)


@uncounted_inlined
def _count_miss(
    rules: CsmaRules, state: CsmaState, place: int, point: int, user: Any, last: bool
) -> None:
    """Forget the report of a station that no longer answers triggers."""
    per_node = state.functions.size // state.nodes.size
    report = state.reports[point * per_node + place % per_node, user["node"]]
    if report["bits"]:
        report["misses"] += state.points[point]["heard"] > 0
        if user["heard"]:
            report["misses"] = 0
        if last or report["misses"] >= rules.most_misses:
            report["bits"] = 0
            state.functions[place]["reports"] -= 1


@uncounted_part
def _finish_reply(
    rules: CsmaRules, tables: CsmaTables, state: CsmaState, number: int, now: int
) -> None:
    """Record whether a triggered frame was acknowledged."""
    frame = state.frames[number]
    node, service = frame["source"], frame["service"]
    record, place = state.nodes[node], state.services[service]["function"]
    function = state.functions[place]
    if frame["answered"]:
        _on_ack(rules, state, frame["part"], now)
        function["hold_ns"] = now + rules.timer_ns
    else:
        _on_failure(rules, state, frame["part"], now)
    record["sending"] = -1
    _end_complete(state, service, now)
    record["busy_ns"] = max(record["busy_ns"], now)
    if not function["slots"]:
        _draw(tables, state, place, state.services[service]["failures"])
    _contend(rules, state, place, now)
    if record["locked"] < 0:
        _schedule(rules, tables, state, node)
    if frame["answered"]:
        _report(rules, tables, state, node, frame["target"], now)


@uncounted_part
def _report(
    rules: CsmaRules, tables: CsmaTables, state: CsmaState, node: int, target: int, now: int
) -> None:
    """Report what waits at a node for an access point, which may then contend."""
    cursor, per_node = state.cursor[0], tables.space_ns.size
    record = state.nodes[target]
    for rank in range(per_node):
        service = _first_for(state, node * per_node + rank, target)
        bits = _longest_bits(state, service) if service >= 0 else 0
        place = target * per_node + rank
        function = state.functions[place]
        report = state.reports[record["point"] * per_node + rank, node]
        function["reports"] += int(bits > 0) - int(report["bits"] > 0)
        report["bits"] = bits
        report["misses"] = 0
        report["order"] = cursor["reports"]
        cursor["reports"] += 1
        if record["sending"] < 0 and _wanted(rules, function) and not function["contends"]:
            function["contends"] = 1
            function["asked_ns"] = now
            if not function["slots"]:
                _draw(tables, state, place, 0)
            if record["locked"] < 0:
                _schedule(rules, tables, state, target)
