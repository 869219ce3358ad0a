"""Tables of the CSMA kernel: powers, schemes, gains and draws, computed when it requests them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from wnsim import kernels
from wnsim.air.csma.exchange import CTS_BITS, NAV_RESET_NS, RTS_BITS
from wnsim.air.csma.multi_user import MOST_MISSES, SIGNAL_BITS
from wnsim.air.csma.service import ACK_BITS
from wnsim.core.streams import uniform_blocks
from wnsim.core.units import to_ns
from wnsim.kernels.csma_records import BACKOFFS, HASHED, NEAR, SCHEME, CsmaRules, CsmaTables
from wnsim.mac.multi_user import MultiUser
from wnsim.phy.modem import mean_of_bands
from wnsim.phy.wifi import SENSE_NS, SIFS_NS, SLOT_NS, TIMEOUT_NS
from wnsim.phy.wifi_formats import HAZARD_STEP_DB, LOWEST_HAZARD_DB, RAREST

if TYPE_CHECKING:
    from wnsim.air.csma.multi_user import Planner
    from wnsim.air.csma.radio import Radio
    from wnsim.air.setup import Setup
    from wnsim.core.units import Ints
    from wnsim.kernels.csma_records import CsmaState, Table
    from wnsim.phy.wifi_formats import Scheme

# Duration of the only sample of a channel that is constant [ns].
_ALWAYS_NS = 2**62
# Reception draws computed at a time; at least as many as an aggregate has packets.
_RECEPTIONS = 512
# Length of a window of gains, at first and at most [samples].
_WINDOW, _LONGEST_WINDOW = 64, 512
# Rows of thresholds of the lengths that all transmissions have.
_CONTROL, _PACKETS, _BLOCK_ACK = 4, 3, 1


def sample_ns(setup: Setup) -> int:
    """Return for how long a sample of the channel holds [ns]."""
    return _ALWAYS_NS if setup.world.channel.constant else setup.sample_ns


def rules_of(
    setup: Setup, radio: Radio, planner: Planner | None, tables: KernelTables
) -> CsmaRules:
    """Return the parameters of the kernel."""
    mac, aggregator = radio.mac, radio.aggregator
    several = MultiUser() if mac.ofdma is None else mac.ofdma
    return CsmaRules(
        slot_ns=SLOT_NS,
        sifs_ns=SIFS_NS,
        sense_ns=SENSE_NS,
        timeout_ns=TIMEOUT_NS,
        nav_reset_ns=NAV_RESET_NS,
        eifs_ns=SIFS_NS + radio.phy.slowest.duration_ns(ACK_BITS),
        capture_ns=radio.capture_ns,
        interval_ns=radio.interval_ns,
        sample_ns=sample_ns(setup),
        packet_bits=setup.packet_bits,
        header_bits=8 * mac.header_bytes,
        delimiter_bits=0 if aggregator is None else aggregator.delimiter_bits,
        aligned_bits=1 if aggregator is None else aggregator.aligned_bits,
        most_packets=0 if aggregator is None else aggregator.most_packets,
        window=0 if aggregator is None else aggregator.window,
        ack_bits=ACK_BITS,
        block_ack_bits=0 if aggregator is None else aggregator.answer_bits,
        rts_bits=RTS_BITS,
        cts_bits=CTS_BITS,
        retry_limit=mac.retry_limit,
        arq=mac.arq,
        unprotected_bits=-1 if radio.unprotected_bits is None else radio.unprotected_bits,
        rated=radio.rates is not None,
        traced=setup.trace,
        detection_w=radio.detection_w,
        detection=radio.detection,
        energy_w=radio.energy_w,
        capture=radio.capture,
        bandwidth_hz=setup.world.bandwidth_hz,
        rarest=RAREST,
        hazard_db=LOWEST_HAZARD_DB,
        hazard_step_db=HAZARD_STEP_DB,
        most_users=0 if planner is None else planner.most,
        fewest_users=several.fewest,
        polled=planner is not None and several.uplink,
        timer_ns=to_ns(1e-3 * several.timer_ms),
        most_misses=MOST_MISSES,
        signal_scheme=tables.signal_scheme,
        signal_level=tables.signal_level,
        answer_level=tables.answer_level,
        answer_bits=0 if planner is None else planner.answer_bits(0),
        answered_bits=0 if planner is None else planner.answer_bits(1) - planner.answer_bits(0),
    )


class KernelTables:
    """Tables of the kernel.

    Parameters
    ----------
    setup : what the engine is built from
    radio : powers, schemes and keys of the draws
    planner : of exchanges with several stations; none: there are none

    Attributes
    ----------
    arrays : the tables
    schemes : modulation and coding schemes by row
    signal_scheme, signal_level, answer_level : see `CsmaRules`
    """

    def __init__(self, setup: Setup, radio: Radio, planner: Planner | None) -> None:
        self._setup, self._radio = setup, radio
        self._nodes = setup.world.nodes
        mac, phy, aggregator = radio.mac, radio.phy, radio.aggregator
        self.schemes = list(dict.fromkeys([*phy.schemes, *map(phy.control, phy.schemes)]))
        basic = [*map(phy.control, self.schemes), phy.slowest]
        self.schemes = list(dict.fromkeys([*self.schemes, *basic]))
        self._row = {scheme: row for row, scheme in enumerate(self.schemes)}
        records = np.zeros(len(self.schemes), dtype=SCHEME)
        for row, scheme in enumerate(self.schemes):
            records[row] = self._record(scheme, self._row[phy.control(scheme)])
        functions = mac.functions
        places = self._nodes * len(functions)
        whole = radio.air_bits(setup.packet_bits)
        lengths = [ACK_BITS, 0, RTS_BITS, CTS_BITS, whole, whole, whole]
        if aggregator is not None:
            last = aggregator.frame_bits(setup.packet_bits)
            lengths[1] = aggregator.answer_bits
            lengths[5], lengths[6] = last, -(-last // aggregator.aligned_bits)
            lengths[6] *= aggregator.aligned_bits
        self._lengths, self._length_row = lengths, dict[int, int]()
        # Acknowledgements of several stations have rows in the order of their number.
        self.answer_level = len(lengths)
        if planner is not None:
            lengths += [planner.answer_bits(count) for count in range(planner.most + 1)]
        self._leveled: set[tuple[int, int]] = set()
        self._drawn = [0] * places
        self._window = self._pairs = 0
        self._near = 0
        self._constant = setup.world.channel.constant
        self.arrays = CsmaTables(
            tx_w=np.array(radio.tx_w),
            noise_w=np.array(radio.noise_w),
            space_ns=np.array([each.space_ns for each in functions]),
            txop_ns=np.array([each.txop_ns for each in functions]),
            boundary=np.array([int(each.boundary) for each in functions]),
            windows=np.array(
                [
                    [each.contention_window(failures) + 1 for failures in range(17)]
                    for each in functions
                ]
            ),
            near=np.zeros(64, dtype=NEAR),
            scheme=records,
            hazard=np.array([scheme.log_hazards for scheme in self.schemes]),
            level=np.full((len(lengths) + 16, len(self.schemes), 2), math.nan),
            backoffs=np.zeros((places, BACKOFFS)),
            links=_hash_table(64),
            draw_first=np.zeros(8, dtype=np.int64),
            draws=np.zeros((8, _RECEPTIONS)),
            pairs=_hash_table(64),
            gain=np.zeros((8, _WINDOW)),
        )
        self._links = 0
        self.signal_scheme = self._row[phy.slowest]
        self.signal_level = self.length_row(SIGNAL_BITS)
        self.find_level(self.signal_level, self.signal_scheme)

    # Schemes, and thresholds.

    def _record(self, scheme: Scheme, control: int) -> tuple[float, ...]:
        """Return the record of a scheme with a row of answers to its frames; see `SCHEME`."""
        aggregator = self._radio.aggregator
        most = 0 if aggregator is None else aggregator.longest_bits(scheme)
        return (
            scheme.data_bits, scheme.symbol_ns, scheme.grid_ns, scheme.preamble_ns,
            control, most, self._row[scheme.base], scheme.hopeless,
        )  # fmt: skip

    def row_of(self, scheme: Scheme) -> int:
        """Return the row of a scheme on the whole channel."""
        return self._row[scheme]

    def unit_row(self, scheme: Scheme) -> int:
        """Return the row of a scheme in a resource unit, with the thresholds of its frames."""
        row = self._row.get(scheme)
        if row is None:
            row = self._row[scheme] = len(self.schemes)
            self.schemes.append(scheme)
            records = self.arrays.scheme
            if row == records.size:
                self.arrays = self.arrays._replace(
                    scheme=np.concatenate([records, np.zeros_like(records)])
                )
            self.arrays.scheme[row] = self._record(scheme, -1)
            for length in (_BLOCK_ACK, *range(_CONTROL, _CONTROL + _PACKETS)):
                self.find_level(length, row)
        return row

    def length_row(self, bits: int) -> int:
        """Return the row of the thresholds of frames of a length [bit]."""
        row = self._length_row.get(bits)
        if row is None:
            row = self._length_row[bits] = len(self._lengths)
            self._lengths.append(bits)
            level = self.arrays.level
            if row == level.shape[0]:
                self.arrays = self.arrays._replace(
                    level=np.concatenate([level, np.full_like(level, math.nan)])
                )
        return row

    def choose(self, scheme: Scheme, last: int) -> int:
        """Return the row of a scheme, with the thresholds of frames that use it.

        Parameters
        ----------
        scheme : of packets
        last : row of the length of the last packet
        """
        row = self._row[scheme]
        for length in (*range(_CONTROL, _CONTROL + _PACKETS), last):
            self.find_level(length, row)
        control = int(self.arrays.scheme[row]["control"])
        for length in range(_CONTROL):
            self.find_level(length, control)
        return row

    def find_level(self, length: int, row: int) -> None:
        """Compute the thresholds of frames with rows of a length and a scheme."""
        code = int(self.arrays.scheme[row]["code"])
        if (length, code) not in self._leveled:
            self._leveled.add((length, code))
            bits, scheme = self._lengths[length], self.schemes[code]
            if bits:
                self.arrays.level[length, code] = (
                    scheme.threshold(bits, 0.0),
                    scheme.threshold(bits, 0.5),
                )

    # Mean powers.

    def find_near(self, state: CsmaState, node: int, now_ns: int) -> None:
        """Find the nodes in range of a node, and its mean power there."""
        received_w = self._radio.received_w(node, now_ns)
        interval = self._radio.gain_interval(now_ns)
        if not (state.nodes["near_interval"] == interval).any():
            self._discard_near(state)
        end = self._near + len(received_w)
        near = self.arrays.near
        while end > near.size:
            near = np.concatenate([near, np.zeros_like(near)])
        near["node"][self._near : end] = list(received_w)
        near["power_w"][self._near : end] = list(received_w.values())
        self.arrays = self.arrays._replace(near=near)
        record = state.nodes[node]
        record["near_first"], record["near_count"] = self._near, len(received_w)
        record["near_interval"] = interval
        self._near = end

    def _discard_near(self, state: CsmaState) -> None:
        """Discard the rows of an earlier interval that no frame refers to."""
        cursor, tables = state.cursor[0], self.arrays
        frames = [*state.room["air"][: cursor["air"]], *state.room["past"][: cursor["past"]]]
        kept = [
            np.arange(frame["near_first"], frame["near_first"] + frame["near_count"])
            for frame in state.frames[frames]
        ]
        rows = np.concatenate([np.zeros(0, dtype=np.int64), *kept])
        near = np.zeros(2 * rows.size + 64, dtype=NEAR)
        near[: rows.size] = tables.near[rows]
        self.arrays = tables._replace(near=near)
        self._near = 0
        for frame, each in zip(frames, kept, strict=True):
            state.frames[frame]["near_first"] = self._near
            self._near += each.size

    # Gains.

    def find_gain(self, state: CsmaState, source: int, target: int, at_ns: int) -> None:
        """Compute the gains of a pair that is new to the window, or begin a window."""
        cursor = state.cursor[0]
        pair = min(source, target) * self._nodes + max(source, target)
        if self._constant:
            # Others of the receiver's pairs may be interferers.
            pairs = self._pairs_of(state, target)
            known = self.arrays.pairs["key"]
            cursor["samples"] = 1
            self._fill(0, 1, np.setdiff1d([*pairs, pair], known))
            return
        sample = at_ns // self._setup.sample_ns
        first, samples = int(cursor["first_sample"]), int(cursor["samples"])
        if first <= sample < first + samples:
            self._fill(first, samples, self._wanted_pairs(state, pair, target))
            return
        close = first + samples <= sample < first + 2 * samples
        known = self.arrays.pairs["key"]
        pairs = np.union1d(known[known >= 0], [pair]) if close else np.array([pair])
        self._window = min(2 * samples, _LONGEST_WINDOW) if close else _WINDOW
        # Frames on the air began before.
        frames = state.frames[state.room["air"][: cursor["air"]]]["start_ns"]
        begin = min([sample, *(frames // self._setup.sample_ns).tolist()])
        first = begin // _WINDOW * _WINDOW
        length = -(-(sample + 1 - first) // _WINDOW) * _WINDOW
        cursor["first_sample"], cursor["samples"] = first, max(length, self._window)
        self._pairs = 0
        self.arrays = self.arrays._replace(pairs=_hash_table(known.size))
        self._fill(first, int(cursor["samples"]), pairs)

    def _wanted_pairs(self, state: CsmaState, pair: int, target: int) -> Ints:
        """Return a pair, and those of its receiver with interferers that are new to the window.

        A frame that meets many others needs the gains of all of them, and a computation for several
        pairs takes hardly longer than for one.
        """
        cursor = state.cursor[0]
        frames = [*state.room["air"][: cursor["air"]], *state.room["past"][: cursor["past"]]]
        source = state.frames[frames]["source"]
        pairs = np.minimum(source, target) * self._nodes + np.maximum(source, target)
        found = np.intersect1d(pairs, self._pairs_of(state, target))
        known = self.arrays.pairs["key"]
        return np.union1d(found[~np.isin(found, known)], [pair])

    def _pairs_of(self, state: CsmaState, node: int) -> Ints:
        """Return the pairs of a node with the nodes that are known to be in range of it."""
        record = state.nodes[node]
        first = int(record["near_first"])
        near = self.arrays.near["node"][first : first + int(record["near_count"])]
        return np.asarray(np.minimum(near, node) * self._nodes + np.maximum(near, node))

    def _fill(self, first: int, samples: int, pairs: Ints) -> None:
        """Compute the gains of pairs in the window."""
        tables, count = self.arrays, self._pairs + pairs.size
        gain = tables.gain
        if gain.shape[1] != samples or gain.shape[0] < count:
            room = max(gain.shape[0], 1 << (count - 1).bit_length())
            wider = np.empty((room, samples))
            if self._pairs:
                wider[: self._pairs] = gain[: self._pairs]
            gain = wider
        table = _room(tables.pairs, count)
        source, target = np.divmod(pairs, self._nodes)
        blocks = self._setup.world.channel.gain_blocks(
            source, target, first, samples, self._setup.sample_ns
        )
        gain[self._pairs : count] = mean_of_bands(blocks)
        kernels.csma.enter(table, pairs, self._pairs)
        self._pairs = count
        self.arrays = tables._replace(gain=gain, pairs=table)

    def gain(self, source: int, target: int, at_ns: int) -> float:
        """Return the gain of a pair at an instant, in a window or not."""
        ends = np.array([min(source, target)]), np.array([max(source, target)])
        sample = at_ns // self._setup.sample_ns
        gain = self._setup.world.channel.gain_blocks(*ends, sample, 1, self._setup.sample_ns)
        return float(mean_of_bands(gain)[0, 0])

    # Draws.

    def draw_backoffs(self, state: CsmaState, place: int) -> None:
        """Draw backoffs of an access function that has used up the earlier ones."""
        first, self._drawn[place] = self._drawn[place], self._drawn[place] + BACKOFFS
        draws = uniform_blocks(self._radio.backoff_key, [place], [place], first, BACKOFFS)
        self.arrays.backoffs[place] = draws[0]
        state.functions[place]["drawn"] = 0

    def draw_receptions(self, source: int, target: int, number: int) -> None:
        """Draw the receptions of a link's frames from a sequence number on."""
        tables = self.arrays
        key = source * self._nodes + target
        place = kernels.csma.find(tables.links, key)
        if tables.links[place]["key"] < 0:
            links = _room(tables.links, self._links + 1)
            kernels.csma.enter(links, np.array([key]), self._links)
            tables = tables._replace(links=links)
            if self._links == tables.draw_first.size:
                tables = tables._replace(
                    draw_first=np.concatenate([tables.draw_first, tables.draw_first]),
                    draws=np.concatenate([tables.draws, tables.draws]),
                )
            self.arrays, row = tables, self._links
            self._links += 1
        else:
            row = int(tables.links[place]["row"])
        key = self._setup.error_key
        tables.draw_first[row] = number
        tables.draws[row] = uniform_blocks(key, [source], [target], number, _RECEPTIONS)[0]


def _hash_table(size: int) -> Table:
    """Return an empty hash table of a size, a power of two."""
    table = np.zeros(size, dtype=HASHED)
    table["key"] = -1
    return table


def _room(table: Table, count: int) -> Table:
    """Return a hash table with room for a number of keys, at most half full."""
    if 2 * count <= table.size:
        return table
    wider = _hash_table(1 << (2 * count - 1).bit_length())
    for key, row in table[table["key"] >= 0].tolist():
        kernels.csma.enter(wider, np.array([key]), row)
    return wider
