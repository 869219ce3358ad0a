"""Scenarios: what a user writes, and what comes of it."""
