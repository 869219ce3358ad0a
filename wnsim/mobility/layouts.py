"""Layouts of static devices: random, with a minimum distance, clustered, or on a grid.

A random layout draws each device's position from a stream of its own, so that it does not depend on
the number of devices.

Sources: Thomas, "A generalization of Poisson's binomial limit for use in ecology", Biometrika 36,
1949, and Matern, "Spatial Variation", 1960 (clusters); Palasti, "On some random space filling
problems", 1960 (sequential inhibition).
"""

from __future__ import annotations

import math
from collections import defaultdict

import numpy as np

from wnsim.core import streams
from wnsim.core.units import Floats
from wnsim.mobility.paths import reflect

_TRIES = 2000


def uniform(count: int, area_m: tuple[float, float], seed: int) -> Floats:
    """Return independent uniform positions (count, 2) [m]."""
    draws = [streams.generator(seed, "mobility", n).random(2) for n in range(count)]
    return np.asarray(np.array(draws) * np.array(area_m))


def apart(count: int, area_m: tuple[float, float], seed: int, min_distance_m: float) -> Floats:
    """Return uniform positions (count, 2) [m] with a minimum distance, drawn sequentially.

    Raises
    ------
    ValueError
        if no position is found for a device in 2,000 tries
    """
    # Cells as wide as the distance: only the cell and its neighbors can hold a conflict.
    cells: dict[tuple[int, int], list[tuple[float, float]]] = defaultdict(list)
    places_m = np.empty((count, 2))
    for n in range(count):
        draws = streams.generator(seed, "mobility", n)
        for _ in range(_TRIES):
            x_m, y_m = (draws.random(2) * area_m).tolist()
            column, row = int(x_m // min_distance_m), int(y_m // min_distance_m)
            near = (
                place_m
                for i in (column - 1, column, column + 1)
                for j in (row - 1, row, row + 1)
                if (i, j) in cells
                for place_m in cells[i, j]
            )
            if all(math.dist((x_m, y_m), place_m) >= min_distance_m for place_m in near):
                break
        else:
            raise ValueError(
                f"{count} devices {min_distance_m:g} m apart must fit into the area of "
                f"{area_m[0]:g} m x {area_m[1]:g} m, got no place for device {n} in {_TRIES} tries"
            )
        cells[column, row].append((x_m, y_m))
        places_m[n] = x_m, y_m
    return places_m


def clustered(
    count: int,
    area_m: tuple[float, float],
    seed: int,
    clusters: int,
    spread_m: float,
    *,
    disc: bool,
) -> Floats:
    """Return positions (count, 2) [m] around uniform centers; borders of the area reflect.

    Parameters
    ----------
    count : number of devices, each in a random cluster
    area_m : sides of the area [m]
    seed : seed of the scenario
    clusters : number of centers
    spread_m : standard deviation along each axis, or radius of the disc [m]
    disc : whether positions are uniform in a disc (Matern) rather than Gaussian (Thomas)
    """
    centres_m = np.array(
        [streams.generator(seed, "mobility cluster", n).random(2) for n in range(clusters)]
    ) * np.array(area_m)
    uniforms = np.array([streams.generator(seed, "mobility", n).random(3) for n in range(count)])
    chosen = (uniforms[:, 0] * clusters).astype(np.int64)
    angle = 2.0 * np.pi * uniforms[:, 1]
    if disc:
        radius_m = spread_m * np.sqrt(uniforms[:, 2])
    else:
        radius_m = spread_m * np.sqrt(-2.0 * np.log1p(-uniforms[:, 2]))
    offsets_m = radius_m[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=-1)
    return reflect(centres_m[chosen] + offsets_m, area_m)


def grid(count: int, area_m: tuple[float, float]) -> Floats:
    """Return the centers (count, 2) [m] of nearly square cells, row by row."""
    width_m, height_m = area_m
    columns = min(count, max(1, round(math.sqrt(count * width_m / height_m))))
    rows = math.ceil(count / columns)
    cell = np.arange(count)
    cell_m = np.array([width_m / columns, height_m / rows])
    return np.asarray((np.stack([cell % columns, cell // columns], axis=-1) + 0.5) * cell_m)
