"""Aggregation of updates: weighted and robust means, mixing matrices, collision rates."""
