"""Kernels of a hash table of links: open addressing, with linear probing.

A link is named by its smaller end times 2^32 plus the larger one; -1 stands for a free place. The
number of places is a power of two.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from wnsim.kernels.compiling import compiled

if TYPE_CHECKING:
    from wnsim.core.units import Ints

# Multiplicative hashing with two odd numbers below 2^32, the first one 2^32 over the golden ratio.
_LOW, _HIGH, _MASK = 0x9E3779B1, 0x85EBCA77, 0xFFFFFFFF


@compiled
def number(
    names: Ints, rows: Ints, known: int, one: Ints, other: Ints, found: Ints, new: Ints
) -> int:
    """Fill in the numbers of links, and number those that are new in order; return how many are.

    Parameters
    ----------
    names, rows : (P,) names of the links in the table, and their numbers; changed
    known : links in the table; it must have places for all others and one more
    one, other : (L,) ends of the links
    found : (L,) result: numbers of the links
    new : (L,) result: indices of links that were not in the table, each once
    """
    count = 0
    mask = names.size - 1
    for link in range(one.size):
        name = min(one[link], other[link]) << 32 | max(one[link], other[link])
        place = _hash(name) & mask
        while names[place] != name and names[place] >= 0:
            place = (place + 1) & mask
        if names[place] < 0:
            names[place], rows[place] = name, known + count
            new[count] = link
            count += 1
        found[link] = rows[place]
    return count


@compiled
def rehash(names_before: Ints, rows_before: Ints, names: Ints, rows: Ints) -> None:
    """Copy the links of a table to an empty one."""
    mask = names.size - 1
    for before in range(names_before.size):
        name = names_before[before]
        if name >= 0:
            place = _hash(name) & mask
            while names[place] >= 0:
                place = (place + 1) & mask
            names[place], rows[place] = name, rows_before[before]


@compiled
def _hash(name: int) -> int:
    """Return a number of 32 bits whose lowest ones depend on both ends, which are below 2^31."""
    mixed = ((name >> 32) * _LOW & _MASK) ^ ((name & _MASK) * _HIGH & _MASK)
    return mixed >> 16 ^ mixed
