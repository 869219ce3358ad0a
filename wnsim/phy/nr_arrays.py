"""NR link adaptation and HARQ on arrays of links and rounds; see `wnsim.kernels.harq`."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from wnsim.core.units import Floats, Ints, linear_to_db
from wnsim.phy.coding import code_block_error, transport_block_error
from wnsim.phy.formats import grid, moments
from wnsim.phy.modem import NEW, REPEATED, Outcome, Slots, State, efficiency
from wnsim.phy.nr import LARGEST_OFFSET_DB, NrModem, usable_db
from wnsim.phy.turns import Turns

# Fields of the state as separate arrays.
_Memory = dict[str, NDArray[Any]]


class NrModemOfArrays(NrModem):
    """NR on a band, whose slots are processed round by round for all links at once."""

    def scan(self, state: State, slots: Slots) -> Outcome:
        """Return the outcome of slots; see `Modem`."""
        processes = self._phy.harq_processes
        order = Turns(slots.active, state["turn"] % processes, processes)
        state["turn"] += slots.active.sum(axis=1)
        # Field by field, as the fields of records lie far apart.
        memory = {name: state[name].copy() for name in self.memory.fields or ()}
        # One number for selective channels: the SNR of the same mean capacity.
        known = slots.known[..., 0]
        if slots.known.shape[-1] > 1:
            known = np.expm1(efficiency(slots.known) * np.log(2.0))
        known_db = order.arranged(linear_to_db(known))
        size = order.arranged(self._formats.sizes(slots.share, self._elements))
        steps = order.arranged(grid(usable_db(slots.sinr, self._phy)))
        sinr = order.arranged(slots.sinr) if self._phy.harq == "chase" else None
        draws = order.arranged(slots.draws)
        bits = np.zeros(order.valid.shape, dtype=np.int64)
        kind = np.zeros(order.valid.shape, dtype=np.int8)
        for begin in range(0, order.valid.shape[1], processes):
            part = slice(begin, begin + processes)
            beginning = order.valid[:, begin]
            if beginning.any():
                self._begin_round(memory, beginning)
            bits[:, part], kind[:, part] = self._turns(
                memory,
                order.valid[:, part],
                size[:, part],
                known_db[:, part],
                steps[:, part],
                None if sinr is None else sinr[:, part],
                draws[:, part],
            )
        for name, values in memory.items():
            state[name] = values
        return Outcome(order.restored(bits), order.restored(kind))

    def _begin_round(self, state: _Memory, beginning: NDArray[np.bool_]) -> None:
        """Apply the last round's feedback and grant new blocks to links (L,) that start a round."""
        moved = (
            state["offset_db"]
            + self._rules.up_db * state["arrived"]
            - self._phy.outer_step_db * state["lost"]
        )
        moved = np.clip(moved, -LARGEST_OFFSET_DB, LARGEST_OFFSET_DB)
        adapted = beginning & ~state["broadcast"]
        state["offset_db"] = np.where(adapted, moved, state["offset_db"])
        state["arrived"][beginning] = 0
        state["lost"][beginning] = 0
        under_way = np.where(state["sent"] > 0, state["bits"], 0).sum(axis=1)
        state["grant"] = np.where(beginning, state["left"] - under_way, state["grant"])

    def _turns(
        self,
        state: _Memory,
        valid: NDArray[np.bool_],
        size: Ints,
        known_db: Floats,
        steps: Floats,
        sinr: Floats | None,
        draws: Floats,
    ) -> tuple[Ints, NDArray[np.int8]]:
        """Return received bits and outcome (L, N) of each process's slot."""
        every = bool(valid.all())

        def kept(value: Floats, before: Floats) -> Floats:
            """Return a value where it is a process's slot, elsewhere the previous value."""
            return value if every else np.where(valid, value, before)

        empty = state["sent"] == 0
        scheme = self._formats.choose(known_db + state["offset_db"][:, None], size)
        form = size * self._formats.schemes + np.maximum(scheme, 0)
        new = valid & empty & (scheme >= 0)
        offered = np.where(new, self._formats.tables.bits[form], 0)
        granted = np.cumsum(offered, axis=1) - offered < state["grant"][:, None]
        broadcast = state["broadcast"][:, None]
        new &= (granted | broadcast) & (offered > 0)
        offered *= new
        state["grant"] -= offered.sum(axis=1)
        sending = new | (valid & ~empty)
        state["format"] = form = np.where(new, form, state["format"])
        state["bits"] = bits = np.where(new, offered, state["bits"])
        before = np.where(new, 1.0, state["error"])
        order, count, code_block_bits, symbols = self._formats.of(form)
        sent = state["sent"] + sending
        if sinr is not None:
            gathered = np.where(new[..., None], 0.0, state["snr"]) + sinr
            state["snr"] = np.where(valid[..., None], gathered, state["snr"])
            steps = grid(usable_db(gathered, self._phy))
        combined = self._formats.combined(form, steps)
        mean, variance = moments(combined, order[..., None], self._orders)
        mean, variance, total = symbols * mean, symbols * variance, symbols
        if sinr is None:
            mean += np.where(new, 0.0, state["mean"])
            variance += np.where(new, 0.0, state["variance"])
            total = symbols * np.maximum(sent, 1)
            state["mean"] = kept(mean, state["mean"])
            state["variance"] = kept(variance, state["variance"])
        error = transport_block_error(
            code_block_error(code_block_bits, total, mean, variance), count
        )
        # Symbols at zero SINR do not count, though they would lengthen the code.
        silent = (steps <= 0.0).all(axis=-1)
        error = np.where(silent, np.maximum(error, before), error)
        # Condition on the block having been lost so far.
        lost = sending & (draws * before < error)
        arrives = sending & ~lost
        state["error"] = kept(np.minimum(error, before), state["error"])
        over = arrives | (lost & ((sent >= self._rules.transmissions) | broadcast))
        state["sent"] = sent * ~over
        received = bits * arrives
        state["left"] = np.maximum(state["left"] - received.sum(axis=1), 0)
        first_lost = (new & lost).sum(axis=1)
        state["lost"] += first_lost
        state["arrived"] += new.sum(axis=1) - first_lost
        kind = sending * (NEW + lost + (REPEATED - NEW) * ~new)
        return received, kind.astype(np.int8)
