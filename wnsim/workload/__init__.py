"""Workloads besides learning: scheduled exchanges, background traffic, probes."""
