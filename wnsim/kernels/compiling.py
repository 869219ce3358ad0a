"""Compilation of kernels, cached where the installation or the user's cache can be written.

The cache of a kernel is renewed when its own file changes, not when another one does. So kernels
call kernels of their own module alone, and take constants of others as arguments.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numba

_Kernel = TypeVar("_Kernel", bound=Callable[..., Any])


def compiled(kernel: _Kernel) -> _Kernel:
    """Return a function compiled at its first call.

    Operations keep their order and rounding, and results do not depend on threads. Divisions by
    zero give infinity or NaN as in NumPy. The machine code is kept in the package's folder or, if
    that is read-only, in the user's cache; where neither can be written, each process compiles.
    """
    try:
        return _compiled(kernel, cache=True)
    except RuntimeError:  # no folder for the cache
        return _compiled(kernel, cache=False)


def _compiled(kernel: _Kernel, cache: bool) -> _Kernel:
    compiler: Any = numba.njit(cache=cache, error_model="numpy", nogil=True)
    return compiler(kernel)  # type: ignore[no-any-return]


def inlined(part: _Kernel) -> _Kernel:
    """Return a part of kernels of the same file, put in place of its calls.

    A call that passes a tuple of many arrays would count references to each of them.
    """
    compiler: Any = numba.njit(inline="always", error_model="numpy", nogil=True)
    return compiler(part)  # type: ignore[no-any-return]
