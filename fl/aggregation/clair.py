"""CLAIR: contaminated devices and a shared subspace, from pairwise differences of products.

Devices whose products Theta_i = B_i A_i differ within a subspace of few outputs are benign. The
differences D_ij = Theta_i - Theta_j side by side are split into L + S with the least ||L||_* +
lambda sum_ij ||S_ij||_F. A device whose blocks S_ij are far larger than those of most is
contaminated. With the projection P on the columns of L among the others, a device keeps its own
part P Theta_i, and takes the mean of the benign ones for the rest.

Sources: He, Chen, Feng, "Federated LoRA fine-tuning for LLMs via collaborative alignment", 2026
(arXiv 2605.21217), known to us by its abstract: low-rank and block-sparse decomposition of
differences, detection, and averages outside of the shared subspace; there once, after training. The
decomposition is that of Candes, Li, Ma, Wright, "Robust principal component analysis?", Journal of
the ACM 58, 2011, with whole blocks, solved by alternating directions with their step. Ours: a block
spans all layers; lambda = sqrt(rho) / ((n - 1) p)^(1/4) for n devices in p pairs, with the
effective ranks (sum s)^2 / sum s^2 of the singular values s of D, summed over layers to rho:
between the sqrt(rho / p) and sqrt(rho / (n - 1)) of blocks that share a rank evenly over all pairs,
or over those of one device; the result is truncated to the rank of the factors; it is done in each
aggregation. Sign flips of a third of the devices with one direction are not found: their
differences are as many as those among the others. Matrices are those between the orthonormal
columns of thin QR decompositions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import torch

from .products import Tensors

_ITERATIONS = 500
_TOLERANCE = 1e-6
"""Largest error of the constraint D = L + S relative to D at which the iteration ends."""
_NEGLIGIBLE = 1e-3
"""Part of the largest singular value, or difference, that counts as zero."""
_OUTLIER, _DEVIATIONS, _MAD = 2.0, 3.0, 1.4826
"""Multiple of the median, and number of standard deviations above it, beyond which a device is
contaminated; and standard deviations per median absolute deviation of normal numbers."""


@dataclass(frozen=True, slots=True, eq=False)
class Decomposition:
    """Low-rank and block-sparse parts of the differences of pairs.

    Parameters
    ----------
    low_rank, sparse : per layer (pairs, rows, columns)
    weight : lambda, the weight of the sparse part
    """

    low_rank: list[torch.Tensor]
    sparse: list[torch.Tensor]
    weight: float


def decompose(differences: Sequence[torch.Tensor], weight: float) -> Decomposition:
    """Return the parts L + S = D of least ||L||_* + weight sum ||S_ij||_F.

    Parameters
    ----------
    differences : per layer (pairs, rows, columns); the norm of a pair is that over all layers
    weight : of the sparse part
    """
    size = float(_norms(differences).norm())
    sparse = [torch.zeros_like(each) for each in differences]
    low_rank = list(differences)
    if size == 0.0:
        return Decomposition(sparse, sparse, weight)
    dual = [torch.zeros_like(each) for each in differences]
    entries = sum(each.numel() for each in differences)
    step = entries / (4.0 * sum(float(each.abs().sum()) for each in differences))
    for _ in range(_ITERATIONS):
        low_rank = [
            _shrunk(d - s + y / step, 1.0 / step)
            for d, s, y in zip(differences, sparse, dual, strict=True)
        ]
        rest = [d - low + y / step for d, low, y in zip(differences, low_rank, dual, strict=True)]
        kept = (1.0 - weight / step / _norms(rest).clamp(min=1e-300)).clamp(min=0.0)
        sparse = [kept[:, None, None] * each for each in rest]
        errors = [d - low - s for d, low, s in zip(differences, low_rank, sparse, strict=True)]
        dual = [y + step * error for y, error in zip(dual, errors, strict=True)]
        if float(_norms(errors).norm()) <= _TOLERANCE * size:
            break
    return Decomposition(low_rank, sparse, weight)


def usual_weight(differences: Sequence[torch.Tensor], devices: int) -> float:
    """Return lambda for the differences of all pairs of some devices."""
    rho = 0.0
    for each in differences:
        values = torch.linalg.svdvals(_side_by_side(each))
        if bool(values.any()):
            rho += float(values.sum() ** 2 / values.square().sum())
    return float(rho**0.5 / ((devices - 1) * len(differences[0])) ** 0.25)


def contaminated(
    found: Decomposition, differences: Sequence[torch.Tensor], devices: int
) -> list[int]:
    """Return the devices whose blocks in the sparse part are far larger than those of most.

    Parameters
    ----------
    found, differences : the parts of the differences, and these
    devices : number of devices
    """
    norms = torch.zeros(devices, devices, dtype=torch.float64)
    first, second = torch.tensor(list(combinations(range(devices), 2))).T
    norms[first, second] = norms[second, first] = _norms(found.sparse)
    others = ~torch.eye(devices, dtype=torch.bool)
    # The lower median over the other devices, most of which are benign.
    scores = norms[others].view(devices, devices - 1).median(1).values
    center = scores.median()
    spread = _MAD * (scores - center).abs().median()
    bound = torch.maximum(_OUTLIER * center, center + _DEVIATIONS * spread)
    least = _NEGLIGIBLE * _norms(differences).max()
    return (scores > bound.clamp(min=float(least))).nonzero().flatten().tolist()


def aligned_factors(
    b: Sequence[Tensors], a: Sequence[Tensors], rank: int, penalty: float = 1.0
) -> tuple[Tensors, Tensors, list[int]]:
    """Return the factors of the first device, aligned with the benign ones, and the contaminated.

    Parameters
    ----------
    b, a : factors of each device, per layer; the receiver's first
    rank : to which the result is truncated
    penalty : factor of lambda
    """
    devices = len(b)
    layers = [_Coordinates(list(each_b), list(each_a)) for each_b, each_a in _by_layer(b, a)]
    pairs = list(combinations(range(devices), 2))
    flagged: list[int] = []
    # Among two devices there is no majority.
    if devices > 2:
        differences = [
            torch.stack([layer.products[i] - layer.products[j] for i, j in pairs])
            for layer in layers
        ]
        found = decompose(differences, penalty * usual_weight(differences, devices))
        flagged = contaminated(found, differences, devices)
    benign = [device for device in range(devices) if device not in flagged]
    if 0 in flagged or len(benign) == 1:
        return b[0], a[0], flagged
    chosen = [index for index, pair in enumerate(pairs) if not set(pair) & set(flagged)]
    result = []
    for number, layer in enumerate(layers):
        mean = torch.stack([layer.products[device] for device in benign]).mean(0)
        own = layer.products[0]
        if devices > 2:
            shared = _columns(found.low_rank[number][chosen], rank)
            mean = mean + shared @ (shared.T @ (own - mean))
        result.append(layer.factors(mean, rank))
    return tuple(x for x, _ in result), tuple(y for _, y in result), flagged


class _Coordinates:
    """Products of one layer between the orthonormal columns of all factors.

    Parameters
    ----------
    b, a : (outputs, rank) and (rank, inputs) of each device
    """

    def __init__(self, b: list[torch.Tensor], a: list[torch.Tensor]) -> None:
        self._left, left = torch.linalg.qr(torch.cat([each.double() for each in b], 1))
        self._right, right = torch.linalg.qr(torch.cat([each.double() for each in a]).T)
        ranks = [each.shape[1] for each in b]
        parts = zip(left.split(ranks, 1), right.split(ranks, 1), strict=True)
        self.products = [of_b @ of_a.T for of_b, of_a in parts]

    def factors(self, product: torch.Tensor, rank: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the factors of a product in single precision, truncated and balanced."""
        u, s, vh = torch.linalg.svd(product, full_matrices=False)
        root = s[:rank].sqrt()
        b = torch.zeros(len(self._left), rank)
        a = torch.zeros(rank, len(self._right))
        b[:, : len(root)] = self._left @ (u[:, : len(root)] * root)
        a[: len(root)] = (root[:, None] * vh[: len(root)]) @ self._right.T
        return b, a


