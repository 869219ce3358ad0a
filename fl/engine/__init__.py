"""Execution engine: lazy values, micro-batches, result cache, ranks and device selection."""
