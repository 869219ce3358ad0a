"""SNR measurements: what devices know of their links when it has to be measured with probes."""

from __future__ import annotations

import numpy as np

from wnsim.core.transfer import Transfer
from wnsim.core.units import Floats


class SnrMeasurements:
    """The last SNR measured on each link.

    Parameters
    ----------
    devices : number of devices
    valid_s : how long a measurement is valid [s]
    """

    def __init__(self, devices: int, valid_s: float) -> None:
        self._devices = devices
        self._valid_s = valid_s
        self._measured: dict[tuple[int, int], tuple[float, float]] = {}

    def record(self, transfer: Transfer) -> None:
        """Record the mean SINR of a probe that was delivered."""
        link = (transfer.message.source, transfer.message.target)
        self._measured[link] = (transfer.ended_s, transfer.mean_snr_db)

    def snr_db(self, now_s: float) -> Floats:
        """Return the valid measurements (devices, devices), minus infinity elsewhere [dB]."""
        measured_db = np.full((self._devices, self._devices), -np.inf)
        for link, (time_s, snr_db) in self._measured.items():
            if time_s >= now_s - self._valid_s:
                measured_db[link] = snr_db
        return measured_db
