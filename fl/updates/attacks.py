"""Byzantine attacks and payload corruption of updates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from .codec import Update, decode, encode, flip_bits

if TYPE_CHECKING:
    import numpy as np

    from ..adapters import Layer
    from ..config import Byzantine

# Largest finite number in half precision.
_LARGEST = 65504.0


def attacked(update: Update, attack: Byzantine, rng: np.random.Generator) -> Update:
    """Return the update that a Byzantine device sends.

    Parameters
    ----------
    update : honest update
    attack : kind and strength of the attack
    rng : generator of the noise
    """
    if attack.attack == "sign-flip":
        flipped = _flipped(update.b, attack.scale)
        if update.b or update.extra is not None:
            # Without B, the core between frozen factors has its sign.
            extra = update.extra if update.b else _flipped(update.extra or (), attack.scale)
            return replace(update, b=flipped, extra=extra)
        return replace(update, a=_flipped(update.a or (), attack.scale))
    masks: Sequence[torch.Tensor | None] = update.mask or [None] * len(update.b)
    b = tuple(
        _noisy(each, attack.scale, rng, mask) for each, mask in zip(update.b, masks, strict=True)
    )
    a = None
    if update.a is not None:
        masks = update.mask_a or (None,) * len(update.a)
        a = tuple(
            _noisy(each, attack.scale, rng, mask)
            for each, mask in zip(update.a, masks, strict=True)
        )
    extra = update.extra and tuple(_noisy(each, attack.scale, rng) for each in update.extra)
    return replace(update, b=b, a=a, extra=extra)


def _flipped(factors: Sequence[torch.Tensor], scale: float) -> tuple[torch.Tensor, ...]:
    return tuple(_clamp(-scale * each) for each in factors)


def _noisy(
    values: torch.Tensor, scale: float, rng: np.random.Generator, mask: torch.Tensor | None = None
) -> torch.Tensor:
    """Add Gaussian noise in proportion to the root mean square of the values under a mask."""
    active = values if mask is None else values[mask.bool()]
    rms = float(active.double().square().mean().sqrt()) if active.numel() else 0.0
    noise = torch.from_numpy(rng.standard_normal(tuple(values.shape))).to(values.dtype)
    noisy = _clamp(values + scale * rms * noise)
    return noisy if mask is None else torch.where(mask.bool(), noisy, 0.0)


def _clamp(values: torch.Tensor) -> torch.Tensor:
    return values.clamp(-_LARGEST, _LARGEST)


def corrupted(
    update: Update,
    bits: int,
    rng: np.random.Generator,
    layers: Sequence[Layer],
    ranks: Sequence[int],
    extra: Sequence[tuple[int, int]] = (),
    *,
    with_a: bool,
) -> Update:
    """Return an update with bit errors in its parameters.

    Parameters
    ----------
    update : update as sent
    bits : number of bit errors
    rng : generator of their positions
    layers, ranks : shapes of the adapters
    extra : shapes of the further matrices of an update
    with_a : whether every message carries the values of A; otherwise A has no bit errors

    Returns
    -------
    the decoded update; rejected if a parameter or a scale of parameters is not finite, or a scale
    negative
    """
    sent = replace(
        update, includes_mask=False, a=update.a if with_a else None, a_seed=None, mask_seed=None
    )
    data = flip_bits(encode(sent), bits, rng)
    try:
        found = decode(data, layers, ranks, update.mask, extra, update.mask_a)
    except ValueError:
        # The scale of quantized values has become negative or is not finite.
        return replace(update, rejected=True)
    found = replace(
        found,
        a=found.a if with_a else update.a,
        a_seed=update.a_seed,
        mask_seed=update.mask_seed,
        includes_mask=update.includes_mask,
    )
    parts = (*found.b, *(found.a or ()), *(found.extra or ()))
    finite = all(bool(torch.isfinite(each).all()) for each in parts)
    return replace(found, rejected=not finite)
