"""Prompts with several continuations as trees: the common beginning of their rows once.

Sources: tree attention, as in Miao et al., "SpecInfer", ASPLOS 2024.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch

from ..adapters.token_layout import LEAST_PLACES, TokenLayout
from ..models.language_model import IGNORED, Encoded


@dataclass(frozen=True, slots=True, eq=False)
class PromptTrees:
    """Texts that hold all rows of an example each.

    Parameters
    ----------
    ids : (texts, places) the common beginning of an example's rows, then the rest of each row;
        without the last token of a row, from which nothing is predicted
    is_used : (texts, places) which places have a token
    depth : (texts, places) position of each token in its row
    mask : (texts, places, places) 0 where a token sees another one, and minus infinity elsewhere
    place : (rows * length,) place of each token of the rows, as an index into the flattened `ids`
    """

    ids: torch.Tensor
    is_used: torch.Tensor
    depth: torch.Tensor
    mask: torch.Tensor
    place: torch.Tensor
    _layouts: dict[tuple[int, int], TokenLayout] = field(default_factory=dict)

    @staticmethod
    def of(encoded: Encoded, examples: Sequence[torch.Tensor]) -> PromptTrees:
        """Return the trees of examples.

        Parameters
        ----------
        encoded : all rows
        examples : rows of each example
        """
        outlines = [_shared(encoded, rows) for rows in examples]
        width = max(LEAST_PLACES, *map(_size, outlines))
        shape = (len(examples), width)
        ids = torch.zeros(shape, dtype=torch.int64)
        depth, branch = torch.zeros_like(ids), torch.full(shape, -1)
        places = []
        for text, (rows, (shared, lengths)) in enumerate(zip(examples, outlines, strict=True)):
            first = encoded.ids[rows[0]]
            ids[text, :shared], depth[text, :shared] = first[:shared], torch.arange(shared)
            branch[text, :shared] = 0
            end = shared
            for number, (row, length) in enumerate(zip(rows.tolist(), lengths, strict=True)):
                start, end = end, end + length - shared
                ids[text, start:end] = encoded.ids[row, shared:length]
                depth[text, start:end] = torch.arange(shared, length)
                branch[text, start:end] = 1 + number
                place = torch.arange(encoded.ids.shape[1])
                place[shared:] += start - shared
                places.append(place + text * width)
        earlier = torch.ones(width, width, dtype=torch.bool).tril()
        sees = (branch[:, None, :] == 0) | (branch[:, :, None] == branch[:, None, :])
        mask = torch.where(earlier & sees, 0.0, -torch.inf)
        return PromptTrees(ids, branch >= 0, depth, mask, torch.cat(places))

    def layout(self, answers: torch.Tensor, copies: int, devices: int) -> TokenLayout:
        """Return the layout of several copies of the trees.

        Parameters
        ----------
        answers : (copies * answers,) places of all copies from which answer tokens are predicted;
            the same at each call for one number of copies
        copies, devices : numbers of copies, and of devices over which they are distributed
        """
        key = (copies, devices)
        if key not in self._layouts:
            self._layouts[key] = TokenLayout.of_grid_of(
                self.ids.repeat(copies, 1), self.is_used.repeat(copies, 1),
                self.depth.repeat(copies, 1), self.mask.repeat(copies, 1, 1), answers, devices,
            )  # fmt: skip
        return self._layouts[key]


def sizes(encoded: Encoded, examples: Sequence[torch.Tensor]) -> list[int]:
    """Return the number of tokens of each example's tree."""
    return [_size(_shared(encoded, rows)) for rows in examples]


def _size(outline: tuple[int, list[int]]) -> int:
    """Return the number of tokens of a tree; see `_shared`."""
    shared, lengths = outline
    return shared + sum(length - shared for length in lengths)


def _shared(encoded: Encoded, rows: torch.Tensor) -> tuple[int, list[int]]:
    """Return the length of the common beginning of rows, and the length of each without its end."""
    lengths = (encoded.mask[rows].sum(1) - 1).tolist()
    if len(rows) == 1:
        return lengths[0], lengths
    ids, labels = encoded.ids[rows], encoded.labels[rows]
    # No row ends, or has an answer, within the common beginning.
    differs = ((ids != ids[:1]) | (labels != IGNORED)).any(0).nonzero()
    return min([*lengths, int(differs[0])]), lengths
