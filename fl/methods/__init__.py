"""The methods: what a device trains, what it tells, and what it makes of what it hears."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from ..adapters import AdaptedModel, Adapter, Layer
from ..aggregation.robust import Pool
from ..config import FfaLora, FullFt, Local, Lora, LoriD, LoriS, SoLora
from ..updates.codec import Update
from .frozen import FrozenMethod
from .lora import LocalMethod, LoraMethod


class Method(Protocol):
    """What a session asks of a method; one instance serves all devices."""

    exchanges: bool
    """Whether updates are sent at all."""

    learning_rate: float

    calibration: tuple[int, int]
    """How many prompts a device runs forward, and how many batches forward and backward, before
    its first round."""

    shares_a: bool
    """Whether all devices start from the same adapter."""

    def ranks(self, layers: Sequence[Layer]) -> list[int]:
        """Return the rank of the adapter of each layer."""

    def initial(self, layers: Sequence[Layer], seed: int, device: int, devices: int) -> Adapter:
        """Return a device's adapter before any training; it changes nothing yet."""

    def calibrate(
        self, model: AdaptedModel, adapter: Adapter, examples: Any, batches: Any, seed: int
    ) -> Adapter:
        """Return the adapter as prepared on a device's own data before its first round."""

    def update(self, adapter: Adapter, device: int, round_: int, first_contact: bool) -> Update:
        """Return what a device tells one that it has or has not reached before."""

    def average(
        self, updates: Sequence[Update], weights: Sequence[float], pool: Pool | None = None
    ) -> Update:
        """Return what all these updates come to, the weights being positive.

        A pool takes the place of the weighted mean.
        """

    def adopt(self, own: Adapter, average: Update) -> Adapter:
        """Return a device's adapter with what an average says."""

    def shapes_update(self, layers: Sequence[Layer], first_contact: bool) -> Update:
        """Return an update of zeros for any shapes, from which a message's size is measured."""


METHODS: dict[type, Callable[[Any], Method]] = {
    Local: LocalMethod,
    Lora: LoraMethod,
    FfaLora: FrozenMethod,
    LoriD: FrozenMethod,
    LoriS: FrozenMethod,
    FullFt: FrozenMethod,
    SoLora: FrozenMethod,
}


def method_of(config: Any) -> Method:
    """Return the method of some parameters: one on board, or what a user's own say that it is."""
    known = METHODS.get(type(config))
    method: Method = config.method() if known is None else known(config)
    return method


__all__ = ["METHODS", "Method", "method_of"]
