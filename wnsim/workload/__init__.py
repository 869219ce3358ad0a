"""Workloads beside learning: scheduled exchanges, background traffic, probes."""
