"""Compiled kernels: the loops over small arrays in which a simulation spends its time.

Each kernel is one module with plain scalar loops, compiled by Numba at its first call and cached on
disk. Without compilation (`NUMBA_DISABLE_JIT=1`) it is ordinary Python with the same result. Next
to it, in `arrays`, is the same calculation on whole arrays with NumPy; tests and `wnsim.selftest`
compare the two.
"""
