"""Oxygen absorption around 60 GHz.

Source: 3GPP TR 38.901 V19.4.0, clause 7.6.1, Table 7.6.1-1.
"""

from __future__ import annotations

import numpy as np

# Loss [dB/km] at 52, 53, ... 68 GHz, zero outside.
_FIRST_GHZ = 52
_LOSS_DB_PER_KM = (
    0.0, 1.0, 2.2, 4.0, 6.6, 9.7, 12.6, 14.6, 15.0, 14.6, 14.3, 10.5, 6.8, 3.9, 1.9, 1.0, 0.0,
)  # fmt: skip


def oxygen_db_per_m(frequency_hz: float) -> float:
    """Return the loss by oxygen at a carrier frequency [Hz], in dB/m, interpolated linearly."""
    carriers_ghz = _FIRST_GHZ + np.arange(len(_LOSS_DB_PER_KM))
    return float(np.interp(frequency_hz / 1e9, carriers_ghz, _LOSS_DB_PER_KM)) / 1e3
