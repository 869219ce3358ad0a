"""FedSVD: B is trained and averaged, and an SVD of B A makes A orthonormal again in each round.

Sources: Lee et al., "FedSVD: adaptive orthogonalization for private federated learning with LoRA",
NeurIPS 2025: clients train and send B under a common, frozen A; the server averages B, takes the
SVD of B A = U S V^T, and sends B = U S and A = V^T. Ours: the SVD is that of thin factors
(`aggregation.products`); the moments of the optimizer are kept although the factors turn; without
the noise of differential privacy.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch

from ...adapters import Adapter, Layer
from ...adapters.adapter import shape_only
from ...adapters.flat_parameters import Trained
from ...aggregation.weighted_mean import weighted_mean
from ...updates.codec import Update
from ..lora import LoraMethod


class FedSvdMethod(LoraMethod):
    """LoRA with an orthonormal A; see `Method` and `extensions`."""

    def trains(self, round_: int) -> Trained:
        """Return B."""
        return "b"

    def update(self, adapter: Adapter, device: int, round_: int, first_contact: bool) -> Update:
        """Return B; outside of a round with A."""
        return Update(device, round_, adapter.b, a=None if round_ else adapter.a)

    def shapes_update(self, layers: Sequence[Layer], first_contact: bool) -> Update:
        """Return B, all zero."""
        return self.update(shape_only(layers, self.ranks(layers)), 0, 1, first_contact)

    def served_shapes(self, layers: Sequence[Layer]) -> Update:
        """Return both factors, all zero."""
        return self.update(shape_only(layers, self.ranks(layers)), 0, 0, False)

    def aggregate_clients(
        self, previous: Update, updates: Sequence[Update], weights: Sequence[float]
    ) -> Update:
        """Return both factors of the mean B and the A before, with an orthonormal A."""
        b, a = [], []
        mean = weighted_mean([update.b for update in updates], weights)
        for of_b, of_a in zip(mean, previous.a or (), strict=True):
            turned = orthonormalised(of_b, of_a)
            b.append(turned[0])
            a.append(turned[1])
        return replace(previous, b=tuple(b), a=tuple(a))


def orthonormalised(b: torch.Tensor, a: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return U S and V^T of the SVD of B A, which has the same product.

    Parameters
    ----------
    b, a : (outputs, rank) and (rank, inputs), of at least as many inputs as ranks

    Returns
    -------
    (outputs, rank) and (rank, inputs), the rows of A orthonormal whatever the rank of the product
    """
    q, r = torch.linalg.qr(a.double().T)
    left = b.double() @ r.T
    _, _, vh = torch.linalg.svd(torch.linalg.qr(left)[1])
    return (left @ vh.T).to(b.dtype), (vh @ q.T).to(a.dtype)
