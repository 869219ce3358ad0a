"""Pretraining of the built-in model: `python -m fl.models.pretraining`."""
