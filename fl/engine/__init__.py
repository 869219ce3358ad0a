"""Execution of training tasks: lazy values, batching, the result cache, processes, devices."""
