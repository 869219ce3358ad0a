"""Assignment of devices to resource blocks, and the expected error rate of a block.

Sources: Chen, Yang, Saad, Yin, Poor and Cui, "A joint learning and communications framework for
federated learning over wireless networks", IEEE Trans. Wireless Commun. 20(1), 2021.
"""

from __future__ import annotations

import numpy as np

from wnsim.core.units import Floats, Ints


def block_error(waterfall: float, snr: Floats) -> Floats:
    """Return the expected error rate of a block under Rayleigh fading.

    With the rate 1 - exp(-m / s) at an SNR s that is exponentially distributed with mean S, it is
    1 - x K1(x), where x = 2 sqrt(m / S) and K1 is the modified Bessel function of the second kind.

    Parameters
    ----------
    waterfall : m, linear
    snr : (...,) mean SNR S, linear; the rate is 1 where it is zero or NaN

    Examples
    --------
    >>> block_error(1.0, np.array([0.0, 1.0, 1e3])).round(4).tolist()
    [1.0, 0.7203, 0.0068]
    """
    from scipy.special import k1

    heard = snr > 0.0
    x = 2.0 * np.sqrt(waterfall / np.where(heard, snr, 1.0))
    return np.where(heard, 1.0 - x * k1(x), 1.0)


def assignment(value: Floats, most: int | None = None) -> Ints:
    """Return the blocks of devices with the largest sum of values, by the Hungarian algorithm.

    Parameters
    ----------
    value : (n, blocks) value of each device on each block, not negative
    most : largest number of devices that get a block; none: as many as there are blocks

    Returns
    -------
    (n,) block of each device, -1 for none; no two devices have the same

    Examples
    --------
    >>> assignment(np.array([[3.0, 2.0], [4.0, 0.0], [1.0, 1.0]])).tolist()
    [1, 0, -1]
    >>> assignment(np.array([[3.0, 2.0], [4.0, 0.0], [1.0, 1.0]]), most=1).tolist()
    [-1, 0, -1]
    """
    from scipy.optimize import linear_sum_assignment

    count, blocks = value.shape
    # Whoever takes a block that must stay free is worth more than all devices together.
    free = max(blocks - (blocks if most is None else most), 0)
    nobody = np.full((free, blocks), 1.0 + value.sum())
    device, block = linear_sum_assignment(np.concatenate([value, nobody]), maximize=True)
    found = np.full(count, -1, dtype=np.int64)
    taken = device < count
    found[device[taken]] = block[taken]
    return found
