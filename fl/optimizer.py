"""AdamW for many devices at once, each with its own moments and number of steps.

A device keeps its moments from round to round, as it would if it trained alone; only weights are
exchanged. Starting afresh every few steps would make Adam's first, nearly sign-like steps most of
the training.

Sources: Kingma and Ba, "Adam: a method for stochastic optimization", ICLR 2015, Algorithm 1
(decoupled weight decay, Loshchilov and Hutter 2019, is 0 here).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

BETAS = (0.9, 0.999)
EPSILON = 1e-8

Tensors = tuple[torch.Tensor, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Moments:
    """What one device's optimizer remembers.

    Parameters
    ----------
    steps : how many steps it has made
    first, second : per trained tensor, running means of the gradient and of its square
    """

    steps: int
    first: Tensors
    second: Tensors


class StackedAdam:
    """Adam on tensors whose first dimension is the device.

    Parameters
    ----------
    tensors : (devices, ...) each; changed in place
    starts : each device's moments so far, None for a device that has made no step
    learning_rate : of all devices
    """

    def __init__(
        self,
        tensors: Sequence[torch.Tensor],
        starts: Sequence[Moments | None],
        learning_rate: float,
    ) -> None:
        self._tensors = tensors
        self._learning_rate = learning_rate
        self._steps = torch.tensor([0 if start is None else start.steps for start in starts])
        self._first = [torch.zeros_like(tensor) for tensor in tensors]
        self._second = [torch.zeros_like(tensor) for tensor in tensors]
        for device, start in enumerate(starts):
            if start is not None:
                for index in range(len(tensors)):
                    self._first[index][device] = start.first[index]
                    self._second[index][device] = start.second[index]

    @torch.no_grad()
    def step(self) -> None:
        """Move every tensor by its gradient; where that was always zero, by nothing."""
        self._steps += 1
        # [devices, 1, 1]
        first_scale = (1.0 - BETAS[0] ** self._steps)[:, None, None]
        second_scale = (1.0 - BETAS[1] ** self._steps).sqrt()[:, None, None]
        for tensor, first, second in zip(self._tensors, self._first, self._second, strict=True):
            if tensor.grad is None:
                continue
            first.lerp_(tensor.grad, 1.0 - BETAS[0])
            second.mul_(BETAS[1]).addcmul_(tensor.grad, tensor.grad, value=1.0 - BETAS[1])
            width = (second.sqrt() / second_scale).add_(EPSILON).mul_(first_scale)
            tensor.addcdiv_(first, width, value=-self._learning_rate)

    def moments(self, device: int) -> Moments:
        """Return what a device's optimizer remembers now."""
        return Moments(
            int(self._steps[device]),
            tuple(first[device].clone() for first in self._first),
            tuple(second[device].clone() for second in self._second),
        )
