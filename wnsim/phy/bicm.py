"""Bit-interleaved coded modulation on Gray-labeled QAM: moments of the information density.

The information density of one symbol is the sum over its bits of log2 of the likelihood of the
transmitted bit over the mean likelihood of both; its mean I is the rate achievable with long codes,
its variance V determines the loss with short ones.

Sources: Caire, Taricco and Biglieri, "Bit-interleaved coded modulation", IEEE Trans. Inf. Theory
44, 1998 (the mean); Polyanskiy, Poor and Verdu, "Channel coding rate in the finite blocklength
regime", IEEE Trans. Inf. Theory 56, 2010 (the variance and its use).
"""

from __future__ import annotations

import functools
import math

import numpy as np

from wnsim.core.units import Floats

SNR_MIN_DB = -30.0
SNR_MAX_DB = 50.0
SNR_STEP_DB = 0.1
_NODES = 64


def snr_grid_db() -> Floats:
    """Return the SNRs at which `information` is tabulated [dB]."""
    count = round((SNR_MAX_DB - SNR_MIN_DB) / SNR_STEP_DB) + 1
    return np.linspace(SNR_MIN_DB, SNR_MAX_DB, count)


@functools.cache
def information(modulation_order: int) -> tuple[Floats, Floats]:
    """Return mean and variance of the information density of square QAM on the SNR grid.

    Parameters
    ----------
    modulation_order : bits per symbol, even

    Returns
    -------
    mean : (G,) bits per symbol
    variance : (G,) squared bits per symbol
    """
    # A square QAM symbol is two independent PAM symbols of half the energy and noise.
    bits = modulation_order // 2
    rank = np.arange(2**bits)
    label = rank ^ (rank >> 1)
    level = (2 * rank + 1 - 2**bits) * math.sqrt(1.5 / (4**bits - 1))
    node, weight = np.polynomial.hermite.hermgauss(_NODES)
    amplitude = np.sqrt(10.0 ** (snr_grid_db() / 10.0))[:, None, None]
    moments = np.zeros((2, amplitude.size))
    # By symmetry, half of the symbols are enough.
    for sent in rank[: rank.size // 2]:
        gap = amplitude * (level[sent] - level)
        # (G, nodes, symbols): likelihood of each symbol over that of the transmitted one, whose own
        # is 1; none exceeds exp(node^2), about 1e48.
        likelihood = np.exp(-gap * (gap + 2.0 * node[:, None]))
        density = bits - bits * np.log2(likelihood.sum(axis=-1))
        for bit in range(bits):
            alike = (label >> bit & 1) == (label[sent] >> bit & 1)
            density += np.log2(likelihood[..., alike].sum(axis=-1))
        share = 2.0 * weight / (math.sqrt(math.pi) * rank.size)
        moments += np.stack([density @ share, density**2 @ share])
    mean, square = moments
    return 2.0 * mean, 2.0 * np.maximum(square - mean**2, 0.0)
