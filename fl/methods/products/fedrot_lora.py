"""FedRot-LoRA: factors are rotated to a reference before they are averaged.

Sources: Zhang, Kim, Cha, Vikalo, "FedRot-LoRA: mitigating rotational misalignment in federated
LoRA", ICML 2026 (arXiv 2602.23638): with Q = U V^T of the SVD of A_i A_ref^T, A_i' = Q^T A_i and
B_i' = B_i Q have the same product, and their means are less wrong. Ours: the reference is the
receiver's own A; that of a server is the A of the first client.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ...aggregation.robust import Aggregator
from ...aggregation.rotation import aligned
from ...updates.codec import Update
from ..lora import ServedLoraMethod


class FedRotLoraMethod(ServedLoraMethod):
    """LoRA with averages of aligned factors; see `Method`."""

    def average(
        self,
        updates: Sequence[Update],
        weights: Sequence[float],
        aggregator: Aggregator | None = None,
    ) -> Update:
        """Return the weighted mean of the factors, aligned with the first ones."""
        first, *others = updates
        turned = [_aligned(update, first) for update in others]
        return super().average([first, *turned], weights, aggregator)


def _aligned(update: Update, reference: Update) -> Update:
    """Return an update whose factors are aligned with those of another one."""
    parts = zip(update.b, update.a or (), reference.a or (), strict=True)
    b, a = zip(*(aligned(*part) for part in parts), strict=True)
    return replace(update, b=b, a=a)
