"""LoRA with coarsely rounded updates and error feedback; see ../howto/use-my-own-compressor.md."""

# begin: compressor
from typing import Literal

import torch

from fl.methods.lora import LoraMethod
from fl.updates.codec import Update
from wnsim.core.params import parameters


@parameters
class Feedback:
    """LoRA whose updates are rounded; what rounding left out is added to the next one."""

    model: Literal["compressor:Feedback"] = "compressor:Feedback"
    rank: int = 8
    alpha: float | None = None
    learning_rate: float = 2e-3
    bits: Literal[4, 8] = 4

    def method(self):
        return FeedbackMethod(self)


class FeedbackMethod(LoraMethod):
    def __init__(self, config):
        super().__init__(config)
        self.levels = 2 ** (config.bits - 1) - 1
        self.error = {}

    def update(self, adapter, device, round_, first_contact):
        factors = [*adapter.a, *adapter.b]
        before = self.error.get(device, [torch.zeros_like(each) for each in factors])
        wanted = [each + left for each, left in zip(factors, before, strict=True)]
        sent = [rounded(each, self.levels) for each in wanted]
        self.error[device] = [x - y for x, y in zip(wanted, sent, strict=True)]
        a, b = sent[: len(adapter.a)], sent[len(adapter.a) :]
        return Update(device, round_, b=tuple(b), a=tuple(a))


def rounded(values, levels):
    """Return the nearest multiples of a scale per layer, the largest of which is `levels`."""
    scale = values.abs().max() / levels
    return values if scale == 0 else torch.round(values / scale) * scale


# end: compressor
