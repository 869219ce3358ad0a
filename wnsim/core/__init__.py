"""Foundations that every layer may use: units, random streams, parameters, clock, invariants."""
