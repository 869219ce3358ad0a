"""The adapter methods: what a device trains, what it tells, and what it makes of what it hears."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from ..config import Local, Lora, SoLora
from ..update import Update
from .adapter import Adapter, Layer
from .lora import LocalMethod, LoraMethod
from .so_lora import SoLoraMethod
from .stacked import AdaptedModel


class Method(Protocol):
    """What a session asks of a method; one instance serves all devices."""

    exchanges: bool
    """Whether updates are sent at all."""

    learning_rate: float

    calibration: tuple[int, int]
    """How many prompts a device runs forward, and how many batches forward and backward, before
    its first round."""

    def a_seed(self, device: int, seed: int) -> int:
        """Return the seed of the A that a device starts from."""

    def initial(self, layers: Sequence[Layer], a_seed: int) -> Adapter:
        """Return the adapter of a seed before any training; it changes nothing yet."""

    def calibrate(
        self, model: AdaptedModel, adapter: Adapter, examples: Any, batches: Any, seed: int
    ) -> Adapter:
        """Return the adapter as prepared on a device's own data before its first round."""

    def update(self, adapter: Adapter, device: int, round_: int, first_contact: bool) -> Update:
        """Return what a device tells one that it has or has not reached before."""

    def average(self, updates: Sequence[Update], weights: Sequence[float]) -> Update:
        """Return what all these updates come to, the weights being positive."""

    def adopt(self, own: Adapter, average: Update) -> Adapter:
        """Return a device's adapter with what an average says."""

    def shapes_update(self, layers: Sequence[Layer], first_contact: bool) -> Update:
        """Return an update of zeros for any shapes, from which a message's size is measured."""


METHODS: dict[type, Callable[[Any], Method]] = {
    Local: LocalMethod,
    Lora: LoraMethod,
    SoLora: SoLoraMethod,
}

__all__ = ["METHODS", "AdaptedModel", "Adapter", "Layer", "Method"]
