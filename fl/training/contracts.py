"""Contract checks of rules of training: optimizer, robust rule and compressor.

A check imports torch when it is called, as the program does.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

_SEED = 7


def optimizer(config: Any) -> Iterator[str]:
    """Yield the violations of the contract of optimizers: of steps on a quadratic function."""
    import torch

    generator = torch.Generator().manual_seed(_SEED)
    start, target = (torch.randn(32, generator=generator) for _ in range(2))

    def steps(count: int) -> tuple[torch.Tensor, tuple[torch.Tensor, ...]]:
        values, state = start.clone(), ()
        for number in range(count):
            gradient = values - target
            given = [each.clone() for each in (values, gradient, *state)]
            result = config.step(values, gradient, state, number, 1e-2)
            if any(
                not torch.equal(x, y)
                for x, y in zip(given, (values, gradient, *state), strict=True)
            ):
                raise ValueError("step must not change its arguments")
            if not (isinstance(result, tuple) and len(result) == 2):
                raise ValueError("step must return values and a tuple of state")
            values, state = result[0], tuple(result[1])
            if any(
                not isinstance(each, torch.Tensor) or each.shape != start.shape
                for each in (values, *state)
            ):
                raise ValueError("step must return vectors of the shape of the values")
        return values, state

    try:
        (values, state), (again, state_again) = steps(20), steps(20)
    except ValueError as error:
        yield str(error)
        return
    if not torch.equal(values, again) or not all(map(torch.equal, state, state_again)):
        yield "step must return the same for the same arguments"
    if not values.isfinite().all():
        yield "step must return finite values"
    elif torch.linalg.vector_norm(values - target) >= torch.linalg.vector_norm(start - target):
        yield "20 steps at learning rate 0.01 must come nearer to the minimum of a quadratic"


def robust_rule(config: Any) -> Iterator[str]:
    """Yield the violations of the contract of robust rules."""
    import torch

    generator = torch.Generator().manual_seed(_SEED)
    center, weights = torch.randn(12, generator=generator), torch.tensor([1.0, 2.0, 1.0, 3.0])
    updates = center + 0.1 * torch.randn(4, 12, generator=generator)
    given = updates.clone()
    first, again = (config.aggregate(updates, weights, updates[0]) for _ in range(2))
    if not torch.equal(updates, given):
        yield "aggregate must not change its arguments"
    if not isinstance(first, torch.Tensor) or first.shape != center.shape:
        yield f"aggregate must return a vector of shape {tuple(center.shape)}"
        return
    if not torch.equal(first, again):
        yield "aggregate must return the same for the same arguments"
    equal = center.expand(4, 12).clone()
    if not torch.allclose(config.aggregate(equal, weights, center), center, atol=1e-5):
        yield "aggregate of equal updates must be that update"
    alone = config.aggregate(updates[:1], weights[:1], updates[0])
    if not torch.isfinite(alone).all():
        yield "aggregate of one update must be finite"
    updates[1:, 5] = torch.nan
    partly = config.aggregate(updates, weights, updates[0])
    if not torch.isfinite(partly).all():
        yield "aggregate must leave out entries that a device does not have active, which are NaN"


def compressor(config: Any) -> Iterator[str]:
    """Yield the violations of the contract of compressors."""
    import torch

    from ..updates.compression import rule_of

    compress = rule_of(config)
    generator = torch.Generator().manual_seed(_SEED)
    for values in (torch.randn(12, 8, generator=generator), torch.zeros(3, 5)):
        for bits in (16, 8, 4):
            given = values.clone()
            found, again = (compress(given, bits, _SEED) for _ in range(2))
            if not torch.equal(given, values):
                yield "compress must not change its arguments"
                return
            if not isinstance(found, torch.Tensor) or found.shape != values.shape:
                yield f"compress must return a matrix of shape {tuple(values.shape)}"
                return
            if not torch.equal(found, again):
                yield "compress must return the same for the same values and seed"
            if not found.isfinite().all():
                yield "compress must return finite values"
            if not values.any() and found.any():
                yield "compress of zeros must be zeros"
