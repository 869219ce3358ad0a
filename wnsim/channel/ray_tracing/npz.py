"""Traced paths from arrays by name, and reader of these from a NumPy file, `.npz`.

The arrays are those of `paths.TracedPaths`; `tx_m`, `rx_m`, `gain_db` and `frequency_hz` are
required, others of the list are optional, and there are no further ones. The file is untrusted: its
sizes are bounded, and it holds numbers, not pickled objects.
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wnsim.channel.ray_tracing.paths import TracedPaths
from wnsim.core.files import opened

REQUIRED = ("frequency_hz", "tx_m", "rx_m", "gain_db")
_TYPES: dict[str, type[np.generic]] = {
    "frequency_hz": np.float64,
    "tx_m": np.float64,
    "rx_m": np.float64,
    "gain_db": np.float32,
    "phase_deg": np.float32,
    "delay_s": np.float64,
    "arrival_deg": np.float32,
    "departure_deg": np.float32,
    "interactions": np.int64,
}
# Largest size of all arrays of a file, and of a file [byte].
MOST_BYTES = 4 << 30
# Problems of damaged files: of the archive, of its compression, and of the arrays in it.
_DAMAGE = (
    zipfile.BadZipFile, zlib.error, ValueError, KeyError, EOFError, OSError, MemoryError,
    NotImplementedError, RuntimeError, OverflowError, SyntaxError, TypeError,
)  # fmt: skip


def traced_paths(file: str, arrays: Mapping[str, NDArray[Any]]) -> TracedPaths:
    """Return the paths of a file.

    Parameters
    ----------
    file : path of the file, for messages
    arrays : its arrays by name

    Raises
    ------
    ValueError
        if they are not those of a traced file
    """
    missing = [name for name in REQUIRED if name not in arrays]
    if missing:
        raise ValueError(f"{file}: a traced file needs the array {missing[0]}, and there is none")
    for name in arrays:
        if name not in _TYPES:
            raise ValueError(
                f"{file}: an array must be one of {', '.join(_TYPES)}, got {name[:40]!r}"
            )
    made: dict[str, Any] = {name: _numbers(file, name, array) for name, array in arrays.items()}
    if made["frequency_hz"].size != 1:
        raise ValueError(
            f"{file}: frequency_hz must be one number, got the shape {made['frequency_hz'].shape}"
        )
    made["frequency_hz"] = float(made["frequency_hz"].item())
    return TracedPaths(file, **made)


def read_arrays(file: str) -> dict[str, NDArray[Any]]:
    """Return the arrays of a `.npz` file by name.

    Raises
    ------
    ValueError
        if the file cannot be read or is damaged, is too large, or holds objects
    """

    def error(what: str) -> ValueError:
        return ValueError(f"{file}: {what}")

    # Missing files, folders and pipes have messages of their own.
    with opened(file, error):
        pass
    try:
        with zipfile.ZipFile(file) as archive:
            total = sum(member.file_size for member in archive.infolist())
            if total > MOST_BYTES:
                raise error(f"arrays may have at most {MOST_BYTES} bytes in total, got {total}")
        with np.load(file, allow_pickle=False) as stored:
            return {name: stored[name] for name in stored.files}
    except _DAMAGE as problem:
        if str(problem).startswith(file):
            raise
        if "allow_pickle" in str(problem):
            raise error("arrays must hold numbers, got objects (pickles can run code)") from None
        kind = " ".join(str(problem).split())[:100] or type(problem).__name__
        raise error(f"is not a readable .npz file of NumPy: {kind}") from None


def _numbers(file: str, name: str, array: Any) -> NDArray[Any]:
    """Return an array in its type."""
    kinds = "iu" if name == "interactions" else "iuf"
    if not isinstance(array, np.ndarray) or array.dtype.kind not in kinds:
        what = "whole numbers" if name == "interactions" else "real numbers"
        kind = getattr(array, "dtype", "something else")
        raise ValueError(f"{file}: {name} must hold {what}, got {kind}")
    with np.errstate(over="ignore"):
        return np.ascontiguousarray(array, dtype=_TYPES[name])
