"""Alignment of low-rank factors, whose product does not change under a rotation of the ranks."""

from __future__ import annotations

import torch


def aligned(
    b: torch.Tensor, a: torch.Tensor, reference: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the factors rotated so that A is as near as possible to a reference.

    Sources: the orthogonal Procrustes problem, min_Q ||Q^T A - A_ref||_F over Q^T Q = I, is solved
    by Q = U V^T of the SVD of A A_ref^T (Schoenemann, Psychometrika 1966).

    Parameters
    ----------
    b, a : (outputs, rank) and (rank, inputs)
    reference : (rank, inputs)
    """
    u, _, vh = torch.linalg.svd(a.double() @ reference.double().T)
    rotation = (u @ vh).to(a.dtype)
    return b @ rotation, rotation.T @ a
