"""Compiled kernels: the loops over small arrays in which a simulation spends its time.

Each kernel is one module with plain scalar loops, compiled by Numba at its first call and cached on
disk. Without compilation (`NUMBA_DISABLE_JIT=1`) it is ordinary Python with the same result. Tests
hold each against another source: `harq` against whole arrays, `wnsim.phy.nr_arrays`; `plane_waves`
against the sum at each instant, `PlaneWaves.response`; `philox` against its authors' known answers;
the others against whole arrays in the tests.
"""
