"""ADF-LoRA and TAD-LoRA: all devices train one factor at a time, and mix both.

Sources: Wang et al., "ADF-LoRA: alternating low-rank aggregation for decentralized federated
fine-tuning", 2025 (arXiv 2511.18291), which changes the factor in every round; "Stabilizing
decentralized federated fine-tuning via topology-aware alternating LoRA" (TAD-LoRA), 2026 (arXiv
2602.00451), which changes it every few rounds; known to us by their abstracts: both
factors are mixed in each round by a doubly stochastic matrix, so that the frozen ones of neighbors
do not drift apart, as those of `rolora` do without a server. Ours: B is the first one; the mixing
weights are those of all methods, whose matrix is doubly stochastic on regular graphs with equal
weights; each factor keeps its own moments of the optimizer.
"""

from __future__ import annotations

from ..adapters.flat_parameters import Trained
from ..config import AdfLora, TadLora
from .lora import LoraMethod


class AlternatingMethod(LoraMethod):
    """LoRA that alternates between the factors and mixes both; see `Method` and `extensions`."""

    def __init__(self, config: AdfLora | TadLora) -> None:
        super().__init__(config)
        self._period = config.period if isinstance(config, TadLora) else 1

    def trains(self, round_: int) -> Trained:
        """Return B for the first rounds, A for the next ones, and so on."""
        return "a" if (round_ - 1) // self._period % 2 else "b"
