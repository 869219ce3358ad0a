"""Error probability of a transport block segmented into LDPC code blocks.

A code rate below the mother code's is reached by repetition, which adds up SNR but no code symbols.

Sources: Polyanskiy, Poor and Verdu, "Channel coding rate in the finite blocklength regime", IEEE
Trans. Inf. Theory 56, 2010 (normal approximation); 3GPP TS 38.212, clauses 5.2.2 (segmentation),
5.3.2 and 5.4.2.1 (mother code and its circular buffer), 7.2.1 (CRC) and 7.2.2 (choice of the LDPC
base graph).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from wnsim.core.units import Floats, Ints

_CRC_BITS = 24
_SHORT_CRC_BITS = 16
_SHORT_CRC_MAX_BITS = 3824
# By base graph: largest code block, and columns of parity bits.
_CODE_BLOCK_BITS = (8448, 3840)
_PARITY_COLUMNS = (44, 40)
# Lifting sizes, TS 38.212 Table 5.3.2-1.
_LIFTING = np.unique(
    [a << j for a in (2, 3, 5, 7, 9, 11, 13, 15) for j in range(8) if a << j <= 384]
)
MIN_VARIANCE = 1e-9


def segment(transport_bits: ArrayLike, code_rate: ArrayLike) -> tuple[Ints, Floats]:
    """Segment transport blocks into code blocks, TS 38.212 clause 5.2.2.

    Parameters
    ----------
    transport_bits : (...,) size of the transport blocks, without CRC [bit]
    code_rate : (...,) target code rate

    Returns
    -------
    count : (...,) code blocks per transport block, at least 1
    bits : (...,) information bits per code block, with CRCs, without filler bits
    """
    size = np.asarray(transport_bits, dtype=np.float64)
    graph = _base_graph(size, np.asarray(code_rate, dtype=np.float64))
    largest = np.take(_CODE_BLOCK_BITS, graph)
    with_crc = size + np.where(size > _SHORT_CRC_MAX_BITS, _CRC_BITS, _SHORT_CRC_BITS)
    count = np.where(with_crc <= largest, 1.0, np.ceil(with_crc / (largest - _CRC_BITS)))
    bits = (with_crc + np.where(count > 1, count * _CRC_BITS, 0.0)) / count
    return count.astype(np.int64), bits


def repetition(transport_bits: ArrayLike, code_rate: ArrayLike, coded_bits: ArrayLike) -> Floats:
    """Return how often each bit of the mother code is sent.

    Parameters
    ----------
    transport_bits : (...,) size of the transport blocks, without CRC [bit]
    code_rate : (...,) target code rate
    coded_bits : (...,) bits on the air per code block

    Returns
    -------
    (...,) mean number of times, at least 1
    """
    size = np.asarray(transport_bits, dtype=np.float64)
    graph = _base_graph(size, np.asarray(code_rate, dtype=np.float64))
    bits = segment(transport_bits, code_rate)[1]
    # Columns of information bits, by base graph and length.
    columns = np.where(
        graph == 0, 22, np.select([bits > 640, bits > 560, bits > 192], [10, 9, 8], 6)
    )
    lifting = _LIFTING[np.minimum(np.searchsorted(_LIFTING, bits / columns), _LIFTING.size - 1)]
    mother_bits = bits + np.take(_PARITY_COLUMNS, graph) * lifting
    return np.asarray(np.maximum(np.asarray(coded_bits, dtype=np.float64) / mother_bits, 1.0))


def _base_graph(transport_bits: Floats, code_rate: Floats) -> Ints:
    """Return the index of the LDPC base graph: 0 for graph 1, 1 for graph 2."""
    short = (transport_bits <= _SHORT_CRC_MAX_BITS) & (code_rate <= 0.67)
    return np.asarray((transport_bits <= 292) | short | (code_rate <= 0.25), dtype=np.int64)


def code_block_error(bits: Floats, symbols: Floats, mean: Floats, variance: Floats) -> Floats:
    """Return the error probability of a code block in the normal approximation.

    Parameters
    ----------
    bits : (...,) information bits k
    symbols : (...,) modulated symbols n without repetitions of the mother code; those of further
        transmissions included
    mean, variance : (...,) moments of the information density of all of them together [bit],
        [bit^2]

    Returns
    -------
    (...,) Q((mean - k + log2(n) / 2) / sqrt(variance))
    """
    from scipy.special import ndtr

    margin = mean - bits + 0.5 * np.log2(symbols)
    return np.asarray(ndtr(-margin / np.sqrt(np.maximum(variance, MIN_VARIANCE * symbols))))


def transport_block_error(code_block_error_probability: Floats, count: Ints) -> Floats:
    """Return the probability that at least one of `count` independent code blocks fails."""
    with np.errstate(divide="ignore"):
        return np.asarray(-np.expm1(count * np.log1p(-code_block_error_probability)))
