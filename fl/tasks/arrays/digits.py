"""Handwritten digits that come with scikit-learn: 1797 images of 8 by 8 pixels.

Sources: Alpaydin and Kaynak, "Optical recognition of handwritten digits", UCI machine learning
repository, 1998, of which scikit-learn has the test part.
"""

from __future__ import annotations

import importlib
import importlib.util
from typing import Any

import numpy as np

from ...config.tasks import DIGITS
from .dataset import Dataset, Part

CLASSES = 10
_TEST_SHARE = 0.2


def check_installed() -> None:
    """Raise ValueError if scikit-learn is missing."""
    if importlib.util.find_spec("sklearn") is None:
        raise ValueError("arrays digits needs scikit-learn: pip install 'wnsim[digits]'")


def read(seed: int | None) -> Dataset:
    """Return the digits, a fifth of each class for tests.

    Parameters
    ----------
    seed : 0 or more; seed of the choice of the test images; None for the first ones

    Raises
    ------
    ValueError
        if scikit-learn is missing
    """
    check_installed()
    datasets: Any = importlib.import_module("sklearn.datasets")
    found = datasets.load_digits()
    images, labels = found.images.astype(np.float32), found.target
    order = np.arange(len(labels))
    if seed is not None:
        order = np.random.default_rng([seed, *DIGITS.encode()]).permutation(len(labels))
    is_test = np.zeros(len(labels), dtype=np.bool_)
    for label in range(CLASSES):
        of_class = order[labels[order] == label]
        is_test[of_class[: round(_TEST_SHARE * len(of_class))]] = True
    train, test = (Part.of(images[own], labels[own], DIGITS) for own in (~is_test, is_test))
    return Dataset.of(train, test, DIGITS)
