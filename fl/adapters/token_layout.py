"""Layout of the tokens of a device-major batch that are worth computing.

The linear layers of a model treat each token alone, so that they can run without padding and
without the last token of a text, from which nothing is predicted: on a list of tokens, equally many
of each device. Only attention needs to know which tokens form a text; it runs on a grid of texts
and places, padded on the right.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

LEAST_PLACES = 16
"""Places of a grid of attention, at least: over fewer, the library's softmax and its gradient take
ten to twenty times longer."""


@dataclass(frozen=True, slots=True, eq=False)
class TokenLayout:
    """Tokens of several devices, device by device, and their places in the grid of attention.

    Parameters
    ----------
    devices : number of devices, each with equally many tokens and answers
    ids : (tokens,) the tokens, filled up per device with idle ones that affect no other token
    positions : (tokens,) position of each token in its text
    idle : indices of the idle tokens; None without any
    grid : (texts, places) shape of the grid
    in_grid : (tokens,) place of each token in the flattened grid; None if tokens and grid coincide
    of_grid : (texts * places,) token at each place of the grid, any at an empty one; likewise
    empty : indices of the empty places of the grid; None without any
    mask : (1 or texts, places, places) 0 where a place sees another one, minus infinity elsewhere
    chosen : (devices * answers,) tokens that predict answer tokens, filled up per device
    kept : indices into `chosen` of the answers, in the order in which they were given; None for all
    of_distinct : (tokens,) number of each token's id among the distinct ids
    """

    devices: int
    ids: torch.Tensor
    positions: torch.Tensor
    idle: torch.Tensor | None
    grid: tuple[int, int]
    in_grid: torch.Tensor | None
    of_grid: torch.Tensor | None
    empty: torch.Tensor | None
    mask: torch.Tensor
    chosen: torch.Tensor
    kept: torch.Tensor | None
    of_distinct: torch.Tensor

    @staticmethod
    def of_rows(ids: torch.Tensor, answers: torch.Tensor, devices: int) -> TokenLayout:
        """Return the layout of padded rows under causal attention.

        Parameters
        ----------
        ids : (devices * batch, length) tokens, padded on the right
        answers : (answers,) indices into the flattened `ids` of the tokens that predict one
        devices : number of devices
        """
        length = ids.shape[1]
        row = torch.div(answers, length, rounding_mode="floor")
        place = answers - row * length
        used = torch.zeros(len(ids), dtype=torch.int64)
        used.scatter_reduce_(0, row, place + 1, "amax")
        width = max(LEAST_PLACES, int(used.max()))
        is_used = torch.arange(width) < used[:, None]
        positions = torch.arange(width).expand(len(ids), width)
        padded = torch.nn.functional.pad(ids, (0, width - length))
        return TokenLayout.of_grid_of(
            padded, is_used, positions, _causal(width), row * width + place, devices
        )

    @staticmethod
    def of_grid_of(
        ids: torch.Tensor,
        is_used: torch.Tensor,
        positions: torch.Tensor,
        mask: torch.Tensor,
        answers: torch.Tensor,
        devices: int,
    ) -> TokenLayout:
        """Return the layout of a grid of texts.

        Parameters
        ----------
        ids, is_used, positions : (texts, places) the tokens, which places have one, and positions
        mask : (1 or texts, places, places) additive mask of attention
        answers : (answers,) indices into the flattened grid, device by device
        devices : number of devices
        """
        owner = torch.div(answers * devices, ids.numel(), rounding_mode="floor")
        chosen, kept = _filled_up(owner, answers, devices)
        shape = (ids.shape[0], ids.shape[1])
        if bool(is_used.all()):
            flat = ids.flatten()
            return TokenLayout(
                devices, flat, positions.flatten(), None, shape, None, None, None, mask, chosen,
                kept, flat.unique(return_inverse=True)[1],
            )  # fmt: skip
        per_device = is_used.view(devices, -1)
        counts = per_device.sum(1)
        tokens = max(1, int(counts.max()))
        # Number of each used place among those of its device.
        rank = per_device.cumsum(1) - 1
        first = torch.arange(devices)[:, None] * tokens
        of_grid = torch.where(per_device, rank + first, first).flatten()
        used = is_used.flatten().nonzero().squeeze(1)
        in_grid = torch.zeros(devices * tokens, dtype=torch.int64)
        in_grid[of_grid[used]] = used
        idle = (torch.arange(tokens) >= counts[:, None]).flatten().nonzero().squeeze(1)
        empty = (~is_used.flatten()).nonzero().squeeze(1)
        flat = ids.flatten()[in_grid]
        return TokenLayout(
            devices, flat, positions.flatten()[in_grid], idle if len(idle) else None, shape,
            in_grid, of_grid, empty if len(empty) else None, mask, of_grid[chosen], kept,
            flat.unique(return_inverse=True)[1],
        )  # fmt: skip


def _causal(width: int) -> torch.Tensor:
    """Return the additive mask of causal attention, (1, width, width)."""
    return torch.full((width, width), -torch.inf).triu(1)[None]


def _filled_up(
    owner: torch.Tensor, answers: torch.Tensor, devices: int
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Return answers, equally many per device, and where the given ones are among them.

    Parameters
    ----------
    owner, answers : (n,) device and place of each answer
    devices : number of devices

    Returns
    -------
    (devices * most,) the places, filled up by place 0; (n,) where each answer is, None if they are
    in order and nothing is filled up
    """
    counts = torch.bincount(owner, minlength=devices)
    most = max(1, int(counts.max()))
    if bool((counts == most).all()) and bool((owner[1:] >= owner[:-1]).all()):
        return answers, None
    order = torch.argsort(owner, stable=True)
    rank = torch.arange(len(owner)) - (counts.cumsum(0) - counts)[owner[order]]
    kept = torch.empty_like(owner)
    kept[order] = owner[order] * most + rank
    chosen = torch.zeros(devices * most, dtype=torch.int64)
    chosen[kept] = answers
    return chosen, kept