def _by_layer(b: Sequence[Tensors], a: Sequence[Tensors]) -> list[tuple[Tensors, Tensors]]:
    return list(zip(zip(*b, strict=True), zip(*a, strict=True), strict=True))


def _norms(blocks: Sequence[torch.Tensor]) -> torch.Tensor:
    """Return the norm of each pair's blocks over all layers, (pairs,)."""
    squares = torch.stack([each.square().sum((1, 2)) for each in blocks])
    norms: torch.Tensor = squares.sum(0).sqrt()
    return norms


def _side_by_side(blocks: torch.Tensor) -> torch.Tensor:
    """Return blocks (pairs, rows, columns) side by side, (rows, pairs * columns)."""
    return blocks.transpose(0, 1).flatten(1)


def _shrunk(blocks: torch.Tensor, threshold: float) -> torch.Tensor:
    """Return blocks whose singular values, side by side, are reduced by a threshold."""
    flat = _side_by_side(blocks)
    # Few rows and many columns: by the eigenvalues of the small square.
    values, vectors = torch.linalg.eigh(flat @ flat.T)
    singular = values.clamp(min=0.0).sqrt()
    kept = ((singular - threshold) / singular.clamp(min=1e-300)).clamp(min=0.0)
    shrunk = vectors @ (kept[:, None] * (vectors.T @ flat))
    result: torch.Tensor = shrunk.view(blocks.shape[1], blocks.shape[0], -1).transpose(0, 1)
    return result


def _columns(blocks: torch.Tensor, rank: int) -> torch.Tensor:
    """Return orthonormal columns of the space of blocks side by side, at most as many as ranks."""
    u, s, _ = torch.linalg.svd(_side_by_side(blocks), full_matrices=False)
    count = min(rank, int((s > _NEGLIGIBLE * s[0]).sum())) if bool(s.any()) else 0
    columns: torch.Tensor = u[:, :count]
    return columns
