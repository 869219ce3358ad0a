"""Comparison of federated LoRA methods over the same air: `python -m comparison`."""
