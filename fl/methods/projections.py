"""The A of each device: drawn from a law, or exactly orthogonal to those of all others.

Sources: arXiv 2602.20492, Eq. (16), with N(0, 1/k) in place of N(0, 1), the same up to alpha;
rows of independent Gaussian A's are orthogonal only in the limit of wide layers (their cosine is
about 1/sqrt(k)). `block_qr` cuts one orthogonal matrix of each layer, from a seed that all share,
into a block for each device: ours, no server needed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch

from ..adapters.adapter import Layer, draw_a
from ..seeds import key

Law = Literal["gaussian", "kaiming", "block_qr"]
Tensors = tuple[torch.Tensor, ...]


def own_a(
    layers: Sequence[Layer], rank: int, law: Law, seed: int, device: int, devices: int
) -> Tensors:
    """Return a device's A, per layer (rank, inputs).

    Parameters
    ----------
    layers, rank : shapes
    law : of the draws
    seed : of the run, the same for all devices
    device, devices : which one of how many

    Raises
    ------
    ValueError
        if a layer is too narrow for as many orthogonal blocks
    """
    if law != "block_qr":
        return draw_a(layers, rank, law, seed_of(law, seed, device))
    narrowest = min(layers, key=lambda layer: layer.inputs)
    if devices * rank > narrowest.inputs:
        raise ValueError(
            f"a_init block_qr needs {devices} devices times rank {rank} of at most "
            f"{narrowest.inputs}, the inputs of {narrowest.name}, got {devices * rank}"
        )
    generator = torch.Generator().manual_seed(seed_of(law, seed, device))
    blocks = []
    for layer in layers:
        drawn = torch.randn(layer.inputs, devices * rank, generator=generator, dtype=torch.float64)
        orthogonal, _ = torch.linalg.qr(drawn)
        block = orthogonal[:, device * rank : (device + 1) * rank]
        blocks.append(block.T.to(torch.float32).contiguous())
    return tuple(blocks)


def seed_of(law: Law, seed: int, device: int) -> int:
    """Return the seed that an A is drawn from: each device's own, or one for all blocks."""
    return key(seed, "block_qr a") if law == "block_qr" else key(seed, "so-lora a", device)
