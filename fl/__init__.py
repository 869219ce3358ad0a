"""Federated fine-tuning of language models with low-rank adapters; knows nothing of radio."""
