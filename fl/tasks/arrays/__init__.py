"""Tasks from arrays: classification of images or other arrays of one shape.

Files are untrusted: nothing is unpickled, links are not followed, and sizes are bounded before
memory is allocated.
"""

from __future__ import annotations

from .dataset import Dataset, Part
from .load import check_arrays, load_arrays
from .task import ArrayTask, Samples

__all__ = ["ArrayTask", "Dataset", "Part", "Samples", "check_arrays", "load_arrays"]
