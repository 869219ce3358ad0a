"""Frame errors of Wi-Fi: convolutional codes with soft or hard decisions.

A frame is lost with probability 1 - (1 - p)^bits. With a soft-decision decoder, p is the error
event rate of the convolutional code by the union bound, at the SNR at which BPSK has the same
information per bit as the modulation; where the bound counts events several times, it is reduced to
simulated error rates of short frames. With a hard-decision decoder, p is the bit error rate by the
union and Bhattacharyya bounds.

Sources: Proakis, "Digital communications" (bit errors of M-QAM with Gray labels, union bounds for
convolutional codes); Caire, Taricco and Biglieri, "Bit-interleaved coded modulation", IEEE Trans.
Inf. Theory 44, 1998 (information per bit); Haccoun and Begin, IEEE Trans. Commun. 37, 1989, and
Frenger, Orten, Ottosson and Svensson, "Multi-rate convolutional codes", Chalmers, 1998 (weight
spectra of the punctured code 133, 171); Pei and Henderson, "Validation of OFDM error rate model in
ns-3", 2010 (the hard decoder, known as the NIST model).
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from wnsim.core.units import Floats, db_to_linear, linear_to_db
from wnsim.phy.bicm import information, snr_grid_db

Decoder = Literal["soft", "hard"]
Decoding = Literal["soft", "hard", "parity-checks"]
"""Decoder of the convolutional code, or of the low-density parity-check code."""

# By twelfths of the code rate: information bits per period of the puncturing, the free distance,
# and of each weight from there on the number of error events, and of information bits in error in
# them; zero where there is no such weight.
_SPECTRA: dict[int, tuple[int, int, tuple[float, ...], tuple[float, ...]]] = {
    6: (1, 10,
        (11, 0, 38, 0, 193, 0, 1331, 0, 7275, 0, 40406, 0, 234969),
        (36, 0, 211, 0, 1404, 0, 11633, 0, 77433, 0, 502690, 0, 3322763, 0, 21292910, 0,
         134365911)),
    8: (2, 6,
        (1, 16, 48, 158, 642, 2435, 9174),
        (3, 70, 285, 1276, 6160, 27128, 117019, 498860, 2103891, 8784123)),
    9: (3, 5,
        (8, 31, 160, 892, 4512),
        (42, 201, 1492, 10469, 62935, 379644, 2253373, 13073811, 75152755, 428005675)),
    10: (5, 4,
         (14, 69, 654, 4996, 39677),
         (92, 528, 8694, 79453, 792114, 7375573, 67884974, 610875423, 5427275376,
          47664215639)),
}  # fmt: skip

# By twelfths of the code rate: how many of the error events that the union bound counts begin, at
# 1e-4 of them per bit, 1e-3 and so on; from a simulated decoder. Fewer than 1e-5 are counted
# well, and at 100 per bit all is lost.
_OVERLAP: dict[int, tuple[float, ...]] = {
    6: (0.698, 0.423, 0.171, 0.0584, 0.0156, 0.00386),
    8: (0.762, 0.559, 0.308, 0.121, 0.0356),
    9: (0.922, 0.683, 0.384, 0.160, 0.0486),
    10: (0.832, 0.555, 0.296, 0.110, 0.0318),
}


def hard_decisions(snr: Floats, order: int, twelfths: int) -> Floats:
    """Return the bit error probability after a hard-decision decoder, at most 1."""
    from scipy.special import erfc

    if order == 1:
        raw = 0.5 * erfc(np.sqrt(snr))
    else:
        levels = 2.0 ** (order / 2)
        scale = 1.5 / (levels * levels - 1.0)
        raw = (1.0 - 1.0 / levels) / (order / 2) * erfc(np.sqrt(scale * snr))
    period, first, _, weights = _SPECTRA[twelfths]
    distance = np.sqrt(4.0 * raw * (1.0 - raw))
    # Horner's rule: additions and multiplications only, the same for one value or for many.
    total = np.zeros_like(distance)
    for weight in reversed(weights):
        total = total * distance + weight
    for _ in range(first):
        total = total * distance
    return np.asarray(np.minimum(total / (2.0 * period), 1.0))


def soft_decisions(snr: Floats, order: int, twelfths: int) -> Floats:
    """Return the error event rate per bit of a soft-decision decoder, at most 1."""
    from scipy.special import erfc

    binary = snr
    if order > 1:
        # SNR at which BPSK has the same information per bit as this modulation.
        per_bit, of_bpsk = information(order)[0] / order, information(2)[0] / 2.0
        grid_db = snr_grid_db()
        interpolated = np.interp(linear_to_db(snr), grid_db, per_bit)
        binary = db_to_linear(np.interp(interpolated, of_bpsk, grid_db)) / 2.0
    period, first, events, _ = _SPECTRA[twelfths]
    total = np.zeros_like(binary)
    for extra, count in enumerate(events):
        if count:
            total = total + 0.5 * count * erfc(np.sqrt((first + extra) * binary))
    bound = np.maximum(total / period, 1e-300)
    shares = np.array([1.0, *_OVERLAP[twelfths], 0.01])
    tens = np.array([*range(-5, shares.size - 6), 2.0])
    share_db = np.interp(linear_to_db(bound), 10.0 * tens, linear_to_db(shares))
    return np.asarray(np.minimum(bound * db_to_linear(share_db), 1.0))
