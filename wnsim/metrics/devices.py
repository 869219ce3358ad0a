"""What devices spend and hold: `devices.csv`.

Sources: Jain, Chiu and Hawe, "A quantitative measure of fairness and discrimination for resource
allocation in shared computer systems", DEC-TR-301, 1984.
"""

from __future__ import annotations

import math
from typing import Any

import pandas as pd

DEFINITIONS = {
    "joules_total": "energy of all devices [J]",
    "joules_transmit": "of that sending [J]",
    "joules_receive": "receiving [J]",
    "joules_idle": "waiting [J]",
    "joules_compute": "computing [J]",
    "joules_per_megabit": "sending and receiving, over the sizes of delivered messages [J/Mbit]",
    "jain_energy": "Jain's index of devices' energies",
    "stored_bytes": "adapters and prompts' means that a device holds; mean at the end [byte]",
    "a_cosine": "mean |cos| between rows of different devices' frozen A",
    "a_block_norm": "largest ||A_i A_j^T||_2 of a layer and two devices, A frozen",
}

_JOULES = ("transmit", "receive", "idle", "compute")


def of_devices(devices: pd.DataFrame, delivered_bytes: float) -> dict[str, Any]:
    """Return the metrics of devices by name; those that were not recorded are left out.

    Parameters
    ----------
    devices : of a run
    delivered_bytes : sizes of all messages that were delivered [byte]
    """
    metrics: dict[str, Any] = {}
    if "transmit_j" in devices:
        spent = {name: devices[f"{name}_j"] for name in _JOULES}
        total = sum(spent.values())
        metrics["joules_total"] = total.sum()
        metrics |= {f"joules_{name}": values.sum() for name, values in spent.items()}
        radio_j = (spent["transmit"] + spent["receive"]).sum()
        megabits = 8e-6 * delivered_bytes
        metrics["joules_per_megabit"] = radio_j / megabits if megabits else math.nan
        metrics["jain_energy"] = jain(total)
    if devices["stored_bytes"].notna().any():
        metrics["stored_bytes"] = devices["stored_bytes"].mean()
    if devices["a_cosine"].notna().any():
        metrics["a_cosine"] = devices["a_cosine"].mean()
        metrics["a_block_norm"] = devices["a_block_norm"].max()
    return metrics


def jain(values: pd.Series) -> float:
    """Return (sum x)^2 / (n sum x^2), from 1/n to 1 where all are equal; NaN if all are zero."""
    squares = float((values**2).sum())
    return float(values.sum()) ** 2 / (len(values) * squares) if squares else math.nan
