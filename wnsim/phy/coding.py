"""Error probability of a transport block segmented into LDPC code blocks.

Sources: Polyanskiy, Poor and Verdu, "Channel coding rate in the finite blocklength regime", IEEE
Trans. Inf. Theory 56, 2010 (normal approximation); 3GPP TS 38.212, clauses 5.2.2 (segmentation),
7.2.1 (CRC) and 7.2.2 (choice of the LDPC base graph).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtr

from wnsim.core.units import Floats, Ints

_CRC_BITS = 24
_SHORT_CRC_BITS = 16
_SHORT_CRC_MAX_BITS = 3824
_CODE_BLOCK_BITS = (8448, 3840)
_MIN_VARIANCE = 1e-9


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
    rate = np.asarray(code_rate, dtype=np.float64)
    graph_2 = (size <= 292) | ((size <= _SHORT_CRC_MAX_BITS) & (rate <= 0.67)) | (rate <= 0.25)
    largest = np.where(graph_2, _CODE_BLOCK_BITS[1], _CODE_BLOCK_BITS[0])
    with_crc = size + np.where(size > _SHORT_CRC_MAX_BITS, _CRC_BITS, _SHORT_CRC_BITS)
    count = np.where(with_crc <= largest, 1.0, np.ceil(with_crc / (largest - _CRC_BITS)))
    bits = (with_crc + np.where(count > 1, count * _CRC_BITS, 0.0)) / count
    return count.astype(np.int64), bits


def code_block_error(bits: Floats, symbols: Floats, mean: Floats, variance: Floats) -> Floats:
    """Return the error probability of a code block in the normal approximation.

    Parameters
    ----------
    bits : (...,) information bits k
    symbols : (...,) modulated symbols n, repetitions included
    mean, variance : (...,) moments of the information density of all of them together [bit],
        [bit^2]

    Returns
    -------
    (...,) Q((mean - k + log2(n) / 2) / sqrt(variance))
    """
    margin = mean - bits + 0.5 * np.log2(symbols)
    return np.asarray(ndtr(-margin / np.sqrt(np.maximum(variance, _MIN_VARIANCE * symbols))))


def transport_block_error(code_block_error_probability: Floats, count: Ints) -> Floats:
    """Return the probability that at least one of `count` independent code blocks fails."""
    with np.errstate(divide="ignore"):
        return np.asarray(-np.expm1(count * np.log1p(-code_block_error_probability)))
