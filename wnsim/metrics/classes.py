"""Metrics of devices on their own distribution of classes (`classes.csv`)."""

from __future__ import annotations

from typing import Any

import pandas as pd

DEFINITIONS = {
    "accuracy_own_data": (
        "accuracy at the end by class, weighted by a device's training examples of each class; "
        "mean over devices"
    ),
    "accuracy_worst_class": "accuracy at the end on the class with the lowest mean over devices",
}


def of_classes(classes: pd.DataFrame) -> dict[str, Any]:
    """Return the metrics of classes by name; none without a test.

    Classes without test examples are left out.
    """
    tested = classes[classes["accuracy"].notna()]
    if tested.empty:
        return {}
    last = tested[tested["round"] == tested["round"].max()]
    right = (last["accuracy"] * last["train_examples"]).groupby(last["device"]).sum()
    trained = last.groupby("device")["train_examples"].sum()
    return {
        "accuracy_own_data": (right / trained).mean(),
        "accuracy_worst_class": last.groupby("class_number")["accuracy"].mean().min(),
    }
