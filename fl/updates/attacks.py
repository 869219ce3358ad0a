"""What is wrong with updates and data: devices that lie, wrong labels, and damaged values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from .codec import Update, damage, decode, encode

if TYPE_CHECKING:
    import numpy as np

    from ..adapters import Layer
    from ..config import Byzantine
    from ..tasks import Example

Tensors = tuple[torch.Tensor, ...]
# The largest number of half precision.
_LARGEST = 65504.0


def falsified(update: Update, attack: Byzantine, rng: np.random.Generator) -> Update:
    """Return what a device that lies tells in place of an update.

    Parameters
    ----------
    update : the true one
    attack : how it lies
    rng : of the noise
    """
    if attack.attack == "sign-flip":
        return replace(update, b=tuple(_bounded(-attack.scale * b) for b in update.b))
    masks: Sequence[torch.Tensor | None] = update.mask or [None] * len(update.b)
    b = tuple(
        _noisy(each, attack.scale, rng, mask) for each, mask in zip(update.b, masks, strict=True)
    )
    a = None if update.a is None else tuple(_noisy(each, attack.scale, rng) for each in update.a)
    return replace(update, b=b, a=a)


def _noisy(
    values: torch.Tensor, scale: float, rng: np.random.Generator, mask: torch.Tensor | None = None
) -> torch.Tensor:
    """Return values with noise, in proportion to their root mean square."""
    told = values if mask is None else values[mask.bool()]
    rms = float(told.double().square().mean().sqrt()) if told.numel() else 0.0
    noise = torch.from_numpy(rng.standard_normal(tuple(values.shape))).to(values.dtype)
    noisy = _bounded(values + scale * rms * noise)
    return noisy if mask is None else torch.where(mask.bool(), noisy, 0.0)


def _bounded(values: torch.Tensor) -> torch.Tensor:
    return values.clamp(-_LARGEST, _LARGEST)


def damaged(
    update: Update,
    bits: int,
    rng: np.random.Generator,
    layers: Sequence[Layer],
    ranks: Sequence[int],
    *,
    with_a: bool,
) -> Update:
    """Return an update some bits of whose values have changed on the way.

    Parameters
    ----------
    update : as it was sent
    bits : how many are hit
    rng : which
    layers, ranks : shapes of the adapters
    with_a : whether every message carries the values of A; otherwise they are not hit

    Returns
    -------
    the update as it is decoded; refused, if a value is not finite
    """
    sent = replace(update, tells_mask=False, a=update.a if with_a else None, a_seed=None)
    found = decode(damage(encode(sent), bits, rng), layers, ranks, update.mask)
    found = replace(
        found,
        a=found.a if with_a else update.a,
        a_seed=update.a_seed,
        tells_mask=update.tells_mask,
    )
    finite = all(bool(torch.isfinite(each).all()) for each in (*found.b, *(found.a or ())))
    return replace(found, refused=not finite)


def mislabelled(examples: Sequence[Example]) -> tuple[Example, ...]:
    """Return training examples with wrong answers.

    The next one of an example's choices; without choices that of the next example, in their order
    and around, whose answer is another one. Where all answers are the same, they stay.
    """
    return tuple(
        replace(each, answer=_wrong(examples, place)) for place, each in enumerate(examples)
    )


def _wrong(examples: Sequence[Example], place: int) -> str:
    own = examples[place]
    if own.choices:
        return own.choices[(own.choices.index(own.answer) + 1) % len(own.choices)]
    others = (examples[(place + step) % len(examples)].answer for step in range(len(examples)))
    return next((answer for answer in others if answer != own.answer), own.answer)
