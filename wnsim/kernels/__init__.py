"""Compiled kernels: the loops over small arrays in which a simulation spends its time.

Each kernel is one module with plain scalar loops, compiled by Numba at its first call and cached on
disk. Without compilation (`NUMBA_DISABLE_JIT=1`) it is ordinary Python with the same result. Tests
compare each with the same calculation on whole arrays: `wnsim.phy.nr_arrays` for `harq`,
`wnsim.core.streams.philox4x32` for `philox`.
"""
