"""Sums of products of thin factors, and their truncated singular value decomposition.

No product is formed: with the factors side by side, sum_i w_i B_i A_i = L R, thin QR decompositions
L = Q_1 R_1 and R^T = Q_2 R_2 leave the SVD of the small matrix R_1 R_2^T.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

Tensors = tuple[torch.Tensor, ...]


@dataclass(frozen=True, slots=True, eq=False)
class ThinSvd:
    """Singular value decomposition U diag(s) V^T of a sum of products.

    Parameters
    ----------
    left : (outputs, n) orthonormal columns of U
    values : (n,) singular values in descending order
    right : (n, inputs) orthonormal rows of V^T
    """

    left: torch.Tensor
    values: torch.Tensor
    right: torch.Tensor

    def factors(self, rank: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Return B = U sqrt(s), (outputs, rank), and A = sqrt(s) V^T, (rank, inputs), truncated.

        Ranks beyond those of the sum are zero. Both are in single precision.
        """
        root = self.values[:rank].sqrt()
        b = torch.zeros(len(self.left), rank)
        a = torch.zeros(rank, self.right.shape[1])
        b[:, : len(root)] = self.left[:, : len(root)] * root
        a[: len(root)] = root[:, None] * self.right[: len(root)]
        return b, a


def thin_svd(
    b: Sequence[torch.Tensor], a: Sequence[torch.Tensor], weights: Sequence[float]
) -> ThinSvd:
    """Return the SVD of the weighted sum of the products of factors.

    Parameters
    ----------
    b, a : per product (outputs, rank) and (rank, inputs); products may differ in rank
    weights : per product, its weight in the sum
    """
    scaled = [weight * one.double() for one, weight in zip(b, weights, strict=True)]
    # [outputs, all ranks] and [inputs, all ranks]
    q_left, r_left = torch.linalg.qr(torch.cat(scaled, dim=1))
    q_right, r_right = torch.linalg.qr(torch.cat([one.double() for one in a]).T)
    u, values, vh = torch.linalg.svd(r_left @ r_right.T, full_matrices=False)
    return ThinSvd(q_left @ u, values, vh @ q_right.T)


def mean_factors(
    b: Sequence[Tensors], a: Sequence[Tensors], weights: Sequence[float], rank: int
) -> tuple[Tensors, Tensors]:
    """Return the factors B and A, per layer, of the truncated weighted mean of products.

    Parameters
    ----------
    b, a : factors of each product, per layer
    weights : weight of each product; their sum counts as 1
    rank : of the mean's factors
    """
    shares = shares_of(weights)
    pairs = [
        thin_svd(of_b, of_a, shares).factors(rank)
        for of_b, of_a in zip(zip(*b, strict=True), zip(*a, strict=True), strict=True)
    ]
    return tuple(left for left, _ in pairs), tuple(right for _, right in pairs)


def shares_of(weights: Sequence[float]) -> list[float]:
    """Return weights over their sum."""
    total = sum(weights)
    return [weight / total for weight in weights]
