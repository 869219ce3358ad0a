"""A user-defined extension of LoRA, and a term of the local objective; see ../own-models.md."""

from typing import Literal

import torch

from fl.methods.lora import LoraMethod
from fl.updates.codec import Update
from wnsim.core.params import parameters


@parameters
class Seldom:
    """LoRA whose B stays on its device, and whose A is trained in every third round only."""

    model: Literal["extended:Seldom"] = "extended:Seldom"
    rank: int = 8
    alpha: float | None = None
    learning_rate: float = 2e-3

    def method(self):
        return SeldomMethod(self)


class SeldomMethod(LoraMethod):
    def trains(self, round_):
        return "b" if round_ % 3 else "a"

    def update(self, adapter, device, round_, first_contact):
        return Update(device, round_, b=(), a=adapter.a)


@parameters
class Noisy:
    """Clipped gradients with Gaussian noise of a multiple of the bound."""

    model: Literal["extended:Noisy"] = "extended:Noisy"
    bound: float = 1.0
    multiple: float = 0.1

    def objective(self, seed):
        return NoisyGradient(self, seed)


class NoisyGradient:
    is_clipped = False

    def __init__(self, config, seed):
        self._config = config
        self._generator = torch.Generator().manual_seed(seed)

    def gradient(self, gradient, values, start):
        bound = self._config.bound
        clipped = gradient * min(1.0, bound / float(gradient.norm() + 1e-12))
        noise = torch.randn(len(gradient), generator=self._generator).to(gradient)
        return clipped + bound * self._config.multiple * noise
