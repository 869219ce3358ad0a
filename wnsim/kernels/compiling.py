"""Compilation of kernels, cached where the installation or the user's cache can be written.

The cache of a kernel is renewed when its own file changes, not when another one does. So kernels
call kernels of their own module alone, and take constants of others as arguments.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numba
from numba.core.options import DefaultOptions

_Kernel = TypeVar("_Kernel", bound=Callable[..., Any])


def compiled(kernel: _Kernel) -> _Kernel:
    """Return a function compiled at its first call.

    Operations keep their order and rounding, and results do not depend on threads. Divisions by
    zero give infinity or NaN as in NumPy. The machine code is kept in the package's folder or, if
    that is read-only, in the user's cache; where neither can be written, each process compiles.
    """
    return _compiled(kernel)


def uncounted(kernel: _Kernel) -> _Kernel:
    """Return a function compiled like `compiled`, without counts of references to arrays.

    It can take tuples of many arrays at no cost, call others of its kind, and create no array.
    Numba has the switch for its own use; where it is gone, references are counted, which takes time
    but changes no result.
    """
    return _uncounted(kernel)


def uncounted_part(part: _Kernel) -> _Kernel:
    """Return a part of `uncounted` kernels of the same file, which Python does not call."""
    return _uncounted(part, no_cpython_wrapper=True, no_cfunc_wrapper=True)


def uncounted_inlined(part: _Kernel) -> _Kernel:
    """Return a part like `uncounted_part` that is put in place of its calls."""
    return _uncounted(part, no_cpython_wrapper=True, no_cfunc_wrapper=True, forceinline=True)


def _uncounted(kernel: _Kernel, **options: bool) -> _Kernel:
    if hasattr(DefaultOptions, "_nrt"):
        options["_nrt"] = False
    return _compiled(kernel, **options)


def _compiled(kernel: _Kernel, **options: bool) -> _Kernel:
    compiler: Any = numba.njit
    shared: dict[str, Any] = {"error_model": "numpy", "nogil": True, **options}
    try:
        return compiler(cache=True, **shared)(kernel)  # type: ignore[no-any-return]
    except RuntimeError:  # no folder for the cache
        return compiler(cache=False, **shared)(kernel)  # type: ignore[no-any-return]


def inlined(part: _Kernel) -> _Kernel:
    """Return a part of kernels of the same file, put in place of its calls.

    A call that passes a tuple of many arrays would count references to each of them.
    """
    compiler: Any = numba.njit(inline="always", error_model="numpy", nogil=True)
    return compiler(part)  # type: ignore[no-any-return]
