"""Frame errors of Wi-Fi's low-density parity-check codes.

A frame is a row of codewords of 1,944 bits, each of which is lost with the probability of the
normal approximation for bit-interleaved coded modulation: the information that a codeword receives
has a mean and a variance, and must exceed its information bits. Real decoders need more than that:
the SNR is lower by a loss of each scheme, and the variance three times as large.

Sources: IEEE 802.11-2020, 19.3.11.7 (codeword lengths); `bicm` (mean and variance); the losses are
those at which one in ten frames of 1,458 bytes is lost as in the link simulations of ns-3
(error-rate-tables.cc, University of Washington, 2020), and the variance is fitted to the slopes of
these curves.
"""

from __future__ import annotations

import numpy as np

from wnsim.core.units import Floats, linear_to_db
from wnsim.phy.bicm import information, snr_grid_db

CODEWORD_BITS = 1944
# By bits per subcarrier, and twelfths of the code rate [dB].
_LOSS_DB = {
    (1, 6): 1.19, (2, 6): 1.19, (2, 9): 0.63, (4, 6): 1.51, (4, 9): 0.68, (6, 8): 1.31,
    (6, 9): 1.07, (6, 10): 0.88, (8, 9): 1.28, (8, 10): 1.05, (10, 9): 1.52, (10, 10): 1.19,
}  # fmt: skip
_VARIANCE = 3.0


def parity_checks(snr: Floats, order: int, twelfths: int) -> Floats:
    """Return the rate of lost codewords per information bit, at most 1.

    A frame of a number of bits is lost with probability 1 - (1 - rate)^bits.

    Parameters
    ----------
    snr : (...,) SNR, linear
    order, twelfths : bits per subcarrier, and code rate times twelve, of a scheme with this code

    Returns
    -------
    (...,) rate
    """
    from scipy.special import log_ndtr

    with np.errstate(divide="ignore"):
        snr_db = linear_to_db(np.asarray(snr, dtype=np.float64)) - _LOSS_DB[order, twelfths]
    grid_db, (mean, variance) = snr_grid_db(), information(max(order, 2))
    if order == 1:
        # BPSK carries one of the two bits of QPSK, at twice the SNR.
        grid_db, mean, variance = grid_db - linear_to_db(2.0), mean / 2.0, variance / 2.0
    symbols, bits = CODEWORD_BITS / order, CODEWORD_BITS * twelfths / 12
    spread = np.sqrt(_VARIANCE * symbols * np.interp(snr_db, grid_db, variance))
    margin = symbols * np.interp(snr_db, grid_db, mean) - bits
    # Without noise there is no spread, and no codeword is lost; all are lost without a signal.
    received = log_ndtr(margin / np.maximum(spread, 1e-9))
    return np.asarray(-np.expm1(received / bits))
