"""Pretraining of the bundled model: `python -m fl.models.pretraining`."""
