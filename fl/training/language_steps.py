"""Steps of devices that share a frozen language model, in one device-major batch."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch

from ..adapters.flat_parameters import FlatParameters
from .loss import Batch, batch_loss

if TYPE_CHECKING:
    from ..adapters import AdaptedModel
    from ..models.language_model import Encoded


@contextmanager
def language_gradients(
    model: AdaptedModel, rows: FlatParameters, count: int, gradients: torch.Tensor
) -> Iterator[Callable[[Sequence[Encoded]], torch.Tensor]]:
    """Prepare steps of the first devices: attach their adapters.

    The loss of a device depends only on its own adapter, so one backward pass of the summed loss
    gives each device its own gradient.

    Parameters
    ----------
    model : the shared model
    rows : parameters of the devices
    count : number of devices that train
    gradients : (count, entries) receives the gradients of each step

    Yields
    ------
    a function that maps a batch of each device to the losses (count,) of a step
    """
    a, b = rows.factors(count)
    buffers = rows.gradient_buffers(gradients)

    def step(batches: Sequence[Encoded]) -> torch.Tensor:
        batch = Batch.collate(batches, model.device)
        rows.refresh(count)
        losses = batch_loss(model, batch)
        losses.sum().backward()
        for buffer in itertools.chain.from_iterable(buffers):
            if buffer is not None:
                buffer.finish()
        rows.collect(gradients)
        return losses.detach()

    with model.stacked(a, b, rows.scales(count), buffers):
        yield step
