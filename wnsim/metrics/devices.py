"""Energy, storage and projection overlap of devices (`devices.csv`).

Sources: Jain, Chiu and Hawe, "A quantitative measure of fairness and discrimination for resource
allocation in shared computer systems", DEC-TR-301, 1984.
"""

from __future__ import annotations

import math
from typing import Any

import pandas as pd

DEFINITIONS = {
    "energy_total_j": "energy of all devices [J]",
    "energy_tx_j": "energy spent on transmission [J]",
    "energy_rx_j": "energy spent on reception [J]",
    "energy_idle_j": "energy spent idle [J]",
    "energy_compute_j": "energy spent on computation [J]",
    "energy_per_megabit_j": "energy of transmission and reception per delivered megabit [J/Mbit]",
    "jain_energy": "Jain's fairness index of the devices' energy",
    "stored_bytes": "adapters and prompt centroids cached on a device; mean at the end [byte]",
    "a_cosine": "mean |cos| between rows of the frozen A of different devices",
    "a_block_norm": "largest ||A_i A_j^T||_2 over layers and pairs of devices, A frozen",
}

ENERGIES = ["energy_tx_j", "energy_rx_j", "energy_idle_j", "energy_compute_j"]
"""Columns of devices.csv and energy.csv."""


def of_devices(devices: pd.DataFrame, delivered_bytes: float) -> dict[str, Any]:
    """Return the metrics of devices by name, as far as they were recorded.

    Parameters
    ----------
    devices : devices of a run
    delivered_bytes : size of all delivered messages [byte]
    """
    metrics: dict[str, Any] = {}
    if "energy_tx_j" in devices:
        spent = {name: devices[name] for name in ENERGIES}
        total = sum(spent.values())
        metrics["energy_total_j"] = total.sum()
        metrics |= {name: values.sum() for name, values in spent.items()}
        radio_j = (spent["energy_tx_j"] + spent["energy_rx_j"]).sum()
        megabits = 8e-6 * delivered_bytes
        metrics["energy_per_megabit_j"] = radio_j / megabits if megabits else math.nan
        metrics["jain_energy"] = jain(total)
    if devices["stored_bytes"].notna().any():
        metrics["stored_bytes"] = devices["stored_bytes"].mean()
    if devices["a_cosine"].notna().any():
        metrics["a_cosine"] = devices["a_cosine"].mean()
        metrics["a_block_norm"] = devices["a_block_norm"].max()
    return metrics


def jain(values: pd.Series) -> float:
    """Return (sum x)^2 / (n sum x^2), between 1/n and 1 (all equal); NaN if all are zero."""
    squares = float((values**2).sum())
    return float(values.sum()) ** 2 / (len(values) * squares) if squares else math.nan
