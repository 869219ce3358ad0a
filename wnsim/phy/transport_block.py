"""NR transport block sizes, and resource blocks of a band.

Sources: 3GPP TS 38.214, clause 5.1.3.2 and Table 5.1.3.2-1 (sizes, one layer); TS 38.101-1
and 38.101-2, Table 5.3.2-1 of each (resource blocks of a band in FR1 and in FR2).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from wnsim.core.units import Floats, Ints

SUBCARRIERS = 12
SYMBOLS = 14
# Maximum number of data resource elements of a resource block in a slot.
_MAX_ELEMENTS = 156
_SMALL_BITS = 3824
_SMALL = np.array(
    [
        *range(24, 193, 8), *range(208, 385, 16), *range(408, 577, 24), *range(608, 769, 32),
        808, 848, 888, 928, 984, 1032, 1064, 1128, 1160, 1192, 1224, 1256, 1288, 1320, 1352, 1416,
        1480, 1544, 1608, 1672, 1736, 1800, 1864, 1928, 2024, 2088, 2152, 2216, 2280, 2408, 2472,
        2536, 2600, 2664, 2728, 2792, 2856, 2976, 3104, 3240, 3368, 3496, 3624, 3752, 3824,
    ],
    dtype=np.int64,
)  # fmt: skip
# Resource blocks by frequency range, subcarrier spacing [kHz] and band [MHz].
_RESOURCE_BLOCKS: dict[str, dict[int, dict[int, int]]] = {
    "fr1": {
        15: {5: 25, 10: 52, 15: 79, 20: 106, 25: 133, 30: 160, 35: 188, 40: 216, 45: 242, 50: 270},
        30: {
            5: 11, 10: 24, 15: 38, 20: 51, 25: 65, 30: 78, 35: 92, 40: 106, 45: 119, 50: 133,
            60: 162, 70: 189, 80: 217, 90: 245, 100: 273,
        },
        60: {
            10: 11, 15: 18, 20: 24, 25: 31, 30: 38, 35: 44, 40: 51, 45: 58, 50: 65,
            60: 79, 70: 93, 80: 107, 90: 121, 100: 135,
        },
    },
    "fr2": {
        60: {50: 66, 100: 132, 200: 264},
        120: {50: 32, 100: 66, 200: 132, 400: 264},
    },
}  # fmt: skip
_USED_SHARE = 0.9


def resource_blocks(bandwidth_hz: float, subcarrier_hz: float, frequency_range: str) -> float:
    """Return the number of resource blocks of a band.

    Parameters
    ----------
    bandwidth_hz : channel bandwidth, guard bands included [Hz]
    subcarrier_hz : subcarrier spacing [Hz]
    frequency_range : `fr1` or `fr2`

    Returns
    -------
    number of TS 38.101 if it has one; for other bands 90 % of the band in whole blocks, or in a
    fraction of one block if the band is narrower than that

    Raises
    ------
    ValueError
        if the range has no such subcarrier spacing, or no band as wide as this one
    """
    spacings, khz = _RESOURCE_BLOCKS[frequency_range], round(subcarrier_hz / 1e3)
    title = frequency_range.upper()
    if khz not in spacings:
        known = ", ".join(map(str, spacings))
        raise ValueError(f"subcarrier_hz must be one of {known} kHz in {title}, got {khz} kHz")
    table, widest = spacings[khz], max(spacings[khz])
    if bandwidth_hz > widest * 1e6:
        raise ValueError(
            f"bandwidth_hz must be at most {widest} MHz at a subcarrier spacing of {khz} kHz in "
            f"{title}, got {bandwidth_hz / 1e6:g} MHz"
        )
    count = table.get(round(bandwidth_hz / 1e6)) if bandwidth_hz % 1e6 == 0 else None
    if count is not None:
        return float(count)
    blocks = _USED_SHARE * bandwidth_hz / (SUBCARRIERS * subcarrier_hz)
    return float(np.floor(blocks)) if blocks >= 1.0 else blocks


def elements(blocks: ArrayLike, reference_elements: int) -> Floats:
    """Return the resource elements for data in one slot.

    Parameters
    ----------
    blocks : (...,) resource blocks; a fraction is a block used in that fraction of the slots
    reference_elements : elements of a block for reference signals or other overhead
    """
    each = min(_MAX_ELEMENTS, SUBCARRIERS * SYMBOLS - reference_elements)
    return np.asarray(each * np.asarray(blocks, dtype=np.float64))


def transport_bits(data_elements: ArrayLike, order: ArrayLike, rate: ArrayLike) -> Ints:
    """Return the transport block size on one layer, TS 38.214 clause 5.1.3.2.

    Parameters
    ----------
    data_elements : (...,) resource elements N_RE
    order : (...,) bits per symbol
    rate : (...,) target code rate

    Returns
    -------
    (...,) size [bit]; 0 without resource elements
    """
    rate = np.asarray(rate, dtype=np.float64)
    info = np.asarray(data_elements, dtype=np.float64) * rate * np.asarray(order)
    n = np.maximum(3.0, np.floor(np.log2(np.maximum(info, 1.0))) - 6.0)
    rounded = np.maximum(24.0, 2.0**n * np.floor(info / 2.0**n))
    place = np.searchsorted(_SMALL, np.minimum(rounded, _SMALL_BITS))
    large = np.maximum(info - 24.0, 1.0)
    n = np.floor(np.log2(large)) - 5.0
    # Ties are rounded up.
    rounded = np.maximum(3840.0, 2.0**n * np.floor(large / 2.0**n + 0.5)) + 24.0
    count = np.where(
        rate <= 0.25,
        np.ceil(rounded / 3816.0),
        np.where(rounded > 8424.0 + 24.0, np.ceil(rounded / 8424.0), 1.0),
    )
    split = 8.0 * count * np.ceil(rounded / (8.0 * count)) - 24.0
    bits = np.where(info <= _SMALL_BITS, _SMALL[place], split.astype(np.int64))
    return np.asarray(np.where(info > 0.0, bits, 0))
