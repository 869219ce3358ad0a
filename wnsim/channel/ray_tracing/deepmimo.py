"""Reader of data sets of DeepMIMO 4: a folder with `params.json` and a file for each matrix.

The matrices of the transmitter i of the set s for the receivers of the set r are in files such as
`power_t00s_tx00i_r00r.npz`, or `.mat` of MATLAB. All transmitters are read, and all sets that
receive only; powers are received powers for 0 dBW, which are gains. Converters of DeepMIMO write
this format from Wireless InSite, AODT and Sionna RT.

Phases are those of the received path, except in data sets that were converted from Sionna RT: its
path coefficients leave out the phase of the carrier over the delay, which the conversion does not
add (DeepMIMO 4.0.5), so that it is added here. DeepMIMO divides the power of each path by the
number of subcarriers in its frequency responses; gains here are not divided.

Source: Alkhateeb, "DeepMIMO: A generic deep learning dataset for millimeter wave and massive MIMO
applications", ITA 2019, and version 4.0.5 of its software.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wnsim.channel.ray_tracing.npz import read_arrays
from wnsim.channel.ray_tracing.paths import MAX_PATHS, MAX_POINTS, TracedPaths
from wnsim.core.files import opened

_PARAMETERS = "params.json"
_MOST_BYTES = 64 << 20
# Matrices by their name in files: all are (receivers, paths).
_MATRICES = ("power", "phase", "delay", "aoa_az", "aoa_el", "aod_az", "aod_el", "inter")
_SUFFIXES = (".npz", ".mat")
_MOST_SETS, _MOST_ANTENNAS = 1000, 1


def read_deepmimo(folder: str) -> TracedPaths:
    """Return the paths of a data set.

    Parameters
    ----------
    folder : folder of the data set

    Raises
    ------
    ValueError
        if a file is missing or malformed, or the data set is one of moving scenes or of arrays
    """
    data_set = _DataSet(folder)
    blocks: list[dict[str, NDArray[Any]]] = []
    tx_m: list[NDArray[Any]] = []
    rx_m: list[NDArray[Any]] = []
    for number, (tx_set, tx) in enumerate(data_set.transmitters()):
        found = [data_set.block(tx_set, tx, rx_set) for rx_set in data_set.receivers]
        if number == 0:
            rx_m = [block["rx_pos"] for block in found]
        for own, block in zip(rx_m, found, strict=True):
            if own.shape != block["rx_pos"].shape or not np.array_equal(own, block["rx_pos"]):
                raise data_set.error("all transmitters must have the same receivers")
        tx_m.append(found[0]["tx_pos"])
        blocks.append(_joined(found))
    most = max(block["power"].shape[1] for block in blocks)
    if len(blocks) * sum(map(len, rx_m)) * most > MAX_PATHS:
        raise data_set.error(f"there may be at most {MAX_PATHS} paths, got more")
    # [transmitters, receivers, paths]
    stacked = {
        name: np.stack([_widened(block[name], most) for block in blocks]) for name in _MATRICES
    }
    phase_deg = stacked["phase"].astype(np.float64)
    if data_set.is_sionna:
        phase_deg -= 360.0 * ((data_set.frequency_hz * stacked["delay"].astype(np.float64)) % 1.0)
    absent = np.isnan(stacked["power"])
    return TracedPaths(
        folder,
        data_set.frequency_hz,
        np.stack(tx_m).astype(np.float64),
        np.concatenate(rx_m).astype(np.float64),
        stacked["power"].astype(np.float32),
        phase_deg.astype(np.float32),
        stacked["delay"].astype(np.float64),
        np.stack([stacked["aoa_az"], stacked["aoa_el"]], axis=-1).astype(np.float32),
        np.stack([stacked["aod_az"], stacked["aod_el"]], axis=-1).astype(np.float32),
        np.where(absent, -1.0, np.nan_to_num(stacked["inter"], nan=-1.0)).astype(np.int64),
    )


def data_set_files(folder: str) -> list[Path]:
    """Return the files of a data set that are read, in order."""
    data_set = _DataSet(folder)
    return [Path(folder) / _PARAMETERS, *data_set.files()]


class _DataSet:
    """The parameters of a data set, and its files."""

    def __init__(self, folder: str) -> None:
        self._folder = Path(folder)
        parameters = self._parameters()
        tracing, sets, scene = (
            self._section(parameters, name) for name in ("rt_params", "txrx_sets", "scene")
        )
        self.frequency_hz = self._number(tracing, "frequency", 1e6, 1e12)
        self.is_sionna = str(tracing.get("raytracer_name", "")).lower().startswith("sionna")
        scenes = self._number(scene, "num_scenes", 1, 1e9)
        if scenes > 1:
            raise self.error(f"a data set must be of one scene that stands still, got {scenes:g}")
        if len(sets) > _MOST_SETS:
            raise self.error(f"there may be at most {_MOST_SETS} sets of points, got {len(sets)}")
        self._sets: dict[int, dict[str, Any]] = {}
        for name in sets:
            content = self._section(sets, name)
            if self._number(content, "num_ant", 1, 1e6) > _MOST_ANTENNAS:
                raise self.error(
                    f"{name} must have one antenna at each point, got {content['num_ant']}"
                )
            self._sets[int(self._number(content, "id", 0, 999))] = content
        senders = [number for number, each in self._sets.items() if each.get("is_tx")]
        listeners = [number for number, each in self._sets.items() if each.get("is_rx")]
        self.receivers = [each for each in listeners if each not in senders] or listeners
        self._senders = senders
        if not senders or not self.receivers:
            raise self.error("there must be a set of transmitters and one of receivers")

    def transmitters(self) -> Iterator[tuple[int, int]]:
        """Yield the set of each transmitter, and its number in it."""
        for number in self._senders:
            count = self._number(self._sets[number], "num_points", 1, MAX_POINTS)
            yield from ((number, tx) for tx in range(int(count)))

    def block(self, tx_set: int, tx: int, rx_set: int) -> dict[str, NDArray[Any]]:
        """Return the matrices of one transmitter and one set of receivers, and the positions."""
        found = {name: self._matrix(name, tx_set, tx, rx_set) for name in _MATRICES}
        rx_m = self._matrix("rx_pos", tx_set, tx, rx_set)
        tx_m = self._matrix("tx_pos", tx_set, tx, rx_set)
        shape = found["power"].shape
        if rx_m.ndim != 2 or rx_m.shape[1] != 3 or shape[:1] != rx_m.shape[:1] or len(shape) != 2:
            raise self.error(
                f"power must have the shape (receivers, paths) and rx_pos (receivers, 3), got "
                f"{shape} and {rx_m.shape}"
            )
        for name, matrix in found.items():
            if matrix.shape != shape:
                raise self.error(f"{name} must have the shape {shape}, got {matrix.shape}")
        if tx_m.size != 3:
            raise self.error(f"tx_pos must be one position, got the shape {tx_m.shape}")
        return found | {"rx_pos": rx_m, "tx_pos": tx_m.reshape(3)}

    def files(self) -> Iterator[Path]:
        """Yield the files of all matrices."""
        for tx_set, tx in self.transmitters():
            for rx_set in self.receivers:
                for name in (*_MATRICES, "rx_pos", "tx_pos"):
                    yield self._file(name, tx_set, tx, rx_set)

    def error(self, what: str) -> ValueError:
        """Return an error of the data set."""
        return ValueError(f"{self._folder}: {what}")

    def _parameters(self) -> dict[str, Any]:
        """Return the content of the file of parameters."""
        path = self._folder / _PARAMETERS
        if not path.exists():
            raise self.error(
                f"a data set of DeepMIMO 4 has a file {_PARAMETERS}, and there is none"
            )
        with opened(str(path), self.error) as stream:
            text = stream.read(_MOST_BYTES + 1)
        if len(text) > _MOST_BYTES:
            raise self.error(f"{_PARAMETERS} may have at most {_MOST_BYTES} bytes, got more")
        try:
            content = json.loads(text)
        except (ValueError, RecursionError) as problem:
            raise self.error(f"{_PARAMETERS} is not JSON: {problem}") from None
        if not isinstance(content, dict):
            raise self.error(f"{_PARAMETERS} must hold an object")
        return content

    def _section(self, parent: dict[str, Any], name: str) -> dict[str, Any]:
        value = parent.get(name)
        if not isinstance(value, dict):
            raise self.error(f"{_PARAMETERS}: {name} must be an object")
        return value

    def _number(self, section: dict[str, Any], name: str, least: float, most: float) -> float:
        value = section.get(name)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self.error(f"{_PARAMETERS}: {name} must be a number, got {str(value)[:40]!r}")
        if not least <= value <= most:
            raise self.error(
                f"{_PARAMETERS}: {name} must be from {least:g} to {most:g}, got {value:g}"
            )
        return float(value)

    def _file(self, name: str, tx_set: int, tx: int, rx_set: int) -> Path:
        """Return the file of a matrix."""
        stem = f"{name}_t{tx_set:03}_tx{tx:03}_r{rx_set:03}"
        for suffix in _SUFFIXES:
            path = self._folder / f"{stem}{suffix}"
            if path.exists():
                return path
        raise self.error(f"there must be a file {stem}.npz or .mat, and there is none")

    def _matrix(self, name: str, tx_set: int, tx: int, rx_set: int) -> NDArray[Any]:
        """Return a matrix of real numbers."""
        path = self._file(name, tx_set, tx, rx_set)
        arrays = read_arrays(str(path)) if path.suffix == ".npz" else _read_mat(path, name)
        if name not in arrays:
            raise ValueError(f"{path}: there must be an array {name}, and there is none")
        matrix = arrays[name]
        if not isinstance(matrix, np.ndarray) or matrix.dtype.kind not in "iuf":
            raise ValueError(f"{path}: {name} must hold real numbers")
        return matrix


def _read_mat(path: Path, name: str) -> dict[str, Any]:
    """Return an array of a file of MATLAB, by name."""
    from scipy.io import loadmat

    def error(what: str) -> ValueError:
        return ValueError(f"{path}: {what}")

    with opened(str(path), error):
        pass
    try:
        found: dict[str, Any] = loadmat(path, variable_names=[name])
    # The reader meets damage with many kinds of exceptions.
    except Exception as problem:
        kind = " ".join(str(problem).split())[:100] or type(problem).__name__
        raise error(f"is not a readable file of MATLAB: {kind}") from None
    return found


def _joined(found: list[dict[str, NDArray[Any]]]) -> dict[str, NDArray[Any]]:
    """Return the matrices of several sets of receivers as one."""
    most = max(block["power"].shape[1] for block in found)
    return {
        name: np.concatenate([_widened(block[name], most) for block in found]) for name in _MATRICES
    }


def _widened(matrix: NDArray[Any], paths: int) -> NDArray[Any]:
    """Return a matrix with more columns, of NaN."""
    rows, columns = matrix.shape
    if columns == paths:
        return matrix.astype(np.float64)
    return np.hstack([matrix.astype(np.float64), np.full((rows, paths - columns), np.nan)])
