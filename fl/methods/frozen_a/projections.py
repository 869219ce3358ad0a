"""Frozen A of each device: random, or exactly orthogonal to those of all other devices.

Sources: arXiv 2602.20492, Eq. (16), with N(0, 1/k) in place of N(0, 1), the same up to alpha;
rows of independent Gaussian A's are orthogonal only in the limit of wide layers (their cosine is
about 1/sqrt(k)). `block-qr` cuts one orthogonal matrix of each layer, from a seed that all share,
into a block for each device: ours, without a server.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import torch

from ...adapters.adapter import Layer, draw_a
from ...engine.streams import key

ADistribution = Literal["gaussian", "kaiming", "block-qr"]
Tensors = tuple[torch.Tensor, ...]


def device_a(
    layers: Sequence[Layer],
    rank: int,
    distribution: ADistribution,
    seed: int,
    device: int,
    devices: int,
) -> Tensors:
    """Return a device's A, per layer (rank, inputs).

    Parameters
    ----------
    layers, rank : shapes of the factors
    distribution : distribution of the entries
    seed : seed of the run, common to all devices
    device, devices : number of the device, and number of devices

    Raises
    ------
    ValueError
        if a layer is too narrow for the orthogonal blocks of all devices
    """
    if distribution != "block-qr":
        return draw_a(layers, rank, distribution, a_seed_of(distribution, seed, device))
    narrowest = min(layers, key=lambda layer: layer.inputs)
    if devices * rank > narrowest.inputs:
        raise ValueError(
            f"a_init block-qr needs {devices} devices times rank {rank} of at most "
            f"{narrowest.inputs}, the inputs of {narrowest.name}, got {devices * rank}"
        )
    generator = torch.Generator().manual_seed(a_seed_of(distribution, seed, device))
    blocks = []
    for layer in layers:
        drawn = torch.randn(layer.inputs, devices * rank, generator=generator, dtype=torch.float64)
        orthogonal, _ = torch.linalg.qr(drawn)
        block = orthogonal[:, device * rank : (device + 1) * rank]
        blocks.append(block.T.to(torch.float32).contiguous())
    return tuple(blocks)


def overlaps(a_of: Sequence[Tensors]) -> tuple[list[float], list[float]]:
    """Return how far each device's A is from orthogonal to those of all others.

    Parameters
    ----------
    a_of : per device and layer (rank, inputs)

    Returns
    -------
    per device the mean |cos| between its rows and those of the others, over layers and pairs of
    rows; and the largest ||A_i A_j^T||_2 of a layer; NaN for a single device
    """
    others = len(a_of) - 1
    if not others:
        return [math.nan], [math.nan]
    cosine = torch.zeros(len(a_of), dtype=torch.float64)
    largest = torch.zeros(len(a_of), dtype=torch.float64)
    for of_layer in zip(*a_of, strict=True):
        # [devices, rank, inputs]
        stacked = torch.stack(of_layer).double()
        unit = torch.nn.functional.normalize(stacked, dim=-1)
        for me in range(len(a_of)):
            is_other = torch.arange(len(a_of)) != me
            cosine[me] += (unit[is_other] @ unit[me].T).abs().mean() / len(a_of[0])
            blocks = stacked[is_other] @ stacked[me].T
            largest[me] = torch.maximum(largest[me], torch.linalg.matrix_norm(blocks, 2).max())
    return cosine.tolist(), largest.tolist()


def a_seed_of(distribution: ADistribution, seed: int, device: int) -> int:
    """Return the seed of a device's A; the blocks of `block-qr` have a common one."""
    return key(seed, "block_qr a") if distribution == "block-qr" else key(seed, "so-lora a", device)
