"""Weighted mean of values that a channel has added: scaled, rotated and noisy.

Every device subtracts the mean of its weighted values and divides by a scale common to all, the
largest root mean square among them, so that no symbol exceeds unit power on average; means and
scale are known besides. Two real values make a complex symbol. The receiver knows which devices are
silent in which part, and divides by the weights of the others.

Sources: as Zhu, Wang and Huang, "Broadband analog aggregation for low-latency federated edge
learning", IEEE Trans. Wireless Commun. 19(1), 2020, with a mean of each device's own.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from ..updates.codec import Tensors, Update

Values = NDArray[np.float64]


class Superposition(Protocol):
    """Sum of what n devices transmit in G parts of consecutive symbols.

    Attributes
    ----------
    amplitude : (n, G) complex factors with which each device's symbols arrive; 0 where it is silent
    noise : (G,) variance of the noise of a real value, over that of values of unit power
    ends : (G,) share of the symbols up to the end of each part; the last one is 1
    key : key of the draws of the noise
    """

    @property
    def amplitude(self) -> NDArray[np.complex128]:
        """Factors, (n, G)."""

    @property
    def noise(self) -> Values:
        """Variance of the noise, (G,)."""

    @property
    def ends(self) -> Values:
        """Ends of the parts, (G,)."""

    @property
    def key(self) -> int:
        """Key of the draws of the noise."""


def superposed_mean(
    values: Sequence[Values],
    weights: Sequence[float],
    superposition: Superposition | None,
    exact: Sequence[Values] = (),
    exact_weights: Sequence[float] = (),
) -> Values:
    """Return the weighted mean of values that were added by a channel, and of exact ones.

    Parameters
    ----------
    values, weights : (d,) values of each of the n devices, and their weights
    superposition : how the channel has added them; None if there are none
    exact, exact_weights : values of further devices, received without noise

    Returns
    -------
    (d,) mean; 0 where nothing was received
    """
    size = (*values, *exact)[0].size
    total, weight = np.zeros(size), np.zeros(size)
    for each, share in zip(exact, exact_weights, strict=True):
        total += share * each
        weight += share
    if superposition is not None and values:
        more, received = _sum(values, weights, superposition)
        total += more
        weight += received
    return np.divide(total, weight, out=np.zeros(size), where=weight > 0.0)


def _sum(
    values: Sequence[Values], weights: Sequence[float], superposition: Superposition
) -> tuple[Values, Values]:
    """Return the noisy weighted sum (d,) of values, and the sum of the weights in it (d,)."""
    size = values[0].size
    symbols = -(-size // 2)
    part = np.searchsorted(superposition.ends, (np.arange(symbols) + 0.5) / symbols)
    part = np.minimum(part, superposition.ends.size - 1)
    weighted = [share * each for each, share in zip(values, weights, strict=True)]
    means = [float(each.mean()) for each in weighted]
    centered = [each - mean for each, mean in zip(weighted, means, strict=True)]
    scale = max(float(np.sqrt(np.mean(each**2))) for each in centered)
    rng = np.random.Generator(np.random.PCG64(superposition.key))
    noise = rng.standard_normal(2 * symbols) * np.sqrt(superposition.noise[part]).repeat(2)
    total, weight = scale * noise, np.zeros(2 * symbols)
    for each, mean, share, factor in zip(
        centered, means, weights, superposition.amplitude, strict=True
    ):
        sent = np.zeros(2 * symbols)
        sent[:size] = each
        arrived = factor[part] * sent.view(np.complex128)
        active = (factor[part] != 0.0).repeat(2)
        total += arrived.view(np.float64) + mean * active
        weight += share * active
    return total[:size], weight[:size]


def superposition_digest(superposition: Superposition | None) -> str:
    """Return a digest of how a channel has added values."""
    if superposition is None:
        return ""
    found = hashlib.blake2b(str(superposition.key).encode(), digest_size=16)
    for array in (superposition.amplitude, superposition.noise, superposition.ends):
        found.update(np.ascontiguousarray(array).tobytes())
    return found.hexdigest()


def values_of(update: Update, like: Update) -> Values:
    """Return the values of an update as one vector, of the factors and entries of another one."""
    parts = []
    for mine, theirs, mask in _factors(update, like):
        for place, shape in enumerate(theirs):
            own = mine[place] if place < len(mine) else torch.zeros_like(shape)
            parts.append((own if mask is None else own[mask[place].bool()]).reshape(-1))
    return np.concatenate([each.double().numpy() for each in parts])


def with_values(update: Update, values: Values) -> Update:
    """Return an update with the values of a vector; see `values_of`."""
    start, found = 0, []
    for factors, _, mask in _factors(update, update):
        made = []
        for place, factor in enumerate(factors):
            active = torch.ones_like(factor, dtype=torch.bool)
            if mask is not None:
                active = mask[place].bool()
            end = start + int(active.sum())
            new = torch.zeros_like(factor)
            new[active] = torch.from_numpy(values[start:end]).to(factor.dtype)
            made.append(new)
            start = end
        found.append(tuple(made))
    b, a, extra = found
    return replace(
        update,
        b=b,
        a=update.a if update.a is None or update.a_frozen else a,
        extra=None if update.extra is None else extra,
    )


def _factors(update: Update, like: Update) -> list[tuple[Tensors, Tensors, Tensors | None]]:
    """Return the trained factors of an update, those of another one, and the other one's masks."""
    with_a = like.a is not None and not like.a_frozen
    return [
        (update.b, like.b, like.mask),
        (update.a or (), (like.a or ()) if with_a else (), None),
        (update.extra or (), like.extra or (), None),
    ]
