"""Keys of the channel model `ray-traced`."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from wnsim.channel.ray_tracing.deepmimo import data_set_files, read_deepmimo
from wnsim.channel.ray_tracing.hdf5 import SUFFIXES, read_data_sets
from wnsim.channel.ray_tracing.links import TracedLinks
from wnsim.channel.ray_tracing.npz import read_arrays, traced_paths
from wnsim.channel.ray_tracing.paths import TracedPaths
from wnsim.core.params import parameters
from wnsim.core.units import Floats

Coordinate = Annotated[float, Field(ge=-1e7, le=1e7)]
# Largest distance of a base station from its transmitter [m].
_SAME_PLACE_M = 0.5


@parameters
class RayTraced:
    """Links from a file of a ray tracer, in place of all models.

    Without keys of their own, the area, the carrier frequency and the base stations are those of
    the file. Antennas are those of the file too.

    Parameters
    ----------
    file : NumPy file `.npz`, or HDF5 file `.h5` or `.hdf5`, of traced paths or of a map of gains;
        or folder of a data set of DeepMIMO 4
    interpolation : `nearest` for the paths of the nearest traced receiver, whose phases follow the
        distance from it; `linear` for amplitudes and lengths of paths in between those of the four
        receivers around, which must be on a rectangular grid
    origin_m : position in the file of the area's corner (0, 0) [m]; none: the least x and y of the
        receivers
    snap_m : distance from all traced receivers beyond which a device is out of coverage [m]; none:
        the largest distance of a receiver from the nearest other one
    subbands : number of subbands with separate responses, each at its center
    propagation_delay : whether signals travel at the speed of light, over the distance
    """

    model: Literal["ray-traced"] = "ray-traced"
    file: Annotated[str, Field(min_length=1)]
    interpolation: Literal["nearest", "linear"] = "nearest"
    origin_m: tuple[Coordinate, Coordinate] | None = None
    snap_m: Annotated[float, Field(gt=0, le=1e6)] | None = None
    subbands: Annotated[int, Field(ge=1, le=256)] = 1
    propagation_delay: bool = False

    def paths(self) -> TracedPaths:
        """Return the content of the file.

        Raises
        ------
        ValueError
            if it cannot be read or is malformed
        """
        return _read(self.file, _stamp(self.file))

    def corner_m(self) -> Floats:
        """Return the position in the file of the area's corner (0, 0), (2,) [m]."""
        if self.origin_m is not None:
            return np.array(self.origin_m)
        return np.asarray(self.paths().rx_m[:, :2].min(axis=0))

    def links(
        self, count: int, stations_m: Floats, *, frequency_hz: float, between_devices: bool
    ) -> TracedLinks:
        """Return the links of a scenario.

        Parameters
        ----------
        count : number of devices, whose numbers come before those of base stations
        stations_m : (stations, 2) positions of the base stations in the area [m]
        frequency_hz : carrier frequency [Hz]
        between_devices : whether the scenario has links between devices

        Raises
        ------
        ValueError
            if the file cannot be used, or does not have the base stations or the links
        """
        paths, corner_m = self.paths(), self.corner_m()
        if not np.isclose(frequency_hz, paths.frequency_hz, rtol=0.01):
            raise paths.error(
                f"the paths are of a carrier at {paths.frequency_hz:g} Hz, and "
                f"radio.frequency_hz is {frequency_hz:g}"
            )
        links = TracedLinks(
            paths,
            count,
            self._transmitters(paths, stations_m + corner_m),
            corner_m,
            linear=self.interpolation == "linear",
            snap_m=self.snap_m,
        )
        if between_devices and not links.traces_both_ends():
            raise paths.error(
                "devices send to devices in this scenario, and the file has links from "
                f"{len(paths.tx_m)} transmitters to {len(paths.rx_m)} receivers, not between "
                "receivers; it needs a transmitter at each receiver, or mac cell with base_stations"
            )
        return links

    @staticmethod
    def _transmitters(paths: TracedPaths, stations_m: Floats) -> list[int]:
        """Return the transmitter at the position of each base station."""
        found: list[int] = []
        for number, place_m in enumerate(stations_m):
            apart_m = np.hypot(*(paths.tx_m[:, :2] - place_m).T)
            # Transmitters at one place are several base stations, in their order.
            apart_m[found] = np.inf
            nearest = int(np.argmin(apart_m))
            if apart_m[nearest] > _SAME_PLACE_M:
                places = ", ".join(f"({x:g}, {y:g})" for x, y, _ in paths.tx_m[:5].tolist())
                raise paths.error(
                    f"base station {number} must be at a transmitter of its own, of those at "
                    f"{places}{' ...' * (len(paths.tx_m) > 5)} m in the file, got "
                    f"({place_m[0]:g}, {place_m[1]:g}); without base_stations.positions_m they "
                    "are at the transmitters"
                )
            found.append(nearest)
        return found

    def files(self) -> list[Path]:
        """Return the files that are read."""
        path = Path(self.file)
        return [Path(name) for name in data_set_files(self.file)] if path.is_dir() else [path]


def _stamp(file: str) -> tuple[int, int]:
    """Return what changes when a file does."""
    try:
        found = Path(file).stat()
    except OSError:
        return 0, 0
    return found.st_mtime_ns, found.st_size


# A run reads its file for its base stations, its links, and its notes.
@lru_cache(maxsize=2)
def _read(file: str, stamp: tuple[int, int]) -> TracedPaths:
    """Return the content of a file."""
    if Path(file).is_dir():
        return read_deepmimo(file)
    read = read_data_sets if Path(file).suffix in SUFFIXES else read_arrays
    return traced_paths(file, read(file))
