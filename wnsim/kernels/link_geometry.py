"""Kernels of the ends of links: which nodes they are, where these are, and how far apart."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from wnsim.kernels.compiling import compiled

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from wnsim.core.units import Floats, Ints


@compiled
def members(one: Ints, other: Ints) -> tuple[Ints, Ints, Ints]:
    """Return the nodes that are an end of a link, and the indices of the ends among them.

    Parameters
    ----------
    one, other : (L,) ends of the links

    Returns
    -------
    members : (n,) nodes, ascending
    first, second : (L,) indices of the ends among them
    """
    largest = -1
    for link in range(one.size):
        largest = max(largest, one[link], other[link])
    place = np.zeros(largest + 1, dtype=np.int64)
    for link in range(one.size):
        place[one[link]] = place[other[link]] = 1
    count = 0
    for node in range(largest + 1):
        count += place[node]
    nodes = np.empty(count, dtype=np.int64)
    count = 0
    for node in range(largest + 1):
        if place[node]:
            nodes[count], place[node] = node, count
            count += 1
    first, second = np.empty(one.size, dtype=np.int64), np.empty(one.size, dtype=np.int64)
    for link in range(one.size):
        first[link], second[link] = place[one[link]], place[other[link]]
    return nodes, first, second


@compiled
def missing(known: NDArray[np.bool_], one: Ints, other: Ints) -> Ints:
    """Return the nodes, ascending, that are ends of links (L,) and not known; mark them as known.

    Parameters
    ----------
    known : (nodes,) which nodes are known; changed
    one, other : (L,) ends of the links
    """
    found = np.empty(2 * one.size, dtype=np.int64)
    count = 0
    for link in range(one.size):
        for node in (one[link], other[link]):
            if not known[node]:
                known[node], found[count] = True, node
                count += 1
    return np.sort(found[:count])


@compiled
def distances(positions_m: Floats, first: Ints, second: Ints) -> tuple[Floats, float, float]:
    """Return the ground distances of links, and the smallest and the largest of them.

    Parameters
    ----------
    positions_m : (n, T, 2 or 3) positions at T instants [m]
    first, second : (L,) indices of the ends of each link

    Returns
    -------
    (L, T) distances, and their extremes: inf and -inf without links or instants [m]
    """
    result = np.empty((first.size, positions_m.shape[1]))
    nearest, farthest = math.inf, -math.inf
    for link in range(first.size):
        for instant in range(positions_m.shape[1]):
            one_m, other_m = positions_m[first[link], instant], positions_m[second[link], instant]
            apart_m = math.hypot(one_m[0] - other_m[0], one_m[1] - other_m[1])
            result[link, instant] = apart_m
            nearest, farthest = min(nearest, apart_m), max(farthest, apart_m)
    return result, nearest, farthest


@compiled
def on_moves(moves: Floats, devices: Ints, t_s: Floats, positions_m: Floats) -> NDArray[np.bool_]:
    """Fill in the positions of devices whose straight moves contain all of some instants.

    Parameters
    ----------
    moves : (devices, 3, 2) instant [s], x and y [m] of the knots before and after a move
    devices : (n,) devices
    t_s : (T,) instants, at least one; before 0 s a device is where it is at 0 s [s]
    positions_m : (n, T, 2) result [m]; rows of other devices are left as they are

    Returns
    -------
    (n,) whether the positions of a device are filled in
    """
    first_s = last_s = max(t_s[0], 0.0)
    for instant in range(1, t_s.size):
        first_s = min(first_s, max(t_s[instant], 0.0))
        last_s = max(last_s, t_s[instant])
    found = np.empty(devices.size, dtype=np.bool_)
    for row in range(devices.size):
        move = moves[devices[row]]
        found[row] = move[0, 0] <= first_s and last_s < move[0, 1]
        if found[row]:
            for instant in range(t_s.size):
                passed_s = max(t_s[instant], 0.0) - move[0, 0]
                share = passed_s / (move[0, 1] - move[0, 0])
                for axis in range(2):
                    way_m = move[1 + axis, 1] - move[1 + axis, 0]
                    positions_m[row, instant, axis] = move[1 + axis, 0] + share * way_m
    return found


@compiled
def on_path(knots: Floats, size: int, t_s: Floats, positions_m: Floats, move: Floats) -> None:
    """Fill in the positions of a device on its path, and its move at the last instant.

    Parameters
    ----------
    knots : (3, at least size) instant [s], x and y [m]; the last one is later than all instants
    size : number of knots
    t_s : (T,) instants, at least one; before 0 s a device is where it is at 0 s [s]
    positions_m : (T, 2) result [m]
    move : (3, 2) result: knots before and after the last instant
    """
    last_s = 0.0
    for instant in range(t_s.size):
        at_s = max(t_s[instant], 0.0)
        low, high = 0, size
        while low < high:
            middle = (low + high) // 2
            if knots[0, middle] <= at_s:
                low = middle + 1
            else:
                high = middle
        share = (at_s - knots[0, low - 1]) / (knots[0, low] - knots[0, low - 1])
        for axis in range(2):
            way_m = knots[1 + axis, low] - knots[1 + axis, low - 1]
            positions_m[instant, axis] = knots[1 + axis, low - 1] + share * way_m
        if at_s >= last_s:
            last_s = at_s
            for row in range(3):
                move[row, 0], move[row, 1] = knots[row, low - 1], knots[row, low]
