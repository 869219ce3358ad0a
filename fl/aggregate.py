"""What to do with what was heard: sparse matrices of several devices become one.

Sources: arXiv 2602.20492, Eq. (10), normalized once (as printed it divides twice).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch


def aggregate(
    values: Sequence[torch.Tensor],
    masks: Sequence[torch.Tensor],
    how: Literal["active", "mean"],
) -> torch.Tensor:
    """Return the aggregate of masked matrices, entry by entry.

    Parameters
    ----------
    values, masks : per device (outputs, rank): numbers, and which of them count
    how : `mean` divides the sum by the number of devices; `active` by the number of those whose
        mask covers the entry, so that an entry that one device alone uses keeps its magnitude

    Returns
    -------
    (outputs, rank), zero where no mask covers an entry
    """
    total = torch.stack([v * m for v, m in zip(values, masks, strict=True)]).sum(0)
    if how == "mean":
        return total / len(values)
    return total / torch.stack(list(masks)).sum(0).clamp(min=1)
