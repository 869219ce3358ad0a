#!/usr/bin/env sh
# numba 0.68.1: the rows of a C-contiguous 2-D array are compiled as contiguous arrays ("C") if they
# are indexed, but as arrays of any layout ("A") if the array is unpacked or iterated over. Loops over
# the latter are compiled with strides, which keeps them from being vectorized: a kernel that had
# `re, im = np.empty((2, n))` ran several times faster with two separate arrays.
# Seen on 2026-11-29: indexed C, unpacked A, iterated A.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet numba==0.68.1 numpy==2.4.6
cat > "$folder/rows.py" <<'PYTHON'
import numba
import numpy as np
from numba.extending import overload


def layout(array):
    """Stand for the layout that an array is compiled with."""


@overload(layout)
def _layout(array):
    name = array.layout
    return lambda array: name


@numba.njit
def indexed():
    rows = np.empty((2, 4))
    return layout(rows[0])


@numba.njit
def unpacked():
    first, second = np.empty((2, 4))
    return layout(first)


@numba.njit
def iterated():
    found = ""
    for row in np.empty((2, 4)):
        found = layout(row)
    return found


print("indexed", indexed(), "unpacked", unpacked(), "iterated", iterated())
PYTHON
seen=$("$folder/venv/bin/python" "$folder/rows.py")
echo "$seen"
[ "$seen" = "indexed C unpacked A iterated A" ] || { echo "changed" >&2; exit 1; }
