"""Grid of texts and places on which attention runs, and how the heads of tokens get there.

Attention holds its weights as a matrix per head, which for short texts is faster than the blockwise
attention of the libraries.
"""

from __future__ import annotations

import torch

from .rotary import rotated
from .token_layout import TokenLayout


class AttentionGrid:
    """Attention between the tokens of each text.

    Parameters
    ----------
    layout : layout of the tokens
    heads, key_heads : numbers of heads of queries, and of keys and values
    cos, sin : rotation of each token, (tokens, 1, width of a head)
    scale : factor of the scores
    """

    def __init__(
        self,
        layout: TokenLayout,
        heads: int,
        key_heads: int,
        cos: torch.Tensor,
        sin: torch.Tensor,
        scale: float,
    ) -> None:
        self.layout, self.scale = layout, scale
        self._heads, self._key_heads = heads, key_heads
        self._cos, self._sin = cos, sin
        self._width = cos.shape[-1]
        texts, places = layout.grid
        count = texts * places
        in_grid = torch.arange(count) if layout.in_grid is None else layout.in_grid
        of_grid = torch.arange(count) if layout.of_grid is None else layout.of_grid
        kinds = {heads, key_heads}
        self._entering = {kind: _heads_first(of_grid, layout.grid, kind) for kind in kinds}
        self._leaving = {kind: _tokens_first(in_grid, places, kind) for kind in kinds}
        self._chosen = _tokens_first(in_grid[layout.chosen], places, heads)
        self._empty = None
        if layout.empty is not None:
            self._empty = _tokens_first(layout.empty, places, heads)
        mask = layout.mask
        if len(mask) > 1:
            mask = mask.repeat_interleave(key_heads, 0)
        groups = heads // key_heads
        self._mask = mask.repeat(1, groups, 1) if groups > 1 else mask

    def turn(self, x: torch.Tensor) -> torch.Tensor:
        """Rotate heads (tokens, heads * width) by the tokens' positions."""
        heads = x.view(len(x), -1, self._width)
        return rotated(heads, self._cos, self._sin, 1.0).view(x.shape)

    def turn_back(self, grad: torch.Tensor) -> torch.Tensor:
        """Return the gradient of what `turn` takes."""
        heads = grad.view(len(grad), -1, self._width)
        return rotated(heads, self._cos, self._sin, -1.0).view(grad.shape)

    def scores(self, q: torch.Tensor, k: torch.Tensor) -> torch.Tensor:
        """Return the masked scores, (texts * key heads, groups * places, places)."""
        return torch.baddbmm(self._mask, q, k.transpose(1, 2), alpha=self.scale)

    def enter(self, x: torch.Tensor) -> torch.Tensor:
        """Return heads of tokens, (tokens, heads * width), in the grid.

        Returns
        -------
        (texts * key heads, groups * places, width); groups is 1 for keys and values
        """
        heads = x.shape[1] // self._width
        moved = x.view(-1, self._width).index_select(0, self._entering[heads])
        return moved.view(self.layout.grid[0] * self._key_heads, -1, self._width)

    def enter_gradient(self, grad: torch.Tensor) -> torch.Tensor:
        """Return the gradient of what `enter` takes."""
        texts, places = self.layout.grid
        heads = grad.numel() // (texts * places * self._width)
        moved = grad.view(-1, self._width).index_select(0, self._leaving[heads])
        moved = moved.view(-1, heads * self._width)
        if self.layout.idle is not None:
            moved.index_fill_(0, self.layout.idle, 0.0)
        return moved

    def leave(self, y: torch.Tensor, chosen: bool) -> torch.Tensor:
        """Return the output of attention at all tokens or the chosen ones, (tokens, width)."""
        index = self._chosen if chosen else self._leaving[self._heads]
        moved = y.view(-1, self._width).index_select(0, index)
        return moved.view(-1, self._heads * self._width)

    def leave_gradient(self, grad: torch.Tensor, chosen: bool) -> torch.Tensor:
        """Return the gradient of what `leave` takes."""
        texts, places = self.layout.grid
        rows = grad.view(-1, self._width)
        if chosen:
            moved = grad.new_zeros(texts * self._heads * places, self._width)
            moved.index_add_(0, self._chosen, rows)
        else:
            moved = rows.index_select(0, self._entering[self._heads])
            if self._empty is not None:
                moved.index_fill_(0, self._empty, 0.0)
        return moved.view(texts * self._key_heads, -1, self._width)


def _heads_first(of_grid: torch.Tensor, grid: tuple[int, int], heads: int) -> torch.Tensor:
    """Return the rows of (tokens * heads) in the order (texts, heads, places)."""
    index = of_grid.view(grid[0], 1, grid[1]) * heads + torch.arange(heads)[:, None]
    return index.flatten()


def _tokens_first(in_grid: torch.Tensor, places: int, heads: int) -> torch.Tensor:
    """Return the rows of (texts * heads * places) in the order (tokens, heads)."""
    text = torch.div(in_grid, places, rounding_mode="floor")
    start = text * (heads * places) + in_grid - text * places
    return (start[:, None] + torch.arange(heads) * places).flatten()
