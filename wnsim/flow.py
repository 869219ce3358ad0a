"""A transfer under way, and the outcome of the coming blocks for all that are on the air."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wnsim.units import Floats, Ints


@dataclass(eq=False, slots=True)
class Flow:
    """A transfer under way.

    Parameters
    ----------
    source, target : devices
    size_bits : what is to be carried
    sent_ns : when it was handed to the network [ns]
    limit_ns : when it is given up [ns]
    limit_reason : why it is given up then
    """

    source: int
    target: int
    size_bits: int
    sent_ns: int
    limit_ns: int
    limit_reason: str
    batch: int = 1
    started_ns: int = -1
    ended_ns: int = -1
    delivered: bool = False
    acked_bits: int = 0
    blocks: int = 0
    failed_blocks: int = 0
    snr_sum: float = 0.0


@dataclass(frozen=True, slots=True)
class Window:
    """The outcome of consecutive blocks for the flows on the air, computed ahead.

    Parameters
    ----------
    first_block : number of the first block
    arrives : (flows, blocks) whether each block arrives
    bits : (flows, blocks) bits it carries if it does
    snr : (flows, blocks) its signal-to-noise ratio, linear
    acked : (flows, blocks + 1) bits acknowledged since the window began
    """

    first_block: int
    arrives: NDArray[np.bool_]
    bits: Ints
    snr: Floats
    acked: Ints

    @property
    def end_block(self) -> int:
        """The block after the last one."""
        return self.first_block + int(self.bits.shape[1])

    def rows(self, staying: list[int]) -> Window:
        """Return the window of some of its flows."""
        return Window(
            self.first_block,
            self.arrives[staying],
            self.bits[staying],
            self.snr[staying],
            self.acked[staying],
        )

    def completion(self, row: int, flow: Flow, block_ns: int) -> tuple[int, int]:
        """Return in which block of the window a flow completes, and the instant [ns].

        The number of blocks, and an instant beyond the window, if it does not.
        """
        due = flow.size_bits - flow.acked_bits
        block = int(np.searchsorted(self.acked[row, 1:], due))
        if block == self.bits.shape[1]:
            return block, (self.end_block + 1) * block_ns
        part = (due - int(self.acked[row, block])) * block_ns
        inside = -(-part // int(self.bits[row, block]))
        return block, (self.first_block + block) * block_ns + inside

    def credit(self, row: int, flow: Flow, blocks: int) -> None:
        """Book the first blocks of the window to a flow."""
        sent = self.bits[row, :blocks] > 0
        flow.acked_bits += int(self.acked[row, blocks])
        flow.blocks += int(sent.sum())
        flow.failed_blocks += int((sent & ~self.arrives[row, :blocks]).sum())
        flow.snr_sum += float(self.snr[row, :blocks][sent].sum())
