"""What the HARQ kernel works on: parameters, formats, and the state of links."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from wnsim.core.units import Floats, Ints


class HarqRules(NamedTuple):
    """Parameters of link adaptation and HARQ.

    Parameters
    ----------
    processes : HARQ processes of a link
    transmissions : maximum number of transmissions of a block
    chase : whether retransmissions add up SNR; otherwise information
    up_db, down_db : steps of the outer loop after a received and a lost first transmission [dB]
    largest_offset_db : bound of the outer loop's offset [dB]
    gap_db, selective_gap_db : implementation gaps, see `NrMcs` [dB]
    full_spread_db : standard deviation over subbands from which on the selective gap is whole [dB]
    snr_min_db, steps_per_db, last_step : grid of `information`, see `formats.grid`
    min_variance : least variance of the information density of a symbol [bit^2]
    """

    processes: int
    transmissions: int
    chase: bool
    up_db: float
    down_db: float
    largest_offset_db: float
    gap_db: float
    selective_gap_db: float
    full_spread_db: float
    snr_min_db: float
    steps_per_db: float
    last_step: float
    min_variance: float


class HarqLinks(NamedTuple):
    """State of links (L,) and of the blocks of their HARQ processes (L, N).

    Parameters
    ----------
    turn : slots in which the link could send
    left : bits not received
    grant : bits for which new blocks may still be sent in this round
    broadcast : whether the link is not adapted to its receiver
    offset_db : of the outer loop
    arrived, lost : first transmissions of this round
    sent : (L, N) transmissions of the block, 0 where there is none
    bits, format : (L, N) its content and its number in `FormatTables`
    error : (L, N) its error probability so far
    mean, variance : (L, N) moments of the information density gathered
    snr : (L, N, B) SNRs gathered by chase combining, otherwise (L, N, 0)
    """

    turn: Ints
    left: Ints
    grant: Ints
    broadcast: NDArray[np.bool_]
    offset_db: Floats
    arrived: Ints
    lost: Ints
    sent: Ints
    bits: Ints
    format: Ints
    error: Floats
    mean: Floats
    variance: Floats
    snr: Floats


class FormatTables(NamedTuple):
    """Formats of Z allocation sizes with each of M MCS, number z M + m.

    Parameters
    ----------
    threshold_db : (Z, M) SNR from which this or a higher MCS is chosen, ascending [dB]
    order : (Z M,) bits per symbol
    bits : (Z M,) content
    code_blocks : (Z M,) code blocks of the content
    code_block_bits : (Z M,) information bits of a code block
    symbols : (Z M,) symbols of a code block, without repetitions
    repeat_steps : (Z M,) SNR gain of repetition, in steps of the grid
    """

    threshold_db: Floats
    order: Ints
    bits: Ints
    code_blocks: Ints
    code_block_bits: Floats
    symbols: Floats
    repeat_steps: Floats
